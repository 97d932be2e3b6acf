"""Atoms with oxidation states: from decorated structures, from initial moments, from the ordering of a host.

Whatever the source, states end in the per-atom array `oxidation_state` (e, NaN where an element has no couple), which
extended XYZ keeps; ASE's .traj and .db drop it, and `initial_magmoms` survive there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers, chemical_symbols
from numpy.typing import NDArray
from pymatgen.core import Structure
from pymatgen.io.ase import AseAtomsAdaptor

from ..inputs.charge_states import RedoxCouple
from ..inputs.fixed_states import shipped_fixed_states
from ..inputs.moments import read_states
from ..inputs.orderings.group import Bits, JointKey, bits_from_hex, ordering_group
from ..inputs.orderings.mapping import MAX_DISPLACEMENT, SiteMap, map_onto
from ..inputs.orderings.written import ordered_structure
from ..inputs.supercells import HostSupercell
from .species import OXIDATION_STATE, FloatArray, as_states

INITIAL_SLACK = 0.01
"""muB: how near a moment must lie to a couple's initial one to be read as such."""

StateSource = Callable[[Atoms], FloatArray]
"""Oxidation states of atoms, (n_atoms,) e, NaN where they are not told."""


def states_in_array(name: str = OXIDATION_STATE) -> StateSource:
    """States as they stand in a per-atom array; NaN for all atoms where there is none of this name."""

    def read(atoms: Atoms) -> FloatArray:
        try:
            return as_states(atoms.arrays.get(name), len(atoms))
        except ValueError:  # only an error needs the formula, which takes longer than all the rest
            return as_states(atoms.arrays.get(name), len(atoms), atoms.get_chemical_formula())

    return read


def states_by_magmoms(
    couples: Iterable[RedoxCouple], engine: str = "vasp", fixed: Mapping[str, int] | None = None
) -> StateSource:
    """States read from initial moments: the couple's own initial moments, else measured ones in an engine's window.

    Parameters
    ----------
    couples : one per redox element.
    engine : whose moments these are, where they are measured ones; label windows belong to engines.
    fixed : charge of every other element, e; default: the shipped ones. With several couples neutrality does not tell
        how many sites are high in each, and only initial moments can be read.
    """
    pairs, charges = tuple(couples), dict(shipped_fixed_states() if fixed is None else fixed)

    def read(atoms: Atoms) -> FloatArray:
        return _states_of_moments(atoms, pairs, engine, charges)

    return read


def _states_of_moments(
    atoms: Atoms, couples: tuple[RedoxCouple, ...], engine: str, charges: Mapping[str, int]
) -> FloatArray:
    where = atoms.get_chemical_formula()
    if "initial_magmoms" not in atoms.arrays:
        raise ValueError(f"{where}: has no initial moments to read oxidation states from; set them, or label the atoms")
    size = np.abs(atoms.get_initial_magnetic_moments())
    redox = {couple.element for couple in couples}
    states = np.array([float("nan") if s in redox else charges.get(s, float("nan")) for s in atoms.symbols])
    for couple in couples:
        sites = np.flatnonzero(atoms.numbers == atomic_numbers[couple.element])
        if not sites.size:
            continue
        high = _initial(size[sites], couple)
        if high is None:
            high = _measured(size[sites], couple, engine, states, len(couples), where)
        states[sites] = np.where(high, couple.high.oxidation_state, couple.low.oxidation_state)
    return states


def _initial(size: FloatArray, couple: RedoxCouple) -> Bits | None:
    """Which sites start as the high state; None unless every moment is one of the couple's two initial ones."""
    high = np.abs(size - couple.high.magmom) <= INITIAL_SLACK
    low = np.abs(size - couple.low.magmom) <= INITIAL_SLACK
    return np.asarray(high) if bool((high | low).all()) else None


def _measured(
    size: FloatArray, couple: RedoxCouple, engine: str, states: FloatArray, n_couples: int, where: str
) -> Bits:
    if n_couples > 1 or int(np.isnan(states).sum()) != len(size):
        raise ValueError(
            f"{where}: moments of {couple.element} are not its initial ones ({couple.low.magmom:g} and "
            f"{couple.high.magmom:g} muB), and neutrality does not tell how many are high; label the atoms"
        )
    n_high = couple.n_high(int(np.nansum(states)), len(size))
    reading = read_states(size, couple, engine, n_high)
    if reading.is_high is None:
        raise ValueError(f"{where}: the moments do not tell the charge states: {reading.reason}; label the atoms")
    return reading.is_high


