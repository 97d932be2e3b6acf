"""ASE's LMDB database (`.aselmdb`), as fairchem and MACE read it: one compressed JSON row per frame.

The rows are what ASE's own database keeps: real or model species, a calculator's results in eV, eV/A, eV/A^3 (Voigt
order xx yy zz yz xz xy, ASE sign) and muB. Times and users, which ASE would write, are left at nothing, so that the
same frames give the same file.
"""

from __future__ import annotations

import errno
import hashlib
import os
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from ase.stress import full_3x3_to_voigt_6_stress

from .prepared import ExportFrame

_GROWTH = 1 << 26
_COMMIT = 500


class AseLmdbWriter:
    """Writes rows in order, a bounded number of them per transaction.

    Parameters
    ----------
    path : file to make.

    Raises
    ------
    ValueError
        If the package `lmdb` is not installed.
    """

    def __init__(self, path: Path) -> None:
        try:
            import lmdb  # noqa: PLC0415 - optional: it comes with the extra `potentials`
        except ImportError as err:
            raise ValueError("format aselmdb needs the package lmdb: pip install 'valenceflow[potentials]'") from err
        self._full, self._no_room = lmdb.MapFullError, lmdb.DiskError
        # The map only bounds the file, which is cut to what is used; it grows when it is full.
        self._size = _GROWTH
        self._env = lmdb.open(str(path), map_size=self._size, subdir=False, lock=False)
        self._waiting: list[tuple[bytes, bytes]] = []
        self._number = 0

    def write(self, frame: ExportFrame) -> None:
        """Take a frame."""
        self._number += 1
        self._put(str(self._number).encode(), ase_row(frame))
        if len(self._waiting) >= _COMMIT:
            self._commit()

    def close(self) -> None:
        """Write the end and close."""
        self._put(b"nextid", self._number + 1)
        self._put(b"deleted_ids", [])
        self._put(b"metadata", {"title": "valenceflow"})
        try:
            self._commit()
            self._env.sync(True)
        finally:
            self._env.close()

    def _put(self, key: bytes, value: Any) -> None:
        self._waiting.append((key, zlib.compress(orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY))))

    def _commit(self) -> None:
        while True:
            try:
                with self._env.begin(write=True) as transaction:
                    for key, value in self._waiting:
                        transaction.put(key, value)
            except self._full:
                self._size *= 2
                self._env.set_mapsize(self._size)
                continue
            except self._no_room as err:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), self._env.path()) from err
            self._waiting = []
            return


def ase_row(frame: ExportFrame) -> dict[str, Any]:
    """One row, with the fields of ASE's `AtomsRow`."""
    arrays, entry = frame.arrays, frame.entry
    row: dict[str, Any] = {
        "numbers": frame.model_numbers,
        "positions": np.ascontiguousarray(arrays.positions),
        "cell": np.ascontiguousarray(arrays.lattice),
        "pbc": [True, True, True],
        "unique_id": hashlib.md5(entry.frame_id.encode(), usedforsecurity=False).hexdigest(),
        "user": "",
        "ctime": 0.0,
        "mtime": 0.0,
        "calculator": "unknown",
        "calculator_parameters": {},
        "energy": frame.energy,
        "forces": np.ascontiguousarray(arrays.forces),
        "key_value_pairs": {"frame_id": entry.frame_id, "lineage": f"lineage {entry.lineage}"},
    }
    if frame.stress is not None:
        row["stress"] = full_3x3_to_voigt_6_stress(frame.stress)
    if arrays.magmoms is not None:
        row["magmoms"] = np.ascontiguousarray(arrays.magmoms)
    kept = {"oxidation_state": frame.states, "bader_charges": arrays.bader_charges}
    found = {name: np.ascontiguousarray(values) for name, values in kept.items() if values is not None}
    if found:
        row["data"] = {"__arrays__": found}
    return row
