"""Where a training stands: everything that a killed one needs to go on as if nothing had happened.

The order of frames is a function of seed and epoch, the learning rate one of the history, so neither is kept.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...stores.model_documents import EpochDoc, TargetScore
from ..training_state import optimizer_tensors, refuse_unlike, restore_optimizer
from ..weight_files import WeightFile, read_weights, write_weights
from .losses import TargetError
from .model import CPaiNN
from .settings import TrainingSettings

KIND = "valenceflow-cpainn-training"
VERSION = 1


@dataclass(frozen=True)
class EpochRecord:
    """One epoch.

    Attributes
    ----------
    epoch : counted from 1.
    learning_rate : during it.
    training_loss : weighted loss per target, mean over its batches, while weights changed.
    validation_loss : weighted loss per target, after it.
    errors : per target on the validation frames.
    seconds : wall time, validation included.
    """

    epoch: int
    learning_rate: float
    training_loss: dict[str, float]
    validation_loss: dict[str, float]
    errors: dict[str, TargetError]
    seconds: float

    @property
    def total(self) -> float:
        """Validation loss over all targets: what decides about plateau, best and stop."""
        return sum(self.validation_loss.values())

    def document(self) -> EpochDoc:
        """What is told of it."""
        return EpochDoc(
            epoch=self.epoch,
            learning_rate=self.learning_rate,
            training_loss=sum(self.training_loss.values()),
            validation_loss=self.total,
            errors={
                target: TargetScore(mae=error.mae, rmse=error.rmse, unit=error.unit)
                for target, error in self.errors.items()
            },
            seconds=self.seconds,
        )

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> EpochRecord:
        """Read back what `dataclasses.asdict` made."""
        errors = {target: TargetError(**error) for target, error in content["errors"].items()}
        return cls(**{**content, "errors": errors})


@dataclass
class TrainingState:
    """Everything that changes during a training.

    Attributes
    ----------
    model : being trained.
    averaged : exponential average of its weights; the model itself where none is kept.
    optimizer : Adam.
    history : finished epochs.
    best : weights of the best epoch.
    step : batches done of the epoch that runs.
    updates : optimiser steps since the start.
    running : sums of the training loss over this epoch's batches.
    seconds : spent in the epoch that runs.
    """

    model: CPaiNN
    averaged: CPaiNN
    optimizer: torch.optim.Adam
    history: list[EpochRecord] = field(default_factory=list)
    best: dict[str, Tensor] = field(default_factory=dict)
    step: int = 0
    updates: int = 0
    running: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def best_epoch(self) -> int:
        """Number of the best epoch, from 1; 0 before the first."""
        return best_epoch(self.history)


def best_epoch(history: list[EpochRecord]) -> int:
    """Number of the first epoch with the smallest validation loss, from 1; 0 if there is none."""
    return 1 + min(range(len(history)), key=lambda i: history[i].total) if history else 0


def learning_rate(history: list[EpochRecord], settings: TrainingSettings) -> float:
    """Learning rate of the next epoch: times `plateau_factor` after each `plateau_patience` + 1 epochs that did not
    bring the validation loss down.
    """
    rate, best, waited = settings.learning_rate, float("inf"), 0
    for record in history:
        if record.total < best:
            best, waited = record.total, 0
        else:
            waited += 1
        if waited > settings.plateau_patience:
            rate, waited = rate * settings.plateau_factor, 0
    return rate


def frame_order(n_frames: int, settings: TrainingSettings, epoch: int) -> NDArray[np.int64]:
    """Order of frames in an epoch: a function of seed and epoch alone."""
    return np.random.default_rng([settings.seed, epoch]).permutation(n_frames)


def save_state(path: Path, state: TrainingState, identity: dict[str, Any]) -> None:
    """Write where the training stands; errors as `weight_files.write_weights`.

    Parameters
    ----------
    path : the file.
    state : what to keep.
    identity : what the training is of; a training of something else does not go on from it.
    """
    tensors = {f"model/{name}": tensor for name, tensor in state.model.state_dict().items()}
    tensors |= {f"best/{name}": tensor for name, tensor in state.best.items()}
    if state.averaged is not state.model:
        tensors |= {f"averaged/{name}": tensor for name, tensor in state.averaged.state_dict().items()}
    tensors |= {f"adam/{name}": value for name, value in optimizer_tensors(state.optimizer).items()}
    about = {
        "identity": identity,
        "history": [asdict(record) for record in state.history],
        "step": state.step,
        "updates": state.updates,
        "running": state.running,
        "seconds": state.seconds,
    }
    write_weights(path, WeightFile(KIND, VERSION, about, tensors))


def load_state(path: Path, state: TrainingState, identity: dict[str, Any]) -> None:
    """Fill a fresh state from a file.

    Raises
    ------
    ValueError
        If the file is of another training (what differs is named), or unreadable.
    """
    file = read_weights(path, KIND, VERSION)
    refuse_unlike(file.about.get("identity", {}), identity, path)
    groups: dict[str, dict[str, Tensor]] = {}
    for name, tensor in file.tensors.items():
        group, _, rest = name.partition("/")
        groups.setdefault(group, {})[rest] = tensor
    state.model.load_state_dict(groups["model"])
    if state.averaged is not state.model:
        state.averaged.load_state_dict(groups["averaged"])
    rates = [group["lr"] for group in state.optimizer.param_groups]  # the next epoch sets them from the history
    restore_optimizer(state.optimizer, groups.get("adam", {}), rates)
    state.best = groups.get("best", {})
    state.history = [EpochRecord.from_json(record) for record in file.about["history"]]
    state.step, state.updates = file.about["step"], file.about["updates"]
    state.running, state.seconds = file.about["running"], file.about["seconds"]
