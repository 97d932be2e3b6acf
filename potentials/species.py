"""Charge states as model species, as the models' room knows them; the table itself is in `inputs.species`."""

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
    "get_species_map",
    "parse_maps",
    "shipped_maps",
]
