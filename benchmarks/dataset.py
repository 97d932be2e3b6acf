"""Speed of data sets: ingest of gzipped VASP folders beside pymatgen's own parsers, and over two processes.

``python benchmarks/dataset.py [--part ingest] [--json]``. The folders are of 160-atom cells, run by the stand-in, and
copies of a real VASP run where one is given (``--real FOLDER``). CPU time is the fair measure on a busy machine;
scaling is wall time, so that it needs an idle one.
"""

from __future__ import annotations

import argparse
import contextlib
import gzip
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil
from valenceflow.stores.connect import sqlite_stores
from valenceflow.stores.ingest import find_items, ingest
from valenceflow.stores.ingest_options import default_options

OUTPUTS = ("vasprun.xml", "OUTCAR")
CAMPAIGN = """\
name: benchmark
host: olivine-NaFePO4
supercell: [1, 3, 2]
couple: Fe2+/Fe3+
working_ion:
  Na: {fraction: 2/3, orderings: {sample: 1, seed: 1}}
charge: {sample: %d, seed: 31}
end_members: false
"""


@dataclass
class Row:
    """One measurement; `target` is what the project promises, in the unit of `value`."""

    what: str
    frames: int
    value: float
    unit: str
    target: str = ""
    met: bool | None = None


def standin_folders(root: Path, count: int, steps: int) -> Path:
    """Gzipped folders of 160-atom runs, as archives keep them: both steps of `count` orderings."""
    (root / "campaign.yaml").write_text(CAMPAIGN % count)
    command = [sys.executable, "-m", "valenceflow.cli.main"]
    subprocess.run([*command, "run", "campaign.yaml", "--dry-run", "inputs"], cwd=root, check=True, capture_output=True)
    folders = root / "folders"
    for poscar in sorted((root / "inputs").rglob("POSCAR")):
        run = [sys.executable, "-m", "valenceflow.flows.rehearsal.executable", "--engine", "springs"]
        subprocess.run([*run, "--steps", str(steps)], cwd=poscar.parent, check=True, capture_output=True)
        pack(poscar.parent, folders / "-".join(poscar.parent.relative_to(root / "inputs").parts))
    return folders


def real_folders(root: Path, real: Path, count: int) -> Path:
    """Copies of a real run that differ in their date and in one coordinate, so that none is a duplicate."""
    folders = root / "real"
    texts = {name: gzip.decompress((real / f"{name}.gz").read_bytes()).decode() for name in OUTPUTS}
    for number in range(count):
        folder = root / f"real-{number}"
        folder.mkdir()
        (folder / "vasprun.xml").write_text(another(texts["vasprun.xml"], number))
        (folder / "OUTCAR").write_text(texts["OUTCAR"])
        pack(folder, folders / str(number))
        shutil.rmtree(folder)
    return folders


def pack(source: Path, target: Path) -> None:
    """The two outputs of a run, gzipped."""
    target.mkdir(parents=True)
    for name in OUTPUTS:
        (target / f"{name}.gz").write_bytes(gzip.compress((source / name).read_bytes(), compresslevel=6))


def pymatgen_seconds(folders: Path) -> float:
    """CPU time of pymatgen's own parsers for the same files; densities of states and eigenvalues left out."""
    from pymatgen.io.vasp import Outcar, Vasprun

    start = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # no POTCARs beside the outputs
        for path in sorted(folders.rglob("vasprun.xml.gz")):
            Vasprun(path, parse_potcar_file=False, parse_dos=False, parse_eigen=False)
            Outcar(path.with_name("OUTCAR.gz"))
    return time.process_time() - start


def ingest_seconds(folders: Path, store: Path, processes: int) -> tuple[float, float, int]:
    """Wall and CPU time (of this process) of ingest into a new store, and frames taken."""
    store.unlink(missing_ok=True)
    stores = sqlite_stores(store)
    for name in ("runs", "frames", "frame_arrays", "labellings"):
        stores.collection(name)
    items = find_items([folders])
    wall, cpu = time.perf_counter(), time.process_time()
    summary = ingest(stores, items, default_options(keep_unlabelled=True), processes)
    spent = time.perf_counter() - wall, time.process_time() - cpu
    stores.close()
    assert summary.taken == len(items), summary
    return *spent, summary.frames


