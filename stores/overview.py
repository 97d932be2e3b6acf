"""How far a campaign is: counts by engine, fraction and state. Light: imports no science stack.

Everything is counted in the store by indexed fields, so that 10,000 configurations take well under a second. What
failed is in `failure_groups`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from .collection import Collection as Documents
from .connect import Stores
from .relations import LOST
from .sharing import Sharing, by_ids, sharing_of
from .sqlite_collection import SQLiteCollection

AUDIT_FAILED = "audit failed"
OTHER_ENGINE = "engine"
"""Code of the audit's finding that another engine wrote the output than was asked (`builders`)."""

_PLACE = ("campaign", "engine", "fraction")


@dataclass
class FractionOverview:
    """Counts at one working-ion fraction of one engine.

    Attributes
    ----------
    engine, fraction : where.
    total : configurations asked for.
    states : calculations by their state; configurations without one are `missing`.
    relations : completed calculations by what became of the ordering.
    run_by : engine that wrote the output -> calculations, where it is not the engine that was asked.
    """

    engine: str
    fraction: float
    total: int
    states: dict[str, int] = field(default_factory=dict)
    relations: dict[str, int] = field(default_factory=dict)
    run_by: dict[str, int] = field(default_factory=dict)

    @property
    def missing(self) -> int:
        """Configurations without a calculation document."""
        return max(0, self.total - sum(self.states.values()))

    @property
    def lost(self) -> int:
        """Completed calculations whose ordering is not the one that was meant."""
        return sum(self.relations.get(relation, 0) for relation in LOST)

    @property
    def as_meant(self) -> int:
        """Completed calculations whose ordering is the one that was meant, or was left free and could be read."""
        return self.states.get("completed", 0) - self.lost

    def as_dict(self) -> dict[str, Any]:
        """Plain data for --json."""
        return {**asdict(self), "missing": self.missing}

    def add(self, state: str, relation: str, number: int) -> None:
        """Count calculations (a negative number takes them out again)."""
        _add(self.states, state, number)
        if state == "completed":
            _add(self.relations, relation, number)


def fraction_overviews(stores: Stores, campaign: str, left_out: Collection[str] = ()) -> list[FractionOverview]:
    """Counts per engine and fraction, largest fraction first.

    Parameters
    ----------
    stores : the campaign's stores.
    campaign : its name.
    left_out : ids of configurations that the campaign no longer asks for; they are not counted.
    """
    rows: dict[tuple[str, float], FractionOverview] = {}
    sharing = sharing_of(stores, campaign)
    for (name, engine, fraction), number in _counted(stores, "configurations", _PLACE, sharing):
        if name == campaign:
            rows.setdefault((engine, fraction), FractionOverview(engine, fraction, 0)).total += number
    by_place = (*_PLACE, "latest", "state", "relation")
    stray = False
    for values, number in _counted(stores, "calculations", by_place, sharing):
        name, engine, fraction, latest, state, relation = values
        row = rows.get((engine, fraction))
        if name == campaign and latest and row is not None:
            row.add(state, relation, number)
        stray = stray or (name == campaign and row is None)  # nothing was asked of the engine that wrote it
    if any(AUDIT_FAILED in row.states for row in rows.values()) or stray:
        for asked, calculation in _run_by_others(stores, sharing):
            _move(rows, asked, calculation)
    if left_out:
        _take_out(rows, stores, sharing, left_out)
    return sorted((row for row in rows.values() if row.total), key=lambda row: (row.engine, -row.fraction))


def finished_among(stores: Stores, ids: Collection[str]) -> set[str]:
    """Those of some configurations that have a calculation document of the attempt that counts."""
    found = by_ids(stores.collection("calculations"), ids, ["latest"])
    return {c["configuration_id"] for c in found if c["latest"]}


def _add(counts: dict[str, int], name: str, number: int) -> None:
    counts[name] = counts.get(name, 0) + number
    if not counts[name]:
        del counts[name]


