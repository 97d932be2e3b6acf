"""What a campaign has found, read from its stores once: calculations of one engine, host cell, couple.

Figures, hulls, voltages and reports start here. Nothing of two hosts, engines or protocols is taken together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..inputs.charge_states import RedoxCouple
from ..inputs.supercells import HostSupercell
from ..stores.building import supercell_of
from ..stores.overview import engine_asked
from ..stores.sharing import documents_of
from .hull_agreement import Hull, hull_of_calculations, refuse_nothing_between, source_of
from .ways_out import ANY_CAMPAIGN, Ways, refuse_no_numbers

if TYPE_CHECKING:
    from ..stores.connect import Stores

Document = Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class CampaignResults:
    """Calculations of one campaign by one engine, with what their configurations say.

    Attributes
    ----------
    name : of the campaign.
    cell, couple : host's supercell and redox couple.
    calculations : latest attempts with an energy, by fraction and energy; `working_bits` of the configuration is added.
    source : engine and protocol, as figures say them.
    ways : commands on the campaign, for messages.
    without_energy : its other latest attempts, which gave none.
    """

    name: str
    cell: HostSupercell
    couple: RedoxCouple
    calculations: list[dict[str, Any]]
    source: str
    ways: Ways = ANY_CAMPAIGN
    without_energy: Sequence[Document] = ()

    @property
    def engine(self) -> str:
        """What computed it."""
        return str(self.calculations[0]["engine"])

    @property
    def counting(self) -> list[dict[str, Any]]:
        """Calculations that count."""
        return [c for c in self.calculations if c["counts"]]

    def hull(self) -> Hull:
        """Hull of what counts; errors as in `hull_of_calculations`."""
        return hull_of_calculations([*self.calculations, *self.without_energy], self.ways)

    def between(self) -> list[dict[str, Any]]:
        """Calculations between the end members that count; errors as in `refuse_nothing_between`."""
        left_out = [*(c for c in self.calculations if not c["counts"]), *self.without_energy]
        refuse_nothing_between(self.counting, left_out, self.source, self.ways)
        return [c for c in self.counting if 0 < c["fraction"] < 1]

    @property
    def run(self) -> str:
        """Command that computes what is missing, in backquotes."""
        return self.ways("run", self.engine)


def read_campaign_results(
    stores: Stores, campaign: str | None = None, engine: str | None = None, ways: Ways = ANY_CAMPAIGN
) -> CampaignResults:
    """Read a campaign from its stores.

    Parameters
    ----------
    stores : where it is.
    campaign : its name; None: the only one there.
    engine : full name; None: the only one that has energies.
    ways : commands on the campaign, for messages.

    Raises
    ------
    ValueError
        If there is no such campaign or no energy, an energy that is a text, or several campaigns, engines or protocols
        to choose of.
    """
    document = _campaign(stores, campaign)
    name = document["campaign"]
    found = list(documents_of(stores, "calculations", name, {"latest": True}))
    calculations = [c for c in found if c.get("energy_per_fu") is not None]
    if engine is None and len(engines := sorted({c["engine"] for c in calculations})) > 1:
        raise ValueError(f"campaign {name} has energies of {' and '.join(engines)}, which do not compare: say --engine")
    calculations = [c for c in calculations if engine in (None, c["engine"])]
    if not calculations:
        whose = f" of {engine}" if engine else ""
        way = ways("run", engine or engine_asked(stores, name))
        raise ValueError(f"campaign {name} has no energy{whose} yet; {way} computes them")
    source = source_of(calculations)
    texts = [c for c in calculations if not isinstance(c["energy_per_fu"], int | float)]
    refuse_no_numbers(texts, f"{stores.place}: {source}", ways)
    bits = {
        c["configuration_id"]: c["working_bits"]
        for c in documents_of(stores, "configurations", name, fields=["working_bits"])
    }
    merged = [{**c, "working_bits": bits[c["configuration_id"]]} for c in calculations]
    merged.sort(key=lambda c: (-c["fraction"], c["energy_per_fu"]))
    couple = RedoxCouple.model_validate(document["couple"])
    others = [c for c in found if c.get("energy_per_fu") is None and c["engine"] == calculations[0]["engine"]]
    return CampaignResults(name, supercell_of(document), couple, merged, source, ways, others)


def _campaign(stores: Stores, campaign: str | None) -> dict[str, Any]:
    criteria = {} if campaign is None else {"campaign": campaign}
    found = list(stores.collection("campaigns").query(criteria))
    if len(found) > 1:
        names = ", ".join(sorted(c["campaign"] for c in found))
        raise ValueError(f"{stores.place} holds the campaigns {names}: name one by its CAMPAIGN.yaml")
    if not found:
        which = "no campaign" if campaign is None else f"no campaign {campaign}"
        raise ValueError(f"{stores.place} holds {which}; start one with `valenceflow run`")
    return dict(found[0])
