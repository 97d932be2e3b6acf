"""Speed of the SQLite store beside maggma's JSONStore and MemoryStore.

``python benchmarks/store.py [--json]``. Documents are like a relaxed cell's: nested, 15 kB of JSON, mostly
numbers. Each row gives wall and CPU time; the CPU time (of this process) is the fair one on a busy machine.
JSONStore and MemoryStore get fewer documents, as both are quadratic in their number.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from maggma.core import Store
from maggma.stores import JSONStore, MemoryStore
from valenceflow.stores.sqlite import SQLiteStore

BATCH = 500  # documents of one update
STATES = ("COMPLETED", "FAILED", "READY")
FEW = 0.03  # share of documents in state FAILED
WRITERS, UPDATES = 4, 250


@dataclass
class Row:
    """One measurement; `target` is what the project promises, in the unit of `value`."""

    store: str
    what: str
    documents: int
    value: float
    unit: str
    wall_s: float
    cpu_s: float
    target: str = ""
    met: bool | None = None


def document(number: int, random_numbers: random.Random) -> dict[str, Any]:
    """Document of about 15 kB: 28 sites with coordinates, moments, forces, charges and two energies."""
    draw = random_numbers.random
    elements = ["Na"] * 4 + ["Fe"] * 4 + ["P"] * 4 + ["O"] * 16
    sites = [
        {
            "species": [{"element": element, "occu": 1}],
            "abc": [draw() for _ in range(3)],
            "xyz": [10 * draw() for _ in range(3)],
            "label": element,
            "properties": {
                "magmom": draw(),
                "oxidation_state": number % 4,
                "charge": draw(),
                "force": [draw()] * 3,
            },
        }
        for element in elements
    ]
    return {
        "uuid": f"{random_numbers.getrandbits(96):024x}-{number:08d}",
        "index": 1,
        "state": "FAILED" if draw() < FEW else STATES[2 * (number % 2)],
        "last_updated": datetime(2026, 1, 1) + timedelta(seconds=number),
        "output": {
            "energy": -100 * draw(),
            "converged": True,
            "error": None,
            "structure": {
                "lattice": {"matrix": [[draw() for _ in range(3)] for _ in range(3)]},
                "sites": sites,
            },
            "steps": [{"energy": -100 * draw(), "stress": [draw() for _ in range(6)]} for _ in range(27)],
        },
    }


def batches(count: int) -> Iterator[list[dict[str, Any]]]:
    """Make the same documents for every store, a batch at a time."""
    random_numbers = random.Random(31)
    for start in range(0, count, BATCH):
        yield [document(number, random_numbers) for number in range(start, min(start + BATCH, count))]


def timed(action: Callable[[], Any]) -> tuple[float, float, Any]:
    """Wall time, CPU time and result of an action."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = action()
    return time.perf_counter() - wall, time.process_time() - cpu, result


def fill(name: str, store: Store, count: int, target: float | None = None) -> tuple[Row, list[str]]:
    """Insert documents by batches; only the store's own time counts."""
    wall = cpu = 0.0
    uuids: list[str] = []
    for batch in batches(count):
        spent = timed(lambda batch=batch: store.update(batch))
        wall, cpu = wall + spent[0], cpu + spent[1]
        uuids += [entry["uuid"] for entry in batch]
    row = Row(name, f"insert, {BATCH} an update", count, count / wall, "documents/s", wall, cpu)
    if target is not None:
        row.target, row.met = f">= {target:g}", row.value >= target
    return row, uuids


def look_up(name: str, store: Store, uuids: list[str], repeats: int, target: float | None = None) -> Row:
    """Whole documents by uuid, one at a time, in random order."""
    chosen = random.Random(5).choices(uuids, k=repeats)
    laps, total, busy = [], 0.0, 0.0
    for uuid in chosen:
        wall, cpu, found = timed(lambda uuid=uuid: store.query_one({"uuid": uuid}))
        if found["uuid"] != uuid:
            raise RuntimeError(f"{name} gave {found['uuid']} for {uuid}")
        laps.append(wall)
        total, busy = total + wall, busy + cpu
    value = 1e3 * statistics.median(laps)
    row = Row(name, f"query by uuid (median of {repeats})", len(uuids), value, "ms", total, busy)
    if target is not None:
        row.target, row.met = f"<= {target:g}", value <= target
    return row


def measured(
    name: str, what: str, count: int, action: Callable[[], Any], repeats: int, target: float | None = None
) -> Row:
    """Median time of an action."""
    laps = [timed(action) for _ in range(repeats)]
    wall, cpu = (statistics.median(lap[place] for lap in laps) for place in (0, 1))
    row = Row(name, f"{what}: {laps[0][2]}", count, 1e3 * wall, "ms", wall, cpu)
    if target is not None:
        row.target, row.met = f"<= {target:g}", row.value <= target
    return row


