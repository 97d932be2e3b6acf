"""What a campaign will cost, told from finished calculations of similar size. Nothing is extrapolated over sizes.

A step costs what the same step cost before: same engine, and a number of atoms within 20 %. Calculations under the same
protocol are preferred; others are used, and said, where there are none.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import mean, quantiles
from typing import Any

from ..stores.connect import Stores
from ..stores.documents import ConfigurationDoc

SIMILAR = 0.2
"""Relative difference in the number of atoms up to which two cells cost about the same."""


@dataclass(frozen=True)
class StepCost:
    """What a step of one finished calculation cost: wall time, s, and core-hours where the run says its cores."""

    step: str
    n_atoms: int
    protocol_hash: str
    elapsed_s: float
    core_hours: float | None


@dataclass
class StepEstimate:
    """Runs of one step that are still to do, and what such runs cost before.

    Attributes
    ----------
    step, to_do : which, and how many.
    known : costs of similar ones; empty where there are none.
    same_protocol : they were run under the campaign's protocol.
    """

    step: str
    to_do: int
    known: list[StepCost] = field(default_factory=list)
    same_protocol: bool = True

    @property
    def elapsed_s(self) -> float | None:
        """Mean wall time of one, s."""
        return mean(cost.elapsed_s for cost in self.known) if self.known else None

    @property
    def core_hours(self) -> float | None:
        """Mean core-hours of one."""
        hours = self._hours()
        return mean(hours) if hours else None

    @property
    def spread(self) -> tuple[float, float] | None:
        """Core-hours that nine in ten were above and below; None for less than ten."""
        hours = self._hours()
        if len(hours) < 10:
            return None
        tenths = quantiles(hours, n=10)
        return tenths[0], tenths[-1]

    def _hours(self) -> list[float]:
        return [cost.core_hours for cost in self.known if cost.core_hours is not None]


def known_costs(stores: Iterable[Stores], engine: str) -> Iterator[StepCost]:
    """Every step of finished calculations of an engine that says its time.

    Parameters
    ----------
    stores : where to look.
    engine : full engine name.
    """
    for each in stores:
        atoms = {c["configuration_id"]: c["n_atoms"] for c in _of(each, "configurations", engine, ["n_atoms"])}
        for found in _of(each, "calculations", engine, ["state", "protocol_hash", "run_statistics"]):
            n_atoms = atoms.get(found["configuration_id"])
            if found["state"] == "completed" and n_atoms is not None:
                for step, cost in (found.get("run_statistics") or {}).items():
                    yield StepCost(step, n_atoms, found["protocol_hash"], cost["elapsed_s"], cost["core_hours"])


def _of(stores: Stores, name: str, engine: str, wanted: Sequence[str]) -> Iterator[Mapping[str, Any]]:
    yield from stores.collection(name).query({"engine": engine}, ["configuration_id", *wanted])


def estimate(todo: Sequence[ConfigurationDoc], known: Iterable[StepCost]) -> list[StepEstimate]:
    """What is to do, step by step, with the costs of similar runs.

    Parameters
    ----------
    todo : configurations that are still to run.
    known : from `known_costs`.
    """
    known = [*known]
    steps = dict.fromkeys(step for configuration in todo for step in configuration.job_uuids)
    return [_of_step(step, [c for c in todo if step in c.job_uuids], known) for step in steps]


def _of_step(step: str, todo: Sequence[ConfigurationDoc], known: Sequence[StepCost]) -> StepEstimate:
    smallest, largest = min(c.n_atoms for c in todo), max(c.n_atoms for c in todo)
    low, high = smallest * (1 - SIMILAR), largest * (1 + SIMILAR)
    similar = [cost for cost in known if cost.step == step and low <= cost.n_atoms <= high]
    same = [cost for cost in similar if cost.protocol_hash == todo[0].protocol_hash]
    return StepEstimate(step, len(todo), same or similar, bool(same) or not similar)
