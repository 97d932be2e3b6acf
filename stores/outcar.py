"""What only OUTCAR says of a VASP run, per ionic step: the moments of every site and whether the SCF converged.

emmet's TaskDoc keeps final moments only; training frames and the audit need every step's. Energies and the number of
sites are read too: they tell whether an OUTCAR is of the run that vasprun.xml is of.
"""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO, cast

_TABLE = " magnetization (x)"
_END_OF_STEP = re.compile(r"^\s+LOOP\+:")
_ABORT = "aborting loop"
_TOTEN = "  free  energy   TOTEN  ="
_CORES = re.compile(
    r" running\s+(?:on\s+)?(?P<ranks>\d+) (?:total cores|mpi-ranks(?:, with\s+(?P<threads>\d+) threads)?)"
)
"""VASP 5 and early 6 say `running on 16 total cores`, later ones `running 8 mpi-ranks, with 2 threads/rank`."""

_SITES = re.compile(r"NIONS =\s*(\d+)")
_LONGEST_LINE = 1 << 16
_ELAPSED = re.compile(r"Elapsed time \(sec\):\s+(\d+\.\d+)$")


@dataclass
class IonicStepRecord:
    """One ionic step of an OUTCAR.

    Attributes
    ----------
    magmoms : (n_sites,) muB, or None where LORBIT wrote no table.
    scf_converged : VASP said that EDIFF was reached.
    complete : the step's LOOP+ line is there; False for the last step of a run that was cut off.
    loop_ended : a line says how the electronic loop ended.
    free_energy : TOTEN of the step, eV; None where the file ends before it.
    """

    magmoms: list[float] | None = None
    scf_converged: bool = False
    complete: bool = False
    loop_ended: bool = False
    free_energy: float | None = None


@dataclass
class OutcarRecord:
    """Ionic steps of an OUTCAR, its version string, the wall time it reports, and whether STOPCAR ended it.

    `n_sites` is the number of ions it names (None: it ends before), `n_cores` its MPI ranks times threads, `elapsed_s`
    stands in the last lines of a run that ended by itself. `iter_outcar` yields the steps instead of keeping them.
    """

    steps: list[IonicStepRecord] = field(default_factory=list)
    version: str | None = None
    elapsed_s: float | None = None
    stopped: bool = False
    n_sites: int | None = None
    n_cores: int | None = None


def read_outcar(path: Path) -> OutcarRecord:
    """Scan an OUTCAR (plain or .gz) once.

    The table that VASP repeats after the last step is not a step of its own. A file that was cut off anywhere is read
    as far as it goes; a table without its end is none.
    """
    record = OutcarRecord()
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8", errors="replace") as handle:
        record.steps.extend(iter_outcar(cast("TextIO", handle), record))
    return record


def iter_outcar(handle: TextIO, record: OutcarRecord) -> Iterator[IonicStepRecord]:
    """Ionic steps as they are read; what is around them goes into `record`.

    Parameters
    ----------
    handle : text of the file, unpacked.
    record : filled as the file is read; holds once the iterator is exhausted.
    """
    current: IonicStepRecord | None = None
    lines = _until_cut_off(handle)
    for number, line in enumerate(lines):
        if number == 0:
            record.version = line.split()[0].removeprefix("vasp.") if line.split() else None
        elif _ABORT in line:
            current = current or IonicStepRecord()
            current.loop_ended = True
            current.scf_converged = "EDIFF is reached" in line
        elif line.startswith(_TABLE):
            moments = _totals(lines)
            if current is not None:
                current.magmoms = moments
        elif "Iteration" in line and current is None:
            current = IonicStepRecord()
        elif line.startswith(_TOTEN) and current is not None:
            current.free_energy = _energy(line)
        elif _END_OF_STEP.match(line) and current is not None:
            current.complete = True
            yield current
            current = None
        elif record.n_sites is None and (sites := _SITES.search(line)) is not None:
            record.n_sites = int(sites.group(1))
        elif record.n_cores is None and (cores := _CORES.match(line)) is not None:
            record.n_cores = int(cores["ranks"]) * int(cores["threads"] or 1)
        elif "stop encountered!" in line:
            record.stopped = True
        elif (elapsed := _ELAPSED.search(line)) is not None:
            record.elapsed_s = float(elapsed.group(1))
    if current is not None:
        yield current


def _energy(line: str) -> float | None:
    fields = line.split("=")[-1].split()
    try:
        return float(fields[0]) if len(fields) == 2 else None
    except ValueError:  # stars, or the file ends within the number
        return None


def _until_cut_off(handle: TextIO) -> Iterator[str]:
    """Lines of a file; a gzipped one that ends too early ends there, and no line grows without bound."""
    try:
        while line := handle.readline(_LONGEST_LINE):
            yield line
    except (EOFError, zlib.error, gzip.BadGzipFile):
        return


def _totals(lines: Iterator[str]) -> list[float] | None:
    """Last column of a per-site table, up to its closing rule; None where that is missing."""
    rules = 0
    totals: list[float] = []
    for line in lines:
        if line.startswith("-----"):
            rules += 1
            if rules == 2:
                return totals
        elif rules == 1:
            fields = line.split()
            if len(fields) < 3 or not fields[0].isdigit():
                return None
            try:
                totals.append(float(fields[-1]))
            except ValueError:  # the file ends within a number
                return None
    return None
