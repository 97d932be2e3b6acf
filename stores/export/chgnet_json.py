"""JSON for CHGNet's own `StructureJsonData` (and `StructureData`): the units and signs that its trainer expects.

Energies in eV/atom; stresses in kbar with VASP's sign (the loader multiplies by -0.1 to get GPa, positive = tension);
moments absolute. One key per lineage, so that the loader's own division by key does not cut one.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import orjson
from ase.data import chemical_symbols
from ase.units import GPa

from ..frame_arrays import FloatArray
from .prepared import ExportFrame

KBAR_PER_EV_A3 = 10.0 / GPa
"""eV/A^3 in kbar: 1602.1766."""


def vasp_stress(stress: FloatArray) -> FloatArray:
    """Stress as VASP prints it: kbar, positive under pressure.

    Parameters
    ----------
    stress : (3, 3) eV/A^3, ASE sign (positive = tension).
    """
    turned: FloatArray = -KBAR_PER_EV_A3 * stress
    return turned


def chgnet_record(frame: ExportFrame, with_stress: bool) -> dict[str, Any]:
    """One frame as `StructureJsonData` reads it.

    Parameters
    ----------
    frame : what to write.
    with_stress : every frame of the set has one; the loader cannot do with a part of them.
    """
    arrays = frame.arrays
    record: dict[str, Any] = {
        "structure": _structure(frame),
        "energy_per_atom": frame.energy / len(arrays.numbers),
        "force": np.ascontiguousarray(arrays.forces),
        "magmom": None if arrays.magmoms is None else np.abs(arrays.magmoms),
    }
    if with_stress:
        assert frame.stress is not None, "frames without a stress leave it out of the whole set"
        record["stress"] = np.ascontiguousarray(vasp_stress(frame.stress))
    return record


def _structure(frame: ExportFrame) -> dict[str, Any]:
    """As pymatgen's `Structure.as_dict`, with the model's species."""
    arrays = frame.arrays
    fractional, states = arrays.frac_coords, frame.states
    sites = []
    for site, number in enumerate(frame.model_numbers):
        known = {} if states is None else {"oxidation_state": int(states[site])}
        symbol = chemical_symbols[number]
        sites.append(
            {
                "species": [{"element": symbol, "occu": 1}],
                "abc": np.ascontiguousarray(fractional[site]),
                "properties": known,
                "label": symbol,
            }
        )
    return {
        "@module": "pymatgen.core.structure",
        "@class": "Structure",
        "charge": 0,
        "lattice": {"matrix": np.ascontiguousarray(arrays.lattice), "pbc": [True, True, True]},
        "properties": {},
        "sites": sites,
    }


def as_json(value: Any) -> bytes:
    """Compact JSON; numbers read back as the same doubles."""
    return orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY)
