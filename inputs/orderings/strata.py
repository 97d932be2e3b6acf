"""Choosing orderings of a space by strata: given ones, the lowest by an energy model, a uniform sample, or all.

An ordering that several strata take is there once and carries each of their names, so that statistics can be told from
what was picked on purpose. Only a sample or the whole list says anything about the space: the rest, and above all the
reference, stays out of means and deviations.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from .group import count_text
from .sampling import Weight
from .spaces import Member, OrderingSpace
from .stratum_names import Stratum, main_stratum

LowestFinder = Callable[[OrderingSpace, int], tuple[Sequence[Member], bool]]
"""The lowest distinct orderings of a space by energy, ascending, and whether it is proven that there are no lower."""


@dataclass(frozen=True, eq=False)
class Chosen:
    """An ordering with the strata that took it."""

    member: Member
    strata: tuple[Stratum, ...]

    @property
    def stratum(self) -> Stratum:
        """The stratum that tells most."""
        return main_stratum(self.strata)


@dataclass(frozen=True)
class Selection:
    """What to take from a space besides the orderings that are given.

    Attributes
    ----------
    everything : every distinct ordering.
    lowest : so many of lowest energy.
    sample : so many by a seeded uniform sample that none of the above has taken.
    seed, weight : of the sample; `arrangements`: each arrangement equally likely, `orbits`: each distinct ordering.
    sample_includes_given : the given orderings count among the `sample`.
    where, of : words for errors: `charge.`, say, and `8 Fe high states`.
    """

    everything: bool = False
    lowest: int = 0
    sample: int = 0
    seed: int = 0
    weight: Weight = "arrangements"
    sample_includes_given: bool = False
    where: str = ""
    of: str = "this space"

    def check(self, what: str, asked: int, taken: int, space: OrderingSpace) -> None:
        """Refuse to ask for more than exist."""
        if asked + taken > space.distinct:
            already = f", {taken} of them taken already" if taken else ""
            raise ValueError(
                f"{self.where}{what} = {asked} but only {count_text(space.distinct)} orderings of {self.of} are "
                f"distinct{already}; use {{all: true}}"
            )


def select(
    space: OrderingSpace,
    selection: Selection,
    given: Sequence[tuple[Member, Stratum]] = (),
    find_lowest: LowestFinder | None = None,
) -> list[Chosen]:
    """Choose orderings: given ones first, then the lowest, then the sample in its order, or all by key.

    Parameters
    ----------
    space : what to choose from.
    selection : how many of what.
    given : orderings from files, in this space, each with its stratum.
    find_lowest : needed where `selection.lowest` is not 0.

    Raises
    ------
    ValueError
        If more are asked for than exist, or the space is too large to list where that is needed.
    """
    taken: dict[bytes, Chosen] = {}
    for member, stratum in given:
        _add(taken, member, stratum)
    if selection.lowest:
        assert find_lowest is not None  # whoever asks for the lowest says by which energy
        selection.check("lowest", selection.lowest, 0, space)
        found, proven = find_lowest(space, selection.lowest)
        for member in found:
            _add(taken, member, "lowest" if proven else "best found")
    if selection.sample:
        counted = 0 if selection.sample_includes_given else len(taken)
        selection.check("sample", selection.sample, counted, space)
        members = space.sampled(selection.seed, selection.weight)
        while len(taken) < counted + selection.sample:
            _add(taken, next(members), "sample")
    if selection.everything:
        for member in space.members():
            _add(taken, member, "all")
    return list(taken.values())


def _add(taken: dict[bytes, Chosen], member: Member, stratum: Stratum) -> None:
    name = member.bits.tobytes()
    before = taken.get(name)
    if before is None:
        taken[name] = Chosen(member, (stratum,))
    elif stratum not in before.strata:
        energy = before.member.energy if member.energy is None else member.energy
        taken[name] = Chosen(replace(before.member, energy=energy), (*before.strata, stratum))


def statistical_weight(multiplicity: int, drawn_by: Weight | None, per: Weight) -> float:
    """Weight of a member in a mean over all arrangements, or over all distinct orderings.

    Parameters
    ----------
    multiplicity : arrangements that the ordering stands for.
    drawn_by : the weight of the sample that took it; None where the list is complete, so that each is there once.
    per : what the mean is over.

    Returns
    -------
    The weight up to a common factor: a sample uniform over arrangements has met an ordering `multiplicity` times as
    easily, so that weight is in the sample already.
    """
    met = multiplicity if drawn_by == "arrangements" else 1
    return (multiplicity if per == "arrangements" else 1) / met
