"""Rows of the report's table: one per calculation, with energies against the end members and against the hull."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ...stores.relations import COUNTING, is_lost, rehearsal_note
from ...stores.relative_energy import EV_TO_MEV
from ..hull import composed
from ..ways_out import is_number, outcome_of
from .reading import Group, by_fraction

ON_HULL = 1e-6  # meV per formula unit
MARKS = {
    "as meant": "\N{BLACK CIRCLE}",
    "lost": "\N{MULTIPLICATION X}",
    "audit failed": "\N{WHITE CIRCLE}",
    "failed": "\N{EM DASH}",
}
"""What became of a calculation -> its sign in tables."""

_CLEARED = dict.fromkeys(("relative_energy_mev_per_fu", "energy_above_hull_mev_per_fu", "energy_above_hull"))


@dataclass
class Row:
    """One calculation.

    Attributes
    ----------
    member : its document, with `configuration` and `final`.
    relative : energy relative to the end members (paper Eq. 1), meV per formula unit; None without both of them.
    above_hull : height above the hull, meV per formula unit; below zero where it does not count and lies under it.
    above_lowest : height above the lowest of the same composition that counts, meV per formula unit.
    """

    member: Mapping[str, Any]
    relative: float | None = None
    above_hull: float | None = None
    above_lowest: float | None = None

    @property
    def identity(self) -> str:
        """Of the calculation."""
        return str(self.member["calculation_id"])

    @property
    def fraction(self) -> float:
        """Working-ion fraction."""
        return float(self.member["fraction"])

    @property
    def energy(self) -> float | None:
        """Energy, eV per formula unit; None where there is none, or none that is a number."""
        energy = self.member["energy_per_fu"]
        return float(energy) if is_number(energy) else None

    @property
    def is_lost(self) -> bool:
        """Whether it was completed with another ordering than was meant."""
        return is_lost(self.member["state"], self.member["relation"])

    @property
    def outcome(self) -> str:
        """What became of it, in the words of `status` and `query`."""
        return outcome_of(self.member)

    @property
    def kind(self) -> str:
        """`as meant`, `lost`, `audit failed` or `failed`: what filters ask for."""
        if self.member["state"] != "completed":
            return str(self.member["state"])
        return "as meant" if self.member["relation"] in COUNTING else "lost"

    @property
    def is_on_hull(self) -> bool:
        """Whether it counts and lies on the hull."""
        return bool(self.member["counts"]) and self.above_hull is not None and self.above_hull < ON_HULL

    @property
    def moments(self) -> list[float]:
        """Final moments of the redox sites, absolute, muB, host order; those that are no number left out."""
        return [abs(float(m)) for m in self.member["magmoms_redox"] or () if m is not None and math.isfinite(m)]

    def moment_text(self, most: int | None = None) -> str:
        """Moments in words, at most so many."""
        shown = self.moments[:most]
        return " ".join(f"{moment:.2f}" for moment in shown) + " ..." * (len(shown) < len(self.moments))

    @property
    def mark(self) -> str:
        """A sign before the outcome, told apart without colour."""
        return MARKS[self.kind]

    @property
    def findings(self) -> list[str]:
        """What the audit found and why the ordering was not read, one line each."""
        said = [str(finding["message"]) for finding in self.member["audit"]["findings"]]
        final = self.member["final"]
        reason = "" if final is None else str((final.get("achieved") or {}).get("reason") or "")
        return said + ([reason] if reason and not any(reason in line for line in said) else [])


@dataclass
class Part:
    """Calculations whose energies compare, as the report shows them.

    Attributes
    ----------
    group : where they are from.
    rows : by composition and energy.
    summaries : of compositions, from `analysis.hull`; empty where no energy can be compared.
    without_energy : finished calculations whose energy is no number.
    """

    group: Group
    rows: list[Row]
    summaries: list[dict[str, Any]] = field(default_factory=list)
    without_energy: list[Row] = field(default_factory=list)

    @property
    def warning(self) -> str:
        """A rehearsal's warning; empty for a real engine."""
        return rehearsal_note(self.group.engine)

    @property
    def has_hull(self) -> bool:
        """Whether both end members are there."""
        return any(row.relative is not None for row in self.rows)

    @property
    def working_ion(self) -> str:
        """Element, from the configurations; a plain word where the store has none."""
        found = [m["configuration"]["working_ion"] for m in self.group.members if m["configuration"] is not None]
        return str(found[0]) if found else "working ion"

    @property
    def missing_ends(self) -> list[float]:
        """End members without a calculation that counts."""
        return [x for x in (1.0, 0.0) if not any(r.fraction == x and _can_be_compared(r) for r in self.rows)]

    @property
    def fractions(self) -> list[float]:
        """Its compositions, largest first."""
        return sorted({row.fraction for row in self.rows}, reverse=True)

    @property
    def kinds(self) -> list[str]:
        """What became of its calculations, in the order of `MARKS`."""
        there = {row.kind for row in self.rows}
        return [kind for kind in MARKS if kind in there]

    def key_of(self, identity: str) -> str:
        """Intended key of a calculation."""
        return next(str(row.member["intended_key"]) for row in self.rows if row.identity == identity)

    def hull_line(self) -> list[tuple[float, float]]:
        """Corners of the hull: fraction, meV per formula unit."""
        corners = {r.fraction: r.relative for r in self.rows if r.is_on_hull and r.relative is not None}
        return sorted(corners.items())


def _should_have_energy(row: Row) -> bool:
    """Whether the last step was done, or an energy was written that is no number."""
    return row.member["state"] == "completed" or row.member["energy_per_fu"] is not None


def _can_be_compared(row: Row) -> bool:
    return bool(row.member["counts"]) and row.energy is not None


def part_of(group: Group) -> Part:
    """Rows and summaries of a group.

    Parameters
    ----------
    group : calculations of one host, engine and protocol.
    """
    rows = [Row(member) for member in group.members]
    part = Part(group, rows)
    part.without_energy = [row for row in rows if row.energy is None and _should_have_energy(row)]
    with_energy = [row for row in rows if row.energy is not None]
    if with_energy:
        found = composed({"members": [_for_hull(row) for row in with_energy]})
        part.summaries = found["summaries"]
        _set_energies(with_energy, found["energies"])
    rows.sort(key=_place)
    return part


def _for_hull(row: Row) -> dict[str, Any]:
    """A member as `analysis.hull` wants it, without what an earlier build may have said of its energies."""
    member = row.member
    sites = member["configuration"] or {}
    fallback = {"host_hash": member["host"], "n_atoms": 1, "working_ion": ""}
    return {**fallback, **member, **sites, **_CLEARED, "formula_units": member["formula_units"]}


def _set_energies(rows: Sequence[Row], found: Mapping[str, Mapping[str, Any]]) -> None:
    for row in rows:
        energies = found.get(row.identity, {})
        row.relative = energies.get("relative_energy_mev_per_fu")
        row.above_hull = energies.get("energy_above_hull_mev_per_fu")
    for members in by_fraction([{"fraction": row.fraction, "row": row} for row in rows]).values():
        energies_here = [m["row"].energy for m in members if m["row"].member["counts"]]
        if energies_here:
            for member in members:
                member["row"].above_lowest = EV_TO_MEV * (member["row"].energy - min(energies_here))


def _place(row: Row) -> tuple[float, bool, float, str]:
    return (-row.fraction, row.energy is None, row.energy or 0.0, row.identity)
