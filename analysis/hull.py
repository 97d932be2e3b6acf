"""Convex hull between the end members (paper Eq. 1, section 2.3), statistics per composition, and the builder of both.

Reads documents of `calculations`; energies are never taken from two engines or two protocols. The hull is of energies
per formula unit over the working-ion fraction, which is pymatgen's CompoundPhaseDiagram with the two end members as
terminal compositions (a test compares); a PhaseDiagram would want the elements.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from maggma.core import Builder, Store
from numpy.typing import ArrayLike

from ..stores.relative_energy import EV_TO_MEV, hull_energies, relative_energies

if TYPE_CHECKING:
    from ..stores.connect import Stores

_OF_CALCULATION = (
    "calculation_id",
    "configuration_id",
    "host",
    "engine",
    "protocol",
    "protocol_hash",
    "fraction",
    "working_key",
    "energy_per_fu",
    "multiplicity",
    "state",
    "counts",
    "latest",
    "in_statistics",
    "sample_weight",
)
_OF_CONFIGURATION = ("configuration_id", "host_hash", "n_atoms", "formula_units", "working_ion")
_SET_HERE = ("relative_energy_mev_per_fu", "energy_above_hull_mev_per_fu", "energy_above_hull")
_BATCH = 100


def ordering_statistics(energies: ArrayLike, weights: ArrayLike) -> dict[str, float] | None:
    """Mean and deviation over arrangements; None where there is none.

    Parameters
    ----------
    energies : (n,) any unit.
    weights : (n,) arrangements that each stands for.

    Returns
    -------
    n, mean, standard deviation (of the arrangements, n - 1 in the denominator for equal weights), smallest, largest.
    """
    values, parts = np.asarray(energies, dtype=float), np.asarray(weights, dtype=float)
    if len(values) == 0:
        return None
    mean = float(np.average(values, weights=parts))
    effective = float(parts.sum() ** 2 / (parts**2).sum())
    spread = float(np.average((values - mean) ** 2, weights=parts))
    deviation = float(np.sqrt(spread * effective / (effective - 1))) if effective > 1 else 0.0
    low, high = float(values.min()), float(values.max())
    return {"n": float(len(values)), "mean": mean, "standard_deviation": deviation, "smallest": low, "largest": high}


class CompositionBuilder(Builder):
    """Relative energies, heights above the hull and statistics, one summary per composition.

    Parameters
    ----------
    calculations, configurations : collections of campaigns.
    compositions : where summaries go; the three energies go into `calculations` too.
    """

    def __init__(self, calculations: Store, configurations: Store, compositions: Store, chunk_size: int = 10) -> None:
        self.calculations, self.configurations, self.compositions = calculations, configurations, compositions
        super().__init__(
            sources=[calculations, configurations], targets=[compositions, calculations], chunk_size=chunk_size
        )

    @classmethod
    def of(cls, stores: Stores) -> CompositionBuilder:
        """The builder of a campaign's stores."""
        names = ("calculations", "configurations", "compositions")
        calculations, configurations, compositions = (stores.store(name) for name in names)
        return cls(calculations, configurations, compositions)

    def get_items(self) -> Iterator[dict[str, Any]]:
        """One item per host, engine and protocol; what did not change is not written again."""
        sites = {c["configuration_id"]: c for c in self.configurations.query({}, properties=list(_OF_CONFIGURATION))}
        groups: dict[tuple[str, str, str], list[dict[str, Any]]] = defaultdict(list)
        fields = [*_OF_CALCULATION, *_SET_HERE]
        for calculation in self.calculations.query({"latest": True}, properties=fields):
            configuration = sites.get(calculation["configuration_id"])
            if configuration is not None and calculation.get("energy_per_fu") is not None:
                key = (configuration["host_hash"], calculation["engine"], calculation["protocol_hash"])
                groups[key].append({**calculation, **configuration})
        self.total = len(groups)
        yield from ({"members": members} for members in groups.values())

    def process_item(self, item: dict[str, Any]) -> dict[str, Any]:
        """Summaries of a group, and the energies of its calculations; touches no store."""
        return composed(item)

    def update_targets(self, items: Sequence[dict[str, Any]]) -> None:
        """Write what changed; summaries last, as they tell that a group is done."""
        for item in items:
            changed = item["energies"]
            ids = list(changed)
            for start in range(0, len(ids), _BATCH):
                found = self.calculations.query({"calculation_id": {"$in": ids[start : start + _BATCH]}})
                self.calculations.update([{**c, **changed[c["calculation_id"]]} for c in found])
            known = {s["summary_id"]: _plain(s) for s in self.compositions.query({"engine": item["engine"]})}
            new = [summary for summary in item["summaries"] if known.get(summary["summary_id"]) != summary]
            if new:
                self.compositions.update(new)


def _plain(document: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in document.items() if name not in ("_id", "last_updated")}


