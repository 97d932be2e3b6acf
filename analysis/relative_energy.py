"""Energy relative to the two end members (paper Eq. 1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

EV_TO_MEV = 1000.0


def relative_energies(energies: ArrayLike, x: ArrayLike, e_full: float, e_empty: float) -> NDArray[np.float64]:
    """Energy relative to the end members (paper Eq. 1).

    Parameters
    ----------
    energies : (n_structures,) total energies, eV per formula unit.
    x : (n_structures,) working-ion fraction, 0 to 1.
    e_full, e_empty : energies of the full and the empty host, eV per formula unit.

    Returns
    -------
    (n_structures,) relative energies, eV per formula unit; 0 at both ends.

    Raises
    ------
    ValueError
        If a fraction lies outside 0 to 1.
    """
    fractions = np.asarray(x, dtype=float)
    if np.any((fractions < 0) | (fractions > 1)):
        raise ValueError(f"fractions {fractions[(fractions < 0) | (fractions > 1)].tolist()} lie outside 0 to 1")
    relative: NDArray[np.float64] = np.asarray(energies, dtype=float) - fractions * e_full - (1 - fractions) * e_empty
    return relative


def relative_energies_mev(calculations: Sequence[Mapping[str, Any]]) -> list[float | None]:
    """Relative energy of each calculation, meV per formula unit; None without an energy or without both end members.

    Parameters
    ----------
    calculations : documents of one engine and protocol with `fraction`, `energy_per_fu` and `state`.

    Raises
    ------
    ValueError
        If engines or protocols are mixed.
    """
    kinds = {(c["engine"], c["protocol_hash"]) for c in calculations}
    if len(kinds) > 1:
        raise ValueError(f"energies of {', '.join(sorted(f'{e} ({p})' for e, p in kinds))} cannot be compared")
    e_full, e_empty = _end_energy(calculations, 1.0), _end_energy(calculations, 0.0)
    if e_full is None or e_empty is None:
        return [None] * len(calculations)
    return [
        None
        if c["energy_per_fu"] is None
        else EV_TO_MEV * float(relative_energies([c["energy_per_fu"]], [c["fraction"]], e_full, e_empty)[0])
        for c in calculations
    ]


def _end_energy(calculations: Sequence[Mapping[str, Any]], fraction: float) -> float | None:
    """Lowest audited energy of an end member, eV per formula unit."""
    found = [c["energy_per_fu"] for c in calculations if c["fraction"] == fraction and c["state"] == "completed"]
    return min(found) if found else None
