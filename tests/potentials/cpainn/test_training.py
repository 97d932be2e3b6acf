"""Training: it learns, it goes on as if never killed, it stops and says why."""

import dataclasses

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="cPaiNN needs the potentials extra")

from valenceflow.potentials.cpainn.checkpoint import load_model  # noqa: E402
from valenceflow.potentials.cpainn.crystals import Crystal  # noqa: E402
from valenceflow.potentials.cpainn.frames import Frame  # noqa: E402
from valenceflow.potentials.cpainn.losses import TARGETS, Deviations, Labels, count_labels, loss_by_frame  # noqa: E402
from valenceflow.potentials.cpainn.passes import TrainingDivergedError, add_gradients, split_into_passes  # noqa: E402
from valenceflow.potentials.cpainn.settings import LossWeights, ModelSettings, TrainingSettings  # noqa: E402
from valenceflow.potentials.cpainn.training import Watcher, adopt_weights, train  # noqa: E402
from valenceflow.potentials.cpainn.training_state import EpochRecord, learning_rate  # noqa: E402
from valenceflow.potentials.species import SpeciesMap  # noqa: E402

PAPER = SpeciesMap.shipped("paper")
ARCHITECTURE = ModelSettings(features=12, n_layers=3, cutoff=3.2, n_radial=6)
SHORT = TrainingSettings(epochs=4, batch_size=2, learning_rate=5e-3, dtype="float64", ema_decay=0.9)


@pytest.fixture(scope="module")
def frames(make_model, crystal_of, rock_salt):
    """Eight frames labelled by a random model of the same kind, so that they can be learned."""
    teacher = make_model(seed=42, scale=1.0)
    made = []
    for seed in range(8):
        crystal = crystal_of(rock_salt(seed=seed, high=seed % 3), f"cell {seed}")
        found = teacher.predict(teacher.batch([crystal]))
        values = {name: value.numpy() for name, value in vars(found).items()}
        made.append(
            Frame(
                crystal,
                values["energies"][0],
                values["forces"],
                values["stresses"][0],
                values["magmoms"],
                values["charges"],
            )
        )
    return made


def changed(frame, **labels):
    return dataclasses.replace(frame, **labels)


def losses(outcome):
    return [(record.training_loss, record.validation_loss, record.learning_rate) for record in outcome.history]


def weights(outcome):
    return outcome.trained.model.state_dict()


def assert_equal_weights(one, other):
    assert all(torch.equal(tensor, weights(other)[name]) for name, tensor in weights(one).items())


def test_a_handful_of_frames_is_learned_by_heart(frames, tmp_path):
    settings = SHORT.model_copy(update={"epochs": 80, "ema_decay": None, "learning_rate": 1e-2, "batch_size": 4})
    outcome = train(frames[:4], frames[:4], PAPER, ARCHITECTURE, settings, tmp_path)
    first, best = outcome.history[0], outcome.history[outcome.best_epoch - 1]
    assert best.total < first.total / 50
    for target in TARGETS:
        assert best.errors[target].mae < 0.35 * first.errors[target].mae, target


def test_the_same_seed_gives_the_same_model_and_another_seed_another(frames, whole, tmp_path):
    one, two = whole, train(frames[:6], frames[6:], PAPER, ARCHITECTURE, SHORT, tmp_path / "b")
    other = SHORT.model_copy(update={"seed": 1})
    three = train(frames[:6], frames[6:], PAPER, ARCHITECTURE, other, tmp_path / "c")
    assert losses(one) == losses(two)
    assert_equal_weights(one, two)
    assert losses(one) != losses(three)


class KilledError(Exception):
    """Stands in for SIGKILL: nothing is caught or cleaned up on its way."""


@pytest.fixture(scope="module")
def whole(frames, tmp_path_factory):
    """A training that nobody interrupted."""
    return train(frames[:6], frames[6:], PAPER, ARCHITECTURE, SHORT, tmp_path_factory.mktemp("whole"))


