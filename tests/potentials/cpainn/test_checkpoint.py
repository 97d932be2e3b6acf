"""Models as files: exact, with their species map, and refused where anything does not fit."""

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="cPaiNN needs the potentials extra")

from valenceflow.potentials.cpainn.checkpoint import KIND, VERSION, load_model, save_model  # noqa: E402
from valenceflow.potentials.cpainn.settings import ModelSettings  # noqa: E402
from valenceflow.potentials.weight_files import WeightFile, read_weights, write_weights  # noqa: E402


@pytest.fixture
def file(trained, tmp_path):
    path = tmp_path / "model.pt"
    save_model(path, trained())
    return path


def rewritten(path, tensors=None, **changes):
    """The same file with parts of its description replaced, or (None) left out."""
    file = read_weights(path, KIND, VERSION)
    about = {name: value for name, value in {**file.about, **changes}.items() if value is not None}
    write_weights(path, WeightFile(KIND, VERSION, about, tensors or file.tensors))
    return path


def test_a_model_predicts_the_same_to_the_last_bit_after_saving(file, trained, predict, rock_salt):
    before, after = trained(), load_model(file)
    one, other = predict(before.model, rock_salt(seed=1)), predict(after.model, rock_salt(seed=1))
    assert np.array_equal(one.energies, other.energies)
    assert np.array_equal(one.forces, other.forces)
    assert (after.species_map, after.species, after.about) == (before.species_map, before.species, before.about)
    assert after.model.energies == before.model.energies


def test_a_model_can_be_loaded_in_another_precision(file):
    assert load_model(file).model.dtype == torch.float64
    single = load_model(file, dtype=torch.float32).model
    assert single.dtype == torch.float32
    assert single.energies.references[26] == -8.25


def test_loading_leaves_the_random_numbers_of_the_process_alone(file):
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    load_model(file)
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("missing", ["species_map", "architecture", "energies", "species"])
def test_a_model_that_lost_a_part_is_refused(file, missing):
    with pytest.raises(ValueError, match=f"does not say its {missing}; a model without it cannot be used"):
        load_model(rewritten(file, **{missing: None}))


def test_a_broken_species_map_is_refused(file):
    broken = {"name": "paper", "states": {"Fe": {"2": 25}}}
    with pytest.raises(ValueError, match="lowest state of Fe must keep"):
        load_model(rewritten(file, species_map=broken))


def test_weights_of_another_architecture_are_refused(file, make_model):
    other = ModelSettings(features=13, n_layers=3, cutoff=3.2, n_radial=6)
    with pytest.raises(ValueError, match=r"embedding.weight has shape \(119, 12\) where .* needs \(119, 13\)"):
        load_model(rewritten(file, architecture=other.model_dump()))
    tensors = {**make_model().state_dict(), "extra": torch.zeros(1)}
    with pytest.raises(ValueError, match=r"needs \(119, 13\)"):
        load_model(rewritten(file, tensors))
    with pytest.raises(ValueError, match=r"extra has shape \(1,\) where the architecture needs none"):
        load_model(rewritten(file, tensors, architecture=make_model().settings.model_dump()))


def test_an_architecture_that_cannot_be_is_refused(file):
    with pytest.raises(ValueError, match=r"model.pt: cutoff: "):
        load_model(rewritten(file, architecture={"cutoff": -1.0}))


def test_heads_that_were_trained_are_known_after_loading_and_of_older_files_by_their_errors(trained, tmp_path):
    path = tmp_path / "model.pt"
    save_model(path, replace(trained(), heads=("magmoms",)))
    assert load_model(path).heads == ("magmoms",)
    assert load_model(rewritten(path, heads=None)).heads == ("magmoms", "charges")  # and nothing else is told
    errors = {"energy": {}, "forces": {}, "charges": {}}
    assert load_model(rewritten(path, heads=None, about={"errors": errors})).heads == ("charges",)
