"""Relaxations as the paper's: LBFGSLineSearch over a FrechetCellFilter to 0.01 eV/A (section 4.2), both ASE's.

`relax_atoms` does one structure; many over processes, with restart, are `relax_many`'s (`relax_many.py`). Labels stay
with the atoms throughout.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator
from ase.filters import FrechetCellFilter
from ase.optimize import LBFGS, LBFGSLineSearch

from .relaxation import Relaxation, RelaxSettings, State, relaxation_id, structure_fields

LARGEST_FORCE = 1000.0
"""eV/A; no start of a relaxation comes near to it. Potentials that learned few structures have holes where forces are
millions of times larger, and in which a descent never ends."""

LINE_SEARCH_FAILED = "LineSearch failed"
"""What ASE's line search says where the energy is too noisy for it (single precision, near the minimum)."""

Checkpoint = Callable[[Atoms, int], None]
"""Called after each step with the structure and the number of steps."""


@dataclass(frozen=True)
class Started:
    """Where a relaxation goes on.

    Attributes
    ----------
    atoms : the structure so far.
    n_steps : steps that it took.
    optimiser : what brought it here, where that is not this module's own.
    """

    atoms: Atoms
    n_steps: int = 0
    optimiser: str = ""


class _HoleError(ValueError):
    """The structure fell into a hole of the potential."""


def _check_forces(atoms: Atoms) -> None:
    largest = float(np.abs(atoms.get_forces()).max())
    if not largest <= LARGEST_FORCE:
        raise _HoleError(f"a force of {largest:.3g} eV/A: the structure fell into a hole of the potential")


class _WatchedFilter(FrechetCellFilter):
    """Looks at every evaluation: in a hole of the potential a line search need not end."""

    def get_forces(self, *arguments: Any, **options: Any) -> Any:
        """Forces as the optimiser takes them."""
        _check_forces(self.atoms)
        return super().get_forces(*arguments, **options)  # type: ignore[no-untyped-call]  # ASE has no types there


@dataclass
class _Descent:
    """One relaxation under way."""

    atoms: Atoms
    settings: RelaxSettings
    checkpoint: Checkpoint
    start_volume: float
    n_steps: int = 0
    optimiser: str = ""

    def run(self) -> tuple[State, str]:
        """Descend; returns how it ended and why."""
        target: Any = self.atoms
        if self.settings.relax_cell:
            target = _WatchedFilter(self.atoms)  # type: ignore[no-untyped-call]  # ASE has no types there
        for kind in (LBFGSLineSearch, LBFGS):
            self.optimiser = f"{self.optimiser}, then {kind.__name__}".removeprefix(", then ")
            try:
                return self._with(kind, target)
            except RuntimeError as err:
                if LINE_SEARCH_FAILED not in str(err):
                    raise
        raise AssertionError("LBFGS has no line search to fail")

    def _with(self, kind: type[LBFGS], target: Any) -> tuple[State, str]:
        descent = kind(target, logfile=None)  # type: ignore[arg-type]  # as ASE documents
        left = self.settings.steps - self.n_steps
        for converged in descent.irun(fmax=self.settings.fmax, steps=left):
            if descent.nsteps:
                self.n_steps += 1
                self.checkpoint(self.atoms, self.n_steps)
            _check_forces(self.atoms)
            change = self.atoms.get_volume() / self.start_volume - 1 if self.settings.relax_cell else 0.0
            if abs(change) > self.settings.volume_change:
                return "runaway", f"the volume changed by {change:+.0%} after {self.n_steps} steps"
            if converged:
                return "converged", ""
        return "unconverged", f"forces above {self.settings.fmax:g} eV/A after {self.n_steps} steps"


def relax_atoms(
    atoms: Atoms,
    calculator: Calculator,
    settings: RelaxSettings | None = None,
    name: str = "",
    model: tuple[str, str] = ("", ""),
    started: Started | None = None,
    checkpoint: Checkpoint = lambda atoms, n_steps: None,
) -> Relaxation:
    """Relax one structure; the atoms given are left as they are.

    Parameters
    ----------
    atoms : with the labels that the calculator needs.
    calculator : any ASE calculator with energies, forces and (for a relaxing cell) stress, double precision preferred.
    settings : default: the paper's.
    name : of the structure.
    model : title and fingerprint of the model.
    started : where an earlier try was cut off, or a batch of structures ended.
    checkpoint : called after each step.

    Returns
    -------
    What came out. A structure that cannot be evaluated, does not converge or runs away is told as such, not raised.
    """
    wanted = settings or RelaxSettings()
    here = (atoms if started is None else started.atoms).copy()
    here.calc = calculator
    boundless = wanted.relax_cell and atoms.cell.rank < 3
    volume = atoms.get_volume() if wanted.relax_cell and not boundless else 0.0
    descent = _Descent(here, wanted, checkpoint, volume)
    if started is not None:
        descent.n_steps, descent.optimiser = started.n_steps, started.optimiser
    before, start_energy = time.process_time(), None
    evaluations = getattr(calculator, "n_evaluations", 0)
    try:
        if boundless:
            raise ValueError("has no cell of three vectors to relax; give it one, or keep the cell fixed")
        start_energy = float(here.get_potential_energy())
        with warnings.catch_warnings():
            # Of the cell's deformation, by some 1e-13 a step; what is converged is judged by forces and stress.
            warnings.filterwarnings("ignore", "logm result may be inaccurate", RuntimeWarning)
            state, reason = descent.run()
            results = _results(here, wanted.relax_cell)
    except _HoleError as err:
        state, reason, results = "runaway", f"{err}, after {descent.n_steps} steps", {}
        if not (np.isfinite(here.positions).all() and np.isfinite(here.cell.array).all()):
            here.set_cell(atoms.cell)
            here.set_positions(atoms.positions)
    except ValueError as err:
        state, reason, results = "failed", " ".join(str(err).split()), {}
    return Relaxation(
        relaxation_id=relaxation_id(atoms, model[1], wanted),
        name=name or atoms.get_chemical_formula(),
        model=model[0],
        state=state,
        reason=reason,
        optimiser=descent.optimiser,
        start_energy=start_energy if started is None else None,
        n_steps=descent.n_steps,
        n_evaluations=getattr(calculator, "n_evaluations", 0) - evaluations,
        cpu_seconds=time.process_time() - before,
        start_volume=volume,
        **results,
        **structure_fields(here),
    )


def _results(atoms: Atoms, relax_cell: bool) -> dict[str, Any]:
    """Results at the end, from what the calculator has already."""
    calculator: Any = atoms.calc
    found: dict[str, Any] = {"energy": float(atoms.get_potential_energy()), "forces": atoms.get_forces().tolist()}
    forces = FrechetCellFilter(atoms).get_forces() if relax_cell else atoms.get_forces()
    found["max_force"] = float(np.linalg.norm(forces, axis=1).max())
    for name in ("stress", "magmoms", "charges", "energy_std"):
        value = calculator.results.get(name)
        if value is not None:
            found[name] = float(value) if name == "energy_std" else np.asarray(value, dtype=float).tolist()
    return found
