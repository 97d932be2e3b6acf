"""Energies of calculations relative to the two end members (paper Eq. 1, in `stores.relative_energy`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..stores.relative_energy import EV_TO_MEV, relative_energies


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
