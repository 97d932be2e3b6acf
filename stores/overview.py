"""How far a campaign is: counts by engine, fraction and state, and failures by reason. Light: imports no science stack.

Everything is counted in the store by indexed fields, so that 10,000 configurations take well under a second.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from maggma.core import Store

from .connect import Stores
from .sqlite import SQLiteStore


@dataclass
class FractionOverview:
    """Counts at one working-ion fraction of one engine; `missing` have no calculation document yet."""

    engine: str
    fraction: float
    total: int
    states: dict[str, int] = field(default_factory=dict)
    relations: dict[str, int] = field(default_factory=dict)

    @property
    def missing(self) -> int:
        """Configurations without a calculation document."""
        return max(0, self.total - sum(self.states.values()))

    def as_dict(self) -> dict[str, Any]:
        """Plain data for --json."""
        return {**asdict(self), "missing": self.missing}


@dataclass
class FailureGroup:
    """Failures of one reason: how many, what to do, and one of them in full."""

    reason: str
    count: int
    message: str
    remedy: str
    folder: str


def fraction_overviews(stores: Stores, campaign: str) -> list[FractionOverview]:
    """Counts per engine and fraction, largest fraction first."""
    rows: dict[tuple[str, float], FractionOverview] = {}
    for (name, engine, fraction), number in count_by(stores.collection("configurations"), _PLACE):
        if name == campaign:
            rows[engine, fraction] = FractionOverview(engine, fraction, number)
    for values, number in count_by(stores.collection("calculations"), (*_PLACE, "latest", "state", "relation")):
        name, engine, fraction, latest, state, relation = values
        row = rows.get((engine, fraction))
        if name != campaign or not latest or row is None:
            continue
        row.states[state] = row.states.get(state, 0) + number
        if state == "completed":
            row.relations[relation] = row.relations.get(relation, 0) + number
    return sorted(rows.values(), key=lambda row: (row.engine, -row.fraction))


_PLACE = ("campaign", "engine", "fraction")


def count_by(store: Store, fields: Sequence[str]) -> Iterable[tuple[tuple[Any, ...], int]]:
    """Documents per combination of values of (dotted) fields; in SQL where the store is ours."""
    if isinstance(store, SQLiteStore):
        return store.count_by(fields)
    found = store.query({}, properties=list(fields))
    return Counter(tuple(_at(document, name) for name in fields) for document in found).items()


def _at(document: Mapping[str, Any], name: str) -> Any:
    value: Any = document
    for part in name.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def failure_groups(stores: Stores, campaign: str) -> list[FailureGroup]:
    """Failures that still count (no later attempt), grouped by reason, most frequent first."""
    groups: dict[str, FailureGroup] = {}
    for failure in _failures(stores, campaign):
        group = groups.get(failure["reason"])
        if group is None:
            shown = {name: failure[name] for name in ("reason", "message", "remedy", "folder")}
            groups[failure["reason"]] = FailureGroup(count=1, **shown)
        else:
            group.count += 1
    return sorted(groups.values(), key=lambda group: -group.count)


def _failures(stores: Stores, campaign: str) -> Iterator[dict[str, Any]]:
    # Failures are few among many: one indexed field finds them, the rest is looked at here.
    failed = stores.collection("calculations").query({"state": "failed"}, ["campaign", "latest", "steps"])
    for calculation in failed:
        if calculation["campaign"] == campaign and calculation["latest"]:
            yield from (step for step in calculation["steps"].values() if step["document"] == "FailureDoc")
