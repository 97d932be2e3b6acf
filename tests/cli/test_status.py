"""What `status` says: what changed, what is lost or failed and what to type, and whose numbers there are."""

import json
import os
import re
import shlex
import socket
import time

import pytest
from valenceflow.cli.next_steps import AUDIT_REMEDIES
from valenceflow.flows.asked import asked_by, record_asked
from valenceflow.flows.lock import campaign_lock, run_starts
from valenceflow.flows.progress import Busy, Progress
from valenceflow.stores.connect import sqlite_stores

SPRINGS = "rehearsal:springs"
STYLE = re.compile(r"\x1b\[[0-9;]*m")
DEEP = "a-folder-whose-name-is-long/" * 4


def configuration(number, engine=SPRINGS, fraction=0.5):
    return {
        "configuration_id": f"{engine}-{number}",
        "campaign": "small",
        "engine": engine,
        "fraction": fraction,
        "joint_key": f"3.{number}",
    }


def calculation(number, state="completed", relation="kept", engine=SPRINGS, asked=None, **changes):
    document = {
        "calculation_id": f"{asked or engine}-{number}-1",
        "configuration_id": f"{asked or engine}-{number}",
        "campaign": "small",
        "fraction": 0.5,
        "engine": engine,
        "state": state,
        "relation": relation,
        "latest": True,
        "audit": {"passed": state == "completed", "findings": []},
        "steps": {},
    }
    return document | changes


def failure(number, reason):
    step = {
        "document": "FailureDoc",
        "reason": reason,
        "message": f"relax: {reason}: it broke",
        "remedy": "mend it, then `valenceflow retry` and run the campaign again",
        "folder": f"{socket.gethostname()}:/{DEEP}{number}",
    }
    return calculation(number, "failed", "not read", steps={"relax": step})


@pytest.fixture
def campaign(tmp_path, write_campaign):
    """Function that makes a campaign whose store holds given documents; returns its file."""

    def make(configurations, calculations=(), file_name="campaign.yaml"):
        path = write_campaign(tmp_path, file_name)
        (tmp_path / "small").mkdir(exist_ok=True)
        stores = sqlite_stores(tmp_path / "small" / "store.sqlite")
        stores.collection("campaigns").update([{"campaign": "small"}])
        stores.collection("configurations").update(configurations)
        stores.collection("calculations").update(list(calculations))
        stores.close()
        return path

    return make


@pytest.fixture
def finished(campaign):
    """Function that makes a finished campaign; what is not given was completed as it was meant."""

    def make(*calculations, total=4, **options):
        given = {c["calculation_id"]: c for c in map(calculation, range(total))}
        given |= {c["calculation_id"]: c for c in calculations}
        return campaign([configuration(n) for n in range(total)], given.values(), **options)

    return make


def lines_of(answer):
    assert answer.code == 0, answer
    assert answer.err == ""
    return answer.out.splitlines()


def test_a_finished_campaign_without_failures_says_how_to_see_its_results(finished, call):
    path = finished()
    lines = lines_of(call("status", path))
    assert lines[-1] == f"results: valenceflow query {path} --engine {SPRINGS}"
    assert not any("retry" in line or "run" in line.split() for line in lines[1:])


@pytest.mark.parametrize("reason", ["killed", "vasp error"])
def test_failures_say_what_to_type_for_each_reason(reason, finished, call):
    path = finished(failure(0, reason), failure(1, reason), failure(2, "disk"))
    lines = lines_of(call("status", path))
    place = lines.index(f"2 failed: relax: {reason}: it broke")
    assert lines[place + 1].startswith("  folder: /")  # this machine's: nothing in front of it
    assert shlex.split(lines[place + 3]) == [
        *("valenceflow", "retry", str(path), "--engine", SPRINGS, "--reason", reason)
    ]
    assert f"after a retry: valenceflow run {path} --engine {SPRINGS}" in lines


