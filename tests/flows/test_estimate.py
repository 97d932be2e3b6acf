"""Estimates come from finished steps of similar size, and from nothing else."""

import pytest
from valenceflow.flows.campaign_file import read_campaign
from valenceflow.flows.estimate import StepCost, estimate
from valenceflow.flows.plan import plan_configurations


@pytest.fixture(scope="module")
def todo(tmp_path_factory, write_campaign):
    path = write_campaign(tmp_path_factory.mktemp("estimate"), end_members=False)
    return plan_configurations(read_campaign(path), "vasp")


def cost(step="relax", n_atoms=26, protocol="p", elapsed_s=3600.0, core_hours=40.0):
    return StepCost(step, n_atoms, protocol, elapsed_s, core_hours)


def test_every_step_is_told_by_itself(todo):
    found = {
        e.step: e for e in estimate(todo, [cost(), cost(core_hours=60.0), cost("surrogate relax", elapsed_s=60.0)])
    }
    assert found["relax"].to_do == found["surrogate relax"].to_do == len(todo)
    assert found["relax"].core_hours == 50.0
    assert found["surrogate relax"].elapsed_s == 60.0
    assert found["relax"].spread is None, "two do not tell how they spread"


def test_cells_of_another_size_tell_nothing(todo):
    found = estimate(todo, [cost(n_atoms=160), cost(n_atoms=13)])
    assert all(step.elapsed_s is None and step.core_hours is None for step in found)


def test_the_same_protocol_is_preferred_and_another_is_said(todo):
    same = cost(protocol=todo[0].protocol_hash, elapsed_s=1.0)
    relax = next(step for step in estimate(todo, [cost(), same]) if step.step == "relax")
    assert (relax.known, relax.same_protocol) == ([same], True)
    relax = next(step for step in estimate(todo, [cost()]) if step.step == "relax")
    assert not relax.same_protocol


def test_ten_tell_how_they_spread(todo):
    known = [cost(core_hours=float(n)) for n in range(1, 12)]
    low, high = next(step for step in estimate(todo, known) if step.step == "relax").spread
    assert 1 <= low < 6 < high <= 11


def test_times_without_cores_give_times_alone(todo):
    relax = next(step for step in estimate(todo, [cost(core_hours=None)]) if step.step == "relax")
    assert (relax.elapsed_s, relax.core_hours) == (3600.0, None)
