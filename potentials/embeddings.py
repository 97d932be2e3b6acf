"""What the last layer of a potential knows of each atom (paper appendix B, Fig. 8), by hooks on unpatched models.

CHGNet: input of `mlp`, the network that makes site energies. MACE: input of the last readout, whose first columns are
the invariant features. cPaiNN: input of its readout.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from ase import Atoms
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from .calculator import ChargeStateCalculator
from .cpainn.calculator import CPaiNNCalculator
from .species import FloatArray


def last_layer(calculator: ChargeStateCalculator, atoms: Atoms, member: int = 0) -> tuple[FloatArray, str]:
    """Features of every atom before the energy is read out.

    Parameters
    ----------
    calculator : the potential.
    atoms : labelled as it needs.
    member : of an ensemble.

    Returns
    -------
    (n_atoms, n_features) in the order of the atoms, and which layer that is.

    Raises
    ------
    ValueError
        If the model is none whose last layer is known.
    """
    inner = calculator.models[member]
    module, layer = _readout(inner)
    here = atoms.copy()
    here.calc = ChargeStateCalculator(inner, calculator.species_map)
    with _inputs_of(module) as seen:
        here.get_potential_energy()
    features = seen[-1]
    if isinstance(inner, CPaiNNCalculator):
        features = inner.end_to_end(here, features)
    values = features.reshape(len(features), -1).double().cpu().numpy()
    if len(values) != len(atoms):
        raise ValueError(f"{layer}: {len(values)} rows for {len(atoms)} atoms; this version of the model is not known")
    return values, layer


def _readout(inner: Any) -> tuple[torch.nn.Module, str]:
    if isinstance(inner, CPaiNNCalculator):
        return inner.trained.model.readout, "cPaiNN: input of the readout"
    model = getattr(inner, "model", None)
    mlp = getattr(model, "mlp", None)
    if isinstance(mlp, torch.nn.Module):
        return mlp, "CHGNet: input of mlp"
    models = getattr(inner, "models", None)
    readouts = getattr(models[0], "readouts", None) if models else None
    if readouts is not None:
        return readouts[-1], f"MACE: input of readout {len(readouts)}, the last"
    raise ValueError(f"{type(inner).__name__}: its last layer is not known; known are CHGNet, MACE and cPaiNN")


@contextmanager
def _inputs_of(module: torch.nn.Module) -> Iterator[list[torch.Tensor]]:
    """Inputs of every call of a module while it lasts."""
    seen: list[torch.Tensor] = []
    handle = module.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].detach()))
    try:
        yield seen
    finally:
        handle.remove()


def principal_components(features: FloatArray, n: int = 2) -> tuple[FloatArray, FloatArray]:
    """Leading principal components; signs are fixed so that the largest loading of each is positive.

    Parameters
    ----------
    features : (n_atoms, n_features).
    n : components wanted.

    Returns
    -------
    (n_atoms, n) coordinates and (n,) shares of the variance; columns of zeros where there are fewer dimensions.
    """
    centred = features - features.mean(axis=0)
    u, s, vt = np.linalg.svd(centred, full_matrices=False)
    signs = np.sign(vt[np.arange(len(vt)), np.abs(vt).argmax(axis=1)])
    points, shares = np.zeros((len(features), n)), np.zeros(n)
    kept = min(n, len(s))
    points[:, :kept] = (u * s * signs)[:, :kept]
    total = float((s**2).sum())
    if total > 0:
        shares[:kept] = s[:kept] ** 2 / total
    return points, shares


def silhouette(features: FloatArray, classes: NDArray[np.int_]) -> float | None:
    """Mean silhouette of classes (Rousseeuw 1987, doi:10.1016/0377-0427(87)90125-7); None unless two have two members.

    Parameters
    ----------
    features : (n, n_features).
    classes : (n,) class of each.
    """
    kinds, counts = np.unique(classes, return_counts=True)
    if len(kinds) < 2 or counts.min() < 2:
        return None
    distances = cdist(features, features)
    own = classes[:, None] == kinds
    sums = distances @ own
    inside = sums[own] / (counts[own.argmax(axis=1)] - 1)
    means = np.where(own, np.inf, sums / counts)
    outside = means.min(axis=1)
    widest = np.maximum(inside, outside)
    # Points that all coincide are in no class more than in the other.
    values = np.divide(outside - inside, widest, out=np.zeros_like(widest), where=widest > 0)
    return float(values.mean())


def nearest_centroid(features: FloatArray, classes: NDArray[np.int_]) -> float | None:
    """Share of points nearest to their own class's centroid, each left out of it; None unless two have two members.

    A point as near to both is counted as half.
    """
    kinds, counts = np.unique(classes, return_counts=True)
    if len(kinds) < 2 or counts.min() < 2:
        return None
    right = 0.0
    for place, kind in enumerate(classes):
        others = np.arange(len(classes)) != place
        distances = [
            float(np.linalg.norm(features[place] - features[others & (classes == other)].mean(axis=0)))
            for other in kinds
        ]
        own = distances[int(np.flatnonzero(kinds == kind)[0])]
        nearest = min(d for d, other in zip(distances, kinds, strict=True) if other != kind)
        right += 0.5 if np.isclose(own, nearest, rtol=1e-9, atol=1e-12) else float(own < nearest)
    return right / len(classes)
