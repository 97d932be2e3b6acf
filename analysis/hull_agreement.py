"""Hulls as named points, and how two of them agree: stable sets, residuals, mean absolute error (paper Fig. 6).

A hull comes from calculations of one engine and protocol, or from the scores of a potential; energies are relative to
the end members (Eq. 1), meV per formula unit, and never of two engines or protocols.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..potentials.evaluation.scores import HullScore, ModelScores
from ..stores.relations import LOST_ORDERING, is_lost
from ..stores.relative_energy import EV_TO_MEV, hull_energies, relative_energies
from .ways_out import (
    ANY_CAMPAIGN,
    Ways,
    counted_outcomes,
    on_any_campaign,
    outcome_of,
    refuse_no_numbers,
    retry_options,
)

ON_HULL = 1e-6
"""meV per formula unit: what lies no higher is stable."""

RUN = f"`{on_any_campaign('run', None)}`"
Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Hull:
    """Structures over composition and the lower hull between the end members.

    Attributes
    ----------
    names : (n,) what structures of two hulls are matched by: joint keys, or names of a data set.
    x : (n,) working-ion fractions.
    energies : (n,) relative to the end members (Eq. 1), meV per formula unit.
    source : engine and protocol, or the potential, as figures say it.
    """

    names: tuple[str, ...]
    x: Floats
    energies: Floats
    source: str

    @property
    def above(self) -> Floats:
        """(n,) energy above the hull, meV per formula unit."""
        height: Floats = np.maximum(self.energies - hull_energies(self.x, self.energies), 0.0)
        return height

    @property
    def stable(self) -> tuple[str, ...]:
        """Names of the structures on the hull, by composition."""
        on, order = self.above < ON_HULL, np.argsort(self.x, kind="stable")
        return tuple(self.names[i] for i in order if on[i])

    @property
    def vertices(self) -> tuple[Floats, Floats]:
        """Fractions and energies of the hull's corners, ascending; of degenerate structures one."""
        on = self.above < ON_HULL
        x, first = np.unique(self.x[on], return_index=True)
        return x, self.energies[on][first]


def make_hull(names: Sequence[str], x: ArrayLike, energies_per_fu: ArrayLike, source: str, run: str = RUN) -> Hull:
    """Make a hull from total energies.

    Parameters
    ----------
    names, x : (n,) of the structures; x from 0 to 1.
    energies_per_fu : (n,) total energies, eV per formula unit; the lowest at x = 0 and x = 1 are the end members'.
    source : whose energies.
    run : command that computes what is missing, in backquotes, for the message.

    Raises
    ------
    ValueError
        If an energy is not finite, an end member is missing (which, and the command that makes it), or there is one
        composition only.
    """
    fractions, energies = np.asarray(x, dtype=float), np.asarray(energies_per_fu, dtype=float)
    if wrong := [name for name, energy in zip(names, energies, strict=True) if not np.isfinite(energy)]:
        raise ValueError(f"{source}: the energy of {', '.join(wrong[:4])} is no number; leave out what has failed")
    missing = [f"x = {end:g}" for end in (0.0, 1.0) if not (fractions == end).any()]
    if missing:
        raise ValueError(
            f"{source}: no energy that counts at {' and '.join(missing)}, so there is no hull; with "
            f"`end_members: true` in the campaign file, {run} makes what is missing"
        )
    if not ((fractions > 0) & (fractions < 1)).any():
        raise ValueError(f"{source}: nothing lies between the end members; add fractions to the campaign, then {run}")
    e_full, e_empty = (float(energies[fractions == end].min()) for end in (1.0, 0.0))
    relative = EV_TO_MEV * relative_energies(energies, fractions, e_full, e_empty)
    return Hull(tuple(names), fractions, relative, source)


