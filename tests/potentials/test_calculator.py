"""The calculator that knows charge states: real elements outside, model species inside, labels that count."""

import numpy as np
import pytest
from ase.calculators.fd import calculate_numerical_forces, calculate_numerical_stress

torch = pytest.importorskip("torch", reason="potentials need their extra")

from valenceflow.potentials.calculator import ChargeStateCalculator  # noqa: E402
from valenceflow.potentials.species import SpeciesMap  # noqa: E402

from .ionic import IonicPairs  # noqa: E402

PAPER, ELEMENTS = SpeciesMap.shipped("paper"), SpeciesMap.shipped("elements")


@pytest.fixture
def atoms(rock_salt):
    made = rock_salt(seed=1)
    made.calc = ChargeStateCalculator(IonicPairs(), PAPER)
    return made


def test_the_model_sees_its_species_and_the_user_real_elements(atoms):
    atoms.get_potential_energy()
    assert atoms.get_chemical_symbols()[:4] == ["Na", "Fe", "Fe", "Fe"]
    assert atoms.calc.models[0].seen[-1].tolist()[:4] == [11, 31, 26, 26]


def test_forces_and_stress_are_those_of_finite_differences(atoms):
    assert np.allclose(atoms.get_forces(), calculate_numerical_forces(atoms, eps=1e-5), atol=1e-5)
    assert np.allclose(atoms.get_stress(), calculate_numerical_stress(atoms, eps=1e-5), atol=1e-6)


def test_a_label_changed_in_place_gives_another_energy_and_changed_back_the_old_one(atoms):
    before = atoms.get_potential_energy()
    labels = atoms.arrays["oxidation_state"]
    labels[[1, 2]] = labels[[2, 1]]
    assert abs(atoms.get_potential_energy() - before) > 1e-3
    labels[[1, 2]] = labels[[2, 1]]
    assert atoms.get_potential_energy() == pytest.approx(before, abs=1e-12)


def test_a_plain_model_does_not_see_labels_nor_need_them(rock_salt):
    energies = []
    for made in (rock_salt(seed=1, labelled=False), rock_salt(seed=1, high=0), rock_salt(seed=1, high=2)):
        made.calc = ChargeStateCalculator(IonicPairs(), ELEMENTS)
        energies.append(made.get_potential_energy())
    assert energies[0] == energies[1] == energies[2]


def test_nothing_is_computed_twice(atoms):
    atoms.get_forces()
    atoms.get_stress()
    atoms.get_magnetic_moments()
    assert atoms.calc.n_evaluations == 1


def test_an_ensemble_gives_means_and_deviations(rock_salt):
    made = rock_salt(seed=2)
    single = []
    for model in (IonicPairs(), IonicPairs(stiffness=1.1), IonicPairs(offset=0.01)):
        made.calc = ChargeStateCalculator(model, PAPER)
        single.append((made.get_potential_energy(), made.get_forces()))
    made.calc = ChargeStateCalculator([IonicPairs(), IonicPairs(stiffness=1.1), IonicPairs(offset=0.01)], PAPER)
    energies, forces = np.array([e for e, _ in single]), np.array([f for _, f in single])
    assert made.get_potential_energy() == pytest.approx(energies.mean())
    assert made.calc.get_property("energy_std", made) == pytest.approx(np.std(energies, ddof=1))
    assert np.allclose(made.calc.get_property("forces_std", made), forces.std(axis=0, ddof=1))


def test_moments_and_charges_are_there_where_every_member_has_them(atoms):
    moments = atoms.get_magnetic_moments()
    assert moments[1:4].tolist() == [4.3, 3.7, 3.7]
    assert "charges" not in atoms.calc.implemented_properties


def test_unknown_unbalanced_and_missing_are_refused_with_the_way_out(rock_salt, atoms):
    atoms.arrays["oxidation_state"][1] = 4
    with pytest.raises(ValueError, match=r"Fe3NaO4: atom 1 is Fe4\+.*knows Fe2\+, Fe3\+"):
        atoms.get_potential_energy()
    atoms.arrays["oxidation_state"][1] = 2
    with pytest.raises(ValueError, match=r"sum to -1 e; energies compare between neutral labellings only"):
        atoms.get_potential_energy()
    bare = rock_salt(labelled=False)
    bare.calc = ChargeStateCalculator(IonicPairs(), PAPER)
    with pytest.raises(ValueError, match="has no oxidation state"):
        bare.get_potential_energy()
    with pytest.raises(ValueError, match="without its species map"):
        ChargeStateCalculator(IonicPairs(), None)
    with pytest.raises(ValueError, match="no model was given"):
        ChargeStateCalculator([], PAPER)


def test_labels_of_the_redox_element_alone_are_checked_for_neutrality_with_the_usual_charges(rock_salt):
    made = rock_salt(seed=1)
    states = made.arrays["oxidation_state"].astype(float)
    states[made.numbers != 26] = np.nan
    made.set_array("oxidation_state", None)
    made.set_array("oxidation_state", states)
    made.calc = ChargeStateCalculator(IonicPairs(), PAPER)
    assert np.isfinite(made.get_potential_energy())
    made.arrays["oxidation_state"][2] = 3
    with pytest.raises(ValueError, match=r"sum to \+1 e"):
        made.get_potential_energy()


def test_a_result_that_is_no_number_is_told_and_not_handed_on(atoms):
    atoms.calc = ChargeStateCalculator(IonicPairs(offset=float("nan")), PAPER)
    with pytest.raises(ValueError, match="gives energy that is no number"):
        atoms.get_potential_energy()


def test_a_molecule_has_no_stress(atoms):
    atoms.pbc = False
    atoms.get_forces()
    assert "stress" not in atoms.calc.results


def test_labels_may_stand_in_another_array_or_come_from_a_function(rock_salt):
    made = rock_salt(seed=1)
    expected = ChargeStateCalculator(IonicPairs(), PAPER)
    made.calc = expected
    energy = made.get_potential_energy()
    made.set_array("valence", made.arrays["oxidation_state"])
    made.set_array("oxidation_state", None)
    made.calc = ChargeStateCalculator(IonicPairs(), PAPER, states="valence")
    assert made.get_potential_energy() == energy
    made.calc = ChargeStateCalculator(IonicPairs(), PAPER, states=lambda atoms: atoms.arrays["valence"].astype(float))
    assert made.get_potential_energy() == energy
