"""What a set says about itself while it is written: reference energies and moments by charge state."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase.data import chemical_symbols

from ...inputs.reference_energies import fit_by_composition
from ...inputs.species import SpeciesMap
from .prepared import ExportFrame

BIN_WIDTH = 0.1
"""Of the histogram of moments, muB."""

_CHARGES = 64  # more than there are: element and charge are counted as one number


@dataclass
class _Energies:
    """Mean and sum of squared deviations of energies per atom of one composition."""

    count: int = 0
    mean: float = 0.0
    squares: float = 0.0

    def add(self, value: float) -> None:
        self.count += 1
        step = value - self.mean
        self.mean += step / self.count
        self.squares += step * (value - self.mean)


class SetStatistics:
    """Gathers over the frames of a set, in memory that does not grow with it."""

    def __init__(self) -> None:
        self._energies: dict[bool, dict[tuple[tuple[int, int], ...], _Energies]] = {
            True: defaultdict(_Energies),
            False: defaultdict(_Energies),
        }
        self._moments: dict[str, Counter[int]] = defaultdict(Counter)
        self._species: set[int] = set()
        self._species_anywhere: set[int] = set()
        self._states: dict[str, Counter[str]] = defaultdict(Counter)

    def add(self, frame: ExportFrame, side: str) -> None:
        """Take a frame."""
        numbers, counts = np.unique(frame.arrays.numbers, return_counts=True)
        composition = tuple(zip(numbers.tolist(), counts.tolist(), strict=True))
        self._energies[side == "train"][composition].add(frame.entry.energy_per_atom)
        species = np.unique(frame.model_numbers).tolist()
        self._species_anywhere.update(species)
        if side in ("train", "valid"):
            self._species.update(species)
        magmoms, states = frame.arrays.magmoms, frame.states
        if states is None:
            return
        codes = np.unique(frame.arrays.numbers.astype(int) * _CHARGES + states.astype(int) + _CHARGES // 2).tolist()
        self._states[side].update(_state(code // _CHARGES, code % _CHARGES - _CHARGES // 2) for code in codes)
        if magmoms is None:
            return
        bins = np.floor(np.abs(magmoms) / BIN_WIDTH + 1e-9).astype(int)
        codes, found = np.unique(
            np.column_stack([frame.arrays.numbers, states, bins]).astype(int), axis=0, return_counts=True
        )
        for (number, state, place), count in zip(codes.tolist(), found.tolist(), strict=True):
            self._moments[_state(number, state)][place] += count

    def reference_energies(self, species: SpeciesMap) -> dict[str, Any]:
        """Energies by model species of the set, eV, fitted to train (to everything where that lacks an element)."""
        training, rest = self._energies[True], self._energies[False]
        elements = sorted({number for found in (training, rest) for row in found for number, _ in row})
        fitted_to = "train"
        rows = dict(training)
        if {number for row in training for number, _ in row} != set(elements):
            fitted_to = "all frames, as train lacks an element"
            rows = _merged(training, rest)
        shares = np.zeros((len(rows), len(elements)))
        for index, composition in enumerate(rows):
            for number, count in composition:
                shares[index, elements.index(number)] = count / sum(n for _, n in composition)
        means = [found.mean for found in rows.values()]
        weights = np.array([found.count for found in rows.values()])
        fit = fit_by_composition(elements, shares, means, weights, species)
        spread = sum(found.squares for found in rows.values()) + float((weights * fit.residuals**2).sum())
        return {
            "eV_by_model_number": {
                str(number): energy
                for number, energy in sorted(fit.by_species.items())
                if number in self._species_anywhere
            },
            "fitted_to": fitted_to,
            "rms_residual_ev_per_atom": float(np.sqrt(spread / weights.sum())),
        }

    @property
    def species(self) -> set[int]:
        """Model numbers that occur in train and valid: MACE takes reference energies of these and no others."""
        return self._species

    @property
    def charge_states(self) -> dict[str, Counter[str]]:
        """Side -> charge state -> frames that hold it."""
        return self._states

    def moments(self) -> dict[str, dict[str, int]]:
        """Charge state -> lower end of a bin of |moment|, muB -> sites; elements without a moment left out."""
        return {
            state: {f"{place * BIN_WIDTH:.1f}": counts[place] for place in sorted(counts)}
            for state, counts in sorted(self._moments.items())
            if max(counts) * BIN_WIDTH >= 1.0
        }


def _state(number: int, charge: int) -> str:
    """A charge state as people write it, e.g. Fe3+."""
    return f"{chemical_symbols[number]}{abs(charge)}{'-' if charge < 0 else '+'}"


def _merged(
    one: dict[tuple[tuple[int, int], ...], _Energies], other: dict[tuple[tuple[int, int], ...], _Energies]
) -> dict[tuple[tuple[int, int], ...], _Energies]:
    merged: dict[tuple[tuple[int, int], ...], _Energies] = {}
    for key in [*one, *(key for key in other if key not in one)]:
        parts = [found[key] for found in (one, other) if key in found]
        count = sum(part.count for part in parts)
        mean = sum(part.count * part.mean for part in parts) / count
        squares = sum(part.squares + part.count * (part.mean - mean) ** 2 for part in parts)
        merged[key] = _Energies(count, mean, squares)
    return merged
