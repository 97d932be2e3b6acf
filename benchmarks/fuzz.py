"""Hostile and careless input to everything that reads a file or a text: is anything but one clear line the answer?

    python benchmarks/fuzz.py [--examples 300] [--seed 1] [--only NAME ...] [--markdown | --json]

Each reader gets well-formed files after random changes (cut, doubled, other numbers, XML bombs, hidden code, paths with
..). Counted are: tracebacks (an exception that the command line does not turn into one line), answers later than 10 s,
more than 2 GB of memory, files opened for writing outside the reader's folder, programs started, connections opened.
hypothesis shrinks what it finds, and the smallest input is shown.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from fuzz_inputs import MARK, conditions, spoiled, whole_files
from hypothesis import HealthCheck, Phase, given, seed, settings
from reliability_row import HEAD, Row, as_markdown, as_text

HANG_S = 10
MEMORY_BYTES = 2 << 30
ENOUGH = 300

Reader = Callable[[Path], object]


class HangError(BaseException):
    """No answer in time; no reader may catch it."""


class ForbiddenError(BaseException):
    """A reader did what no reader may."""


@dataclass
class Report:
    """What came of one reader's inputs."""

    reader: str
    examples: int = 0
    refused: int = 0
    slowest_s: float = 0.0
    memory_mb: float = 0.0
    found: list[str] = field(default_factory=list)


def campaign(path: Path) -> object:
    """`run`, `status`, `doctor`: the campaign file."""
    from valenceflow.flows.campaign_file import read_campaign

    return read_campaign(path)


def crystal(path: Path) -> object:
    """`init --host`, `host:` of a campaign."""
    from valenceflow.inputs.host_proposal import propose_from_file

    return propose_from_file(path)


def ingested(path: Path) -> object:
    """`ingest`: a folder with vasprun.xml and OUTCAR, or a file of frames."""
    from valenceflow.stores.connect import sqlite_stores
    from valenceflow.stores.ingest import find_items, ingest
    from valenceflow.stores.ingest_options import default_options

    is_set = path.suffix == ".extxyz"
    stores = sqlite_stores(path.parent / "store.sqlite")
    summary = ingest(stores, find_items([path if is_set else path.parent]), default_options())
    stores.close()
    return summary


def weights(path: Path) -> object:
    """`evaluate`, `relax`: a model's file."""
    from valenceflow.potentials.weight_files import read_weights

    return read_weights(path, "valenceflow-cpainn", 1)


def manifest(path: Path) -> object:
    """`run`, `status`: what a campaign wrote down."""
    from valenceflow.flows.manifest import read_manifest

    return read_manifest(path.parent)


def store(path: Path) -> object:
    """`--store`, `store:`: where documents are."""
    from valenceflow.stores.connect import stores_from_yaml

    return stores_from_yaml(path)


def condition(path: Path) -> object:
    """`query --where`."""
    from valenceflow.stores.where import where

    return where(path.read_text(encoding="utf-8", errors="surrogateescape"))


READERS: dict[str, tuple[str, Reader]] = {
    "campaign": ("campaign.yaml", campaign),
    "store": ("store.yaml", store),
    "cif": ("crystal.cif", crystal),
    "poscar": ("POSCAR", crystal),
    "vasprun": ("vasprun.xml", ingested),
    "outcar": ("OUTCAR", ingested),
    "extxyz": ("set.extxyz", ingested),
    "weights": ("weights.pt", weights),
    "manifest": ("manifest.json", manifest),
    "condition": ("condition.txt", condition),
}
"""Name -> the file that it reads, and who reads it."""


class Watch:
    """Notices what a reader must not do: an audit hook, as Python offers no way to forbid it."""

    def __init__(self, folder: Path) -> None:
        self.folder = str(folder.resolve())
        self.is_on = False
        self.seen: list[str] = []
        sys.addaudithook(self._hear)

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.is_on:
            return
        if event in ("os.system", "subprocess.Popen", "os.exec", "os.posix_spawn", "socket.connect", "os.fork"):
            self.seen.append(f"{event} {arguments[:2]}")
        elif (
            event == "open" and isinstance(arguments[0], str) and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        ):
            place = os.path.realpath(arguments[0])
            if not place.startswith((self.folder, "/dev/null", "/tmp/valenceflow-ingest-")):
                self.seen.append(f"writes {place}")


