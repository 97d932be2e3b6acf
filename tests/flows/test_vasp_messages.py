"""Messages of VASP that no handler of custodian acts on are findings, and so is what custodian did."""

import json

import pytest
from custodian.vasp.handlers import StdErrHandler, VaspErrorHandler
from valenceflow.flows.custody import CRASHING, GOOD_RUNS_KILLED
from valenceflow.flows.rehearsal.messages import MESSAGES as PRINTED
from valenceflow.flows.vasp_messages import HARMLESS, MESSAGES, message_findings


@pytest.mark.parametrize("key", PRINTED)
def test_every_message_that_the_stand_in_can_print_is_a_finding_of_its_name(key, tmp_path):
    message = PRINTED[key]
    (tmp_path / ("std_err.txt" if message.on_stderr else "vasp.out")).write_text(
        f" running\n {message.text}\n {message.text}\n   1 F= -.1E+02\n", encoding="utf-8"
    )
    findings = {finding.message.split("(")[1].split(")")[0]: finding for finding in message_findings(tmp_path)}
    assert key in findings
    assert set(findings) - {key} <= {"tet"}  # custodian lists TETIRR's complaint under both
    assert findings[key].severity == ("info" if key in HARMLESS else "warning")
    assert findings[key].message.count("\n") == 0


def test_a_quiet_run_has_no_findings(tmp_path):
    assert message_findings(tmp_path) == []
    (tmp_path / "vasp.out").write_bytes(b" running    1 mpi-ranks\n DAV:   1  -0.1E+02\n \xff\n")
    assert message_findings(tmp_path) == []


def test_what_custodian_did_is_said_once_for_each_error(tmp_path):
    corrections = [{"errors": ["zbrent"], "actions": []}] * 2 + [{"errors": ["Unconverged"], "actions": []}]
    (tmp_path / "custodian.json").write_text(json.dumps([{"corrections": corrections}]))
    (finding,) = message_findings(tmp_path)
    assert (finding.code, finding.severity) == ("corrections", "info")
    assert finding.message == "custodian acted on: zbrent (2 times), Unconverged"


def test_the_vocabulary_is_custodians():
    assert set(MESSAGES) >= set(VaspErrorHandler.error_msgs) | set(StdErrHandler.error_msgs)
    assert set(MESSAGES) >= HARMLESS
    assert {*GOOD_RUNS_KILLED, *CRASHING} <= set(MESSAGES)
