"""Relaxation of positions and cell with ASE, each geometry reported once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ase import Atoms
from ase.optimize import LBFGS

try:
    from ase.filters import FrechetCellFilter as CellFilter
except ImportError:  # ASE before 3.23, as in Debian 12
    from ase.constraints import ExpCellFilter as CellFilter  # type: ignore[attr-defined,no-redef]


class StopRelaxation(Exception):  # noqa: N818 - no error: the relaxation is told to end
    """The relaxation shall end before it is done."""


def relax(atoms: Atoms, settings: dict[str, Any], report: Callable[[], None]) -> bool:
    """Relax until no force exceeds `max_force`, eV/A; returns whether that was reached.

    The cell's gradient is held against the same bound, per atom, as ASE does.

    Parameters
    ----------
    atoms : with its calculator.
    settings : max_force, max_steps, cell (whether the cell relaxes).
    report : called once for each geometry, the first included; may raise StopRelaxation.
    """
    target: Any = CellFilter(atoms) if settings["cell"] else atoms
    optimizer = LBFGS(target, logfile=None)  # type: ignore[arg-type]  # None is silence
    optimizer.attach(report, interval=1)
    return bool(optimizer.run(fmax=settings["max_force"], steps=settings["max_steps"] - 1))
