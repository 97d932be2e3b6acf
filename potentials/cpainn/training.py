"""Training a cPaiNN: batches, validation, plateau, early stopping, and going on after a kill.

    outcome = train(frames, held_out, species_map, preset.model, preset.training, Path("model/"))
    outcome.trained          # the weights of the best epoch; also in model/model.pt

The folder holds `model.pt` (best so far) and `training.pt` (where it stands). The same call goes on from there; on one
CPU thread the result is the same to the last bit, whether or not it was interrupted. On a GPU sums are not done in a
fixed order, and two trainings agree to the noise of single precision.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
import torch

from ..reference_energies import fit_reference_energies, mean_energy
from ..species import SpeciesMap
from ..watching import TrainingDivergedError, Watcher, reason_to_stop
from .checkpoint import HEADS, TrainedModel, save_model
from .frames import Frame, frames_hash
from .losses import TARGETS, count_labels
from .model import CPaiNN, EnergyScale
from .passes import (
    add_gradients,
    blame,
    default_atoms_per_pass,
    gradient_norm,
    split_into_passes,
    validate,
)
from .settings import ModelSettings, TrainingSettings
from .training_state import (
    EpochRecord,
    TrainingState,
    frame_order,
    learning_rate,
    load_state,
    save_state,
)

MODEL_FILE = "model.pt"
STATE_FILE = "training.pt"

# These change how a training runs, not what comes out, so a killed one may go on with others.
_MAY_CHANGE = {"epochs", "stop_patience", "device", "atoms_per_pass", "checkpoint_every_s"}


@dataclass(frozen=True)
class TrainingOutcome:
    """What came out.

    Attributes
    ----------
    trained : weights of the best epoch.
    history : every epoch.
    best_epoch : number of the best one, from 1.
    reason : why it ended.
    """

    trained: TrainedModel
    history: list[EpochRecord]
    best_epoch: int
    reason: str


def train(
    training: Sequence[Frame],
    validation: Sequence[Frame],
    species_map: SpeciesMap,
    architecture: ModelSettings,
    settings: TrainingSettings,
    folder: Path,
    start: TrainedModel | None = None,
    watcher: Watcher | None = None,
) -> TrainingOutcome:
    """Train a model, or go on with a training that was interrupted.

    Parameters
    ----------
    training, validation : frames, encoded with the species map.
    species_map : kept with the model.
    architecture, settings : what to train and how.
    folder : made if it is missing; where the model and the state go.
    start : begin from this model's weights; charge states that are new to it begin as their element was.
    watcher : called as it goes on.

    Raises
    ------
    ValueError
        If there is nothing to train or validate on, validation holds a species that training does not, the folder holds
        another training, `start` has another architecture, or memory is short.
    TrainingDivergedError
        If a loss or gradient is not finite; the frame is named.
    OSError
        If a checkpoint cannot be written.
    """
    species = _species_of(training, validation)
    run = _Run(training, validation, settings, watcher or Watcher())
    model = _initial_model(training, species_map, architecture, settings, start)
    state = _fresh_state(model, settings)
    identity = _identity(training, validation, species_map, architecture, settings, start)
    keeper = _Keeper(
        folder, identity, species_map, species, _heads(training, settings, start), settings.checkpoint_every_s
    )
    keeper.load(state)
    run.watcher.on_history([record.document() for record in state.history])
    reason = _reason_to_stop(state, settings)
    while not reason:
        run.epoch(state, keeper)
        run.watcher.on_epoch(state.history[-1].document())
        reason = _reason_to_stop(state, settings)
        keeper.keep(state, now=bool(reason))
    return TrainingOutcome(keeper.trained(state), state.history, state.best_epoch, reason)


class _Keeper:
    """Writes where a training stands, and its best model, now and then and at the end."""

    def __init__(
        self,
        folder: Path,
        identity: dict[str, Any],
        species_map: SpeciesMap,
        species: tuple[int, ...],
        heads: tuple[str, ...],
        every_s: float,
    ) -> None:
        self._folder, self._identity = folder, identity
        self._species_map, self._species, self._heads = species_map, species, heads
        self._every_s, self._kept = every_s, monotonic()

    def load(self, state: TrainingState) -> None:
        """Go on from what the folder holds."""
        self._folder.mkdir(parents=True, exist_ok=True)
        if (self._folder / STATE_FILE).exists():
            load_state(self._folder / STATE_FILE, state, self._identity)
        elif (self._folder / MODEL_FILE).exists():
            raise ValueError(f"{self._folder}: holds a model but not the training that made it; give another folder")

    def keep(self, state: TrainingState, now: bool = False) -> None:
        """Write both files, if it is time or `now`."""
        if not now and monotonic() - self._kept < self._every_s:
            return
        if state.best:
            save_model(self._folder / MODEL_FILE, self.trained(state))
        save_state(self._folder / STATE_FILE, state, self._identity)
        self._kept = monotonic()

    def trained(self, state: TrainingState) -> TrainedModel:
        """The best model so far."""
        best = copy.deepcopy(state.model).eval()
        best.load_state_dict(state.best)
        return TrainedModel(best, self._species_map, self._species, _about(self._identity, state), self._heads)


def _heads(training: Sequence[Frame], settings: TrainingSettings, start: TrainedModel | None) -> tuple[str, ...]:
    """Heads that learn from these labels, or have learned before."""
    labels, known = count_labels(training), () if start is None else start.heads
    return tuple(head for head in HEADS if head in known or (labels[head] and getattr(settings.loss, head) > 0))


def _species_of(training: Sequence[Frame], validation: Sequence[Frame]) -> tuple[int, ...]:
    """Model numbers that occur in training."""
    if not training or not validation:
        raise ValueError(
            f"{len(training)} frames to train on and {len(validation)} to validate on: at least one of each is needed"
        )
    known = np.unique(np.concatenate([frame.crystal.species for frame in training]))
    for frame in validation:
        strange = np.setdiff1d(frame.crystal.species, known)
        if strange.size:
            raise ValueError(
                f"{frame.name}: holds model species {strange.tolist()} that no training frame holds; split anew"
            )
    return tuple(known.tolist())


def _initial_model(
    training: Sequence[Frame],
    species_map: SpeciesMap,
    architecture: ModelSettings,
    settings: TrainingSettings,
    start: TrainedModel | None,
) -> CPaiNN:
    """Weights from the seed or from `start`, energies fitted to the training frames."""
    dtype = getattr(torch, settings.dtype)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        model = CPaiNN(architecture).to(dtype)
    scale = None
    if start is not None:
        adopt_weights(model, start, species_map)
        scale = start.model.energies.scale
    model.to(settings.device)
    model.set_energies(_energy_scale(model, training, species_map, settings, scale))
    return model


def adopt_weights(model: CPaiNN, start: TrainedModel, species_map: SpeciesMap) -> None:
    """Take over a trained model's weights; a charge state that it was not trained on begins as its element was.

    Raises
    ------
    ValueError
        If the architectures differ.
    """
    if start.model.settings != model.settings:
        raise ValueError(f"the model to start from is a {start.model.settings!r}, not a {model.settings!r}")
    model.load_state_dict(start.model.state_dict())
    rows = model.embedding.weight.detach()
    for number, parent in species_map.parents.items():
        if number not in start.species and parent in start.species:
            rows[number] = rows[parent]


def _energy_scale(
    model: CPaiNN,
    training: Sequence[Frame],
    species_map: SpeciesMap,
    settings: TrainingSettings,
    scale: float | None,
) -> EnergyScale:
    """Fit references; `scale` is given where the network is trained already, and fits what it leaves over."""
    species = [frame.crystal.species for frame in training]
    energies = np.array([frame.energy for frame in training])
    if scale is not None:
        model.set_energies(EnergyScale(scale, {}))
        energies = energies - _network_energies(model, training, settings)
    if settings.references == "mean":
        fit = mean_energy(species, energies, species_map)
        spread = float(fit.residuals.std())
    else:
        fit = fit_reference_energies(species, energies, species_map)
        spread = float(np.sqrt(np.mean(np.concatenate([frame.forces.ravel() for frame in training]) ** 2)))
    # One frame, or frames at rest, have no spread to speak of.
    return EnergyScale(scale if scale is not None else max(spread, 1e-3), fit.by_species)


def _network_energies(model: CPaiNN, frames: Sequence[Frame], settings: TrainingSettings) -> np.ndarray:
    atoms = settings.atoms_per_pass or default_atoms_per_pass(model.device)
    parts = split_into_passes(frames, atoms)
    return np.concatenate(
        [model.predict(model.batch([frame.crystal for frame in part])).energies.cpu().numpy() for part in parts]
    )


def _fresh_state(model: CPaiNN, settings: TrainingSettings) -> TrainingState:
    averaged = model if settings.ema_decay is None else copy.deepcopy(model).requires_grad_(False)
    optimizer = torch.optim.Adam(model.parameters(), lr=settings.learning_rate)
    return TrainingState(model, averaged, optimizer)


def _identity(
    training: Sequence[Frame],
    validation: Sequence[Frame],
    species_map: SpeciesMap,
    architecture: ModelSettings,
    settings: TrainingSettings,
    start: TrainedModel | None,
) -> dict[str, Any]:
    """What makes two trainings the same."""
    identity: dict[str, Any] = {
        "training frames": frames_hash(training),
        "validation frames": frames_hash(validation),
        "species map": species_map.model_dump(mode="json"),
        "architecture": architecture.model_dump(),
        "start": None if start is None else _weights_hash(start.model),
    }
    return identity | {k: v for k, v in settings.model_dump().items() if k not in _MAY_CHANGE}


def _weights_hash(model: CPaiNN) -> str:
    digest = hashlib.sha256()
    for weights in model.parameters():
        digest.update(weights.detach().cpu().numpy().tobytes())
    return digest.hexdigest()[:32]


def _about(identity: dict[str, Any], state: TrainingState) -> dict[str, Any]:
    """What is written into the model's file."""
    best = state.history[state.best_epoch - 1]
    errors = {target: vars(error) for target, error in best.errors.items()}
    versions = {package: version(package) for package in ("torch", "numpy")}
    return {**identity, "epoch": best.epoch, "updates": state.updates, "errors": errors, "versions": versions}


