"""The flow of one configuration: its identity, and what is left of it once a step is finished."""

import pytest
from jobflow import Flow
from valenceflow.flows.campaign import configuration_flow
from valenceflow.flows.campaign_file import read_campaign
from valenceflow.flows.launch import run_folder
from valenceflow.flows.plan import plan_configurations
from valenceflow.flows.retry import next_attempt
from valenceflow.stores.connect import sqlite_stores

ENGINE = "rehearsal:springs"
FIRST, SECOND = "surrogate relax", "relax"


@pytest.fixture
def campaign(tmp_path, write_campaign):
    return read_campaign(write_campaign(tmp_path, end_members=False))


@pytest.fixture
def configuration(campaign):
    return plan_configurations(campaign, ENGINE)[0]


def test_jobs_have_the_uuids_of_the_manifest_and_the_configuration_in_their_metadata(campaign, configuration):
    flow = configuration_flow(campaign, configuration)
    assert [job.uuid for job in flow.jobs] == list(configuration.job_uuids.values())
    for job in flow.jobs:
        assert job.metadata["configuration_id"] == configuration.configuration_id
        assert job.metadata["joint_key"] == configuration.joint_key
        assert job.function_kwargs["intent"].campaign == "small"


def test_both_steps_have_the_mesh_of_the_idealised_supercell(campaign, configuration):
    rule = campaign.protocol.kpoints(campaign.cell.structure.lattice)
    makers = [job.maker for job in configuration_flow(campaign, configuration).jobs]
    assert [maker.input_set_generator.kpoints_mesh for maker in makers] == [rule, rule]


def test_a_finished_first_step_is_not_run_again(campaign, configuration, rehearse, tmp_path):
    """As after an interruption between the steps."""
    first, _ = configuration_flow(campaign, configuration).jobs
    first.hosts.clear()  # taken out of its flow, to run alone
    done = rehearse(Flow([first]), tmp_path)
    docs = done.stores.docs()
    rest = configuration_flow(campaign, configuration, docs)
    assert [job.uuid for job in rest.jobs] == [configuration.job_uuids[SECOND]]
    finished = rehearse(rest, tmp_path, allow_external_references=True)
    assert set(finished.documents) == {SECOND}
    assert finished.documents[SECOND].achieved.relation == "kept"
    assert docs.count({"uuid": configuration.job_uuids[FIRST]}) == 1


@pytest.mark.parametrize(
    "output",
    [
        {"document": "FailureDoc", "step": FIRST},
        {"document": "VaspStepDoc", "step": FIRST, "audit": {"passed": False, "findings": []}},
    ],
    ids=["failed", "unfit"],
)
def test_a_first_step_that_did_not_pass_is_no_start_for_the_second(output, campaign, configuration, tmp_path):
    docs = sqlite_stores(tmp_path / "store.sqlite").docs()
    docs.update([{"uuid": configuration.job_uuids[FIRST], "index": 1, "output": output}], key=["uuid", "index"])
    assert len(configuration_flow(campaign, configuration, docs).jobs) == 2


def test_another_attempt_has_jobs_and_a_folder_of_its_own(campaign, configuration, tmp_path):
    again = next_attempt(configuration, {})
    assert again.attempt == configuration.attempt + 1 == 2
    assert again.configuration_id == configuration.configuration_id
    assert not set(again.job_uuids.values()) & set(configuration.job_uuids.values())
    assert run_folder(tmp_path, again) != run_folder(tmp_path, configuration)
    assert next_attempt(configuration, {}).job_uuids == again.job_uuids
    # A step that passed is not run again: it keeps its job.
    mine = configuration.job_uuids["surrogate relax"]
    passed = {"surrogate relax": {"document": "VaspStepDoc", "audit": {"passed": True}, "uuid": mine}}
    kept = next_attempt(configuration, passed).job_uuids
    assert kept["surrogate relax"] == mine
    assert kept["relax"] == again.job_uuids["relax"]


def test_a_configuration_of_a_changed_campaign_file_is_refused(campaign, configuration, tmp_path, write_campaign):
    changed = read_campaign(write_campaign(tmp_path, protocol="dtu-polyanion"))
    with pytest.raises(ValueError, match="was planned with another host, protocol or supercell"):
        configuration_flow(changed, configuration)
