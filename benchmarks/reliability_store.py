"""Can the store be trusted? Many writers, killed writers, a power cut: how many acknowledged documents are lost?

    python benchmarks/reliability_store.py [--documents 10000] [--writers 8] [--rounds 20] [--seed 1] [--json]

A document is acknowledged when the `update` that wrote it has returned. Each row says how many were, and how many of
them are not in the store afterwards. Ways to write: `wal` (local disks), `delete` (a rollback journal) and `inbox` (as
on network file systems: writers hand over, one process commits).
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Literal

from valenceflow.stores.inbox import inbox_folder, take_in
from valenceflow.stores.inbox_store import InboxStore
from valenceflow.stores.sqlite import SQLiteStore

Way = Literal["wal", "delete", "inbox"]
FORK = multiprocessing.get_context("fork")
MANY = 1_000_000


@dataclass
class Row:
    """One experiment."""

    what: str
    way: str
    acknowledged: int
    lost: int
    doubled: int
    sound: bool
    seconds: float


def document(uuid: str, generator: random.Random) -> dict[str, Any]:
    """A document of some 4 kB, like a small step's."""
    return {"uuid": uuid, "forces": [[generator.random() for _ in range(3)] for _ in range(60)]}


def new_store(path: Path, way: Way) -> SQLiteStore:
    """The store as the one process that may write opens it."""
    store = SQLiteStore(path, journal="wal" if way == "wal" else "delete")
    store.connect()
    return store


def _write(path: Path, way: Way, writer: str, number: int, acknowledged: Connection) -> None:
    """Write documents one an update; say each uuid (and how long the journal is) once its update has returned."""
    generator = random.Random(writer)
    store = InboxStore(path) if way == "inbox" else new_store(path, way)
    store.connect()
    wal = Path(f"{path}-wal")
    for count in range(number):
        uuid = f"{writer}-{count}"
        store.update(document(uuid, generator))
        acknowledged.send((uuid, wal.stat().st_size if wal.exists() else 0))
    acknowledged.close()
    os._exit(0)  # the parent's stores are not this process's to close


def start_writer(path: Path, way: Way, writer: str, number: int) -> tuple[BaseProcess, Connection]:
    """A writing process and the pipe on which it acknowledges."""
    here, there = FORK.Pipe(duplex=False)
    process = FORK.Process(target=_write, args=(path, way, writer, number, there))
    process.start()
    there.close()
    return process, here


def rest_of(pipe: Connection, at_most: int = MANY) -> Iterator[tuple[str, int]]:
    """What still lies in a pipe: all of it once its writer is gone, or what is there now while it is stopped."""
    try:
        while at_most > 0 and pipe.poll():
            yield pipe.recv()
            at_most -= 1
    except EOFError:
        return


def missing(store: SQLiteStore, uuids: set[str]) -> int:
    """Acknowledged documents that a query does not find."""
    return len(uuids) - len(uuids & set(store.distinct("uuid")))


def collect(path: Path, way: Way, store: SQLiteStore) -> None:
    """For an inbox: commit what was handed over, as the launcher does."""
    if way == "inbox":
        take_in(inbox_folder(path), lambda update: store)


