"""The error of knowing nothing: what a constant in a model's place is wrong by. Every error is read beside it.

Energies are held against the mean of their composition (charge states aside), forces and stress against zero, moments
and charges against the mean of their species, all of the same frames. A model whose error is no smaller has learned
nothing of the target but its means; frames near a minimum have small forces, so that a small error may say little.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..stores.model_documents import TargetScore
from .species import SpeciesMap

if TYPE_CHECKING:
    from .cpainn.frames import Frame  # torch

FloatArray = NDArray[np.float64]

UNITS = {"energy": "eV/atom", "forces": "eV/A", "stress": "eV/A^3", "magmoms": "muB", "charges": "e"}


def about_group_means(values: FloatArray, groups: ArrayLike) -> FloatArray:
    """Values less the mean of their group.

    Parameters
    ----------
    values : (n,) NaN where there is none; such count for no mean.
    groups : (n,) what group each is of.

    Returns
    -------
    (n,) differences, NaN where there is no value.
    """
    _, place = np.unique(np.asarray(groups), return_inverse=True)
    known = np.isfinite(values)
    count = np.bincount(place, known)
    sums = np.bincount(place, np.where(known, values, 0.0))
    means = np.divide(sums, count, out=np.full(len(count), np.nan), where=count > 0)
    found: FloatArray = values - means[place]
    return found


def no_better_than_a_constant(errors: Mapping[str, TargetScore], baseline: Mapping[str, TargetScore]) -> list[str]:
    """Targets of which a model has learned nothing: its mean absolute error is no smaller than the constant's."""
    return [target for target, score in errors.items() if target in baseline and score.mae >= baseline[target].mae]


def baseline_of_frames(frames: Sequence[Frame], species_map: SpeciesMap) -> dict[str, TargetScore]:
    """Errors of constants over frames.

    Parameters
    ----------
    frames : encoded with the map.
    species_map : tells which species are charge states of one element.

    Returns
    -------
    Target -> error, of those targets that any frame has.
    """
    species = np.concatenate([frame.crystal.species for frame in frames])
    compositions = [_composition(frame, species_map) for frame in frames]
    energies = np.array([frame.energy / len(frame.crystal) for frame in frames])
    differences = {
        "energy": about_group_means(energies, compositions),
        "forces": np.concatenate([frame.forces.ravel() for frame in frames]),
        "stress": np.concatenate([frame.stress.ravel() for frame in frames]),
        "magmoms": about_group_means(np.concatenate([frame.magmoms for frame in frames]), species),
        "charges": about_group_means(np.concatenate([frame.charges for frame in frames]), species),
    }
    found = {target: _score(values, UNITS[target]) for target, values in differences.items()}
    return {target: score for target, score in found.items() if score is not None}


def _composition(frame: Frame, species_map: SpeciesMap) -> str:
    parents = species_map.parents
    elements = [parents.get(number, number) for number in frame.crystal.species.tolist()]
    numbers, counts = np.unique(elements, return_counts=True)
    shared = np.gcd.reduce(counts)
    return " ".join(f"{number}:{count // shared}" for number, count in zip(numbers, counts, strict=True))


def _score(differences: FloatArray, unit: str) -> TargetScore | None:
    known = differences[np.isfinite(differences)]
    if not known.size:
        return None
    return TargetScore(mae=float(np.abs(known).mean()), rmse=float(np.sqrt((known**2).mean())), unit=unit)
