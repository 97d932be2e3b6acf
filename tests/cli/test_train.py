"""`train` and `models` at the command line: what they print, and one line where something must be changed."""

import json

import pytest

pytest.importorskip("torch", reason="potentials need their extra")

from ..potentials.conftest import rock_salt  # noqa: F401 - fixture
from ..potentials.sets import make_set


@pytest.fixture(scope="module")
def data_set(tmp_path_factory, rock_salt):  # noqa: F811
    """Nine frames to train on, three to validate."""
    return make_set(tmp_path_factory.mktemp("cli") / "set", rock_salt, formats=["cpainn"])


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A configuration that takes a second."""
    path = tmp_path_factory.mktemp("config") / "small.yaml"
    path.write_text("model: {features: 8, cutoff: 3.2, n_radial: 6}\ntraining: {batch_size: 3, seed: 4}\n")
    return path


def test_a_model_is_trained_registered_and_listed(data_set, small, tmp_path, call):
    arguments = [
        "train", "cpainn", "--dataset", data_set, "--out", tmp_path / "models" / "one", "--preset", "tiny",
        "--config", small, "--epochs", 2,
    ]  # fmt: skip
    answer = call(*arguments)
    assert answer.code == 0, answer.err
    assert "cpainn with charge states, 4,0" in answer.out or "parameters, on 9 frames" in answer.out
    assert "MAE on 3 validation frames: energy" in answer.out
    assert "meV/atom, forces" in answer.out
    assert "of a constant in its place: energy" in answer.out
    assert answer.err.startswith("a constant in the model's place: energy")
    assert answer.err.count("epoch ") == 2
    fewer = call(*arguments[:-1], 1)
    assert "note: it had 2 epochs already; a model of 1 needs a folder of its own" in fewer.out
    again = call(*arguments, "--json")
    doc = json.loads(again.out)
    assert doc["seed"] == 4
    assert doc["config"]["model"]["features"] == 8
    assert "epoch " not in again.err
    listed = json.loads(call("models", tmp_path / "models", "--json").out)
    assert [entry["model"] for entry in listed] == [doc]
    assert "cpainn with charge states, tiny, vasp" in call("models", tmp_path / "models").out


def test_a_damaged_document_of_a_model_is_told_in_short(data_set, small, tmp_path, call, refused):
    out = tmp_path / "one"
    arguments = ["train", "cpainn", "--dataset", data_set, "--out", out, "--preset", "tiny", "--config", small,
                 "--epochs", 1]  # fmt: skip
    assert call(*arguments).code == 0
    (out / "model.json").write_text((out / "model.json").read_text()[:-30])
    words = refused(*arguments)
    assert f"{out / 'model.json'}: is damaged (Invalid JSON" in words
    assert words.endswith("; copy the whole folder again")
    assert len(words) < 500
    assert f"or remove {out} to start anew" in refused(*arguments, "--seed", 7)


def test_a_full_disk_at_a_checkpoint_is_one_line_and_the_training_goes_on_afterwards(
    data_set, small, tmp_path, refused, call, monkeypatch
):
    import errno

    from valenceflow.potentials import weight_files

    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    arguments = [
        "train", "cpainn", "--dataset", data_set, "--out", tmp_path / "one", "--preset", "tiny", "--config", small,
        "--epochs", 1, "--json",
    ]  # fmt: skip
    with monkeypatch.context() as patched:
        patched.setattr(weight_files.os, "fsync", full)
        assert "checkpoint not written (No space left on device); make room and run again" in refused(*arguments)
    assert not list((tmp_path / "one").glob("*.partial"))
    assert call(*arguments).code == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["gnome", "--dataset", "set", "--out", "x"], "model 'gnome' is unknown; choose one of chgnet, mace, cpainn"),
        (["mace"], "say on what and where to: --dataset FOLDER --out FOLDER"),
        (["mace", "--dataset", "nothing", "--out", "x"], "nothing: is no data set"),
        (["mace", "--dataset", "set", "--out", "x", "--preset", "huge"], "unknown preset 'huge' of mace"),
        (["mace", "--dataset", "set", "--out", "x", "--config", "none.yaml"], "none.yaml: not readable"),
        (["mace", "--dataset", "set", "--out", "x", "--learning-rate", "-1"], "training.learning_rate"),
        (
            ["mace", "--dataset", "set", "--out", "x", "--from", "y"],
            "y: no such folder; mace begins from the folder of a model",
        ),
        (["mace", "--dataset", "set", "--out", "x", "--species-map", "mine"], "unknown species map 'mine'"),
        (["mace", "--dataset", "set", "--out", "x", "--device", "tpu"], "device 'tpu': torch cannot use it here"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(arguments, said, data_set, tmp_path, monkeypatch, refused):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "set").symlink_to(data_set)
    assert said in refused("train", *arguments)
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


def test_a_registry_that_is_not_there_is_said(tmp_path, refused):
    assert "no such registry" in refused("models", tmp_path)
