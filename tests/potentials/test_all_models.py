"""All three kinds of trained models behind the calculator that knows charge states."""

import subprocess
import sys

import numpy as np
import pytest
from ase.calculators.fd import calculate_numerical_forces, calculate_numerical_stress

torch = pytest.importorskip("torch", reason="potentials need their extra")
pytest.importorskip("chgnet", reason="CHGNet is of the potentials extra")
pytest.importorskip("mace", reason="MACE is of the potentials extra")

from valenceflow.inputs.charge_states import get_couple  # noqa: E402
from valenceflow.potentials.embeddings import last_layer  # noqa: E402
from valenceflow.potentials.open_models import ModelChoice, charge_state_calculator, open_models  # noqa: E402
from valenceflow.potentials.species import SpeciesMap  # noqa: E402

from . import models  # noqa: E402

KINDS = ["chgnet", "mace", "cpainn"]
STATES = SpeciesMap.shipped("charge-states").for_couples([get_couple("Fe2+/Fe3+")])
STEP = {"chgnet": (2e-2, 2e-2), "mace": (1e-4, 1e-4), "cpainn": (1e-4, 1e-4)}
"""Displacement (A) and tolerance (eV/A); CHGNet computes in single precision."""


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """One folder per kind and map."""
    root = tmp_path_factory.mktemp("models")
    return {
        (kind, species_map.name): models.write_folder(root / f"{kind}-{species_map.name}", kind, species_map)
        for kind in KINDS
        for species_map in (STATES, SpeciesMap.shipped("elements"))
    }


@pytest.mark.parametrize("kind", KINDS)
def test_swapping_labels_changes_the_energy_of_models_that_know_them_and_of_no_other(kind, folders, rock_salt):
    changes = {}
    for name in ("charge-states", "elements"):
        energies = []
        for high in (0, 1):
            atoms = rock_salt(seed=1, high=high)
            atoms.calc = charge_state_calculator(folders[kind, name])
            energies.append(atoms.get_potential_energy())
        changes[name] = abs(energies[1] - energies[0])
    assert changes["charge-states"] > 1e-5
    assert changes["elements"] == 0


@pytest.mark.parametrize("kind", KINDS)
def test_forces_and_stress_are_those_of_finite_differences(kind, folders, rock_salt):
    atoms = rock_salt(seed=1)
    atoms.calc = charge_state_calculator(folders[kind, "charge-states"])
    eps, tolerance = STEP[kind]
    found = calculate_numerical_forces(atoms, eps=eps, iatoms=[1, 4])
    assert np.allclose(atoms.get_forces()[[1, 4]], found, atol=tolerance)
    strain = eps / 4
    assert np.allclose(atoms.get_stress(), calculate_numerical_stress(atoms, eps=strain), atol=tolerance)


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_is_opened_without_a_word_on_the_output(kind, folders, capfd):
    charge_state_calculator(folders[kind, "charge-states"])
    assert capfd.readouterr().out == ""


@pytest.mark.slow
def test_what_is_imported_for_a_model_says_nothing_on_the_output():
    modules = ", ".join(f"valenceflow.potentials.{name}" for name in ("mace", "chgnet", "batched_models", "read_back"))
    done = subprocess.run([sys.executable, "-c", f"import {modules}"], capture_output=True, text=True, check=True)
    assert done.stdout == ""


def test_maces_last_layer_has_a_row_per_atom(folders, rock_salt):
    features, layer = last_layer(charge_state_calculator(folders["mace", "charge-states"]), rock_salt(seed=1))
    assert features.shape == (8, 8)
    assert layer == "MACE: input of readout 2, the last"


def test_an_ensemble_has_one_species_map(folders):
    with pytest.raises(ValueError, match="an ensemble has one map"):
        open_models([folders["mace", "charge-states"], folders["mace", "elements"]])
    assert ModelChoice((str(folders["mace", "charge-states"]), "b")).title == "mace-charge-states + b"


def test_results_of_other_weights_do_not_pass_for_a_models(folders):
    marks = {ModelChoice((str(folder),)).fingerprint() for folder in folders.values()}
    marks.add(ModelChoice((str(folders["mace", "elements"]),), dtype="float32").fingerprint())
    assert len(marks) == len(folders) + 1


def test_pretrained_chgnet_knows_fe3_as_ga(olivine):
    """Another charge order of one sodium order is another energy, and no warning is heard."""
    from valenceflow.potentials.labelling import atoms_of_ordering

    calculator = charge_state_calculator("pretrained-chgnet")
    energies = []
    for key in ("3.3", "3.5"):
        atoms = atoms_of_ordering(olivine, get_couple("Fe2+/Fe3+"), key)
        atoms.calc = calculator
        energies.append(atoms.get_potential_energy())
    assert abs(energies[0] - energies[1]) > 0.1
    assert atoms.get_stress().shape == (6,)
    assert set(atoms.get_chemical_symbols()) == {"Na", "Fe", "P", "O"}
