"""Splits by group, so that a model is never tested on a sibling of what it was trained on.

A relaxation's frames resemble each other, the two steps and all attempts of a configuration lead to the same structure,
and symmetry images of an ordering are the same crystal: all of them go to one side. Groups are drawn by a hash of seed
and group, stratum by stratum, so that the order of frames does not matter. What leaks all the same is counted by
`stores.leakage`.
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from .frame_entries import FrameEntry

Grouping = Literal["lineage", "working ordering", "composition", "host"]
Stratum = Literal["composition", "host", "step", "none"]
SPLITS = ("train", "valid", "test")
BENCHMARK = "benchmark"
"""Where structures go that are held out by name."""

_NAMES = (
    "frame_id", "run_id", "calculation_id", "configuration_id", "lineage", "campaign", "formula",
)  # fmt: skip
_KEYS = ("intended_key", "working_key")


@dataclass(frozen=True)
class SplitPolicy:
    """How a set is split.

    Attributes
    ----------
    by : what no split may cut, beside lineages and symmetry-equivalent orderings: a `working ordering` with all charge
        orderings on it, a `composition`, or a `host`.
    fractions : of frames for train, valid and test; they sum to 1.
    seed : another one gives another draw.
    stratify : each of these is split in the same proportions as far as its groups allow.
    held_out : frames of any of these go into `benchmark` with their groups: ids of frames, runs, calculations or
        configurations, lineages, campaigns, reduced formulas, joint keys or keys of working-ion orderings. Keys are of
        one cell: `5@1x1x1` or `5@1x1x1@olivine-NaFePO4` where the set has several.
    """

    by: Grouping = "lineage"
    fractions: tuple[float, float, float] = (0.8, 0.1, 0.1)
    seed: int = 0
    stratify: Stratum = "composition"
    held_out: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse fractions and names that mean nothing."""
        # Written so that NaN, which compares with nothing, is refused.
        if len(self.fractions) != len(SPLITS) or not (
            min(self.fractions) >= 0 and abs(sum(self.fractions) - 1) <= 1e-9
        ):
            raise ValueError(
                f"split fractions {', '.join(map(str, self.fractions))}: give three for train, valid and test that sum "
                "to 1, such as 0.8,0.1,0.1"
            )
        for value, known, name in ((self.by, Grouping, "grouping"), (self.stratify, Stratum, "stratification")):
            if value not in get_args(known):
                raise ValueError(f"{name} {value!r} is unknown; choose one of {', '.join(get_args(known))}")

    def as_dict(self) -> dict[str, Any]:
        """Plain data for a manifest."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}


@dataclass(frozen=True)
class Split:
    """A split that was made.

    Attributes
    ----------
    places : frame id -> train, valid, test or benchmark.
    groups : frame id -> name of its group (its smallest lineage).
    """

    places: Mapping[str, str]
    groups: Mapping[str, str]

    @property
    def counts(self) -> dict[str, int]:
        """Frames per split; train, valid and test always, benchmark where there are any."""
        found = Counter(self.places.values())
        return {name: found[name] for name in (*SPLITS, BENCHMARK) if name in SPLITS or found[name]}

    def as_csv(self, entries: Iterable[FrameEntry]) -> str:
        """The split as published: one line per frame, in order of frame ids."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(("frame_id", "split", "group", "lineage", "formula"))
        for entry in sorted(entries, key=lambda entry: entry.frame_id):
            place, group = self.places[entry.frame_id], self.groups[entry.frame_id]
            writer.writerow((entry.frame_id, place, group, entry.lineage, entry.formula))
        return text.getvalue()


def split_frames(entries: Sequence[FrameEntry], policy: SplitPolicy, together: Iterable[tuple[str, str]] = ()) -> Split:
    """Split a set by groups.

    Parameters
    ----------
    entries : the set's frames.
    policy : how.
    together : further pairs of lineages that no split may cut.

    Raises
    ------
    ValueError
        If a name to be held out names nothing, or a key of several cells.
    """
    groups = _groups(entries, policy, together)
    members: dict[str, list[FrameEntry]] = defaultdict(list)
    for entry in entries:
        members[groups[entry.lineage]].append(entry)
    held = _held_out(entries, groups, policy.held_out)
    places = dict.fromkeys(held, BENCHMARK) | _drawn(
        {name: found for name, found in members.items() if name not in held}, policy
    )
    return Split(
        places={entry.frame_id: places[groups[entry.lineage]] for entry in entries},
        groups={entry.frame_id: groups[entry.lineage] for entry in entries},
    )


def random_frame_split(entries: Sequence[FrameEntry], policy: SplitPolicy) -> Split:
    """The split that is not to be used: frame by frame. For showing what leaks through it."""
    ordered = sorted(entries, key=lambda entry: _draw(policy.seed, entry.frame_id))
    bounds = [round(sum(policy.fractions[: n + 1]) * len(ordered)) for n in range(len(SPLITS))]
    places = {}
    for index, entry in enumerate(ordered):
        places[entry.frame_id] = next(name for name, bound in zip(SPLITS, bounds, strict=True) if index < bound)
    return Split(places, {entry.frame_id: entry.frame_id for entry in entries})