@pytest.mark.parametrize("when", [1, 3, 4, 11])
def test_a_killed_training_goes_on_to_the_same_result(frames, whole, tmp_path, when):
    steps = 0

    def kill(done, of):
        nonlocal steps
        steps += 1
        if steps == when:
            raise KilledError

    settings = SHORT.model_copy(update={"checkpoint_every_s": 1e-9})
    with pytest.raises(KilledError):
        train(frames[:6], frames[6:], PAPER, ARCHITECTURE, settings, tmp_path / "cut", watcher=Watcher(on_step=kill))
    resumed = train(frames[:6], frames[6:], PAPER, ARCHITECTURE, settings, tmp_path / "cut")
    assert losses(resumed) == losses(whole)
    assert_equal_weights(resumed, whole)
    assert resumed.best_epoch == whole.best_epoch


def test_a_finished_training_is_not_done_again_and_can_be_made_longer(frames, tmp_path):
    first = train(frames[:6], frames[6:], PAPER, ARCHITECTURE, SHORT, tmp_path)
    watcher = Watcher(on_step=lambda done, of: pytest.fail("trained again"))
    assert losses(train(frames[:6], frames[6:], PAPER, ARCHITECTURE, SHORT, tmp_path, watcher=watcher)) == losses(first)
    longer = SHORT.model_copy(update={"epochs": 6})
    assert losses(train(frames[:6], frames[6:], PAPER, ARCHITECTURE, longer, tmp_path))[:4] == losses(first)


def test_another_trainings_folder_is_refused(frames, tmp_path):
    once = SHORT.model_copy(update={"epochs": 1})
    train(frames[:2], frames[6:], PAPER, ARCHITECTURE, once, tmp_path)
    with pytest.raises(
        ValueError, match=r"of another training: learning_rate \(.* now\), training frames \(.* now\) differ"
    ):
        train(frames[:3], frames[6:], PAPER, ARCHITECTURE, once.model_copy(update={"learning_rate": 0.1}), tmp_path)
    (tmp_path / "training.pt").unlink()
    with pytest.raises(ValueError, match="holds a model but not the training that made it"):
        train(frames[:2], frames[6:], PAPER, ARCHITECTURE, once, tmp_path)


def test_the_saved_model_is_the_best_one_with_its_story(frames, tmp_path):
    outcome = train(frames[:6], frames[6:], PAPER, ARCHITECTURE, SHORT, tmp_path)
    loaded = load_model(tmp_path / "model.pt")
    assert all(torch.equal(tensor, weights(outcome)[name]) for name, tensor in loaded.model.state_dict().items())
    assert loaded.species == (8, 11, 26, 31)
    assert loaded.species_map == PAPER
    assert loaded.about["epoch"] == outcome.best_epoch
    assert loaded.about["loss"] == SHORT.loss.model_dump()
    references = loaded.model.energies.references
    assert references[26] == references[31]


def test_training_stops_where_validation_no_longer_gets_better(frames, tmp_path):
    settings = SHORT.model_copy(update={"epochs": 500, "stop_patience": 2, "learning_rate": 0.3})
    outcome = train(frames[:2], frames[6:], PAPER, ARCHITECTURE, settings, tmp_path)
    assert len(outcome.history) == outcome.best_epoch + 2
    assert outcome.reason == "no better validation loss in 2 epochs"


def test_the_learning_rate_falls_as_torch_lets_it_fall():
    settings = SHORT.model_copy(update={"plateau_patience": 2, "plateau_factor": 0.5})
    rng = np.random.default_rng(0)
    values = np.exp(-np.arange(60) / 10) + 0.2 * rng.random(60)
    weight = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.Adam([weight], lr=settings.learning_rate)
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=2, threshold=0)
    history = []
    for epoch, value in enumerate(values):
        assert learning_rate(history, settings) == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-12)
        optimizer.step()
        scheduler.step(value)
        history.append(EpochRecord(epoch + 1, 0.0, {}, {"energy": value}, {}, 0.0))
    assert learning_rate(history, settings) < settings.learning_rate / 4


