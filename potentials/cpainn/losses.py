"""Losses and errors per target, in physical units. A batch may be computed in several passes: sums add up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .frames import Frame
from .model import Prediction
from .settings import LossWeights

TARGETS = ("energy", "forces", "stress", "magmoms", "charges")

UNITS = {"energy": "eV/atom", "forces": "eV/A", "stress": "eV/A^3", "magmoms": "muB", "charges": "e"}
"""Units of the errors that are reported."""

_SMOOTH_NORM = 1e-12
"""(eV/A)^2 under the root of |dF|, so that a perfect force has a gradient."""


@dataclass(frozen=True)
class Labels:
    """Labels of several frames end to end, as tensors; NaN where there is none.

    Attributes
    ----------
    energies : (n_frames,) eV per cell, double precision.
    forces : (n_atoms, 3) eV/A.
    stresses : (n_frames, 3, 3) eV/A^3.
    magmoms, charges : (n_atoms,) muB, e.
    frame : (n_atoms,) number of the frame.
    sizes : (n_frames,) atoms.
    """

    energies: Tensor
    forces: Tensor
    stresses: Tensor
    magmoms: Tensor
    charges: Tensor
    frame: Tensor
    sizes: Tensor

    @classmethod
    def of(cls, frames: Sequence[Frame], dtype: torch.dtype, device: torch.device) -> Labels:
        """Collect the labels of frames."""
        sizes = np.array([len(frame.crystal) for frame in frames])

        def real(values: list[np.ndarray]) -> Tensor:
            return torch.from_numpy(np.concatenate(values)).to(device=device, dtype=dtype)

        return cls(
            energies=torch.tensor([frame.energy for frame in frames], dtype=torch.float64, device=device),
            forces=real([frame.forces for frame in frames]),
            stresses=real([frame.stress[None] for frame in frames]),
            magmoms=real([frame.magmoms for frame in frames]),
            charges=real([frame.charges for frame in frames]),
            frame=torch.from_numpy(np.repeat(np.arange(len(frames)), sizes)).to(device),
            sizes=torch.from_numpy(sizes).to(device),
        )


def count_labels(frames: Sequence[Frame]) -> dict[str, int]:
    """How many numbers of each target frames carry; forces count atoms, because |dF| is one number."""
    return {
        "energy": len(frames),
        "forces": sum(len(frame.crystal) for frame in frames),
        "stress": sum(int(np.isfinite(frame.stress).sum()) for frame in frames),
        "magmoms": sum(int(np.isfinite(frame.magmoms).sum()) for frame in frames),
        "charges": sum(int(np.isfinite(frame.charges).sum()) for frame in frames),
    }


@dataclass(frozen=True)
class Deviations:
    """Predictions minus labels, 0 where there is no label.

    Attributes
    ----------
    energy : (n_frames,) eV per cell.
    forces : (n_atoms, 3) eV/A.
    stress : (n_frames, 9) eV/A^3.
    magmoms, charges : (n_atoms,) muB, e.
    """

    energy: Tensor
    forces: Tensor
    stress: Tensor
    magmoms: Tensor
    charges: Tensor

    @classmethod
    def of(cls, predicted: Prediction, labels: Labels) -> Deviations:
        """Compare."""
        return cls(
            energy=predicted.energies - labels.energies,
            forces=predicted.forces - labels.forces,
            stress=_where_labelled(predicted.stresses, labels.stresses).view(-1, 9),
            magmoms=_where_labelled(predicted.magmoms, labels.magmoms),
            charges=_where_labelled(predicted.charges, labels.charges),
        )


def _where_labelled(predicted: Tensor, label: Tensor) -> Tensor:
    """Difference where there is a label; 0, with no gradient, elsewhere."""
    known = ~torch.isnan(label)
    # NaN is taken out before the difference: 0 * NaN in a backward pass would be NaN.
    return torch.where(known, predicted, 0.0) - torch.where(known, label, 0.0)


def loss_by_frame(
    deviations: Deviations, labels: Labels, weights: LossWeights, counts: dict[str, int]
) -> dict[str, Tensor]:
    """Each frame's share of the batch's weighted loss, per target, (n_frames,); the loss is the sum of all.

    Parameters
    ----------
    deviations, labels : of the frames of one pass.
    weights : of the targets.
    counts : labels in the whole batch (`count_labels`).
    """
    energy = deviations.energy / labels.sizes if weights.energy_of == "atom" else deviations.energy
    norms = (deviations.forces.square().sum(1) + _SMOOTH_NORM).sqrt()
    shares = {
        "energy": energy.square().to(norms.dtype),
        "forces": _per_frame(norms, labels),
        "stress": deviations.stress.square().sum(1),
        "magmoms": _per_frame(deviations.magmoms.square(), labels),
        "charges": _per_frame(deviations.charges.square(), labels),
    }
    return {target: share * (getattr(weights, target) / max(1, counts[target])) for target, share in shares.items()}


def _per_frame(values: Tensor, labels: Labels) -> Tensor:
    return values.new_zeros(len(labels.sizes)).index_add(0, labels.frame, values)


class ErrorSums:
    """Errors of any number of passes, added up."""

    def __init__(self) -> None:
        self._absolute = dict.fromkeys(TARGETS, 0.0)
        self._squared = dict.fromkeys(TARGETS, 0.0)
        self._counts = dict.fromkeys(TARGETS, 0)

    def add(self, deviations: Deviations, labels: Labels, frames: Sequence[Frame]) -> None:
        """Take in one pass."""
        per_atom = deviations.energy / labels.sizes
        values = {**vars(deviations), "energy": per_atom}
        for target, count in count_labels(frames).items():
            self._counts[target] += 3 * count if target == "forces" else count
            self._absolute[target] += float(values[target].detach().abs().sum(dtype=torch.float64))
            self._squared[target] += float(values[target].detach().square().sum(dtype=torch.float64))

    def errors(self) -> dict[str, TargetError]:
        """Errors of the targets that have labels."""
        return {
            target: TargetError(
                n=count,
                mae=self._absolute[target] / count,
                rmse=(self._squared[target] / count) ** 0.5,
                unit=UNITS[target],
            )
            for target, count in self._counts.items()
            if count
        }


@dataclass(frozen=True)
class TargetError:
    """Error of one target: n numbers (components of forces and stress), mean absolute and root mean square."""

    n: int
    mae: float
    rmse: float
    unit: str
