"""What leaks from training to validation and test: cut lineages, symmetry-equivalent copies, near-duplicate frames.

A near-duplicate has the same species and nearly the same energy, volume and largest force, and the same neighbours: for
every species the distances to the nearest neighbours, sorted, which neither a symmetry operation nor another choice of
origin or site order changes.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .frame_entries import FrameEntry
from .frames import Collections, Frame, oxidation_states, with_arrays
from .splits import BENCHMARK, Split

NEAR_ENERGY = 5e-4
"""eV/atom: near-duplicates are no further apart."""
NEAR_VOLUME = 2e-3
"""Relative."""
NEAR_FORCE = 0.05
"""eV/A, between the largest forces."""
NEAR_DISTANCE = 0.02
"""A, root mean square over sorted neighbour distances: a tenth of a thermal vibration."""

_NEIGHBOURS = 8
_LOOKED_AT = 5


@dataclass(frozen=True)
class LeakageReport:
    """Leaks across the sides of a split; frames that are not of `train` are counted, once each.

    Attributes
    ----------
    lineages_cut : lineages on more than one side.
    copies : frames whose ordering (host, cell, canonical joint key) training has in another lineage or this one.
    near_duplicates : frames of which training has a near-duplicate.
    pairs : (lineage, lineage) of near-duplicates across the split.
    """

    lineages_cut: int
    copies: int
    near_duplicates: int
    pairs: frozenset[tuple[str, str]] = field(default=frozenset(), repr=False)

    @property
    def is_clean(self) -> bool:
        """Nothing leaks."""
        return not (self.lineages_cut or self.copies or self.near_duplicates)

    def as_dict(self) -> dict[str, Any]:
        """Counts, for a manifest."""
        return {name: value for name, value in asdict(self).items() if name != "pairs"}


def leakage_report(stores: Collections, entries: Sequence[FrameEntry], split: Split) -> LeakageReport:
    """Count what leaks through a split.

    Parameters
    ----------
    stores : where the frames' arrays are.
    entries : the set's frames.
    split : of all of them.
    """
    sides: dict[str, set[str]] = defaultdict(set)
    for entry in entries:
        sides[entry.lineage].add(split.places[entry.frame_id])
    training = [entry for entry in entries if split.places[entry.frame_id] == "train"]
    others = [entry for entry in entries if split.places[entry.frame_id] != "train"]
    known = {entry.ordering for entry in training} - {None}
    near = _near_duplicates(stores, training, others)
    return LeakageReport(
        lineages_cut=sum(len(found) > 1 for found in sides.values()),
        copies=sum(entry.ordering in known for entry in others),
        near_duplicates=len(near),
        pairs=frozenset((one.lineage, other.lineage) for one, other in near),
    )


def _near_duplicates(
    stores: Collections, training: Sequence[FrameEntry], others: Sequence[FrameEntry]
) -> list[tuple[FrameEntry, FrameEntry]]:
    """Frames of `others` with the first near-duplicate that training has."""
    by_species: dict[Any, list[FrameEntry]] = defaultdict(list)
    for entry in sorted(training, key=lambda entry: entry.energy_per_atom):
        by_species[entry.species].append(entry)
    energies = {key: [entry.energy_per_atom for entry in found] for key, found in by_species.items()}

    @lru_cache(maxsize=4096)
    def neighbours(entry: FrameEntry) -> NDArray[np.float64]:
        document = next(iter(stores.collection("frames").query({"frame_id": entry.frame_id})))
        return neighbour_fingerprint(next(with_arrays(stores, [document])))

    found = []
    for entry in others:
        near = by_species.get(entry.species, [])
        scale = energies.get(entry.species, [])
        first = bisect_left(scale, entry.energy_per_atom - NEAR_ENERGY)
        last = bisect_right(scale, entry.energy_per_atom + NEAR_ENERGY)
        for other in _closest(entry, near[first:last]):
            if np.sqrt(np.mean((neighbours(entry) - neighbours(other)) ** 2)) < NEAR_DISTANCE:
                found.append((entry, other))
                break
    return found


def _closest(entry: FrameEntry, candidates: Sequence[FrameEntry]) -> list[FrameEntry]:
    near = [
        other
        for other in candidates
        if abs(other.volume - entry.volume) < NEAR_VOLUME * entry.volume
        and abs(other.max_force - entry.max_force) < NEAR_FORCE
    ]
    return sorted(near, key=lambda other: abs(other.energy_per_atom - entry.energy_per_atom))[:_LOOKED_AT]


def neighbour_fingerprint(frame: Frame) -> NDArray[np.float64]:
    """Sorted distances to nearest neighbours per species, A: the same for every image of a structure.

    Returns
    -------
    (n_sites * 8,) distances, species by species.
    """
    arrays = frame.arrays
    states = oxidation_states(frame)
    species = arrays.numbers.astype(int) * 16 + (0 if states is None else states.astype(int))
    fractional = arrays.frac_coords % 1.0
    # Images of the cell that can hold one of the nearest neighbours; crystals are dense, so the first shell is enough.
    shifts = np.array(list(product((-1, 0, 1), repeat=3)), dtype=float)
    positions = fractional @ arrays.lattice
    images = (fractional[None] + shifts[:, None]) @ arrays.lattice
    nearest = np.empty((len(positions), _NEIGHBOURS))
    flat = images.reshape(-1, 3)
    for site, position in enumerate(positions):
        distances = np.sqrt(((flat - position) ** 2).sum(axis=1))
        nearest[site] = np.sort(np.partition(distances, _NEIGHBOURS)[: _NEIGHBOURS + 1])[1:]
    return np.concatenate([np.sort(nearest[species == kind], axis=0).ravel() for kind in np.unique(species)])


def lines_of(report: Mapping[str, Any], places: str = f"valid, test or {BENCHMARK}") -> list[str]:
    """A report in words, for a card."""
    return [
        f"lineages on more than one side: {report['lineages_cut']}",
        f"frames of {places} whose ordering is in train too: {report['copies']}",
        f"frames of {places} with a near-duplicate in train: {report['near_duplicates']}",
    ]
