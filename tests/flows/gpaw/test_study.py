"""The study of examples/demo-dft: which calculations, under which settings, restartable; its tables and data set."""

import importlib
import json
import sys
from pathlib import Path

import pytest
from valenceflow.flows.campaign import unrelaxed
from valenceflow.flows.campaign_file import read_campaign
from valenceflow.flows.plan import plan_configurations
from valenceflow.stores.connect import STORE_FILE, sqlite_stores

ROOT = Path(__file__).parents[3]
DOCS = ROOT / "docs" / "gpaw"
KEYS = ["3.3", "3.5", "3.6", "3.9", "5.3", "5.5", "5.6", "6.3", "6.5", "6.6"]


@pytest.fixture
def example(monkeypatch):
    """Function that imports a module of the example, which is a folder of scripts."""
    monkeypatch.syspath_prepend(str(ROOT / "examples" / "demo-dft"))
    yield importlib.import_module
    for name in ("demo_dft", "results", "study", "study_frames", "study_results"):
        sys.modules.pop(name, None)


def test_every_part_of_the_study_is_planned_and_no_two_calculations_are_one(example):
    study = example("study")
    runs = study.plan(KEYS)
    assert {run.part for run in runs} == set("abcd")
    assert len({run.uuid for run in runs}) == len(runs)
    assert {(r.geometry, r.start) for r in runs if r.part == "b"} == set(study.ROUTES)
    assert {r.key for r in runs if (r.part, r.geometry, r.start) == ("a", "gallium", "ionic d1")} == set(KEYS)
    assert {r.scale_u for r in runs if r.part == "d"} == {False}


def test_starts_and_ionic_steps_are_no_physics_but_cutoff_mesh_and_u_are(example):
    study = example("study")
    hashes = {}
    for run in study.plan(KEYS):
        hashes.setdefault(study.protocol_of(run).hash, set()).add((run.cutoff, run.mesh, run.scale_u))
    assert all(len(settings) == 1 for settings in hashes.values())
    assert len(hashes) == len({(r.cutoff, r.mesh, r.scale_u) for r in study.plan(KEYS)})


@pytest.fixture
def stage(example, write_campaign, tmp_path):
    """The example's modules, a campaign, one ordering with its ideal geometry, and stores."""
    study = example("study")
    campaign = read_campaign(write_campaign(tmp_path, protocol="gpaw-quick"))
    configuration = next(c for c in plan_configurations(campaign, "gpaw") if c.joint_key == "5.6")
    structure, sites = unrelaxed(campaign, configuration)
    point = example("demo_dft").Point(configuration, structure, list(range(len(structure))), sites, 0.0)
    return study, campaign, point, sqlite_stores(tmp_path / STORE_FILE)


def test_a_single_point_is_a_relaxations_first_geometry_and_is_not_run_again(stage, example, fake_gpaw, tmp_path):
    study, campaign, point, stores = stage
    relaxation = study.Run("b", "5.6", "ideal", "atoms", steps=study.STEPS)
    single, other = study.Run("a", "5.6", "ideal", "atoms"), study.Run("a", "5.6", "ideal")
    fake_gpaw()
    study.calculate(relaxation, point, campaign, stores, tmp_path)
    done = study.documents([relaxation, single, other], stores)
    assert set(done) == {relaxation, single}
    job = json.loads(next(tmp_path.glob("runs/*/*/job.json")).read_text())
    assert (job["starts"], job["relax"]["max_steps"], job["relax"]["cell"]) == (["atoms"], study.STEPS, False)
    row = example("study_results").row
    first, last = row(single, point, done[single]), row(relaxation, point, done[relaxation])
    assert first["ordering"] == last["ordering"] == "kept"
    assert first["energy"] == pytest.approx(last["energy"] + 0.1)  # what the stand-in gains in its second step
    assert first["moments"] == [3.75, 4.37, 4.37, 3.75]
    assert [frame["max_force"] for frame in last["frames"]] == [0.5, 0.02]


def test_what_was_killed_is_run_again_and_what_failed_is_told(stage, example, fake_gpaw, tmp_path):
    study, campaign, point, stores = stage
    run = study.Run("a", "5.6", "ideal")
    fake_gpaw("killed")
    study.calculate(run, point, campaign, stores, tmp_path)
    assert study.documents([run], stores) == {}
    fake_gpaw("not converged")
    study.calculate(run, point, campaign, stores, tmp_path)
    found = example("study_results").row(run, point, study.documents([run], stores)[run])
    assert found["ordering"] == "not converged"
    assert (found["iterations"], found["hops"], found["moments"]) == (20, 2, None)


def test_frames_of_a_run_are_taken_with_their_intent(stage, example, fake_gpaw, tmp_path):
    study, campaign, point, stores = stage
    run = study.Run("b", "5.6", "ideal", steps=study.STEPS)
    fake_gpaw("moved")
    study.calculate(run, point, campaign, stores, tmp_path)
    example("study_frames").take_frames({run.uuid: run}, {"5.6": point}, campaign, stores)
    frames = list(stores.collection("frames").query({}))
    assert len(frames) == 2
    assert {(f["engine"], f["protocol_hash"], f["intended_key"]) for f in frames} == {
        ("gpaw", study.protocol_of(run).hash, "5.6")
    }


def test_the_committed_tables_say_what_the_committed_numbers_say(example):
    content = json.loads((DOCS / "study.json").read_text(encoding="utf-8"))
    written = example("study_results").study_text(content["runs"], content["settings"])
    assert written == (DOCS / "study.md").read_text(encoding="utf-8")