def test_failures_of_one_reason_with_several_causes_are_each_told_with_their_folder(finished, call):
    other = failure(1, "vasp error")
    other["steps"]["relax"] |= {"message": "relax: vasp error: something else", "folder": "elsewhere:/other/run"}
    lines = lines_of(call("status", finished(failure(0, "vasp error"), other)))
    told = {lines[n] for n, line in enumerate(lines) if line.startswith(("  also: ", "2 failed: "))}
    assert {line.partition(": ")[2] for line in told} == {
        "relax: vasp error: it broke",
        "relax: vasp error: something else",
    }
    assert "  folder: elsewhere:/other/run" in lines
    assert sum("--reason 'vasp error'" in line for line in lines) == 1


def test_lost_orderings_and_failed_audits_say_what_to_type(finished, call):
    volume = [{"code": "volume", "severity": "failure", "message": "relax: volume 400 A^3 is too large"}]
    path = finished(
        calculation(0, relation="moved"),
        calculation(1, "audit failed", audit={"passed": False, "findings": volume}),
    )
    said = call("status", path).out
    assert "1 audit failed: relax: volume 400 A^3 is too large" in said
    assert AUDIT_REMEDIES["volume"] in said
    assert f"valenceflow retry {path} --engine {SPRINGS} --reason 'audit failed'" in said
    assert f"1 lost, to look at: valenceflow query {path} --engine {SPRINGS} --ordering lost" in said
    assert f"valenceflow retry {path} --engine {SPRINGS} --reason lost" in said


def test_a_file_with_blanks_in_its_name_is_quoted(finished, call):
    path = finished(file_name="my campaign.yaml")
    last = lines_of(call("status", path))[-1].partition(": ")[2]
    assert shlex.split(last)[2] == str(path)


