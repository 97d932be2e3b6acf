"""What a report takes out of the stores: calculations in groups whose energies compare (one host, engine, protocol)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ...stores.sharing import documents_of

if TYPE_CHECKING:
    from ...stores.connect import Stores

_SURROGATE, _BATCH = "surrogate relax", 50
_OF_A_STEP = ("structure.lattice.matrix", "structure.sites", "site_order", "redox_sites", "achieved", "couple")
_OF_A_CALCULATION = (
    "calculation_id",
    "configuration_id",
    "campaign",
    "attempt",
    "host",
    "fraction",
    "working_key",
    "formula_units",
    "n_high",
    "multiplicity",
    "strata",
    "in_statistics",
    "sample_weight",
    "intended_key",
    "achieved_key",
    "relation",
    "state",
    "counts",
    "energy_per_fu",
    "magmoms_redox",
    "n_runs",
    "max_force",
    "volume_per_fu",
    "audit",
    "engine",
    "engine_version",
    "protocol",
    "protocol_hash",
)
_OF_A_CONFIGURATION = (
    "configuration_id",
    "host_hash",
    "supercell",
    "working_bits",
    "charge_bits",
    "couple",
    "working_ion",
    "formula",
    "n_atoms",
    "formula_units",
    "working_multiplicity",
)


@dataclass
class Group:
    """Latest calculations of one host, engine and protocol.

    Attributes
    ----------
    engine, protocol, protocol_hash, host, host_hash : whose they are.
    members : calculations, each with `configuration` (None where the store has none) and `final`, its last step.
    campaigns : documents of their campaigns, by name.
    """

    engine: str
    protocol: str
    protocol_hash: str
    host: str
    host_hash: str
    members: list[dict[str, Any]] = field(default_factory=list)
    campaigns: dict[str, dict[str, Any]] = field(default_factory=dict)


def read_groups(stores: Stores, campaign: str | None = None, engine: str | None = None) -> list[Group]:
    """Groups of calculations, by host, engine and protocol.

    Parameters
    ----------
    stores : of a campaign, or of several.
    campaign : its name; None: every campaign.
    engine : None: every engine, each in groups of its own.
    """
    configurations = {
        c["configuration_id"]: c for c in stores.collection("configurations").query({}, list(_OF_A_CONFIGURATION))
    }
    campaigns = {c["campaign"]: c for c in stores.collection("campaigns").query({})}
    groups: dict[tuple[str, str, str], Group] = {}
    for calculation in _calculations(stores, campaign, engine):
        configuration = configurations.get(calculation["configuration_id"])
        host_hash = calculation["host"] if configuration is None else configuration["host_hash"]
        key = (host_hash, calculation["engine"], calculation["protocol_hash"])
        group = groups.setdefault(key, Group(key[1], calculation["protocol"], key[2], calculation["host"], host_hash))
        name = calculation["campaign"]
        if name in campaigns:
            group.campaigns[name] = campaigns[name]
        group.members.append({**calculation, "configuration": configuration})
    found = sorted(groups.values(), key=lambda group: (group.host, group.engine, group.protocol_hash))
    for group in found:
        group.members.sort(key=lambda m: (m["fraction"], m["intended_key"], m["calculation_id"]))
    return found


def _calculations(stores: Stores, campaign: str | None, engine: str | None) -> Iterator[dict[str, Any]]:
    criteria: dict[str, Any] = {"latest": True}
    criteria |= {"engine": engine} if engine is not None else {}
    if campaign is None:
        found = list(stores.collection("calculations").query(criteria, list(_OF_A_CALCULATION)))
    else:
        found = list(documents_of(stores, "calculations", campaign, criteria, _OF_A_CALCULATION))
    final = _final_steps(stores, found)
    for calculation in found:
        yield {**calculation, "final": final.get(calculation["calculation_id"])}


def _final_steps(stores: Stores, calculations: Sequence[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Calculation id -> its last step; none of what failed, or never came to its redox element.

    By the name of the step: a store cuts fields out of documents that have them all, and reads the others whole.
    """
    by_step: dict[str, list[str]] = defaultdict(list)
    for calculation in calculations:
        last = [*calculation["n_runs"]][-1:]
        if last and last != [_SURROGATE] and calculation["state"] != "failed":
            by_step[last[0]].append(calculation["calculation_id"])
    found: dict[str, dict[str, Any]] = {}
    for step, ids in by_step.items():
        wanted = ["calculation_id", *(f"steps.{step}.{name}" for name in _OF_A_STEP)]
        for start in range(0, len(ids), _BATCH):
            criteria = {"calculation_id": {"$in": ids[start : start + _BATCH]}}
            for calculation in stores.collection("calculations").query(criteria, wanted):
                found[calculation["calculation_id"]] = calculation["steps"][step]
    return found


def by_fraction(members: Sequence[dict[str, Any]]) -> dict[float, list[dict[str, Any]]]:
    """Members by their working-ion fraction, smallest first."""
    found: dict[float, list[dict[str, Any]]] = defaultdict(list)
    for member in members:
        found[float(member["fraction"])].append(member)
    return dict(sorted(found.items()))
