"""Periodic neighbour lists (matscipy), and their layout in blocks of atoms with equally many neighbours.

`crystals` makes tensors of them. Every pair within the cutoff is an edge once in each direction, images of an atom
itself included, so that cells smaller than the cutoff are right too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matscipy.neighbours import neighbour_list
from numpy.typing import ArrayLike, NDArray

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]

SHORTEST = 1e-3
"""Pairs closer than this, A, have no direction to speak of."""


@dataclass(frozen=True)
class Edges:
    """Neighbours of every atom of one crystal, sorted by the receiving atom.

    Attributes
    ----------
    degrees : (n_atoms,) number of neighbours.
    senders : (n_edges,) the neighbour.
    vectors : (n_edges, 3) from the receiving atom to the neighbour's image, A.
    """

    degrees: IntArray
    senders: IntArray
    vectors: FloatArray


def find_edges(positions: ArrayLike, cell: ArrayLike, pbc: ArrayLike, cutoff: float) -> Edges:
    """Find all pairs within the cutoff.

    Parameters
    ----------
    positions : (n_atoms, 3) A; atoms may lie outside the cell.
    cell : (3, 3) rows are cell vectors, A; zero where not periodic.
    pbc : (3,) bool.
    cutoff : A.

    Raises
    ------
    ValueError
        If a position is not finite, two atoms coincide, or the cell is flat along its periodic directions.
    """
    where = np.ascontiguousarray(positions, dtype=float)
    periodic = np.broadcast_to(np.asarray(pbc, dtype=bool), 3)
    box = np.array(cell, dtype=float)
    if not (np.isfinite(where).all() and np.isfinite(box).all()):
        raise ValueError("a position or cell vector is not finite")
    if np.linalg.matrix_rank(box[periodic], tol=1e-6) < periodic.sum():
        raise ValueError(f"cell {box.tolist()} has no extent along its periodic directions")
    origin = np.zeros(3)
    if not periodic.all():
        box, origin = _boxed(where, box, periodic)
    receivers, senders, vectors = neighbour_list(
        "ijD", positions=where, cell=box, pbc=periodic, cutoff=float(cutoff), cell_origin=origin
    )
    touching = np.flatnonzero(np.einsum("ij,ij->i", vectors, vectors) < SHORTEST**2)
    if touching.size:
        pair = receivers[touching[0]], senders[touching[0]]
        raise ValueError(f"atoms {pair[0]} and {pair[1]} lie on one place (closer than {SHORTEST} A)")
    degrees = np.bincount(receivers, minlength=len(where))
    return Edges(degrees, np.asarray(senders, dtype=np.int64), np.asarray(vectors, dtype=float))


def _boxed(positions: FloatArray, cell: FloatArray, periodic: NDArray[np.bool_]) -> tuple[FloatArray, FloatArray]:
    """Cell and origin that hold every atom along the axes that are not periodic: matscipy slows down without."""
    box = np.where(periodic[:, None], cell, 0.0)
    for axis in np.flatnonzero(~periodic):
        box[axis] = _normal_to([vector for vector in box if vector.any()])
    fractional = np.linalg.solve(box.T, positions.T).T
    low = np.where(periodic, 0.0, fractional.min(axis=0, initial=0.0) - 1.0)
    high = np.where(periodic, 1.0, fractional.max(axis=0, initial=0.0) + 1.0)
    return box * (high - low)[:, None], low @ box


def _normal_to(vectors: list[FloatArray]) -> FloatArray:
    """Unit vector at right angles to at most two others."""
    if len(vectors) == 2:
        found = np.cross(vectors[0], vectors[1])
    elif vectors:
        found = np.cross(vectors[0], np.eye(3)[np.argmin(np.abs(vectors[0]))])
    else:
        found = np.array([1.0, 0.0, 0.0])
    unit: FloatArray = found / np.linalg.norm(found)
    return unit


@dataclass(frozen=True)
class Block:
    """Consecutive atoms that are computed together, each with `width` edges.

    Attributes
    ----------
    atoms : slice of the atoms.
    edges : slice of their edges, atom after atom.
    n_atoms, width : edges = n_atoms * width.
    """

    atoms: slice
    edges: slice
    n_atoms: int
    width: int


@dataclass(frozen=True)
class Layout:
    """Edges of several crystals in blocks; missing neighbours are filled with edges that reach beyond the cutoff.

    Attributes
    ----------
    order : (n_atoms,) atom of the crystals, laid end to end, at each place of the layout: by number of neighbours.
    receivers, senders : (n_edges,) places in the layout.
    vectors : (n_edges, 3) A.
    blocks : in order.
    """

    order: IntArray
    receivers: IntArray
    senders: IntArray
    vectors: FloatArray
    blocks: tuple[Block, ...]


def lay_out(crystals: Sequence[Edges], beyond_cutoff: float, edges_per_block: int) -> Layout:
    """Sort atoms by their number of neighbours, cut them into blocks, and fill each block to equal width.

    Parameters
    ----------
    crystals : edges of each crystal.
    beyond_cutoff : length of the edges that fill, A: the model must give them no weight.
    edges_per_block : how many edges to keep together, so that what is computed from them stays in the cache.
    """
    sizes = [len(crystal.degrees) for crystal in crystals]
    degrees = np.concatenate([crystal.degrees for crystal in crystals])
    offsets = np.repeat(np.cumsum(sizes) - sizes, [len(crystal.senders) for crystal in crystals])
    senders = np.concatenate([crystal.senders for crystal in crystals]) + offsets
    vectors = np.concatenate([crystal.vectors for crystal in crystals])
    order = np.argsort(degrees, kind="stable")
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    first = np.cumsum(degrees) - degrees
    blocks, filled = [], 0
    kept_senders, kept_vectors = [], []
    for atoms in _cut(degrees[order], edges_per_block):
        members = order[atoms]
        width = max(1, int(degrees[members[-1]]))
        real = np.arange(width) < degrees[members, None]
        source = (first[members, None] + np.arange(width))[real]
        block_senders = np.repeat(np.arange(atoms.start, atoms.stop), width).reshape(real.shape)
        block_senders[real] = place[senders[source]]
        block_vectors = np.zeros((*real.shape, 3))
        block_vectors[..., 0] = beyond_cutoff
        block_vectors[real] = vectors[source]
        kept_senders.append(block_senders.reshape(-1))
        kept_vectors.append(block_vectors.reshape(-1, 3))
        blocks.append(Block(atoms, slice(filled, filled + real.size), len(members), width))
        filled += real.size
    receivers = np.concatenate([np.repeat(np.arange(b.atoms.start, b.atoms.stop), b.width) for b in blocks])
    return Layout(order, receivers, np.concatenate(kept_senders), np.concatenate(kept_vectors), tuple(blocks))


def _cut(degrees: IntArray, edges_per_block: int) -> list[slice]:
    """Cut atoms, sorted by degree, into runs of about as many edges."""
    cuts, start = [], 0
    while start < len(degrees):
        # The run is as wide as its last atom, so look ahead with the width that the run would get.
        stop = start + max(1, edges_per_block // max(1, int(degrees[start])))
        stop = min(stop, len(degrees))
        width = max(1, int(degrees[stop - 1]))
        stop = min(stop, start + max(1, edges_per_block // width))
        cuts.append(slice(start, stop))
        start = stop
    return cuts