def searches(name: str, store: Store, count: int, repeats: int, targets: bool) -> list[Row]:
    """Measure filters with and without index, and a pass over all documents."""
    fields = ["uuid", "state", "output.energy"]
    goal = 50.0 if targets else None

    def projected() -> int:
        return len(list(store.query({"state": "FAILED"}, fields)))

    return [
        measured(name, "filter on state, 3 fields of", count, projected, repeats, goal),
        measured(name, "count on state", count, lambda: store.count({"state": "FAILED"}), repeats, goal),
        measured(name, "last_updated", count, lambda: store.last_updated, repeats),
        measured(
            name,
            "count on output.energy, no index",
            count,
            lambda: store.count({"output.energy": {"$lt": -50}}),
            min(repeats, 3),
        ),
        measured(name, "pass over all documents", count, lambda: sum(1 for _ in store.query()), 1),
    ]


def _write(path: str, writer: int) -> None:
    random_numbers = random.Random(writer)
    with SQLiteStore(path, "jobs") as store:
        for number in range(UPDATES):
            store.update(document(1_000_000 * (writer + 1) + number, random_numbers))


def writers(path: str) -> Row:
    """Let processes write one document an update each, while this one reads."""
    context = multiprocessing.get_context("spawn")
    with SQLiteStore(path, "jobs") as store:
        before = store.count()
        processes = [context.Process(target=_write, args=(path, writer)) for writer in range(WRITERS)]
        for process in processes:
            process.start()
        while store.count() == before and any(process.is_alive() for process in processes):
            time.sleep(0.01)  # until the first document is there: starting Python is not the store's time
        start, cpu, reads = time.perf_counter(), time.process_time(), 0
        while any(process.is_alive() for process in processes):
            store.count({"state": "FAILED"})
            reads += 1
            time.sleep(0.01)
        wall, cpu = time.perf_counter() - start, time.process_time() - cpu
        lost = WRITERS * UPDATES - (store.count() - before)
    what = f"{WRITERS} writers, 1 an update, {reads} reads beside; lost: {lost}"
    speed = WRITERS * UPDATES / wall
    return Row("SQLiteStore", what, WRITERS * UPDATES, speed, "documents/s", wall, cpu, "0 lost", lost == 0)


def sqlite_rows(folder: Path, count: int) -> list[Row]:
    """Measurements of this project's store."""
    name, path = "SQLiteStore", str(folder / "store.sqlite")
    with SQLiteStore(path, "jobs", indexes=["state"]) as store:
        inserted, uuids = fill(name, store, count, target=1000)
        rows = [inserted, look_up(name, store, uuids, 500, target=1)]
        rows += searches(name, store, count, 9, targets=True)
        singles = next(batches(200))[:200]
        wall, cpu, _ = timed(lambda: [store.update(entry) for entry in singles])
        rows.append(Row(name, "replace, 1 an update", count, 200 / wall, "documents/s", wall, cpu))
    rows.append(writers(path))
    return rows


def maggma_rows(name: str, store: Store, count: int) -> list[Row]:
    """Measure the same for a store of maggma."""
    with store:
        inserted, uuids = fill(name, store, count)
        return [inserted, look_up(name, store, uuids, 20), *searches(name, store, count, 3, targets=False)]


def table(rows: list[Row]) -> str:
    """Rows as text."""
    head = f"{'store':<12} {'documents':>9}  {'what':<58} {'value':>9} {'unit':<11} {'wall s':>8} {'CPU s':>8}  target"
    lines = [head, "-" * len(head)]
    for row in rows:
        verdict = "" if row.met is None else f"  {row.target} {'met' if row.met else 'MISSED'}"
        lines.append(
            f"{row.store:<12} {row.documents:>9}  {row.what:<58} {row.value:>9.2f} {row.unit:<11} "
            f"{row.wall_s:>8.3f} {row.cpu_s:>8.3f}{verdict}"
        )
    return "\n".join(lines)


def main() -> int:
    """Run the benchmark; exit code 1 if a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--documents", type=int, default=10_000, help="documents in the SQLite store")
    parser.add_argument("--json-store-documents", type=int, default=2000, help="0 leaves JSONStore out")
    parser.add_argument("--memory-store-documents", type=int, default=500, help="0 leaves MemoryStore out")
    parser.add_argument("--folder", type=Path, help="where to put the files (default: a temporary folder)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        rows = sqlite_rows(folder, options.documents)
        if options.json_store_documents:
            store = JSONStore(str(folder / "store.json"), read_only=False, key="uuid")
            rows += maggma_rows("JSONStore", store, options.json_store_documents)
        if options.memory_store_documents:
            rows += maggma_rows("MemoryStore", MemoryStore(key="uuid"), options.memory_store_documents)
    size = len(json.dumps(document(0, random.Random(31)), default=str))
    if options.json:
        print(json.dumps({"document_bytes": size, "rows": [asdict(row) for row in rows]}, indent=1))
    else:
        print(f"documents of {size / 1000:.1f} kB\n{table(rows)}")
    return int(any(row.met is False for row in rows))


if __name__ == "__main__":
    sys.exit(main())
