"""All three models trained on one small set, with charge states and without, also after a kill and from a parent."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="potentials need their extra")
pytest.importorskip("chgnet", reason="CHGNet is of the potentials extra")
pytest.importorskip("mace", reason="MACE is of the potentials extra")

from valenceflow.potentials.model_folder import open_calculator, read_model  # noqa: E402
from valenceflow.potentials.presets import settings_of  # noqa: E402
from valenceflow.potentials.train import TrainingRequest, train_model  # noqa: E402
from valenceflow.potentials.training_frames import open_set, read_frames  # noqa: E402
from valenceflow.potentials.watching import TrainingDivergedError, Watcher  # noqa: E402

from .models import TINY_CHGNET  # noqa: E402
from .sets import make_set  # noqa: E402

# MACE trains in a process of its own, which imports torch and e3nn anew every time.
KINDS = ["chgnet", pytest.param("mace", marks=pytest.mark.slow), "cpainn"]
MODELS = {
    "chgnet": {**TINY_CHGNET, "mlp_hidden_dims": [16], "atom_graph_cutoff": 4.0},
    "mace": {"num_channels": 4, "max_ell": 1, "r_max": 3.5, "num_radial_basis": 4, "radial_MLP": [8]},
    "cpainn": {"features": 8, "cutoff": 3.2, "n_radial": 6},
}
TRAINING = {"epochs": 2, "batch_size": 3, "learning_rate": 5e-3}


def request(kind, data_set, out, parent=None, charge_states=True, **training):
    changes = {"model": MODELS[kind], "training": {**TRAINING, **training}}
    return TrainingRequest(kind, data_set, out, settings_of(kind, "tiny", changes), "tiny", charge_states, None, parent)


@pytest.fixture(scope="session")
def data_set(tmp_path_factory, rock_salt):
    """Nine frames to train on, three to validate."""
    return make_set(tmp_path_factory.mktemp("training") / "set", rock_salt, formats=["cpainn"])


@pytest.fixture(scope="session")
def trained(tmp_path_factory, data_set):
    """Function that trains a model, once per kind and way; returns its folder."""
    root, done = tmp_path_factory.mktemp("trained"), {}

    def make(kind, charge_states=True):
        if (kind, charge_states) not in done:
            out = root / f"{kind}-{charge_states}"
            train_model(request(kind, data_set, out, charge_states=charge_states))
            done[kind, charge_states] = out
        return done[kind, charge_states]

    return make


def weights_of(folder):
    return torch.load(folder / "model.pt", weights_only=True)["tensors"]


def calculate(folder, atoms):
    """Results of a model for atoms with oxidation states."""
    doc = read_model(folder)
    atoms = atoms.copy()
    if doc.kind != "cpainn":
        atoms.numbers = doc.species_map.encode_atoms(atoms)
    atoms.calc = open_calculator(folder)
    atoms.get_potential_energy()
    return atoms.calc.results


@pytest.mark.parametrize("kind", KINDS)
def test_swapped_labels_change_the_energy_of_embedded_models_and_of_no_plain_one(kind, trained, rock_salt):
    for charge_states in (True, False):
        one, other = (
            calculate(trained(kind, charge_states), rock_salt(seed=5, high=high))["energy"] for high in (0, 1)
        )
        assert (one != other) is charge_states
        assert abs(one - other) > 1e-4 or not charge_states


@pytest.mark.parametrize("kind", KINDS)
def test_a_folder_holds_model_card_log_and_curve(kind, trained, data_set):
    folder = trained(kind)
    doc = read_model(folder)
    assert {path.name for path in folder.iterdir()} == {
        "model.json", "model.pt", "training.json", "training.pt", "README.md", "log.jsonl", "learning_curve.svg"
    }  # fmt: skip
    log = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    assert [epoch["epoch"] for epoch in log] == [1, 2] == list(range(1, doc.n_epochs + 1))
    frames = read_frames(open_set(data_set), "valid", doc.species_map)
    assert doc.baseline["forces"].mae == np.mean([np.abs(frame.forces) for frame in frames])
    card = (folder / "README.md").read_text()
    assert f"| forces | {1000 * doc.errors['forces'].mae:.3g} |" in card
    assert f"| {1000 * doc.baseline['forces'].mae:.3g} | meV/Å |" in card
    assert doc.errors["energy"].mae == log[doc.best_epoch - 1]["errors"]["energy"]["mae"]
    assert doc.data_set.checksum == open_set(data_set).reference.checksum
    assert doc.config == settings_of(kind, "tiny", {"model": MODELS[kind], "training": TRAINING}).model_dump(
        mode="json"
    )
    assert "Fe3+ | 84" in card
    assert doc.species == [8, 11, 26, 84]


@pytest.mark.parametrize("kind", KINDS)
def test_reference_energies_of_charge_states_are_tied(kind, trained):
    references = read_model(trained(kind)).reference_energies
    assert references[26] == pytest.approx(references[84], rel=1e-6)
    assert references[26] != references[8]


@pytest.mark.parametrize("kind", KINDS)
def test_errors_are_those_of_the_kept_model_in_physical_units(kind, trained, data_set):
    """Trainers tell errors in units of their own (CHGNet: GPa, eV/atom); ours come from the reopened calculator."""
    from ase.stress import full_3x3_to_voigt_6_stress

    doc = read_model(trained(kind))
    source = open_set(data_set)
    images = list(read_images(source))
    frames = read_frames(source, "valid", doc.species_map)
    errors = {"energy": [], "forces": [], "stress": [], "magmoms": []}
    for atoms, frame in zip(images, frames, strict=True):
        found = calculate(trained(kind), atoms)
        errors["energy"].append(np.array([found["energy"] - frame.energy]) / len(atoms))
        errors["forces"].append(found["forces"] - frame.forces)
        voigt = found["stress"] - full_3x3_to_voigt_6_stress(frame.stress)
        errors["stress"].append(np.concatenate([voigt, voigt[3:]]))  # off-diagonal ones count twice among nine
        if "magmoms" in doc.errors:
            errors["magmoms"].append(found["magmoms"] - frame.magmoms)
    for target, score in doc.errors.items():
        mean = np.abs(np.concatenate([np.ravel(values) for values in errors[target]])).mean()
        assert mean == pytest.approx(score.mae, rel=2e-4, abs=2e-6), target  # CHGNet rounds its own to six decimals


def read_images(source):
    from ase.io import iread

    return iread(source.folder / "cpainn" / "valid.xyz")


@pytest.mark.parametrize("kind", KINDS)
def test_a_training_that_was_killed_ends_with_the_same_weights(kind, trained, data_set, tmp_path):
    def kill(done, of):
        raise KeyboardInterrupt

    heard = []
    once = Watcher(on_epoch=lambda epoch: heard.append(epoch.epoch))
    first = replace(once, on_epoch=lambda epoch: kill(0, 0))
    with pytest.raises(KeyboardInterrupt):
        train_model(request(kind, data_set, tmp_path / "cut"), first)
    with pytest.raises(ValueError, match="its training is unfinished"):
        read_model(tmp_path / "cut")
    train_model(request(kind, data_set, tmp_path / "cut"), once)
    assert heard != [1, 2] or kind == "cpainn"  # which keeps its state every minute
    whole, cut = weights_of(trained(kind)), weights_of(tmp_path / "cut")
    assert set(whole) == set(cut)
    assert all(torch.equal(whole[name], cut[name]) for name in whole)
    log = (tmp_path / "cut" / "log.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in log] == [1, 2]


def test_a_finished_training_is_found_and_another_one_refused(trained, data_set):
    def never(*_):
        pytest.fail("trained again")

    folder = trained("cpainn")
    again = train_model(request("cpainn", data_set, folder), Watcher(on_step=never))
    assert again == read_model(folder)
    with pytest.raises(ValueError, match=r"is of another training: seed \(0 there, 1 now\) differ"):
        train_model(request("cpainn", data_set, folder, seed=1))
    with pytest.raises(ValueError, match="exists and holds no training"):
        train_model(request("cpainn", data_set, data_set))


@pytest.mark.parametrize("kind", [pytest.param("mace", marks=pytest.mark.slow), "cpainn"])
def test_more_epochs_go_on_from_a_finished_training_to_the_same_weights(kind, trained, data_set, tmp_path):
    short = train_model(request(kind, data_set, tmp_path / "model", epochs=1))
    assert short.n_epochs == 1
    longer = train_model(request(kind, data_set, tmp_path / "model"))
    assert longer.n_epochs == read_model(tmp_path / "model").n_epochs == 2
    whole, found = weights_of(trained(kind)), weights_of(tmp_path / "model")
    assert all(torch.equal(whole[name], found[name]) for name in whole)
    again = train_model(request(kind, data_set, tmp_path / "model", epochs=1))  # fewer are there already
    assert again.n_epochs == 2


def test_a_training_that_lost_its_patience_goes_on_where_more_is_asked_for(data_set, tmp_path):
    impatient = request(
        "cpainn", data_set, tmp_path / "model", epochs=8, learning_rate=0.1, ema_decay=None, stop_patience=1
    )
    short = train_model(impatient)
    assert short.n_epochs < 8
    assert short.stopped == "no better validation loss in 1 epoch"
    assert train_model(impatient) == short
    patient = request(
        "cpainn", data_set, tmp_path / "model", epochs=8, learning_rate=0.1, ema_decay=None, stop_patience=8
    )
    assert train_model(patient).stopped == "8 epochs done"
    (tmp_path / "model" / "log.jsonl").write_text("{}\n")
    with pytest.raises(ValueError, match=r"log.jsonl: is damaged .*; train in a new folder"):
        train_model(patient)
    (tmp_path / "model" / "log.jsonl").unlink()
    with pytest.raises(ValueError, match=r"log.jsonl: No such file"):
        train_model(patient)


def test_a_finished_model_stays_where_more_epochs_cannot_begin(trained, data_set, tmp_path, monkeypatch):
    shutil.copytree(trained("cpainn"), tmp_path / "model")

    def unreadable(*_):
        raise ValueError("damaged")

    monkeypatch.setattr("valenceflow.potentials.train.read_frames", unreadable)
    with pytest.raises(ValueError, match="damaged"):
        train_model(request("cpainn", data_set, tmp_path / "model", epochs=3))
    assert read_model(tmp_path / "model").n_epochs == 2


def test_another_number_of_epochs_is_another_training_of_chgnet(trained, data_set):
    with pytest.raises(ValueError, match="epochs"):
        train_model(request("chgnet", data_set, trained("chgnet"), epochs=3))


def test_moments_of_chgnet_are_told_where_they_were_trained(trained, data_set, tmp_path):
    from valenceflow.potentials.chgnet import open_chgnet
    from valenceflow.potentials.chgnet_training import train_chgnet

    species_map = read_model(trained("chgnet")).species_map
    frames = [
        replace(frame, magmoms=np.full(len(frame.crystal), np.nan))
        for frame in read_frames(open_set(data_set), "train", species_map)
    ]
    settings = request("chgnet", data_set, tmp_path, epochs=1).settings
    train_chgnet(frames[:3], frames[3:5], species_map, settings, tmp_path, {})
    assert "magmoms" not in open_chgnet(tmp_path / "model.pt").implemented_properties
    assert "magmoms" in open_calculator(trained("chgnet")).implemented_properties


@pytest.mark.parametrize("kind", KINDS)
def test_a_training_that_diverges_names_the_frame(kind, data_set, tmp_path):
    rates = {"learning_rate": 1e30, "batch_size": 1}
    if kind == "cpainn":
        rates["clip_gradient"] = None
    with pytest.raises(TrainingDivergedError, match=r"epoch 1.*train frame \d|epoch 1.*valid frame \d"):
        train_model(request(kind, data_set, tmp_path / "out", **rates))


def test_a_batch_that_fills_the_gpu_is_named(data_set, tmp_path, monkeypatch):
    def full(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr("chgnet.model.CHGNet.forward", full)
    with pytest.raises(ValueError, match=r"epoch 1: GPU out of memory on the batch of train frame \d.*--batch-size"):
        train_model(request("chgnet", data_set, tmp_path / "out"))


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_goes_on_from_a_plain_one_with_its_charge_states_beginning_as_the_element(
    kind, trained, data_set, tmp_path, rock_salt
):
    """One epoch with a vanishing learning rate: the fine-tuned model is its parent, whatever the labels."""
    parent = trained(kind, False)
    quiet = {"epochs": 1, "learning_rate": 1e-12}
    if kind == "cpainn":
        quiet["ema_decay"] = None
    doc = train_model(request(kind, data_set, tmp_path / "out", parent=str(parent), **quiet))
    atoms = [rock_salt(seed=seed, high=high) for seed, high in ((5, 0), (5, 1), (6, 0))]
    ours = [calculate(tmp_path / "out", one) for one in atoms]
    theirs = [calculate(parent, one) for one in atoms]
    assert ours[0]["energy"] == pytest.approx(ours[1]["energy"], abs=2e-5)
    # References move by one fit: every cell of one composition by the same energy.
    moves = [one["energy"] - other["energy"] for one, other in zip(ours, theirs, strict=True)]
    assert moves == pytest.approx([moves[0]] * 3, abs=5e-5)
    assert np.allclose(ours[0]["forces"], theirs[0]["forces"], atol=1e-4)
    assert doc.parent == str(parent)
    assert doc.reference_energies[84] == pytest.approx(doc.reference_energies[26], rel=1e-6)


def test_parents_of_another_kind_or_pickles_are_refused(trained, data_set, tmp_path):
    with pytest.raises(ValueError, match="holds a cpainn, not a mace"):
        train_model(request("mace", data_set, tmp_path / "out", parent=str(trained("cpainn"))))
    pickle = tmp_path / "large.model"
    torch.save(torch.nn.Linear(1, 1), pickle)
    for kind, said in (("mace", "are pickles"), ("chgnet", "cannot be read as weights only")):
        with pytest.raises(ValueError, match=said):
            train_model(request(kind, data_set, tmp_path / "out", parent=str(pickle)))
    with pytest.raises(ValueError, match=r"nor a pretrained model: 0\.3\.0, r2scan"):
        train_model(request("chgnet", data_set, tmp_path / "out", parent="0.9.9"))
    assert not (tmp_path / "out").exists()