def ingest_rows(options: argparse.Namespace, root: Path) -> list[Row]:
    """Ingest against pymatgen (CPU time, one process), and one process against two (wall time)."""
    sets = {"160 atoms": standin_folders(root, options.folders, options.steps)}
    if options.real is not None:
        sets["real run"] = real_folders(root, options.real, options.folders)
    rows = []
    for name, folders in sets.items():
        ingest_seconds(folders, root / "warm.sqlite", 1)  # imports are no part of it
        ours = min(ingest_seconds(folders, root / "one.sqlite", 1) for _ in range(options.repeats))
        theirs = min(pymatgen_seconds(folders) for _ in range(options.repeats))
        _, cpu, frames = ours
        rows.append(Row(f"{name}: ingest", frames, frames / cpu, "frames/s"))
        rows.append(Row(f"{name}: pymatgen Vasprun + Outcar", frames, frames / theirs, "frames/s"))
        rows.append(Row(f"{name}: ingest / pymatgen", frames, cpu / theirs, "times", "<= 1.3", cpu / theirs <= 1.3))
    return [*rows, *scaling_rows(options, sets["160 atoms"], root)]


def scaling_rows(options: argparse.Namespace, folders: Path, root: Path) -> list[Row]:
    """One process against two: by wall time, which wants idle cores, and by the CPU time that all of them need."""
    many = root / "many"
    for number in range(options.copies):
        for folder in sorted(folders.iterdir()):
            shutil.copytree(folder, many / f"{folder.name}-{number}")
            path = many / f"{folder.name}-{number}" / "vasprun.xml.gz"
            text = gzip.decompress(path.read_bytes()).decode()
            path.write_bytes(gzip.compress(another(text, number).encode(), 6))
    one_wall, one_cpu, frames = min(ingest_seconds(many, root / "one.sqlite", 1) for _ in range(options.repeats))
    ingest_seconds(folders, root / "warm.sqlite", 2)  # starting the processes is no part of it
    walls, works = [], []
    for _ in range(options.repeats):
        with ChildrenWatch() as children:
            wall, cpu, _ = ingest_seconds(many, root / "two.sqlite", 2)
        walls.append(wall)
        works.append(cpu - children.own_seconds + children.seconds)
    name, by_cpu, by_wall = "160 atoms: one process / two", one_cpu / (min(works) / 2), one_wall / min(walls)
    note = f", load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
    return [
        Row(f"{name}, CPU time over two cores", frames, by_cpu, "times", ">= 1.7", by_cpu >= 1.7),
        Row(f"{name}, wall time{note}", frames, by_wall, "times", ">= 1.7 idle"),
    ]


class ChildrenWatch:
    """CPU time that child processes spend within a block; `own_seconds` is what looking cost."""

    own_seconds = 0.0

    def __enter__(self) -> ChildrenWatch:
        self._before, self._now, self._ended = self._look(), {}, threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self._thread.join()

    @property
    def seconds(self) -> float:
        """CPU seconds of all of them."""
        return sum(spent - self._before.get(pid, 0.0) for pid, spent in self._now.items())

    def _watch(self) -> None:
        while not self._ended.wait(0.2):
            self._now |= self._look()
            self.own_seconds = time.thread_time()

    @staticmethod
    def _look() -> dict[int, float]:
        found = {}
        for child in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.Error):
                found[child.pid] = sum(child.cpu_times()[:2])
        return found


def another(text: str, number: int) -> str:
    """Text of a vasprun.xml as that of another run: other coordinates, another date."""
    dated = text.replace('name="date" type="string">', f'name="date" type="string">{number} ')
    return dated.replace("<v>       0.", f"<v>       {number}.")


def table(rows: Sequence[Row]) -> str:
    """Rows as text."""
    lines = [f"{'what':<62} {'frames':>8} {'value':>10} {'unit':<10} target"]
    for row in rows:
        verdict = "" if row.met is None else f"{row.target} {'met' if row.met else 'MISSED'}"
        lines.append(f"{row.what:<62} {row.frames:>8} {row.value:>10.2f} {row.unit:<10} {verdict}")
    return "\n".join(lines)


PARTS: dict[str, Callable[[argparse.Namespace, Path], list[Row]]] = {"ingest": ingest_rows}
"""Name -> what measures it; each gets the options and an empty folder."""


def main() -> int:
    """Run the benchmark; exit code 1 if a target is missed."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--part", action="append", choices=tuple(PARTS), help="what to measure (default: everything)")
    parser.add_argument("--folders", type=int, default=10, help="orderings (two folders each)")
    parser.add_argument("--steps", type=int, default=20, help="ionic steps of each run")
    parser.add_argument("--copies", type=int, default=8, help="of each folder, for the scaling")
    parser.add_argument("--repeats", type=int, default=2, help="the fastest counts")
    parser.add_argument("--real", type=Path, help="folder with a real vasprun.xml.gz and OUTCAR.gz")
    parser.add_argument("--folder", type=Path, help="where to put the files (default: a temporary folder)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args()
    rows = []
    for part in options.part or list(PARTS):
        with tempfile.TemporaryDirectory(dir=options.folder) as name:
            rows += PARTS[part](options, Path(name))
    print(json.dumps([asdict(row) for row in rows], indent=1) if options.json else table(rows))
    return int(any(row.met is False for row in rows))


if __name__ == "__main__":
    sys.exit(main())
