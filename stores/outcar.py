"""What only OUTCAR says of a VASP run, per ionic step: the moments of every site and whether the SCF converged.

emmet's TaskDoc keeps final moments only; training frames and the audit need every step's.
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

_TABLE = " magnetization (x)"
_END_OF_STEP = re.compile(r"^\s+LOOP\+:")
_ABORT = "aborting loop"
_ELAPSED = re.compile(r"Elapsed time \(sec\):\s+(\d+\.\d+)$")


@dataclass
class IonicStepRecord:
    """One ionic step of an OUTCAR.

    Attributes
    ----------
    magmoms : (n_sites,) muB, or None where LORBIT wrote no table.
    scf_converged : VASP said that EDIFF was reached.
    complete : the step's LOOP+ line is there; False for the last step of a run that was cut off.
    """

    magmoms: list[float] | None = None
    scf_converged: bool = False
    complete: bool = False


@dataclass
class OutcarRecord:
    """Ionic steps of an OUTCAR, its version string, the wall time it reports, and whether STOPCAR ended it."""

    steps: list[IonicStepRecord] = field(default_factory=list)
    version: str | None = None
    elapsed_s: float | None = None
    stopped: bool = False


def read_outcar(path: Path) -> OutcarRecord:
    """Scan an OUTCAR (plain or .gz) once.

    The table that VASP repeats after the last step is not a step of its own. A file that was cut off anywhere is read
    as far as it goes; a table without its end is none.
    """
    record, current = OutcarRecord(), None
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8", errors="replace") as handle:
        lines = _until_cut_off(handle)
        for number, line in enumerate(lines):
            if number == 0:
                record.version = line.split()[0].removeprefix("vasp.") if line.split() else None
            elif _ABORT in line:
                current = current or IonicStepRecord()
                current.scf_converged = "EDIFF is reached" in line
            elif line.startswith(_TABLE):
                moments = _totals(lines)
                if current is not None:
                    current.magmoms = moments
            elif "Iteration" in line and current is None:
                current = IonicStepRecord()
            elif _END_OF_STEP.match(line) and current is not None:
                current.complete = True
                record.steps.append(current)
                current = None
            elif "stop encountered!" in line:
                record.stopped = True
            elif (elapsed := _ELAPSED.search(line)) is not None:
                record.elapsed_s = float(elapsed.group(1))
    if current is not None:
        record.steps.append(current)
    return record


def _until_cut_off(handle: Iterable[str]) -> Iterator[str]:
    """Lines of a file; a gzipped one that ends too early ends there."""
    try:
        yield from handle
    except EOFError:
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
