"""What every training tells while it goes on, and how it fails."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from ..stores.model_documents import EpochDoc, TargetScore


class TrainingDivergedError(ValueError):
    """A loss or gradient is not finite; the message names the frame."""


@dataclass(frozen=True)
class Watcher:
    """Called as a training goes on.

    Attributes
    ----------
    on_stage : with what is being done, frames done, frames in all.
    on_baseline : once, with the errors of constants on the validation frames.
    on_history : once, with the epochs that were done before.
    on_step : with batches done and batches of the epoch.
    on_epoch : with each finished epoch.
    """

    on_stage: Callable[[str, int, int], None] = lambda what, done, of: None
    on_baseline: Callable[[Mapping[str, TargetScore]], None] = lambda errors: None
    on_history: Callable[[Sequence[EpochDoc]], None] = lambda epochs: None
    on_step: Callable[[int, int], None] = lambda done, of: None
    on_epoch: Callable[[EpochDoc], None] = lambda epoch: None


@dataclass(frozen=True)
class Outcome:
    """How a training ended.

    Attributes
    ----------
    history : every epoch.
    reason : why it ended.
    reference_energies : model number -> eV per atom.
    n_parameters : of the model, those that are learned.
    """

    history: list[EpochDoc]
    reason: str
    reference_energies: dict[int, float]
    n_parameters: int
    versions: dict[str, str] = field(default_factory=dict)


def best_of(history: Sequence[EpochDoc]) -> int:
    """Number of the first epoch with the smallest validation loss, from 1; 0 if there is none."""
    return 1 + min(range(len(history)), key=lambda i: history[i].validation_loss) if history else 0


def reason_to_stop(history: Sequence[EpochDoc], epochs: int, patience: int) -> str:
    """Why a training is over; empty while it is not."""
    done = len(history)
    if done >= epochs:
        return f"{done} epoch{'s' * (done != 1)} done"
    if done - best_of(history) >= patience:
        return f"no better validation loss in {patience} epoch{'s' * (patience != 1)}"
    return ""
