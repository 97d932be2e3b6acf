"""VASP jobs that give no result: each returns a FailureDoc with its reason and remedy, and step 2 never runs."""

import errno
import gzip
import json

import pytest
from pymatgen.core import SETTINGS
from valenceflow.flows import step_document, vasp_job
from valenceflow.flows.failures import FLOW_REMEDIES, REMEDIES, classify, failure_doc
from valenceflow.flows.rehearsal.command import rehearsal_command
from valenceflow.flows.step_document import STEP_FILE
from valenceflow.flows.two_step import TwoStepRelaxMaker
from valenceflow.stores.documents import StepIntent

FIRST = "surrogate relax"
STAND_IN = rehearsal_command("springs", steps=2)
CUT_OFF = "head -c 9000 vasprun.xml > v; mv v vasprun.xml"
COMMANDS = {
    "stops with an error": ("sh -c 'echo bad things >&2; exit 1'", "vasp error"),
    "does not exist": ("/no/such/vasp_std", "vasp not found"),
    "cannot be executed": ("/etc/hostname", "vasp not found"),
    "is killed by a signal": (f"sh -c '{STAND_IN}; {CUT_OFF}; kill -9 $$'", "killed"),
    "is killed under a launcher": ("sh -c 'exit 137'", "killed"),
    "leaves nothing": ("true", "outputs unreadable"),
    "leaves a cut-off vasprun.xml": (f"sh -c '{STAND_IN}; {CUT_OFF}'", "outputs unreadable"),
    "leaves no OUTCAR": (f"sh -c '{STAND_IN} && rm OUTCAR'", "outputs unreadable"),
}


def two_step_with(command):
    maker = TwoStepRelaxMaker()
    for step in (maker.surrogate_relax_maker, maker.relax_maker):
        step.run_vasp_kwargs["vasp_cmd"] = command
    return maker


@pytest.fixture(scope="module")
def failed(half_filled, rehearse, tmp_path_factory):
    """Function that runs both steps with a command that fails, once per command."""
    done = {}

    def run(case):
        if case not in done:
            flow = two_step_with(COMMANDS[case][0]).make(half_filled())
            # raise_immediately: a job that raised would end the test here.
            done[case] = rehearse(flow, tmp_path_factory.mktemp("failed"), may_fail=True, raise_immediately=True)
        return done[case]

    return run


@pytest.mark.parametrize("case", COMMANDS)
def test_a_vasp_command_that_fails_gives_a_failure_document_and_no_second_step(case, failed):
    rehearsed = failed(case)
    assert set(rehearsed.documents) == {FIRST}
    failure = rehearsed.documents[FIRST]
    assert failure.document == "FailureDoc"
    assert failure.reason == COMMANDS[case][1]
    assert failure.remedy == FLOW_REMEDIES[failure.reason]
    assert "\n" not in failure.message
    assert failure.folder.endswith(str(rehearsed.folders[FIRST]))


@pytest.mark.parametrize("case", ["stops with an error", "leaves a cut-off vasprun.xml"])
def test_the_failure_is_in_the_store_and_in_the_run_folder(case, failed):
    rehearsed = failed(case)
    failure = rehearsed.documents[FIRST]
    left = json.loads(gzip.decompress((rehearsed.folders[FIRST] / STEP_FILE).read_bytes()))
    stored = rehearsed.stores.docs().query_one({"uuid": failure.uuid})["output"]
    for document in (left, stored):
        assert {name: document[name] for name in ("document", "reason", "message", "uuid")} == {
            "document": "FailureDoc",
            "reason": failure.reason,
            "message": failure.message,
            "uuid": failure.uuid,
        }


def test_a_failure_says_how_vasp_ended_and_what_it_printed_last(failed):
    failure = failed("stops with an error").documents[FIRST]
    assert failure.message == f"{FIRST}: vasp error: VASP ended with exit code 1; last line in std_err.txt: bad things"
    assert "signal 9" in failed("is killed by a signal").documents[FIRST].message
    assert "no vasprun.xml and no OUTCAR" in failed("leaves nothing").documents[FIRST].message
    assert "no OUTCAR" in failed("leaves no OUTCAR").documents[FIRST].message