def _counted(
    stores: Stores, collection: Literal["configurations", "calculations"], fields: Sequence[str], sharing: Sharing
) -> Iterator[tuple[tuple[Any, ...], int]]:
    """Documents per combination of values; what a campaign shares comes once more, as its own."""
    yield from count_by(stores.collection(collection), fields)
    others = {"campaign": {"$ne": sharing.campaign}}
    for document in by_ids(stores.collection(collection), sharing.shared, fields, others):
        yield tuple(_at(sharing.as_asked(document), name) for name in fields), 1


def count_by(store: Documents, fields: Sequence[str]) -> Iterable[tuple[tuple[Any, ...], int]]:
    """Documents per combination of values of (dotted) fields; in SQL where the store is ours."""
    if isinstance(store, SQLiteCollection):
        return store.count_by(fields)
    found = store.query({}, properties=list(fields))
    return Counter(tuple(_at(document, name) for name in fields) for document in found).items()


def _at(document: Mapping[str, Any], name: str) -> Any:
    value: Any = document
    for part in name.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _run_by_others(stores: Stores, sharing: Sharing) -> Iterator[tuple[str, dict[str, Any]]]:
    """The engine that was asked, and each calculation whose output another one wrote: its audit has failed for that."""
    # One indexed field finds the few that failed, the rest is looked at here.
    wanted = ["campaign", "latest", "engine", "fraction", "configuration_id", "relation", "audit.findings.code"]
    found = [
        calculation
        for calculation in stores.collection("calculations").query({"state": AUDIT_FAILED}, wanted)
        if sharing.has(calculation)
        and calculation["latest"]
        and any(finding["code"] == OTHER_ENGINE for finding in calculation.get("audit", {}).get("findings", []))
    ]
    asked = engines_asked(stores, {calculation["configuration_id"] for calculation in found})
    for calculation in found:
        engine = asked.get(calculation["configuration_id"], calculation["engine"])
        if engine != calculation["engine"]:
            yield engine, calculation


def engines_asked(stores: Stores, ids: Collection[str]) -> dict[str, str]:
    """Engine that each configuration was asked of."""
    found = by_ids(stores.collection("configurations"), ids, ["engine"])
    return {c["configuration_id"]: c["engine"] for c in found}


def engine_asked(stores: Stores, campaign: str | None = None) -> str | None:
    """The engine that a campaign's configurations are asked of; None where there are several or none.

    Parameters
    ----------
    stores : where it is.
    campaign : its name; None: every campaign.
    """
    configurations = stores.collection("configurations")
    engines = set(configurations.distinct("engine", {} if campaign is None else {"campaign": campaign}))
    if campaign is not None:
        engines |= {c["engine"] for c in by_ids(configurations, sharing_of(stores, campaign).shared, ["engine"])}
    return str(engines.pop()) if len(engines) == 1 else None


def _move(rows: Mapping[tuple[str, float], FractionOverview], asked: str, calculation: Mapping[str, Any]) -> None:
    """Count a calculation where it was asked for, not where its output came from."""
    found, fraction = calculation["engine"], calculation["fraction"]
    wrong, right = rows.get((found, fraction)), rows.get((asked, fraction))
    if wrong is not None:
        wrong.add(AUDIT_FAILED, calculation["relation"], -1)
    if right is not None:
        right.add(AUDIT_FAILED, calculation["relation"], 1)
        _add(right.run_by, found, 1)


def _take_out(
    rows: Mapping[tuple[str, float], FractionOverview], stores: Stores, sharing: Sharing, ids: Collection[str]
) -> None:
    """Take configurations and their calculations out of the counts."""
    place: dict[str, FractionOverview] = {}
    for configuration in by_ids(stores.collection("configurations"), ids, _PLACE):
        row = rows.get((configuration["engine"], configuration["fraction"]))
        if sharing.has(configuration) and row is not None:
            row.total -= 1
            place[configuration["configuration_id"]] = row
    wanted = ["engine", "state", "relation", "latest"]
    for calculation in by_ids(stores.collection("calculations"), ids, wanted):
        row = place.get(calculation["configuration_id"])
        if row is not None and calculation["latest"]:
            row.add(calculation["state"], calculation["relation"], -1)
            if calculation["engine"] != row.engine:
                _add(row.run_by, calculation["engine"], -1)
