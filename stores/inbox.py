"""Documents on their way into a SQLite store that one process alone may write: `inbox/` beside the store's file.

On a network file system SQLite's locks are only as good as the file system's. There worker processes use an
`InboxCollection` (jobflow: the maggma store of it, `stores.inbox_store`): it writes nothing to the SQLite file, but
leaves each update as a file that appears whole or not at all (written beside, flushed to disk, renamed). The launcher
takes the files in with `take_in` and removes each one only after its documents are committed, so that a crash at any
moment loses nothing; taking a file in twice changes nothing.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import count as counter
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar, Protocol
from urllib.parse import quote

import orjson

from .sqlite_collection import SQLiteCollection, as_documents, sort_direction
from .sqlite_file import CollectionError
from .sqlite_json import decode, encode
from .sqlite_mongo import check, identity, matches, prepared, sort_key, values_at
from .sqlite_projection import Projection, Properties
from .sqlite_pushdown import fields_of
from .sqlite_query import distinct, find
from .sqlite_table import identity_criteria

FOLDER = "inbox"
SUFFIX = ".json"
PARTIAL = ".partial"
DAMAGED = ".damaged"
STORE_MODULE, STORE_CLASS = "valenceflow.stores.inbox_store", "InboxStore"
"""What an inbox is called in the specs that workers get: the maggma store of it."""

_BATCH = 64  # files; frames of a large cell are megabytes each

Document = dict[str, Any]

_number = counter()


@dataclass(frozen=True)
class Handed:
    """One update as it was handed over.

    Attributes
    ----------
    store : file name of the SQLite store that it is for.
    collection : its collection.
    keys : fields that identify a document.
    documents : in order.
    """

    store: str
    collection: str
    keys: list[str]
    documents: list[Document]


class Updatable(Protocol):
    """What documents are committed to: a collection, or the maggma store of one."""

    def update(self, docs: list[Document], key: list[str]) -> None:
        """Insert documents, or replace those of the same keys."""
        ...


def inbox_folder(store: str | Path) -> Path:
    """Where documents for a store's file are handed over."""
    return Path(store).parent / FOLDER


def hand_over(folder: Path, update: Handed) -> Path:
    """Leave an update in an inbox; when this returns it is on disk, and before that nobody sees it.

    Parameters
    ----------
    folder : the inbox; made if it is missing.
    update : what to leave.

    Raises
    ------
    CollectionError
        If it cannot be written (a full disk, no permission).
    """
    head = {"store": update.store, "collection": update.collection, "keys": update.keys}
    lines = [orjson.dumps(head), *(encode(document).encode() for document in update.documents)]
    # Host, process and number keep two writers apart.
    name = f"{_stamp(folder):020d}-{socket.gethostname()}-{os.getpid()}-{next(_number)}.{quote(update.collection, '')}"
    path, partial = folder / f"{name}{SUFFIX}", folder / f"{name}{PARTIAL}"
    try:
        folder.mkdir(exist_ok=True)
        with partial.open("wb") as handle:
            handle.write(b"\n".join(lines))
            handle.flush()
            os.fsync(handle.fileno())
        partial.replace(path)
        _flush_folder(folder)
    except OSError as err:
        partial.unlink(missing_ok=True)
        raise CollectionError(
            f"{folder} takes no document ({err.strerror}): make room or mend its permissions, and run again"
        ) from err
    return path


def _stamp(folder: Path) -> int:
    """Nanoseconds by which names sort: the time, or, where clocks were set back or differ, one past what is waiting."""
    waiting = handed_files(folder)
    newest = waiting[-1].name.partition("-")[0] if waiting else "0"
    return max(time.time_ns(), 1 + (int(newest) if newest.isdigit() else 0))


