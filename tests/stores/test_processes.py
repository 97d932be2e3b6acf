"""Pools of processes end with the one that made them, however it ends."""

import subprocess
import sys

import psutil

PARENT = """
import time
from valenceflow.stores.processes import in_processes
for _ in in_processes(time.sleep, [0.0, 0.0, 600.0, 600.0], 2, print):
    print("one is done", flush=True)
"""


def test_processes_of_a_pool_end_when_their_parent_is_killed():
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout.readline() == "one is done\n"
        theirs = psutil.Process(parent.pid).children(recursive=True)
        parent.kill()
    try:
        assert len(theirs) >= 3  # the server that forks, and two
        _, alive = psutil.wait_procs(theirs, timeout=30)
        assert alive == []
    finally:
        for process in theirs:
            if process.is_running():
                process.kill()
