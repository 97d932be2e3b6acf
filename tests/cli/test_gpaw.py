"""A campaign on GPAW from the command line, with a stand-in for GPAW itself: run, status, query, retry, rebuild."""

import json
import shlex
import sys
from pathlib import Path

import pytest

FAKE = Path(__file__).parents[1] / "flows" / "gpaw" / "fake_gpaw.py"
GPAW = ("--engine", "gpaw")


@pytest.fixture
def gpaw(monkeypatch):
    """Function that says how GPAW's runs end from now on."""
    from valenceflow.flows.gpaw.command import find_gpaw

    def put(how="well"):
        monkeypatch.setenv("VALENCEFLOW_GPAW_CMD", shlex.join([sys.executable, str(FAKE)]))
        monkeypatch.setenv("FAKE_GPAW", how)
        find_gpaw.cache_clear()

    yield put
    find_gpaw.cache_clear()


@pytest.fixture
def campaign(write_campaign, tmp_path):
    return write_campaign(tmp_path, protocol="gpaw-quick", end_members=False)


@pytest.mark.slow
def test_a_campaign_runs_on_gpaw_and_a_second_run_has_nothing_to_do(call, campaign, gpaw):
    gpaw()
    keys = ("3.3", "5.6")
    only = [word for key in keys for word in ("--only", key)]
    answer = call("run", campaign, *GPAW, *only)
    assert answer.code == 0, answer.err
    found = json.loads(call("query", campaign, "--json").out)
    assert {c["intended_key"] for c in found} == set(keys)
    assert {c["engine"] for c in found} == {"gpaw"}
    assert all(c["state"] == "completed" and c["relation"] == "kept" for c in found)
    again = call("run", campaign, *GPAW, *only)
    assert "0 to run" in again.out
    store = campaign.parent / "small" / "store.sqlite"
    store.unlink()
    assert call("rebuild", campaign).code == 0
    rebuilt = json.loads(call("query", campaign, "--json").out)
    assert [c["energy_per_fu"] for c in rebuilt] == [c["energy_per_fu"] for c in found]


@pytest.mark.slow
def test_a_failure_is_shown_with_its_remedy_and_retried(call, campaign, gpaw):
    gpaw("not converged")
    answer = call("run", campaign, *GPAW, "--only", "3.3")
    assert answer.code == 1
    shown = call("status", campaign)
    assert "not converged" in shown.out
    assert "more starts" in " ".join(shown.out.split())
    gpaw()
    assert call("retry", campaign, *GPAW).code == 0
    assert call("run", campaign, *GPAW, "--only", "3.3").code == 0


def test_without_gpaw_a_run_is_refused_in_one_line_and_doctor_says_how_to_mend_it(refused, call, campaign, gpaw):
    gpaw("no gpaw")
    assert "apt-get install" in refused("run", campaign, *GPAW)
    answer = call("doctor", *GPAW, "--json")
    check = next(c for c in json.loads(answer.out) if c["name"] == "GPAW")
    assert answer.code == 1
    assert not check["ok"]
    assert "apt-get install --no-install-recommends gpaw gpaw-data" in check["remedy"]
    assert "python -m valenceflow.flows.gpaw.build FOLDER" in check["remedy"]
    gpaw()
    fine = next(c for c in json.loads(call("doctor", *GPAW, "--json").out) if c["name"] == "GPAW")
    assert fine["ok"]
    assert fine["found"].startswith("22.8.0 in ")
    gpaw("newer")
    untested = next(c for c in json.loads(call("doctor", *GPAW, "--json").out) if c["name"] == "GPAW")
    assert untested["ok"]
    assert untested["found"].startswith("99.1.0 (SCF starts tested with 22.8.0")