def test_a_failed_run_keeps_the_ionic_steps_that_were_written(failed):
    folder = failed("is killed by a signal").folders[FIRST]
    assert any(folder.glob("vasprun.xml*"))


@pytest.mark.parametrize("setting", ["an empty folder", "no folder"])
def test_a_missing_potcar_is_told_with_the_setting_that_mends_it(setting, half_filled, rehearse, tmp_path, monkeypatch):
    if setting == "no folder":
        monkeypatch.delitem(SETTINGS, "PMG_VASP_PSP_DIR")
    else:
        monkeypatch.setitem(SETTINGS, "PMG_VASP_PSP_DIR", str(tmp_path))
    rehearsed = rehearse(TwoStepRelaxMaker().make(half_filled()), tmp_path, may_fail=True, raise_immediately=True)
    assert set(rehearsed.documents) == {FIRST}
    failure = rehearsed.documents[FIRST]
    assert failure.reason == "missing potcar"
    assert "PMG_VASP_PSP_DIR" in failure.remedy


def test_inputs_that_contradict_the_charge_states_are_a_failure_too(half_filled, rehearse, tmp_path):
    """T4, for overrides that reach the maker late (a powerup on the flow)."""
    maker = TwoStepRelaxMaker()
    maker.surrogate_relax_maker.input_set_generator.user_incar_settings["MAGMOM"] = {"Fe": 5}
    rehearsed = rehearse(maker.make(half_filled()), tmp_path, may_fail=True, raise_immediately=True)
    failure = rehearsed.documents[FIRST]
    assert set(rehearsed.documents) == {FIRST}
    assert failure.reason == "inputs refused"
    assert "MAGMOM" in failure.message
    assert not (rehearsed.folders[FIRST] / "INCAR").exists()


def test_a_full_disk_is_named(tmp_path):
    assert classify(OSError(errno.ENOSPC, "No space left on device"), tmp_path) == "disk"
    assert classify(OSError(errno.EDQUOT, "Disk quota exceeded"), tmp_path) == "disk"


def test_an_error_before_any_input_was_written_is_not_put_down_to_vasp(tmp_path):
    assert classify(ValueError("moments of 3 sites"), tmp_path) == "inputs refused"
    assert classify(RuntimeError("something else"), tmp_path) == "unexpected"


def test_a_result_is_returned_even_where_its_folder_cannot_be_written(half_filled, rehearse, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(step_document, "write_step_file", full)
    rehearsed = rehearse(TwoStepRelaxMaker().make(half_filled(high=(), vacancies=())), tmp_path)
    document = rehearsed.documents["relax"]
    assert document.energy < 0
    assert [finding.code for finding in document.audit.findings if finding.severity == "warning"] == ["step file"]


def broken(*_, **__):
    raise FileNotFoundError(errno.ENOENT, "a slip of our own", "table.yaml")


@pytest.mark.parametrize("place", ["step_document", "follow_up"])
def test_a_mistake_of_our_own_after_vasp_ended_is_a_failure_document_too(
    place, half_filled, rehearse, tmp_path, monkeypatch
):
    """Even one that looks as if VASP had not been found."""
    monkeypatch.setattr(vasp_job, place, broken)
    rehearsed = rehearse(TwoStepRelaxMaker().make(half_filled()), tmp_path, may_fail=True, raise_immediately=True)
    assert set(rehearsed.documents) == {FIRST}
    failure = rehearsed.documents[FIRST]
    assert (failure.document, failure.reason) == ("FailureDoc", "unexpected")
    assert "a slip of our own" in failure.exception
    assert any(rehearsed.folders[FIRST].glob("vasprun.xml*"))


@pytest.mark.parametrize("reason", REMEDIES)
def test_every_reason_has_a_remedy_for_campaigns_and_for_single_flows(reason):
    assert "`valenceflow retry` and run the campaign again" in REMEDIES[reason]
    assert FLOW_REMEDIES[reason].endswith("then run the flow again")


def test_a_failure_of_a_campaign_says_how_to_run_the_campaign_again(tmp_path):
    intents = {None: FLOW_REMEDIES, "mine": REMEDIES}
    for campaign, remedies in intents.items():
        failure = failure_doc(ValueError("moments"), FIRST, "u", StepIntent(campaign=campaign), tmp_path)
        assert failure.remedy == remedies["inputs refused"]
