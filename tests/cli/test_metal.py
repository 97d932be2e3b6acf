"""The metal reference: run alone on `springs`, found again, tried again, kept apart; voltages refused without it."""

import json
from dataclasses import replace

import pytest
from valenceflow.flows.campaign_file import read_campaign
from valenceflow.flows.metal import find_reference, next_attempt, plan_metal, reference_doc
from valenceflow.stores.connect import sqlite_stores
from valenceflow.stores.documents import FailureDoc, StepIntent
from valenceflow.stores.step_runs import StepRuns

ENGINE = "rehearsal:springs"

pytestmark = pytest.mark.slow  # bcc Na takes 20 x 20 x 20 k-points


@pytest.fixture(scope="module")
def path(tmp_path_factory, write_campaign, shell):
    """A campaign of which the metal alone was run."""
    path = write_campaign(tmp_path_factory.mktemp("metal"), voltages=True)
    answer = shell("run", path, "--engine", ENGINE, "--only", "metal")
    assert answer.code == 0, answer
    assert "0 to run" in answer.out
    assert f"metal reference bcc Na, k-mesh 20 20 20, {ENGINE}: -" in answer.out
    return path


@pytest.fixture
def place(path):
    campaign = read_campaign(path)
    stores = sqlite_stores(campaign.folder / "store.sqlite")
    yield campaign, stores, plan_metal(campaign, ENGINE)
    stores.close()


def test_the_reference_counts_and_no_calculation_was_made(place):
    campaign, stores, plan = place
    found = find_reference(stores, campaign, plan)
    assert found.counts
    assert found.k_mesh == (20, 20, 20)
    assert found.energy_per_atom == pytest.approx(found.step["energy"])
    assert found.of_protocol_hash == campaign.protocol.hash != found.protocol_hash
    assert "frames" not in found.step
    assert stores.collection("calculations").count({}) == 0


def test_it_is_made_again_from_the_store_and_from_its_folder_alone(place, tmp_path):
    campaign, stores, plan = place
    known = find_reference(stores, campaign, plan)
    fresh = sqlite_stores(tmp_path / "store.sqlite")  # a lost store: only run folders are left
    again = find_reference(fresh, campaign, plan)
    assert again.energy_per_atom == known.energy_per_atom
    assert again.counts
    fresh.close()


def test_a_failed_attempt_is_followed_by_another_and_a_stand_in_behind_vasp_does_not_count(place):
    campaign, stores, plan = place
    failure = FailureDoc(
        step="metal", uuid=plan.uuid(1), intent=StepIntent(), reason="vasp error", message="metal: vasp error: x",
        remedy="r", exception="e", folder="f",
    )  # fmt: skip
    failed = reference_doc(plan, StepRuns((failure.model_dump(mode="json"),)), 1)
    assert (failed.counts, failed.energy_per_atom, next_attempt(failed)) == (False, None, 2)
    known = find_reference(stores, campaign, plan)
    stranger = reference_doc(replace(plan, engine="vasp"), StepRuns((known.step,)), 1)
    assert not stranger.counts
    assert "mend vasp_cmd" in stranger.audit.findings[-1].message


def test_status_shows_it(call, path):
    assert f"metal reference bcc Na, k-mesh 20 20 20, {ENGINE}" in call("status", path).out
    (metal,) = json.loads(call("status", path, "--json").out)["small"]["metal_references"]
    assert metal["counts"]


def test_its_inputs_are_written_by_a_dry_run(call, path, tmp_path):
    answer = call("run", path, "--dry-run", tmp_path / "inputs", "--only", "metal")
    assert "1 step written" in answer.out
    assert {file.name for file in (tmp_path / "inputs" / "metal").iterdir()} >= {"INCAR", "KPOINTS", "POSCAR"}
    assert "ISMEAR = 1" in (tmp_path / "inputs" / "metal" / "INCAR").read_text()


def test_it_is_refused_where_the_file_or_the_engine_does_not_have_it(refused, write_campaign, path, tmp_path):
    plain = write_campaign(tmp_path, "plain.yaml")
    assert "add `voltages: true` to plain.yaml" in refused("run", plain, "--engine", ENGINE, "--only", "metal")
    assert "the metal reference is not made for --engine gpaw" in refused("run", path, "--engine", "gpaw")
    assert "has no energy yet; `valenceflow run" in refused("hull", path)
