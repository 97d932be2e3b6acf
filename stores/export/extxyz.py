"""Extended XYZ for MACE and cPaiNN, written ten times as fast as ASE does: orjson prints whole arrays.

Every number is the shortest text that reads back as the same double. Keys are `REF_energy`, `REF_forces`, `REF_stress`
(nine numbers) and `REF_magmoms`: MACE's own, which ASE leaves alone, as it takes `energy` and `forces` away into a
calculator. Units eV, eV/A, eV/A^3 (ASE sign), muB, e.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import orjson
from ase.data import chemical_symbols
from numpy.typing import NDArray

from .prepared import ExportFrame

_NUMPY = orjson.OPT_SERIALIZE_NUMPY


def extxyz_frame(frame: ExportFrame, of_model: bool) -> bytes:
    """One frame as extended XYZ.

    Parameters
    ----------
    frame : what to write.
    of_model : write the species that a model knows (MACE), or the real elements (cPaiNN, which encodes by itself).
    """
    arrays = frame.arrays
    return extxyz_text(
        frame.model_numbers if of_model else arrays.numbers,
        arrays.lattice,
        {"pos": arrays.positions, "REF_forces": arrays.forces},
        {"REF_magmoms": arrays.magmoms, "bader_charges": arrays.bader_charges},
        frame.energy,
        frame.stress,
        frame.entry.frame_id,
        frame.states,
    )


def extxyz_text(
    numbers: NDArray[Any],
    lattice: NDArray[np.float64],
    vectors: Mapping[str, NDArray[np.float64]],
    scalars: Mapping[str, NDArray[np.float64] | None],
    energy: float,
    stress: NDArray[np.float64] | None,
    frame_id: str,
    states: NDArray[np.int8] | None = None,
) -> bytes:
    """One periodic frame as extended XYZ.

    Parameters
    ----------
    numbers : (n_atoms,) atomic numbers to be written.
    lattice : (3, 3) rows are cell vectors, A.
    vectors : column -> (n_atoms, 3).
    scalars : column -> (n_atoms,); None: no such column.
    energy : eV.
    stress : (3, 3) eV/A^3, or None.
    frame_id : without spaces.
    states : (n_atoms,) oxidation states, or None.
    """
    columns = ["species:S:1"] + (["oxidation_state:I:1"] if states is not None else [])
    columns += [f"{name}:R:3" for name in vectors]
    values = list(vectors.values())
    for name, column in scalars.items():
        if column is not None:
            columns.append(f"{name}:R:1")
            values.append(column[:, None])
    head = [
        str(len(numbers)).encode(),
        b"\n" + b'Lattice="' + _spaced(lattice),
        b'" Properties=' + ":".join(columns).encode(),
        b" REF_energy=" + orjson.dumps(energy),
        b"" if stress is None else b' REF_stress="' + _spaced(stress) + b'"',
        b" frame_id=" + frame_id.encode(),
        b' pbc="T T T"\n',
    ]
    rows = orjson.dumps(np.concatenate(values, axis=1), option=_NUMPY)[2:-2].split(b"],[")
    prefixes = _prefixes(numbers.astype(np.uint8).tobytes(), None if states is None else states.tobytes())
    body = b"\n".join([prefix + row for prefix, row in zip(prefixes, rows, strict=True)])
    return b"".join(head) + body.replace(b",", b" ") + b"\n"


@lru_cache(maxsize=256)
def _prefixes(numbers: bytes, states: bytes | None) -> Sequence[bytes]:
    """First columns of every atom: symbol and oxidation state; frames of a run share them."""
    symbols = [chemical_symbols[number].encode() for number in numbers]
    if states is None:
        return [symbol + b" " for symbol in symbols]
    charges = np.frombuffer(states, dtype=np.int8).tolist()
    return [b"%s %d " % (symbol, charge) for symbol, charge in zip(symbols, charges, strict=True)]


def _spaced(matrix: NDArray[np.float64]) -> bytes:
    """Nine numbers, row after row."""
    flat: bytes = orjson.dumps(np.ascontiguousarray(matrix).reshape(-1), option=_NUMPY)
    return flat[1:-1].replace(b",", b" ")
