"""cPaiNN as an ASE calculator. Atoms keep their real elements; charge states are read from `oxidation_state`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from ase.stress import full_3x3_to_voigt_6_stress
from numpy.typing import NDArray

from ..species import OXIDATION_STATE, check_known
from .checkpoint import HEADS, TrainedModel, load_model
from .crystals import Crystal


class CPaiNNCalculator(Calculator):
    """Energy, forces, stress, |moments| and Bader charges of Atoms.

    >>> atoms.set_array("oxidation_state", np.array([2, 3, ...]))  # doctest: +SKIP
    >>> atoms.calc = CPaiNNCalculator.from_file("model.pt", dtype=torch.float64)  # doctest: +SKIP

    Parameters
    ----------
    trained : the model with its species map. Moments and charges are implemented where they were trained.
    """

    implemented_properties = [  # noqa: RUF012  # as ASE declares it
        "energy",
        "free_energy",
        "forces",
        "stress",
        "magmoms",
        "charges",
    ]

    def __init__(self, trained: TrainedModel) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.trained = trained
        untrained = {head for head in HEADS if head not in trained.heads}
        self.implemented_properties = [name for name in type(self).implemented_properties if name not in untrained]
        trained.model.eval().requires_grad_(False)
        self._labels: NDArray[Any] | None = None
        self._known: tuple[tuple[bytes, bytes], NDArray[np.int64], str] | None = None

    @classmethod
    def from_file(
        cls, path: str | Path, dtype: torch.dtype = torch.float64, device: torch.device | str = "cpu"
    ) -> CPaiNNCalculator:
        """Load a model; double precision lets relaxations reach 0.01 eV/A without noise. Errors as `load_model`."""
        return cls(load_model(Path(path), dtype, device))

    def check_state(self, atoms: Atoms, tol: float = 1e-15) -> list[str]:
        """Changes since the last calculation; ASE itself does not look at labels, and would return stale numbers."""
        changes: list[str] = super().check_state(atoms, tol=tol)  # type: ignore[no-untyped-call]
        if not _same_labels(atoms.arrays.get(OXIDATION_STATE), self._labels):
            changes.append(OXIDATION_STATE)
        return changes

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Sequence[str] = ("energy",),
        system_changes: Sequence[str] = tuple(all_changes),
    ) -> None:
        """Compute everything at once.

        Raises
        ------
        ValueError
            If a charge state is unknown, or a species did not occur in training.
        """
        super().calculate(atoms, properties, system_changes)  # type: ignore[no-untyped-call]
        here = cast(Atoms, self.atoms)
        model = self.trained.model
        found = model.predict(model.batch([self._crystal(here)]))
        labels = here.arrays.get(OXIDATION_STATE)
        self._labels = None if labels is None else labels.copy()
        results = self._results(found.energies, found.forces, found.stresses, found.magmoms, found.charges)
        left_out = set() if here.pbc.all() else {"stress"}
        self.results = {name: results[name] for name in self.implemented_properties if name not in left_out}

    def end_to_end(self, atoms: Atoms, values: torch.Tensor) -> torch.Tensor:
        """Per-atom values of the model's inner order, (n_atoms, ...), in the order of the atoms."""
        return self.trained.model.batch([self._crystal(atoms)]).end_to_end(values)

    def _crystal(self, atoms: Atoms) -> Crystal:
        species, formula = self._species_and_formula(atoms)
        return Crystal(species, atoms.positions, atoms.cell.array, atoms.pbc, formula)

    def _species_and_formula(self, atoms: Atoms) -> tuple[NDArray[np.int64], str]:
        """Model species, (n_atoms,), and formula; worked out and checked once for the same elements and labels."""
        labels = atoms.arrays.get(OXIDATION_STATE)
        given = atoms.numbers.tobytes(), b"" if labels is None else labels.dtype.str.encode() + labels.tobytes()
        if self._known is None or self._known[0] != given:
            trained, formula = self.trained, atoms.get_chemical_formula()
            species = trained.species_map.encode_atoms(atoms)
            check_known(species, trained.species, trained.species_map, formula)
            self._known = given, species, formula
        return self._known[1:]

    @staticmethod
    def _results(*values: torch.Tensor) -> dict[str, Any]:
        energies, forces, stresses, magmoms, charges = (value.double().cpu().numpy() for value in values)
        return {
            "energy": float(energies[0]),
            "free_energy": float(energies[0]),
            "forces": forces,
            "stress": full_3x3_to_voigt_6_stress(stresses[0]),
            "magmoms": magmoms,
            "charges": charges,
        }


def _same_labels(one: NDArray[Any] | None, other: NDArray[Any] | None) -> bool:
    if one is None or other is None:
        return one is other
    return np.array_equal(one, other, equal_nan=one.dtype.kind == "f")
