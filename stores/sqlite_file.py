"""The SQLite file under a store: connections, journal, schema version and errors in one line.

One connection per process and thread: SQLite connections must not be carried over a fork. Where the file lies
decides the journal: a write-ahead log (WAL) needs memory shared between its users, which network file systems
do not give, so there it is the rollback journal. Used by `stores.sqlite_table`.
"""

from __future__ import annotations

import os
import re
import sqlite3
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

SCHEMA_VERSION = 1
MINIMUM_SQLITE = (3, 38, 0)  # the operator -> and generated columns
META_TABLE = "valenceflow_store"
_GET_VERSION = "SELECT value FROM valenceflow_store WHERE name = 'schema_version'"

Journal = Literal["auto", "wal", "delete"]
Inbox = Literal["auto", True, False]
FileState = tuple[int, int, int]
"""Connection, version of what others wrote, number of its own changes."""

# Types of /proc/self/mounts on which several machines, or a machine and its host, share one file.
NETWORK_FILE_SYSTEMS = frozenset(
    {"nfs", "nfs4", "lustre", "gpfs", "beegfs", "beegfs_nodev", "cifs", "smb3", "smbfs", "9p", "afs", "ceph"}
    | {"gfs2", "ocfs2", "glusterfs", "panfs", "pvfs2", "orangefs", "wekafs", "virtiofs", "vboxsf", "prl_fs"}
    | {"davfs", "ncpfs", "coda", "acfs", "exafs", "cvfs"}
)


class CollectionError(Exception):
    """What is wrong with a SQLite file or a collection in it, in one line with the way out."""


def file_system_type(path: str | Path, mounts: str | None = None) -> str | None:
    """Type of the file system a path lies on, as the kernel names it.

    Parameters
    ----------
    path : a file or folder; it need not exist.
    mounts : text in the format of /proc/self/mounts (default: that file).

    Returns
    -------
    For example ``ext4`` or ``nfs4``; None where the table of mounts cannot be read (not Linux).
    """
    if mounts is None:
        try:
            mounts = Path("/proc/self/mounts").read_text(encoding="utf-8", errors="surrogateescape")
        except OSError:
            return None
    place = Path(os.path.realpath(path))
    best: tuple[int, str] | None = None
    for line in mounts.splitlines():
        fields = line.split()
        if len(fields) < 3:
            continue
        mount_point = Path(re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), fields[1]))
        depth = len(mount_point.parts)
        # A later mount on the same point hides the earlier one.
        if (place == mount_point or mount_point in place.parents) and (best is None or depth >= best[0]):
            best = (depth, fields[2])
    return None if best is None else best[1]


def is_network_file_system(kind: str | None) -> bool:
    """Whether a write-ahead log must not live on this type of file system; FUSE types count as network."""
    return kind is not None and (kind in NETWORK_FILE_SYSTEMS or kind.startswith("fuse."))


def check_path(path: str | Path) -> Path:
    """Absolute path of a store's file.

    Raises
    ------
    CollectionError
        For ``:memory:`` and SQLite URIs, and for a path that is a folder.
    """
    text = os.fspath(path)
    if not text or text.startswith((":", "file:")):
        raise CollectionError(
            f"path = {text!r} is no file: documents would vanish with the process; give a file such as store.sqlite"
        )
    place = Path(os.path.abspath(Path(text).expanduser()))  # noqa: PTH100  # resolve() would follow symbolic links
    if place.is_dir():
        raise CollectionError(f"{place} is a folder: give a file in it, such as {place / 'store.sqlite'}")
    return place


def holds_nothing(path: Path) -> bool:
    """Whether a file is no store and would become one when opened: no byte, or a database without a table."""
    if not path.is_file():
        return False
    if not path.stat().st_size:
        return True
    try:
        connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)
    except sqlite3.Error:
        return False
    try:
        return connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone() is None
    except sqlite3.Error:  # whoever opens it as a store says what is wrong
        return False
    finally:
        connection.close()


# Connections inherited over a fork belong to the parent: kept here, never used, never closed by the child.
_inherited: list[sqlite3.Connection] = []


