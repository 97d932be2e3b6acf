"""One collection of a SQLite file, with MongoDB's query language: what `stores.sqlite` makes a maggma store of.

Commands that only look open collections as they are here: this module and what it imports know nothing of maggma,
whose import takes half a second. See `stores.sqlite` for what the store promises and its limits.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Self

from .sqlite_file import CollectionError, Inbox, Journal, SQLiteFile, check_path, file_system_type
from .sqlite_file import is_network_file_system as is_network
from .sqlite_json import encode
from .sqlite_mongo import matches, prepared
from .sqlite_projection import Projection, Properties
from .sqlite_pushdown import fields_of, pushdown
from .sqlite_query import count, distinct, find, find_values, matching_ids
from .sqlite_reader import DocumentReader
from .sqlite_table import DocumentTable, check_collection, identity_criteria

Document = dict[str, Any]

STORE_MODULE, STORE_CLASS = "valenceflow.stores.sqlite", "SQLiteStore"
"""What a collection is called in YAML files: the maggma store of it."""

_logger = logging.getLogger(__name__)


class SQLiteCollection:
    """Collection of documents in a SQLite file.

    Parameters
    ----------
    path : the file; made on connecting, in a folder that exists. Kept as an absolute path.
    collection : name of the collection.
    key : field that identifies a document.
    last_updated_field : date of a document's last change; indexed.
    indexes : dotted fields to index besides. Indexes made by others stay.
    timeout : seconds to wait for other writers.
    journal : ``wal``, ``delete`` (rollback journal), or ``auto`` to choose by the file system.
    inbox : whether worker processes hand their documents over (`stores.inbox`) instead of writing, so that one
        process writes; ``auto`` on network file systems.

    Raises
    ------
    CollectionError
        If the path is no file, or the collection's name cannot be used.
    """

    _reads_only: ClassVar[bool] = False

    def __init__(
        self,
        path: str | Path,
        collection: str = "jobs",
        key: str = "uuid",
        last_updated_field: str = "last_updated",
        indexes: Sequence[str] = (),
        timeout: float = 60.0,
        journal: Journal = "auto",
        inbox: Inbox = "auto",
    ) -> None:
        place = check_path(path)
        self.path = str(place)
        self.collection = check_collection(collection)
        self.key = key
        self.last_updated_field = last_updated_field
        self.indexes = list(indexes)
        self.inbox = inbox
        self.file = SQLiteFile(place, journal, timeout, read_only=self._reads_only)
        self._connected: DocumentTable | None = None

    @property
    def spec(self) -> dict[str, Any]:
        """The maggma store of it in monty's form, as plain data."""
        return {
            "@module": STORE_MODULE,
            "@class": STORE_CLASS,
            "path": self.path,
            "collection": self.collection,
            "key": self.key,
            "last_updated_field": self.last_updated_field,
            "last_updated_type": "datetime",
            "validator": None,
            "indexes": self.indexes,
            "timeout": self.file.timeout,
            "journal": self.file.journal,
            "inbox": self.inbox,
        }

    @property
    def name(self) -> str:
        """File and collection."""
        return f"sqlite://{self.path}/{self.collection}"

    @property
    def has_inbox(self) -> bool:
        """Whether worker processes must hand their documents over."""
        if self.inbox == "auto":
            return is_network(file_system_type(Path(self.path).parent))
        return self.inbox

    @property
    def table(self) -> DocumentTable:
        """The table of the documents; the collection must be connected."""
        if self._connected is None:
            raise CollectionError(f"{self.name} is not connected: call connect() first, or use `with store:`")
        return self._connected

    def connect(self, force_reset: bool = False) -> None:
        """Open the file, and make what is missing of it, its table and its indexes.

        Raises
        ------
        CollectionError
            If the file cannot be opened or written, is no store, or was written by a newer version.
        """
        if self._connected is not None and not force_reset:
            return
        self.close()
        table = DocumentTable(self.file, self.collection)
        table.create(dict.fromkeys([self.key, self.last_updated_field, *self.indexes]))
        self._connected = table

    def close(self) -> None:
        """Close the file; documents stay, and connect() opens it again."""
        self.file.close()
        self._connected = None

    def __enter__(self) -> Self:
        """Connect."""
        self.connect()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        self.close()

    def count(self, criteria: Mapping[str, Any] | None = None) -> int:
        """Count the documents that match a filter."""
        return count(self.table, criteria)

    def query(
        self,
        criteria: Mapping[str, Any] | None = None,
        properties: Properties = None,
        sort: Mapping[str, Any] | None = None,
        skip: int = 0,
        limit: int = 0,
    ) -> Iterator[Document]:
        """Yield the documents that match a filter; the collection may be written to meanwhile.

        Parameters
        ----------
        criteria : MongoDB filter.
        properties : fields to return (a list or a mapping to 1), or to leave out (a mapping to 0).
        sort : field to 1 (ascending) or -1, or maggma's names of these; without it, in order of insertion.
        skip, limit : matching documents to pass over, and to return at most (0: all).
        """
        order = [(field, sort_direction(given)) for field, given in (sort or {}).items()]
        yield from find(self.table, criteria, Projection(properties), order, skip, limit)

    def query_one(
        self,
        criteria: Mapping[str, Any] | None = None,
        properties: Properties = None,
        sort: Mapping[str, Any] | None = None,
    ) -> Document | None:
        """The first document that matches a filter, None where there is none; parameters as in `query`."""
        return next(self.query(criteria, properties, sort, limit=1), None)

    def values(
        self,
        criteria: Mapping[str, Any] | None,
        fields: Sequence[str],
        sort: Mapping[str, Any] | None = None,
        limit: int = 0,
    ) -> Iterator[list[Any]]:
        """Yield values of fields alone, for tables: faster than `query`, whose other parameters are these.

        Parameters
        ----------
        fields : dotted fields. A value is None where its field is missing or lies within an array.
        """
        order = [(field, sort_direction(given)) for field, given in (sort or {}).items()]
        yield from find_values(self.table, criteria, fields, order, limit)

    def distinct(self, field: str, criteria: Mapping[str, Any] | None = None) -> list[Any]:
        """Distinct values of a field, first seen first; the elements of arrays count one by one."""
        return distinct(self.table, field, criteria)

    def index_together(self, fields: Sequence[str]) -> None:
        """Make one index over several plain fields, those asked for by equality first: asking for all of them is fast.

        Parameters
        ----------
        fields : dotted fields.
        """
        self.table.add_group_index(fields)

    def count_by(self, fields: Sequence[str]) -> list[tuple[tuple[Any, ...], int]]:
        """Count documents per combination of values of plain fields; missing and null are both None.

        Parameters
        ----------
        fields : dotted fields; an index over all of them is made on first use.

        Returns
        -------
        Pairs of (values in the order of `fields`, number of documents).

        Raises
        ------
        CollectionError
            If a field holds arrays or objects.
        """
        return self.table.group_counts(fields)

    def update(self, docs: Sequence[Document] | Document, key: Sequence[str] | str | None = None) -> None:
        """Insert documents, each in place of the one with the same key if there is one; all or none.

        Parameters
        ----------
        docs : document or documents.
        key : field or fields that identify a document (default: the collection's key).

        Raises
        ------
        CollectionError
            If a document lacks a key field or cannot be stored, or the file stays locked.
        """
        names = [key] if isinstance(key, str) else list(key or [self.key])
        texts = [(identity_criteria(document, names), encode(document)) for document in as_documents(docs)]
        table = self.table
        if texts and names[0] not in table.columns:
            self.ensure_index(names[0])  # else each document would be looked for in all others
        with table.file.writing():
            for criteria, text in texts:
                row = self._row_of(criteria)
                if row is None:
                    table.insert(text)
                else:
                    table.replace(row, text)

    def remove_docs(self, criteria: Mapping[str, Any]) -> None:
        """Remove the documents that match a filter; ``{}`` removes all."""
        with self.table.file.writing():
            self.table.delete(list(matching_ids(self.table, criteria)))

    def ensure_index(self, key: str, unique: bool = False) -> bool:
        """Index a dotted field.

        Returns
        -------
        Whether the index exists now: not for names SQLite cannot address, nor `unique` on repeated values.
        """
        try:
            self.table.add_index(key, unique)
        except CollectionError as err:
            _logger.warning("no index on %s: %s", key, err)
            return False
        return True

    def damage(self) -> list[str]:
        """What SQLite's integrity check finds in the whole file, five findings at most; empty where it is sound."""
        try:
            with self.table.file.reading() as connection:
                found = [str(row[0]) for row in connection.execute("PRAGMA integrity_check(5)")]
        except CollectionError as err:
            return [str(err)]
        return [] if found == ["ok"] else found

    def _row_of(self, criteria: Document) -> int | None:
        """Row of the document an update replaces: the first that has the same keys."""
        table = self.table
        filters = prepared(criteria)
        certain, undecided = table.rows(pushdown(filters, table.columns))
        documents = table.fetch(undecided, DocumentReader(fields_of(filters)))
        decided = (row for row, document in documents if matches(filters, document))
        return min([*certain[:1], *islice(decided, 1)], default=None)


def as_documents(given: Any) -> list[Document]:
    """The dictionaries to store, of one document or several, without MongoDB's ``_id``."""
    return [_as_document(document) for document in (given if isinstance(given, list | tuple) else [given])]


def _as_document(document: Any) -> Document:
    if not isinstance(document, Mapping):
        from monty.json import jsanitize  # noqa: PLC0415 - start-up

        document = jsanitize(document, strict=True, allow_bson=True, enum_values=True)
    return {field: value for field, value in document.items() if field != "_id"}


def sort_direction(given: Any) -> int:
    """1 or -1, also of maggma's `Sort`.

    Raises
    ------
    ValueError
        If it is another value.
    """
    direction = given.value if isinstance(given, Enum) else given
    if direction not in (1, -1):
        raise ValueError(f"a sort direction is 1 (ascending) or -1 (descending), got {given!r}")
    return int(direction)