@pytest.mark.parametrize("columns", [40, 60, 80, 200])
def test_paths_and_commands_are_never_broken(columns, finished, call, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("FORCE_COLOR", "1")  # as on a terminal
    monkeypatch.setenv("TERM", "xterm")
    lines = [STYLE.sub("", line) for line in lines_of(call("status", finished(failure(0, "vasp error"))))]
    assert any(line.endswith(f"/{DEEP}0") for line in lines)
    assert any(line.endswith("--reason 'vasp error'") and "valenceflow retry" in line for line in lines)
    assert not any("…" in line for line in lines)
    prose = [line for line in lines if "/" not in line and "valenceflow" not in line]
    assert max(map(len, prose)) <= columns


def test_what_another_engine_computed_is_said_to_be_there(finished, campaign, call):
    finished()
    path = campaign([configuration(0, "vasp")])
    said = call("status", path).out
    assert f"nothing of vasp is done yet; there are results 4 of {SPRINGS}, which is another engine" in said


def test_a_stand_in_behind_vasp_is_said_and_nothing_is_missing(campaign, call):
    wrong = [{"code": "engine", "severity": "failure", "message": "relax: run as vasp, but written by another"}]
    unfit = {"asked": "vasp", "audit": {"passed": False, "findings": wrong}}
    path = campaign(
        [configuration(0, "vasp"), configuration(1, "vasp")],
        [calculation(0, "audit failed", **unfit), calculation(1, "audit failed", **unfit)],
    )
    said = call("status", path).out
    assert f"2 configurations asked of vasp were run by {SPRINGS}" in said
    assert AUDIT_REMEDIES["engine"] in said
    assert f"valenceflow retry {path} --engine vasp --reason 'audit failed'" in said
    assert "missing:" not in said


def rewrite(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_a_changed_file_is_said_with_what_changed_and_what_to_type(finished, call):
    path = finished()
    record_asked(path.parent / "small", SPRINGS, asked_by(path.read_text(), path))
    assert "changed since" not in call("status", path).out
    rewrite(path, "1/2", "3/4")
    lines = lines_of(call("status", path))
    assert f"campaign.yaml changed since the last run with {SPRINGS} (working_ion)" in lines
    assert f"  to count what is new: valenceflow status {path} --plan" in lines
    assert f"  to run it: valenceflow run {path} --engine {SPRINGS}" in lines
    assert json.loads(call("status", path, "--json").out)["small"]["changed"] == {
        SPRINGS: {"fields": ["working_ion"], "new": None, "left_out": None, "problem": ""}
    }


def test_what_is_no_longer_asked_for_is_counted_apart(finished, call):
    path = finished(total=6)
    asked = asked_by(path.read_text(), path, left_out=[f"{SPRINGS}-4", f"{SPRINGS}-5"])
    record_asked(path.parent / "small", SPRINGS, asked)
    content = json.loads(call("status", path, "--json").out)["small"]
    assert content["fractions"][0]["total"] == 4
    assert content["no_longer_asked"] == {"configurations": 2, "calculations": 2}
    assert "2 configurations no longer asked for by the campaign file; the 2 calculations" in call("status", path).out


def test_a_running_campaign_says_what_runs_and_how_long_it_will_take(campaign, call):
    path = campaign([configuration(0), configuration(1), configuration(2)], [calculation(0)])
    folder = path.parent / "small"
    now = time.time()
    progress = Progress(SPRINGS, workers=1, total=3, started=now - 3600, done=1, timed=1, seconds=3600.0, size=10**6)
    progress.start("a", Busy("3.1", 0.5, now - 600, str(folder / "runs" / "here")))
    progress.write(folder)
    with campaign_lock(folder):
        lines = lines_of(call("status", path))
        content = json.loads(call("status", path, "--json").out)["small"]
    assert f"small, {SPRINGS} (REHEARSAL, not DFT): running, 1 of 3 done since " in lines[0]
    assert lines[0].endswith("1 worker, about 1 h 50 min left")
    assert lines[1] == f"  x = 0.500 3.1 for 10 min: {folder}/runs/here"
    assert any(line.startswith("disk: ") and line.endswith("the 2 missing need about 2 MB") for line in lines)
    assert not any("missing: valenceflow run" in line for line in lines)
    assert content["running"] is True
    assert content["progress"]["seconds_left"] == pytest.approx(6600, abs=60)
    assert ": not running" in call("status", path).out


def test_a_run_that_still_imports_and_chooses_orderings_is_said(campaign, call):
    path = campaign([configuration(0)], [calculation(0)])
    with run_starts(path):
        assert lines_of(call("status", path))[0] == f"small, {SPRINGS} (REHEARSAL, not DFT): a run is on its way"
        assert json.loads(call("status", path, "--json").out)["small"]["starting"] is True
    assert ": not running" in call("status", path).out


def test_a_first_run_that_still_chooses_orderings_is_said(write_campaign, tmp_path, refused):
    path = write_campaign(tmp_path)
    with run_starts(path):
        assert "is being started" in refused("status", path)
    assert "has not been started" in refused("status", path)


def test_a_disk_that_cannot_hold_the_rest_is_said(campaign, call):
    path = campaign([configuration(0), configuration(1)], [calculation(0)])
    Progress(SPRINGS, workers=1, total=2, done=1, timed=1, seconds=1.0, size=10**16).write(path.parent / "small")
    assert "the 1 missing need about 1e+04 TB: MAKE ROOM" in call("status", path).out


def test_status_reads_a_store_of_documents_alone(finished, call):
    store = finished(failure(0, "killed")).parent / "small" / "store.sqlite"
    said = call("status", "--store", store).out
    assert "1 failed: relax: killed: it broke" in said
    assert "valenceflow retry small" not in said
    assert os.fspath(store) not in said


def test_a_store_without_a_campaign_says_so(tmp_path, call):
    sqlite_stores(tmp_path / "store.sqlite").collection("campaigns")
    assert lines_of(call("status", "--store", tmp_path / "store.sqlite")) == [
        f"no campaign in {tmp_path / 'store.sqlite'}"
    ]
    assert json.loads(call("status", "--store", tmp_path / "store.sqlite", "--json").out) == {}