def _flush_folder(folder: Path) -> None:
    """Put a rename on disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def handed_files(folder: Path, collection: str | None = None) -> list[Path]:
    """Files that wait in an inbox, oldest first."""
    ending = SUFFIX if collection is None else f".{quote(collection, '')}{SUFFIX}"
    try:
        return sorted(path for path in folder.iterdir() if path.name.endswith(ending))
    except FileNotFoundError:
        return []


def read_handed(path: Path) -> Handed:
    """An update that was handed over.

    Raises
    ------
    ValueError
        If the file is damaged (by a failing disk or by hand: half-written files have another name).
    """
    try:
        head, *texts = path.read_bytes().split(b"\n")
        fields = orjson.loads(head)
        documents = [decode(text.decode()) for text in texts]
        return Handed(fields["store"], fields["collection"], list(fields["keys"]), documents)
    except (ValueError, KeyError, TypeError) as err:
        raise ValueError(f"{path} is damaged ({err}): `valenceflow rebuild` takes its documents from runs/") from err


def take_in(folder: Path, store_for: Callable[[Handed], Updatable | None]) -> int:
    """Commit what waits in an inbox and remove it; for the one process that may write.

    Parameters
    ----------
    folder : the inbox.
    store_for : gives the connected collection (or store) that an update is for; None leaves it where it is.

    Returns
    -------
    Number of documents committed. A damaged file is set aside under another name.
    """
    files, taken = handed_files(folder), 0
    for start in range(0, len(files), _BATCH):
        # Of one collection in one transaction: each waits for the disk.
        groups: dict[tuple[str, ...], list[tuple[Path, Handed]]] = {}
        for path, update in _readable(files[start : start + _BATCH]):
            groups.setdefault((update.store, update.collection, *update.keys), []).append((path, update))
        for group in groups.values():
            store = store_for(group[0][1])
            if store is None:
                continue
            documents = [document for _, update in group for document in update.documents]
            store.update(documents, group[0][1].keys)
            taken += len(documents)
            for path, _ in group:
                path.unlink(missing_ok=True)
    return taken


def _readable(paths: Sequence[Path]) -> Iterator[tuple[Path, Handed]]:
    for path in paths:
        try:
            yield path, read_handed(path)
        except FileNotFoundError:
            continue
        except ValueError:
            path.replace(path.with_suffix(DAMAGED))


def remove_partial(folder: Path) -> None:
    """Remove what killed workers had not written to its end; only while no worker runs."""
    for path in folder.glob(f"*{PARTIAL}"):
        path.unlink(missing_ok=True)


class InboxCollection(SQLiteCollection):
    """What a worker process sees of a collection that it must not write.

    Updates go to the inbox; queries see what is committed and, over it, what waits in the inbox. Nothing can be
    removed or indexed.

    Parameters
    ----------
    path, collection, key, last_updated_field, indexes, timeout, journal, inbox : as in `SQLiteCollection`, which must
        have made the file and the collection; indexes, journal and inbox have no effect.
    """

    _reads_only: ClassVar[bool] = True

    @cached_property
    def folder(self) -> Path:
        """Where updates go."""
        return inbox_folder(self.path)

    @cached_property
    def _known(self) -> dict[str, Handed]:
        """Files of the inbox that were read, which never change."""
        return {}

    @property
    def name(self) -> str:
        """File and collection."""
        return f"inbox of {super().name}"

    def count(self, criteria: Mapping[str, Any] | None = None) -> int:
        """Count the documents that match a filter."""
        return sum(1 for _ in self.query(criteria, [self.key]))

    def query(
        self,
        criteria: Mapping[str, Any] | None = None,
        properties: Properties = None,
        sort: Mapping[str, Any] | None = None,
        skip: int = 0,
        limit: int = 0,
    ) -> Iterator[Document]:
        """Yield the documents that match a filter, as `SQLiteCollection.query`; those that wait come last."""
        handed = self._handed()  # before the look into the file: what was taken in meanwhile is found there
        if not handed:
            yield from super().query(criteria, properties, sort, skip, limit)
            return
        found = list(self._merged(criteria, handed))
        for field, direction in reversed(list((sort or {}).items())):
            found.sort(key=lambda d, field=field: sort_key(field, d), reverse=sort_direction(direction) < 0)  # type: ignore[misc]
        projection = Projection(properties)
        yield from map(projection, islice(found, skip, skip + limit if limit else None))

    def distinct(self, field: str, criteria: Mapping[str, Any] | None = None) -> list[Any]:
        """Distinct values of a field; the elements of arrays count one by one."""
        if not self._handed():
            return distinct(self.table, field, criteria)
        values = (value for document in self.query(criteria) for value in values_at(field, document))
        return list({identity(value): value for value in values}.values())

    def update(self, docs: Sequence[Document] | Document, key: Sequence[str] | str | None = None) -> None:
        """Hand documents over; when this returns they are on disk, all of them.

        Raises
        ------
        CollectionError
            If a document lacks a key field or cannot be stored, or the inbox cannot be written.
        """
        keys = [key] if isinstance(key, str) else list(key or [self.key])
        documents = as_documents(docs)
        for document in documents:
            identity_criteria(document, keys)
        if documents:
            hand_over(self.folder, Handed(Path(self.path).name, self.collection, keys, documents))

    def remove_docs(self, criteria: Mapping[str, Any]) -> None:
        """Refused: a worker hands documents over and removes none."""
        raise CollectionError(f"{self.name} removes no documents: a worker only hands them over; open the SQLiteStore")

    def ensure_index(self, key: str, unique: bool = False) -> bool:
        """Whether the index exists; it is not made."""
        return key in self.table.columns and not unique

    def _merged(self, criteria: Mapping[str, Any] | None, handed: Sequence[Handed]) -> Iterator[Document]:
        """Matching documents: the committed ones that nothing waiting replaces, then the waiting ones."""
        filters = prepared(criteria)
        check(filters, fields_of(filters))
        waiting, replaced = _in_order(handed)
        keysets = {keys for keys, _ in replaced}
        for document in find(self.table, criteria, Projection(None)):
            if not any((keys, _identity(document, keys)) in replaced for keys in keysets):
                yield document
        yield from (document for document in waiting if matches(filters, document))

    def _handed(self) -> list[Handed]:
        """Updates of this collection that wait, oldest first; each file is read once."""
        known: dict[str, Handed] = {}
        for path in handed_files(self.folder, self.collection):
            try:
                known[path.name] = self._known.get(path.name) or read_handed(path)
            except FileNotFoundError:
                continue  # taken in meanwhile: it is in the file, which is read after this
        self._known = known
        mine = Path(self.path).name
        return [update for update in known.values() if update.store == mine]


def _in_order(handed: Sequence[Handed]) -> tuple[list[Document], set[tuple[tuple[str, ...], Any]]]:
    """Documents as the updates leave them one after the other, and what each update replaces: (keys, their values)."""
    keysets = {tuple(update.keys) for update in handed}
    documents: list[Document] = []
    places: dict[tuple[tuple[str, ...], Any], int] = {}
    replaced: set[tuple[tuple[str, ...], Any]] = set()
    for update in handed:
        for document in update.documents:
            mine = (tuple(update.keys), _identity(document, update.keys))
            replaced.add(mine)
            place = places.get(mine, len(documents))
            if place < len(documents):
                for keys in keysets:
                    places.pop((keys, _identity(documents[place], keys)), None)
                documents[place] = document
            else:
                documents.append(document)
            places |= {(keys, _identity(document, keys)): place for keys in keysets}
    return documents, replaced


def _identity(document: Mapping[str, Any], keys: Sequence[str]) -> Any:
    return tuple(tuple(map(identity, values_at(key, document))) for key in keys)
