"""Maggma store in one SQLite file: the default store of jobflow runs and of all collections.

Several collections (tables) share a file; several processes and threads may read and write it at once.
An update is one transaction: when it returns, every document is on disk (``synchronous=FULL``) and survives
a killed process; if it fails, none is. Queries, sorting and projections are MongoDB's as mongomock_ng has
them; indexed fields are looked up in SQL. The work is done in `stores.sqlite_collection`, which knows nothing of
maggma; see also `stores.sqlite_file` (journals, errors), `stores.sqlite_json` (what is stored),
`stores.sqlite_pushdown` (indexes).

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
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar

from maggma.core import DateTimeFormat, Sort, Store, StoreError, Validator
from pydash import get, has, set_

from .sqlite_collection import Document, SQLiteCollection, as_documents
from .sqlite_file import CollectionError, Inbox, Journal
from .sqlite_mongo import identity
from .sqlite_projection import Properties

__all__ = ["SQLiteStore", "SQLiteStoreError"]


class SQLiteStoreError(CollectionError, StoreError):
    """What is wrong with a SQLite store, in one line with the way out; one of maggma's errors too."""

    def __init__(self, message: str) -> None:
        # StoreError puts itself among its arguments, which makes an unreadable message.
        Exception.__init__(self, message)


@contextmanager
def _as_store_error() -> Iterator[None]:
    """Tell a collection's error as maggma's."""
    try:
        yield
    except CollectionError as err:
        raise SQLiteStoreError(str(err)).with_traceback(err.__traceback__) from err.__cause__


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

    _of_documents: ClassVar[type[SQLiteCollection]] = SQLiteCollection

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
        with _as_store_error():
            self.documents = self._of_documents(
                path, collection, key, last_updated_field, indexes, timeout, journal, inbox
            )
        self.path = self.documents.path
        self.collection = collection
        self.indexes = list(indexes)
        self.timeout = timeout
        self.journal = journal
        self.inbox = inbox
        super().__init__(key, last_updated_field, DateTimeFormat(last_updated_type), validator)

    @property
    def name(self) -> str:
        """File and collection."""
        return self.documents.name

    @property
    def journal_mode(self) -> str:
        """Journal in use, ``wal`` or ``delete``; the store must be connected."""
        with _as_store_error():
            return self.documents.table.file.journal_mode

    @property
    def has_inbox(self) -> bool:
        """Whether worker processes must hand their documents over."""
        return self.documents.has_inbox

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

    def connect(self, force_reset: bool = False) -> None:
        """Open the file, and make what is missing of it, its table and its indexes.

        Raises
        ------
        SQLiteStoreError
            If the file cannot be opened or written, is no store, or was written by a newer version.
        """
        with _as_store_error():
            self.documents.connect(force_reset)

    def close(self) -> None:
        """Close the file; documents stay, and connect() opens it again."""
        self.documents.close()

    def count(self, criteria: Mapping[str, Any] | None = None) -> int:
        """Count the documents that match a filter."""
        with _as_store_error():
            return self.documents.count(criteria)

    def query(
        self,
        criteria: Mapping[str, Any] | None = None,
        properties: Properties = None,
        sort: Mapping[str, Sort | int] | None = None,
        skip: int = 0,
        limit: int = 0,
    ) -> Iterator[Document]:
        """Yield the documents that match a filter, as `SQLiteCollection.query`."""
        with _as_store_error():
            yield from self.documents.query(criteria, properties, sort, skip, limit)

    def distinct(self, field: str, criteria: Mapping[str, Any] | None = None, all_exist: bool = False) -> list[Any]:
        """Distinct values of a field, first seen first; the elements of arrays count one by one.

        `all_exist` is part of maggma's signature and without effect: missing fields never count.
        """
        with _as_store_error():
            return self.documents.distinct(field, criteria)

    def index_together(self, fields: Sequence[str]) -> None:
        """Make one index over several plain fields, as `SQLiteCollection.index_together`."""
        with _as_store_error():
            self.documents.index_together(fields)

    def count_by(self, fields: Sequence[str]) -> list[tuple[tuple[Any, ...], int]]:
        """Count documents per combination of values of plain fields, as `SQLiteCollection.count_by`."""
        with _as_store_error():
            return self.documents.count_by(fields)

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
        docs : document or documents; those that the validator refuses are logged, or raised where it is strict.
        key : field or fields that identify a document (default: the store's key).

        Raises
        ------
        SQLiteStoreError
            If a document lacks a key field or cannot be stored, or the file stays locked.
        """
        with _as_store_error():
            valid = [document for document in as_documents(docs) if self._is_valid(document)]
            self.documents.update(valid, key or self.key)

    def remove_docs(self, criteria: Mapping[str, Any]) -> None:
        """Remove the documents that match a filter; ``{}`` removes all."""
        with _as_store_error():
            self.documents.remove_docs(criteria)

    def ensure_index(self, key: str, unique: bool = False) -> bool:
        """Index a dotted field, as `SQLiteCollection.ensure_index`."""
        with _as_store_error():
            return self.documents.ensure_index(key, unique)

    def damage(self) -> list[str]:
        """What SQLite's integrity check finds in the whole file, five findings at most; empty where it is sound."""
        with _as_store_error():
            return self.documents.damage()

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

    def _is_valid(self, document: Document) -> bool:
        if self.validator is None or self.validator.is_valid(document):
            return True
        errors = self.validator.validation_errors(document)
        if getattr(self.validator, "strict", False):
            raise ValueError(errors)
        self.logger.error(errors)
        return False
