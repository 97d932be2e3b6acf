"""Going on with a configuration: from the store, from a CONTCAR that a killed run left, never twice."""

import gzip
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from jobflow import run_locally
from valenceflow.flows.campaign import configuration_flow
from valenceflow.flows.campaign_file import read_campaign
from valenceflow.flows.plan import plan_configurations
from valenceflow.flows.start_file import START_FILE
from valenceflow.flows.step_document import STEP_FILE
from valenceflow.stores.connect import sqlite_stores
from valenceflow.stores.step_runs import step_runs
from valenceflow.stores.trajectories import step_trajectory

ENGINE = "rehearsal:springs"


@pytest.fixture
def campaign(tmp_path, write_campaign):
    return read_campaign(write_campaign(tmp_path, end_members=False))


@pytest.fixture
def run(campaign, tmp_path, stub_potcars):
    """Function that runs what is left of one configuration; gives its runs by step."""
    document = plan_configurations(campaign, ENGINE)[3]
    stores = sqlite_stores(tmp_path / "store.sqlite")
    folder = tmp_path / "runs" / "c"

    def start():
        flow = configuration_flow(campaign, document, stores.docs(), [folder])
        attempt = folder / "attempt-1"
        attempt.mkdir(parents=True, exist_ok=True)
        run_locally(
            flow,
            store=stores.job_store(),
            create_folders=True,
            root_dir=attempt,
            allow_external_references=True,
            log=False,
        )
        found = step_runs(stores.docs(), document.job_uuids.values())
        return [job.name for job in flow.jobs], {s: found[u] for s, u in document.job_uuids.items() if u in found}

    start.stores, start.folder, start.document = stores, folder, document
    return start


def folder_of(document):
    return Path(document["folder"].split(":", maxsplit=1)[1])


def test_a_finished_first_step_is_not_run_again(run):
    _, before = run()
    run.stores.docs().remove_docs({"uuid": run.document.job_uuids["relax"]})
    jobs, after = run()
    assert jobs == ["relax"]
    assert after["surrogate relax"].documents == before["surrogate relax"].documents
    assert after["relax"].result["energy"] == pytest.approx(before["relax"].result["energy"], abs=1e-6)


def test_a_run_that_was_killed_goes_on_from_its_contcar_and_keeps_its_frames(run):
    _, before = run()
    first = before["surrogate relax"].result
    # As a kill -9 leaves it: outputs as far as they go, a start file, no document anywhere.
    (folder_of(first) / STEP_FILE).unlink()
    run.stores.docs().remove_docs({"uuid": {"$in": list(run.document.job_uuids.values())}})
    relaxed = folder_of(before["relax"].result)
    for path in relaxed.iterdir():
        path.unlink()
    jobs, after = run()
    assert jobs == ["surrogate relax", "relax"]
    result = after["surrogate relax"].result
    assert result["history"]["killed_folder"] == str(folder_of(first))
    assert "went on from the CONTCAR of a run that was killed" in result["history"]["tried"]
    trajectory = step_trajectory(run.stores, run.document.job_uuids["surrogate relax"])
    assert trajectory.origins.count("killed") == first["n_ionic_steps"]
    assert trajectory.origins.count("final") < first["n_ionic_steps"]
    assert result["energy"] == pytest.approx(first["energy"], abs=2e-3)
    assert after["relax"].result["achieved"]["relation"] == "kept"


def test_frames_of_all_runs_that_were_killed_one_after_the_other_are_kept_whatever_the_clocks_say(run):
    """The second one had gone on from the first, and its machine's clock was years behind."""
    _, before = run()
    first = before["surrogate relax"].result
    folder = folder_of(first)
    (folder / STEP_FILE).unlink()
    again = folder.with_name("job_1999-12-31-23-59-59-000000-00000")
    shutil.copytree(folder, again)
    start = json.loads((folder / START_FILE).read_text())
    tried = ["went on from the CONTCAR of a run that was killed"]
    start |= {"order": 2, "history": {**start["history"], "killed_folder": str(folder), "tried": tried}}
    (again / START_FILE).write_text(json.dumps(start))
    os.utime(again / START_FILE, (1.0, 1.0))
    run.stores.docs().remove_docs({"uuid": {"$in": list(run.document.job_uuids.values())}})
    _, after = run()
    result = after["surrogate relax"].result
    assert result["history"]["killed_folder"] == str(again)
    assert len(result["history"]["tried"]) == 2
    trajectory = step_trajectory(run.stores, run.document.job_uuids["surrogate relax"])
    assert trajectory.origins.count("killed") == 2 * first["n_ionic_steps"]


