"""Pausing, cancelling and giving up."""

import subprocess
import sys
import time

import psutil
import pytest
from valenceflow.flows.control import Quorum, clear_requests, request, requested
from valenceflow.flows.leash import die_with_parent, leashed


def test_requests_are_seen_until_they_are_cleared_and_cancelling_wins(tmp_path):
    assert requested(tmp_path) is None
    request(tmp_path, "pause")
    assert requested(tmp_path) == "pause"
    request(tmp_path, "cancel")
    assert requested(tmp_path) == "cancel"
    clear_requests(tmp_path)
    assert requested(tmp_path) is None


@pytest.mark.parametrize(
    ("allowed", "total", "failed", "lost"),
    [(0.1, 20, 2, False), (0.1, 20, 3, True), (0.0, 5, 0, False), (0.0, 5, 1, True), (1.0, 5, 5, False)],
)
def test_a_campaign_is_lost_once_more_failed_than_it_may_lose(allowed, total, failed, lost):
    quorum = Quorum(allowed, total, failed)
    assert quorum.is_lost is lost
    assert f"{failed} of {total}" in quorum.reason


def test_a_leashed_command_runs_as_itself_and_dies_with_its_parent(tmp_path):
    script = (
        "import subprocess, sys, shlex, time\n"
        f"child = subprocess.Popen(shlex.split({leashed('sleep 60')!r}), start_new_session=True)\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    child = psutil.Process(int(parent.stdout.readline()))
    for _ in range(2000):
        if child.name() == "sleep":
            break
        time.sleep(0.05)
    assert child.name() == "sleep", "the leash replaces itself by the command"
    parent.kill()
    parent.wait()
    parent.stdout.close()
    _, alive = psutil.wait_procs([child], timeout=60)
    assert not alive


def test_a_process_whose_parent_is_gone_already_ends_at_once():
    script = f"import sys; sys.path.insert(0, ''); from {die_with_parent.__module__} import die_with_parent\n"
    script += "die_with_parent(parent=1 if __import__('os').getppid() != 1 else 2)\nprint('still here')\n"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == -15
    assert "still here" not in done.stdout
