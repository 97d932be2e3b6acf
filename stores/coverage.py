"""What a split leaves training without: compositions, hosts and charge states that its other sides alone hold.

No group is ever cut, so that a composition of one lineage is on one side. A model that never saw it extrapolates, and
whoever trains must know; `stores.leakage` counts the opposite, what training has seen too much of.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from .frame_entries import FrameEntry
from .splits import SPLITS, Split

TRAIN = SPLITS[0]

Counts = dict[str, dict[str, dict[str, int]]]
"""Kind (formula, host, charge state) -> value -> side -> frames."""


def frames_by_side(
    entries: Sequence[FrameEntry], split: Split, charge_states: Mapping[str, Mapping[str, int]]
) -> Counts:
    """Count frames by what they hold and by side.

    Parameters
    ----------
    entries : the set's frames.
    split : of all of them.
    charge_states : side -> charge state -> frames that hold it.
    """
    found: dict[str, dict[str, Counter[str]]] = {
        kind: defaultdict(Counter) for kind in ("formula", "host", "charge state")
    }
    for entry in entries:
        side = split.places[entry.frame_id]
        found["formula"][entry.formula][side] += 1
        if entry.host is not None:
            found["host"][entry.host][side] += 1
    for side, states in charge_states.items():
        for state, number in states.items():
            found["charge state"][state][side] += number
    sides = list(split.counts)
    return {
        kind: {value: {side: counts[side] for side in sides} for value, counts in sorted(values.items())}
        for kind, values in found.items()
    }


def untrained(counts: Mapping[str, Any]) -> dict[str, list[str]]:
    """Kind -> values without a single training frame; kinds without any are left out.

    Parameters
    ----------
    counts : from `frames_by_side`.
    """
    missing = {kind: [value for value, sides in values.items() if not sides[TRAIN]] for kind, values in counts.items()}
    return {kind: values for kind, values in missing.items() if values}


def untrained_lines(manifest: Mapping[str, Any]) -> list[str]:
    """What has no training frame and where its frames are, a line each; nothing where training has no frame at all."""
    if not manifest["counts"][TRAIN]:
        return []
    return [
        f"no training frame of {kind} {value}: "
        + ", ".join(f"{side} {n}" for side, n in manifest["frames_by_side"][kind][value].items() if n)
        for kind, values in manifest["untrained"].items()
        for value in values
    ]
