"""The orderings that a campaign takes: files read and mapped once, strata chosen from each space of orderings.

`ordering_choice` is what the campaign file says, `plan` makes configurations of what is chosen here.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..inputs.orderings.electrostatics import ElectrostaticModel
from ..inputs.orderings.group import Bits, JointKey, count_text, joint_burnside_count, ordering_group
from ..inputs.orderings.identity import key_of, read_structure
from ..inputs.orderings.lowest import SearchProgress, lowest_finder
from ..inputs.orderings.mapping import map_onto
from ..inputs.orderings.spaces import ChargeSpace, Member, WorkingSpace
from ..inputs.orderings.strata import Chosen, LowestFinder, select
from ..inputs.orderings.stratum_names import Stratum
from .campaign_file import Campaign, WorkingIonChoice
from .ordering_choice import OrderingChoice

MAX_CONFIGURATIONS = 50_000
"""Configurations in one campaign: more than any cluster relaxes, few enough to be planned in a minute."""


@dataclass(frozen=True, eq=False)
class ChargeOrdering:
    """One charge ordering of a campaign.

    Attributes
    ----------
    bits : (n_redox,) bool, canonical at its working-ion ordering; None where the order is left free.
    multiplicity : equivalent arrangements at its working-ion ordering.
    strata : what took it.
    """

    bits: Bits | None
    multiplicity: int
    strata: tuple[Stratum, ...]


class OrderingChooser:
    """Chooses a campaign's orderings.

    Parameters
    ----------
    campaign : its file, host and couple.
    engine : whose moments the campaign's files carry, where they carry moments; label windows belong to engines.
    progress : called now and then with (done, to do) by searches for the lowest orderings.

    Raises
    ------
    ValueError
        If a file cannot be read or mapped, has another number of ions than any fraction asks for, or carries no
        charges where they are needed.
    """

    def __init__(self, campaign: Campaign, engine: str, progress: SearchProgress | None = None) -> None:
        """Read and map every file that the campaign names."""
        self.campaign, self.engine, self.group = campaign, engine, ordering_group(campaign.cell)
        self._progress = progress
        self._working_files = self._occupations()
        charge = campaign.file.charge.strata
        self._references = {name: self._charged_key(name, "reference") for name in charge.reference}
        self._charge_files = {name: self._charged_key(name, "file") for name in charge.file}

    def working(self, n_working: int) -> list[Chosen]:
        """Working-ion orderings with so many sites occupied."""
        if n_working in (0, self.group.n_working):
            bits = np.full(self.group.n_working, n_working > 0)
            return [Chosen(Member(bits, 1), ("end member",))]
        space = WorkingSpace(self.group, n_working)
        given: list[tuple[Member, Stratum]] = [
            (space.member(bits), "file") for bits in self._working_files.values() if bits.sum() == n_working
        ]
        selection = self._orderings(n_working).selection(
            "working_ion.orderings.", f"{n_working} {self.campaign.file.ion}"
        )
        self.check_number(min(selection.sample + selection.lowest, space.distinct), "working_ion.orderings")
        return select(space, selection, given, self._find_lowest)

    def charges(self, working: Bits, n_high: int) -> list[ChargeOrdering]:
        """Charge orderings at a canonical working-ion ordering."""
        choice = self.campaign.file.charge
        if n_high in (0, self.group.n_redox):
            return [ChargeOrdering(np.full(self.group.n_redox, n_high > 0), 1, ("end member",))]
        if choice.free:
            return [ChargeOrdering(None, 1, ("free",))]
        space = ChargeSpace.at(self.group, working, n_high)
        if choice.strata.all:
            self.check_number(space.distinct, f"charge: all at one {self.campaign.file.ion} ordering")
        given = [*self._given(space, self._references, "reference"), *self._given(space, self._charge_files, "file")]
        selection = choice.selection("charge.", f"{n_high} {self.campaign.couple.element} high states")
        self.check_number(min(selection.sample + selection.lowest, space.distinct), "charge")
        chosen = select(space, selection, given, self._find_lowest)
        return [ChargeOrdering(one.member.bits, one.member.multiplicity, one.strata) for one in chosen]

    def check_all(self, n_working: int, n_high: int, fraction: object) -> None:
        """Refuse a fraction whose every ordering is asked for and that nobody can plan, at once."""
        file = self.campaign.file
        if n_working in (0, self.group.n_working):
            return
        if file.charge.strata.all and self._orderings(n_working).strata.all:
            count = joint_burnside_count(self.group, n_working, n_high)
            self.check_number(count, f"fraction {fraction} with all {file.ion} and all charge orderings")

    def check_number(self, count: int, what: str) -> None:
        """Refuse more configurations than can be planned."""
        if count > MAX_CONFIGURATIONS:
            raise ValueError(
                f"{what} asks for {count_text(count)} configurations of "
                f"{self.campaign.cell.structure.composition.formula}; at most {MAX_CONFIGURATIONS:,} are planned: "
                "use {sample: N, seed: S}"
            )

    def check_files_used(self, keys: set[str]) -> None:
        """Refuse a file with charges whose working-ion ordering the campaign does not have.

        Parameters
        ----------
        keys : joint keys of what was chosen.
        """
        for field, files in (("reference", self._references), ("file", self._charge_files)):
            for name, key in files.items():
                if str(key) not in keys:
                    raise ValueError(
                        f"charge.{field} {name} has the {self.campaign.file.ion} ordering "
                        f"{str(key).partition('.')[0]}, which is not among those of this campaign; add its fraction, "
                        "or take it as `orderings: {file: ...}`"
                    )

    @cached_property
    def _find_lowest(self) -> LowestFinder:
        return lowest_finder(ElectrostaticModel(self.campaign.cell, self.campaign.couple), self._progress)

    def _given(self, space: ChargeSpace, files: dict[str, JointKey], stratum: Stratum) -> list[tuple[Member, Stratum]]:
        here = [key.charge for key in files.values() if np.array_equal(key.working, space.working)]
        return [(space.member(charge), stratum) for charge in here if charge is not None]

    def _orderings(self, n_working: int) -> OrderingChoice:
        """What the file says of the fraction with so many sites occupied."""
        file, cell = self.campaign.file, self.campaign.cell
        here = [c for c in file.ion_choices if n_working in {cell.n_working(fraction) for fraction in c.fraction}]
        return here[0].orderings

    def _occupations(self) -> dict[str, Bits]:
        """Canonical occupation in each file of `orderings:`; every file must be of a fraction that it is named for."""
        return {
            name: bits
            for choice in self.campaign.file.ion_choices
            for name, bits in self._occupations_of(choice).items()
        }

    def _occupations_of(self, choice: WorkingIonChoice) -> dict[str, Bits]:
        file, cell = self.campaign.file, self.campaign.cell
        asked = {cell.n_working(fraction) for fraction in choice.fraction}
        found = {}
        for name in choice.orderings.strata.file:
            working = map_onto(read_structure(self.campaign.beside(name)), cell).working
            count = int(working.sum())
            if count not in asked:
                wanted = " or ".join(str(number) for number in sorted(asked))
                raise ValueError(f"{name} holds {count} {file.ion} where the fraction asks for {wanted}")
            found[name] = self.group.key(working, None).working
        missing = sorted(asked - {0, self.group.n_working} - {int(bits.sum()) for bits in found.values()})
        if choice.orderings.file and missing:
            raise ValueError(
                f"no file of working_ion.orderings.file holds {missing[0]} {file.ion}; add one or drop the fraction"
            )
        return found

    def _charged_key(self, name: str, what: str) -> JointKey:
        """Joint key of a file that must carry charges."""
        try:
            structure = read_structure(self.campaign.beside(name))
            key = key_of(structure, self.campaign.cell, self.campaign.couple, engine=self.engine)
        except ValueError as err:
            raise ValueError(f"charge.{what} {name}: {err}") from err
        if key.charge is None:
            raise ValueError(f"{name} carries neither oxidation states nor moments: it cannot be the charge {what}")
        return key