def _groups(entries: Sequence[FrameEntry], policy: SplitPolicy, together: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Lineage -> its group, named by the smallest lineage in it."""
    parents: dict[str, str] = {entry.lineage: entry.lineage for entry in entries}

    def root(name: str) -> str:
        while parents[name] != name:
            parents[name] = parents[parents[name]]
            name = parents[name]
        return name

    def join(one: str, other: str) -> None:
        first, second = sorted((root(one), root(other)))
        parents[second] = first

    met: dict[Hashable, str] = {}
    for entry in entries:
        for key in (entry.ordering, _key(entry, policy.by)):
            if key is not None:
                join(met.setdefault(key, entry.lineage), entry.lineage)
    for one, other in together:
        join(one, other)
    return {name: root(name) for name in parents}


def _key(entry: FrameEntry, by: Grouping) -> Hashable:
    """What else entries share that are of one group; None: nothing."""
    if by == "working ordering" and entry.working_key is not None:
        return by, entry.host, entry.n_sites, entry.supercell, entry.working_key
    if by == "composition":
        return by, entry.formula
    if by == "host" and entry.host is not None:
        return by, entry.host
    return None


def _held_out(entries: Sequence[FrameEntry], groups: Mapping[str, str], names: Sequence[str]) -> set[str]:
    wanted, found, met = set(names), set(), set()
    of_keys: dict[str, set[str]] = defaultdict(set)
    for entry in entries if wanted else ():
        keys = {name: whole for key in _KEYS for name, whole in _key_names(entry, getattr(entry, key)).items()}
        hits = wanted & ({getattr(entry, name) for name in _NAMES} | set(keys))
        if hits:
            found.add(groups[entry.lineage])
            met |= hits
        for name in hits & set(keys):
            of_keys[name].add(keys[name])
    if missing := sorted(wanted - met):
        raise ValueError(
            f"held out: {', '.join(missing)} is no frame, run, calculation, configuration, lineage, campaign, key, "
            "key@supercell or formula of this set; `valenceflow query --frames` shows them"
        )
    for name, there in of_keys.items():
        if len(there) > 1:
            raise ValueError(f"held out: {name} is a key of several cells; name those that you mean: "
                             f"{', '.join(sorted(there))}")  # fmt: skip
    return found


def _key_names(entry: FrameEntry, key: str | None) -> dict[str, str]:
    """What a key goes by -> its name that is of one cell alone."""
    if key is None:
        return {}
    cell = entry.supercell or f"{entry.n_sites} sites"
    whole = f"{key}@{cell}@{entry.host}"
    return dict.fromkeys((key, f"{key}@{cell}", whole), whole)


def _drawn(members: Mapping[str, Sequence[FrameEntry]], policy: SplitPolicy) -> dict[str, str]:
    """Group -> split: the one that lacks most, stratum by stratum; what one cannot give is made up in the next.

    A stratum of one group is trained on where such strata are the lesser part of the set, and of any other stratum the
    first group is: a composition goes without training frames only where there is nothing else for the other sides.
    """
    strata: dict[str, list[str]] = defaultdict(list)
    for name, found in members.items():
        strata[_stratum(found, policy.stratify)].append(name)
    places: dict[str, str] = {}
    lacking = dict.fromkeys(SPLITS, 0.0)
    alone = sum(len(members[names[0]]) for names in strata.values() if len(names) == 1)
    spared = alone < min(0.5, policy.fractions[0]) * sum(map(len, members.values()))
    for _, names in sorted(strata.items(), key=lambda item: ((len(item[1]) == 1) != spared, item[0])):
        total = sum(len(members[name]) for name in names)
        for place, fraction in zip(SPLITS, policy.fractions, strict=True):
            lacking[place] += fraction * total
        for rank, name in enumerate(sorted(names, key=lambda name: _draw(policy.seed, name))):
            is_trained_on = rank == 0 and (len(names) > 1 or spared) and policy.fractions[0] > 0
            place = SPLITS[0] if is_trained_on else max(SPLITS, key=lambda place: lacking[place])
            places[name] = place
            lacking[place] -= len(members[name])
    _fill_empty(places, members, policy, {name: stratum for stratum, names in strata.items() for name in names})
    return places


def _fill_empty(
    places: dict[str, str], members: Mapping[str, Sequence[FrameEntry]], policy: SplitPolicy, strata: Mapping[str, str]
) -> None:
    """Give every split that was asked for a group of the fullest one, as far as there are groups.

    The smallest one, of a stratum that keeps another there, if there is such.
    """
    for place, fraction in zip(SPLITS, policy.fractions, strict=True):
        counts = Counter(places.values())
        if fraction == 0 or counts[place] or not places:
            continue
        fullest = max(SPLITS, key=lambda other: counts[other])
        if counts[fullest] > 1:
            spare = [name for name in places if places[name] == fullest]
            siblings = Counter(map(strata.__getitem__, spare))
            ranks = {
                name: (siblings[strata[name]] == 1, len(members[name]), _draw(policy.seed, name)) for name in spare
            }
            places[min(spare, key=ranks.__getitem__)] = place


def _stratum(found: Sequence[FrameEntry], stratify: Stratum) -> str:
    of = {"composition": lambda e: e.formula, "host": lambda e: e.host or "", "step": lambda e: e.step}
    return "" if stratify == "none" else Counter(map(of[stratify], found)).most_common(1)[0][0]


def _draw(seed: int, name: str) -> str:
    return hashlib.sha256(f"{seed}:{name}".encode()).hexdigest()
