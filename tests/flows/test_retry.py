"""Marking failed configurations for another attempt."""

import pytest
from valenceflow.flows.campaign_file import read_campaign
from valenceflow.flows.manifest import read_manifest
from valenceflow.flows.retry import mark_for_retry, only_engine
from valenceflow.flows.runner import make_folder, plan, prepare
from valenceflow.stores.documents import FailureDoc, StepIntent

ENGINE = "rehearsal:springs"
FIRST = "surrogate relax"


@pytest.fixture
def campaign(tmp_path, write_campaign):
    """A campaign that was started, and of which nothing was run."""
    sodium = {"Na": {"fraction": "1/2", "orderings": {"sample": 1}}}
    found = read_campaign(write_campaign(tmp_path, working_ion=sodium, end_members=False))
    make_folder(found.folder)
    prepare(found, ENGINE, plan(found, ENGINE)).stores.close()
    return found


@pytest.fixture
def fail(campaign):
    """Function that leaves a FailureDoc of a configuration's first step, as a job does whose launcher was killed."""

    def leave(configuration, reason="killed"):
        intent = StepIntent(campaign="small", configuration_id=configuration.configuration_id)
        uuid = configuration.job_uuids[FIRST]
        failure = FailureDoc(
            step=FIRST, uuid=uuid, intent=intent, reason=reason, message="m", remedy="r", exception="e", folder="f"
        )
        stores = prepare(campaign, ENGINE, plan(campaign, ENGINE)).stores
        stores.docs().update(
            [{"uuid": uuid, "index": 1, "output": failure.model_dump(mode="json")}], key=["uuid", "index"]
        )
        stores.close()

    return leave


def test_a_failure_that_its_launcher_did_not_live_to_tell_is_marked_too(campaign, fail):
    first, second, *rest = read_manifest(campaign.folder)
    fail(first)
    (marked,) = mark_for_retry(campaign, ENGINE)
    assert (marked.configuration_id, marked.attempt) == (first.configuration_id, 2)
    assert not set(marked.job_uuids.values()) & set(first.job_uuids.values())
    kept = {c.configuration_id: c.attempt for c in read_manifest(campaign.folder)}
    assert kept == {first.configuration_id: 2, **{c.configuration_id: 1 for c in (second, *rest)}}


def test_what_is_marked_is_not_marked_again_before_it_was_run(campaign, fail):
    first, *_ = read_manifest(campaign.folder)
    fail(first)
    mark_for_retry(campaign, ENGINE)
    with pytest.raises(ValueError, match="no failed configuration"):
        mark_for_retry(campaign, ENGINE)
    assert max(c.attempt for c in read_manifest(campaign.folder)) == 2


def test_reasons_and_configurations_choose(campaign, fail):
    first, second, *_ = read_manifest(campaign.folder)
    fail(first, "killed")
    fail(second, "disk")
    with pytest.raises(ValueError, match="of reason 'vanished'"):
        mark_for_retry(campaign, ENGINE, "vanished")
    (by_reason,) = mark_for_retry(campaign, ENGINE, "disk")
    assert by_reason.configuration_id == second.configuration_id
    (by_id,) = mark_for_retry(campaign, ENGINE, only=[first.configuration_id[:10]])
    assert by_id.configuration_id == first.configuration_id


def test_the_engine_that_ran_is_meant_unless_there_are_several(campaign):
    assert only_engine(campaign) == ENGINE
    prepare(campaign, "vasp", plan(campaign, "vasp")).stores.close()
    assert only_engine(campaign) is None


@pytest.mark.parametrize("reason", ["failed", "killed", "lost", "moved", "audit failed"])
def test_a_reason_that_nothing_has_is_told_from_one_that_is_none(reason, campaign):
    with pytest.raises(ValueError, match="no failed configuration of reason"):
        mark_for_retry(campaign, ENGINE, reason)
    with pytest.raises(ValueError, match="unknown; choose one of"):
        mark_for_retry(campaign, ENGINE, f"{reason}!")


def test_what_finished_with_an_energy_that_is_no_number_is_marked_too(campaign, monkeypatch):
    from valenceflow.flows import retry

    first, *_ = read_manifest(campaign.folder)
    stores = prepare(campaign, ENGINE, plan(campaign, ENGINE)).stores
    document = {"calculation_id": first.calculation_id, "steps": {}, "state": "completed", "relation": "kept"}
    stores.collection("calculations").update([{**document, "energy_per_fu": float("nan")}])
    stores.close()
    monkeypatch.setattr(retry, "build_calculations", lambda *arguments: None)  # no run is behind it
    (marked,) = mark_for_retry(campaign, ENGINE, only=[first.joint_key])
    assert marked.configuration_id == first.configuration_id
