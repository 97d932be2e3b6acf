"""Every searcher on landscapes whose optimum is known; what they have in common."""

from fractions import Fraction

import numpy as np
import pytest
from valenceflow.inputs.orderings.optimum import lowest_working_orderings
from valenceflow.inputs.orderings.ranking import charge_energies
from valenceflow.search.descent import DescentSettings, descent_search
from valenceflow.search.evaluation import Evaluation, ModelEvaluator
from valenceflow.search.genetic import GeneticSettings, genetic_search
from valenceflow.search.hybrid import HybridSettings, hybrid_search
from valenceflow.search.landscapes import Landscape, WorkingOrderings
from valenceflow.search.loop import Observation, run_search
from valenceflow.search.nested import nested_search
from valenceflow.search.record import SearchRecord
from valenceflow.search.space import SearchSpace

SEARCHERS = {
    "hybrid": lambda space, seed=1: hybrid_search(space, HybridSettings(start=20, patience=4, seed=seed)),
    "genetic": lambda space, seed=1: genetic_search(
        space, GeneticSettings(population=40, offspring=20, patience=4, generations=40, seed=seed)
    ),
    "descent": lambda space, seed=1: descent_search(space, DescentSettings(patience=6, seed=seed)),
}
every_searcher = pytest.mark.parametrize("name", SEARCHERS)


class Counted:
    """An evaluator that counts, may fail for some orderings, and may be interrupted."""

    def __init__(self, landscape, fails=lambda key: False, dies_at=None):
        self.landscape, self.fails, self.dies_at, self.asked = landscape, fails, dies_at, []

    @property
    def identity(self):
        return self.landscape.identity

    def __call__(self, keys, tell):
        def told(evaluation):
            if len(self.asked) == self.dies_at:
                raise KeyboardInterrupt
            self.asked.append(str(evaluation.key))
            failed = self.fails(evaluation.key)
            tell(Evaluation(evaluation.key, float("nan"), None, "it exploded") if failed else evaluation)

        self.landscape(keys, told)


def searched(name, space, evaluator, seed=1, folder=None, **options):
    with SearchRecord(evaluator, space.group.n_working, space.group.n_redox, folder, {"seed": seed}) as record:
        return run_search(SEARCHERS[name](space, seed), space, record, **options)


@pytest.fixture(scope="module")
def landscape(half_orderings):
    return Landscape.drawn(half_orderings, "long", 3)


@every_searcher
def test_the_optimum_or_one_of_the_next_is_found_and_nothing_is_evaluated_twice(name, half, landscape):
    counted = Counted(landscape)
    outcome = searched(name, half, counted)
    place = int((landscape.energies[8] < outcome.best[8].energy).sum())
    assert place == 0 if name == "hybrid" else place < 20  # of 456
    assert outcome.converged
    assert len(set(counted.asked)) == len(counted.asked) == outcome.n_evaluations < half.parts[8].distinct


@every_searcher
def test_the_same_seed_gives_the_same_search_and_another_one_another(name, half, landscape):
    runs = [Counted(landscape) for _ in range(3)]
    for counted, seed in zip(runs, (1, 1, 2), strict=True):
        searched(name, half, counted, seed, at_most=60)
    assert runs[0].asked == runs[1].asked != runs[2].asked


@every_searcher
def test_a_killed_search_goes_on_where_it_was_and_ends_the_same(name, half, landscape, tmp_path):
    whole = searched(name, half, Counted(landscape), at_most=90)
    for dies_at in (3, 41):
        with pytest.raises(KeyboardInterrupt):
            searched(name, half, Counted(landscape, dies_at=dies_at), folder=tmp_path / name, at_most=90)
    last = Counted(landscape)
    outcome = searched(name, half, last, folder=tmp_path / name, at_most=90)
    assert len(last.asked) == whole.n_evaluations - 44
    assert outcome.improvements == whole.improvements
    assert outcome.best == whole.best


@every_searcher
def test_failed_evaluations_are_counted_and_never_the_best(name, half, landscape):
    before = searched(name, half, Counted(landscape), at_most=100)
    outcome = searched(name, half, Counted(landscape, fails=lambda key: key == before.best[8].key), at_most=100)
    assert outcome.best[8].key != before.best[8].key
    assert outcome.best[8].counts
    assert outcome.n_failed == 1
    with pytest.raises(ValueError, match=r"none of the first .* the first says: it exploded"):
        searched(name, half, Counted(landscape, fails=lambda key: True))


