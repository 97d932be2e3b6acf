"""Speed of data sets: writing extended XYZ beside ASE, Parquet, a large export's memory, queries over many frames.

``python benchmarks/dataset_sets.py [--part write|memory|query] [--frames N] [--json]``. Frames are of 160 atoms. Rates
are of CPU time in one process; memory is the largest resident size of an export in a process of its own.
"""

from __future__ import annotations

import argparse
import io
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import ase.io
import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io.extxyz import write_extxyz
from valenceflow.inputs.species import SpeciesMap
from valenceflow.stores.connect import Stores, sqlite_stores
from valenceflow.stores.export.data_set import ExportOptions, export_set
from valenceflow.stores.export.extxyz import extxyz_frame
from valenceflow.stores.export.parquet import ParquetWriter
from valenceflow.stores.export.prepared import ExportFrame, prepared_frames
from valenceflow.stores.export.selection import select_frames
from valenceflow.stores.frame_filters import FrameFilters
from valenceflow.stores.frame_writer import FrameWriter
from valenceflow.stores.frames import RunDoc
from valenceflow.stores.ingest_run import RunFacts, StepFrame, atomic_numbers, parts_of
from valenceflow.stores.query import Question, count, data_frame, find

SYMBOLS = ["Na"] * 16 + ["Fe"] * 24 + ["P"] * 24 + ["O"] * 96
HIGH = 8
PER_RUN = 100
LABEL = {
    "verdict": "resolved", "source": "moments", "couples": ["Fe2+/Fe3+"], "redox_elements": ["Fe"],
    "states": [3] * HIGH + [2] * (24 - HIGH), "confidences": [1.0] * 24,
    "fixed": {"Na": 1, "P": 5, "O": -2}, "charge": 0,
    "n_high": HIGH, "confidence": 1.0, "as_intended": True, "bader_agrees": None, "transition": False,
    "labelling_id": "l", "reason": "",
}  # fmt: skip
COLUMNS = [
    "frame_id", "lineage", "formula", "fraction", "step", "energy", "energy_per_atom", "max_force", "volume", "engine"
]  # fmt: skip


@dataclass
class Row:
    """One measurement; `target` is what the project promises, in the unit of `value`."""

    what: str
    frames: int
    value: float
    unit: str
    target: str = ""
    met: bool | None = None


def run_frames(seed: int, number: int) -> Iterator[StepFrame]:
    """Frames as VASP prints them: eight decimals of a walk, moments of three."""
    draw = np.random.default_rng(seed)
    lattice = np.diag([10.3, 18.0, 9.4]) + draw.normal(size=(3, 3)) * 0.05
    scaled = draw.random((len(SYMBOLS), 3))
    for step in range(number):
        scaled = np.round(scaled + draw.normal(size=scaled.shape) * 1e-3, 8)
        stress = draw.normal(size=(3, 3)) / 100
        yield StepFrame(
            lattice=lattice, scaled_positions=scaled, positions=scaled @ lattice,
            energy=round(-1000.0 - draw.random() - 1e-3 * step, 8),
            forces=np.round(draw.normal(size=scaled.shape) * 0.1, 8), stress=(stress + stress.T) / 2,
            magmoms=np.round(draw.normal(size=len(SYMBOLS)), 3),
        )  # fmt: skip


