"""The candidates a learner chooses from, with their features: all of them where they can be listed, else a sample.

Features: correlation functions of the sublattice that is arranged, the electrostatic energy, and for charge orderings
their pairs with the working ions. Electrostatics alone ranks poorly against relaxed energies; as a feature it carries
what is long-ranged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..inputs.orderings.energies import Floats
from ..inputs.orderings.group import OrderingGroup
from ..inputs.orderings.halves import Masks, bit_rows
from ..inputs.orderings.listing import bits_of, list_orbits, mask_of
from ..inputs.orderings.lowest import lowest_finder
from ..inputs.orderings.site_orbits import pair_orbits
from ..inputs.orderings.spaces import ChargeSpace, JointSpace, OrderingSpace
from .correlations import Correlations, Counts, masks_of
from .ridge import Ridge
from .space import Candidate, SearchSpace

LISTED_AT_MOST = 500_000
"""Distinct orderings up to which all of a composition are candidates: with 320 features 0.3 GB."""

CHUNK = 20_000
"""Candidates whose energies are predicted at once."""

Progress = Callable[[str, int, int], None]


@dataclass
class _Block:
    """Candidates with their features; rows of several blocks follow each other."""

    n_working: NDArray[np.int_]
    masks: Masks
    counts: Counts
    extras: Floats


class CandidatePool:
    """Candidates by row number.

    Parameters
    ----------
    space : what is searched; its kind is `ions` or `charges`.
    n_sampled : candidates drawn of a composition that is too large to list.
    seed : of that sample.
    progress : called with (what, done, to do) while electrostatic energies are worked out.

    Raises
    ------
    ValueError
        If the kind is `both` (nest the charges in the ions), or there are more sites than a mask holds.
    """

    def __init__(
        self, space: SearchSpace, n_sampled: int = 20_000, seed: int = 0, progress: Progress | None = None
    ) -> None:
        if space.kind == "both":
            raise ValueError("a learner searches ions (with the charges nested inside) or charges, not both at once")
        self.space, self._progress = space, progress or (lambda what, done, total: None)
        group = space.group
        self._correlations = Correlations(
            group.working_permutations if space.kind == "ions" else np.unique(group.redox_permutations, axis=0)
        )
        self._ends = self._end_energies()
        self._pairs = _working_pairs(group, space) if space.kind == "charges" else None
        self.is_listed = {n: p.is_listable and p.distinct <= LISTED_AT_MOST for n, p in space.parts.items()}
        self._rows: dict[tuple[int, int], int] = {}
        self._blocks: list[_Block] = []
        for n in space.compositions:
            masks = self._listed(n) if self.is_listed[n] else self._sampled(n, n_sampled, seed)
            self._append(n, masks)

    def __len__(self) -> int:
        return sum(len(block.masks) for block in self._blocks)

    @property
    def orders(self) -> NDArray[np.int_]:
        """(n_features,) sites of the clusters behind each feature; 0 where it is always used."""
        extras = self._blocks[0].extras.shape[1]
        pairs = np.full(extras - 1, 2)
        return np.concatenate([self._correlations.order_of, pairs, [0]])

    @property
    def n_working(self) -> NDArray[np.int_]:
        """(n_candidates,) composition of each."""
        return self._all.n_working

    @property
    def electrostatic(self) -> Floats:
        """(n_candidates,) electrostatic energies, eV; relative to the end members where both can be had."""
        return self._all.extras[:, -1]

    def candidate(self, row: int) -> Candidate:
        """The candidate of a row."""
        block = self._all
        bits = bits_of(int(block.masks[row]), self._correlations.permutations.shape[1])
        return Candidate(int(block.n_working[row]), bits)

    def rows_of(self, candidates: Sequence[Candidate]) -> NDArray[np.int_]:
        """(n_candidates,) row of each; what is new is added."""
        names = [(one.n_working, mask_of(one.bits)) for one in candidates]
        new: dict[int, list[int]] = {}
        for n, mask in dict.fromkeys(names):
            if (n, mask) not in self._rows:
                new.setdefault(n, []).append(mask)
        for n, masks in new.items():
            self._append(n, np.array(masks, dtype=np.uint64))
        return np.array([self._rows[name] for name in names], dtype=int)

    def features(self, rows: NDArray[np.int_]) -> Floats:
        """(n_rows, n_features)."""
        return np.hstack([self._all.counts[rows], self._all.extras[rows]])

    def predict(self, ridge: Ridge) -> Floats:
        """(n_candidates,) energies by a fit."""
        block, n_counts = self._all, self._all.counts.shape[1]
        of_counts = ridge.columns < n_counts
        weights = np.zeros(n_counts, dtype=np.float32)
        weights[ridge.columns[of_counts]] = ridge.coefficients[of_counts]
        used = ridge.columns[~of_counts] - n_counts
        predicted = ridge.constant + block.extras[:, used] @ ridge.coefficients[~of_counts]
        for start in range(0, len(predicted), CHUNK):
            here = slice(start, start + CHUNK)
            predicted[here] += block.counts[here].astype(np.float32) @ weights
        return np.asarray(predicted)

    @property
    def _all(self) -> _Block:
        if len(self._blocks) > 1:
            parts = self._blocks
            self._blocks = [
                _Block(
                    *(np.concatenate([getattr(p, name) for p in parts]) for name in ("n_working", "masks")),
                    *(np.concatenate([getattr(p, name) for p in parts]) for name in ("counts", "extras")),
                )
            ]
        return self._blocks[0]

    def _append(self, n_working: int, masks: Masks) -> None:
        start = len(self)
        self._rows.update({(n_working, mask): start + i for i, mask in enumerate(masks.tolist())})
        energies = self._electrostatic(n_working, masks) - self._end_line(n_working)
        extras = energies[:, None] if self._pairs is None else np.hstack([self._pair_sums(masks), energies[:, None]])
        numbers = np.full(len(masks), n_working)
        self._blocks.append(_Block(numbers, masks, self._correlations.of(masks), extras))

    def _listed(self, n_working: int) -> Masks:
        part = self.space.parts[n_working]
        return list_orbits(part.permutations, part.ones[0][1]).masks

    def _sampled(self, n_working: int, n_sampled: int, seed: int) -> Masks:
        return masks_of(np.array([one.bits for one in self.space.sample(n_working, n_sampled, seed)]))

    def _electrostatic(self, n_working: int, masks: Masks) -> Floats:
        """(n,) electrostatic energy of each candidate with its best charges, eV."""
        space, model = self.space, self.space.electrostatics
        if space.kind == "charges":
            assert space.at is not None
            bits = bit_rows(masks, space.group.n_redox).astype(bool)
            return model.polynomial.given(space.at).energies(bits)
        n_high = space.cell.n_high(n_working, space.couple)
        bits = bit_rows(masks, space.group.n_working).astype(bool)
        if not JointSpace(space.group, n_working, n_high).charges_at(bits[0]).is_listable:
            return _mean_field(space, bits, n_high)
        part: OrderingSpace = space.parts[n_working]
        if len(masks) == part.distinct:
            return space.working_minima(n_working, lambda done, total: self._tell(n_working, done, total))[1]
        find = lowest_finder(model)
        return np.array([_lowest(find(ChargeSpace.at(space.group, row, n_high), 1)[0][0].energy) for row in bits])

    def _tell(self, n_working: int, done: int, total: int) -> None:
        self._progress(f"electrostatics at x = {self.space.fraction(n_working):.3g}", done, total)

    def _end_energies(self) -> tuple[float, float] | None:
        """Electrostatic energies of the empty and the full host, eV, where a search runs between them."""
        n = self.space.group.n_working
        if self.space.kind != "ions" or {0, n} - set(self.space.compositions):
            return None
        empty, full = (float(self._electrostatic(k, masks_of(np.full((1, n), k > 0, dtype=bool)))[0]) for k in (0, n))
        return empty, full

    def _end_line(self, n_working: int) -> float:
        if self._ends is None:
            return 0.0
        x = self.space.fraction(n_working)
        return (1 - x) * self._ends[0] + x * self._ends[1]

    def _pair_sums(self, masks: Masks) -> Floats:
        """(n, n_pair_orbits) pairs of a high state and a working ion, by their orbit."""
        assert self._pairs is not None
        sums: Floats = bit_rows(masks, self.space.group.n_redox) @ self._pairs
        return sums


def _lowest(energy: float | None) -> float:
    assert energy is not None  # a member that was ranked has its energy
    return energy


def _mean_field(space: SearchSpace, bits: NDArray[np.bool_], n_high: int) -> Floats:
    """(n,) electrostatic energies with the high states spread evenly, where their arrangements are too many."""
    spread = np.full((len(bits), space.group.n_redox), n_high / space.group.n_redox)
    polynomial, x = space.electrostatics.polynomial, np.hstack([bits.astype(float), spread])
    energies: Floats = polynomial.constant + x @ polynomial.linear + 0.5 * ((x @ polynomial.pairs) * x).sum(axis=1)
    return energies


def _working_pairs(group: OrderingGroup, space: SearchSpace) -> Floats:
    """(n_redox, n_pair_orbits) working ions around each redox site, by the orbit of the pair."""
    assert space.at is not None
    between = pair_orbits(group)[: group.n_working, group.n_working :]
    labels, number = np.unique(between, return_inverse=True)
    number = number.reshape(between.shape)
    counts = np.zeros((group.n_redox, len(labels)))
    for site in np.flatnonzero(space.at):
        counts[np.arange(group.n_redox), number[site]] += 1
    return counts


def neighbours(space: SearchSpace, parents: Iterable[Candidate]) -> list[Candidate]:
    """Every candidate one swap away from any of some, each once."""
    return list(dict.fromkeys(one for parent in parents for one in space.swaps(parent)))
