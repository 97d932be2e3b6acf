"""Reading Parquet back through pyarrow, batch by batch. What needs torch is in `potentials.read_back`."""

from __future__ import annotations

from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from .expected import Expected, ReadBackError, compare, read_expected


def read_parquet_back(path: Path, expected: Path) -> int:
    """Compare a Parquet file with what was meant.

    Returns
    -------
    Number of frames.

    Raises
    ------
    ReadBackError
        If a number differs or a frame is missing.
    """
    meant = read_expected(expected)
    count = 0
    with pq.ParquetFile(path) as file:
        # One reader over the whole file keeps all that it read, 8 kB a frame; one for each row group lets go of it.
        groups = (file.iter_batches(batch_size=200, row_groups=[group]) for group in range(file.num_row_groups))
        for batch in chain.from_iterable(groups):
            for row in batch.to_pylist():
                frame = next(meant, None)
                if frame is None:
                    raise ReadBackError(f"{path.name}: holds more frames than were written")
                _compare_row(f"{path.name}, {row['frame_id']}", frame, row)
                count += 1
    if next(meant, None) is not None:
        raise ReadBackError(f"{path.name}: holds {count} frames, fewer than were written")
    return count


def _compare_row(place: str, meant: Expected, row: dict[str, Any]) -> None:
    n_sites = len(meant.numbers)
    compare(place, "energy", meant.energy, row["energy"])
    compare(place, "species", meant.numbers, row["model_numbers"])
    for name, shape in (("lattice", (3, 3)), ("positions", (n_sites, 3)), ("forces", (n_sites, 3))):
        compare(place, name, getattr(meant, name), np.reshape(row[name], shape))
    optional = {"states": "oxidation_states", "magmoms": "magmoms", "bader_charges": "bader_charges"}
    for name, column in optional.items():
        compare(place, column, getattr(meant, name), np.full(n_sites, np.nan) if row[column] is None else row[column])
    stress = np.full((3, 3), np.nan) if row["stress"] is None else np.reshape(row["stress"], (3, 3))
    compare(place, "stress", meant.stress, stress)
