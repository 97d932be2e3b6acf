"""Maggma store in one SQLite file: the default store of jobflow runs and of all collections.

Several collections (tables) share a file; several processes and threads may read and write it at once.
An update is one transaction: when it returns, every document is on disk (``synchronous=FULL``) and survives
a killed process; if it fails, none is. Queries, sorting and projections are MongoDB's as mongomock_ng has
them; indexed fields are looked up in SQL. See `stores.sqlite_file` (journals, errors), `stores.sqlite_json`
(what is stored), `stores.sqlite_pushdown` (indexes).

Limits, known and accepted:

- Documents have no ``_id``: one handed over is dropped, as maggma's JSONStore does.
- Dates come back as MongoDB gives them: naive, UTC, milliseconds. Enumeration members come back as their
  value (a MongoStore would keep monty's dictionary of them).
- Where mongomock_ng differs from MongoDB, this store follows mongomock_ng: ``True`` equals 1 in a filter,
  arrays sort by their first element (MongoDB: smallest or largest), no ``$text`` and no ``$near``.
- Projections know fields in and out, no ``$slice`` or ``$elemMatch``. There are no aggregations.
- A filter that no index serves reads the fields it looks at from every document (some 50 microseconds for a
  document of 15 kB).
- A query that runs while others write sees each document as it is when read; it is no snapshot.
- One process writes at a time, the others wait up to ``timeout``. On network file systems, where SQLite's
  locks are only as good as the file system's, one process writes and the others hand their documents over
  (`stores.inbox`); such file systems are detected on Linux only.
- After a fork that happened amid a call of the store in another thread, the child must not use the store.
- A store in use is copied with ``sqlite3 store.sqlite ".backup copy.sqlite"``, not with cp: what was written
  last lies in store.sqlite-wal.
- For several machines, use a MongoStore.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any

from maggma.core import DateTimeFormat, Sort, Store, Validator
from monty.json import jsanitize
from pydash import get, has, set_

from .sqlite_file import (
    Inbox,
    Journal,
    SQLiteFile,
    SQLiteStoreError,
    check_path,
    file_system_type,
    is_network_file_system,
)
from .sqlite_json import encode
from .sqlite_mongo import identity, matches, prepared
from .sqlite_projection import Projection, Properties
from .sqlite_pushdown import fields_of, pushdown
from .sqlite_query import count, distinct, find, matching_ids
from .sqlite_table import DocumentTable, check_collection, identity_criteria

__all__ = ["SQLiteStore", "SQLiteStoreError"]

Document = dict[str, Any]


class SQLiteStore(Store):
    """Collection of documents in a SQLite file, with MongoDB's query language.

    Parameters
    ----------
    path : the file; made on connecting, in a folder that exists. Kept as an absolute path.
    collection : name of the collection.
    key : field that identifies a document.
    last_updated_field, last_updated_type : date of a document's last change, as in every maggma store.
    validator : maggma validator for incoming documents.
    indexes : dotted fields to index, besides `key` and `last_updated_field`. Indexes made by others stay.
    timeout : seconds to wait for other writers.
    journal : ``wal``, ``delete`` (rollback journal), or ``auto`` to choose by the file system.
    inbox : whether worker processes hand their documents over (`stores.inbox`) instead of writing, so that one
        process writes; ``auto`` on network file systems.

    Raises
    ------
    SQLiteStoreError
        If the path is no file, or the collection's name cannot be used.

    Examples
    --------
    A jobflow store, ``~/.jobflow.yaml``::

        JOB_STORE:
          "@module": jobflow.core.store
          "@class": JobStore
          docs_store: &docs
            "@module": valenceflow.stores.sqlite
            "@class": SQLiteStore
            path: /home/me/campaign/store.sqlite
            collection: jobs
          additional_stores:
            data:
              <<: *docs
              collection: data
              indexes: [job_uuid]
    """

    def __init__(
        self,
        path: str | Path,
        collection: str = "jobs",
        key: str = "uuid",
        last_updated_field: str = "last_updated",
        last_updated_type: DateTimeFormat | str = DateTimeFormat.DateTime,
        validator: Validator | None = None,
        indexes: Sequence[str] = (),
        timeout: float = 60.0,
        journal: Journal = "auto",
        inbox: Inbox = "auto",
    ) -> None:
        place = check_path(path)
        self.path = str(place)
        self.collection = check_collection(collection)
        self.indexes = list(indexes)
        self.timeout = timeout
        self.journal = journal
        self.inbox = inbox
        self._file = SQLiteFile(place, journal, timeout)
        self._connected: DocumentTable | None = None
        super().__init__(key, last_updated_field, DateTimeFormat(last_updated_type), validator)

    @property
    def name(self) -> str:
        """File and collection."""
        return f"sqlite://{self.path}/{self.collection}"

    @property
    def journal_mode(self) -> str:
        """Journal in use, ``wal`` or ``delete``; the store must be connected."""
        return self._table.file.journal_mode

    @property
    def has_inbox(self) -> bool:
        """Whether worker processes must hand their documents over."""
        if self.inbox == "auto":
            return is_network_file_system(file_system_type(Path(self.path).parent))
        return self.inbox

    @property
    def last_updated(self) -> datetime:
        """Newest date of the documents; ``datetime.min`` where there is none.

        Raises
        ------
        SQLiteStoreError
            If there are documents and none has the field.
        """
        field = self.last_updated_field
        newest = next(self.query({}, [field], sort={field: -1}, limit=1), None)
        if newest is None:
            return datetime.min
        if not has(newest, field):
            # maggma takes a document without any field, which MongoDB's _id prevents, for none at all.
            raise SQLiteStoreError(f"No field {field!r} in the documents of {self.name}: give them one, or the store's")
        value = get(newest, field)
        return datetime.min if value is None else self._lu_func[0](value)

    @property
    def _collection(self) -> Any:
        raise AttributeError("a SQLiteStore has no pymongo collection: use query, count, distinct and update")

    @property
    def _table(self) -> DocumentTable:
        if self._connected is None:
            raise SQLiteStoreError(f"{self.name} is not connected: call connect() first, or use `with store:`")
        return self._connected

    def connect(self, force_reset: bool = False) -> None:
        """Open the file, and make what is missing of it, its table and its indexes.

        Raises
        ------
        SQLiteStoreError
            If the file cannot be opened or written, is no store, or was written by a newer version.
        """
        if self._connected is not None and not force_reset:
            return
        self.close()
        table = DocumentTable(self._file, self.collection)
        table.create(dict.fromkeys([self.key, self.last_updated_field, *self.indexes]))
        self._connected = table

    def close(self) -> None:
        """Close the file; documents stay, and connect() opens it again."""
        self._file.close()
        self._connected = None

    def count(self, criteria: Mapping[str, Any] | None = None) -> int:
        """Count the documents that match a filter."""
        return count(self._table, criteria)

    def query(
        self,
        criteria: Mapping[str, Any] | None = None,
        properties: Properties = None,
        sort: Mapping[str, Sort | int] | None = None,
        skip: int = 0,
        limit: int = 0,
    ) -> Iterator[Document]:
        """Yield the documents that match a filter; the store may be written to meanwhile.

        Parameters
        ----------
        criteria : MongoDB filter.
        properties : fields to return (a list or a mapping to 1), or to leave out (a mapping to 0).
        sort : field to 1 (ascending) or -1; without it, in order of insertion.
        skip, limit : matching documents to pass over, and to return at most (0: all).
        """
        order = [(field, Sort(direction).value) for field, direction in (sort or {}).items()]
        yield from find(self._table, criteria, Projection(properties), order, skip, limit)

    def distinct(self, field: str, criteria: Mapping[str, Any] | None = None, all_exist: bool = False) -> list[Any]:
        """Distinct values of a field, first seen first; the elements of arrays count one by one.

        `all_exist` is part of maggma's signature and without effect: missing fields never count.
        """
        return distinct(self._table, field, criteria)

    def index_together(self, fields: Sequence[str]) -> None:
        """Make one index over several plain fields, those asked for by equality first: asking for all of them is fast.

        Parameters
        ----------
        fields : dotted fields.
        """
        self._table.add_group_index(fields)

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
        SQLiteStoreError
            If a field holds arrays or objects.
        """
        return self._table.group_counts(fields)

    def groupby(
        self,
        keys: list[str] | str,
        criteria: Mapping[str, Any] | None = None,
        properties: Properties = None,
        sort: Mapping[str, Sort | int] | None = None,
        skip: int = 0,
        limit: int = 0,
    ) -> Iterator[tuple[Document, list[Document]]]:
        """Group documents by the values of fields, as a MongoStore does.

        Parameters
        ----------
        keys : fields to group by.
        criteria, properties, sort, skip, limit : which documents, in which order, as in `query`.

        Yields
        ------
        The keys with their values (a missing field is left out) and the documents, held in memory.
        """
        names = [keys] if isinstance(keys, str) else list(keys)
        chosen = [*properties, *names] if properties else None
        groups: dict[tuple[Any, ...], tuple[Document, list[Document]]] = {}
        for document in self.query(criteria, chosen, sort, skip, limit):
            values = {name: get(document, name) for name in names if has(document, name)}
            group = tuple((name, identity(value)) for name, value in values.items())
            if group not in groups:
                head: Document = {}
                for name, value in values.items():
                    set_(head, name, value)
                groups[group] = (head, [])
            groups[group][1].append(document)
        yield from groups.values()

    def update(self, docs: Sequence[Document] | Document, key: Sequence[str] | str | None = None) -> None:
        """Insert documents, each in place of the one with the same key if there is one; all or none.

        Parameters
        ----------
        docs : document or documents.
        key : field or fields that identify a document (default: the store's key).

        Raises
        ------
        SQLiteStoreError
            If a document lacks a key field or cannot be stored, or the file stays locked.
        """
        names = [key] if isinstance(key, str) else list(key or [self.key])
        listed = docs if isinstance(docs, list | tuple) else [docs]
        texts = [
            (identity_criteria(document, names), encode(document))
            for document in map(as_document, listed)
            if self._is_valid(document)
        ]
        table = self._table
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
        with self._table.file.writing():
            self._table.delete(list(matching_ids(self._table, criteria)))

    def ensure_index(self, key: str, unique: bool = False) -> bool:
        """Index a dotted field.

        Returns
        -------
        Whether the index exists now: not for names SQLite cannot address, nor `unique` on repeated values.
        """
        try:
            self._table.add_index(key, unique)
        except SQLiteStoreError as err:
            self.logger.warning("no index on %s: %s", key, err)
            return False
        return True

    def damage(self) -> list[str]:
        """What SQLite's integrity check finds in the whole file, five findings at most; empty where it is sound."""
        try:
            with self._table.file.reading() as connection:
                found = [str(row[0]) for row in connection.execute("PRAGMA integrity_check(5)")]
        except SQLiteStoreError as err:
            return [str(err)]
        return [] if found == ["ok"] else found

    def __eq__(self, other: object) -> bool:
        """Whether another store is the same collection of the same file."""
        if not isinstance(other, SQLiteStore):
            return NotImplemented
        return (self.path, self.collection, self.last_updated_field) == (
            other.path,
            other.collection,
            other.last_updated_field,
        )

    def __hash__(self) -> int:
        """Hash of file, collection and last_updated_field."""
        return hash((self.path, self.collection, self.last_updated_field))

    def _row_of(self, criteria: Document) -> int | None:
        """Row of the document an update replaces: the first that has the same keys."""
        table = self._table
        filters = prepared(criteria)
        certain, undecided = table.rows(pushdown(filters, table.columns))
        documents = table.fetch(undecided, fields_of(filters))
        decided = (row for row, document in documents if matches(filters, document))
        return min([*certain[:1], *islice(decided, 1)], default=None)

    def _is_valid(self, document: Document) -> bool:
        if self.validator is None or self.validator.is_valid(document):
            return True
        errors = self.validator.validation_errors(document)
        if getattr(self.validator, "strict", False):
            raise ValueError(errors)
        self.logger.error(errors)
        return False


def as_document(document: Any) -> Document:
    """The dictionary to store, without MongoDB's ``_id``."""
    if not isinstance(document, Mapping):
        document = jsanitize(document, strict=True, allow_bson=True, enum_values=True)
    return {field: value for field, value in document.items() if field != "_id"}
