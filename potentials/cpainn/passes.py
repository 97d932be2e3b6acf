"""Frames through the model: a batch in passes that fit the cache or the GPU, gradients, and whose fault a NaN is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch

from ..watching import TrainingDivergedError
from .frames import Frame
from .losses import TARGETS, Deviations, ErrorSums, Labels, TargetError, count_labels, loss_by_frame
from .model import CPaiNN
from .settings import LossWeights

_CPU_ATOMS, _GPU_ATOMS = 512, 8192


def split_into_passes(frames: Sequence[Frame], atoms_per_pass: int) -> Iterator[list[Frame]]:
    """Cut frames, in order, into runs of at most so many atoms, or of one frame."""
    held: list[Frame] = []
    atoms = 0
    for frame in frames:
        if held and atoms + len(frame.crystal) > atoms_per_pass:
            yield held
            held, atoms = [], 0
        held.append(frame)
        atoms += len(frame.crystal)
    if held:
        yield held


def default_atoms_per_pass(device: torch.device) -> int:
    """Atoms that a pass takes without loss of speed."""
    return _CPU_ATOMS if device.type == "cpu" else _GPU_ATOMS


def add_gradients(
    model: CPaiNN, frames: Sequence[Frame], weights: LossWeights, atoms_per_pass: int
) -> dict[str, float]:
    """Add the gradient of a batch's loss to the weights' gradients.

    Parameters
    ----------
    model : its gradients are added to.
    frames : the batch.
    weights : of the targets.
    atoms_per_pass : see `split_into_passes`; the result does not depend on it.

    Returns
    -------
    Weighted loss per target.

    Raises
    ------
    TrainingDivergedError
        Naming the frame whose loss is not finite.
    ValueError
        Naming the frames that do not fit the GPU's memory.
    """
    counts = count_labels(frames)
    total = dict.fromkeys(TARGETS, 0.0)
    for part in split_into_passes(frames, atoms_per_pass):
        with _memory_named(part):
            _, _, shares = _pass(model, part, weights, counts, training=True)
            for target, share in shares.items():
                total[target] += float(share.detach().sum())
            torch.stack([share.sum() for share in shares.values()]).sum().backward()
    return total


def validate(
    model: CPaiNN, frames: Sequence[Frame], weights: LossWeights, atoms_per_pass: int
) -> tuple[dict[str, float], dict[str, TargetError]]:
    """Weighted loss per target and errors per target over frames; errors as `add_gradients`."""
    counts = count_labels(frames)
    total = dict.fromkeys(TARGETS, 0.0)
    sums = ErrorSums()
    for part in split_into_passes(frames, atoms_per_pass):
        with _memory_named(part):
            deviations, labels, shares = _pass(model, part, weights, counts, training=False)
            sums.add(deviations, labels, part)
        for target, share in shares.items():
            total[target] += float(share.sum())
    return total, sums.errors()


def _pass(
    model: CPaiNN, frames: list[Frame], weights: LossWeights, counts: dict[str, int], training: bool
) -> tuple[Deviations, Labels, dict[str, torch.Tensor]]:
    labels = Labels.of(frames, model.dtype, model.device)
    predicted = model.predict(model.batch([frame.crystal for frame in frames]), training=training)
    deviations = Deviations.of(predicted, labels)
    shares = loss_by_frame(deviations, labels, weights, counts)
    by_frame = torch.stack(list(shares.values())).detach()
    if not torch.isfinite(by_frame).all():
        target, index = torch.nonzero(~torch.isfinite(by_frame))[0].tolist()
        raise TrainingDivergedError(
            f"the {TARGETS[target]} loss of {frames[index].name} is {float(by_frame[target, index])}; look at the "
            "frame's labels, or lower learning_rate or set clip_gradient"
        )
    return deviations, labels, shares


@contextmanager
def _memory_named(frames: Sequence[Frame]) -> Iterator[None]:
    """Say which frames did not fit the GPU."""
    try:
        yield
    except torch.OutOfMemoryError as err:
        atoms = sum(len(frame.crystal) for frame in frames)
        raise ValueError(
            f"GPU out of memory on {len(frames)} frames of {atoms} atoms ({frames[0].name} to {frames[-1].name}); "
            f"set atoms_per_pass below {atoms}"
        ) from err


def gradient_norm(model: CPaiNN) -> float:
    """Norm of the whole gradient."""
    gradients = [weights.grad for weights in model.parameters() if weights.grad is not None]
    return float(torch.nn.utils.get_total_norm(gradients))


def blame(model: CPaiNN, frames: Sequence[Frame], weights: LossWeights) -> str:
    """Name the first frame whose gradient is not finite by itself; every gradient is cleared."""
    for frame in frames:
        model.zero_grad()
        add_gradients(model, [frame], weights, atoms_per_pass=1)
        if not torch.isfinite(torch.tensor(gradient_norm(model))):
            return frame.name
    return "no single frame, only of the batch"
