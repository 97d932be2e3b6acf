"""What custodian may do to a run of ours."""

from custodian.vasp.handlers import VaspErrorHandler
from jobflow import run_locally
from monty.json import MontyDecoder, jsanitize
from valenceflow.flows.custody import BREAK_THE_PROTOCOL, CRASHING, GOOD_RUNS_KILLED, WALL_CLOCK, patient_custodian
from valenceflow.flows.rehearsal.command import rehearsal_command
from valenceflow.flows.two_step import TwoStepRelaxMaker
from valenceflow.stores.connect import sqlite_stores
from valenceflow.stores.step_runs import step_runs

LEFT_OUT = {*BREAK_THE_PROTOCOL, *GOOD_RUNS_KILLED, *CRASHING}


def test_corrections_that_leave_the_protocol_are_left_out_and_no_others():
    (handler,) = [h for h in patient_custodian()["handlers"] if isinstance(h, VaspErrorHandler)]
    assert set(VaspErrorHandler.error_msgs) - set(handler.errors_subset_to_catch) == LEFT_OUT
    assert set(VaspErrorHandler.error_msgs) >= LEFT_OUT, "custodian renamed a message"


def test_the_choice_survives_being_sent_to_a_worker():
    back = MontyDecoder().process_decoded(jsanitize(patient_custodian(), strict=True))
    (handler,) = [h for h in back["handlers"] if isinstance(h, VaspErrorHandler)]
    assert "triple_product" not in handler.errors_subset_to_catch
    assert "edddav" in handler.errors_subset_to_catch


def surrogate_of(tmp_path, structure, fault=None, steps=None, **run_vasp):
    command = rehearsal_command("springs", fault=fault, steps=steps)
    maker = TwoStepRelaxMaker()
    for step in (maker.surrogate_relax_maker, maker.relax_maker):
        step.run_vasp_kwargs |= {"vasp_cmd": command, "vasp_gamma_cmd": command, **run_vasp}
    flow = maker.make(structure)
    stores = sqlite_stores(tmp_path / "store.sqlite")
    run_locally(flow, store=stores.job_store(), create_folders=True, root_dir=tmp_path, log=False)
    return step_runs(stores.docs(), flow.job_uuids)[flow.jobs[0].uuid]


def test_a_restart_by_custodian_keeps_the_frames_before_it_and_flags_what_changed(stub_potcars, half_filled, tmp_path):
    runs = surrogate_of(tmp_path, half_filled(), "zbrent@once")
    assert runs.passed
    assert any(change.startswith("EDIFF") for change in runs.result["protocol_drift"])
    assert [f["code"] for f in runs.result["audit"]["findings"] if f["severity"] == "warning"] == ["drift"]


def test_an_error_that_only_a_broken_protocol_would_mend_is_a_failure(stub_potcars, half_filled, tmp_path):
    runs = surrogate_of(tmp_path, half_filled(), "message:triple_product")
    assert runs.last["document"] == "FailureDoc"
    assert runs.last["reason"] in ("vasp error", "outputs unreadable")
    assert runs.last["corrections"] == []


def test_a_run_stopped_by_its_wall_time_goes_on_although_its_cell_is_not_there_yet(stub_potcars, half_filled, tmp_path):
    runs = surrogate_of(tmp_path, half_filled(), "wall-time:3@once")
    assert len(runs.documents) > 1
    assert runs.documents[0]["stopped"]
    assert runs.documents[0]["continues"]


OFTEN = {"polling_time_step": 0.1, "monitor_freq": 1}
"""custodian's monitors look at VASP all the time."""


def test_custodians_wall_time_handler_stops_vasp_through_stopcar(stub_potcars, half_filled, tmp_path):
    runs = surrogate_of(tmp_path, half_filled(), steps=100_000, wall_time=100, custodian_kwargs=OFTEN)
    first = runs.documents[0]
    assert first["document"] == "VaspStepDoc", first["exception"]
    assert first["stopped"]
    assert first["n_ionic_steps"] < 100_000
    said = [f["message"] for f in first["audit"]["findings"] if f["code"] == "corrections"]
    assert said
    assert said[0].startswith("custodian acted on: Walltime reached")


def test_the_wall_time_of_a_run_begins_with_it_and_not_with_an_earlier_one_of_its_process(
    stub_potcars, half_filled, tmp_path, monkeypatch
):
    """custodian keeps the first start in the environment, and would stop every later run at once."""
    monkeypatch.setenv(WALL_CLOCK, "Mon Jan 01 00:00:00 UTC 2001")
    runs = surrogate_of(tmp_path, half_filled(), wall_time=4000, custodian_kwargs=OFTEN)
    assert [document["stopped"] for document in runs.documents] == [False]
    assert runs.passed
