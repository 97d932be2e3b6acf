"""The maggma store that a worker process uses in place of a SQLite store that it must not write (`stores.inbox`)."""

from __future__ import annotations

from typing import ClassVar

from .inbox import InboxCollection
from .sqlite import SQLiteStore
from .sqlite_collection import SQLiteCollection


class InboxStore(SQLiteStore):
    """What a worker process sees of a SQLite store: it hands documents over, and removes and indexes nothing.

    Parameters are those of `SQLiteStore`, which must have made the file and the collection.
    """

    _of_documents: ClassVar[type[SQLiteCollection]] = InboxCollection