def source_of(calculations: Sequence[Mapping[str, Any]]) -> str:
    """Engine and protocol of calculations, as figures say them.

    Raises
    ------
    ValueError
        If there is none, or hosts, engines or protocols are mixed; the ones found are named.
    """
    if not calculations:
        raise ValueError("no calculation counts yet; `valenceflow status CAMPAIGN.yaml` says what is missing")
    for name, remedy in (
        ("host", "take one (--store, or one campaign)"),
        ("engine", "take one (--engine, or one campaign)"),
        ("protocol_hash", "where a campaign's protocol has changed, give it another `name:` and run it"),
    ):
        kinds = sorted({str(c[name]) for c in calculations})
        if len(kinds) > 1:
            what = name.removesuffix("_hash")
            raise ValueError(f"energies of the {what}s {', '.join(kinds)} do not compare; {remedy}")
    first = calculations[0]
    return f"{first['engine']}, protocol {first['protocol']}"


def hull_of_calculations(calculations: Sequence[Mapping[str, Any]], ways: Ways = ANY_CAMPAIGN) -> Hull:
    """Hull of what counts among calculations; structures are named by the ordering that they have.

    Parameters
    ----------
    calculations : ChargeOrderedCalculationDocs as dicts, of one host, engine and protocol; what failed among them, too,
        as it tells what to retry.
    ways : commands on their campaign.

    Raises
    ------
    ValueError
        As in `make_hull` and `source_of`; of what is there and does not count, why, and how to try it again.
    """
    good = [c for c in calculations if c["counts"] and c["energy_per_fu"] is not None]
    source = source_of(good or calculations)
    refuse_no_numbers(good, source, ways)
    left_out = [c for c in calculations if not any(c is one for one in good)]
    _refuse_ends(good, left_out, source, ways)
    refuse_nothing_between(good, left_out, source, ways)
    names = [str(c["achieved_key"] or c["intended_key"]) for c in good]
    run = ways("run", calculations[0]["engine"])
    return make_hull(names, [c["fraction"] for c in good], [c["energy_per_fu"] for c in good], source, run)


def _refuse_ends(
    good: Sequence[Mapping[str, Any]], left_out: Sequence[Mapping[str, Any]], source: str, ways: Ways
) -> None:
    """Refuse end members that were computed and do not count: a run would find nothing to do."""
    lacking = [end for end in (0.0, 1.0) if not any(c["fraction"] == end for c in good)]
    tried = [c for c in left_out if c["fraction"] in lacking]
    if not tried:
        return
    engine = tried[0]["engine"]
    said = [f"x = {c['fraction']:g} was computed and does not count ({outcome_of(c)})" for c in tried]
    said += [f"x = {end:g} is missing" for end in lacking if not any(c["fraction"] == end for c in tried)]
    again = " and ".join(ways("retry", engine, *retry_options([c])) for c in tried)
    raise ValueError(
        f"{source}: {' and '.join(said)}, so there is no hull; {again}, then {ways('run', engine)}{_other_ways(tried)}"
    )


def refuse_nothing_between(
    good: Sequence[Mapping[str, Any]], left_out: Sequence[Mapping[str, Any]], source: str, ways: Ways
) -> None:
    """Refuse calculations of which some lie between the end members and none of these counts.

    Parameters
    ----------
    good, left_out : what counts and what does not, as dicts.
    source : engine and protocol, for the message.
    ways : commands on the campaign.

    Raises
    ------
    ValueError
        With how many are left out and why, and how to try them again.
    """
    between = [c for c in left_out if 0 < c["fraction"] < 1]
    if not between or any(0 < c["fraction"] < 1 for c in good):
        return
    engine = between[0]["engine"]
    lost = [c for c in between if is_lost(c["state"], c["relation"])]
    again = [ways("retry", engine, "--reason", LOST_ORDERING)] if lost else []
    again += [ways("retry", engine)] if len(lost) < len(between) else []
    left = f"{len(between)} computed there {'is' if len(between) == 1 else 'are'} left out"
    raise ValueError(
        f"{source}: nothing that counts lies between the end members: {left} ({counted_outcomes(between)}); "
        f"{' and '.join(again)}, then {ways('run', engine)}{_other_ways(between)}"
    )


