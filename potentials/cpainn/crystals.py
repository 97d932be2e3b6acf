"""Crystals as the model takes them: one at a time, or many in one batch of tensors.

Inside a batch atoms stand in the order of its layout (`neighbours`); everything that goes in or comes out is in the
order of the crystals laid end to end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .neighbours import Block, find_edges, lay_out

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]

BEYOND = 2.0
"""Edges that only fill a block are this many cutoffs long: the cutoff function is exactly zero there."""


@dataclass(frozen=True)
class Crystal:
    """One structure by model numbers.

    Attributes
    ----------
    species : (n_atoms,) model numbers (`species.SpeciesMap.encode`).
    positions : (n_atoms, 3) Cartesian, A.
    cell : (3, 3) rows are cell vectors, A.
    pbc : (3,) bool.
    name : what it is called in errors.
    """

    species: IntArray
    positions: FloatArray
    cell: FloatArray
    pbc: NDArray[np.bool_]
    name: str = "structure"

    def __len__(self) -> int:
        """Number of atoms."""
        return len(self.species)

    @property
    def volume(self) -> float:
        """Cell volume, A^3; NaN unless periodic in all directions, and then there is no stress."""
        return float(abs(np.linalg.det(self.cell))) if self.pbc.all() else float("nan")


@dataclass(frozen=True)
class CrystalBatch:
    """Tensors of several crystals.

    Attributes
    ----------
    species, crystal : (n_atoms,) model number and number of the crystal, in layout order.
    order : (n_atoms,) where each place of the layout stands in the crystals laid end to end.
    receivers, senders : (n_edges,) places in the layout.
    vectors : (n_edges, 3) from receiver to sender, A.
    volumes : (n_crystals,) A^3, NaN where not periodic.
    blocks : atoms that are computed together.
    sizes : atoms of each crystal.
    """

    species: Tensor
    crystal: Tensor
    order: Tensor
    receivers: Tensor
    senders: Tensor
    vectors: Tensor
    volumes: Tensor
    blocks: tuple[Block, ...]
    sizes: tuple[int, ...]

    @property
    def n_atoms(self) -> int:
        """Atoms of all crystals."""
        return len(self.species)

    @property
    def n_crystals(self) -> int:
        """Number of crystals."""
        return len(self.sizes)

    def end_to_end(self, values: Tensor) -> Tensor:
        """Per-atom values, (n_atoms, ...) in layout order, in the order of the crystals laid end to end."""
        return torch.empty_like(values).index_copy_(0, self.order, values)


def collate(
    crystals: Sequence[Crystal],
    cutoff: float,
    edges_per_block: int,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
) -> CrystalBatch:
    """Batch crystals with their neighbour lists.

    Parameters
    ----------
    crystals : at least one, each with at least one atom.
    cutoff : A.
    edges_per_block : see `neighbours.lay_out`.
    dtype, device : of the tensors.

    Raises
    ------
    ValueError
        Naming the crystal that has no atoms or no neighbour list.
    """
    edges = []
    for crystal in crystals:
        if not len(crystal):
            raise ValueError(f"{crystal.name}: has no atoms")
        try:
            edges.append(find_edges(crystal.positions, crystal.cell, crystal.pbc, cutoff))
        except ValueError as err:
            raise ValueError(f"{crystal.name}: {err}") from err
    layout = lay_out(edges, BEYOND * cutoff, edges_per_block)
    sizes = tuple(len(crystal) for crystal in crystals)

    def whole(values: NDArray[np.int64]) -> Tensor:
        return torch.from_numpy(values).to(device)

    def real(values: FloatArray) -> Tensor:
        return torch.from_numpy(values).to(device=device, dtype=dtype)

    return CrystalBatch(
        species=whole(np.concatenate([crystal.species for crystal in crystals])[layout.order]),
        crystal=whole(np.repeat(np.arange(len(sizes)), sizes)[layout.order]),
        order=whole(layout.order),
        receivers=whole(layout.receivers),
        senders=whole(layout.senders),
        vectors=real(layout.vectors),
        volumes=real(np.array([crystal.volume for crystal in crystals])),
        blocks=layout.blocks,
        sizes=sizes,
    )