class SQLiteFile:
    """Connections to one SQLite file, one for each process and thread.

    Parameters
    ----------
    path : absolute path of the file; its folder must exist.
    journal : ``wal``, ``delete``, or ``auto`` to choose by the file system.
    timeout : seconds to wait for another writer.
    read_only : never write, not even a journal; the file must exist.
    """

    def __init__(self, path: Path, journal: Journal = "auto", timeout: float = 60.0, read_only: bool = False) -> None:
        self.path = path
        self.journal = journal
        self.timeout = timeout
        self.read_only = read_only
        self._connections: dict[tuple[int, int], sqlite3.Connection] = {}

    @property
    def connection(self) -> sqlite3.Connection:
        """Connection of this process and thread, opened on first use."""
        here = (os.getpid(), threading.get_ident())
        if (connection := self._connections.get(here)) is None:
            connection = self._connections[here] = self._open()
        return connection

    @property
    def journal_mode(self) -> str:
        """Journal in use: ``wal`` or ``delete``."""
        return str(self.connection.execute("PRAGMA journal_mode").fetchone()[0])

    def close(self) -> None:
        """Close the connections of this process, whichever thread opened them."""
        while self._connections:
            (process, _), connection = self._connections.popitem()
            if process == os.getpid():
                connection.close()
            else:
                _inherited.append(connection)

    def state(self) -> FileState:
        """What changes when anybody writes to the file; two are comparable in one thread."""
        with self.reading() as connection:
            version = int(connection.execute("PRAGMA data_version").fetchone()[0])  # of other connections' writes
            return id(connection), version, connection.total_changes

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Give the connection; its errors are told in one line."""
        try:
            yield self.connection
        except sqlite3.Error as err:
            raise self._explain(err) from err

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Transaction: all of the block is on disk when it ends, or none of it."""
        with self.reading() as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    def _open(self) -> sqlite3.Connection:
        if sqlite3.sqlite_version_info < MINIMUM_SQLITE:
            raise CollectionError(
                f"this Python carries SQLite {sqlite3.sqlite_version}, the store needs "
                f"{'.'.join(map(str, MINIMUM_SQLITE))}: use a Python from conda-forge or uv"
            )
        if not self.path.parent.is_dir():
            raise CollectionError(f"folder {self.path.parent} does not exist: create it, or mend the store's path")
        if self.read_only and not self.path.exists():
            raise CollectionError(f"{self.path} does not exist, and who only reads makes none: start the campaign")
        place = f"{self.path.as_uri()}?mode=ro" if self.read_only else str(self.path)
        connection: sqlite3.Connection | None = None
        try:
            # Transactions are begun by hand; the lock of close() is the thread check.
            connection = sqlite3.connect(
                place, timeout=self.timeout, isolation_level=None, check_same_thread=False, uri=self.read_only
            )
            self._check_version(connection)
            if not self.read_only:
                self._set_journal(connection)
                connection.execute("PRAGMA synchronous = FULL")
                connection.execute("PRAGMA journal_size_limit = 67108864")
                self._write_version(connection)
        except sqlite3.Error as err:
            if connection is not None:
                connection.close()
            raise self._explain(err) from err
        except CollectionError:
            if connection is not None:
                connection.close()
            raise
        return connection

    def _set_journal(self, connection: sqlite3.Connection) -> None:
        wanted: str = self.journal
        if wanted == "auto":
            kind = file_system_type(self.path.parent)
            wanted = "delete" if is_network_file_system(kind) else "wal"
            if wanted == "delete":
                warnings.warn(
                    f"{self.path} lies on {kind}, a network file system: the store uses a rollback "
                    "journal there; let one process write, or put the file on a local disk",
                    stacklevel=2,
                )
        deadline = time.monotonic() + self.timeout
        while True:
            try:
                mode = connection.execute(f"PRAGMA journal_mode = {wanted}").fetchone()[0]
            except sqlite3.OperationalError as err:
                # SQLite does not wait here by itself when two processes open a new file at once.
                if "locked" not in str(err) or time.monotonic() > deadline:
                    raise
                time.sleep(0.02)
            else:
                break
        if mode != wanted:
            raise CollectionError(f"{self.path}: journal {wanted!r} was refused (it stays {mode!r}): close other users")

    def _check_version(self, connection: sqlite3.Connection) -> None:
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if not tables:
            return
        if META_TABLE not in tables:
            raise CollectionError(f"{self.path} is a database of another program: choose another path for the store")
        row = connection.execute(_GET_VERSION).fetchone()
        found = int(row[0]) if row is not None and str(row[0]).isdigit() else None
        if found is None:
            raise CollectionError(f"{self.path} does not say its schema version: {self.move_away}")
        if found > SCHEMA_VERSION:
            raise CollectionError(
                f"{self.path} has schema version {found}, this valenceflow knows up to {SCHEMA_VERSION}: "
                "upgrade with `pip install -U valenceflow`, or use the version that wrote it"
            )

    def _write_version(self, connection: sqlite3.Connection) -> None:
        exists = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?"
        if connection.execute(exists, (META_TABLE,)).fetchone():
            return
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(f"CREATE TABLE IF NOT EXISTS {META_TABLE} (name TEXT PRIMARY KEY, value TEXT NOT NULL)")
        connection.execute(
            "INSERT OR IGNORE INTO valenceflow_store VALUES ('schema_version', ?)", (str(SCHEMA_VERSION),)
        )
        connection.execute("COMMIT")

    @property
    def move_away(self) -> str:
        """What to do with a file that cannot be mended."""
        # With its -wal: left behind, SQLite would take it for the new file's.
        return (
            f"move it away with what belongs to it (mkdir damaged; mv {self.path}* damaged/), then make the store anew "
            "from the run folders with `valenceflow rebuild CAMPAIGN.yaml`"
        )

    def _explain(self, err: sqlite3.Error) -> CollectionError:
        text = str(err)
        if "locked" in text or "busy" in text:
            return CollectionError(
                f"{self.path} was locked by another process for {self.timeout:g} s: "
                "wait for it or stop it, or give the store a longer timeout"
            )
        if "readonly" in text or "read-only" in text or "unable to open" in text:
            return CollectionError(
                f"{self.path} cannot be written ({text}): the store needs write permission for the file and its folder"
            )
        if "not a database" in text:
            return CollectionError(
                f"{self.path} is not a SQLite file: choose another path for the store, or {self.move_away}"
            )
        if "malformed" in text and "JSON" not in text:
            return CollectionError(f"{self.path} is damaged: {self.move_away}")
        if "full" in text:
            return CollectionError(f"{self.path}: the disk is full; make room and run again, nothing was half written")
        return CollectionError(f"{self.path}: SQLite says {text!r}")