@every_searcher
def test_a_limit_is_kept_exactly(name, half, landscape):
    outcome = searched(name, half, Counted(landscape), at_most=33)
    assert outcome.n_evaluations == 33
    assert not outcome.converged


@pytest.mark.parametrize("seed", range(3))
def test_all_vertices_of_the_hull_are_found_where_the_composition_is_free(every, every_ordering, seed):
    landscape = Landscape.drawn(every_ordering, "short", seed)
    outcome = searched("hybrid", every, Counted(landscape))
    vertices = landscape.vertices()
    assert len(vertices) >= 2
    assert {n: outcome.best[n].energy for n in vertices} == vertices


def test_compositions_evolve_and_every_operator_has_its_turn(cell, iron):
    space = SearchSpace.of(cell, iron, "ions", [0, Fraction(3, 8), Fraction(1, 2), 1], charges="free")
    landscape = Landscape.drawn(WorkingOrderings.of(space), "short", 5)
    outcome = searched("genetic", space, Counted(landscape), at_most=160)
    assert sorted(outcome.best) == [0, 6, 8, 16]
    operators = {"cut and splice", "permutation", "symmetric permutation", "composition mutation"}
    assert set(outcome.origins.values()) == {"random", *operators}


@pytest.mark.parametrize("name", ["hybrid", "genetic"])
def test_an_end_member_that_fails_ends_a_search_for_a_hull_and_is_named(name, every, every_ordering):
    counted = Counted(Landscape.drawn(every_ordering, "short", 5), fails=lambda key: key.working.all())
    with pytest.raises(ValueError, match="end member x = 1 could not be evaluated"):
        searched(name, every, counted)


@every_searcher
def test_charge_orderings_are_searched_at_one_working_ion_ordering(name, small_cell, iron):
    at = np.array([1, 0, 1, 0, 1, 1, 0, 0], dtype=bool)
    space = SearchSpace.of(small_cell, iron, "charges", at=at)
    outcome = searched(name, space, ModelEvaluator(space.electrostatics))
    assert outcome.best[4].energy == charge_energies(space.electrostatics, space.at)[1].min()


@pytest.mark.parametrize("name", ["genetic", "descent"])
def test_ions_and_charges_are_searched_at_once(name, small_cell, iron):
    space = SearchSpace.of(small_cell, iron, "both", [0.5])
    outcome = searched(name, space, ModelEvaluator(space.electrostatics))
    lowest = [one.energy for one in lowest_working_orderings(space.electrostatics, 4, 3).orderings]
    assert lowest[0] <= outcome.best[4].energy <= lowest[2]
    assert len({key.partition(".")[0] for key in outcome.origins}) > 3


def test_charges_nested_in_the_ions_are_refined_under_the_potential(small_cell, iron):
    """A potential that disagrees with electrostatics about the charges: it prefers those of highest energy."""
    space = SearchSpace.of(small_cell, iron, "ions", [0.5])
    polynomial = space.electrostatics.polynomial

    class Contrary(ModelEvaluator):
        def __call__(self, keys, tell):
            for key in keys:
                tell(Evaluation(key, -float(polynomial.energies(np.concatenate([key.working, key.charge]))), key))

    with SearchRecord(Contrary(space.electrostatics), 8, 8) as record:
        outcome = run_search(nested_search(space, HybridSettings(start=5, patience=1)), space, record)
    best = outcome.best[4]
    assert outcome.origins[str(best.key)] == "charge swap"
    energies = charge_energies(space.electrostatics, best.key.working)[1]
    assert best.energy == -energies.max()


def test_what_came_out_is_learned_and_not_what_was_meant(half, landscape):
    """An evaluator whose orderings all relax into one: the learner may only know that one."""
    search = hybrid_search(half, HybridSettings(start=4, patience=1))
    proposals = next(search)
    one, other = half.sample(8, 2, seed=9)
    came_out = [one, one, other, other]
    again = search.send([Observation(p.candidate, o, e) for p, o, e in zip(proposals, came_out, range(4), strict=True)])
    assert not {p.candidate for p in again} & {one, other, *(p.candidate for p in proposals)}