@pytest.mark.parametrize(
    ("labels", "target"), [({"stress": np.full((3, 3), 1e30)}, "stress"), ({"forces": np.full((8, 3), 1e30)}, "forces")]
)
def test_a_loss_that_is_not_finite_stops_the_training_and_names_the_frame(frames, tmp_path, labels, target):
    settings = SHORT.model_copy(update={"dtype": "float32", "references": "mean"})
    broken = [*frames[:4], changed(frames[4], **labels)]
    with pytest.raises(
        TrainingDivergedError, match=f"epoch 1, batch . of 3: the {target} loss of cell 4 is "
    ) as caught:
        train(broken, frames[6:], PAPER, ARCHITECTURE, settings, tmp_path)
    assert "\n" not in str(caught.value)


def test_a_gradient_that_is_not_finite_names_the_frame(frames, tmp_path, monkeypatch):
    genuine = add_gradients

    def poisoned(model, batch, weights, atoms_per_pass):
        found = genuine(model, batch, weights, atoms_per_pass)
        if any(frame.name == "cell 3" for frame in batch):
            model.embedding.weight.grad[8] = torch.nan
        return found

    for place in ("training", "passes"):
        monkeypatch.setattr(f"valenceflow.potentials.cpainn.{place}.add_gradients", poisoned)
    with pytest.raises(TrainingDivergedError, match="the gradient is nan, that of cell 3"):
        train(frames[:6], frames[6:], PAPER, ARCHITECTURE, SHORT, tmp_path)


