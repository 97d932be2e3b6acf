"""How far a campaign is: counts by engine, fraction and state, and failures by reason. Light: imports no science stack.

Everything is counted in the store by indexed fields, so that 10,000 configurations take well under a second.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from .connect import Stores

STATES = ("completed", "audit failed", "failed")
RELATIONS = ("kept", "equivalent", "measured", "moved", "delocalised", "ambiguous")
LOST = ("moved", "delocalised", "ambiguous")


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
    configurations, calculations = stores.collection("configurations"), stores.collection("calculations")
    rows = []
    for engine in sorted(configurations.distinct("engine", {"campaign": campaign})):
        for fraction in sorted(
            configurations.distinct("fraction", {"campaign": campaign, "engine": engine}), reverse=True
        ):
            where = {"campaign": campaign, "engine": engine, "fraction": fraction}
            rows.append(
                FractionOverview(
                    engine=engine,
                    fraction=fraction,
                    total=configurations.count(where),
                    states=_counts(calculations, where, "state", STATES),
                    relations=_counts(calculations, {**where, "state": "completed"}, "relation", RELATIONS),
                )
            )
    return rows


def _counts(store: Any, where: Mapping[str, Any], name: str, values: tuple[str, ...]) -> dict[str, int]:
    counted = {value: store.count({**where, "latest": True, name: value}) for value in values}
    return {value: number for value, number in counted.items() if number}


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
    failed = stores.collection("calculations").query(
        {"campaign": campaign, "state": "failed", "latest": True}, ["steps"]
    )
    for calculation in failed:
        yield from (step for step in calculation["steps"].values() if step["document"] == "FailureDoc")