def _reason_to_stop(state: TrainingState, settings: TrainingSettings) -> str:
    history = [record.document() for record in state.history]
    return reason_to_stop(history, settings.epochs, settings.stop_patience)


class _Run:
    """The part of a training that does not change, and what is done with it."""

    def __init__(
        self, training: Sequence[Frame], validation: Sequence[Frame], settings: TrainingSettings, watcher: Watcher
    ) -> None:
        self._training, self._validation = training, validation
        self._settings, self.watcher = settings, watcher
        self._atoms_per_pass = settings.atoms_per_pass or default_atoms_per_pass(torch.device(settings.device))

    def epoch(self, state: TrainingState, keeper: _Keeper) -> None:
        """Do the rest of an epoch and its validation."""
        began = monotonic()
        spent = state.seconds
        number = len(state.history) + 1
        size = self._settings.batch_size
        order = frame_order(len(self._training), self._settings, number)
        n_steps = -(-len(order) // size)
        for group in state.optimizer.param_groups:
            group["lr"] = learning_rate(state.history, self._settings)
        while state.step < n_steps:
            batch = [self._training[i] for i in order[state.step * size : (state.step + 1) * size]]
            self._update(state, batch, f"epoch {number}, batch {state.step + 1} of {n_steps}")
            state.step += 1
            state.seconds = spent + monotonic() - began
            self.watcher.on_step(state.step, n_steps)
            keeper.keep(state)
        self._close(state, number, n_steps, spent - began)

    def _update(self, state: TrainingState, batch: list[Frame], where: str) -> None:
        """One step of the optimiser."""
        settings = self._settings
        state.optimizer.zero_grad(set_to_none=True)
        try:
            losses = add_gradients(state.model, batch, settings.loss, self._atoms_per_pass)
        except TrainingDivergedError as err:
            raise TrainingDivergedError(f"{where}: {err}") from err
        norm = gradient_norm(state.model)
        if not np.isfinite(norm):
            name = blame(state.model, batch, settings.loss)
            raise TrainingDivergedError(
                f"{where}: the gradient is {norm}, that of {name}; look at the frame, or lower learning_rate"
            )
        if settings.clip_gradient is not None and norm > settings.clip_gradient:
            for weights in state.model.parameters():
                if weights.grad is not None:
                    weights.grad *= settings.clip_gradient / norm
        state.optimizer.step()
        state.updates += 1
        self._average(state)
        for target in TARGETS:
            state.running[target] = state.running.get(target, 0.0) + losses[target]

    def _average(self, state: TrainingState) -> None:
        decay = self._settings.ema_decay
        if decay is None:
            return
        # Early on the average must forget the random weights faster than it will later.
        decay = min(decay, (1 + state.updates) / (10 + state.updates))
        with torch.no_grad():
            for mean, weights in zip(state.averaged.parameters(), state.model.parameters(), strict=True):
                mean.lerp_(weights, 1 - decay)

    def _close(self, state: TrainingState, number: int, n_steps: int, offset: float) -> None:
        """Validate and write the epoch down."""
        loss, errors = validate(state.averaged, self._validation, self._settings.loss, self._atoms_per_pass)
        record = EpochRecord(
            epoch=number,
            learning_rate=float(state.optimizer.param_groups[0]["lr"]),
            training_loss={target: total / n_steps for target, total in state.running.items()},
            validation_loss=loss,
            errors=errors,
            seconds=monotonic() + offset,
        )
        state.history.append(record)
        if state.best_epoch == number:
            state.best = {name: tensor.detach().clone() for name, tensor in state.averaged.state_dict().items()}
        state.step, state.running, state.seconds = 0, {}, 0.0
