"""Reference energies per model species, by least squares in double precision, an element's charge states tied.

Neutrality makes the counts of charge states linearly dependent on those of the other elements, so untied references are
not determined: CHGNet's own fit, in single precision, is off by electronvolts there. An element's states share one
reference; what tells them apart is left to the model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from ase.data import chemical_symbols
from numpy.typing import ArrayLike, NDArray

from .species import SpeciesMap


@dataclass(frozen=True)
class ReferenceEnergies:
    """A fit of total energies by composition.

    Attributes
    ----------
    by_species : model species -> eV per atom; every species of the map whose element occurs, and every element.
    residuals : (n_frames,) energy minus its fit, eV per atom.
    """

    by_species: dict[int, float]
    residuals: NDArray[np.float64]


def fit_reference_energies(
    species: Sequence[ArrayLike], energies: ArrayLike, species_map: SpeciesMap
) -> ReferenceEnergies:
    """Fit one energy per element to energies per atom; where compositions leave it open, the smallest energies.

    Parameters
    ----------
    species : per frame (n_atoms,) model numbers.
    energies : (n_frames,) eV per cell.
    species_map : whose charge states are tied.

    Raises
    ------
    ValueError
        If there is no frame, or an energy is not finite.
    """
    totals = np.asarray(energies, dtype=np.float64)
    _check(totals, len(species))
    real = [species_map.decode(numbers)[0] for numbers in species]
    elements = np.unique(np.concatenate(real))
    shares = np.array([(numbers[:, None] == elements).mean(axis=0) for numbers in real])
    per_atom = totals / [len(numbers) for numbers in real]
    return fit_by_composition(elements.tolist(), shares, per_atom, np.ones(len(per_atom)), species_map)


def fit_by_composition(
    elements: Sequence[int],
    shares: ArrayLike,
    energies_per_atom: ArrayLike,
    weights: ArrayLike,
    species_map: SpeciesMap,
) -> ReferenceEnergies:
    """The same fit from compositions alone, for sets whose frames are not held in memory.

    Parameters
    ----------
    elements : (n_elements,) atomic numbers.
    shares : (n_rows, n_elements) fraction of each element; rows sum to 1.
    energies_per_atom : (n_rows,) eV/atom, mean over the frames that a row stands for.
    weights : (n_rows,) their number.
    species_map : whose charge states are tied.
    """
    rows, values = np.asarray(shares, dtype=np.float64), np.asarray(energies_per_atom, dtype=np.float64)
    scale = np.sqrt(np.asarray(weights, dtype=np.float64))
    fitted, *_ = np.linalg.lstsq(rows * scale[:, None], values * scale, rcond=1e-10)
    by_element = dict(zip(elements, fitted.tolist(), strict=True))
    states = {number: by_element[parent] for number, parent in species_map.parents.items() if parent in by_element}
    return ReferenceEnergies(by_element | states, values - rows @ fitted)


def mean_energy(species: Sequence[ArrayLike], energies: ArrayLike, species_map: SpeciesMap) -> ReferenceEnergies:
    """One energy for every atom, the mean energy per atom: the published normalisation; errors as the fit's."""
    totals = np.asarray(energies, dtype=np.float64)
    _check(totals, len(species))
    per_atom = totals / [len(np.asarray(numbers)) for numbers in species]
    mean = float(per_atom.mean())
    occurring = set(np.concatenate([species_map.decode(numbers)[0] for numbers in species]).tolist())
    states = {number for number, parent in species_map.parents.items() if parent in occurring}
    return ReferenceEnergies(dict.fromkeys(sorted(occurring | states), mean), per_atom - mean)


def _check(energies: NDArray[np.float64], n_frames: int) -> None:
    if not n_frames or energies.shape != (n_frames,):
        raise ValueError(
            f"{n_frames} frames and {energies.size} energies: reference energies need one each, at least 1"
        )
    broken = np.flatnonzero(~np.isfinite(energies))
    if broken.size:
        raise ValueError(f"the energy of frame {broken[0]} is {energies[broken[0]]}: leave the frame out")


def described(references: ReferenceEnergies) -> str:
    """One line for logs and cards: element and energy, eV."""
    return ", ".join(
        f"{chemical_symbols[number]} {energy:.4f}" for number, energy in sorted(references.by_species.items())
    )
