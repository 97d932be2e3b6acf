"""One run per campaign folder; a lock dies with its process."""

import errno
import fcntl
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from valenceflow.flows.lock import LOCK_FILE, campaign_lock, is_running, is_starting, run_starts

HOLD = (
    "import sys, pathlib, time\n"
    "from valenceflow.flows.lock import campaign_lock\n"
    "with campaign_lock(pathlib.Path(sys.argv[1])):\n"
    "    print('held', flush=True)\n"
    "    time.sleep(60)\n"
)


def test_a_lock_that_is_held_names_its_holder_and_one_that_was_let_go_does_not_hold(tmp_path):
    with campaign_lock(tmp_path):
        assert is_running(tmp_path)
        with pytest.raises(ValueError, match=f"is being run by process {os.getpid()} on"), campaign_lock(tmp_path):
            pass
    assert not is_running(tmp_path)
    with campaign_lock(tmp_path):
        pass


def test_a_lock_dies_with_its_process(tmp_path):
    with subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "held\n"
        assert is_running(tmp_path)
        holder.kill()
        holder.wait()
    assert not is_running(tmp_path)
    with campaign_lock(tmp_path):
        pass


def test_a_folder_that_was_never_run_is_not_running(tmp_path):
    assert not is_running(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_run_on_its_way_is_seen_until_it_holds_its_campaign_and_by_as_many_as_look(tmp_path):
    campaign = tmp_path / "campaign.yaml"
    campaign.write_text("name: small\n")
    with run_starts(campaign):
        assert is_starting(campaign)
        with run_starts(campaign):  # another one: the lock refuses it later, in its own words
            assert is_starting(campaign)
        assert is_starting(campaign)
    with campaign.open() as other:
        fcntl.flock(other, fcntl.LOCK_SH)
        assert not is_starting(campaign), "who looks is no run"
    assert not is_starting(tmp_path / "none.yaml")
    with run_starts(tmp_path / "none.yaml"):
        pass
    assert sorted(path.name for path in tmp_path.iterdir()) == ["campaign.yaml"]


def test_looking_whether_a_campaign_runs_does_not_keep_it_from_running(tmp_path):
    """As `status` in another terminal, in the moment in which it holds the lock itself."""
    (tmp_path / LOCK_FILE).touch()
    with (tmp_path / LOCK_FILE).open() as looking:
        fcntl.flock(looking, fcntl.LOCK_SH)
        letting_go = threading.Timer(0.1, fcntl.flock, (looking, fcntl.LOCK_UN))
        letting_go.start()
        with campaign_lock(tmp_path):
            pass
        letting_go.join()


@pytest.mark.parametrize("when", [1.0, 4e9], ids=["past", "future"])
def test_a_lock_file_that_was_left_behind_holds_nobody_up_however_old_or_new_it_says_it_is(tmp_path, when):
    (tmp_path / LOCK_FILE).write_text("process 1 on nowhere\n")
    os.utime(tmp_path / LOCK_FILE, (when, when))
    assert not is_running(tmp_path)
    with campaign_lock(tmp_path):
        assert (tmp_path / LOCK_FILE).read_text() == f"process {os.getpid()} on {os.uname().nodename}\n"


def test_a_file_system_without_locks_is_not_taken_for_a_campaign_that_runs(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOTSUP, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with (
        pytest.raises(ValueError, match=r"cannot be locked .* mount this file system with locks"),
        campaign_lock(tmp_path),
    ):
        pass


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_does_not_keep_a_lock_from_holding(tmp_path):
    (tmp_path / LOCK_FILE).symlink_to("/dev/full")
    with campaign_lock(tmp_path):
        assert is_running(tmp_path)
