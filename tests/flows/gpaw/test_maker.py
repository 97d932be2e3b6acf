"""Steps on GPAW through the makers: documents, audit, failures and going on, with a stand-in for GPAW itself."""

import json

import pytest
from jobflow import Flow
from valenceflow.flows.gpaw.maker import EVERY_START, GpawStepMaker
from valenceflow.flows.makers import relax_step_maker
from valenceflow.flows.static import StaticMaker, static_maker
from valenceflow.flows.step_files import read_step_file
from valenceflow.flows.two_step import TwoStepRelaxMaker, relax_maker
from valenceflow.flows.vasp_job import ChargeOrderedVaspMaker
from valenceflow.inputs.charge_states import get_couple
from valenceflow.inputs.protocol import load_protocol
from valenceflow.inputs.substitution import charge_sites
from valenceflow.stores.documents import VaspStepDoc

HIGH = (1, 3)


@pytest.fixture(scope="module")
def protocol():
    return load_protocol("gpaw-quick")


@pytest.fixture
def two_steps(half_filled, rehearse, fake_gpaw, tmp_path, protocol):
    """Function that runs both steps; `how` says how GPAW's runs end."""

    def run(how="well", may_fail=False, **fields):
        fake_gpaw(how)
        maker = TwoStepRelaxMaker.from_protocol(protocol)
        for step in (maker.surrogate_relax_maker, maker.relax_maker):
            for name, value in fields.items():
                setattr(step, name, value)
        return rehearse(maker.make(half_filled(high=HIGH)), tmp_path, may_fail=may_fail)

    return run


def test_a_protocol_with_a_gpaw_block_gets_gpaws_maker_and_any_other_vasps(protocol):
    assert isinstance(relax_step_maker("relax", protocol), GpawStepMaker)
    assert isinstance(relax_maker("relax", "gpaw"), GpawStepMaker)
    assert isinstance(static_maker(protocol), GpawStepMaker)
    assert isinstance(relax_maker("relax", protocol.for_engine("vasp")), ChargeOrderedVaspMaker)
    assert isinstance(relax_maker("relax"), ChargeOrderedVaspMaker)


def test_both_steps_leave_the_documents_that_vasps_leave(two_steps, protocol):
    done = two_steps()
    first, second = done.documents["surrogate relax"], done.documents["relax"]
    for document in (first, second):
        assert document.document == "VaspStepDoc"
        assert document.audit.passed, document.audit
        assert (document.engine.name, document.engine.version) == ("gpaw", "22.8.0")
        assert document.protocol_hash == protocol.hash
        assert document.k_mesh == (1, 1, 1)
        assert document.n_ionic_steps == 2
        assert read_step_file(done.folders[document.step] / "valenceflow-step.json.gz").energy == document.energy
    assert first.achieved.relation == "not read"
    assert second.achieved.relation == "kept"
    assert second.achieved.is_high == [False, True, False, True]
    assert "GPAW Fe.paw.PBE 00000000" in second.potcar_titles
    assert second.engine_details["parameters"]["hubbard_u"] == {"Fe": 5.3}
    assert second.engine_details["parameters"]["scale_u"] is True
    assert second.engine_details["starts"][0]["start"] == protocol.gpaw.starts[0]


def test_a_job_names_every_ion_and_neither_step_knows_the_others_moments(two_steps):
    done = two_steps()
    jobs = {step: json.loads((done.folders[step] / "job.json").read_text()) for step in done.folders}
    first, second = jobs["surrogate relax"], jobs["relax"]
    assert sorted(zip(first["symbols"], first["magmoms"], strict=True))[:4] == [("Fe", 4.0)] * 2 + [("Ga", 0.0)] * 2
    assert sorted(m for s, m in zip(second["symbols"], second["magmoms"], strict=True) if s == "Fe") == [4, 4, 5, 5]
    assert (first["redox"]["n_high"], second["redox"]["n_high"]) == (0, 2)
    for job in (first, second):
        assert sum(job["charges"]) == 0
        ions = set(zip(job["symbols"], job["charges"], strict=True))
        assert {("Na", 1.0), ("P", 5.0), ("O", -2.0), ("Fe", 2.0)} <= ions
    assert ("Ga", 3.0) in set(zip(first["symbols"], first["charges"], strict=True))
    assert ("Fe", 3.0) in set(zip(second["symbols"], second["charges"], strict=True))


def test_a_document_survives_the_store(two_steps):
    done = two_steps()
    job_store = done.stores.job_store()
    job_store.connect()
    found = job_store.query_one({"output.step": "relax"}, load=True)["output"]
    frames = found["frames"]
    assert len(frames["energies"]) == 2
    assert frames["magmoms"][-1] == done.documents["relax"].magmoms


def test_a_hopped_order_is_moved_and_never_kept(two_steps):
    second = two_steps("moved").documents["relax"]
    assert second.achieved.relation == "moved"
    assert any(f.code == "ordering" and "high states left" in f.message for f in second.audit.findings)


