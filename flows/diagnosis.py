"""What is wrong with outputs that emmet and pymatgen cannot read: their own errors speak of their own code."""

from __future__ import annotations

import math
import os
import traceback
import warnings
from collections.abc import Iterator
from pathlib import Path

from pymatgen.io.vasp import Poscar
from pymatgen.io.vasp.inputs import BadPoscarWarning

from ..stores.outcar import read_outcar
from ..stores.vasprun_steps import VasprunSteps, read_vasprun_steps

_NEEDED = ("vasprun.xml", "OUTCAR", "CONTCAR")
_OURS = Path(__file__).resolve().parents[1]
_OUTCAR_END = b"General timing and accounting"
_TAIL_BYTES = 20_000
"""VASP 6 writes about 2 kB behind that heading; the memory table of many ranks is longer."""


def reader_failure(error: Exception, folder: Path) -> str:
    """Why outputs could not be read, in one line: the file and what is wrong with it, then the reader's own words.

    Parameters
    ----------
    error : what the reader raised.
    folder : run folder, before its files are compressed.
    """
    own = f"{type(error).__name__}: {' '.join(str(error).split())}"
    found = output_problems(folder)
    if found:
        return f"{found} ({own})"
    frame = traceback.extract_tb(error.__traceback__)[-1]
    if isinstance(error, (ValueError, FileNotFoundError)) and Path(frame.filename).is_relative_to(_OURS):
        return str(error)  # our own reader's, which says the file and the reason
    where = f"{Path(frame.filename).name}, line {frame.lineno}"
    return f"no file is cut off or empty, and yet the reader stopped at {own} ({where}): report it with these files"


def output_problems(folder: Path) -> str:
    """What VASP left unreadable in a run folder, in one line; empty where nothing is found.

    Parameters
    ----------
    folder : run folder, before its files are compressed.
    """
    problems = [f"VASP left no {name}" for name in _NEEDED if not (folder / name).exists()]
    problems += [
        f"{name} is empty" for name in _NEEDED if (folder / name).exists() and not (folder / name).stat().st_size
    ]
    vasprun = read_vasprun_steps(folder / "vasprun.xml") if (folder / "vasprun.xml").exists() else None
    if vasprun is not None and not vasprun.complete:
        problems.append(f"{vasprun.problem}; {len(vasprun.steps)} ionic steps before that are whole")
    if vasprun is not None and (folder / "OUTCAR").exists():
        problems += _moment_problems(folder / "OUTCAR", vasprun)
    problems += [*_outcar_end(folder / "OUTCAR"), *_contcar_problems(folder / "CONTCAR")]
    return "; ".join(problems)


def _outcar_end(outcar: Path) -> Iterator[str]:
    if not outcar.exists() or not outcar.stat().st_size:
        return
    with outcar.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL_BYTES))
        if _OUTCAR_END not in file.read():
            yield "OUTCAR is cut off: VASP's table of timings is not at its end"


def _contcar_problems(contcar: Path) -> Iterator[str]:
    if not contcar.exists() or not contcar.stat().st_size:
        return
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", BadPoscarWarning)  # elements are not what is looked at here
            Poscar.from_str(contcar.read_text(encoding="utf-8", errors="replace"))
    except (ValueError, IndexError, BadPoscarWarning):  # pymatgen raises this warning as an error, too
        yield "CONTCAR is cut off or damaged"


def _moment_problems(outcar: Path, vasprun: VasprunSteps) -> Iterator[str]:
    n_sites = len(vasprun.symbols)
    for number, step in enumerate(read_outcar(outcar).steps[: len(vasprun.steps)], start=1):
        moments = step.magmoms
        if moments is None:
            yield f"OUTCAR has no readable moments in ionic step {number}"
        elif len(moments) != n_sites:
            yield f"OUTCAR has {len(moments)} moments for {n_sites} sites in ionic step {number}"
        elif not all(map(math.isfinite, moments)):
            yield f"OUTCAR has moments that are not finite in ionic step {number}"
        else:
            continue
        return
