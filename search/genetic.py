"""The paper's genetic algorithm (section 4.3) through ase-ga, as a searcher.

Fitness is the relative energy (Eq. 1) ranked within each composition, equal ranks equally fit, chosen by roulette
wheel. Beyond the paper: a candidate whose canonical key is known is not relaxed again, and a generation is filled up
with new ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase_ga.offspring_creator import OperationSelector
from ase_ga.population import RankFitnessPopulation

from .genetic_operators import CompositionMutation, CutAndSplice, Genotype, Permutation, SymmetricPermutation
from .loop import Observation, Proposal, Searcher
from .space import Candidate, SearchSpace

TRIES_PER_OFFSPRING = 10
"""Children made for each that is wanted before a generation is left smaller: most of them were copies of known ones."""


@dataclass(frozen=True)
class GeneticSettings:
    """Settings of the genetic algorithm; the defaults are the paper's (section 4.3 and the authors' scripts).

    Attributes
    ----------
    population : candidates that may become parents, and random ones to start with.
    offspring : new candidates of a generation.
    generations : at most.
    patience : generations in which the best of no composition improves before the search ends.
    cut_and_splice, permutation, composition_mutation, symmetric_permutation : weights of the operators; composition
        mutation is left out where there is one composition.
    symmetry_goal, symmetry_tries : space-group number that the symmetric permutation tries for, and how often before it
        asks for one less. (ase-ga's own 100 and 50 take seconds a call: few orderings of a sublattice get there.)
    seed : of all that is random.
    """

    population: int = 200
    offspring: int = 200
    generations: int = 400
    patience: int = 40
    cut_and_splice: float = 3.0
    permutation: float = 1.0
    composition_mutation: float = 1.0
    symmetric_permutation: float = 1.0
    symmetry_goal: int = 3
    symmetry_tries: int = 10
    seed: int = 0

    def __post_init__(self) -> None:
        """Check what the operators need."""
        if self.population < 2:
            raise ValueError(
                f"population = {self.population} is too small: cut-and-splice pairs two different parents; take at "
                "least 2 (the paper has 200)"
            )
        for name in ("offspring", "generations", "patience", "symmetry_goal", "symmetry_tries"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} = {getattr(self, name)} must be at least 1")
        if min(self.weights) < 0 or not sum(self.weights):
            raise ValueError(f"the weights of the operators {self.weights} must not be negative, and not all zero")

    @property
    def weights(self) -> tuple[float, float, float, float]:
        """Weights of the four operators."""
        return self.cut_and_splice, self.permutation, self.symmetric_permutation, self.composition_mutation


PAPER_2026 = GeneticSettings()
"""arXiv:2603.26471, section 4.3, with the numbers of its authors' scripts."""


def genetic_search(space: SearchSpace, settings: GeneticSettings = PAPER_2026) -> Searcher:
    """The genetic algorithm as a searcher.

    Parameters
    ----------
    space : of any kind; with several compositions both end members must be among them, as relative energies need them.
    settings : see there.

    Raises
    ------
    ValueError
        If the population is smaller than the compositions that it is to hold.
    """
    space.check_end_members()
    if len(space.compositions) == 1 and sum(settings.weights) == settings.composition_mutation:
        raise ValueError(
            "composition mutation is the only operator with a weight, and there is one composition; give another "
            "operator a weight, e.g. cut_and_splice=3, or search several compositions"
        )
    if settings.population < len(space.compositions):
        raise ValueError(
            f"population = {settings.population} is smaller than the {len(space.compositions)} compositions that it is "
            "to hold at once; enlarge it or search fewer"
        )
    return _generations(_Evolution(space, settings), settings)


def _generations(evolution: _Evolution, settings: GeneticSettings) -> Searcher:
    evolution.learn((yield evolution.started()))
    stale = 0
    for _ in range(settings.generations):
        proposals = evolution.offspring()
        if not proposals:
            return
        stale = 0 if evolution.learn((yield proposals)) else stale + 1
        if stale >= settings.patience:
            return


class _Evolution:
    """Candidates with their scores, and the population that ase-ga makes of them."""

    def __init__(self, space: SearchSpace, settings: GeneticSettings) -> None:
        self.space, self.settings = space, settings
        # ase-ga uses numpy's older generator.
        self._random = np.random.RandomState(settings.seed)
        self._genotype = Genotype(space)
        self._distinct = sum(part.distinct for part in space.parts.values())
        self._operators = self._selector()
        self._asked: dict[Candidate, Atoms] = {}
        self._best: dict[int, float] = {}  # lowest energy of every composition, eV
        self._numbers: dict[Candidate, int] = {}
        self._energies: dict[Candidate, float] = {}  # eV per supercell

    def _selector(self) -> OperationSelector:
        genotype, random, settings = self._genotype, self._random, self.settings
        operators = [
            CutAndSplice(genotype, random),
            Permutation(genotype, random),
            SymmetricPermutation(genotype, random, settings.symmetry_goal, settings.symmetry_tries),
            CompositionMutation(genotype, random),
        ]
        weights = list(settings.weights)
        if len(self.space.compositions) == 1:
            weights[-1] = 0.0
        return OperationSelector(weights, operators, rng=random)

    def started(self) -> list[Proposal]:
        """The random candidates to start with, spread evenly over the compositions; end members first."""
        per_composition = -(-self.settings.population // len(self.space.compositions))
        samples = [self.space.sample(n, per_composition, self.settings.seed) for n in self.space.compositions]
        n = self.space.group.n_working
        ends = [one for sample in samples for one in sample if one.n_working in (0, n)]
        others = [s[place] for place in range(per_composition) for s in samples if place < len(s)]
        chosen = list(dict.fromkeys([*ends, *others]))[: self.settings.population]
        for one in chosen:
            self._ask(one, self._genotype.atoms(one))
        return [Proposal(one, "random") for one in chosen]

    def offspring(self) -> list[Proposal]:
        """A generation of new candidates; fewer, or none, where hardly any new one is found."""
        population = RankFitnessPopulation(
            _Relaxed(self._ranked()), self.settings.population, lambda a: a.info["composition"], _SameKey()
        )
        population.rng = self._random  # it takes none, and would use numpy's global one
        population.update()
        proposals: list[Proposal] = []
        if len(population.pop) < 2 or len(self._asked) >= self._distinct:
            return proposals
        for _ in range(TRIES_PER_OFFSPRING * self.settings.offspring):
            child, description = self._operators.get_new_individual(population.get_two_candidates())
            if child is None:
                continue
            candidate = self._genotype.candidate(child)
            if candidate in self._asked:
                continue
            self._ask(candidate, child)
            proposals.append(Proposal(candidate, description.partition(":")[0]))
            if len(proposals) == self.settings.offspring:
                break
        return proposals

    def _ask(self, candidate: Candidate, atoms: Atoms) -> None:
        self._numbers[candidate] = len(self._asked)
        self._asked[candidate] = atoms

    def learn(self, observations: Sequence[Observation]) -> bool:
        """Take in energies; whether the best of any composition improved."""
        before = self._lowest()
        for one in observations:
            if np.isfinite(one.energy):
                self._energies[one.candidate] = one.energy
        self._best = after = self._lowest()
        for number in {0, self.space.group.n_working} & set(self.space.compositions) - set(after):
            raise ValueError(
                f"the end member x = {self.space.fraction(number):g} could not be evaluated: without it there are no "
                "relative energies"
            )
        return any(energy < before.get(n, np.inf) - 1e-9 for n, energy in after.items())

    def _lowest(self) -> dict[int, float]:
        lowest: dict[int, float] = {}
        for one, energy in self._energies.items():
            lowest[one.n_working] = min(energy, lowest.get(one.n_working, np.inf))
        return lowest

    def _ranked(self) -> list[Atoms]:
        """The individuals that can be in the population: as many of each composition as it may hold.

        It takes the best of every composition, then the second best, and so on; what lies beyond the rank at which it
        is full changes nothing, and ase-ga's time grows with the square of their number.
        """
        by_composition: dict[int, list[Candidate]] = {}
        for one in sorted(self._energies, key=lambda c: (self._energies[c], c.name)):
            by_composition.setdefault(one.n_working, []).append(one)
        longest = max(map(len, by_composition.values()), default=0)
        ranks = next(
            (r for r in range(1, longest) if self._held(by_composition, r) >= self.settings.population), longest
        )
        kept = [one for members in by_composition.values() for one in members[:ranks]]
        return [self._individual(one) for one in kept]

    @staticmethod
    def _held(by_composition: dict[int, list[Candidate]], ranks: int) -> int:
        return sum(min(len(members), ranks) for members in by_composition.values())

    def _relative(self, candidate: Candidate) -> float:
        """Energy relative to the end members (Eq. 1), eV per formula unit; at one composition as it is."""
        energy, n = self._energies[candidate], self.space.group.n_working
        if len(self.space.compositions) > 1:
            x = candidate.n_working / n
            energy -= (1 - x) * self._best[0] + x * self._best[n]
        return energy / self.space.cell.formula_units

    def _individual(self, candidate: Candidate) -> Atoms:
        atoms: Atoms = self._asked[candidate].copy()
        number = self._numbers[candidate]
        atoms.info = {
            "key_value_pairs": {"raw_score": -self._relative(candidate)},
            "data": {},
            "confid": number,
            "relax_id": number,
            "composition": candidate.n_working,
            "name": candidate.name,
        }
        return atoms


class _Relaxed:
    """What ase-ga's population asks of its database."""

    def __init__(self, individuals: list[Atoms]) -> None:
        self._individuals = individuals

    def get_all_relaxed_candidates(self, only_new: bool = False, use_extinct: bool = False) -> list[Atoms]:
        """Every individual."""
        return list(self._individuals)

    def get_participation_in_pairing(self) -> tuple[dict[int, int], list[tuple[int, int]]]:
        """Ranked fitness does not look at history."""
        return {}, []


class _SameKey:
    """Two individuals are one if their canonical keys are: ase-ga's own comparators do not see the host's symmetry."""

    def looks_like(self, one: Atoms, other: Atoms) -> bool:
        """Whether they are the same ordering."""
        return bool(one.info["name"] == other.info["name"])