def _other_ways(calculations: Sequence[Mapping[str, Any]]) -> str:
    """What else there is for what was lost."""
    lost = any(is_lost(c["state"], c["relation"]) for c in calculations)
    return "; `on_lost_ordering: retry` in the campaign file tries lost orderings by other ways" if lost else ""


def hulls_of_scores(scores: ModelScores, score: HullScore) -> tuple[Hull, Hull]:
    """(reference, model): the two hulls of one score of a potential."""
    x = np.array(score.fractions)
    names = tuple(score.names)
    reference = Hull(names, x, np.array(score.reference), f"{scores.engine}, data set {scores.data_set}")
    return reference, Hull(names, x, np.array(score.model), scores.model)


@dataclass(frozen=True, eq=False)
class HullAgreement:
    """A second hull held against a first one, over the structures that both have.

    Attributes
    ----------
    names, x : (n,) structures between the end members, which define both scales and are no test.
    residuals : (n,) second minus first relative energy, meV per formula unit.
    mae, rmse, largest : of the residuals, meV per formula unit.
    mae_above_hull : mean absolute error of the energy above the hull, each above its own, meV per formula unit.
    stable_in_both, only_in_first, only_in_second : names on the hulls, end members left out.
    only_one_has : structures left out, as the other hull lacks them.
    """

    names: tuple[str, ...]
    x: Floats
    residuals: Floats
    mae: float
    rmse: float
    largest: float
    mae_above_hull: float
    stable_in_both: tuple[str, ...]
    only_in_first: tuple[str, ...]
    only_in_second: tuple[str, ...]
    only_one_has: int

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {name: v.tolist() if isinstance(v, np.ndarray) else v for name, v in values.items()}


def hull_agreement(first: Hull, second: Hull, whose: tuple[str, str] | None = None) -> HullAgreement:
    """Agreement of two hulls; of structures with one name the lowest counts.

    Parameters
    ----------
    first, second : the hulls.
    whose : what each is called in messages; None: by its source.

    Raises
    ------
    ValueError
        If they have no structure in common between the end members, or one name has two compositions.
    """
    here, there = _lowest(first), _lowest(second)
    both = [name for name in here if name in there]
    for name in both:
        if abs(first.x[here[name]] - second.x[there[name]]) > 1e-9:
            raise ValueError(
                f"{name} lies at x = {first.x[here[name]]:g} in one hull, {second.x[there[name]]:g} in the other"
            )
    names = tuple(name for name in both if 0 < first.x[here[name]] < 1)
    if not names:
        one, other = whose or (first.source, second.source)
        raise ValueError(
            f"{one} and {other} have no structure in common between the end members, so nothing can be held against "
            "each other; run the orderings of one in the other too: the same `fraction:` and `orderings:`"
        )
    i, j = [here[name] for name in names], [there[name] for name in names]
    residuals = second.energies[j] - first.energies[i]
    heights = second.above[j] - first.above[i]
    stable = [{n for n in hull.stable if n in names} for hull in (first, second)]
    by_x = sorted(names, key=lambda name: (first.x[here[name]], name))
    return HullAgreement(
        names=names,
        x=first.x[i],
        residuals=residuals,
        mae=float(np.abs(residuals).mean()),
        rmse=float(np.sqrt((residuals**2).mean())),
        largest=float(np.abs(residuals).max()),
        mae_above_hull=float(np.abs(heights).mean()),
        stable_in_both=tuple(n for n in by_x if n in stable[0] & stable[1]),
        only_in_first=tuple(n for n in by_x if n in stable[0] - stable[1]),
        only_in_second=tuple(n for n in by_x if n in stable[1] - stable[0]),
        only_one_has=len(here) + len(there) - 2 * len(both),
    )


def _lowest(hull: Hull) -> dict[str, int]:
    """Name -> place of its lowest structure."""
    found: dict[str, int] = {}
    for place in np.argsort(hull.energies, kind="stable"):
        found.setdefault(hull.names[place], int(place))
    return found
