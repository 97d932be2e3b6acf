"""Which frames a set takes: filters, thinning, and the refusal to mix engines, protocols or elements' settings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ..frame_entries import ENTRY_FIELDS, FrameEntry
from ..frame_filters import NEEDED, FrameFilters
from ..frames import Collections, Surrogate, iter_frame_docs
from ..thinning import Thinning

_COUNTED = ("engine", "protocol_hash", "protocol", "engine_version", "step", "source", "host", "verdict", "formula")


@dataclass(frozen=True)
class Selection:
    """What was taken, and what was not and why.

    Attributes
    ----------
    entries : frames, in order of lineage, run and number.
    excluded : reason -> frames.
    counts : field of `FrameEntry` -> value -> frames.
    """

    entries: list[FrameEntry]
    excluded: dict[str, int]
    counts: dict[str, dict[str, int]]

    @property
    def engine(self) -> str:
        """The one engine."""
        return self.entries[0].engine

    @property
    def protocol(self) -> str | None:
        """Name of the one protocol, where it has one."""
        return self.entries[0].protocol

    @property
    def protocol_hash(self) -> str:
        """Hash of the one protocol."""
        return self.entries[0].protocol_hash

    @property
    def couples(self) -> list[str]:
        """Redox couples of the labels."""
        return sorted({couple for entry in self.entries for couple in entry.couples})


def select_frames(
    stores: Collections,
    filters: FrameFilters,
    thinning: Thinning | None = None,
    surrogate: Surrogate = "exclude",
    criteria: Mapping[str, Any] | None = None,
) -> Selection:
    """Choose the frames of a set.

    Parameters
    ----------
    stores : a campaign's or an ingested set's.
    filters : switches; what they leave out is counted.
    thinning : of relaxations, after the filters.
    surrogate : side of the surrogate step.
    criteria : frames that are asked for at all; others are not counted as left out.

    Raises
    ------
    ValueError
        If nothing is left, or frames of two engines or protocols are.
    """
    excluded: Counter[str] = Counter()
    passed = list(_passing(stores, filters, surrogate, criteria, excluded))
    entries = list((thinning or Thinning()).kept(passed))
    if len(passed) > len(entries):
        excluded["thinned"] = len(passed) - len(entries)
    other: Surrogate = "only" if surrogate == "exclude" else "exclude"
    beyond = sum(1 for _ in iter_frame_docs(stores, criteria, surrogate=other, properties=["engine"]))
    if beyond:
        excluded["surrogate step" if surrogate == "exclude" else "not of the surrogate step"] += beyond
    if not entries:
        raise ValueError(_nothing_left(stores, excluded))
    counts = {name: _count(entries, name) for name in _COUNTED}
    _refuse_mixtures(counts)
    entries.sort(key=lambda entry: (entry.lineage, entry.frame_id))
    return Selection(entries, dict(sorted(excluded.items())), counts)


def _count(entries: list[FrameEntry], name: str) -> dict[str, int]:
    found = Counter(getattr(entry, name) or "unstated" for entry in entries)
    return dict(sorted(found.items()))


def _passing(
    stores: Collections,
    filters: FrameFilters,
    surrogate: Surrogate,
    criteria: Mapping[str, Any] | None,
    excluded: Counter[str],
) -> Iterator[FrameEntry]:
    fields = list(dict.fromkeys([*ENTRY_FIELDS, *NEEDED]))
    for doc in iter_frame_docs(stores, criteria, surrogate=surrogate, properties=fields):
        reason = filters.reason_against(doc)
        if reason is None:
            yield FrameEntry.of(doc)
        else:
            excluded[reason] += 1


def _nothing_left(stores: Collections, excluded: Mapping[str, int]) -> str:
    if not excluded:
        return f"{stores.place}: no frames to export; `valenceflow ingest` or `valenceflow build` makes them"
    reasons = ", ".join(f"{reason} ({number})" for reason, number in excluded.items())
    hint = (
        "; `valenceflow build`, told the same campaign or --store, labels them"
        if "not labelled" in excluded
        else "; loosen the filters"
    )
    return f"{stores.place}: every frame is left out: {reasons}{hint}"


def _refuse_mixtures(counts: Mapping[str, Mapping[str, int]]) -> None:
    for name, option in (("engine", "--engine"), ("protocol_hash", "--protocol-hash")):
        if len(counts[name]) > 1:
            found = ", ".join(f"{value} ({number} frames)" for value, number in counts[name].items())
            what = "engines" if name == "engine" else "protocols"
            raise ValueError(
                f"frames of several {what}: {found}; their energies cannot be compared: choose with {option}"
            )
