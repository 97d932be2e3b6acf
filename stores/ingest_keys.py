"""Where ASE-readable data sets keep their numbers: keys in use, looked up in a fixed order, units as written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms

from .frame_arrays import FloatArray

ENERGY = ("REF_energy", "energy", "dft_energy", "DFT_energy", "total_energy", "Energy")
ENERGY_PER_ATOM = ("energy_per_atom", "REF_energy_per_atom")
FORCES = ("REF_forces", "forces", "force", "dft_forces", "DFT_forces")
STRESS = ("REF_stress", "stress", "dft_stress", "DFT_stress")
VIRIAL = ("REF_virial", "virial", "virials", "REF_virials", "dft_virial")
MAGMOMS = ("REF_magmoms", "magmoms", "magmom", "final_magmom", "magnetic_moments", "magnetic_moment", "dft_magmom")
BADER = ("bader_charge", "bader_charges", "bader", "Bader_charge", "dft_bader_charge", "REF_bader_charge")
STATES = ("oxidation_state", "oxidation_states", "oxi_state", "oxi_states")
CONVERGED = ("scf_converged", "converged")
STEP = ("step_type", "step", "config_type", "calculation_type", "task")

_VOIGT = [(0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1)]


@dataclass(frozen=True)
class RawFrame:
    """Numbers of one frame as the file has them.

    Attributes
    ----------
    energy : eV per cell, or None.
    forces : (n_sites, 3) or None.
    stress : (3, 3) in the file's unit and sign, or None.
    virial : (3, 3) eV, or None.
    magmoms, bader_charges, states : (n_sites,) or None.
    info : everything else that the frame says of itself.
    """

    energy: float | None
    forces: FloatArray | None
    stress: FloatArray | None
    virial: FloatArray | None
    magmoms: FloatArray | None
    bader_charges: FloatArray | None
    states: FloatArray | None
    info: Mapping[str, Any]


def raw_frame(atoms: Atoms) -> RawFrame:
    """Find a frame's numbers, in ASE's own calculator, in `info` and in `arrays`.

    Raises
    ------
    ValueError
        If a value has another shape than its name says.
    """
    results: Mapping[str, Any] = {} if atoms.calc is None else atoms.calc.results
    info, arrays, n_sites = atoms.info, atoms.arrays, len(atoms)
    energy = _first(ENERGY, info, results)
    per_atom = _first(ENERGY_PER_ATOM, info, results)
    if energy is None and per_atom is not None:
        energy = float(per_atom) * n_sites
    return RawFrame(
        energy=None if energy is None else float(energy),
        forces=_shaped(_first(FORCES, arrays, results), (n_sites, 3), "forces"),
        stress=_tensor(_first(STRESS, info, results), "stress"),
        virial=_tensor(_first(VIRIAL, info, results), "virial"),
        magmoms=_shaped(_first(MAGMOMS, arrays, results), (n_sites,), "magmoms"),
        bader_charges=_shaped(_first(BADER, arrays), (n_sites,), "bader_charge"),
        states=_shaped(_first(STATES, arrays), (n_sites,), "oxidation_state"),
        info=info,
    )


def _first(names: Sequence[str], *places: Mapping[str, Any]) -> Any:
    for name in names:
        for place in places:
            if place.get(name) is not None:
                return place[name]
    return None


def _shaped(value: Any, shape: tuple[int, ...], name: str) -> FloatArray | None:
    if value is None:
        return None
    array: FloatArray = np.asarray(value, dtype=float)
    if array.shape != shape:
        raise ValueError(f"{name} has the shape {array.shape} where {shape} belongs")
    return array


def _tensor(value: Any, name: str) -> FloatArray | None:
    """(3, 3) from nine numbers, or from six in Voigt's order xx yy zz yz xz xy."""
    if value is None:
        return None
    array = np.asarray(value, dtype=float)
    if array.size == 9:
        return array.reshape(3, 3)
    if array.shape != (6,):
        raise ValueError(f"{name} has the shape {array.shape}; six or nine numbers belong there")
    tensor = np.zeros((3, 3))
    for (i, j), number in zip(_VOIGT, array, strict=True):
        tensor[i, j] = tensor[j, i] = number
    return tensor
