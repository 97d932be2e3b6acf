"""Arrangements of n ones as pairs of half arrangements, the trick behind listing them and evaluating them all at once.

An arrangement is an integer whose most significant bit is the first site. Its first half holds the high bits. With the
halves sorted by their number of ones, all arrangements are blocks {first half with p ones} x {second with n - p ones}:
whatever is a sum (or a union of bits) over the halves is known for a block from its edges.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Masks = NDArray[np.uint64]
Floats = NDArray[np.float64]
MAX_SITES = 64
"""Sites that a mask holds."""


@lru_cache(maxsize=256)
def arrangement_masks(n_sites: int, n_ones: int) -> Masks:
    """All arrangements of `n_ones` ones on `n_sites` sites as ascending masks; not to be written to."""
    if n_ones in (0, n_sites):
        return np.array([(1 << n_sites) - 1 if n_ones else 0], dtype=np.uint64)
    top = np.uint64(1 << (n_sites - 1))
    return np.concatenate([arrangement_masks(n_sites - 1, n_ones), arrangement_masks(n_sites - 1, n_ones - 1) | top])


def bit_rows(masks: Masks, n_sites: int) -> Floats:
    """(n_masks, n_sites) bits of masks as numbers, first site first."""
    shifts = np.arange(n_sites - 1, -1, -1, dtype=np.uint64)
    return ((masks[:, None] >> shifts) & np.uint64(1)).astype(np.float64)


@dataclass(frozen=True, eq=False)
class Halves:
    """The half arrangements of `n_ones` ones on `n_sites` sites, sorted by their number of ones and then by mask.

    Attributes
    ----------
    n_sites, n_ones : the whole arrangement.
    n_first : sites in the first half, the most significant bits.
    first_masks, second_masks : (n_first_halves,) and (n_second_halves,), each half as it stands in the whole mask.
    first, second : (n_halves, n_half_sites) the bits of either half as numbers.
    blocks : per number of ones in the first half: its rows of `first` and of `second`. A `place` is the position of an
        arrangement when the blocks are laid end to end, row by row.
    """

    n_sites: int
    n_ones: int
    n_first: int
    first_masks: Masks
    second_masks: Masks
    first: Floats
    second: Floats
    blocks: tuple[tuple[slice, slice], ...]

    @cached_property
    def shapes(self) -> list[tuple[int, int]]:
        """Rows and columns of each block."""
        return [(rows.stop - rows.start, columns.stop - columns.start) for rows, columns in self.blocks]

    @cached_property
    def _starts(self) -> NDArray[np.intp]:
        """(n_first_halves + 1,) place at which the arrangements of each first half begin; the last is their number."""
        widths = np.concatenate([np.full(height, width) for height, width in self.shapes])
        return np.concatenate([[0], np.cumsum(widths)])

    @cached_property
    def _first_columns(self) -> NDArray[np.intp]:
        """(n_first_halves,) the second half with which the arrangements of each first half begin."""
        return np.concatenate([np.full(rows.stop - rows.start, columns.start) for rows, columns in self.blocks])

    def __len__(self) -> int:
        return int(self._starts[-1])

    @cached_property
    def ascending(self) -> NDArray[np.intp]:
        """(n_arrangements,) places in the order of ascending masks."""
        order = np.argsort(self.first_masks)
        return np.concatenate([np.arange(self._starts[row], self._starts[row + 1]) for row in order])

    def halves_at(self, places: NDArray[np.intp]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Rows of `first` and of `second` at some places."""
        rows = np.searchsorted(self._starts, places, side="right") - 1
        return rows, self._first_columns[rows] + places - self._starts[rows]

    def masks_at(self, places: NDArray[np.intp]) -> Masks:
        """Masks of the arrangements at some places."""
        rows, columns = self.halves_at(places)
        return self.first_masks[rows] | self.second_masks[columns]


@lru_cache(maxsize=32)
def halves(n_sites: int, n_ones: int) -> Halves:
    """Cut the arrangements of `n_ones` ones on `n_sites` sites in two halves."""
    n_first = n_sites // 2
    n_second = n_sites - n_first
    numbers = range(max(0, n_ones - n_second), min(n_ones, n_first) + 1)
    first = [arrangement_masks(n_first, p) for p in numbers]
    second = [arrangement_masks(n_second, n_ones - p) for p in numbers]
    ends = [np.cumsum([0, *map(len, parts)]).tolist() for parts in (first, second)]
    rows, columns = ([slice(start, stop) for start, stop in pairwise(end)] for end in ends)
    high, low = np.concatenate(first), np.concatenate(second)
    return Halves(
        n_sites=n_sites,
        n_ones=n_ones,
        n_first=n_first,
        first_masks=high << np.uint64(n_second),
        second_masks=low,
        first=bit_rows(high, n_first),
        second=bit_rows(low, n_second),
        blocks=tuple(zip(rows, columns, strict=True)),
    )
