"""Charge states as model species, as the models' room knows them; the table itself is in `inputs.species`."""

from collections.abc import Iterable

import numpy as np
from ase.data import chemical_symbols
from numpy.typing import ArrayLike

from ..inputs.species import (
    LARGEST_NUMBER,
    OXIDATION_STATE,
    FloatArray,
    IntArray,
    SpeciesMap,
    as_states,
    check_balanced,
    check_comparable,
    get_species_map,
    parse_maps,
    shipped_maps,
)

__all__ = [
    "LARGEST_NUMBER",
    "OXIDATION_STATE",
    "FloatArray",
    "IntArray",
    "SpeciesMap",
    "as_states",
    "check_balanced",
    "check_comparable",
    "check_known",
    "get_species_map",
    "parse_maps",
    "shipped_maps",
    "species_names",
]


def species_names(numbers: ArrayLike, species_map: SpeciesMap) -> str:
    """Model numbers as chemists write them, each once: Fe2+, Fe3+, O."""
    real, states = species_map.decode(np.unique(np.asarray(numbers, dtype=np.int64)))
    return ", ".join(
        chemical_symbols[number] + ("" if np.isnan(state) else f"{abs(int(state))}{'-' if state < 0 else '+'}")
        for number, state in zip(real, states, strict=True)
    )


def check_known(numbers: ArrayLike, known: Iterable[int], species_map: SpeciesMap, where: str) -> None:
    """Refuse a structure with species that a model was not trained on.

    Parameters
    ----------
    numbers : (n_atoms,) model numbers.
    known : model numbers that occurred in training.
    species_map : of the model.
    where : what the structure is called.

    Raises
    ------
    ValueError
        Naming what is strange and what is known.
    """
    trained_on = np.array(sorted(known), dtype=np.int64)
    strange = np.setdiff1d(np.asarray(numbers), trained_on)
    if strange.size:
        raise ValueError(
            f"{where}: the model was not trained on {species_names(strange, species_map)} but on "
            f"{species_names(trained_on, species_map)}; train one on data that hold it"
        )
