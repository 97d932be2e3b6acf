"""Choosing a charge ordering: the lowest is found, nothing is judged twice, budgets hold, a killed search goes on."""

import numpy as np
import pytest
from valenceflow.inputs.charge_states import get_couple
from valenceflow.inputs.hosts import get_host
from valenceflow.inputs.orderings.electrostatics import ElectrostaticModel
from valenceflow.inputs.orderings.group import ordering_group
from valenceflow.inputs.orderings.listing import charge_orbits
from valenceflow.inputs.orderings.ranking import lowest_charge_orderings
from valenceflow.inputs.supercells import HostSupercell

torch = pytest.importorskip("torch", reason="potentials need their extra")

from valenceflow.potentials.open_models import ModelChoice  # noqa: E402
from valenceflow.potentials.ordering_choice import ChoiceSettings, SwapSearch, choose_ordering  # noqa: E402
from valenceflow.potentials.relaxation import RelaxSettings  # noqa: E402

FE = get_couple("Fe2+/Fe3+")
WORKING = np.array([1, 1, 0, 0, 1, 0, 1, 0], dtype=bool)
EVALUATE = RelaxSettings(steps=0)


@pytest.fixture(scope="module")
def cell():
    return HostSupercell.build(get_host("olivine-NaFePO4"), (1, 2, 1))


class Landscape:
    """A judge that counts: electrostatics plus a fixed random pair energy of charges, the same for equivalent ones."""

    def __init__(self, cell, seed=0, weight=3.0):
        self.group, self.model = ordering_group(cell), ElectrostaticModel(cell, FE)
        draw = np.random.default_rng(seed).normal(size=(self.group.n_redox, self.group.n_redox))
        moved = [draw[np.ix_(row, row)] for row in self.group.redox_permutations]
        self.pairs, self.weight, self.asked = weight * np.mean(moved, axis=0), weight, []

    def __call__(self, keys):
        self.asked += keys
        return [
            float(self.model.polynomial.energies(np.concatenate([key.working, key.charge])))
            + float(key.charge @ self.pairs @ key.charge)
            for key in keys
        ]


def search(cell, judge, **settings):
    made = SwapSearch(cell, FE, WORKING, judge, ChoiceSettings(**settings))
    made.run()
    return made


def every_key(cell):
    return lowest_charge_orderings(ElectrostaticModel(cell, FE), WORKING, 10_000).keys


@pytest.mark.parametrize("seed", range(3))
def test_descents_reach_minima_that_no_swap_lowers_and_find_the_lowest_of_all(cell, seed):
    judge = Landscape(cell, seed)
    made = search(cell, judge, candidates=8)
    energies = dict(zip(every_key(cell), Landscape(cell, seed)(every_key(cell)), strict=True))
    assert made.lowest(1)[0][1] == min(energies.values())
    assert len(judge.asked) < len(energies) == made.distinct
    for minimum in made.minima:
        assert all(energies[key] >= energies[minimum] for key in made._neighbours(minimum))


def test_nothing_is_judged_twice_and_equivalent_orderings_are_one(cell):
    judge = Landscape(cell)
    search(cell, judge, candidates=10, starts=5)
    assert len(judge.asked) == len({str(key) for key in judge.asked})
    group = ordering_group(cell)
    assert all(group.key(key.working, key.charge) == key for key in judge.asked)


def test_the_budget_is_kept(cell):
    judge = Landscape(cell)
    made = search(cell, judge, candidates=6, budget=9)
    assert len(judge.asked) == 9
    assert made.left == 0


def test_a_fitted_expansion_proposes_the_second_half_of_the_candidates(cell):
    judge = Landscape(cell, weight=0.0)
    made = search(cell, judge, candidates=20, ranker="expansion", starts=1, budget=20)
    sources = list(made.sources.values())
    assert sources.count("candidate") == 10
    assert 0 < sources.count("expansion") <= 10


def test_the_number_of_orderings_is_that_of_the_list(cell):
    listed = charge_orbits(ordering_group(cell), WORKING, 4)
    assert search(cell, Landscape(cell), candidates=1, budget=1).distinct == len(listed)


@pytest.mark.parametrize("name", ["candidates", "starts", "budget", "finalists"])
def test_settings_that_ask_for_nothing_are_refused(name):
    with pytest.raises(ValueError, match=f"{name} = 0 must be at least 1"):
        ChoiceSettings(**{name: 0})


@pytest.fixture(scope="module")
def chosen(olivine_model, olivine, tmp_path_factory):
    folder = tmp_path_factory.mktemp("choice")
    settings = ChoiceSettings(candidates=2, judging=EVALUATE, relax=RelaxSettings(steps=3, fmax=1e3), finalists=2)
    told = []

    def run(**changes):
        return choose_ordering(
            olivine, FE, [1, 1, 0, 0], ModelChoice((str(olivine_model),)), folder, settings,
            report=lambda what, done, total: told.append(what), **changes,
        )  # fmt: skip

    return run(), told.copy(), run(), told


def test_a_potential_chooses_and_says_best_found_with_its_counts(chosen, olivine):
    found, *_ = chosen
    assert found.status == "best found"
    assert found.distinct == found.n_judged == 4  # the 28-atom cell has no more at this sodium ordering
    assert found.n_relaxed == 2
    assert found.best == found.orderings[0].key
    assert found.energy == min(row.relaxed for row in found.orderings if row.relaxed is not None)
    assert not found.out_of_budget


def test_a_second_run_in_the_same_folder_evaluates_nothing(chosen):
    first, told, second, told_in_all = chosen
    assert second == first
    assert told_in_all == told


def test_a_plain_model_cannot_choose(plain_olivine_model, olivine):
    with pytest.raises(ValueError, match=r"does not know Fe2\+/Fe3\+ apart.*--charge-states"):
        choose_ordering(olivine, FE, [1, 1, 0, 0], ModelChoice((str(plain_olivine_model),)))
