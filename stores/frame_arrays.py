"""Per-atom numbers of frames as compact blocks: how `stores.frames` keeps what no query looks at.

Consecutive frames of one run share a block of a quarter of a megabyte, so that a reader pays for the store once per
block and gets arrays without parsing a number. A block is one document of the collection `frame_arrays`; its fields are
little-endian binary (base64 in SQLite, native in MongoDB), lossless: numbers that have at most eight decimals, as VASP
prints them, are whole multiples of 1e-8 in half the room, all others doubles.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from ase.data import chemical_symbols
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int8]

BLOCK_BYTES = 1 << 18
"""Size that a block of several frames does not exceed; MongoDB takes 16 MB."""

_FLOAT, _DECIMAL = "<f8", "<i4"
_PER_SITE = {"numbers": "u1", "intended_states": "i1"}
_FLOATS = (
    "initial_magmoms",
    "lattices",
    "positions",
    "scaled_positions",
    "forces",
    "stresses",
    "magmoms",
    "bader_charges",
)
_MAY_BE_MISSING = ("stresses", "magmoms", "bader_charges")
_PER_UNIT = 1e8


@dataclass(frozen=True, slots=True)
class FrameArrays:
    """Numbers of one frame; arrays are views of its block.

    Attributes
    ----------
    numbers : (n_sites,) atomic numbers of the real elements (a frame of the surrogate step holds the surrogate's).
    lattice : (3, 3) rows are cell vectors, A.
    positions : (n_sites, 3) Cartesian, A.
    forces : (n_sites, 3) eV/A.
    stress : (3, 3) eV/A^3, ASE sign (positive = tension), or None.
    magmoms : (n_sites,) moments at the end of this frame's SCF, muB, or None.
    bader_charges : (n_sites,) net charge, e, positive on cations, or None.
    initial_magmoms : (n_sites,) moments that the run was started with, muB, or None.
    intended_states : (n_sites,) oxidation states that were meant, e, or None.
    scaled_positions : (n_sites, 3) fractional coordinates as they were printed, where the source prints those.
    """

    numbers: NDArray[np.uint8]
    lattice: FloatArray
    positions: FloatArray
    forces: FloatArray
    stress: FloatArray | None = None
    magmoms: FloatArray | None = None
    bader_charges: FloatArray | None = None
    initial_magmoms: FloatArray | None = None
    intended_states: IntArray | None = None
    scaled_positions: FloatArray | None = None

    @property
    def symbols(self) -> list[str]:
        """(n_sites,) element symbols."""
        return [chemical_symbols[number] for number in self.numbers]

    @property
    def frac_coords(self) -> FloatArray:
        """(n_sites, 3) fractional coordinates, not wrapped."""
        if self.scaled_positions is not None:
            return self.scaled_positions
        solved = np.linalg.solve(self.lattice.T, self.positions.T).T
        return np.asarray(solved, dtype=np.float64)


@dataclass(frozen=True)
class FrameBlock:
    """Consecutive frames of one run: every array has a first axis over the frames, the shared ones excepted.

    Attributes
    ----------
    block_id : run id and number of the first frame.
    run_id : whose frames.
    numbers, initial_magmoms, intended_states : as in `FrameArrays`, the same for all frames.
    lattices, positions, forces : (n_frames, ...).
    stresses, magmoms, bader_charges : (n_frames, ...) with NaN where a frame has none; None where none has.
    scaled_positions : (n_frames, n_sites, 3) or None.
    """

    block_id: str
    run_id: str
    numbers: NDArray[np.uint8]
    lattices: FloatArray
    positions: FloatArray
    forces: FloatArray
    stresses: FloatArray | None = None
    magmoms: FloatArray | None = None
    bader_charges: FloatArray | None = None
    initial_magmoms: FloatArray | None = None
    intended_states: IntArray | None = None
    scaled_positions: FloatArray | None = None

    def __len__(self) -> int:
        """Number of frames."""
        return len(self.lattices)

    @cached_property
    def _present(self) -> dict[str, list[bool]]:
        """Per kind of number, which frames have it."""
        found = {}
        for name in _MAY_BE_MISSING:
            values = getattr(self, name)
            if values is not None:
                found[name] = (~np.isnan(values.reshape(len(values), -1)[:, 0])).tolist()
        return found

    def frame(self, row: int) -> FrameArrays:
        """Numbers of one frame."""

        def optional(name: str) -> FloatArray | None:
            values: FloatArray | None = getattr(self, name)
            return values[row] if values is not None and self._present[name][row] else None

        return FrameArrays(
            numbers=self.numbers,
            lattice=self.lattices[row],
            positions=self.positions[row],
            forces=self.forces[row],
            stress=optional("stresses"),
            magmoms=optional("magmoms"),
            bader_charges=optional("bader_charges"),
            initial_magmoms=self.initial_magmoms,
            intended_states=self.intended_states,
            scaled_positions=None if self.scaled_positions is None else self.scaled_positions[row],
        )

    def as_document(self) -> dict[str, Any]:
        """What the collection `frame_arrays` keeps."""
        n_frames, n_sites = len(self), len(self.numbers)
        document: dict[str, Any] = {
            "block_id": self.block_id,
            "run_id": self.run_id,
            "n_frames": n_frames,
            "n_sites": n_sites,
        }
        for name, kind in _PER_SITE.items():
            document[name] = _bytes(getattr(self, name), kind)
        for name in _FLOATS:
            # Fractional coordinates say it all; Cartesian ones are made from them on reading.
            implied = name == "positions" and self.scaled_positions is not None
            document[name] = None if implied else _packed(getattr(self, name))
        return document

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> FrameBlock:
        """Read a document of `frame_arrays` back.

        Raises
        ------
        ValueError
            If the numbers are not as many as the counts say.
        """
        n_frames, n_sites = int(document["n_frames"]), int(document["n_sites"])
        arrays: dict[str, Any] = {}
        try:
            for name, kind in _PER_SITE.items():
                content = document.get(name)
                arrays[name] = None if content is None else np.frombuffer(content, dtype=kind).reshape(n_sites)
            for name in _FLOATS:
                arrays[name] = _unpacked(document.get(name), _shape(name, n_frames, n_sites))
        except ValueError as err:
            raise ValueError(
                f"frame block {document['block_id']} is not {n_frames} frames of {n_sites} sites ({name}: {err}); "
                f"remove run {document['run_id']} from the store and ingest or build it again"
            ) from err
        if arrays["positions"] is None:
            arrays["positions"] = arrays["scaled_positions"] @ arrays["lattices"]
        return cls(block_id=document["block_id"], run_id=document["run_id"], **arrays)


def _bytes(values: NDArray[Any] | None, kind: str) -> bytes | None:
    return None if values is None else np.ascontiguousarray(values, dtype=kind).tobytes()


def _packed(values: FloatArray | None) -> dict[str, Any] | None:
    """Multiples of 1e-8 where that gives every number back exactly, else doubles."""
    if values is None:
        return None
    multiples = np.rint(np.asarray(values, dtype=float) * _PER_UNIT)
    if multiples.size and np.all(np.abs(multiples) < 2**31) and np.array_equal(multiples / _PER_UNIT, values):
        return {"kind": _DECIMAL, "bytes": multiples.astype(_DECIMAL).tobytes()}
    return {"kind": _FLOAT, "bytes": _bytes(values, _FLOAT)}


def _unpacked(content: Mapping[str, Any] | None, shape: tuple[int, ...]) -> FloatArray | None:
    if content is None:
        return None
    values = np.frombuffer(content["bytes"], dtype=content["kind"])
    # Division gives the double nearest to the decimal number, which is what reading its digits gives.
    floats: FloatArray = values / _PER_UNIT if content["kind"] == _DECIMAL else values
    return floats.reshape(shape)


def _shape(name: str, n_frames: int, n_sites: int) -> tuple[int, ...]:
    if name == "initial_magmoms":
        return (n_sites,)
    if name in ("lattices", "stresses"):
        return (n_frames, 3, 3)
    return (n_frames, n_sites, 3) if "positions" in name or name == "forces" else (n_frames, n_sites)


def frames_per_block(n_sites: int) -> int:
    """How many frames of a cell share a block, at least one."""
    per_frame = 8 * (18 + 8 * n_sites)
    return max(1, BLOCK_BYTES // per_frame)


def stacked(values: Sequence[ArrayLike | None], shape: tuple[int, ...]) -> FloatArray | None:
    """One array of what each frame has, NaN where it has none; None where no frame has any.

    Parameters
    ----------
    values : per frame.
    shape : of one frame's value.
    """
    if all(value is None for value in values):
        return None
    out = np.full((len(values), *shape), np.nan)
    for row, value in enumerate(values):
        if value is not None:
            out[row] = value
    return out


def block_of(run_id: str, first: int, frames: Sequence[FrameArrays]) -> FrameBlock:
    """Block of consecutive frames of the same sites.

    Parameters
    ----------
    run_id : whose frames.
    first : number of the first of them in the run.
    frames : at least one, all of the same sites.
    """
    head = frames[0]
    n_sites = len(head.numbers)
    return FrameBlock(
        block_id=block_id(run_id, first),
        run_id=run_id,
        numbers=head.numbers,
        lattices=np.array([frame.lattice for frame in frames], dtype=float),
        positions=np.array([frame.positions for frame in frames], dtype=float),
        forces=np.array([frame.forces for frame in frames], dtype=float),
        stresses=stacked([frame.stress for frame in frames], (3, 3)),
        magmoms=stacked([frame.magmoms for frame in frames], (n_sites,)),
        bader_charges=stacked([frame.bader_charges for frame in frames], (n_sites,)),
        initial_magmoms=head.initial_magmoms,
        intended_states=head.intended_states,
        scaled_positions=stacked([frame.scaled_positions for frame in frames], (n_sites, 3)),
    )


def block_id(run_id: str, first: int) -> str:
    """Key of a block."""
    return f"{run_id}-b{first:06d}"
