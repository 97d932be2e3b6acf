"""Labels from Species, moments and orderings; what cannot be told is refused."""

import numpy as np
import pytest
from ase.io import read, write
from hypothesis import given
from hypothesis import strategies as st
from pymatgen.io.ase import AseAtomsAdaptor
from valenceflow.inputs.charge_states import get_couple
from valenceflow.inputs.orderings.group import ordering_group
from valenceflow.inputs.orderings.identity import key_of
from valenceflow.potentials.labelling import (
    atoms_from_structure,
    atoms_of_ordering,
    label_by_ordering,
    states_by_magmoms,
    states_in_array,
)

FE = get_couple("Fe2+/Fe3+")
HALF = "3.3"
"""x = 1/2 on the 28-atom cell."""


def test_decorated_species_become_the_array_and_the_elements_stay_plain(half_filled):
    atoms = atoms_from_structure(half_filled(high=(1, 2), decorated=True))
    plain = atoms_from_structure(half_filled(high=(1, 2)))
    iron = atoms.numbers == 26
    assert np.array_equal(atoms.arrays["oxidation_state"][iron], plain.arrays["oxidation_state"][iron])
    assert sorted(plain.arrays["oxidation_state"][iron]) == [2, 2, 3, 3]
    assert "oxidation_state" not in atoms_from_structure(half_filled().remove_site_property("oxidation_state")).arrays


def test_pymatgens_own_adaptor_agrees_on_positions_and_states(half_filled):
    structure = half_filled(decorated=True)
    ours, theirs = atoms_from_structure(structure), AseAtomsAdaptor.get_atoms(structure, msonable=False)
    assert np.allclose(ours.positions, theirs.positions)
    known = ~np.isnan(np.array(theirs.arrays["oxi_states"], dtype=float))
    assert np.array_equal(ours.arrays["oxidation_state"][known], theirs.arrays["oxi_states"][known].astype(float))


def test_initial_moments_of_the_couple_are_read_whatever_their_sign(rock_salt):
    atoms = rock_salt()
    atoms.set_initial_magnetic_moments([0, -5, 4, -4, 0, 0, 0, 0])
    assert states_by_magmoms([FE])(atoms).tolist() == [1, 3, 2, 2, -2, -2, -2, -2]


def test_measured_moments_are_read_in_the_engines_window_with_the_count_of_neutrality(rock_salt):
    atoms = rock_salt()
    atoms.set_initial_magnetic_moments([0, 3.77, 4.33, 3.75, 0, 0, 0, 0])
    assert states_by_magmoms([FE])(atoms).tolist()[1:4] == [2, 3, 2]
    atoms.set_initial_magnetic_moments([0, 4.33, 4.33, 3.75, 0, 0, 0, 0])
    with pytest.raises(ValueError, match="do not tell the charge states"):
        states_by_magmoms([FE])(atoms)
    atoms.set_array("initial_magmoms", None)
    with pytest.raises(ValueError, match="has no initial moments"):
        states_by_magmoms([FE])(atoms)


def test_measured_moments_of_cells_with_unknown_charges_are_refused(rock_salt):
    atoms = rock_salt()
    atoms.set_initial_magnetic_moments([0, 3.77, 4.33, 3.75, 0, 0, 0, 0])
    with pytest.raises(ValueError, match="neutrality does not tell how many are high"):
        states_by_magmoms([FE], fixed={"O": -2})(atoms)


@given(st.integers(0, 15), st.integers(0, 15))
def test_atoms_of_an_ordering_carry_that_ordering(olivine, working, charge):
    group = ordering_group(olivine)
    bits = [np.array([(number >> i) & 1 for i in range(4)], dtype=bool) for number in (working, charge)]
    if bits[1].sum() != 4 - bits[0].sum():
        return
    key = group.key(*bits)
    atoms = atoms_of_ordering(olivine, FE, str(key))
    structure = AseAtomsAdaptor.get_structure(atoms)
    structure.add_site_property("oxidation_state", atoms.arrays["oxidation_state"].tolist())
    assert key_of(structure, olivine, FE) == key


def test_shifted_and_shuffled_atoms_are_labelled_by_a_key(olivine):
    rng = np.random.default_rng(0)
    atoms = atoms_of_ordering(olivine, FE, HALF)
    atoms = atoms[rng.permutation(len(atoms))]
    atoms.positions += 0.05 * rng.normal(size=(len(atoms), 3)) + [1.0, 2.0, 0.5]
    told = atoms.arrays.pop("oxidation_state")
    site_map = label_by_ordering(atoms, olivine, FE, HALF)
    structure = AseAtomsAdaptor.get_structure(atoms)
    structure.add_site_property("oxidation_state", atoms.arrays["oxidation_state"].tolist())
    assert str(key_of(structure, olivine, FE)) == HALF
    assert site_map.displacement < 0.5
    assert sorted(told) == sorted(atoms.arrays["oxidation_state"])


def test_keys_of_another_ordering_supercell_or_charge_are_refused(olivine):
    atoms = atoms_of_ordering(olivine, FE, HALF)
    with pytest.raises(ValueError, match=r"has the Na ordering 3\.free and not that of"):
        label_by_ordering(atoms, olivine, FE, "9.3")
    with pytest.raises(ValueError, match="another supercell"):
        label_by_ordering(atoms, olivine, FE, "03.3")
    with pytest.raises(ValueError, match="leaves the charge order free"):
        atoms_of_ordering(olivine, FE, "3.free")
    with pytest.raises(ValueError, match="1 high sites where neutrality asks for 2"):
        atoms_of_ordering(olivine, FE, "3.1")


def test_labels_survive_extended_xyz(olivine, tmp_path):
    atoms = atoms_of_ordering(olivine, FE, HALF)
    write(tmp_path / "labelled.extxyz", atoms)
    back = read(tmp_path / "labelled.extxyz")
    assert np.array_equal(states_in_array()(back), states_in_array()(atoms))
