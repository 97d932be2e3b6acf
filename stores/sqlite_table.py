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
from typing import Any, NamedTuple

import orjson

from .sqlite_file import META_TABLE, CollectionError, SQLiteFile
from .sqlite_json import decode, encode
from .sqlite_pushdown import (
    BOOLEANS,
    OPAQUE,
    Pushdown,
    column_expression,
    is_indexable,
    json_path,
    quoted,
)

_FULL_CHUNK = 32  # documents read at once; they may be megabytes each
_PART_CHUNK = 256  # the same, for a few fields of each


class Rows(NamedTuple):
    """Rows that match a filter, and further rows that may."""

    certain: list[int]
    open: list[int]


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

    def sorted_rows(self, conditions: Pushdown, path: str, descending: bool) -> dict[int, bool] | None:
        """Rows that may match -> whether they surely do, sorted by an indexed field; None if SQL does not know how."""
        column, must = quoted(self.columns[path]), conditions.must
        sql = (
            f"SELECT id, COALESCE({must.text}, 0), {column} >= ? OR typeof({column}) = 'real' FROM {self._table} "
            f"WHERE {conditions.may.text} ORDER BY {column} {'DESC' if descending else 'ASC'}, id"
        )
        with self.file.reading() as connection:
            rows = connection.execute(sql, (*must.parameters, OPAQUE, *conditions.may.parameters)).fetchall()
        if any(inexact for _, _, inexact in rows):
            return None
        return {row: bool(is_certain) for row, is_certain, _ in rows}

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

    def scan(self, fields: set[str] | None) -> Iterator[tuple[int, dict[str, Any]]]:
        """Every document in order of insertion, those added meanwhile left out.

        Parameters
        ----------
        fields : dotted fields that are needed (others may be missing), or None for whole documents.
        """
        reader = _Reader(fields)
        sql = f"SELECT id, {reader.selection} FROM {self._table} WHERE id > ? AND id <= ? ORDER BY id LIMIT ?"
        with self.file.reading() as connection:
            last = connection.execute(f"SELECT MAX(id) FROM {self._table}").fetchone()[0]
        position = -(2**63)
        while last is not None and position < last:
            with self.file.reading() as connection:
                rows = connection.execute(sql, (position, last, reader.chunk)).fetchall()
            if not rows:
                return
            yield from ((row[0], reader.document(row)) for row in rows)
            position = rows[-1][0]

    def fetch(self, ids: Iterable[int], fields: set[str] | None) -> Iterator[tuple[int, dict[str, Any]]]:
        """Documents by row, in the order given; rows that vanished meanwhile are passed over."""
        for batch in self.batches(ids, fields):
            yield from batch

    def batches(self, ids: Iterable[int], fields: set[str] | None) -> Iterator[Iterator[tuple[int, dict[str, Any]]]]:
        """The same, those together that were read at once; they are decoded as they are asked for."""
        reader = _Reader(fields)
        sql = f"SELECT id, {reader.selection} FROM {self._table} WHERE id IN (SELECT value FROM json_each(?))"
        pending, size = iter(ids), 4  # small at first: many queries want one document
        while wanted := list(islice(pending, size)):
            with self.file.reading() as connection:
                rows = {row[0]: row for row in connection.execute(sql, (orjson.dumps(wanted).decode(),))}
            yield _decoded(reader, wanted, rows)
            size = min(2 * size, reader.chunk)

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


def check_collection(name: str) -> str:
    """Name of a collection, refused if it cannot name a table."""
    if not name or "\0" in name or name.startswith("sqlite_") or name.lower() == META_TABLE:
        raise CollectionError(f"collection = {name!r} cannot name a table of the store: use another name")
    return name


class _Reader:
    """SQL that selects a document, or the fields of it that are needed, and the way back to Python.

    A field is cut out by SQLite, which does not build what is not needed. Where a nested field is not found
    by way of objects alone (it may lie within an array), its whole outermost field is read.
    """

    def __init__(self, fields: set[str] | None) -> None:
        self.fields = fields
        self.chunk = _FULL_CHUNK if fields is None else _PART_CHUNK
        self._heads: dict[str, list[list[str]]] = {}
        for field in sorted(fields or ()):
            parts = field.split(".")
            self._heads.setdefault(parts[0], []).append(parts)
        self._has_nested = any(map(self._is_nested, self._heads))
        self.selection = "doc" if fields is None else ", ".join(self._columns()) or "NULL"

    def document(self, row: Sequence[Any]) -> dict[str, Any]:
        """Document, or the needed part of it, from a selected row (the id comes first)."""
        if self.fields is None:
            whole: dict[str, Any] = decode(row[1])
            return whole
        if not self._has_nested:
            return self._flat(row[1:])
        part: dict[str, Any] = {}
        values = iter(row[1:])
        for head, leaves in self._heads.items():
            whole_head = next(values)
            texts = [next(values) for leaf in leaves if len(leaf) > 1] if self._is_nested(head) else []
            if whole_head is not None:
                part[head] = decode(whole_head)
            elif texts:
                self._graft(part, leaves, texts)
        return part

    def _flat(self, texts: Sequence[str | None]) -> dict[str, Any]:
        """Outermost fields alone, which many documents are asked for: decoded all at once."""
        found = {name: text for name, text in zip(self._heads, texts, strict=False) if text is not None}
        return dict(zip(found, decode(f"[{','.join(found.values())}]"), strict=True))

    def _is_nested(self, head: str) -> bool:
        return all(len(leaf) > 1 for leaf in self._heads[head])

    def _columns(self) -> Iterator[str]:
        for head, leaves in self._heads.items():
            whole = f"doc -> {json_path([head])}"
            if self._is_nested(head):
                found = " AND ".join(f"json_type(doc, {json_path(leaf)}) IS NOT NULL" for leaf in leaves)
                yield f"CASE WHEN NOT ({found}) THEN {whole} END"
                yield from (f"doc -> {json_path(leaf)}" for leaf in leaves)
            else:
                yield whole

    @staticmethod
    def _graft(part: dict[str, Any], leaves: Sequence[Sequence[str]], texts: Sequence[str | None]) -> None:
        for leaf, text in zip(leaves, texts, strict=True):
            if text is None:
                continue  # the outermost field itself is missing
            place = part
            for name in leaf[:-1]:
                place = place.setdefault(name, {})
            place[leaf[-1]] = decode(text)


def _decoded(
    reader: _Reader, wanted: Sequence[int], rows: Mapping[int, Sequence[Any]]
) -> Iterator[tuple[int, dict[str, Any]]]:
    return ((row, reader.document(rows[row])) for row in wanted if row in rows)


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
