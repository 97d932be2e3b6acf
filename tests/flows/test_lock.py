"""One run per campaign folder; a lock dies with its process."""

import os
import subprocess
import sys

import pytest
from valenceflow.flows.lock import campaign_lock, is_running

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