def composed(item: Mapping[str, Any]) -> dict[str, Any]:
    """Summaries of one host, engine and protocol.

    Parameters
    ----------
    item : `members`, calculations with what their configurations say of host, atoms and formula units.

    Returns
    -------
    `summaries` of compositions, and `energies`: calculation id -> the fields that changed.
    """
    members = item["members"]
    relative, above = _energies(members)
    energies: dict[str, dict[str, float | None]] = {}
    for place, member in enumerate(members):
        per_fu = above[place]
        values = {
            "relative_energy_mev_per_fu": relative[place],
            "energy_above_hull_mev_per_fu": per_fu,
            "energy_above_hull": None
            if per_fu is None
            else per_fu / EV_TO_MEV * member["formula_units"] / member["n_atoms"],
        }
        if any(member.get(name) != value for name, value in values.items()):
            energies[member["calculation_id"]] = values
    summaries = _summaries(members, relative, above)
    return {"engine": members[0]["engine"], "summaries": summaries, "energies": energies}


def _energies(members: Sequence[Mapping[str, Any]]) -> tuple[list[float | None], list[float | None]]:
    """(relative to the end members, above the hull), meV per formula unit; None without both end members."""
    counting = [m["counts"] for m in members]
    e_full, e_empty = _end_energy(members, 1.0), _end_energy(members, 0.0)
    nothing: list[float | None] = [None] * len(members)
    if e_full is None or e_empty is None:
        return nothing, list(nothing)
    x = np.array([m["fraction"] for m in members])
    relative = EV_TO_MEV * relative_energies([m["energy_per_fu"] for m in members], x, e_full, e_empty)
    # What was lost or failed its audit has a height above the hull and is no corner of it.
    taken = np.array(counting)
    corners = hull_energies(x[taken], relative[taken])
    order = np.argsort(x[taken], kind="stable")
    hull = np.interp(x, x[taken][order], corners[order])
    return [float(e) for e in relative], [max(0.0, float(e)) if t else float(e)
                                          for e, t in zip(relative - hull, taken, strict=True)]  # fmt: skip


def _end_energy(members: Sequence[Mapping[str, Any]], fraction: float) -> float | None:
    """Lowest energy of an end member among what counts, eV per formula unit."""
    found = [float(m["energy_per_fu"]) for m in members if m["fraction"] == fraction and m["counts"]]
    return min(found) if found else None


def _summaries(
    members: Sequence[Mapping[str, Any]], relative: Sequence[float | None], above: Sequence[float | None]
) -> list[dict[str, Any]]:
    found = []
    for fraction in sorted({float(m["fraction"]) for m in members}):
        places = [place for place, m in enumerate(members) if m["fraction"] == fraction]
        good = [place for place in places if members[place]["counts"]]
        lowest = min(good, key=lambda place: float(members[place]["energy_per_fu"]), default=None)
        head = members[places[0]]
        found.append(
            {
                "summary_id": _summary_id(head, fraction),
                "host": head["host"],
                "host_hash": head["host_hash"],
                "engine": head["engine"],
                "protocol": head["protocol"],
                "protocol_hash": head["protocol_hash"],
                "working_ion": head["working_ion"],
                "fraction": fraction,
                "n_calculations": len(places),
                "n_counting": len(good),
                "n_left_out_of_statistics": sum(1 for place in good if not members[place].get("in_statistics")),
                "lowest": None if lowest is None else _lowest(members[lowest], relative[lowest], above[lowest]),
                "on_hull": lowest is not None and above[lowest] is not None and (above[lowest] or 0.0) < _ON_HULL,
                "statistics": _statistics(members, good, relative),
                "by_working_key": _by_working_key(members, good, relative),
            }
        )
    return found


_ON_HULL = 1e-6  # meV per formula unit


def _lowest(member: Mapping[str, Any], relative: float | None, above: float | None) -> dict[str, Any]:
    return {
        "calculation_id": member["calculation_id"],
        "energy_per_fu": member["energy_per_fu"],
        "relative_energy_mev_per_fu": relative,
        "energy_above_hull_mev_per_fu": above,
    }


def _statistics(
    members: Sequence[Mapping[str, Any]], places: Sequence[int], relative: Sequence[float | None]
) -> dict[str, float] | None:
    """Over what says something about the space: drawn uniformly or one of all; references and picked ones stay out."""
    pairs = [(members[place], relative[place]) for place in places if members[place].get("in_statistics")]
    used = [(member, energy) for member, energy in pairs if energy is not None]
    # A sample uniform over arrangements has each arrangement once; of distinct orderings each stands for its images.
    weights = [1 if m.get("sample_weight") == "arrangements" else m["multiplicity"] for m, _ in used]
    return ordering_statistics([energy for _, energy in used], weights)


def _by_working_key(
    members: Sequence[Mapping[str, Any]], places: Sequence[int], relative: Sequence[float | None]
) -> dict[str, dict[str, float]]:
    keys = sorted({str(members[place]["working_key"]) for place in places})
    found = {}
    for key in keys:
        statistics = _statistics(members, [p for p in places if members[p]["working_key"] == key], relative)
        if statistics is not None:
            found[key] = statistics
    return found


def _summary_id(member: Mapping[str, Any], fraction: float) -> str:
    content = [member["host_hash"], member["engine"], member["protocol_hash"], round(fraction, 9)]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]
