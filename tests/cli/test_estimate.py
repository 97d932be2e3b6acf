"""`run --estimate`: what is missing and what it will cost, with nothing written."""

import json

import pytest
from valenceflow.stores.connect import sqlite_stores

SPRINGS = ("--engine", "rehearsal:springs")
TWO = {"working_ion": {"Na": {"fraction": "1/2", "orderings": {"sample": 1}}}, "charge": {"sample": 2}}


@pytest.fixture
def path(tmp_path, write_campaign):
    """A campaign of two configurations of 26 atoms."""
    return write_campaign(tmp_path, **TWO, end_members=False)


@pytest.fixture
def finished(tmp_path):
    """A store of another campaign with a finished cell of 28 atoms: two minutes and four, on 36 cores."""
    stores = sqlite_stores(tmp_path / "other.sqlite")
    one = {"configuration_id": "a", "engine": SPRINGS[1], "campaign": "other"}
    cost = {step: {"elapsed_s": s, "core_hours": s / 100} for step, s in (("surrogate relax", 120.0), ("relax", 240.0))}
    done = {"calculation_id": "a-1", "state": "completed", "protocol_hash": "of another", "run_statistics": cost}
    stores.collection("configurations").update([{**one, "n_atoms": 28}])
    stores.collection("calculations").update([{**one, **done}])
    stores.close()
    return tmp_path / "other.sqlite"


def test_where_nothing_similar_was_done_it_says_so_and_how_to_learn_it(path, call):
    told = call("run", path, *SPRINGS, "--estimate").out
    assert "small, rehearsal:springs: 2 configurations to run" in told
    assert "no finished calculation of similar size" in told
    assert f"valenceflow run {path} --engine rehearsal:springs --limit 3" in told
    assert not (path.parent / "small").exists()


def test_another_store_tells_what_each_step_costs_and_that_its_protocol_is_another(path, finished, call):
    told = call("run", path, *SPRINGS, "--estimate", "--like", finished).out
    assert "relax: 2 to do, each 2.4 core-hours, 4 min, from 1 finished one, under another protocol" in told
    assert "in all: 7.2 core-hours; 12 min" in told
    plain = json.loads(call("run", path, *SPRINGS, "--estimate", "--like", finished, "--json").out)
    assert plain["configurations"] == 2
    assert plain["steps"]["relax"]["core_hours"] == 2.4
    assert plain["steps"]["surrogate relax"] == {
        "to_do": 2,
        "known": 1,
        "same_protocol": False,
        "elapsed_s": 120.0,
        "core_hours": 1.2,
        "spread_core_hours": None,
    }
