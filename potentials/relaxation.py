"""What a relaxation is told and what comes out, as a document that JSON keeps with labels and all."""

from __future__ import annotations

import hashlib
import json
from typing import Any, Literal

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from pydantic import BaseModel, ConfigDict, Field

from .species import OXIDATION_STATE

State = Literal["converged", "unconverged", "runaway", "failed"]


class RelaxSettings(BaseModel):
    """How structures are relaxed; defaults are the paper's (section 4.2)."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    fmax: float = Field(default=0.01, gt=0, description="largest force, on atoms and cell (Frechet filter), eV/A")
    steps: int = Field(default=1000, ge=0, description="steps before giving up; 0: one evaluation, nothing moves")
    relax_cell: bool = Field(default=True, description="the cell relaxes with the atoms")
    volume_change: float = Field(
        default=0.25, gt=0, description="share of the starting volume beyond which a relaxation has run away"
    )


class Relaxation(BaseModel):
    """One structure relaxed by one model (or ensemble)."""

    model_config = ConfigDict(extra="forbid")
    relaxation_id: str = Field(description="hash of structure, labels, model and settings")
    name: str
    model: str = Field(description="title of the model or ensemble")
    state: State = Field(description="runaway: the volume or a force left its bound; failed: see reason")
    reason: str = ""
    optimiser: str = ""
    energy: float | None = Field(default=None, description="eV per cell")
    energy_std: float | None = Field(default=None, description="of an ensemble, eV per cell")
    start_energy: float | None = Field(default=None, description="eV per cell, before the first step")
    max_force: float | None = Field(default=None, description="largest of atoms and cell, eV/A")
    n_steps: int = 0
    n_evaluations: int = 0
    cpu_seconds: float = 0.0
    start_volume: float = Field(default=0.0, description="A^3")
    numbers: list[int] = Field(description="(n_atoms,) real atomic numbers")
    cell: list[list[float]] = Field(description="(3, 3) rows are vectors, A")
    positions: list[list[float]] = Field(description="(n_atoms, 3) A")
    pbc: list[bool]
    oxidation_states: list[float | None] | None = Field(default=None, description="(n_atoms,) e, as told")
    forces: list[list[float]] | None = Field(default=None, description="(n_atoms, 3) eV/A")
    stress: list[float] | None = Field(default=None, description="(6,) eV/A^3, Voigt")
    magmoms: list[float] | None = Field(default=None, description="(n_atoms,) muB, where the model has them")
    charges: list[float] | None = Field(default=None, description="(n_atoms,) e, where the model has them")

    @property
    def volume(self) -> float:
        """A^3."""
        return float(abs(np.linalg.det(np.array(self.cell))))

    def atoms(self) -> Atoms:
        """The relaxed structure with its labels, and its results as a single point."""
        made = Atoms(self.numbers, self.positions, cell=self.cell, pbc=self.pbc)
        if self.oxidation_states is not None:
            made.set_array(OXIDATION_STATE, _plainest(self.oxidation_states))
        results = {
            name: value if name == "energy" else np.array(value)
            for name in ("energy", "forces", "stress", "magmoms", "charges")
            if (value := getattr(self, name)) is not None
        }
        if results:
            made.calc = SinglePointCalculator(made, **results)
        made.info |= {"name": self.name, "state": self.state, "model": self.model, "n_steps": self.n_steps}
        return made


def _plainest(states: list[float | None]) -> Any:
    """Whole numbers where every state is known."""
    values = np.array([np.nan if state is None else state for state in states])
    return values if np.isnan(values).any() else values.astype(int)


def structure_fields(atoms: Atoms) -> dict[str, Any]:
    """Fields of a relaxation that hold a structure."""
    states = atoms.arrays.get(OXIDATION_STATE)
    return {
        "numbers": atoms.numbers.tolist(),
        "cell": atoms.cell.array.tolist(),
        "positions": atoms.positions.tolist(),
        "pbc": [bool(periodic) for periodic in atoms.pbc],
        "oxidation_states": None
        if states is None
        else [None if np.isnan(state) else float(state) for state in np.asarray(states, dtype=float)],
    }


def relaxation_id(atoms: Atoms, model: str, settings: RelaxSettings) -> str:
    """Name of one relaxation: the same structure, labels, model and settings are the same work.

    Parameters
    ----------
    atoms : the start; positions and cell count to 1e-6 A.
    model : fingerprint of the model.
    settings : of the relaxation.
    """
    fields = structure_fields(atoms)
    for name in ("cell", "positions"):
        fields[name] = (np.round(fields[name], 6) + 0.0).tolist()  # -0.0 and 0.0 are one place
    content = [fields, model, settings.model_dump()]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:20]
