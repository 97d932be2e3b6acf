"""The ASE calculator: real elements outside, labels that count, derivatives by ASE's own finite differences."""

from dataclasses import replace

import numpy as np
import pytest
from ase.calculators.calculator import PropertyNotImplementedError
from ase.calculators.fd import calculate_numerical_forces, calculate_numerical_stress
from ase.optimize import BFGS

torch = pytest.importorskip("torch", reason="cPaiNN needs the potentials extra")

from valenceflow.potentials.calculator import ChargeStateCalculator  # noqa: E402
from valenceflow.potentials.cpainn.calculator import CPaiNNCalculator  # noqa: E402
from valenceflow.potentials.cpainn.checkpoint import save_model  # noqa: E402


@pytest.fixture
def atoms(rock_salt, trained):
    made = rock_salt(seed=1)
    made.calc = CPaiNNCalculator(trained())
    return made


def test_forces_and_stress_are_those_of_finite_differences(atoms):
    assert np.allclose(atoms.get_forces(), calculate_numerical_forces(atoms, eps=1e-4), atol=1e-5)
    assert np.allclose(atoms.get_stress(), calculate_numerical_stress(atoms, eps=1e-5), atol=1e-6)


def test_elements_stay_real_and_all_results_are_there(atoms):
    atoms.get_potential_energy()
    assert set(atoms.get_chemical_symbols()) == {"Na", "Fe", "O"}
    assert atoms.get_magnetic_moments().shape == (8,)
    assert atoms.get_charges().shape == (8,)
    assert atoms.calc.results["free_energy"] == atoms.get_potential_energy()


def test_a_changed_label_gives_another_energy_and_changing_it_back_the_old_one(atoms):
    labels = atoms.arrays["oxidation_state"]
    before = atoms.get_potential_energy()
    labels[1], labels[2] = labels[2], labels[1]
    swapped = atoms.get_potential_energy()
    labels[1], labels[2] = labels[2], labels[1]
    assert abs(swapped - before) > 1e-4
    assert atoms.get_potential_energy() == before


def test_nothing_is_computed_twice(atoms, monkeypatch):
    atoms.get_forces()
    monkeypatch.setattr(atoms.calc.trained.model, "predict", lambda *_: pytest.fail("computed again"))
    atoms.get_stress()
    assert atoms.calc.check_state(atoms) == []


def test_an_element_or_state_that_was_not_trained_on_is_refused(rock_salt, trained):
    atoms = rock_salt(seed=1)
    atoms.calc = CPaiNNCalculator(trained(species=(8, 11, 26)))
    with pytest.raises(ValueError, match=r"Fe3NaO4: the model was not trained on Fe3\+ but on O, Na, Fe2\+"):
        atoms.get_potential_energy()
    atoms.calc = CPaiNNCalculator(trained())
    atoms.symbols[0] = "Li"
    with pytest.raises(ValueError, match="not trained on Li"):
        atoms.get_potential_energy()


def test_atoms_without_labels_are_refused(rock_salt, trained):
    atoms = rock_salt(seed=1, labelled=False)
    atoms.calc = CPaiNNCalculator(trained())
    with pytest.raises(ValueError, match="no oxidation state"):
        atoms.get_potential_energy()


def test_a_model_without_charge_states_takes_atoms_without_labels_and_ignores_swaps(rock_salt, trained):
    energies = []
    for atoms in (rock_salt(seed=1, labelled=False), rock_salt(seed=1, high=0), rock_salt(seed=1, high=1)):
        atoms.calc = CPaiNNCalculator(trained(map_name="elements"))
        energies.append(atoms.get_potential_energy())
    assert energies[0] == energies[1] == energies[2]


def test_a_molecule_has_no_stress(rock_salt, trained):
    atoms = rock_salt(seed=1)
    atoms.pbc = False
    atoms.calc = CPaiNNCalculator(trained())
    assert atoms.get_forces().shape == (8, 3)
    assert "stress" not in atoms.calc.results


def test_a_model_from_a_file_relaxes_atoms_with_their_labels_kept(atoms, trained, tmp_path):
    save_model(tmp_path / "model.pt", trained())
    atoms.calc = CPaiNNCalculator.from_file(tmp_path / "model.pt")
    labels = atoms.arrays["oxidation_state"].copy()
    before = atoms.get_potential_energy()
    BFGS(atoms, logfile=None).run(fmax=0.05, steps=10)
    assert atoms.get_potential_energy() < before - 0.01
    assert np.array_equal(atoms.arrays["oxidation_state"], labels)


def test_what_was_not_trained_is_not_told(rock_salt, trained):
    calculator = CPaiNNCalculator(replace(trained(), heads=("magmoms",)))
    behind = ChargeStateCalculator([calculator, CPaiNNCalculator(trained())], calculator.trained.species_map)
    for chosen in (calculator, behind):
        atoms = rock_salt(seed=1)
        atoms.calc = chosen
        assert np.isfinite(atoms.get_magnetic_moments()).all()
        with pytest.raises(PropertyNotImplementedError):
            atoms.get_charges()
        assert "charges" not in chosen.results
