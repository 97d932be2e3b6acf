"""A full disk at every place where a run writes: one line or a failure that says so, and nothing is overwritten.

`/dev/full` takes nothing and says so as a full disk does; the store, the inbox and whole campaigns are tested on small
file systems in test_store_troubles.
"""

import errno
import json
from pathlib import Path

import pytest
from valenceflow.flows import runner, vasp_job
from valenceflow.flows.launch import LOG_FILE
from valenceflow.flows.lock import LOCK_FILE
from valenceflow.flows.manifest import MANIFEST_FILE
from valenceflow.flows.two_step import TwoStepRelaxMaker

FULL = Path("/dev/full")
SPRINGS = ("--engine", "rehearsal:springs")
ONE = {"working_ion": {"Na": {"fraction": 1, "orderings": {"all": True}}}, "end_members": False}

pytestmark = pytest.mark.skipif(not FULL.exists(), reason="needs a device that is always full")


def full(path):
    path.parent.mkdir(exist_ok=True)
    path.symlink_to(FULL)


@pytest.mark.parametrize("name", [f"{MANIFEST_FILE}.partial", "store.partial"])
def test_what_a_run_writes_down_first_is_one_line_where_the_disk_is_full(name, tmp_path, write_campaign, refused):
    path = write_campaign(tmp_path, **ONE)
    full(tmp_path / "small" / name)
    said = refused("run", path, *SPRINGS)
    assert "No space left on device" in said
    assert not (tmp_path / "small" / MANIFEST_FILE).exists() or name == "store.partial"
    assert not (tmp_path / "small" / "runs").exists()


def test_a_manifest_that_cannot_be_written_anew_stays_as_it_was(tmp_path, write_campaign, refused, call):
    path, folder = write_campaign(tmp_path, **ONE), tmp_path / "small"
    full(folder / "store.partial")  # the campaign is registered, and nothing is run
    refused("run", path, *SPRINGS)
    before = (folder / MANIFEST_FILE).read_bytes()
    write_campaign(tmp_path, **{**ONE, "end_members": True})
    full(folder / f"{MANIFEST_FILE}.partial")
    assert "No space left on device" in refused("run", path, *SPRINGS)
    assert (folder / MANIFEST_FILE).read_bytes() == before
    assert call("status", path).code == 0


def test_a_run_that_begins_nothing_for_want_of_room_fails_and_says_what_to_do(
    tmp_path, write_campaign, call, monkeypatch
):
    monkeypatch.setattr(runner, "free_bytes", lambda folder: 2_300_000)
    answer = call("run", write_campaign(tmp_path, **ONE), *SPRINGS)
    assert answer.code == 1
    assert "ended early: only 2.3 MB are free" in answer.out
    assert "1 missing" in answer.out


@pytest.mark.slow
@pytest.mark.parametrize("name", [LOG_FILE, LOCK_FILE])
def test_a_run_that_cannot_write_its_log_or_its_name_still_gives_results(name, tmp_path, write_campaign, shell, call):
    path = write_campaign(tmp_path, **ONE)
    full(tmp_path / "small" / name)
    answer = shell("run", path, *SPRINGS)
    assert answer.code == 0, answer
    (row,) = json.loads(call("query", path, "--json").out)
    assert row["relation"] == "kept"


@pytest.mark.parametrize("where", ["write_vasp_input_set", "write_start_file", "gzip_output_folder"])
def test_a_run_folder_on_a_full_disk_is_a_failure_of_that_reason(where, half_filled, rehearse, tmp_path, monkeypatch):
    def no_room(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(vasp_job, where, no_room)
    rehearsed = rehearse(TwoStepRelaxMaker().make(half_filled()), tmp_path, may_fail=True, raise_immediately=True)
    failure = rehearsed.documents["surrogate relax"]
    assert failure.reason == "disk"
    assert "free space (or quota)" in failure.remedy
    assert set(rehearsed.documents) == {"surrogate relax"}


def test_a_vasp_that_finds_the_disk_full_is_a_failure_of_that_reason(half_filled, rehearse, tmp_path):
    """It ends with an error of its own, and says why."""
    maker = TwoStepRelaxMaker()
    for step in (maker.surrogate_relax_maker, maker.relax_maker):
        step.run_vasp_kwargs["vasp_cmd"] = "sh -c 'echo forrtl: No space left on device >&2; exit 38'"
    rehearsed = rehearse(maker.make(half_filled()), tmp_path, may_fail=True, raise_immediately=True)
    assert rehearsed.documents["surrogate relax"].reason == "disk"
