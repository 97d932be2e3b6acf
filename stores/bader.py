"""Net charges of a Bader analysis (ACF.dat of the Henkelman group's program), positive on cations."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from .frame_arrays import FloatArray

_LARGEST = 1 << 24
_CHARGE = 4


def net_charges(path: Path | None, valences: Sequence[float]) -> FloatArray | None:
    """Valence of the pseudopotential minus electrons found in each atom's volume.

    Parameters
    ----------
    path : ACF.dat, or None.
    valences : (n_sites,) electrons of the pseudopotential of each site.

    Returns
    -------
    (n_sites,) e, or None where there is no table of that many atoms.
    """
    if path is None or not valences or path.stat().st_size > _LARGEST:
        return None
    lines = [line.split() for line in path.read_text(encoding="utf-8", errors="replace").splitlines()]
    rows = [fields for fields in lines if len(fields) > _CHARGE and fields[0].isdigit()]
    if len(rows) != len(valences):
        return None
    try:
        electrons = np.array([float(row[_CHARGE]) for row in rows])
    except ValueError:
        return None
    net: FloatArray = np.asarray(valences, dtype=float) - electrons
    return net if np.all(np.isfinite(net)) else None
