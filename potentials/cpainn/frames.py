"""Frames to learn from: a crystal by model species, with the labels that it has. From ASE Atoms.

Labels in eV, eV/A, eV/A^3 (ASE sign), muB, e. Moments are learned by size: the model cannot know the spin order's sign.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms
from ase.stress import voigt_6_to_full_3x3_stress
from numpy.typing import ArrayLike, NDArray

from ..species import OXIDATION_STATE, SpeciesMap, check_balanced
from .crystals import Crystal

FloatArray = NDArray[np.float64]

BADER_CHARGES = "bader_charges"
"""Name of the per-atom array of net Bader charges, e, positive on cations."""

_LARGEST = 1e7
"""No label is larger in eV, A, muB or e: a cell of a thousand atoms has 1e4 eV. One that is would spoil every fit."""


@dataclass(frozen=True)
class Frame:
    """One labelled structure.

    Attributes
    ----------
    crystal : geometry and species.
    energy : eV per cell.
    forces : (n_atoms, 3) eV/A.
    stress : (3, 3) eV/A^3, ASE sign; NaN where there is none.
    magmoms, charges : (n_atoms,) muB and e; NaN where there is none.
    """

    crystal: Crystal
    energy: float
    forces: FloatArray
    stress: FloatArray
    magmoms: FloatArray
    charges: FloatArray

    @property
    def name(self) -> str:
        """What the frame is called in errors."""
        return self.crystal.name


def frame_from_atoms(atoms: Atoms, species_map: SpeciesMap, name: str) -> Frame:
    """Read one frame.

    Parameters
    ----------
    atoms : with its charge states in the array `oxidation_state`, and labels from its calculator's results, or, where
        there is none, from info and arrays under `REF_energy`, `REF_forces`, `REF_stress`, `REF_magmoms`; Bader charges
        from the array `bader_charges`.
    species_map : how charge states are encoded.
    name : what it is called in errors.

    Raises
    ------
    ValueError
        If energy or forces are missing, a label is not finite or of the wrong shape, a charge state is unknown, or
        charge states are encoded and do not sum to zero.
    """
    if species_map.knows_charge_states:
        check_balanced(atoms.numbers, atoms.arrays.get(OXIDATION_STATE), name)
    crystal = Crystal(
        species_map.encode_atoms(atoms, name), atoms.positions.copy(), atoms.cell.array.copy(), atoms.pbc.copy(), name
    )
    labels = _labels(atoms)
    n_atoms = len(atoms)
    stress = labels.get("stress")
    if stress is not None and np.size(stress) == 6:
        stress = voigt_6_to_full_3x3_stress(stress)
    if stress is not None and not crystal.pbc.all():
        raise ValueError(f"{name}: has a stress but is not periodic in all directions; take the label out")
    if labels.get("energy") is None or labels.get("forces") is None:
        raise ValueError(f"{name}: has no {'energy' if labels.get('energy') is None else 'forces'} to learn from")
    return Frame(
        crystal=crystal,
        energy=float(_shaped(labels["energy"], (), "energy", name)),
        forces=_shaped(labels["forces"], (n_atoms, 3), "forces", name),
        stress=_shaped(np.full((3, 3), np.nan) if stress is None else np.reshape(stress, -1), (3, 3), "stress", name),
        magmoms=np.abs(_shaped(labels.get("magmoms"), (n_atoms,), "magmoms", name)),
        charges=_shaped(labels.get("charges"), (n_atoms,), "charges", name),
    )


def frames_from_atoms(
    images: Iterable[Atoms], species_map: SpeciesMap, names: Sequence[str] | None = None
) -> list[Frame]:
    """Read frames, named `frame 0`, `frame 1`, ... unless names are given; errors as `frame_from_atoms`."""
    return [
        frame_from_atoms(atoms, species_map, names[index] if names else f"frame {index}")
        for index, atoms in enumerate(images)
    ]


def _labels(atoms: Atoms) -> dict[str, Any]:
    results: Mapping[str, Any] = getattr(atoms.calc, "results", {})
    found = {key: results.get(key) for key in ("energy", "forces", "stress", "magmoms", "charges")}
    for key in ("energy", "forces", "stress", "magmoms"):
        if found[key] is None:
            reference = f"REF_{key}"
            found[key] = atoms.info.get(reference, atoms.arrays.get(reference))
    if found["charges"] is None:
        found["charges"] = atoms.arrays.get(BADER_CHARGES)
    return found


def _shaped(values: ArrayLike | None, shape: tuple[int, ...], label: str, name: str) -> FloatArray:
    """Labels as an array; energy and forces must be finite, of the others NaN means that there is none."""
    if values is None:
        return np.full(shape, np.nan)
    array = np.array(values, dtype=np.float64)
    if array.size != int(np.prod(shape)):
        raise ValueError(f"{name}: {label} has shape {array.shape} where {shape} is needed")
    array = array.reshape(shape)
    required = label in ("energy", "forces")
    if np.isinf(array).any() or (required and np.isnan(array).any()):
        raise ValueError(f"{name}: {label} is not finite; leave the frame out")
    if (np.abs(array) > _LARGEST).any():
        raise ValueError(f"{name}: {label} holds {np.nanmax(np.abs(array)):.3g}, which no calculation gives")
    return array


def frames_hash(frames: Iterable[Frame]) -> str:
    """Hash of every number of the frames, in order: two trainings on the same hash saw the same data."""
    digest = hashlib.sha256()
    for frame in frames:
        crystal = frame.crystal
        digest.update(crystal.species.astype("<i8").tobytes())
        for array in (crystal.positions, crystal.cell, frame.energy, frame.forces, frame.stress, frame.magmoms):
            digest.update(np.asarray(array, dtype="<f8").tobytes())
        digest.update(np.asarray(frame.charges, dtype="<f8").tobytes())
        digest.update(bytes(crystal.pbc.astype(np.uint8)))
    return digest.hexdigest()[:32]
