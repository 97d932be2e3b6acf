"""Any potential as an ASE calculator that knows charge states, while users' atoms keep their real elements.

    atoms.set_array("oxidation_state", states)                  # or from moments, Species, an ordering: `labelling`
    atoms.calc = charge_state_calculator("my-mace")             # `open_models`; several folders: an ensemble
    atoms.get_potential_energy()                                # swapping two labels changes it

States are encoded at the model's door (`species`). ASE's own comparison of states does not see custom arrays, so a
changed label would give a stale energy; it is compared here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from ase.stress import full_3x3_to_voigt_6_stress

from ..inputs.fixed_states import shipped_fixed_states
from .cpainn.calculator import CPaiNNCalculator
from .labelling import StateSource, complete_states, states_in_array
from .species import OXIDATION_STATE, FloatArray, IntArray, SpeciesMap, check_balanced, check_known

MEANS = ("energy", "forces", "stress", "magmoms", "charges")
"""What is handed on; of an ensemble the means."""

DEVIATIONS = ("energy", "forces")
"""Of these an ensemble gives standard deviations too, as `energy_std` and `forces_std`."""


class ChargeStateCalculator(Calculator):
    """One potential, or an ensemble, behind a species map.

    Parameters
    ----------
    models : ASE calculators of atoms that stand by their model species (CHGNet, MACE, any other), or cPaiNN's own.
    species_map : the one that the models were trained with; `SpeciesMap.shipped("elements")` for plain ones.
    states : where oxidation states are read: the name of a per-atom array, or a source from `labelling`.
    fixed : charges of elements whose atoms carry no state, for the check of neutrality, e; default: the shipped ones.

    Results are energy and free_energy (eV), forces (n_atoms, 3) eV/A, stress (6,) eV/A^3, and magmoms (muB) and charges
    (e) where every model has them. Ensembles add `energy_std` and `forces_std`: the standard deviation of the members'
    values (n - 1 in the denominator).

    Raises
    ------
    ValueError
        If there is no model or no map, or a cPaiNN has another map.
    """

    def __init__(
        self,
        models: Calculator | Sequence[Calculator],
        species_map: SpeciesMap | None,
        states: str | StateSource = OXIDATION_STATE,
        fixed: Mapping[str, int] | None = None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.models: tuple[Calculator, ...] = tuple(models) if isinstance(models, Sequence) else (models,)
        if not self.models:
            raise ValueError("no model was given; name at least one")
        if species_map is None:
            raise ValueError("a model without its species map cannot be used: nobody knows what its species are")
        self.species_map = species_map
        for model in self.models:
            if isinstance(model, CPaiNNCalculator) and model.trained.species_map.states != species_map.states:
                raise ValueError(
                    f"a cPaiNN was trained with species map {model.trained.species_map.name!r}, not with "
                    f"{species_map.name!r}; take its own"
                )
        self._read = states_in_array(states) if isinstance(states, str) else states
        self._fixed = dict(shipped_fixed_states() if fixed is None else fixed)
        self._states: FloatArray | None = None
        self._known: tuple[bytes, bytes, IntArray] | None = None
        self.n_evaluations = 0
        self.implemented_properties = self._properties()

    def _properties(self) -> list[str]:
        common = [name for name in MEANS if all(name in model.implemented_properties for model in self.models)]
        deviations = [f"{name}_std" for name in DEVIATIONS if name in common and len(self.models) > 1]
        return [*common, "free_energy", *deviations]

    def check_state(self, atoms: Atoms, tol: float = 1e-15) -> list[str]:
        """Changes since the last calculation, labels included."""
        changes: list[str] = super().check_state(atoms, tol=tol)  # type: ignore[no-untyped-call]
        if self._states is not None and not np.array_equal(self._read(atoms), self._states, equal_nan=True):
            changes.append(OXIDATION_STATE)
        return changes

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Sequence[str] = ("energy",),
        system_changes: Sequence[str] = tuple(all_changes),
    ) -> None:
        """Compute everything that the models have.

        Raises
        ------
        ValueError
            If a state is unknown to the map or not given, the labels are not neutral, or a result is no number.
        """
        super().calculate(atoms, properties, system_changes)  # type: ignore[no-untyped-call]
        here = cast(Atoms, self.atoms)
        states = self._read(here)
        encoded = self._encoded(here, states)
        wanted = [
            name for name in self.implemented_properties if name in MEANS and (name != "stress" or here.pbc.all())
        ]
        found = [self._evaluate(model, here, encoded, states, wanted) for model in self.models]
        self.n_evaluations += 1
        self.results = _merged(found, wanted)
        self._states = states

    def model_numbers(self, atoms: Atoms) -> IntArray:
        """Model species of atoms, (n_atoms,); what `calculate` refuses is refused here too, with the same words."""
        encoded = self._encoded(atoms, self._read(atoms))
        for model in self.models:
            trained = getattr(model, "trained", None)
            if trained is not None:
                check_known(encoded, trained.species, self.species_map, atoms.get_chemical_formula())
        return encoded

    def _encoded(self, atoms: Atoms, states: FloatArray) -> IntArray:
        """Model numbers; worked out and checked once for the same elements and labels."""
        numbers, labels = atoms.numbers.tobytes(), states.tobytes()
        if self._known is not None and self._known[:2] == (numbers, labels):
            return self._known[2]
        where = atoms.get_chemical_formula()
        encoded = self.species_map.encode(atoms.numbers, states, where)
        if self.species_map.knows_charge_states:
            check_balanced(atoms.numbers, complete_states(atoms.numbers, states, self._fixed), where)
        self._known = (numbers, labels, encoded)
        return encoded

    def _evaluate(
        self, model: Calculator, atoms: Atoms, encoded: IntArray, states: FloatArray, wanted: list[str]
    ) -> dict[str, Any]:
        takes_real = isinstance(model, CPaiNNCalculator)
        seen = Atoms(atoms.numbers if takes_real else encoded, atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
        if takes_real:
            seen.arrays[OXIDATION_STATE] = states
        model.calculate(seen, wanted, list(all_changes))
        return {name: _checked(name, model.results[name], atoms) for name in wanted}


def _checked(name: str, value: Any, atoms: Atoms) -> FloatArray:
    """A result in double precision; stress in Voigt order, which CHGNet's calculator does not give."""
    numbers = np.asarray(value, dtype=float)
    if not np.isfinite(numbers).all():
        raise ValueError(
            f"{atoms.get_chemical_formula()}: the model gives {name} that is no number; the structure is far from what "
            "it was trained on"
        )
    return full_3x3_to_voigt_6_stress(numbers) if name == "stress" and numbers.shape == (3, 3) else numbers


def _merged(found: list[dict[str, FloatArray]], names: list[str]) -> dict[str, Any]:
    results: dict[str, Any] = dict(found[0])
    for name in names if len(found) > 1 else ():
        values = np.stack([result[name] for result in found])
        results[name] = values.mean(axis=0)
        if name in DEVIATIONS:
            results[f"{name}_std"] = values.std(axis=0, ddof=1)
    for name in ("energy", "energy_std"):
        if name in results:
            results[name] = float(results[name])
    results["free_energy"] = results["energy"]
    return results
