"""A campaign's folder after somebody was in it: manifest edited, run folders gone, another POTCAR. Nothing is lost."""

import json
import shutil

import pytest
from atomate2 import SETTINGS as ATOMATE2_SETTINGS
from pymatgen.core import SETTINGS as PYMATGEN_SETTINGS
from valenceflow.flows.campaign_file import read_campaign
from valenceflow.flows.plan import step_uuid
from valenceflow.flows.potcar_release import check_release, recorded_titles
from valenceflow.flows.runner import plan, prepare
from valenceflow.inputs.protocol import load_protocol
from valenceflow.stores.connect import sqlite_stores

SPRINGS = ("--engine", "rehearsal:springs")


@pytest.fixture
def copied(campaign_begun, tmp_path):
    """The campaign in a folder of its own."""
    shutil.copytree(campaign_begun.parent, tmp_path / "copy")
    return tmp_path / "copy" / campaign_begun.name


@pytest.fixture
def edit(copied):
    """Function that edits the manifest by hand; gives the entry that was edited."""
    manifest = copied.parent / "small" / "manifest.json"

    def change(which=0, **fields):
        content = json.loads(manifest.read_text())
        entry = content["configurations"][which]
        for name, value in fields.items():
            entry[name] = value(entry[name]) if callable(value) else value
        manifest.write_text(json.dumps(content))
        return entry

    return change


def contents(path):
    """Every file of the campaign but what SQLite and the lock leave beside theirs."""
    files = (file for file in sorted((path.parent / "small").rglob("*")) if file.is_file())
    return {file: file.read_bytes() for file in files if not file.name.endswith(("-wal", "-shm", "lock"))}


def another_uuid(uuids):
    return dict.fromkeys(uuids, "00000000-0000-0000-0000-000000000000")


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"job_uuids": another_uuid}, "job_uuids[surrogate relax]"),
        ({"job_uuids": lambda uuids: dict(list(uuids.items())[:1])}, "job_uuids"),
        ({"charge_bits": lambda bits: bits[1:] + bits[:1]}, "charge_bits"),
        ({"working_bits": lambda bits: bits[1:] + bits[:1]}, "working_bits"),
        ({"joint_key": "3.3"}, "joint_key"),
        ({"engine": "vasp"}, "engine"),
        ({"attempt": 3}, "job_uuids[relax]"),
    ],
    ids=["uuid", "a step gone", "charges", "sodium", "key", "engine", "attempt"],
)
def test_a_manifest_that_was_edited_by_hand_is_refused_with_the_field(changes, field, copied, edit, refused):
    edit(**changes)
    before = contents(copied)
    for command in (("run", *SPRINGS), ("retry", *SPRINGS)):
        said = refused(command[0], copied, *command[1:])
        assert f"manifest.json: {field} of configuration" in said
        assert "put the file back" in said
    assert contents(copied) == before


def test_two_configurations_cannot_share_a_job(copied, edit, refused):
    """As after copying an entry: the second would be given the result of the first."""
    first = edit(0)
    edit(1, job_uuids=first["job_uuids"])
    for command in (("run", *SPRINGS), ("rebuild",)):
        assert "job_uuids[surrogate relax]" in refused(command[0], copied, *command[1:])


def test_a_configuration_that_the_campaign_does_not_plan_is_left_alone(copied, call):
    manifest = copied.parent / "small" / "manifest.json"
    content = json.loads(manifest.read_text())
    stranger = {**content["configurations"][0], "configuration_id": "f" * 16}
    stranger["job_uuids"] = {step: step_uuid("small", "f" * 16, step, 1) for step in stranger["job_uuids"]}
    content["configurations"].append(stranger)
    manifest.write_text(json.dumps(content))
    assert " 0 to run" in call("run", copied, *SPRINGS, "--only", content["configurations"][0]["joint_key"]).out
    kept = json.loads(manifest.read_text())["configurations"]
    assert [c["configuration_id"] for c in kept].count("f" * 16) == 1


