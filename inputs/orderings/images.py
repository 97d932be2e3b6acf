"""Images of arrangements under permutations, on integers: many arrangements and many operations at once.

An operation moves each bit on its own: the image of a mask is a sum over its bits, so that many images are one matrix
product, and those of all arrangements of n ones are unions of the images of their few halves.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .halves import Floats, Halves, Masks, bit_rows

Unsigned = NDArray[np.unsignedinteger[Any]]

DENSE_OPERATIONS = 8
"""Operations applied to whole blocks before the few survivors are followed one by one (the fastest of 4 to 16)."""


CHUNK = 1 << 15
"""Arrangements looked at together, so that they stay in the cache."""


def smallest_images(masks: Masks, permutations: NDArray[np.int_]) -> Masks:
    """Smallest image of each arrangement under a group.

    Parameters
    ----------
    masks : (n,) arrangements, first site as the most significant bit.
    permutations : (n_operations, n_sites); row g sends the bits to bits[g].

    Returns
    -------
    (n,) masks.
    """
    smallest = np.empty_like(masks)
    step = max(1, CHUNK // len(permutations))
    for start in range(0, len(masks), step):
        bits = bit_rows(masks[start : start + step], permutations.shape[1])
        smallest[start : start + step] = _moved(bits, permutations, slice(None)).min(axis=0)
    return smallest


def _moved(bits: Floats, permutations: NDArray[np.int_], sites: slice) -> Masks:
    """(n_operations, n_rows) images of part arrangements, given as bits on a slice of the sites."""
    n_sites = permutations.shape[1]
    power = (
        n_sites - 1 - np.argsort(permutations, axis=1)[:, sites]
    )  # image[i] = bits[g[i]]: the bit of j goes to g^-1[j]
    moved: Masks = (np.where(power < 32, 2.0**power, 0.0) @ bits.T).astype(np.uint64)
    if n_sites > 32:  # a second product, as doubles hold no more than 53 bits
        moved |= (np.where(power >= 32, 2.0 ** (power - 32), 0.0) @ bits.T).astype(np.uint64) << np.uint64(32)
    return moved


def smallest_of_orbits(permutations: NDArray[np.int_], cut: Halves) -> tuple[Masks, NDArray[np.int_]]:
    """All arrangements that no operation of a group makes smaller.

    Parameters
    ----------
    permutations : (n_operations, n_sites) distinct operations of a group.
    cut : the arrangements.

    Returns
    -------
    masks (n_orbits,) ascending, and the number of operations that fix each of them (n_orbits,).
    """
    kind = np.uint32 if cut.n_sites <= 32 else np.uint64  # half the memory to move where it suffices
    first: Unsigned = _moved(cut.first, permutations, slice(0, cut.n_first)).astype(kind)
    second: Unsigned = _moved(cut.second, permutations, slice(cut.n_first, None)).astype(kind)
    rows, columns = _survivors(first[:DENSE_OPERATIONS], second[:DENSE_OPERATIONS], cut)
    masks = (cut.first_masks[rows] | cut.second_masks[columns]).astype(kind)
    for of_first, of_second in zip(first[DENSE_OPERATIONS:], second[DENSE_OPERATIONS:], strict=True):
        kept = np.flatnonzero((of_first[rows] | of_second[columns]) >= masks)
        rows, columns, masks = rows[kept], columns[kept], masks[kept]
    fixing = np.zeros(len(masks), dtype=np.int_)
    for of_first, of_second in zip(first, second, strict=True):
        fixing += (of_first[rows] | of_second[columns]) == masks
    order = np.argsort(masks)
    return masks[order].astype(np.uint64), fixing[order]


def _survivors(first: Unsigned, second: Unsigned, cut: Halves) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows of both halves of the arrangements that none of a few operations makes smaller."""
    high, low = cut.first_masks.astype(first.dtype), cut.second_masks.astype(first.dtype)
    rows, columns = [], []
    for of_first, of_second in cut.blocks:
        height = max(1, CHUNK // (of_second.stop - of_second.start))
        for start in range(of_first.start, of_first.stop, height):
            here = slice(start, min(start + height, of_first.stop))
            masks = high[here, None] | low[of_second]
            alive = np.ones(masks.shape, dtype=bool)
            images = np.empty_like(masks)
            for one, other in zip(first[:, here], second[:, of_second], strict=True):
                np.bitwise_or(one[:, None], other, out=images)
                alive &= images >= masks
            found = np.nonzero(alive)
            rows.append(found[0] + start)
            columns.append(found[1] + of_second.start)
    return np.concatenate(rows), np.concatenate(columns)
