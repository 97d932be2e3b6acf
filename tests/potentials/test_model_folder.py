"""Folders of trained potentials: read whole or refused, opened as calculators that agree with the upstream ones."""

import json
import pickle

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="potentials need their extra")
pytest.importorskip("chgnet", reason="CHGNet is of the potentials extra")
pytest.importorskip("mace", reason="MACE is of the potentials extra")

from valenceflow.potentials.model_folder import open_calculator, read_model  # noqa: E402
from valenceflow.potentials.species import SpeciesMap  # noqa: E402

from . import models  # noqa: E402

KINDS = ["chgnet", "mace", "cpainn"]


@pytest.fixture(scope="module")
def species_map():
    from valenceflow.inputs.charge_states import get_couple

    return SpeciesMap.shipped("charge-states").for_couples([get_couple("Fe2+/Fe3+")])


@pytest.fixture(scope="module")
def folders(tmp_path_factory, species_map):
    """One folder per kind."""
    root = tmp_path_factory.mktemp("models")
    return {kind: models.write_folder(root / kind, kind, species_map) for kind in KINDS}


@pytest.fixture
def encoded(rock_salt, species_map):
    """A rattled cell in model species."""
    atoms = rock_salt(seed=1)
    atoms.numbers = species_map.encode_atoms(atoms)
    return atoms


def upstream_results(kind, atoms):
    """What the upstream package itself says of the same weights."""
    if kind == "chgnet":
        from ase.stress import full_3x3_to_voigt_6_stress
        from ase.units import GPa
        from pymatgen.io.ase import AseAtomsAdaptor

        found = models.chgnet().predict_structure(AseAtomsAdaptor.get_structure(atoms))
        return (
            float(found["e"]) * len(atoms), found["f"], full_3x3_to_voigt_6_stress(found["s"]) * GPa, found["m"]
        )  # fmt: skip
    from mace.calculators.mace import MACECalculator
    from valenceflow.potentials.mace import set_precision

    with set_precision(torch.float64):
        calculator = MACECalculator(models=models.mace(), device="cpu", default_dtype="float64")
        fresh = atoms.copy()
        fresh.calc = calculator
        return fresh.get_potential_energy(), fresh.get_forces(), fresh.get_stress(), None


@pytest.mark.filterwarnings("ignore:Converting a tensor with requires_grad=True:UserWarning")  # CHGNet's own
@pytest.mark.parametrize("kind", ["chgnet", "mace"])
def test_a_reopened_model_says_what_upstream_says_of_it(kind, folders, encoded):
    atoms = encoded.copy()
    atoms.calc = open_calculator(folders[kind])
    energy, forces, stress, magmoms = upstream_results(kind, encoded)
    tolerance = 1e-5 if kind == "chgnet" else 1e-10
    assert atoms.get_potential_energy() == pytest.approx(energy, rel=1e-6)
    assert np.allclose(atoms.get_forces(), forces, atol=tolerance)
    assert np.allclose(atoms.get_stress(), stress, atol=tolerance)
    assert atoms.get_stress().shape == (6,)
    if magmoms is not None:
        assert np.allclose(atoms.get_magnetic_moments(), magmoms, atol=tolerance)


@pytest.mark.parametrize("kind", KINDS)
def test_swapped_labels_are_another_energy_and_precision_is_left_alone(kind, folders, rock_salt, species_map):
    energies = []
    for high in (0, 1):
        atoms = rock_salt(seed=1, high=high)
        if kind != "cpainn":
            atoms.numbers = species_map.encode_atoms(atoms)
        atoms.calc = open_calculator(folders[kind])
        energies.append(atoms.get_potential_energy())
    assert abs(energies[0] - energies[1]) > 1e-5
    assert torch.get_default_dtype() is torch.float32


@pytest.mark.parametrize("kind", KINDS)
def test_a_species_that_was_not_trained_on_is_refused_by_name(kind, folders, rock_salt):
    atoms = rock_salt(seed=1)
    atoms.numbers[0] = 3
    if kind != "cpainn":
        atoms.numbers[1] = 84
    atoms.calc = open_calculator(folders[kind])
    with pytest.raises(ValueError, match=r"not trained on Li but on O, Na, Fe2\+, Fe3\+"):
        atoms.get_potential_energy()


def test_a_folder_without_model_or_with_other_weights_is_refused(folders, tmp_path):
    with pytest.raises(ValueError, match="holds no trained model"):
        read_model(tmp_path)
    (tmp_path / "training.json").write_text("{}")
    with pytest.raises(ValueError, match="its training is unfinished"):
        read_model(tmp_path)
    doc = (folders["mace"] / "model.json").read_text()
    (tmp_path / "model.json").write_text(doc)
    with pytest.raises(ValueError, match=r"model\.pt, are missing"):
        read_model(tmp_path)
    (tmp_path / "model.pt").write_bytes((folders["cpainn"] / "model.pt").read_bytes())
    with pytest.raises(ValueError, match="is not the file that"):
        read_model(tmp_path)
    (tmp_path / "model.json").write_text(json.dumps({**json.loads(doc), "species_map": None}))
    with pytest.raises(ValueError, match="species_map"):
        read_model(tmp_path)


class Exploding:
    def __reduce__(self):
        return (pytest.fail, ("code from a file was run",))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("other", ["pickle", "architecture"])
def test_weights_of_another_kind_or_a_pickle_are_refused_and_not_run(kind, other, folders, tmp_path, species_map):
    weights = tmp_path / "model.pt"
    if other == "pickle":
        weights.write_bytes(pickle.dumps(Exploding()))
    else:
        weights.write_bytes((folders["mace" if kind == "cpainn" else "cpainn"] / "model.pt").read_bytes())
    doc = models.model_doc(tmp_path, kind, species_map)
    (tmp_path / "model.json").write_text(doc.model_dump_json())
    with pytest.raises(ValueError, match=r"no file of weights by valenceflow|where 'valenceflow-"):
        open_calculator(tmp_path)
