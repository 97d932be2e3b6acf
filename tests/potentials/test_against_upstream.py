"""What upstream's own trainers and models do with the same data: the traps of CHGNet and MACE, and the same weights."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from ase.units import GPa

torch = pytest.importorskip("torch", reason="potentials need their extra")
pytest.importorskip("chgnet", reason="CHGNet is of the potentials extra")
pytest.importorskip("mace", reason="MACE is of the potentials extra")

from valenceflow.potentials.chgnet import TrainedChgnet  # noqa: E402
from valenceflow.potentials.chgnet_parents import architecture_settings, open_chgnet_checkpoint  # noqa: E402
from valenceflow.potentials.chgnet_training import adopt_weights, initial_model  # noqa: E402
from valenceflow.potentials.cpainn.frames import frame_from_atoms  # noqa: E402
from valenceflow.potentials.mace_flags import mace_flags  # noqa: E402
from valenceflow.potentials.mace_job import Job  # noqa: E402
from valenceflow.potentials.mace_process import train_mace, write_job  # noqa: E402
from valenceflow.potentials.model_folder import read_model  # noqa: E402
from valenceflow.potentials.presets import PRESETS, ChgnetSettings, MaceSettings, settings_of  # noqa: E402
from valenceflow.potentials.reference_energies import fit_reference_energies  # noqa: E402
from valenceflow.potentials.species import SpeciesMap  # noqa: E402
from valenceflow.potentials.training_frames import open_set, read_frames  # noqa: E402

from .test_training import MODELS, data_set, trained  # noqa: E402, F401 - fixtures

PAPER = SpeciesMap.shipped("paper")


@pytest.fixture(scope="module")
def sides(data_set):  # noqa: F811
    """Frames to train on and to validate."""
    source = open_set(data_set)
    return read_frames(source, "train", PAPER), read_frames(source, "valid", PAPER)


@pytest.mark.slow
def test_mace_ends_with_the_weights_that_mace_run_train_ends_with(data_set, trained, tmp_path):  # noqa: F811
    """Same flags, same seed: upstream's program and our process, two epochs each."""
    folder = trained("mace")
    doc = read_model(folder)
    source = open_set(data_set)
    frames = [read_frames(source, side, doc.species_map) for side in ("train", "valid")]
    settings = MaceSettings.model_validate(doc.config)
    job = Job.read(write_job(tmp_path, *frames, doc.species_map, settings, folder, {}))
    flags = mace_flags(settings, job.training, job.validation, job.references, "theirs")
    done = subprocess.run(
        [sys.executable, "-m", "mace.cli.run_train", *flags, "--plot=False", f"--work_dir={tmp_path}"],
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"},
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    ours = torch.load(folder / "model.pt", weights_only=True)["tensors"]
    (checkpoint,) = Path(tmp_path / "checkpoints").glob("*.pt")
    theirs = torch.load(checkpoint, weights_only=True)["model"]
    assert set(ours) == set(theirs)
    for name, tensor in theirs.items():
        assert torch.allclose(ours[name], tensor, rtol=0, atol=1e-12), name


def test_the_universal_chgnet_and_its_own_checkpoint_agree_with_the_preset():
    """412,525 parameters; architecture and training arguments are those in the released checkpoint."""
    universal, _ = open_chgnet_checkpoint("0.3.0")
    assert architecture_settings(universal) == ChgnetSettings().model
    assert sum(weights.numel() for weights in universal.model.parameters()) == 412_525
    path = Path(__import__("chgnet").__file__).parent / "pretrained/0.3.0/chgnet_0.3.0_e29f68s314m37.pth.tar"
    arguments = torch.load(path, map_location="cpu", weights_only=True)["trainer_args"]
    training = PRESETS["chgnet"]["universal"].training
    assert (training.learning_rate, training.epochs, training.criterion, training.optimizer, training.scheduler) == (
        arguments["learning_rate"], arguments["epochs"], arguments["criterion"], arguments["optimizer"],
        arguments["scheduler"],
    )  # fmt: skip
    ratios = ("energy_loss_ratio", "force_loss_ratio", "stress_loss_ratio", "mag_loss_ratio")
    weights = (training.energy_weight, training.forces_weight, training.stress_weight, training.magmoms_weight)
    assert weights == tuple(arguments[name] for name in ratios)


@pytest.mark.filterwarnings("ignore:Converting a tensor with requires_grad=True:UserWarning")  # CHGNet's own
def test_pretrained_chgnet_with_new_rows_gives_its_own_energies(rock_salt):
    from pymatgen.core import Structure

    start, _ = open_chgnet_checkpoint("0.3.0")
    model = initial_model(ChgnetSettings(), PAPER, start)
    atoms = rock_salt(seed=3)

    def energy(of, numbers):
        return float(of.predict_structure(Structure(atoms.cell.array, numbers, atoms.get_scaled_positions()))["e"])

    plain = energy(start.model, atoms.numbers)
    assert energy(model, PAPER.encode_atoms(atoms)) == pytest.approx(plain, abs=1e-6)
    assert energy(start.model, PAPER.encode_atoms(atoms)) != pytest.approx(plain, abs=1e-2), "Ga is another element"


def test_a_parent_of_another_architecture_is_refused():
    start, _ = open_chgnet_checkpoint("0.3.0")
    tiny = PRESETS["chgnet"]["tiny"]
    with pytest.raises(ValueError, match="the model to start from has another architecture"):
        adopt_weights(initial_model(tiny, PAPER, None), TrainedChgnet(start.model, PAPER, ()), PAPER)


def test_chgnets_own_reference_energies_fail_where_ours_hold():
    """Neutrality makes counts of charge states depend on the others': CHGNet's single-precision fit is far off."""
    from chgnet.model.composition_model import AtomRef
    from pymatgen.core import Structure

    rng = np.random.default_rng(0)
    species, energies, structures = [], [], []
    for _ in range(60):
        sodium, trivalent = rng.integers(1, 5), rng.integers(0, 4)
        iron = trivalent + rng.integers(1, 4)
        oxygen = sodium + 3 * trivalent + 2 * (iron - trivalent)  # neutral with an O of charge -1: still dependent
        numbers = [11] * sodium + [26] * (iron - trivalent) + [31] * trivalent + [8] * oxygen
        species.append(numbers)
        energies.append(float(-1.5 * sodium - 8.0 * iron - 5.0 * oxygen + 0.01 * rng.normal()))
        structures.append(Structure(np.eye(3) * 9, numbers, rng.random((len(numbers), 3))))
    fit = fit_reference_energies(species, energies, PAPER)
    assert np.abs(fit.residuals).max() < 0.01
    assert fit.by_species[26] == fit.by_species[31] == pytest.approx(-8.0, abs=0.05)
    own = AtomRef(is_intensive=True)
    own.fit(structures, [energy / len(numbers) for energy, numbers in zip(energies, species, strict=True)])
    theirs = own.fc.weight.detach().numpy()[0]
    assert abs(theirs[25] - theirs[30]) > 1e-3, "untied, the two states differ by nothing that the data say"


def test_an_atom_without_neighbours_is_named_and_not_replaced_by_another_frame(tmp_path, rock_salt, sides):
    from valenceflow.potentials.chgnet_training import train_chgnet

    atoms = rock_salt(seed=1)
    atoms.set_cell(np.eye(3) * 60.0)
    atoms.positions = np.arange(24).reshape(8, 3) * 7.0
    atoms.info |= {"REF_energy": 0.0}
    atoms.set_array("REF_forces", np.zeros((8, 3)))
    lonely = frame_from_atoms(atoms, PAPER, "the lonely one")
    settings = settings_of("chgnet", "tiny", {"training": {"epochs": 1}})
    with pytest.raises(ValueError, match="the lonely one: CHGNet cannot make a graph"):
        train_chgnet([*sides[0], lonely], sides[1], PAPER, settings, tmp_path, {})


def test_chgnet_gets_stress_in_kbar_with_vasps_sign_and_energies_per_atom(sides):
    """Through `StructureData`, whose numbers are GPa with tension positive."""
    from chgnet.trainer.trainer import CombinedLoss
    from valenceflow.potentials.chgnet_training import Run
    from valenceflow.potentials.watching import Watcher

    settings = settings_of("chgnet", "tiny", {"model": MODELS["chgnet"], "training": {"batch_size": 3}})
    run = Run(initial_model(settings, PAPER, None), settings, *sides, Watcher())
    assert run.targets == "efsm"
    assert isinstance(run.trainer.criterion.criterion, CombinedLoss)
    for index, frame in enumerate(sides[0]):
        graph, targets = run.data[0][index]
        assert float(targets["e"]) == pytest.approx(frame.energy / 8, rel=1e-6)
        assert np.allclose(targets["s"].numpy(), frame.stress / GPa, atol=1e-5)
        assert (graph.atomic_number.numpy() == frame.crystal.species).all()


def test_mace_refuses_a_batch_that_it_would_train_on_never(sides, tmp_path):
    settings = settings_of("mace", "tiny", {"training": {"batch_size": 10}})
    with pytest.raises(ValueError, match="a batch of 10 frames is more than the 9 to train on"):
        train_mace(*sides, PAPER, settings, tmp_path, {})


def test_no_preset_of_mace_uses_what_looks_at_real_elements():
    """Pair repulsion and distance transforms take radii of the element whose number a charge state goes by."""
    for preset in PRESETS["mace"].values():
        flags = " ".join(mace_flags(preset, Path("a"), Path("b"), {8: -1.0}))
        assert "pair_repulsion" not in flags
        assert "distance_transform" not in flags
