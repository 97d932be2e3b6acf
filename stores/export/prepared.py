"""A frame as every format writes it: real elements, charge states, and the numbers a model knows its atoms by."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
from ase.data import chemical_symbols
from numpy.typing import NDArray

from ...inputs.species import SpeciesMap
from ..frame_arrays import FloatArray, FrameArrays
from ..frame_entries import FrameEntry
from ..frames import Collections, oxidation_states, with_arrays

_BATCH = 200


@dataclass(frozen=True, slots=True)
class ExportFrame:
    """One frame, ready to be written.

    Attributes
    ----------
    entry : what it is.
    arrays : its numbers: A, eV/A, eV/A^3 with ASE's sign, muB, e; real elements.
    model_numbers : (n_sites,) atomic numbers that a model knows the atoms by.
    states : (n_sites,) oxidation states, e; None where they are not known.
    """

    entry: FrameEntry
    arrays: FrameArrays
    model_numbers: NDArray[np.int64]
    states: NDArray[np.int8] | None

    @property
    def energy(self) -> float:
        """Total energy, eV per cell."""
        return self.entry.energy

    @property
    def stress(self) -> FloatArray | None:
        """Stress, (3, 3) eV/A^3, ASE sign."""
        return self.arrays.stress

    def symbols(self, of_model: bool) -> list[str]:
        """Symbols of the model's numbers or of the real elements."""
        numbers = self.model_numbers if of_model else self.arrays.numbers
        return [chemical_symbols[number] for number in numbers]


def prepared_frames(stores: Collections, entries: Sequence[FrameEntry], species: SpeciesMap) -> Iterator[ExportFrame]:
    """Read frames in the order given and encode their charge states.

    Parameters
    ----------
    stores : where they are.
    entries : which.
    species : map to model numbers.

    Raises
    ------
    ValueError
        If a number is not finite, or a charge state is not in the map.
    """
    source = iter(entries)
    while batch := list(islice(source, _BATCH)):
        ids = [entry.frame_id for entry in batch]
        labels = stores.collection("frames").query({"frame_id": {"$in": ids}}, properties=["frame_id", "label"])
        label_of = {document["frame_id"]: document.get("label") for document in labels}
        documents = [
            {"frame_id": e.frame_id, "block_id": e.block_id, "row": e.row, "label": label_of[e.frame_id]} for e in batch
        ]
        for entry, frame in zip(batch, with_arrays(stores, documents), strict=True):
            _refuse_broken(entry, frame.arrays)
            states = oxidation_states(frame)
            encoded = species.encode(frame.arrays.numbers, states, f"frame {entry.frame_id}")
            yield ExportFrame(entry, frame.arrays, encoded, states)


def _refuse_broken(entry: FrameEntry, arrays: FrameArrays) -> None:
    for name in ("lattice", "positions", "forces", "stress", "magmoms", "bader_charges"):
        values = getattr(arrays, name)
        if values is not None and not np.isfinite(values).all():
            raise ValueError(f"frame {entry.frame_id}: {name} holds a number that is not finite; ingest its run again")
