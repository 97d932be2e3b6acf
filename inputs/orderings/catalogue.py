"""What one can ask about the orderings of a supercell at one composition: count, list, rank, optimum, sample, key.

`valenceflow orderings` asks the same by the same names. A catalogue is of the joint orderings of working ions and
charges, of the charge orderings at one working-ion ordering (`at`), or of the working-ion orderings alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property, lru_cache
from math import comb
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike
from pymatgen.core import Structure

from ..charge_states import RedoxCouple, get_couple
from ..fractions import read_fraction
from ..hosts import Host, get_host
from ..supercells import HostSupercell
from .annealing import anneal_charges, anneal_joint
from .electrostatics import ElectrostaticModel
from .energies import EnergyModel
from .group import Bits, JointKey, OrderingGroup, count_text, ordering_group
from .identity import IdentifiedStructure, identify
from .listing import LISTABLE
from .lowest import SearchProgress, lowest_finder
from .optimum import joint_optimum
from .rows import Optimum, OrderingCount, OrderingRow
from .sampling import Weight
from .spaces import ChargeSpace, JointSpace, Member, OrderingSpace, WorkingSpace
from .strata import Selection, select
from .stratum_names import Stratum

Kind = Literal["joint", "charges", "working ions"]

Rows = list[OrderingRow]
"""Inside the class `list` is a method."""


@dataclass(frozen=True, eq=False)
class OrderingCatalogue:
    """The orderings of a supercell at one composition.

    Attributes
    ----------
    cell, couple : the host's supercell and the redox couple.
    n_working : occupied working-ion sites.
    at : (n_working,) bool, the working-ion ordering whose charge orderings are meant; None: every one.
    working_only : the working-ion orderings alone.
    model : the energy model; None: electrostatics.
    """

    cell: HostSupercell
    couple: RedoxCouple
    n_working: int
    at: Bits | None = None
    working_only: bool = False
    model: EnergyModel | None = None

    @classmethod
    def of(
        cls,
        host: Host | str,
        couple: RedoxCouple | str,
        fraction: float | Fraction | str | None = None,
        supercell: Sequence[Any] = (1, 1, 1),
        at: ArrayLike | None = None,
        working_only: bool = False,
        model: EnergyModel | None = None,
    ) -> OrderingCatalogue:
        """A catalogue from names and numbers as in a campaign file.

        Parameters
        ----------
        host, couple : or their names.
        fraction : occupied working-ion sites / all of them; not needed where `at` is given.
        supercell : [na, nb, nc] or a 3x3 matrix.
        at, working_only, model : as in the attributes.

        Raises
        ------
        ValueError
            If a name is unknown, the fraction gives no whole number of ions, or `at` is of another composition.
        """
        cell = HostSupercell.build(get_host(host) if isinstance(host, str) else host, supercell)
        pair = get_couple(couple) if isinstance(couple, str) else couple
        return cls.at_fraction(cell, pair, fraction, at, working_only, model)

    @classmethod
    def at_fraction(
        cls,
        cell: HostSupercell,
        couple: RedoxCouple,
        fraction: float | Fraction | str | None = None,
        at: ArrayLike | None = None,
        working_only: bool = False,
        model: EnergyModel | None = None,
    ) -> OrderingCatalogue:
        """A catalogue of a supercell; parameters and errors as in `of`."""
        if at is not None and working_only:
            raise ValueError("a working-ion ordering was given: its charge orderings are meant, not the working ions'")
        bits = None if at is None else ordering_group(cell).key(np.asarray(at, dtype=bool), None).working
        if fraction is None and bits is None:
            raise ValueError(f"say the fraction of {cell.host.working_ion}")
        n_working = (
            int(bits.sum()) if fraction is None and bits is not None else cell.n_working(read_fraction(fraction))
        )
        if bits is not None and bits.sum() != n_working:
            raise ValueError(
                f"the working-ion ordering has {int(bits.sum())} {cell.host.working_ion} where fraction {fraction} "
                f"asks for {n_working}; leave the fraction out"
            )
        return cls(cell, couple, n_working, bits, working_only, model)

    @property
    def kind(self) -> Kind:
        """What the rows are."""
        return "working ions" if self.working_only else "joint" if self.at is None else "charges"

    @property
    def group(self) -> OrderingGroup:
        """Symmetry group of the supercell."""
        return ordering_group(self.cell)

    @cached_property
    def n_high(self) -> int:
        """High states that neutrality asks for."""
        return self.cell.n_high(self.n_working, self.couple)

    @property
    def fraction(self) -> Fraction:
        """Occupied working-ion sites / all of them."""
        return Fraction(self.n_working, self.group.n_working)

    @cached_property
    def energy_model(self) -> EnergyModel:
        """The model that ranks."""
        return self.model or ElectrostaticModel(self.cell, self.couple)

    @cached_property
    def space(self) -> OrderingSpace:
        """What is counted, listed and ranked."""
        if self.at is not None:
            return ChargeSpace.at(self.group, self.at, self.n_high)
        return self._working_ions if self.working_only else JointSpace(self.group, self.n_working, self.n_high)

    @property
    def _working_ions(self) -> WorkingSpace:
        return WorkingSpace(self.group, self.n_working)

    def count(self) -> OrderingCount:
        """Count orderings by Burnside's lemma, whatever their number."""
        try:
            n_high = self.n_high
        except ValueError:  # not neutral: the working ions can still be counted
            n_high = None
        working = self._working_ions
        joint = None if n_high is None else JointSpace(self.group, self.n_working, n_high)
        return OrderingCount(
            fraction=self.fraction,
            n_working=self.n_working,
            n_high=n_high,
            working_raw=working.raw,
            working_distinct=working.distinct,
            charge_raw=None if n_high is None else comb(self.group.n_redox, n_high),
            charge_distinct=self.space.distinct if self.at is not None else None,
            joint_raw=None if joint is None else joint.raw,
            joint_distinct=None if joint is None else joint.distinct,
        )

    def list(self) -> Iterator[OrderingRow]:
        """Every distinct ordering, ascending by key.

        Raises
        ------
        ValueError
            If there are too many; the count and what to do instead are named.
        """
        if not self.space.is_listable or self.space.distinct > LISTABLE:
            raise ValueError(
                f"{count_text(self.space.distinct)} distinct {self._words} of "
                f"{self.cell.structure.composition.formula} at fraction {self.fraction} are too many to list "
                f"(limit {LISTABLE:,}); {self._instead}"
            )
        return (self._row(member) for member in self.space.members())

    @property
    def _words(self) -> str:
        return {"joint": "orderings", "charges": "charge orderings", "working ions": "working-ion orderings"}[self.kind]

    @property
    def _instead(self) -> str:
        if self.kind == "joint":
            return (
                "list the charge orderings `at` one working-ion ordering, rank the lowest, or take a smaller supercell"
            )
        return "sample them, rank the lowest, or take a smaller supercell"

    def rank(self, how_many: int, progress: SearchProgress | None = None) -> tuple[Rows, bool]:
        """The lowest orderings by the energy model, ties by key.

        A working-ion ordering ranks by its best charge ordering, which its row has too.

        Parameters
        ----------
        how_many : distinct orderings wanted; fewer come back where fewer exist.
        progress : called now and then with (done, to do).

        Returns
        -------
        The rows, and whether they are proven to be the lowest (else they are the best found).
        """
        if how_many < 1:
            raise ValueError(f"how_many = {how_many} must be at least 1")
        find = lowest_finder(self.energy_model, progress)
        found, proven = find(self.space, min(how_many, self.space.distinct))
        if self.working_only:
            return [self._with_best_charges(member) for member in found], proven
        return [self._row(member) for member in found], proven

    def optimum(self, progress: SearchProgress | None = None, seed: int = 0) -> Optimum:
        """The ordering of lowest energy, proven where the space can be visited, else by annealing with its hit rate.

        Parameters
        ----------
        progress : called now and then with (done, to do).
        seed : of the annealing.
        """
        model = self.energy_model
        if self.at is not None:
            if self.space.is_listable:
                rows, _ = self.rank(1)
                return Optimum(rows[0], True, self.space.raw)
            best = anneal_charges(model, self.at, seed=seed, progress=progress)
        else:
            if JointSpace(self.group, self.n_working, self.n_high).is_listable:
                found = joint_optimum(model, self.n_working, progress)
                return Optimum(self._row_of(found.orderings[0].key, found.orderings[0].energy), True, found.n_pairs)
            best = anneal_joint(model, self.n_working, seed=seed, progress=progress)
        return Optimum(self._row_of(best.key, best.energy), False, None, best.hits, best.starts)

    def sample(
        self,
        how_many: int,
        seed: int = 0,
        weight: Weight = "arrangements",
        lowest: int = 0,
        references: Sequence[JointKey] = (),
        progress: SearchProgress | None = None,
    ) -> Rows:
        """A seeded sample that can grow, besides the lowest orderings and references; each ordering is there once.

        Rows with charges have their energy by the model.

        Parameters
        ----------
        how_many : orderings that neither the references nor the lowest have taken.
        seed, weight : of the sample; `arrangements`: each arrangement equally likely, `orbits`: each distinct ordering.
        lowest : so many by the energy model besides.
        references : keys of this catalogue, put first, flagged, and left out of statistics.
        progress : called now and then with (done, to do) by the search for the lowest.

        Raises
        ------
        ValueError
            If more is asked for than there is, or a reference is no member.
        """
        given: Sequence[tuple[Member, Stratum]] = [(self._member(key), "reference") for key in references]
        selection = Selection(
            lowest=lowest, sample=how_many, seed=seed, weight=weight, of=f"this catalogue ({self.kind})"
        )
        chosen = select(self.space, selection, given, lowest_finder(self.energy_model, progress))
        return [self._with_energy(self._row(one.member, one.strata)) for one in chosen]

    def key(self, structure: Structure) -> IdentifiedStructure:
        """Map a structure onto the supercell and find its key; errors as in `identify`."""
        return identify(structure, self.cell, self.couple)

    def _member(self, key: JointKey) -> Member:
        """The member that a reference's key names."""
        fits = key.working.sum() == self.n_working and (self.at is None or np.array_equal(key.working, self.at))
        if not fits or (key.charge is None and not self.working_only):
            raise ValueError(
                f"the reference {key} is no member of this catalogue ({self.kind}): it has other working ions, or no "
                "charges"
            )
        if self.working_only:
            return self.space.member(key.working)
        assert key.charge is not None
        return self.space.member(key.charge if self.at is not None else np.concatenate([key.working, key.charge]))

    def _row(self, member: Member, strata: tuple[Stratum, ...] = ()) -> OrderingRow:
        key = self.space.key(member.bits)
        if key.charge is None:
            return OrderingRow(key, None, member.multiplicity, member.energy, strata)
        working = self._working_multiplicity(key.working.tobytes())
        charges = member.multiplicity // working if self.kind == "joint" else member.multiplicity
        return OrderingRow(key, charges, working, member.energy, strata)

    def _with_energy(self, row: OrderingRow) -> OrderingRow:
        """A row with its energy, unless it has no charges that would give it one."""
        if row.energy is not None or row.key.charge is None:
            return row
        energy = self.energy_model.polynomial.energies(np.concatenate([row.key.working, row.key.charge]))
        return replace(row, energy=float(energy))

    def _with_best_charges(self, member: Member) -> OrderingRow:
        """A ranked working-ion ordering with the charge ordering that gives it its energy."""
        joint = JointSpace(self.group, self.n_working, self.n_high)
        (best,), _ = lowest_finder(self.energy_model)(joint.charges_at(member.bits), 1)
        return OrderingRow(JointKey(member.bits, best.bits), best.multiplicity, member.multiplicity, best.energy)

    def _row_of(self, key: JointKey, energy: float) -> OrderingRow:
        assert key.charge is not None
        charges = self.group.multiplicity(key.working, key.charge)
        return OrderingRow(key, charges, self._working_multiplicity(key.working.tobytes()), energy)

    @cached_property
    def _working_multiplicity(self) -> Callable[[bytes], int]:
        """Arrangements of a working-ion ordering, kept for the many rows that share one."""
        space = self._working_ions
        return lru_cache(maxsize=100_000)(lambda bits: space.multiplicity(np.frombuffer(bits, dtype=bool)))
