"""Parquet: one row per frame, per-atom numbers as flat lists, everything as doubles, units in the schema's metadata."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import ArrayLike, NDArray

from .prepared import ExportFrame

_DOUBLES = pa.list_(pa.float64())
_UNITS = {
    "energy": "eV per cell",
    "lattice": "A, 9 numbers, rows are cell vectors",
    "positions": "A, Cartesian, 3 numbers per atom",
    "forces": "eV/A, 3 numbers per atom",
    "stress": "eV/A^3, 9 numbers, ASE sign (positive = tension)",
    "magmoms": "muB",
    "bader_charges": "e, positive on cations",
    "oxidation_states": "e",
    "numbers": "atomic numbers of the real elements",
    "model_numbers": "atomic numbers that a model knows the atoms by (species map)",
}
_TEXTS = ("frame_id", "lineage", "configuration_id", "formula", "host", "step")
SCHEMA = pa.schema(
    [pa.field(name, pa.string()) for name in _TEXTS]
    + [
        pa.field("fraction", pa.float64()),
        pa.field("n_sites", pa.int32()),
        pa.field("energy", pa.float64()),
        pa.field("numbers", pa.list_(pa.uint8())),
        pa.field("model_numbers", pa.list_(pa.uint8())),
        pa.field("oxidation_states", pa.list_(pa.int8())),
        *(
            pa.field(name, _DOUBLES)
            for name in ("lattice", "positions", "forces", "stress", "magmoms", "bader_charges")
        ),
    ],
    metadata={f"unit of {name}": unit for name, unit in _UNITS.items()},
)
"""Columns of the file."""


class ParquetWriter:
    """Writes row groups of a bounded number of frames.

    Parameters
    ----------
    path : file to make.
    rows : frames of a row group.
    """

    def __init__(self, path: Path, rows: int = 500) -> None:
        # Bytes of coordinates do not repeat: byte streams of doubles compress best when split, and fast.
        doubles = [
            f"{name}.list.element" for name in ("lattice", "positions", "forces", "stress", "magmoms", "bader_charges")
        ]
        self._writer = pq.ParquetWriter(
            path,
            SCHEMA,
            compression="zstd",
            use_dictionary=[*_TEXTS, "numbers.list.element", "model_numbers.list.element"],
            write_statistics=[*_TEXTS, "energy", "fraction", "n_sites"],
            column_encoding=dict.fromkeys(doubles, "BYTE_STREAM_SPLIT"),
        )
        self._rows = rows
        self._waiting: list[ExportFrame] = []

    def write(self, frame: ExportFrame) -> None:
        """Take a frame."""
        self._waiting.append(frame)
        if len(self._waiting) >= self._rows:
            self._flush()

    def close(self) -> None:
        """Write what is left and the file's end."""
        if self._waiting:
            self._flush()
        self._writer.close()

    def _flush(self) -> None:
        self._writer.write_table(_table(self._waiting))
        self._waiting = []


def _table(frames: Sequence[ExportFrame]) -> pa.Table:
    columns: dict[str, Any] = {name: [getattr(frame.entry, name) for frame in frames] for name in _TEXTS}
    columns["fraction"] = pa.array([frame.entry.fraction for frame in frames], pa.float64())
    columns["n_sites"] = pa.array([frame.entry.n_sites for frame in frames], pa.int32())
    columns["energy"] = pa.array([frame.energy for frame in frames], pa.float64())
    columns["numbers"] = _lists([frame.arrays.numbers for frame in frames], np.uint8)
    columns["model_numbers"] = _lists([frame.model_numbers for frame in frames], np.uint8)
    columns["oxidation_states"] = _lists([frame.states for frame in frames], np.int8)
    for name in ("lattice", "positions", "forces", "stress", "magmoms", "bader_charges"):
        columns[name] = _lists([getattr(frame.arrays, name) for frame in frames], np.float64)
    return pa.table(columns, schema=SCHEMA)


def _lists(values: Sequence[ArrayLike | None], kind: type[np.generic]) -> pa.ListArray:
    """A column of lists from arrays, without a Python object per number; None stays null."""
    sizes = [0 if value is None else np.size(value) for value in values]
    offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32)
    parts: list[NDArray[Any]] = [np.asarray(value, dtype=kind).reshape(-1) for value in values if value is not None]
    flat = np.concatenate(parts) if parts else np.empty(0, dtype=kind)
    missing = np.array([value is None for value in values])
    mask = pa.array(missing) if missing.any() else None
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(flat), mask=mask)
