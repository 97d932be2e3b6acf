"""Files of weights: exact round trips; nothing in a foreign file is ever run; half a file never appears."""

import errno
import os
import pickle

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the potentials extra")

from valenceflow.potentials.weight_files import WeightFile, read_weights, write_weights  # noqa: E402

KIND = "valenceflow-test"


def small(value=1.0):
    return WeightFile(
        KIND, 1, {"said": "Å", "numbers": [1, 2.5]}, {"a": torch.full((2, 3), value, dtype=torch.float64)}
    )


class Trap:
    """Runs a command when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.fixture(params=["0", "1"])
def mace_was_here(request, monkeypatch):
    """mace tells torch to load any pickle, for the whole process."""
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", request.param)


def test_weights_come_back_exactly(tmp_path):
    write_weights(tmp_path / "w.pt", small())
    found = read_weights(tmp_path / "w.pt", KIND, 1)
    assert found.about == small().about
    assert torch.equal(found.tensors["a"], small().tensors["a"])
    assert found.tensors["a"].dtype == torch.float64
    assert [path.name for path in tmp_path.iterdir()] == ["w.pt"]


@pytest.mark.parametrize("legacy", [False, True])
def test_a_pickle_from_elsewhere_is_refused_and_not_run(tmp_path, mace_was_here, legacy):
    path, sprung = tmp_path / "model.pt", tmp_path / "sprung"
    if legacy:
        path.write_bytes(pickle.dumps({"kind": KIND, "trap": Trap(sprung)}))
    else:
        torch.save({"kind": KIND, "version": 1, "trap": Trap(sprung)}, path)
    with pytest.raises(ValueError, match="no file of weights by valenceflow") as caught:
        read_weights(path, KIND, 1)
    assert "\n" not in str(caught.value)
    assert not sprung.exists()


def test_a_whole_pickled_module_is_refused(tmp_path):
    torch.save(torch.nn.Linear(2, 2), tmp_path / "module.pt")
    with pytest.raises(ValueError, match="pickled models are not read"):
        read_weights(tmp_path / "module.pt", KIND, 1)


def test_weights_of_another_program_or_kind_or_version_are_refused(tmp_path):
    torch.save(torch.nn.Linear(2, 2).state_dict(), tmp_path / "other.pt")
    with pytest.raises(ValueError, match="some other program"):
        read_weights(tmp_path / "other.pt", KIND, 1)
    write_weights(tmp_path / "w.pt", small())
    with pytest.raises(ValueError, match="holds 'valenceflow-test' where 'valenceflow-cpainn' is needed"):
        read_weights(tmp_path / "w.pt", "valenceflow-cpainn", 1)
    write_weights(tmp_path / "new.pt", WeightFile(KIND, 2, {}, {}))
    with pytest.raises(ValueError, match=r"layout 2 .* update valenceflow"):
        read_weights(tmp_path / "new.pt", KIND, 1)


@pytest.mark.parametrize("share", [0, 0.1, 0.5, 0.9, 0.999])
def test_a_file_cut_short_is_refused(tmp_path, share):
    path = tmp_path / "w.pt"
    write_weights(path, small())
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(ValueError, match=r"w.pt: "):
        read_weights(path, KIND, 1)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"nowhere.pt: cannot be read"):
        read_weights(tmp_path / "nowhere.pt", KIND, 1)


def test_random_bytes_are_refused(tmp_path):
    rng = np.random.default_rng(0)
    for number in range(20):
        (tmp_path / "noise.pt").write_bytes(rng.bytes(200 * number))
        with pytest.raises(ValueError, match=r"noise.pt"):
            read_weights(tmp_path / "noise.pt", KIND, 1)


def test_a_full_disk_leaves_the_old_file_and_says_so(tmp_path, monkeypatch):
    path = tmp_path / "w.pt"
    write_weights(path, small())

    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"checkpoint not written .No space left"):
        write_weights(path, small(2.0))
    monkeypatch.undo()
    assert read_weights(path, KIND, 1).tensors["a"][0, 0] == 1.0
    assert [entry.name for entry in tmp_path.iterdir()] == ["w.pt"]
