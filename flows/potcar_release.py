"""Are the installed POTCARs those that finished calculations of the same protocol used?

A protocol may name their dates, and then its input set holds every POTCAR against them. Where it names none, the first
calculations in a store decide: energies of two releases cannot be compared, and campaigns share what they computed.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

from ..stores.connect import Stores


def check_release(stores: Stores, protocol_hash: str, engine: str, labels: Sequence[str], functional: str) -> None:
    """Hold installed POTCARs against those that the store recorded.

    Parameters
    ----------
    stores : the campaign's.
    protocol_hash, engine : whose calculations, of any campaign of the store.
    labels : POTCAR labels that will be used.
    functional : pymatgen's name of their release.

    Raises
    ------
    ValueError
        If one has another title than was recorded.
    """
    recorded = recorded_titles(stores, protocol_hash, engine)
    for label in labels:
        before = sorted(title for title in recorded if title.split()[1:2] == [label])
        if before and (found := installed_title(label, functional)) not in before:
            used = " and ".join(map(repr, before))
            raise ValueError(
                f"POTCAR {label} is {found!r} here, but calculations of this protocol in {stores.place} used {used}: "
                "point PMG_VASP_PSP_DIR back to that release, or start a campaign with a store of its own"
            )


def recorded_titles(stores: Stores, protocol_hash: str, engine: str) -> set[str]:
    """TITEL of every POTCAR that finished steps of a protocol used."""
    criteria = {"output.protocol_hash": protocol_hash, "output.engine.name": engine}
    found = stores.docs().query(criteria, properties=["output.potcar_titles"])
    return {title for document in found for title in document["output"].get("potcar_titles") or ()}


def installed_title(label: str, functional: str) -> str:
    """TITEL of the POTCAR that pymatgen finds."""
    from pymatgen.io.vasp.inputs import PotcarSingle, UnknownPotcarWarning  # noqa: PLC0415 - heavy, as in potcar_folder

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnknownPotcarWarning)  # of another release than pymatgen has sums of
        return str(PotcarSingle.from_symbol_and_functional(label, functional).keywords["TITEL"]).strip()
