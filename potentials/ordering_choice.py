"""The best charge ordering of a given working-ion ordering under a potential that knows charge states.

The paper leaves this open (conclusion): the high states have to be arranged anew for every sodium ordering. A cheap
energy model ranks all arrangements, the potential judges the best of them, swaps of a high and a low site descend from
there, and the lowest few are relaxed. Symmetry-equivalent arrangements are one; none is judged twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike
from pydantic import BaseModel, ConfigDict, Field

from ..inputs.charge_states import RedoxCouple
from ..inputs.orderings.electrostatics import ElectrostaticModel
from ..inputs.orderings.energies import EnergyModel
from ..inputs.orderings.expansion import FEWEST, fit_expansion
from ..inputs.orderings.group import Bits, JointKey, burnside_count, checked_bits, ordering_group
from ..inputs.orderings.ranking import lowest_charge_orderings
from ..inputs.supercells import HostSupercell
from .labelling import atoms_of_ordering
from .open_models import ModelChoice
from .relax_many import RelaxJob, relax_many
from .relaxation import Relaxation, RelaxSettings

Ranker = Literal["electrostatics", "expansion"]
Source = Literal["candidate", "expansion", "swap"]

Judge = Callable[[Sequence[JointKey]], list[float]]
"""Energies of orderings, eV per cell; infinity for one that cannot be judged."""

Report = Callable[[str, int, int], None]


@dataclass(frozen=True)
class ChoiceSettings:
    """How an ordering is chosen.

    Attributes
    ----------
    candidates : lowest ones by the cheap model that the potential judges first.
    ranker : `electrostatics`, or `expansion`: after a first half of the candidates a cluster expansion is fitted to the
        potential's energies, and the other half are the lowest by it.
    starts : candidates from which swaps descend.
    budget : judgements at most, before the final relaxations.
    finalists : distinct orderings relaxed in the end.
    judging : relaxation that a judgement is; a few steps at fixed cell, or none.
    relax : the final relaxation.
    """

    candidates: int = 20
    ranker: Ranker = "electrostatics"
    starts: int = 3
    budget: int = 300
    finalists: int = 3
    judging: RelaxSettings = field(default_factory=lambda: RelaxSettings(steps=5, fmax=0.05, relax_cell=False))
    relax: RelaxSettings = field(default_factory=RelaxSettings)

    def __post_init__(self) -> None:
        """Check that there is something to do."""
        for name in ("candidates", "starts", "budget", "finalists"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} = {getattr(self, name)} must be at least 1")


class JudgedOrdering(BaseModel):
    """One charge ordering."""

    model_config = ConfigDict(extra="forbid")
    key: str = Field(description="canonical joint key")
    source: Source
    judged: float = Field(description="energy of the judgement, eV per cell")
    relaxed: float | None = Field(default=None, description="energy after the final relaxation, eV per cell")
    state: str | None = Field(default=None, description="how the final relaxation ended")
    relaxation_id: str | None = Field(default=None, description="document of the final relaxation in the journal")


class OrderingChoice(BaseModel):
    """What a search came to."""

    model_config = ConfigDict(extra="forbid")
    working_key: str
    best: str = Field(description="key of the lowest ordering whose relaxation converged")
    energy: float = Field(description="of it, eV per cell")
    status: Literal["best found"] = "best found"
    model: str
    ranker: Ranker
    distinct: int = Field(description="charge orderings that there are")
    n_judged: int
    n_relaxed: int
    n_descents: int
    minima: list[str] = Field(
        description="keys without a lower neighbour by one swap, where the budget let that be seen"
    )
    out_of_budget: bool
    orderings: list[JudgedOrdering] = Field(description="lowest first; relaxed ones by that energy")


def choose_ordering(
    cell: HostSupercell,
    couple: RedoxCouple,
    working: ArrayLike,
    choice: ModelChoice,
    folder: Path | None = None,
    settings: ChoiceSettings | None = None,
    workers: int = 1,
    report: Report = lambda what, done, total: None,
) -> OrderingChoice:
    """Search the best charge ordering of a working-ion ordering.

    Parameters
    ----------
    cell, couple : the host's supercell and redox couple.
    working : (n_working,) bool, the working-ion ordering.
    choice : the potential; it must know charge states.
    folder : judgements and relaxations are kept here, and the same call goes on after a kill.
    settings : of the search.
    workers : processes.
    report : progress.

    Raises
    ------
    ValueError
        If the potential does not know the couple's states apart, or no relaxation converges.
    """
    told = settings or ChoiceSettings()
    _check_tells_apart(choice, couple)
    bits = checked_bits(working, len(cell.working_sites), "working-ion")

    def relaxed(keys: Sequence[JointKey], how: RelaxSettings, what: str) -> list[Relaxation]:
        jobs = [RelaxJob(str(key), atoms_of_ordering(cell, couple, key)) for key in keys]
        return relax_many(jobs, choice, how, folder, workers, progress=lambda _, done, total: report(what, done, total))

    def judge(keys: Sequence[JointKey]) -> list[float]:
        found = relaxed(keys, told.judging, "judging orderings")
        return [np.inf if result.energy is None else result.energy for result in found]

    search = SwapSearch(cell, couple, bits, judge, told)
    search.run()
    lowest = search.lowest(told.finalists)
    finals = relaxed([key for key, _ in lowest], told.relax, "relaxing the lowest")
    return _result(search, lowest, finals, choice, told)


def _check_tells_apart(choice: ModelChoice, couple: RedoxCouple) -> None:
    known = choice.open().species_map.states.get(couple.element, {})
    numbers = {known.get(state.oxidation_state) for state in (couple.low, couple.high)}
    if None in numbers or len(numbers) < 2:
        raise ValueError(
            f"{choice.title} does not know {couple.name} apart, so every charge ordering has one energy; take a model "
            "trained with --charge-states"
        )


class SwapSearch:
    """Candidates of a cheap model, then descents by swaps; every distinct ordering is judged once.

    Parameters
    ----------
    cell, couple, working : whose charge orderings.
    judge : the expensive energy.
    settings : of the search.
    """

    def __init__(
        self, cell: HostSupercell, couple: RedoxCouple, working: Bits, judge: Judge, settings: ChoiceSettings
    ) -> None:
        self.cell, self.couple, self.settings = cell, couple, settings
        self.group = ordering_group(cell)
        self.working = self.group.key(working, None).working
        self.judged: dict[JointKey, float] = {}
        self.sources: dict[JointKey, Source] = {}
        self.minima: list[JointKey] = []
        self.n_descents = 0
        self._judge = judge

    @property
    def distinct(self) -> int:
        """Charge orderings that there are."""
        n_high = self.cell.n_high(int(self.working.sum()), self.couple)
        return burnside_count(self.group.stabiliser(self.working), n_high)

    @property
    def left(self) -> int:
        """Judgements that the budget still has."""
        return self.settings.budget - len(self.judged)

    def run(self) -> None:
        """Judge candidates, then descend from the lowest of them."""
        model: EnergyModel = ElectrostaticModel(self.cell, self.couple)
        number = min(self.settings.candidates, self.distinct)
        if self.settings.ranker == "expansion" and number >= 2 * FEWEST:
            self._judge_new(lowest_charge_orderings(model, self.working, number - number // 2).keys, "candidate")
            model = self._expansion()
            ranked = lowest_charge_orderings(model, self.working, number).keys
            self._judge_new([key for key in ranked if key not in self.judged][: number // 2], "expansion")
        else:
            self._judge_new(lowest_charge_orderings(model, self.working, number).keys, "candidate")
        for key, _ in self.lowest(self.settings.starts):
            if self.left > 0:
                self._descend(key)

    def lowest(self, how_many: int) -> list[tuple[JointKey, float]]:
        """The lowest judged orderings, ties by key."""
        return sorted(self.judged.items(), key=lambda found: (found[1], str(found[0])))[:how_many]

    def _expansion(self) -> EnergyModel:
        known = [(key, energy) for key, energy in self.judged.items() if np.isfinite(energy)]
        charges = np.array([key.charge for key, _ in known])
        energies = [energy for _, energy in known]
        return fit_expansion(self.cell, self.couple, self.working, charges, energies)

    def _judge_new(self, keys: Sequence[JointKey], source: Source) -> None:
        """Judge those that were not, as far as the budget goes."""
        new = [key for key in dict.fromkeys(keys) if key not in self.judged][: max(0, self.left)]
        for key, energy in zip(new, self._judge(new) if new else [], strict=True):
            self.judged[key], self.sources[key] = energy, source

    def _descend(self, start: JointKey) -> None:
        """Go to the lowest neighbour until there is none below."""
        self.n_descents += 1
        here = start
        while here not in self.minima:
            neighbours = list(dict.fromkeys(self._neighbours(here)))
            self._judge_new(neighbours, "swap")
            seen = [key for key in neighbours if key in self.judged]
            best = min(seen, key=lambda key: (self.judged[key], str(key)), default=here)
            if self.judged[best] < self.judged[here]:
                here = best
                continue
            if len(seen) == len(neighbours):
                self.minima.append(here)
            return

    def _neighbours(self, key: JointKey) -> Iterator[JointKey]:
        """Every ordering that one swap of a high and a low site makes."""
        assert key.charge is not None  # of charge orderings
        for high in np.flatnonzero(key.charge):
            for low in np.flatnonzero(~key.charge):
                swapped = key.charge.copy()
                swapped[high], swapped[low] = False, True
                yield self.group.key(key.working, swapped)


def _result(
    search: SwapSearch,
    lowest: Sequence[tuple[JointKey, float]],
    finals: Sequence[Relaxation],
    choice: ModelChoice,
    told: ChoiceSettings,
) -> OrderingChoice:
    relaxed = {key: found for (key, _), found in zip(lowest, finals, strict=True)}
    good = {key: found.energy for key, found in relaxed.items() if found.state == "converged" and found.energy}
    if not good:
        states = ", ".join(found.state for found in finals)
        raise ValueError(
            f"none of the {len(finals)} lowest orderings relaxed ({states}); allow more --steps, or take a better model"
        )
    best = min(good, key=lambda key: (good[key], str(key)))
    rows = [
        _row(search, key, energy, relaxed.get(key))
        for key, energy in search.lowest(len(search.judged))
        if np.isfinite(energy)
    ]
    rows.sort(key=lambda row: (row.relaxed is None, row.relaxed if row.relaxed is not None else row.judged))
    return OrderingChoice(
        working_key=str(search.group.key(search.working, None)).partition(".")[0],
        best=str(best),
        energy=good[best],
        model=choice.title,
        ranker=told.ranker,
        distinct=search.distinct,
        n_judged=len(search.judged),
        n_relaxed=len(finals),
        n_descents=search.n_descents,
        minima=[str(key) for key in search.minima],
        out_of_budget=search.left <= 0 and len(search.judged) < search.distinct,
        orderings=rows,
    )


def _row(search: SwapSearch, key: JointKey, judged: float, final: Relaxation | None) -> JudgedOrdering:
    about: dict[str, Any] = {"key": str(key), "source": search.sources[key], "judged": judged}
    if final is not None:
        about |= {"relaxed": final.energy, "state": final.state, "relaxation_id": final.relaxation_id}
    return JudgedOrdering(**about)
