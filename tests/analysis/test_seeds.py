"""Models of several seeds taken together: sums, means, ties, and what is undefined."""

import pytest
from valenceflow.analysis.seeds import over_seeds
from valenceflow.potentials.evaluation.rankings import rank_structures
from valenceflow.potentials.evaluation.scores import Achieved

from .made_up import scores


def one(model, energies, achieved, judges=("moments", "judge"), group="Na2Fe4P4O16 3"):
    ranking = rank_structures(group, "ideal", ["a", "b", "c"], [0.0, 0.2, 0.4], energies, formula_units=4)
    told = [
        Achieved(
            start="ideal", judge=judge, n=3, achieved=achieved if judge == "judge" else 3, undecided=0, unconverged=1
        )
        for judge in judges
    ]
    return scores(model, "mace", True, rankings=[ranking], achieved=told)


def test_seeds_are_summed_and_averaged():
    [found] = over_seeds([one("s0", [0.0, 0.2, 0.4], 3), one("s1", [0.4, 0.2, 0.0], 1)])
    assert (found.kind, found.charge_states, found.start, found.models) == ("mace", True, "ideal", ("s0", "s1"))
    assert (found.judge, found.achieved, found.told, found.unconverged) == ("judge", 4, 6, 2)
    [group] = found.groups
    assert group.n == (3, 3)
    assert (group.spearman, group.kendall, group.undefined) == (pytest.approx(0), pytest.approx(0), 0)
    assert group.lowest_found == 1
    # the second seed: centred energies +0.2, 0, -0.2 against -0.2, 0, 0.2 eV per cell of 4 f.u.
    assert group.mae_centred_mev_per_fu == pytest.approx(1000 * (0 + (0.4 + 0 + 0.4) / 3) / 2 / 4)
    assert found.rows()[0]["seeds"] == 2


def test_a_seed_of_which_nothing_converged_is_counted():
    none = Achieved(start="ideal", judge="bond valences", n=0, achieved=0, undecided=0, unconverged=4)
    [found] = over_seeds([one("s0", [0.0, 0.2, 0.4], 3), scores("s1", "mace", True, achieved=[none])])
    assert found.models == ("s0", "s1")
    assert (found.judge, found.achieved, found.told, found.unconverged) == ("judge", 3, 3, 5)


def test_equal_energies_find_no_lowest_and_have_no_correlation():
    [found] = over_seeds([one("plain", [0.0, 0.0, 0.0], 0, judges=("moments",))])
    [group] = found.groups
    assert (found.judge, group.lowest_found, group.undefined, group.spearman) == ("moments", 0, 1, None)


def test_with_and_without_charge_states_stay_apart_and_working_orderings_stand_first():
    plain = scores("plain", "mace", False, achieved=one("x", [0, 1, 2], 1).achieved)
    found = over_seeds([one("with", [0.0, 0.2, 0.4], 3), plain])
    assert [s.charge_states for s in found] == [False, True]
    assert found[0].groups[0].mae_centred_mev_per_fu is None  # formula units are not known
    with pytest.raises(ValueError, match="needs scores"):
        over_seeds([])
