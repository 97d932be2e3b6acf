"""A campaign on GPAW: the same file, plan, inputs, preflight and doctor as on VASP, under identities of its own."""

import json

import pytest
from valenceflow.flows.campaign import configuration_flow, configuration_jobs
from valenceflow.flows.campaign_file import read_campaign
from valenceflow.flows.dry_run import write_inputs
from valenceflow.flows.engines import check_fault, engine_name
from valenceflow.flows.gpaw.maker import GpawStepMaker
from valenceflow.flows.plan import plan_configurations
from valenceflow.flows.preflight import check_engine, worker_environment
from valenceflow.flows.registration import campaign_doc
from valenceflow.flows.vasp_job import ChargeOrderedVaspMaker
from valenceflow.inputs.protocol import load_protocol


@pytest.fixture
def campaign(write_campaign, tmp_path):
    return read_campaign(write_campaign(tmp_path))


def test_the_same_file_is_planned_for_both_engines_under_different_identities(campaign):
    vasp, gpaw = (plan_configurations(campaign, engine) for engine in ("vasp", "gpaw"))
    assert [c.joint_key for c in vasp] == [c.joint_key for c in gpaw]
    assert not {c.configuration_id for c in vasp} & {c.configuration_id for c in gpaw}
    assert {c.protocol_hash for c in vasp} == {campaign.protocol.hash}
    assert {c.protocol_hash for c in gpaw} == {load_protocol("gpaw").hash}


def test_a_file_that_names_gpaws_protocol_is_the_papers_on_vasp(write_campaign, tmp_path):
    paper = read_campaign(write_campaign(tmp_path, "paper.yaml"))
    mapped = read_campaign(write_campaign(tmp_path, "mapped.yaml", protocol="gpaw"))
    ids = [[c.configuration_id for c in plan_configurations(c, "vasp")] for c in (paper, mapped)]
    assert ids[0] == ids[1]


def test_a_configuration_is_run_by_the_engine_that_it_was_planned_for(campaign):
    for engine, kind in (("vasp", ChargeOrderedVaspMaker), ("gpaw", GpawStepMaker)):
        document = next(c for c in plan_configurations(campaign, engine) if "surrogate relax" in c.job_uuids)
        makers = [maker for maker, _, _ in configuration_jobs(campaign, document)]
        assert [type(maker) for maker in makers] == [kind, kind]
        flow = configuration_flow(campaign, document)
        assert [job.uuid for job in flow.jobs] == list(document.job_uuids.values())


def test_limits_of_the_campaign_file_reach_gpaws_makers(write_campaign, tmp_path):
    launch = {"wall_time_minutes": 30, "max_continuations": 2}
    campaign = read_campaign(write_campaign(tmp_path, launch=launch, on_lost_ordering="retry", protocol="gpaw-quick"))
    document = plan_configurations(campaign, "gpaw")[-1]
    for maker, _, _ in configuration_jobs(campaign, document):
        assert (maker.wall_time_s, maker.max_continuations, maker.on_lost_ordering) == (1800, 2, "retry")
        assert maker.k_mesh == (1, 1, 1)


def test_a_dry_run_writes_every_job(campaign, tmp_path):
    folder = tmp_path / "inputs"
    written = write_inputs(campaign, "gpaw", folder, limit=3)
    jobs = sorted(folder.glob("*/*/job.json"))
    assert len(jobs) == written.steps >= 3
    content = json.loads(jobs[0].read_text())
    assert content["parameters"]["cutoff_ev"] == 520
    assert content["parameters"]["k_mesh"] == [3, 4, 6]
    assert sum(content["charges"]) == 0


def test_the_campaigns_document_holds_the_protocol_as_gpaw_read_it(campaign):
    document = campaign_doc(campaign, "gpaw", 1)
    assert document.protocol["gpaw"]["starts"] == list(load_protocol("gpaw").gpaw.starts)
    assert document.protocol_hash == load_protocol("gpaw").hash
    assert campaign_doc(campaign, "vasp", 1).protocol["gpaw"] is None


def test_preflight_names_what_is_missing_in_one_line(campaign, fake_gpaw):
    fake_gpaw()
    check_engine(campaign, "gpaw")
    assert worker_environment(campaign, "gpaw") == {}
    fake_gpaw("no gpaw")
    with pytest.raises(ValueError, match=r"has no GPAW: .*apt-get install"):
        check_engine(campaign, "gpaw")


def test_an_element_whose_ion_is_not_known_is_refused_before_anything_runs(write_campaign, tmp_path, fake_gpaw):
    fake_gpaw()
    own = tmp_path / "own.yaml"
    own.write_text("extends: gpaw\ngpaw: {ions: {P: null}}\n", encoding="utf-8")
    campaign = read_campaign(write_campaign(tmp_path, protocol="own.yaml"))
    with pytest.raises(ValueError, match=r"which ion P is.*gpaw: \{ions: \{P: CHARGE\}\}"):
        check_engine(campaign, "gpaw")


def test_no_fault_can_be_injected_into_gpaw():
    assert engine_name("gpaw") == "gpaw"
    with pytest.raises(ValueError, match="only be injected into a rehearsal"):
        check_fault("gpaw", "spin-flip")
