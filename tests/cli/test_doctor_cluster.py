"""`doctor --launch`: what of a queue is there, and one remedy for each thing that is not."""

import json
import shutil
import sys
from pathlib import Path

import pytest
import yaml
from valenceflow.flows.campaign_file import read_campaign
from valenceflow.flows.queues import remote_checks

SPRINGS = ("--engine", "rehearsal:springs")


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Function that writes a project whose worker is this machine without a scheduler; its queue answers in memory."""
    monkeypatch.setattr("jobflow_remote.SETTINGS.projects_folder", str(tmp_path / "projects"))
    (tmp_path / "projects").mkdir()

    def write(pre_run=f"export PATH={Path(sys.executable).parent}:$PATH", **worker):
        made = {"type": "local", "scheduler_type": "shell", "work_dir": str(tmp_path / "work"), "pre_run": pre_run}
        content = {
            "name": "trial",
            "workers": {"here": {**made, **worker}},
            "queue": {"store": {"type": "MemoryStore", "collection_name": "jobs"}},
        }
        (tmp_path / "projects" / "trial.yaml").write_text(yaml.safe_dump(content))

    return write


@pytest.fixture
def findings(call):
    def run(*arguments):
        return {check["name"]: check for check in json.loads(call("doctor", *arguments, "--json").out)}

    return run


def test_a_worker_that_is_ready_says_what_it_has(project, findings, tmp_path):
    project()
    found = findings("--launch", "remote", *SPRINGS)
    assert found["project"]["found"].startswith("trial, worker here (type local, shell)")
    for name in ("queue database", "scratch on worker here", "versions on worker here"):
        assert found[name]["ok"], found[name]
    assert str(tmp_path / "work") in found["scratch on worker here"]["found"]
    assert not found["runner"]["ok"]
    assert found["runner"]["optional"]


@pytest.mark.parametrize(
    ("asked", "ok", "told"),
    [
        ({"nodes": -1}, False, "nodes = -1 is no whole number of at least 1"),
        ({"n_nodes": 2}, False, "n_nodes"),
        ({}, True, "a step relax asks for what the queue gives by itself"),
    ],
)
def test_what_a_step_asks_for_is_looked_at(asked, ok, told, project, tmp_path, write_campaign):
    project(pre_run="", scheduler_type="slurm")
    campaign = read_campaign(write_campaign(tmp_path, launch={"remote": {"resources": asked}}))
    found = {f.name: f for f in remote_checks.remote_findings(campaign.file.launch.remote, None, campaign, SPRINGS[1])}
    assert found["resources"].ok == ok
    assert told in found["resources"].found


def test_another_version_on_the_worker_is_told(project, findings, monkeypatch):
    project()
    there = remote_checks.version
    monkeypatch.setattr(remote_checks, "version", lambda name: "9.9" if name == "pymatgen" else there(name))
    (check,) = [c for n, c in findings("--launch", "remote", *SPRINGS).items() if n.startswith("versions")]
    assert not check["ok"]
    assert "(here 9.9)" in check["found"]
    assert "pip install" in check["remedy"]


def test_a_worker_without_valenceflow_is_told_what_to_mend(project, findings):
    project(pre_run="export PATH=/usr/bin:/bin; echo noise")
    found = findings("--launch", "remote", *SPRINGS)["environment on worker here"]
    assert not found["ok"]
    assert "not found" in found["found"]
    assert "pre_run" in found["remedy"]


def test_no_project_is_one_finding_with_its_remedy(tmp_path, monkeypatch, findings):
    monkeypatch.setattr("jobflow_remote.SETTINGS.projects_folder", str(tmp_path))
    found = findings("--launch", "remote", *SPRINGS)["project"]
    assert not found["ok"]
    assert "init cluster" in found["remedy"]


@pytest.mark.slow
def test_vasp_is_asked_for_where_jobs_run_and_not_here(project, findings, monkeypatch):
    project()
    monkeypatch.setenv("ATOMATE2_VASP_CMD", "no-such-vasp")
    found = findings("--launch", "remote")
    assert "VASP on worker here" in found, found
    assert not found["VASP on worker here"]["ok"]
    assert all(check["optional"] for name, check in found.items() if name == "VASP")


def test_a_database_that_does_not_answer_shows_no_password(tmp_path, findings, write_campaign):
    (tmp_path / "pad.yaml").write_text(
        'uri_mode: true\nhost: "mongodb://me:geheim@127.0.0.1:9/base?serverSelectionTimeoutMS=200"\nname: base\n'
    )
    path = write_campaign(tmp_path, launch={"fireworks": {"launchpad": "pad.yaml"}})
    found = findings(path, "--launch", "fireworks", *SPRINGS)
    assert not found["LaunchPad"]["ok"]
    assert "geheim" not in json.dumps(found)


@pytest.mark.skipif(shutil.which("sinfo") is not None, reason="there is a scheduler here")
def test_a_machine_without_a_scheduler_is_no_mistake(findings):
    assert findings(*SPRINGS)["scheduler"]["optional"]


def test_the_file_system_under_the_store_is_named(tmp_path, findings, write_campaign):
    from valenceflow.stores.sqlite_file import file_system_type

    found = findings(write_campaign(tmp_path), *SPRINGS)["disk"]
    assert found["found"].startswith(f"{file_system_type(tmp_path)} under {tmp_path}")


def test_an_unknown_queue_is_refused(refused):
    assert "--launch lsf: choose local, remote or fireworks" in refused("doctor", "--launch", "lsf")
