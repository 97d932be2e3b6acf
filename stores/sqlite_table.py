# ruff: noqa: S608  # SQL is built from quoted names only; values are parameters
"""One collection of the SQLite store: a table of JSON documents with generated columns for indexed fields.

A table has ``id`` (insertion order), ``doc`` (JSON text, `stores.sqlite_json`) and, for each indexed field
``a.b``, a virtual column ``$.a.b`` with an index (see `stores.sqlite_pushdown`). SQLite itself keeps these in
step with the documents, whoever writes. Used by `stores.sqlite_query` and `stores.sqlite`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple, TypeVar

import orjson

from .sqlite_file import META_TABLE, CollectionError, SQLiteFile
from .sqlite_json import decode, encode
from .sqlite_pushdown import (
    BOOLEANS,
    Pushdown,
    column_expression,
    is_indexable,
    json_path,
    quoted,
)
from .sqlite_reader import Read, Reader, Row

Item = TypeVar("Item")

_ORDERING = ("intended_key", "joint_key")
"""Fields by which people know a document, beside its key."""


class Rows(NamedTuple):
    """Rows that match a filter, and further rows that may."""

    certain: list[int]
    open: list[int]


class SortedRow(NamedTuple):
    """A row that may match, with the columns that it was sorted by."""

    id: int
    is_certain: bool
    values: tuple[Any, ...]


class DocumentTable:
    """Documents of one collection.

    Parameters
    ----------
    file : the SQLite file.
    name : name of the collection, which is the name of the table.
    """

    def __init__(self, file: SQLiteFile, name: str) -> None:
        self.file = file
        self.name = name
        self.columns: dict[str, str] = {}  # dotted field -> column
        self._table = quoted(name)

    def create(self, indexes: Iterable[str]) -> None:
        """Make the table and its indexes where they are missing; indexes of earlier users stay."""
        with self.file.reading() as connection:
            row = connection.execute(
                "SELECT name FROM sqlite_master WHERE type = 'table' AND name = ? COLLATE NOCASE",
                (self.name,),
            ).fetchone()
        if row is None and self.file.read_only:
            raise CollectionError(f"{self.file.path} has no collection {self.name!r}, and who only reads makes none")
        if row is None:
            with self.file.writing() as connection:
                connection.execute(
                    f"CREATE TABLE IF NOT EXISTS {self._table} (id INTEGER PRIMARY KEY, doc TEXT NOT NULL)"
                )
        elif row[0] != self.name:
            raise CollectionError(
                f"{self.file.path} has a collection {row[0]!r}, {self.name!r} differs only in case: use another name"
            )
        self._read_columns()
        for path in () if self.file.read_only else indexes:
            self.add_index(path)

    def add_index(self, path: str, unique: bool = False) -> None:
        """Index a dotted field; existing documents are indexed too.

        Raises
        ------
        CollectionError
            If the name cannot be indexed, or `unique` is asked for and two documents share a value.
        """
        if not is_indexable(path):
            raise CollectionError(
                f"field {path!r} cannot be indexed: quotes, backslashes, control characters, empty parts and "
                "a leading $ are beyond SQLite's paths"
            )
        if path not in self.columns:
            with self.file.writing() as connection:
                self._add_column(connection, path)
            self._read_columns()
        if unique:
            column = quoted(self.columns[path])
            index = quoted(f"{self.name}:{path}:unique")
            with self.file.writing() as connection:
                connection.execute(
                    f"CREATE UNIQUE INDEX IF NOT EXISTS {index} ON {self._table} ({column}) WHERE {column} < x'4f'"
                )

    def rows(self, conditions: Pushdown) -> Rows:
        """Rows that match, and further rows that may, both in order of insertion."""
        # One statement sees one state of the table. ORDER BY would make SQLite walk the table, not the index.
        sql = (
            f"SELECT id, 1 FROM {self._table} WHERE {conditions.must.text} "
            f"UNION ALL SELECT id, 0 FROM {self._table} WHERE {conditions.open.text}"
        )
        with self.file.reading() as connection:
            found = connection.execute(sql, (*conditions.must.parameters, *conditions.open.parameters)).fetchall()
        certain = {row for row, is_certain in found if is_certain}
        return Rows(sorted(certain), sorted({row for row, _ in found} - certain))

    def can_sort(self, order: Sequence[tuple[str, int]]) -> bool:
        """Whether `sorted_rows` knows how: by indexed fields without arrays and objects, of numbers the last alone."""
        if not all(path in self.columns for path, _ in order):
            return False
        columns = [quoted(self.columns[path]) for path, _ in order]
        bad = [f"{column} >= x'4f'" for column in columns] + [f"{column} < ''" for column in columns[:-1]]
        with self.file.reading() as connection:
            return not any(
                connection.execute(f"SELECT 1 FROM {self._table} WHERE {condition} LIMIT 1").fetchone()
                for condition in bad
            )

    def sorted_rows(self, conditions: Pushdown, order: Sequence[tuple[str, int]], most: int = 0) -> list[SortedRow]:
        """Rows that may match, sorted by indexed fields.

        Reals are sorted but for those that lie together within their last digits.

        Parameters
        ----------
        conditions : what may match.
        order : (field, 1 or -1) pairs, the first the most important; `can_sort` must hold.
        most : the first so many rows; 0: all.
        """
        columns = ", ".join(quoted(self.columns[path]) for path, _ in order)
        by = ", ".join(f"{place} {'DESC' if sign < 0 else 'ASC'}" for place, (_, sign) in enumerate(order, 3))
        # One condition for both would be an OR, for which SQLite leaves the index and looks into the documents.
        sql = (
            f"SELECT id, 1, {columns} FROM {self._table} WHERE {conditions.must.text} UNION ALL "
            f"SELECT id, 0, {columns} FROM {self._table} WHERE {conditions.open.text} "
            f"ORDER BY {by}, 1, 2 DESC LIMIT ?"
        )
        parameters = (*conditions.must.parameters, *conditions.open.parameters, most or -1)
        with self.file.reading() as connection:
            rows = connection.execute(sql, parameters).fetchall()
        # A row of both comes twice, first as certain.
        once = {row[0]: row for row in reversed(rows)}
        return [SortedRow(row[0], bool(row[1]), row[2:]) for row in reversed(once.values())]

    def distinct_scalars(self, path: str) -> list[Any] | None:
        """Distinct strings and integers of an indexed field, first seen first; None if it holds others."""
        column = quoted(self.columns[path])
        sql = f"SELECT {column}, typeof({column}) FROM {self._table} GROUP BY {column} ORDER BY MIN(id)"
        with self.file.reading() as connection:
            rows = connection.execute(sql).fetchall()
        if any(kind not in ("text", "integer") for _, kind in rows):
            return None
        return [value for value, _ in rows]

    def group_counts(self, paths: Sequence[str]) -> list[tuple[tuple[Any, ...], int]]:
        """Count documents per combination of values of indexed fields, on one index that holds them all.

        Raises
        ------
        CollectionError
            If a field holds arrays, objects or other values that SQL cannot tell apart.
        """
        self.add_group_index(paths)
        columns = ", ".join(quoted(self.columns[path]) for path in paths)
        sql = f"SELECT {columns}, COUNT(*) FROM {self._table} GROUP BY {columns}"
        with self.file.reading() as connection:
            rows = connection.execute(sql).fetchall()
        return [(tuple(self._scalar(v, p) for v, p in zip(row, paths, strict=False)), int(row[-1])) for row in rows]

    def add_group_index(self, paths: Sequence[str]) -> None:
        """Make one index over several fields, unless there is one."""
        for path in paths:
            self.add_index(path)
        columns = ", ".join(quoted(self.columns[path]) for path in paths)
        name = f"{self.name}:{'+'.join(paths)}"
        with self.file.reading() as connection:
            there = connection.execute(
                "SELECT 1 FROM sqlite_master WHERE type = 'index' AND name = ?", (name,)
            ).fetchone()
        if there is None:
            with self.file.writing() as connection:
                connection.execute(f"CREATE INDEX IF NOT EXISTS {quoted(name)} ON {self._table} ({columns})")

    def _scalar(self, value: Any, path: str) -> Any:
        """Value of a generated column as it stands in the documents."""
        if isinstance(value, bytes):
            if value not in BOOLEANS:
                raise CollectionError(f"field {path!r} of {self.name} is no plain value everywhere: group by another")
            return BOOLEANS[value]
        return value

    def count_all(self) -> int:
        """Count the documents."""
        with self.file.reading() as connection:
            return int(connection.execute(f"SELECT COUNT(*) FROM {self._table}").fetchone()[0])

    def scan(self, reader: Reader[Read]) -> Iterator[tuple[int, Read]]:
        """Every document in order of insertion, those added meanwhile left out."""
        sql = f"SELECT id, {reader.selection} FROM {self._table} WHERE id > ? AND id <= ? ORDER BY id LIMIT ?"
        with self.file.reading() as connection:
            last = connection.execute(f"SELECT MAX(id) FROM {self._table}").fetchone()[0]
        position = -(2**63)
        while last is not None and position < last:
            with self.file.reading() as connection:
                rows = connection.execute(sql, (position, last, reader.chunk)).fetchall()
            if not rows:
                return
            yield from zip([row[0] for row in rows], self._decoded(rows, reader), strict=True)
            position = rows[-1][0]

    def fetch(self, ids: Iterable[int], reader: Reader[Read]) -> Iterator[tuple[int, Read]]:
        """Documents by row, in the order given; rows that vanished meanwhile are passed over."""
        for wanted in chunks(ids, reader.chunk):
            yield from self.read(wanted, reader)

    def read(self, wanted: Sequence[int], reader: Reader[Read]) -> Iterator[tuple[int, Read]]:
        """The same for a few rows, read at once and decoded as they are asked for."""
        sql = f"SELECT id, {reader.selection} FROM {self._table} WHERE id IN (SELECT value FROM json_each(?))"
        with self.file.reading() as connection:
            there = {row[0]: row for row in connection.execute(sql, (orjson.dumps(wanted).decode(),))}
        rows = [there[row] for row in wanted if row in there]
        return zip([row[0] for row in rows], self._decoded(rows, reader), strict=True)

    def _decoded(self, rows: Sequence[Row], reader: Reader[Read]) -> Iterator[Read]:
        """What a reader makes of rows; a document that is no JSON to us is named."""
        try:
            yield from reader.read(rows)
        except orjson.JSONDecodeError as err:
            raise CollectionError(
                f"{self.file.path}: {self._first_unreadable(rows, reader)} in {self.name} cannot be read ({err.msg}): "
                f"mend that document, or {self.file.move_away}"
            ) from err

    def _first_unreadable(self, rows: Sequence[Row], reader: Reader[Read]) -> str:
        """Key of the first document that cannot be read, and its ordering where it has one."""
        for row in rows:
            try:
                list(reader.read([row]))
            except orjson.JSONDecodeError:
                fields = [*list(self.columns)[:1], *_ORDERING]
                values = ", ".join(f"json_extract(doc, {json_path([field])})" for field in fields)
                with self.file.reading() as connection:
                    found = connection.execute(f"SELECT {values} FROM {self._table} WHERE id = ?", (row[0],)).fetchone()
                said = [f"{field} {value}" for field, value in zip(fields, found, strict=True) if value is not None]
                return f"the document of {', '.join(said)}"
        return "a document"

    def insert(self, text: str) -> None:
        """Add a document; only within `SQLiteFile.writing`."""
        self.file.connection.execute(f"INSERT INTO {self._table} (doc) VALUES (?)", (text,))

    def replace(self, row: int, text: str) -> None:
        """Replace a document, which keeps its place; only within `SQLiteFile.writing`."""
        self.file.connection.execute(f"UPDATE {self._table} SET doc = ? WHERE id = ?", (text, row))

    def delete(self, ids: Sequence[int]) -> None:
        """Remove documents; only within `SQLiteFile.writing`."""
        self.file.connection.execute(
            f"DELETE FROM {self._table} WHERE id IN (SELECT value FROM json_each(?))",
            (orjson.dumps(ids).decode(),),
        )

    def _add_column(self, connection: sqlite3.Connection, path: str) -> None:
        present = self._columns_in(connection)
        if path in present:
            return
        if path.lower() in {other.lower() for other in present}:
            raise CollectionError(f"field {path!r} cannot be indexed beside one that differs only in case: rename one")
        column = quoted("$." + path)
        connection.execute(
            f"ALTER TABLE {self._table} ADD COLUMN {column} GENERATED ALWAYS AS ({column_expression(path)}) VIRTUAL"
        )
        connection.execute(f"CREATE INDEX {quoted(f'{self.name}:{path}')} ON {self._table} ({column})")

    def _read_columns(self) -> None:
        with self.file.reading() as connection:
            self.columns = self._columns_in(connection)

    def _columns_in(self, connection: sqlite3.Connection) -> dict[str, str]:
        rows = connection.execute(f"PRAGMA table_xinfo({self._table})").fetchall()
        return {name[2:]: name for _, name, *_ in rows if name.startswith("$.")}


def chunks(rows: Iterable[Item], most: int) -> Iterator[list[Item]]:
    """Rows to be read together: few at first, as many queries want one document, then up to so many."""
    pending, size = iter(rows), min(4, most)
    while wanted := list(islice(pending, size)):
        yield wanted
        size = min(2 * size, most)


def check_collection(name: str) -> str:
    """Name of a collection, refused if it cannot name a table."""
    if not name or "\0" in name or name.startswith("sqlite_") or name.lower() == META_TABLE:
        raise CollectionError(f"collection = {name!r} cannot name a table of the store: use another name")
    return name


def identity_criteria(document: Mapping[str, Any], keys: Sequence[str]) -> dict[str, Any]:
    """Filter that finds the document an update replaces: equality of each key, dotted keys included."""
    criteria: dict[str, Any] = {}
    for key in keys:
        value: Any = document
        for part in key.split("."):
            if not isinstance(value, Mapping) or part not in value:
                raise CollectionError(
                    f"a document has no field {key!r}, which identifies it: add it, or give another key"
                )
            value = value[part]
        criteria[key] = value if type(value) in (str, int, bool, type(None)) else decode(encode(value))
    return criteria