def test_a_run_killed_in_its_first_step_does_not_lose_what_it_had_gone_on_from(run):
    """The first one did all its steps; the second one, going on from it, was killed before its first step was done."""
    _, before = run()
    first = before["surrogate relax"].result
    folder = folder_of(first)
    (folder / STEP_FILE).unlink()
    again = folder.with_name("job_later")
    again.mkdir()
    start = json.loads((folder / START_FILE).read_text())
    start |= {"order": 2, "history": {**start["history"], "killed_folder": str(folder), "tried": ["went on"]}}
    (again / START_FILE).write_text(json.dumps(start))
    (again / "POSCAR").write_bytes(gzip.decompress((folder / "CONTCAR.gz").read_bytes()))
    (again / "CONTCAR").write_text("")
    run.stores.docs().remove_docs({"uuid": {"$in": list(run.document.job_uuids.values())}})
    _, after = run()
    result = after["surrogate relax"].result
    assert "went on from the POSCAR of a run that was killed" in result["history"]["tried"]
    trajectory = step_trajectory(run.stores, run.document.job_uuids["surrogate relax"])
    assert trajectory.origins.count("killed") == first["n_ionic_steps"]
    assert trajectory.origins.count("final") < first["n_ionic_steps"]


@pytest.mark.parametrize("damage", ["no contcar", "empty contcar", "cut off contcar"])
def test_a_run_killed_while_contcar_was_rewritten_goes_on_from_its_last_complete_frame(run, damage):
    _, before = run()
    first = before["surrogate relax"].result
    folder = folder_of(first)
    (folder / STEP_FILE).unlink()
    text = gzip.decompress((folder / "CONTCAR.gz").read_bytes()).decode()
    (folder / "CONTCAR.gz").unlink()
    if damage != "no contcar":
        (folder / "CONTCAR").write_text("" if damage == "empty contcar" else text[: len(text) // 2])
    run.stores.docs().remove_docs({"uuid": {"$in": list(run.document.job_uuids.values())}})
    _, after = run()
    result = after["surrogate relax"].result
    assert "went on from the last complete frame of a run that was killed" in result["history"]["tried"]
    trajectory = step_trajectory(run.stores, run.document.job_uuids["surrogate relax"])
    turn = trajectory.origins.index("final")
    assert turn == first["n_ionic_steps"]
    assert np.allclose(trajectory.frac_coords[turn], trajectory.frac_coords[turn - 1], atol=1e-7)
    assert result["energy"] == pytest.approx(first["energy"], abs=2e-3)
    assert after["relax"].result["achieved"]["relation"] == "kept"


@pytest.mark.parametrize("damage", ["no outputs", "empty start file", "start file of another step"])
def test_what_cannot_be_gone_on_from_begins_anew(run, damage):
    _, before = run()
    folder = folder_of(before["surrogate relax"].result)
    (folder / STEP_FILE).unlink()
    if damage == "no outputs":
        (folder / "CONTCAR.gz").unlink()
        (folder / "vasprun.xml.gz").unlink()
    else:
        (folder / START_FILE).write_text("" if damage == "empty start file" else '{"step": "static"}')
    run.stores.docs().remove_docs({"uuid": {"$in": list(run.document.job_uuids.values())}})
    _, after = run()
    assert after["surrogate relax"].result["history"]["killed_folder"] is None
    assert after["surrogate relax"].passed


@pytest.mark.parametrize("left", ["a run that was cut off", "a run that had ended"])
def test_a_step_that_a_queue_runs_again_in_its_folder_goes_on_from_there(run, campaign, left, monkeypatch):
    _, before = run()
    first = before["surrogate relax"].result
    folder = folder_of(first)
    (folder / "submit.sh").write_text("#!/bin/bash\n")
    if left == "a run that was cut off":
        (folder / STEP_FILE).unlink()
    job, _ = configuration_flow(campaign, run.document).jobs
    monkeypatch.chdir(folder)
    store = run.stores.job_store()
    store.connect()
    document = job.run(store=store).output
    store.close()
    assert document.document == "VaspStepDoc", document
    assert document.audit.passed
    assert (folder / "submit.sh").exists()
    assert (folder / "before-1" / "OUTCAR.gz").exists()
    if left == "a run that was cut off":
        assert document.history.tried == ["went on from the CONTCAR of a run that was killed"]
        assert document.frames.origins.count("killed") == first["n_ionic_steps"]
    else:
        assert document.history.tried == []
        assert document.frames.origins == ["final"] * first["n_ionic_steps"]
    assert document.energy == pytest.approx(first["energy"], abs=2e-3)