def complete_states(numbers: NDArray[np.int64], states: FloatArray, fixed: Mapping[str, int]) -> FloatArray:
    """States with those of elements that keep theirs filled in where they were not given.

    Parameters
    ----------
    numbers : (n_atoms,) atomic numbers.
    states : (n_atoms,) e, NaN where not given.
    fixed : element -> charge, e.
    """
    filled = states.copy()
    for number in np.unique(numbers[np.isnan(states)]):
        charge = fixed.get(chemical_symbols[number])
        if charge is not None:
            filled[np.isnan(states) & (numbers == number)] = charge
    return filled


def atoms_from_structure(structure: Structure) -> Atoms:
    """Atoms of a pymatgen structure; decorated Species or the site property `oxidation_state` become the array."""
    given = structure.site_properties.get(OXIDATION_STATE)
    states = [getattr(site.specie, "oxi_state", None) for site in structure] if given is None else given
    plain = structure.copy()
    plain.remove_oxidation_states()
    atoms: Atoms = AseAtomsAdaptor.get_atoms(plain, msonable=False)
    if any(state is not None for state in states):
        values = [float("nan") if state is None else float(state) for state in states]
        atoms.set_array(OXIDATION_STATE, as_states(values, len(atoms), atoms.get_chemical_formula()))
    return atoms


def atoms_of_ordering(cell: HostSupercell, couple: RedoxCouple, key: JointKey | str) -> Atoms:
    """The idealised host with an ordering on it, labelled.

    Parameters
    ----------
    cell, couple : the host's supercell and its redox couple.
    key : or its text, WORKING.CHARGE.

    Raises
    ------
    ValueError
        If the key belongs to another supercell, leaves the charge order free, or is not neutral.
    """
    return atoms_from_structure(ordered_structure(cell, couple, checked_key(cell, couple, key)))


def label_by_ordering(
    atoms: Atoms,
    cell: HostSupercell,
    couple: RedoxCouple,
    key: JointKey | str,
    max_displacement: float = MAX_DISPLACEMENT,
) -> SiteMap:
    """Label atoms, relaxed or shifted, by an ordering of a host; among equivalent ways the first is taken.

    Returns
    -------
    Which site each atom occupies.

    Raises
    ------
    ValueError
        If the atoms do not map onto the host, or have another working-ion ordering than the key.
    """
    wanted = checked_key(cell, couple, key)
    site_map = map_onto(AseAtomsAdaptor.get_structure(atoms), cell, max_displacement)
    if len(site_map.atoms) != len(atoms):
        raise ValueError(f"{atoms.get_chemical_formula()}: is a smaller cell than the key's supercell; repeat it first")
    group = ordering_group(cell)
    fitting = np.flatnonzero((wanted.working[group.working_permutations] == site_map.working).all(axis=1))
    if not fitting.size:
        raise ValueError(
            f"{atoms.get_chemical_formula()}: has the {cell.host.working_ion} ordering "
            f"{group.key(site_map.working, None)} and not that of {wanted}; take a key of this ordering"
        )
    assert wanted.charge is not None  # checked_key refuses free orders
    high = wanted.charge[group.redox_permutations[fitting[0]]]
    charges = cell.host.oxidation_states | {couple.element: couple.low.oxidation_state}
    states = np.array([float(charges[symbol]) for symbol in atoms.symbols])
    states[site_map.redox_atoms(cell)[high]] = couple.high.oxidation_state
    atoms.set_array(OXIDATION_STATE, states)
    return site_map


def checked_key(cell: HostSupercell, couple: RedoxCouple, key: JointKey | str) -> JointKey:
    """A key of this supercell with a neutral charge order; errors as in `atoms_of_ordering`."""
    if isinstance(key, str):
        working, _, charge = key.partition(".")
        if charge in ("", "free"):
            raise ValueError(f"key {key!r} leaves the charge order free; give WORKING.CHARGE")
        key = JointKey(bits_from_hex(working, len(cell.working_sites)), bits_from_hex(charge, len(cell.redox_sites)))
    if key.charge is None:
        raise ValueError(f"key {key} leaves the charge order free; give WORKING.CHARGE")
    n_high = cell.n_high(int(key.working.sum()), couple)
    if int(key.charge.sum()) != n_high:
        raise ValueError(f"key {key} has {int(key.charge.sum())} high sites where neutrality asks for {n_high}")
    return key
