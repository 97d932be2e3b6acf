"""Going on with a configuration: from the store, from a CONTCAR that a killed run left, never twice."""

import gzip
import json
import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

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


@dataclass
class Configuration:
    """One configuration that was run once: its campaign, its intent, its folder, its stores, its runs by step."""

    campaign: Any
    document: Any
    folder: Path
    stores: Any
    before: dict[str, Any] = field(default_factory=dict)

    def runs(self):
        found = step_runs(self.stores.docs(), self.document.job_uuids.values())
        return {step: found[uuid] for step, uuid in self.document.job_uuids.items() if uuid in found}

    def forget(self):
        """Have no document left, as after a kill -9 before the job's document was stored."""
        self.stores.docs().remove_docs({"uuid": {"$in": list(self.document.job_uuids.values())}})

    def go_on(self):
        """Run what is left; gives the names of the jobs and all runs by step."""
        flow = configuration_flow(self.campaign, self.document, self.stores.docs(), [self.folder])
        attempt = self.folder / "attempt-1"
        attempt.mkdir(parents=True, exist_ok=True)
        run_locally(
            flow,
            store=self.stores.job_store(),
            create_folders=True,
            root_dir=attempt,
            allow_external_references=True,
            log=False,
        )
        return [job.name for job in flow.jobs], self.runs()


@pytest.fixture(scope="module")
def run_once(tmp_path_factory, write_campaign, stub_potcars):
    """Function that gives a configuration after its first run, which is made once: its documents name their folder."""
    root = tmp_path_factory.mktemp("resume")
    here, kept = root / "here", root / "kept"
    here.mkdir()
    campaign = read_campaign(write_campaign(here, end_members=False))
    document = plan_configurations(campaign, ENGINE)[3]

    def opened():
        return Configuration(campaign, document, here / "runs" / "c", sqlite_stores(here / "store.sqlite"))

    opened().go_on()
    shutil.copytree(here, kept)

    def again():
        shutil.rmtree(here)
        shutil.copytree(kept, here)
        configuration = opened()
        configuration.before = configuration.runs()
        return configuration

    return again


@pytest.fixture
def configuration(run_once):
    return run_once()


def folder_of(document):
    return Path(document["folder"].split(":", maxsplit=1)[1])


def test_a_finished_first_step_is_not_run_again(configuration):
    before = configuration.before
    configuration.stores.docs().remove_docs({"uuid": configuration.document.job_uuids["relax"]})
    jobs, after = configuration.go_on()
    assert jobs == ["relax"]
    assert after["surrogate relax"].documents == before["surrogate relax"].documents
    assert after["relax"].result["energy"] == pytest.approx(before["relax"].result["energy"], abs=1e-6)


def test_a_run_that_was_killed_goes_on_from_its_contcar_and_keeps_its_frames(configuration):
    before = configuration.before
    first = before["surrogate relax"].result
    # As a kill -9 leaves it: outputs as far as they go, a start file, no document anywhere.
    (folder_of(first) / STEP_FILE).unlink()
    configuration.forget()
    relaxed = folder_of(before["relax"].result)
    for path in relaxed.iterdir():
        path.unlink()
    jobs, after = configuration.go_on()
    assert jobs == ["surrogate relax", "relax"]
    result = after["surrogate relax"].result
    assert result["history"]["killed_folder"] == str(folder_of(first))
    assert "went on from the CONTCAR of a run that was killed" in result["history"]["tried"]
    trajectory = step_trajectory(configuration.stores, configuration.document.job_uuids["surrogate relax"])
    assert trajectory.origins.count("killed") == first["n_ionic_steps"]
    assert trajectory.origins.count("final") < first["n_ionic_steps"]
    assert result["energy"] == pytest.approx(first["energy"], abs=2e-3)
    assert after["relax"].result["achieved"]["relation"] == "kept"


def test_frames_of_all_runs_that_were_killed_one_after_the_other_are_kept_whatever_the_clocks_say(configuration):
    """The second one had gone on from the first, and its machine's clock was years behind."""
    before = configuration.before
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
    configuration.forget()
    _, after = configuration.go_on()
    result = after["surrogate relax"].result
    assert result["history"]["killed_folder"] == str(again)
    assert len(result["history"]["tried"]) == 2
    trajectory = step_trajectory(configuration.stores, configuration.document.job_uuids["surrogate relax"])
    assert trajectory.origins.count("killed") == 2 * first["n_ionic_steps"]


def test_a_run_killed_in_its_first_step_does_not_lose_what_it_had_gone_on_from(configuration):
    """The first one did all its steps; the second one, going on from it, was killed before its first step was done."""
    before = configuration.before
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
    configuration.forget()
    _, after = configuration.go_on()
    result = after["surrogate relax"].result
    assert "went on from the POSCAR of a run that was killed" in result["history"]["tried"]
    trajectory = step_trajectory(configuration.stores, configuration.document.job_uuids["surrogate relax"])
    assert trajectory.origins.count("killed") == first["n_ionic_steps"]
    assert trajectory.origins.count("final") < first["n_ionic_steps"]


@pytest.mark.parametrize("damage", ["no contcar", "empty contcar", "cut off contcar"])
def test_a_run_killed_while_contcar_was_rewritten_goes_on_from_its_last_complete_frame(configuration, damage):
    before = configuration.before
    first = before["surrogate relax"].result
    folder = folder_of(first)
    (folder / STEP_FILE).unlink()
    text = gzip.decompress((folder / "CONTCAR.gz").read_bytes()).decode()
    (folder / "CONTCAR.gz").unlink()
    if damage != "no contcar":
        (folder / "CONTCAR").write_text("" if damage == "empty contcar" else text[: len(text) // 2])
    configuration.forget()
    _, after = configuration.go_on()
    result = after["surrogate relax"].result
    assert "went on from the last complete frame of a run that was killed" in result["history"]["tried"]
    trajectory = step_trajectory(configuration.stores, configuration.document.job_uuids["surrogate relax"])
    turn = trajectory.origins.index("final")
    assert turn == first["n_ionic_steps"]
    assert np.allclose(trajectory.frac_coords[turn], trajectory.frac_coords[turn - 1], atol=1e-7)
    assert result["energy"] == pytest.approx(first["energy"], abs=2e-3)
    assert after["relax"].result["achieved"]["relation"] == "kept"


@pytest.mark.parametrize("damage", ["no outputs", "empty start file", "start file of another step"])
def test_what_cannot_be_gone_on_from_begins_anew(configuration, damage):
    before = configuration.before
    folder = folder_of(before["surrogate relax"].result)
    (folder / STEP_FILE).unlink()
    if damage == "no outputs":
        (folder / "CONTCAR.gz").unlink()
        (folder / "vasprun.xml.gz").unlink()
    else:
        (folder / START_FILE).write_text("" if damage == "empty start file" else '{"step": "static"}')
    configuration.forget()
    _, after = configuration.go_on()
    assert after["surrogate relax"].result["history"]["killed_folder"] is None
    assert after["surrogate relax"].passed


@pytest.mark.parametrize("left", ["a run that was cut off", "a run that had ended"])
def test_a_step_that_a_queue_runs_again_in_its_folder_goes_on_from_there(configuration, left, monkeypatch):
    before = configuration.before
    first = before["surrogate relax"].result
    folder = folder_of(first)
    (folder / "submit.sh").write_text("#!/bin/bash\n")
    if left == "a run that was cut off":
        (folder / STEP_FILE).unlink()
    job, _ = configuration_flow(configuration.campaign, configuration.document).jobs
    monkeypatch.chdir(folder)
    store = configuration.stores.job_store()
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