def test_a_deleted_manifest_costs_no_attempt(copied, call):
    """A retry has raised the attempt; what is to be run again is in the store, too."""
    stores = sqlite_stores(copied.parent / "small" / "store.sqlite")
    calculation = stores.collection("calculations").query_one({})
    stores.collection("calculations").update({**calculation, "state": "audit failed"})
    stores.close()
    assert call("retry", copied, *SPRINGS).code == 0
    manifest = copied.parent / "small" / "manifest.json"
    before = {c["configuration_id"]: c for c in json.loads(manifest.read_text())["configurations"]}
    manifest.unlink()
    campaign = read_campaign(copied)
    prepared = prepare(campaign, SPRINGS[1], plan(campaign, SPRINGS[1]))
    prepared.stores.close()
    assert calculation["configuration_id"] in {c.configuration_id for c in prepared.todo}
    after = {c["configuration_id"]: c for c in json.loads(manifest.read_text())["configurations"]}
    assert after == before
    assert after[calculation["configuration_id"]]["attempt"] == 2


@pytest.mark.parametrize("gone", ["runs", "a run folder", "its outputs", "its step file"])
def test_finished_work_does_not_need_its_run_folders(gone, copied, call):
    runs = copied.parent / "small" / "runs"
    (job, *_) = sorted(runs.glob("*/*/*"))
    if gone == "runs":
        shutil.rmtree(runs)
    elif gone == "a run folder":
        shutil.rmtree(job)
    else:
        for file in job.iterdir():
            if file.name.startswith("valenceflow") is (gone == "its step file"):
                file.unlink()
    before = store_contents(copied)
    key = next(iter(before.values()))["intended_key"]
    assert " 0 to run" in call("run", copied, *SPRINGS, "--only", key).out
    assert call("status", copied).code == 0
    assert len(json.loads(call("query", copied, "--json").out)) == 1
    rebuilt = json.loads(call("rebuild", copied, "--json").out)
    assert rebuilt["jobs"]["added"] == rebuilt["calculations"] == 0
    assert store_contents(copied) == before


def store_contents(path):
    stores = sqlite_stores(path.parent / "small" / "store.sqlite")
    found = {c["calculation_id"]: c for c in stores.collection("calculations").query({})}
    stores.close()
    return found


@pytest.mark.parametrize("campaign", ["small", "another of this store"])
def test_potcars_of_another_release_than_was_used_are_refused(copied, refused, monkeypatch, stub_potcars, campaign):
    """PMG_VASP_PSP_DIR was pointed elsewhere between two runs; the protocol names no dates."""
    monkeypatch.setattr(ATOMATE2_SETTINGS, "VASP_CMD", "false")
    monkeypatch.setitem(PYMATGEN_SETTINGS, "PMG_VASP_PSP_DIR", str(stub_potcars))
    recorded = {"engine": {"name": "vasp"}, "potcar_titles": ["PAW_PBE Fe_pv 06Sep2000", "PAW_PBE P 06Sep2000"]}
    recorded["protocol_hash"] = load_protocol("paper-2026").hash
    stores = sqlite_stores(copied.parent / "small" / "store.sqlite")
    stores.docs().update({"uuid": "x", "index": 1, "metadata": {"campaign": campaign}, "output": recorded})
    stores.close()
    before = contents(copied)
    said = refused("run", copied, "--engine", "vasp")
    assert "POTCAR Fe_pv is 'PAW_PBE Fe_pv " in said
    assert "store.sqlite used 'PAW_PBE Fe_pv 06Sep2000'" in said
    assert "point PMG_VASP_PSP_DIR back" in said
    assert contents(copied) == before


def test_the_same_release_is_gone_on_with(copied, stub_potcars):
    with sqlite_stores(copied.parent / "small" / "store.sqlite").job_store() as job_store:
        titles = job_store.docs_store.query_one({"output.document": "VaspStepDoc"})["output"]["potcar_titles"]
    stores = sqlite_stores(copied.parent / "small" / "store.sqlite")
    protocol = load_protocol("paper-2026").hash
    assert recorded_titles(stores, protocol, SPRINGS[1]) >= set(titles)
    check_release(stores, protocol, SPRINGS[1], ["Na_pv", "Fe_pv", "Ga_d", "P", "O"], "PBE_54")
    stores.close()