def writers_and_reader(folder: Path, way: Way, documents: int, writers: int) -> Row:
    """Processes that write at once, and a reader that looks for what was acknowledged while they do."""
    path, begin = folder / f"many-{way}.sqlite", time.perf_counter()
    with new_store(path, way) as store:
        shares = [documents // writers + (n < documents % writers) for n in range(writers)]
        pairs = [start_writer(path, way, f"w{n}", share) for n, share in enumerate(shares)]
        pipes = {pipe for _, pipe in pairs}
        seen: set[str] = set()
        overlooked = 0
        reader = InboxStore(path) if way == "inbox" else store
        reader.connect()
        while pipes:
            fresh = set()
            for pipe in wait(list(pipes), timeout=0.1):
                fresh |= {uuid for uuid, _ in rest_of(pipe, at_most=100)}
                if not fresh and pipe.poll():
                    pipes.discard(pipe)  # its end
            overlooked += len(fresh) - reader.count({"uuid": {"$in": sorted(fresh)}})
            seen |= fresh
            collect(path, way, store)
        for process, _ in pairs:
            process.join()
        collect(path, way, store)
        return Row(
            f"{writers} writers and a reader",
            way,
            len(seen),
            missing(store, seen) + overlooked,
            store.count() - len(store.distinct("uuid")),
            not store.damage() and len(seen) == documents,
            time.perf_counter() - begin,
        )


def killed_writers(folder: Path, way: Way, rounds: int, generator: random.Random) -> Row:
    """SIGKILL of a writer at random moments, one after the other on one store."""
    path, begin = folder / f"killed-{way}.sqlite", time.perf_counter()
    seen: set[str] = set()
    with new_store(path, way) as store:
        for number in range(rounds):
            process, pipe = start_writer(path, way, f"k{number}", MANY)
            seen |= {pipe.recv()[0] for _ in range(generator.randint(1, 60))}
            time.sleep(generator.uniform(0, 0.02))
            _signal(process, signal.SIGKILL)
            process.join()
            seen |= {uuid for uuid, _ in rest_of(pipe)}
            if generator.random() < 0.5:
                collect(path, way, store)
        collect(path, way, store)
        return Row(
            f"{rounds} writers killed with SIGKILL",
            way,
            len(seen),
            missing(store, seen),
            store.count() - len(store.distinct("uuid")),
            not store.damage(),
            time.perf_counter() - begin,
        )


def killed_collectors(folder: Path, rounds: int, generator: random.Random) -> Row:
    """SIGKILL of the one process that commits what is handed over, at random moments."""
    path, begin = folder / "collector.sqlite", time.perf_counter()
    new_store(path, "inbox").close()
    writer, pipe = start_writer(path, "inbox", "c", rounds * 30)
    seen: set[str] = set()
    for _ in range(rounds):
        collector = FORK.Process(target=_collect_forever, args=(path,))
        collector.start()
        time.sleep(generator.uniform(0.02, 0.25))
        _signal(collector, signal.SIGKILL)
        collector.join()
    for _ in range(rounds * 30):
        seen.add(pipe.recv()[0])
    writer.join()
    with new_store(path, "inbox") as store:
        collect(path, "inbox", store)
        doubled = store.count() - len(store.distinct("uuid"))
        lost, sound = missing(store, seen), not store.damage()
        what = f"{rounds} kills of the committing process"
        return Row(what, "inbox", len(seen), lost, doubled, sound, time.perf_counter() - begin)


def _collect_forever(path: Path) -> None:
    store = new_store(path, "inbox")
    while True:
        collect(path, "inbox", store)


def power_cuts(folder: Path, way: Way, rounds: int, generator: random.Random) -> Row:
    """The files of a live store as a power cut leaves them: a frozen writer's, the journal's unsynced end torn off.

    Of the write-ahead log anything past the last acknowledged update may be lost or rubbish, as that was not yet
    flushed to disk.
    """
    begin = time.perf_counter()
    total = lost = doubled = 0
    sound = True
    for number in range(rounds):
        source, copy = folder / f"live-{way}-{number}.sqlite", folder / f"cut-{way}-{number}" / "store.sqlite"
        new_store(source, way).close()
        process, pipe = start_writer(source, way, f"p{number}", MANY)
        told = [pipe.recv() for _ in range(generator.randint(1, 60))]
        time.sleep(generator.uniform(0, 0.02))
        _signal(process, signal.SIGSTOP)
        time.sleep(0.02)
        told += rest_of(pipe)
        _copy(source, copy)
        if way == "wal":
            _tear(Path(f"{copy}-wal"), told[-1][1], generator)
        _signal(process, signal.SIGKILL)
        process.join()
        uuids = {uuid for uuid, _ in told}
        with SQLiteStore(copy, journal="wal" if way == "wal" else "delete") as store:
            total, lost = total + len(uuids), lost + missing(store, uuids)
            doubled += store.count() - len(store.distinct("uuid"))
            sound = sound and not store.damage()
    return Row(f"{rounds} power cuts (simulated)", way, total, lost, doubled, sound, time.perf_counter() - begin)


def _copy(source: Path, copy: Path) -> None:
    copy.parent.mkdir()
    for suffix in ("", "-wal", "-journal"):  # -shm is in memory: a power cut leaves none
        if Path(f"{source}{suffix}").exists():
            shutil.copyfile(f"{source}{suffix}", f"{copy}{suffix}")


def _tear(wal: Path, flushed: int, generator: random.Random) -> None:
    """Cut the log somewhere past what was flushed, and leave rubbish there."""
    content = wal.read_bytes() if wal.exists() else b""
    end = generator.randint(min(flushed, len(content)), len(content))
    wal.write_bytes(content[:end] + generator.randbytes(generator.randint(0, 5000)))


def _signal(process: BaseProcess, number: int) -> None:
    assert process.pid is not None
    os.kill(process.pid, number)


def store_rows(documents: int = 10_000, writers: int = 8, rounds: int = 20, seed: int = 1) -> list[Row]:
    """Every experiment on every way to write."""
    generator = random.Random(seed)
    with tempfile.TemporaryDirectory(prefix="valenceflow-reliability-") as name:
        folder = Path(name)
        ways: tuple[Way, ...] = ("wal", "delete", "inbox")
        rows = [writers_and_reader(_made(folder / f"m-{way}"), way, documents, writers) for way in ways]
        rows += [killed_writers(_made(folder / f"k-{way}"), way, rounds, generator) for way in ways]
        rows.append(killed_collectors(_made(folder / "c"), rounds, generator))
        rows += [power_cuts(_made(folder / f"p-{way}"), way, rounds, generator) for way in ("wal", "delete")]
    return rows


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def table(rows: list[Row]) -> str:
    """Rows as text."""
    head = f"{'experiment':<36} {'way':<7} {'acknowledged':>12} {'lost':>5} {'doubled':>8} {'sound':>6} {'s':>7}"
    lines = [
        f"{row.what:<36} {row.way:<7} {row.acknowledged:>12} {row.lost:>5} {row.doubled:>8} {row.sound!s:>6} "
        f"{row.seconds:>7.1f}"
        for row in rows
    ]
    return "\n".join([head, "-" * len(head), *lines])


def main() -> int:
    """Print the table; fails if anything was lost, doubled or damaged."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--documents", type=int, default=10_000)
    parser.add_argument("--writers", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = store_rows(options.documents, options.writers, options.rounds, options.seed)
    print(json.dumps([asdict(row) for row in rows], indent=1) if options.json else table(rows))
    return int(any(row.lost or row.doubled or not row.sound for row in rows))


if __name__ == "__main__":
    sys.exit(main())