def test_a_full_gpu_names_the_frames_and_the_way_out(frames, tmp_path, monkeypatch):
    def full(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr("valenceflow.potentials.cpainn.model.CPaiNN.predict", full)
    with pytest.raises(ValueError, match=r"GPU out of memory on 2 frames of 16 atoms \(cell .*\); set atoms_per_pass"):
        train(frames[:6], frames[6:], PAPER, ARCHITECTURE, SHORT, tmp_path)


def test_nothing_to_learn_or_strange_species_are_refused(frames, tmp_path):
    with pytest.raises(ValueError, match="0 frames to train on and 8 to validate on"):
        train([], frames, PAPER, ARCHITECTURE, SHORT, tmp_path)
    crystal = frames[0].crystal
    other = dataclasses.replace(crystal, species=np.where(crystal.species == 11, 3, crystal.species), name="lithium")
    with pytest.raises(ValueError, match=r"lithium: holds model species \[3\] that no training frame holds"):
        train(frames[:2], [changed(frames[0], crystal=other)], PAPER, ARCHITECTURE, SHORT, tmp_path)


@pytest.mark.parametrize("references", ["elements", "mean"])
def test_both_normalisations_train(frames, tmp_path, references):
    settings = SHORT.model_copy(update={"epochs": 2, "references": references})
    outcome = train(frames[:6], frames[6:], PAPER, ARCHITECTURE, settings, tmp_path)
    assert np.isfinite(outcome.history[-1].total)
    assert (len(set(outcome.trained.model.energies.references.values())) == 1) == (references == "mean")


def test_training_goes_on_from_a_model_and_new_states_begin_as_their_element(
    frames, trained, make_model, crystal_of, rock_salt
):
    old = trained(species=(8, 11, 26), map_name="elements")
    model = make_model(seed=9)
    adopt_weights(model, old, PAPER)
    labelled = crystal_of(rock_salt(seed=1))
    plain = Crystal(
        np.where(labelled.species == 31, 26, labelled.species), labelled.positions, labelled.cell, labelled.pbc
    )
    model.set_energies(old.model.energies)
    one, other = model.predict(model.batch([labelled])), old.model.predict(old.model.batch([plain]))
    assert torch.allclose(one.energies, other.energies, atol=1e-10)
    assert torch.allclose(one.forces, other.forces, atol=1e-10)


def test_going_on_from_a_model_keeps_what_it_knows(frames, tmp_path):
    long = SHORT.model_copy(update={"epochs": 15, "ema_decay": None})
    first = train(frames[:6], frames[6:], PAPER, ARCHITECTURE, long, tmp_path / "a")
    careful = SHORT.model_copy(update={"epochs": 1, "learning_rate": 1e-6, "ema_decay": None})
    second = train(frames[:6], frames[6:], PAPER, ARCHITECTURE, careful, tmp_path / "b", start=first.trained)
    best = first.history[first.best_epoch - 1]
    assert second.history[0].errors["forces"].mae == pytest.approx(best.errors["forces"].mae, rel=0.01)
    assert second.history[0].errors["energy"].mae < 2 * best.errors["energy"].mae
    with pytest.raises(ValueError, match="the model to start from is a"):
        train(frames[:6], frames[6:], PAPER, ModelSettings(), careful, tmp_path / "c", start=first.trained)


def test_passes_change_nothing_but_memory(frames, make_model):
    found = []
    for atoms_per_pass in (1, 20, 1000):
        model = make_model()
        total = add_gradients(model, frames[:5], LossWeights(), atoms_per_pass)
        found.append(
            (sum(total.values()), torch.cat([p.grad.ravel() for p in model.parameters() if p.grad is not None]))
        )
    for loss, gradient in found[1:]:
        assert loss == pytest.approx(found[0][0], rel=1e-12)
        assert torch.allclose(gradient, found[0][1], rtol=1e-9, atol=1e-12)
    assert [len(part) for part in split_into_passes(frames[:5], 20)] == [2, 2, 1]


def test_losses_are_the_written_formula_in_physical_units(frames, make_model):
    model, weights = make_model(), LossWeights(energy=2.0, forces=3.0, stress=5.0, magmoms=7.0, charges=11.0)
    part = [changed(frames[0], magmoms=np.array([np.nan] * 4 + [1.0] * 4)), frames[1]]
    predicted = model.predict(model.batch([frame.crystal for frame in part]))
    labels = Labels.of(part, torch.float64, torch.device("cpu"))
    shares = loss_by_frame(Deviations.of(predicted, labels), labels, weights, count_labels(part))
    energy = predicted.energies.numpy() - [frame.energy for frame in part]
    forces = predicted.forces.numpy() - np.concatenate([frame.forces for frame in part])
    stress = predicted.stresses.numpy() - [frame.stress for frame in part]
    magmoms = predicted.magmoms.numpy() - np.concatenate([frame.magmoms for frame in part])
    charges = predicted.charges.numpy() - np.concatenate([frame.charges for frame in part])
    expected = {
        "energy": 2 * np.mean(energy**2),
        "forces": 3 * np.mean(np.linalg.norm(forces, axis=1)),
        "stress": 5 * np.mean(stress**2),
        "magmoms": 7 * np.nanmean(magmoms**2),
        "charges": 11 * np.mean(charges**2),
    }
    assert {target: float(share.sum()) for target, share in shares.items()} == pytest.approx(expected, rel=1e-9)
    per_atom = loss_by_frame(
        Deviations.of(predicted, labels), labels, LossWeights(energy=2.0, energy_of="atom"), count_labels(part)
    )
    assert float(per_atom["energy"].sum()) == pytest.approx(2 * np.mean((energy / 8) ** 2), rel=1e-9)


def test_frames_without_some_labels_train_the_others(frames, tmp_path):
    bare = [
        changed(frame, stress=np.full((3, 3), np.nan), magmoms=np.full(8, np.nan), charges=np.full(8, np.nan))
        for frame in frames
    ]
    crystal = dataclasses.replace(bare[0].crystal, pbc=np.array([True, True, False]))
    outcome = train([changed(bare[0], crystal=crystal), *bare[1:6]], bare[6:], PAPER, ARCHITECTURE, SHORT, tmp_path)
    assert set(outcome.history[-1].errors) == {"energy", "forces"}
    assert outcome.trained.heads == ()
    assert np.isfinite(outcome.history[-1].total)
