"""What a search goes through: the orderings of a supercell at one or several compositions.

Three kinds: `ions` (working-ion orderings), `charges` (charge orderings at one working-ion ordering) and `both`. A
candidate is an arrangement of bits in its canonical image; what is evaluated is the joint key that belongs to it.
Listing, counting and sampling are those of `inputs.orderings.spaces`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from itertools import islice, product
from typing import Literal, cast, get_args

import numpy as np
from numpy.typing import ArrayLike

from ..inputs.charge_states import RedoxCouple
from ..inputs.orderings.electrostatics import ElectrostaticModel
from ..inputs.orderings.energies import Floats
from ..inputs.orderings.group import Bits, JointKey, OrderingGroup, ordering_group
from ..inputs.orderings.halves import MAX_SITES, bit_rows
from ..inputs.orderings.images import smallest_images
from ..inputs.orderings.listing import Orbits
from ..inputs.orderings.lowest import SearchProgress, lowest_finder
from ..inputs.orderings.optimum import working_minima
from ..inputs.orderings.spaces import ChargeSpace, JointSpace, OrderingSpace, WorkingSpace
from ..inputs.supercells import HostSupercell
from .correlations import masks_of

Kind = Literal["ions", "charges", "both"]
Charges = Literal["free", "electrostatics"]


@dataclass(frozen=True, eq=False)
class Candidate:
    """One ordering of a search space.

    Attributes
    ----------
    n_working : occupied working-ion sites: the composition.
    bits : (n_bits,) bool, the canonical image in the space of its composition.
    """

    n_working: int
    bits: Bits

    @property
    def name(self) -> tuple[int, bytes]:
        """Equal for the same ordering, and only for it."""
        return self.n_working, self.bits.tobytes()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Candidate) and self.name == other.name

    def __hash__(self) -> int:
        return hash(self.name)


@dataclass(frozen=True, eq=False)
class SearchSpace:
    """The orderings of a supercell at one or several compositions.

    Attributes
    ----------
    cell, couple : the supercell and its redox couple.
    kind : what is arranged.
    compositions : numbers of occupied working-ion sites, ascending.
    at : (n_working,) the working-ion ordering of `charges`; None otherwise.
    charges : for `ions`, which charge ordering each is evaluated with: `free` (the potential knows no charge states),
        or the exact best by `electrostatics`.

    Raises
    ------
    ValueError
        If a composition is not neutral, or `at` and `kind` do not go together.
    """

    cell: HostSupercell
    couple: RedoxCouple
    kind: Kind
    compositions: tuple[int, ...]
    at: Bits | None = None
    charges: Charges = "electrostatics"

    def __post_init__(self) -> None:
        """Check what was asked for."""
        if self.kind not in get_args(Kind):
            raise ValueError(f"a search is over {', '.join(get_args(Kind))}, not {self.kind!r}")
        if (self.kind == "charges") != (self.at is not None):
            raise ValueError("charge orderings are searched at one working-ion ordering (`at`), the others at none")
        if not self.compositions or list(self.compositions) != sorted(set(self.compositions)):
            raise ValueError(f"compositions {self.compositions} must be different numbers of working ions, ascending")
        for n_working in self.compositions:
            self.cell.n_high(n_working, self.couple)

    @classmethod
    def of(
        cls,
        cell: HostSupercell,
        couple: RedoxCouple,
        kind: Kind,
        fractions: Sequence[float | Fraction] | None = None,
        at: ArrayLike | None = None,
        charges: Charges = "electrostatics",
    ) -> SearchSpace:
        """A space from fractions of working ions.

        Parameters
        ----------
        cell, couple, kind, charges : as in the attributes.
        fractions : occupied working-ion sites / all of them; None: every one that is neutral.
        at : (n_working,) bool, for `charges`; gives the fraction.
        """
        if at is not None:
            canonical = ordering_group(cell).key(np.asarray(at, dtype=bool), None).working
            return cls(cell, couple, kind, (int(canonical.sum()),), canonical, charges)
        if fractions is None:
            every = range(len(cell.working_sites) + 1)
            return cls(cell, couple, kind, tuple(n for n in every if _is_neutral(cell, couple, n)), None, charges)
        return cls(cell, couple, kind, tuple(sorted({cell.n_working(x) for x in fractions})), None, charges)

    @property
    def group(self) -> OrderingGroup:
        """Symmetry group of the supercell."""
        return ordering_group(self.cell)

    @cached_property
    def electrostatics(self) -> ElectrostaticModel:
        """Formal charges: the seed and a feature."""
        return ElectrostaticModel(self.cell, self.couple)

    @cached_property
    def parts(self) -> dict[int, OrderingSpace]:
        """The space of each composition."""
        return {n: self._part(n) for n in self.compositions}

    def _part(self, n_working: int) -> OrderingSpace:
        n_high = self.cell.n_high(n_working, self.couple)
        if self.kind == "charges":
            return ChargeSpace.at(self.group, cast(Bits, self.at), n_high)
        if self.kind == "ions":
            return WorkingSpace(self.group, n_working)
        return JointSpace(self.group, n_working, n_high)

    def candidate(self, n_working: int, bits: ArrayLike) -> Candidate:
        """The candidate that an arrangement is, whichever of its images was given."""
        return Candidate(n_working, self.parts[n_working].canonical(bits))

    def key(self, candidate: Candidate) -> JointKey:
        """The ordering that is evaluated for a candidate."""
        known = self._keys.get(candidate)
        if known is None:
            nested = self.kind == "ions" and self.charges == "electrostatics"
            part = self.parts[candidate.n_working]
            known = self._with_best_charges(candidate.bits) if nested else part.key(candidate.bits)
            self._keys[candidate] = known
        return known

    @cached_property
    def _keys(self) -> dict[Candidate, JointKey]:
        return {}

    def _with_best_charges(self, working: Bits) -> JointKey:
        n_high = self.cell.n_high(int(working.sum()), self.couple)
        found, _ = lowest_finder(self.electrostatics)(ChargeSpace.at(self.group, working, n_high), 1)
        return JointKey(working, found[0].bits)

    def candidate_of(self, key: JointKey) -> Candidate | None:
        """The candidate of this space that an ordering that came out belongs to; None if it left the space."""
        n_working = int(key.working.sum())
        if n_working not in self.parts or (key.charge is None and self.kind != "ions"):
            return None
        if self.kind == "ions":
            return self.candidate(n_working, key.working)
        joint = np.concatenate([key.working, cast(Bits, key.charge)])
        if self.kind == "both":
            return self.candidate(n_working, joint)
        return self._at_this_one(key)

    def _at_this_one(self, key: JointKey) -> Candidate | None:
        assert self.at is not None
        assert key.charge is not None
        onto = np.flatnonzero((key.working[self.group.working_permutations] == self.at).all(axis=1))
        if not len(onto):
            return None
        return self.candidate(int(self.at.sum()), key.charge[self.group.redox_permutations[onto[0]]])

    def swaps(self, candidate: Candidate) -> list[Candidate]:
        """Every distinct candidate one swap of an occupied and an empty site away, in a fixed order."""
        part, start = self.parts[candidate.n_working], 0
        rows = [candidate.bits[None, :][:0]]
        for n_sites, _ in part.ones:
            here = candidate.bits[start : start + n_sites]
            pairs = np.array(list(product(np.flatnonzero(here), np.flatnonzero(~here))), dtype=int).reshape(-1, 2)
            swapped = np.repeat(candidate.bits[None, :], len(pairs), axis=0)
            swapped[np.arange(len(pairs)), start + pairs[:, 0]] = False
            swapped[np.arange(len(pairs)), start + pairs[:, 1]] = True
            rows.append(swapped)
            start += n_sites
        return list(dict.fromkeys(self._candidates(candidate.n_working, np.concatenate(rows))))

    def _candidates(self, n_working: int, rows: Bits) -> list[Candidate]:
        """Candidates of many arrangements at once."""
        part = self.parts[n_working]
        if part.n_sites > MAX_SITES:
            return [self.candidate(n_working, row) for row in rows]
        smallest = smallest_images(masks_of(rows), part.permutations)
        return [Candidate(n_working, bits) for bits in bit_rows(smallest, part.n_sites).astype(bool)]

    def working_minima(self, n_working: int, progress: SearchProgress | None = None) -> tuple[Orbits, Floats]:
        """Every working-ion ordering of a composition and its electrostatic energy with its best charges.

        Parameters
        ----------
        n_working : the composition; a millisecond for each of its orderings, which is why they are kept.
        progress : called now and then with (done, to do).
        """
        if n_working not in self.minima_kept:
            self.minima_kept[n_working] = working_minima(self.electrostatics, n_working, progress)
        return self.minima_kept[n_working]

    @cached_property
    def minima_kept(self) -> dict[int, tuple[Orbits, Floats]]:
        """What `working_minima` has worked out."""
        return {}

    def sample(self, n_working: int, how_many: int, seed: int) -> list[Candidate]:
        """So many different candidates of a composition, each distinct ordering equally likely; all if there are fewer.

        Parameters
        ----------
        n_working : the composition.
        how_many : candidates wanted.
        seed : of the sample; a larger one holds the smaller one.
        """
        part = self.parts[n_working]
        members = part.sampled(seed, "orbits")
        return [Candidate(n_working, member.bits) for member in islice(members, min(how_many, part.distinct))]

    def check_end_members(self) -> None:
        """Refuse several compositions without both end members: relative energies (Eq. 1) and a hull need them.

        Raises
        ------
        ValueError
            If one is missing; it is named.
        """
        ends = ((0, "0"), (self.group.n_working, "1"))
        missing = [fraction for number, fraction in ends if number not in self.compositions]
        if len(self.compositions) > 1 and missing:
            raise ValueError(
                f"a search at several compositions aims at the hull between the end members, and x = "
                f"{' and x = '.join(missing)} is not among them: add --fraction {' --fraction '.join(missing)}, or "
                "search one composition at a time"
            )

    def fraction(self, n_working: int) -> float:
        """Occupied working-ion sites / all of them."""
        return n_working / self.group.n_working


def _is_neutral(cell: HostSupercell, couple: RedoxCouple, n_working: int) -> bool:
    try:
        cell.n_high(n_working, couple)
    except ValueError:
        return False
    return True
