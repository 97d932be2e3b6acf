"""Crystal files as users bring them: split and partial sites, charges written in them, charges proposed for them.

`hosts` makes a Host of what is read here; `valenceflow init` fills in a campaign file from it.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
from pymatgen.core import Element, Structure

NEAREST_WORKING_IONS = 1.7
"""Angstrom: two working ions never stand closer (Li-Li in Li3N, the closest known, is 1.94)."""

NEAREST_ATOMS = 0.5
"""Angstrom: closer than this, one atom is written twice."""


def read_crystal(path: Path) -> Structure:
    """Read a CIF or POSCAR.

    Raises
    ------
    ValueError
        One line, if there is no such file or it holds no crystal.
    """
    try:
        with warnings.catch_warnings():
            # pymatgen warns about rounded special positions; the operation count found is shown to the user instead.
            warnings.simplefilter("ignore")
            structure = Structure.from_file(path)
    except FileNotFoundError as err:
        raise ValueError(f"{path}: no such file") from err
    except Exception as err:  # pymatgen raises many kinds for a broken file; each becomes one line for the user
        raise ValueError(
            f"{path}: not readable as a crystal structure: {str(err).splitlines()[0] if str(err) else err!r}"
        ) from err
    if not (np.isfinite(structure.lattice.matrix).all() and np.isfinite(structure.frac_coords).all()):
        # Symmetry libraries crash on such numbers.
        raise ValueError(
            f"{path}: not readable as a crystal structure: a cell length or coordinate is no finite number"
        )
    return structure


def one_element_per_site(structure: Structure, working_ion: str, name: str) -> Structure:
    """Every site with its element alone: partial occupancy of the working ion is read as its sites.

    Parameters
    ----------
    structure : as read.
    working_ion : the one element whose sites may be partly occupied.
    name : the file's name, for errors.

    Raises
    ------
    ValueError
        If a site holds two elements, another one is partly occupied, or two sites cannot both be occupied.
    """
    species, positions = [], []
    for site in structure:
        elements = site.species.element_composition  # Fe2+ and Fe3+ sharing a site are one element
        if len(elements) != 1:
            raise ValueError(
                f"{name}: site {site.frac_coords.round(3).tolist()} mixes {site.species_string}; order it first"
            )
        element, amount = next(iter(elements.items()))
        if abs(amount - 1) > 1e-3 and element.symbol != working_ion:
            raise ValueError(
                f"{name}: partial occupancy of {element.symbol} at {site.frac_coords.round(3).tolist()}; only the "
                f"working ion ({working_ion}) may be partial: order the others first"
            )
        species.append(element)
        positions.append(site.frac_coords)
    filled = Structure(structure.lattice, species, positions)
    _check_distances(filled, working_ion, name)
    return filled


def _check_distances(structure: Structure, working_ion: str, name: str) -> None:
    """Sites that one ion is spread over (split sites) cannot be a sublattice: orderings would fill both."""
    first, second, _, distances = structure.get_neighbor_list(NEAREST_WORKING_IONS)
    symbols = np.array([site.specie.symbol for site in structure])
    working = (symbols[first] == working_ion) & (symbols[second] == working_ion)
    for i, j, distance, split in sorted(zip(first, second, distances, working, strict=True), key=lambda pair: pair[2]):
        places = " and ".join(str(structure[int(k)].frac_coords.round(3).tolist()) for k in (i, j))
        if distance < NEAREST_ATOMS and not split:
            raise ValueError(f"{name}: {symbols[i]} and {symbols[j]} at {places} are {distance:.2f} A apart; keep one")
        if split:
            raise ValueError(
                f"{name}: {working_ion} sites {places} are {distance:.2f} A apart and cannot both be occupied: keep "
                f"one site of each such pair in the file (at least {NEAREST_WORKING_IONS} A between them)"
            )


def charges_written_in(structure: Structure, redox_element: str) -> dict[str, int] | None:
    """Oxidation states that a structure as read carries for every element but the redox one, else None."""
    charges: dict[str, int] = {}
    for site in structure:
        for specie in site.species:
            state = getattr(specie, "oxi_state", None)
            if specie.symbol == redox_element:
                continue
            if state is None or state != int(state) or charges.setdefault(specie.symbol, int(state)) != state:
                return None
    return charges


def proposed_charges(structure: Structure, redox_element: str) -> dict[str, int]:
    """Charges that bond valences, or else the formula, propose for every element but the redox one.

    Parameters
    ----------
    structure : every site holding one element.
    redox_element : left out, having two charges.

    Returns
    -------
    Element -> charge, e; elements for which nothing is proposed are missing.
    """
    from pymatgen.analysis.bond_valence import BVAnalyzer  # noqa: PLC0415 - reads its tables for a second at import

    try:
        with warnings.catch_warnings():
            # pymatgen asks spglib in the old way; a wrong proposal is corrected by the user, who has to confirm it.
            warnings.simplefilter("ignore")
            valences = BVAnalyzer().get_valences(structure)  # type: ignore[no-untyped-call]  # pymatgen: no annotation
    except ValueError:  # no assignment found
        # Of the formula unit: the guesses take every atom in turn, hours for a cell of a hundred.
        guesses = structure.composition.reduced_composition.oxi_state_guesses()
        found = dict(guesses[0]) if guesses else {}
    else:
        found = {site.specie.symbol: valence for site, valence in zip(structure, valences, strict=True)}
    return {symbol: round(q) for symbol, q in found.items() if symbol != redox_element and float(q).is_integer()}


def charges_line(structure: Structure, redox_element: str, charges: dict[str, int]) -> str:
    """Charges as the value of `oxidation_states:`, most electropositive element first; `?` where none is known."""
    others = sorted({site.specie.symbol for site in structure} - {redox_element}, key=lambda symbol: Element(symbol).X)
    return "{" + ", ".join(f"{symbol}: {charges.get(symbol, '?')}" for symbol in others) + "}"