def examine(name: str, whole: bytes, others: dict[str, bytes], folder: Path, watch: Watch, report: Report) -> None:
    """One input for one reader."""
    file_name, reader = READERS[name]
    place = folder / "here"
    place.mkdir()
    for other, content in others.items():
        (place / other).write_bytes(content)
    (place / file_name).write_bytes(whole)
    begin = time.perf_counter()
    report.examples += 1
    signal.alarm(HANG_S)
    watch.is_on = True
    try:
        reader(place / file_name)
    except (HangError, MemoryError):
        raise
    except Exception as error:
        if not mended(error):
            raise
        report.refused += 1
    finally:
        signal.alarm(0)
        watch.is_on = False
        report.slowest_s = max(report.slowest_s, time.perf_counter() - begin)
        shutil.rmtree(place, ignore_errors=True)
    if watch.seen:
        raise ForbiddenError("; ".join(watch.seen[:3]))


def mended(error: Exception) -> bool:
    """Whether the command line answers with one line."""
    from valenceflow.cli.main import _can_be_mended

    return _can_be_mended(error)


def _stop(number: int, frame: object) -> None:
    raise HangError(f"no answer within {HANG_S} s")


def fuzz(name: str, files: dict[str, bytes], examples: int, number: int, answer: Any) -> None:
    """Examine one reader, in a process of its own; the report goes through a pipe."""
    report = Report(name)
    file_name, _ = READERS[name]
    others = {"vasprun": ["OUTCAR"], "outcar": ["vasprun.xml"]}.get(name, [])
    beside = {other: files[other] for other in others}
    warnings.simplefilter("ignore")
    signal.signal(signal.SIGALRM, _stop)
    with tempfile.TemporaryDirectory(prefix="valenceflow-fuzz-") as made, suppress(KeyboardInterrupt):
        folder = Path(made)
        os.chdir(folder)
        watch = Watch(folder)
        with suppress(BaseException):  # what is imported once is not the input's doing
            examine(name, files.get(file_name, b"x = 1"), beside, folder, Watch(folder), Report(name))
        _limit_memory()
        strategy = conditions().map(lambda text: text.encode("utf-8", "surrogatepass"))
        inputs = strategy if name == "condition" else spoiled(files[file_name])

        @seed(number)
        @settings(
            max_examples=examples,
            deadline=None,
            database=None,
            phases=[Phase.generate, Phase.shrink],
            suppress_health_check=list(HealthCheck),
            print_blob=False,
        )
        @given(inputs)
        def every(content: bytes) -> None:
            last.content = content
            watch.seen.clear()
            examine(name, content, beside, folder, watch, report)

        last = argparse.Namespace(content=b"")
        try:
            every()
        except BaseException as error:
            where = traceback.extract_tb(error.__traceback__)[-1]
            place = f"{Path(where.filename).name}:{where.lineno}"
            report.found.append(f"{type(error).__name__}: {error} ({place}) on {last.content[:200]!r}"[:600])
        if (folder / MARK).exists() or Path(f"/tmp/{MARK}").exists():
            report.found.append("code hidden in an input ran")
    report.memory_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    answer.send(report)


def _limit_memory() -> None:
    """Two more gigabytes than the imported programs have taken."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + MEMORY_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def reports(names: list[str], examples: int, number: int) -> list[Report]:
    """Examine readers one after the other."""
    with tempfile.TemporaryDirectory(prefix="valenceflow-fuzz-files-") as made:
        files = dict(whole_files(Path(made)))
    context = multiprocessing.get_context("fork")
    made_reports = []
    for name in names:
        here, there = context.Pipe(duplex=False)
        process = context.Process(target=fuzz, args=(name, files, examples, number, there))
        process.start()
        there.close()
        try:
            made_reports.append(here.recv())
        except EOFError:
            process.join()
            made_reports.append(Report(name, found=[f"the process died ({process.exitcode})"]))
        process.join()
    return made_reports


def row(report: Report) -> Row:
    """A report as a row of the table of reliability."""
    told = f"{report.refused} refused in one line, slowest {report.slowest_s:.2f} s, {report.memory_mb:.0f} MB"
    result = f"{len(report.found)} found" if report.found else "nothing found"
    case = f"{report.reader}: {report.examples} inputs"
    return Row("input", case, result, "; ".join([told, *report.found]), not report.found)


def main() -> int:
    """Print the table; fails where anything was found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--examples", type=int, default=ENOUGH)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", action="append", choices=list(READERS))
    parser.add_argument("--markdown", action="store_true")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found = reports(options.only or list(READERS), options.examples, options.seed)
    if options.json:
        print(json.dumps([asdict(report) for report in found], indent=1))
    else:
        show = as_markdown if options.markdown else as_text
        print(show(HEAD))
        if options.markdown:
            print("|--" * len(HEAD) + "|")
        print("\n".join(show(row(report).cells) for report in found))
    return int(any(report.found for report in found))


if __name__ == "__main__":
    sys.exit(main())
