"""What leaks from training to validation and test: cut lineages, symmetry-equivalent copies, near-duplicate frames.

A near-duplicate has the same species and nearly the same energy, volume and largest force, and the same neighbours: for
every species the distances to the nearest neighbours, sorted, which neither a symmetry operation nor another choice of
origin or site order changes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from .frame_arrays import FrameBlock
from .frame_entries import FrameEntry
from .frames import Collections, Frame, oxidation_states, read_block
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
_SHELL = np.array(list(product((-1, 0, 1), repeat=3)), dtype=float)
_SPARE = 1.5  # of the radius of a sphere that holds the nearest neighbours where all is evenly filled
_LOOKED_AT = 5
_REMEMBERED = 1 << 14  # of 160 atoms: 84 MB
_BLOCKS = 1 << 6  # frames are looked at in order of their runs, whose blocks they share

Moved = Callable[[int, int], None]


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


Fingerprints = Callable[[FrameEntry], NDArray[np.float32]]
"""Neighbour distances of a frame, A."""


def fingerprints(stores: Collections) -> Fingerprints:
    """Function that reads a frame and gives its `neighbour_fingerprint`; it remembers those asked for last.

    Parameters
    ----------
    stores : where the frames' arrays are.
    """

    @lru_cache(maxsize=_BLOCKS)
    def block(block_id: str) -> FrameBlock:
        return read_block(stores, block_id)

    @lru_cache(maxsize=_REMEMBERED)
    def of(entry: FrameEntry) -> NDArray[np.float32]:
        label = stores.collection("frames").query({"frame_id": entry.frame_id}, properties=["frame_id", "label"])
        frame = Frame(next(iter(label)), block(entry.block_id).frame(entry.row))
        return neighbour_fingerprint(frame).astype(np.float32)

    return of


def leakage_report(
    entries: Sequence[FrameEntry],
    split: Split,
    neighbours: Fingerprints,
    moved: Moved = lambda done, total: None,
) -> LeakageReport:
    """Count what leaks through a split.

    Parameters
    ----------
    entries : the set's frames.
    split : of all of them.
    neighbours : of their frames; asked for only where everything else is alike.
    moved : called with frames looked at and frames to look at.
    """
    sides: dict[str, set[str]] = defaultdict(set)
    for entry in entries:
        sides[entry.lineage].add(split.places[entry.frame_id])
    training = [entry for entry in entries if split.places[entry.frame_id] == "train"]
    others = [entry for entry in entries if split.places[entry.frame_id] != "train"]
    known = {entry.ordering for entry in training} - {None}
    near = _near_duplicates(training, others, neighbours, moved)
    return LeakageReport(
        lineages_cut=sum(len(found) > 1 for found in sides.values()),
        copies=sum(entry.ordering in known for entry in others),
        near_duplicates=len(near),
        pairs=frozenset((one.lineage, other.lineage) for one, other in near),
    )


def _near_duplicates(
    training: Sequence[FrameEntry], others: Sequence[FrameEntry], neighbours: Fingerprints, moved: Moved
) -> list[tuple[FrameEntry, FrameEntry]]:
    """Frames of `others` with the first near-duplicate that training has."""
    by_species: dict[Any, list[FrameEntry]] = defaultdict(list)
    for entry in training:
        by_species[entry.species].append(entry)
    known = {species: _Alike(found) for species, found in by_species.items()}
    found = []
    for done, entry in enumerate(others, 1):
        for other in known[entry.species].to(entry) if entry.species in known else ():
            if np.sqrt(np.mean((neighbours(entry) - neighbours(other)) ** 2)) < NEAR_DISTANCE:
                found.append((entry, other))
                break
        moved(done, len(others))
    return found


class _Alike:
    """Training frames of one kind, sorted by energy, so that those alike in energy, volume and force are found fast."""

    def __init__(self, entries: Iterable[FrameEntry]) -> None:
        self._entries = sorted(entries, key=lambda entry: (entry.energy_per_atom, entry.frame_id))
        numbers = [(entry.energy_per_atom, entry.volume, entry.max_force) for entry in self._entries]
        self._energies, self._volumes, self._forces = np.array(numbers).T

    def to(self, entry: FrameEntry) -> list[FrameEntry]:
        """Those closest in energy, a few of them."""
        energy = entry.energy_per_atom
        first, last = np.searchsorted(self._energies, (energy - NEAR_ENERGY, energy + NEAR_ENERGY))
        alike = np.abs(self._volumes[first:last] - entry.volume) < NEAR_VOLUME * entry.volume
        alike &= np.abs(self._forces[first:last] - entry.max_force) < NEAR_FORCE
        places = np.flatnonzero(alike) + first
        nearest = places[np.argsort(np.abs(self._energies[places] - energy), kind="stable")[:_LOOKED_AT]]
        return [self._entries[place] for place in nearest]


def neighbour_fingerprint(frame: Frame) -> NDArray[np.float64]:
    """Sorted distances to nearest neighbours per species, A: the same for every image of a structure.

    Returns
    -------
    (n_sites * 8,) distances, species by species.
    """
    arrays = frame.arrays
    states = oxidation_states(frame)
    species = arrays.numbers.astype(int) * 16 + (0 if states is None else states.astype(int))
    nearest = _nearest_distances(arrays.frac_coords % 1.0, arrays.lattice)
    return np.concatenate([np.sort(nearest[species == kind], axis=0).ravel() for kind in np.unique(species)])


def _nearest_distances(fractional: NDArray[np.float64], lattice: NDArray[np.float64]) -> NDArray[np.float64]:
    """Distances of every site to its nearest neighbours, (n_sites, 8), A.

    Parameters
    ----------
    fractional : (n_sites, 3) within the cell.
    lattice : (3, 3) rows are cell vectors, A.
    """
    sites = fractional @ lattice
    # Images of the cell that can hold one of the nearest neighbours; crystals are dense, so the first shell is enough.
    images = (fractional[None] + _SHELL[:, None]).reshape(-1, 3)
    volume_of_all = abs(np.linalg.det(lattice)) / len(sites) * (_NEIGHBOURS + 1)
    reach = _SPARE * (volume_of_all * 3 / (4 * np.pi)) ** (1 / 3)
    margins = reach * np.linalg.norm(np.linalg.inv(lattice), axis=0)
    within = np.all((images > -margins) & (images < 1 + margins), axis=1)
    for chosen in (images[within], images):
        # Neither balanced nor compact: a tree that is asked once is not worth it.
        tree = cKDTree(chosen @ lattice, balanced_tree=False, compact_nodes=False)
        distances, _ = tree.query(sites, k=_NEIGHBOURS + 1)
        if distances.max() < reach:
            break  # else one of the nearest may lie further out
    return np.asarray(distances[:, 1:])  # the first is the site itself


def lines_of(report: Mapping[str, Any], places: str = f"valid, test or {BENCHMARK}") -> list[str]:
    """A report in words, for a card."""
    return [
        f"lineages on more than one side: {report['lineages_cut']}",
        f"frames of {places} whose ordering is in train too: {report['copies']}",
        f"frames of {places} with a near-duplicate in train: {report['near_duplicates']}",
    ]