def filled(path: Path, frames: int) -> Stores:
    """A store of so many frames in runs of a hundred, three runs a lineage."""
    stores = sqlite_stores(path)
    with FrameWriter(stores) as writer:
        for run in range(-(-frames // PER_RUN)):
            name = f"run{run:05d}"
            facts = RunFacts(
                run_id=name, source="vasp folder", lineage=f"lineage{run // 3:05d}", numbers=atomic_numbers(SYMBOLS),
                engine="rehearsal:springs", protocol_hash="p", step="relax",
            )  # fmt: skip
            parts = list(parts_of(facts, run_frames(run, min(PER_RUN, frames - run * PER_RUN)), {}))
            for part in parts:
                for frame in part.frames:
                    frame.update({"label": LABEL, "fraction": (run % 10) / 10, "host": f"host{run % 7}"})
            writer.add(RunDoc(run_id=name, source="vasp folder", place=name, checksum="c", state="taken"), parts)
    return stores


def seconds(action: Callable[[], object], repeats: int) -> float:
    """Least CPU time of several goes."""
    found = []
    for _ in range(repeats):
        start = time.process_time()
        action()
        found.append(time.process_time() - start)
    return min(found)


def write_rows(options: argparse.Namespace, root: Path) -> list[Row]:
    """Our extended XYZ and Parquet beside ASE's writer, on the same frames, checked by ASE's reader."""
    stores = filled(root / "store.sqlite", options.written)
    entries = select_frames(stores, FrameFilters()).entries
    frames = list(prepared_frames(stores, entries, SpeciesMap.shipped("charge-states")))
    images = [with_results(frame) for frame in frames[:200]]
    xyz = seconds(lambda: write_xyz(root / "ours.xyz", frames), options.repeats)
    ase_s = seconds(lambda: write_ase(images), options.repeats)
    parquet = seconds(lambda: write_parquet(root / "ours.parquet", frames), options.repeats)
    check(root / "ours.xyz", frames)
    rates = len(frames) / xyz, len(images) / ase_s, len(frames) / parquet
    return [
        Row("extended XYZ", len(frames), rates[0], "frames/s", ">= 4000", rates[0] >= 4000),
        Row("extended XYZ, ASE's writer", len(images), rates[1], "frames/s"),
        Row("Parquet", len(frames), rates[2], "frames/s", ">= 10000", rates[2] >= 10000),
    ]


def write_xyz(path: Path, frames: Sequence[ExportFrame]) -> None:
    """As an export writes it."""
    with path.open("wb", buffering=1 << 20) as file:
        for frame in frames:
            file.write(extxyz_frame(frame, of_model=True))


def write_parquet(path: Path, frames: Sequence[ExportFrame]) -> None:
    """As an export writes it."""
    writer = ParquetWriter(path)
    for frame in frames:
        writer.write(frame)
    writer.close()


def with_results(frame: ExportFrame) -> Atoms:
    """The same frame as ASE writes it."""
    arrays = frame.arrays
    atoms = Atoms(arrays.numbers, arrays.positions, cell=arrays.lattice, pbc=True)
    results = {"energy": frame.energy, "forces": arrays.forces, "magmoms": arrays.magmoms}
    atoms.calc = SinglePointCalculator(atoms, **results)
    return atoms


def write_ase(images: Sequence[Atoms]) -> None:
    """ASE's writer into memory."""
    write_extxyz(io.StringIO(), images)


def check(path: Path, frames: Sequence[ExportFrame]) -> None:
    """ASE reads every number of the first frames as it was meant."""
    for atoms, frame in zip(ase.io.read(path, index=":50"), frames, strict=False):
        assert np.array_equal(atoms.positions, frame.arrays.positions)
        assert np.array_equal(atoms.arrays["REF_forces"], frame.arrays.forces)
        assert atoms.info["REF_energy"] == frame.energy


def memory_rows(options: argparse.Namespace, root: Path) -> list[Row]:
    """Memory of an export in a process of its own; the store is filled before."""
    filled(root / "store.sqlite", options.frames).close()
    command = [sys.executable, __file__, "--export-to", str(root / "set"), "--folder", str(root)]
    start = time.perf_counter()
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    spent = time.perf_counter() - start
    largest = float(done.stdout.split()[-1])
    return [
        Row("export of MACE, Parquet: memory", options.frames, largest, "GB", "< 1", largest < 1),
        Row("export of MACE, Parquet: rate, all told", options.frames, options.frames / spent, "frames/s"),
    ]


def export_here(store: Path, folder: Path) -> None:
    """Export, and print the largest resident size, GB."""
    export_set(sqlite_stores(store), folder, ExportOptions(["mace", "parquet"]))
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6)


def query_rows(options: argparse.Namespace, root: Path) -> list[Row]:
    """Questions by indexed fields, counted and with a hundred documents; a DataFrame of ten columns of every frame."""
    stores = filled(root / "store.sqlite", options.frames)
    question = Question("frames", x="0.3:0.4", host="host3", engine="rehearsal:springs")
    rows = []
    asked = {
        "count by indexed fields": lambda: count(stores, question),
        "100 lowest by indexed fields": lambda: list(find(stores, question, COLUMNS, "energy_per_atom", 100)),
        "100 lowest of all": lambda: list(find(stores, Question("frames"), COLUMNS, "energy_per_atom", 100)),
    }
    for what, action in asked.items():
        action()  # the first makes its index
        value = 1000 * seconds(action, 3)
        rows.append(Row(what, options.frames, value, "ms", "<= 100", value <= 100))
    value = seconds(lambda: data_frame(stores, Question("frames"), COLUMNS), 2)
    return [*rows, Row("DataFrame of 10 columns", options.frames, value, "s", "<= 2", value <= 2)]


def table(rows: Sequence[Row]) -> str:
    """Rows as text."""
    lines = [f"{'what':<48} {'frames':>8} {'value':>10} {'unit':<10} target"]
    for row in rows:
        verdict = "" if row.met is None else f"{row.target} {'met' if row.met else 'MISSED'}"
        lines.append(f"{row.what:<48} {row.frames:>8} {row.value:>10.2f} {row.unit:<10} {verdict}")
    return "\n".join(lines)


PARTS: dict[str, Callable[[argparse.Namespace, Path], list[Row]]] = {
    "write": write_rows,
    "memory": memory_rows,
    "query": query_rows,
}
"""Name -> what measures it; each gets the options and an empty folder."""


def main() -> int:
    """Run the benchmark; exit code 1 if a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--part", action="append", choices=tuple(PARTS), help="what to measure (default: everything)")
    parser.add_argument("--frames", type=int, default=100_000, help="frames of the memory and query parts")
    parser.add_argument("--written", type=int, default=2000, help="frames of the write part")
    parser.add_argument("--repeats", type=int, default=3, help="the fastest counts")
    parser.add_argument("--folder", type=Path, help="where to put the files (default: a temporary folder)")
    parser.add_argument("--export-to", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args()
    if options.export_to is not None:
        export_here(options.folder / "store.sqlite", options.export_to)
        return 0
    rows = []
    for part in options.part or list(PARTS):
        with tempfile.TemporaryDirectory(dir=options.folder) as name:
            rows += PARTS[part](options, Path(name))
    print(json.dumps([asdict(row) for row in rows], indent=1) if options.json else table(rows))
    return int(any(row.met is False for row in rows))


if __name__ == "__main__":
    sys.exit(main())