def test_a_lost_order_is_tried_again_from_every_start_where_that_is_asked(two_steps):
    done = two_steps("moved", on_lost_ordering="retry")
    second = done.documents["relax"]
    assert second.history.rescue == 1
    assert "again from SCF starts ionic, ionic d1" in second.history.tried[0]
    assert [s["start"] for s in second.engine_details["starts"]] == list(EVERY_START)


def test_an_unfinished_relaxation_goes_on_from_its_last_frame_and_fails_the_audit_in_the_end(two_steps):
    done = two_steps("unfinished", max_continuations=1)
    first = done.documents["surrogate relax"]
    assert not first.audit.passed
    assert first.history.continuation == 1
    assert "relax" not in done.documents  # step 2 never starts from a geometry that does not count


def test_a_run_that_stopped_for_its_time_says_so(two_steps):
    first = two_steps("stopped", max_continuations=0).documents["surrogate relax"]
    assert first.stopped
    assert [f.code for f in first.audit.findings if f.severity == "failure"] == ["stopped"]


def test_a_start_that_could_not_be_had_is_a_warning_of_the_audit(two_steps):
    second = two_steps("no ions").documents["relax"]
    warned = [f for f in second.audit.findings if f.code == "scf start"]
    assert second.audit.passed
    assert "cannot start from ions" in warned[0].message


@pytest.mark.parametrize(
    ("how", "reason", "said", "remedy"),
    [
        ("not converged", "not converged", "no SCF start converged", "take more starts"),
        ("missing setup", "missing setup", "missing setup", "gpaw-data"),
        ("crash", "gpaw error", "exit code 1; last line in std_err.txt: RuntimeError", "VALENCEFLOW_GPAW_CMD"),
        ("killed", "killed", "signal 9", "more time or memory"),
        ("silent", "outputs unreadable", "GPAW left no result.json", "read the last lines"),
    ],
)
def test_a_failure_is_a_document_with_reason_and_remedy_and_step_two_never_starts(two_steps, how, reason, said, remedy):
    done = two_steps(how, may_fail=True)
    failure = done.documents["surrogate relax"]
    assert set(done.documents) == {"surrogate relax"}
    assert failure.document == "FailureDoc"
    assert failure.reason == reason
    assert said in failure.message
    assert "\n" not in failure.message + failure.remedy
    assert remedy in failure.remedy


def test_no_gpaw_is_a_failure_with_the_apt_get_line(half_filled, rehearse, monkeypatch, tmp_path, protocol):
    monkeypatch.setenv("VALENCEFLOW_GPAW_CMD", "/no/such/python")
    done = rehearse(TwoStepRelaxMaker.from_protocol(protocol).make(half_filled()), tmp_path, may_fail=True)
    failure = done.documents["surrogate relax"]
    assert failure.reason == "gpaw not found"
    assert "apt-get install" in failure.remedy


def test_ions_that_do_not_sum_to_zero_are_refused_before_anything_runs(half_filled, rehearse, fake_gpaw, tmp_path):
    fake_gpaw()
    protocol = load_protocol("gpaw-quick")
    wrong = protocol.model_copy(update={"gpaw": protocol.gpaw.model_copy(update={"ions": {"Na": 1, "P": 4, "O": -2}})})
    done = rehearse(StaticMaker(static_maker=static_maker(wrong)).make(half_filled()), tmp_path, may_fail=True)
    failure = done.documents["static"]
    assert failure.reason == "inputs refused"
    assert "carry -4 e" in failure.message
    assert not any(done.folders["static"].glob("result.json"))


def test_a_static_calculation_has_one_frame_and_its_own_starts(half_filled, rehearse, fake_gpaw, tmp_path, protocol):
    fake_gpaw()
    maker = static_maker(protocol)
    maker.starts = ("ionic", "ionic d2", "atoms")
    done = rehearse(StaticMaker(static_maker=maker).make(half_filled()), tmp_path)
    document = done.documents["static"]
    assert document.n_ionic_steps == 1
    assert document.audit.passed
    assert [s["start"] for s in document.engine_details["starts"]] == ["ionic", "ionic d2", "atoms"]


def test_a_free_order_starts_from_ions_of_mean_charge(half_filled, rehearse, fake_gpaw, tmp_path, protocol):
    fake_gpaw()
    structure = half_filled()
    sites = charge_sites(structure, get_couple("Fe2+/Fe3+"), free=True, n_high=2)
    maker = GpawStepMaker(name="free relax", step="free relax", protocol=protocol)
    done = rehearse(Flow([maker.make(structure, sites=sites)]), tmp_path)
    job = json.loads((done.folders["free relax"] / "job.json").read_text())
    iron = {(q, m) for s, q, m in zip(job["symbols"], job["charges"], job["magmoms"], strict=True) if s == "Fe"}
    assert iron == {(2.5, 4.5)}
    assert isinstance(done.documents["free relax"], VaspStepDoc)


def test_bader_charges_are_vasps_alone(half_filled, monkeypatch, protocol):
    monkeypatch.setattr("valenceflow.flows.static.which", lambda name: "/usr/bin/bader")
    with pytest.raises(ValueError, match="reads VASP's charge densities"):
        StaticMaker(static_maker=static_maker(protocol), bader=True).make(half_filled())
