"""What is wrong with outputs that emmet and pymatgen cannot read: their own errors speak of their own code."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

from ..stores.outcar import read_outcar
from ..stores.vasprun_steps import VasprunSteps, read_vasprun_steps

_NEEDED = ("vasprun.xml", "OUTCAR", "CONTCAR")


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
    return "; ".join(problems)


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
