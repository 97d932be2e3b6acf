"""What a catalogue of orderings answers: counts, rows, an optimum."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from .group import JointKey
from .stratum_names import Stratum, in_statistics


@dataclass(frozen=True)
class OrderingCount:
    """How many orderings there are; None where no number of high states is neutral.

    Attributes
    ----------
    fraction : occupied working-ion sites / all of them.
    n_working, n_high : occupied working-ion sites and high states in the supercell.
    working_raw, working_distinct : working-ion arrangements, and those distinct under the supercell's group.
    charge_raw : charge arrangements of each working-ion ordering.
    charge_distinct : distinct ones at the working-ion ordering that was given; None where none was.
    joint_raw, joint_distinct : pairs of a working-ion and a charge arrangement.
    """

    fraction: Fraction
    n_working: int
    n_high: int | None
    working_raw: int
    working_distinct: int
    charge_raw: int | None
    charge_distinct: int | None
    joint_raw: int | None
    joint_distinct: int | None


@dataclass(frozen=True)
class OrderingRow:
    """One ordering of a catalogue.

    Attributes
    ----------
    key : canonical joint key; its charge half is None in a list of working-ion orderings. Its bits are the ordering.
    multiplicity : charge arrangements equivalent to it at its working-ion ordering; None without a charge half.
    working_multiplicity : working-ion arrangements equivalent to its working-ion ordering.
    energy : eV per supercell by the energy model; None where none was asked.
    strata : what took it; empty in a plain list.
    """

    key: JointKey
    multiplicity: int | None
    working_multiplicity: int
    energy: float | None = None
    strata: tuple[Stratum, ...] = ()

    @property
    def in_statistics(self) -> bool:
        """Whether it counts in means over orderings."""
        return in_statistics(self.strata)


@dataclass(frozen=True)
class Optimum:
    """The ordering of lowest energy.

    Attributes
    ----------
    row : the ordering.
    proven : whether no other is lower in the model; else it is the best found.
    covered : pairs of arrangements that were searched or excluded by bounds; None for annealing.
    hits, starts : annealing runs that ended at this energy, and all of them; None where it is proven.
    """

    row: OrderingRow
    proven: bool
    covered: int | None = None
    hits: int | None = None
    starts: int | None = None
