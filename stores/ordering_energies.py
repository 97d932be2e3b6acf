"""Energies of orderings from finished calculations, as the arrays that `inputs.orderings.expansion` is fitted to."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..inputs.charge_states import RedoxCouple
from ..inputs.orderings.group import Bits, bits_from_hex
from ..inputs.supercells import HostSupercell
from .frames import Collections
from .sharing import sharing_of

_FIELDS = (
    "configuration_id", "intended_key", "achieved_key", "relation", "counts", "state", "energy", "engine", "protocol",
    "protocol_hash",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class OrderingEnergies:
    """Orderings of one supercell with their energies, all by one engine and protocol.

    Attributes
    ----------
    working, charge : (n, n_working) and (n, n_redox) bool.
    energies : (n,) eV per supercell.
    source : engine and protocol in words.
    left_out : reason -> number of calculations that are not used.
    """

    working: Bits
    charge: Bits
    energies: NDArray[np.float64]
    source: str
    left_out: dict[str, int]


def ordering_energies_of(
    stores: Collections,
    cell: HostSupercell,
    couple: RedoxCouple,
    engine: str | None = None,
    campaign: str | None = None,
) -> OrderingEnergies:
    """Energies of the calculations that count, in one supercell.

    Parameters
    ----------
    stores : with the collections `calculations` and `configurations`.
    cell, couple : of the orderings; other supercells, hosts and couples are left out and counted.
    engine : where there are several.
    campaign : this one alone; None: every one.

    Raises
    ------
    ValueError
        If none is usable (the reasons are counted), or engines or protocols are mixed.
    """
    wanted: dict[str, Any] = {"latest": True}
    wanted |= {} if campaign is None else sharing_of(stores, campaign).criteria
    wanted |= {} if engine is None else {"engine": engine}
    ours = _configurations_of(stores, cell, couple)
    found, left_out = [], Counter[str]()
    for document in stores.collection("calculations").query(wanted, properties=list(_FIELDS)):
        reason = _unusable(document, ours)
        if reason is None:
            found.append(document)
        else:
            left_out[reason] += 1
    if not found:
        said = "; ".join(f"{number} {reason}" for reason, number in left_out.items()) or "there is none"
        raise ValueError(f"no calculation has an energy to fit: {said}; `valenceflow status` says what is missing")
    # One protocol may go by several names, which its hash does not cover.
    kinds = {(d["engine"], d["protocol_hash"]): d["protocol"] for d in found}
    if len(kinds) > 1:
        names = " and ".join(f"{name} ({kinds[name, digest]} {digest[:8]})" for name, digest in sorted(kinds))
        raise ValueError(f"energies of {names} cannot be fitted together; choose one by --engine, or by its campaign")
    halves = [_key_of(document).split(".") for document in found]
    return OrderingEnergies(
        working=np.array([bits_from_hex(working, len(cell.working_sites)) for working, _ in halves]),
        charge=np.array([bits_from_hex(charge, len(cell.redox_sites)) for _, charge in halves]),
        energies=np.array([document["energy"] for document in found], dtype=float),
        source=f"{found[0]['engine']}, protocol {found[0]['protocol']}",
        left_out=dict(left_out),
    )


def _configurations_of(stores: Collections, cell: HostSupercell, couple: RedoxCouple) -> set[str]:
    wanted = {"host_hash": cell.host.content_hash, "couple": couple.name}
    documents = stores.collection("configurations").query(wanted, properties=["configuration_id", "supercell"])
    rows = [list(row) for row in cell.matrix]
    return {document["configuration_id"] for document in documents if document["supercell"] == rows}


def _key_of(document: dict[str, Any]) -> str:
    """The ordering that the energy is of; the intended one where it was kept, as its image is the same ordering."""
    key: str = document["achieved_key"] if document["relation"] == "measured" else document["intended_key"]
    return key


def _unusable(document: dict[str, Any], ours: set[str]) -> str | None:
    """Why a calculation gives no energy of an ordering here; None if it does."""
    if document["configuration_id"] not in ours:
        return "of another supercell, host or couple"
    if document["state"] == "failed":
        return "failed"
    if not document["counts"]:
        return "with a lost ordering or a failed audit"
    return "without an energy" if document["energy"] is None or _key_of(document) is None else None
