"""Stopping workers: all of them end, also those that do not listen, and at once when asked twice."""

import signal
import sys
import time

import pytest
from valenceflow.flows import launch
from valenceflow.flows.campaign_file import read_campaign
from valenceflow.stores.connect import sqlite_stores

DEAF = (
    "import signal, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('{}', flush=True); time.sleep(60)"
)


@pytest.fixture
def deaf_pool(tmp_path, write_campaign):
    """Two workers that do not listen to SIGTERM, started and known to be deaf."""
    campaign = read_campaign(write_campaign(tmp_path))
    campaign.folder.mkdir()
    pool = launch.Workers(campaign, sqlite_stores(campaign.folder / "store.sqlite"), 2, {})
    pool._command = [sys.executable, "-c", DEAF]
    with pool:
        for process in pool._processes:
            assert process.stdout.readline() == b"{}\n"
        yield pool


def test_workers_that_do_not_end_when_asked_are_killed(deaf_pool, monkeypatch):
    monkeypatch.setattr(launch, "STOP_S", 0.3)
    processes = list(deaf_pool._processes)
    start = time.monotonic()
    deaf_pool.stop()
    assert time.monotonic() - start < 5  # one deadline for all of them
    assert [process.returncode for process in processes] == [-signal.SIGKILL] * 2


def test_a_second_ctrl_c_kills_workers_at_once(deaf_pool):
    def interrupt(signum, frame):
        raise KeyboardInterrupt

    processes = list(deaf_pool._processes)
    before = signal.signal(signal.SIGALRM, interrupt)
    start = time.monotonic()
    signal.setitimer(signal.ITIMER_REAL, 0.2)
    try:
        with pytest.raises(KeyboardInterrupt):
            deaf_pool.stop()
    finally:
        signal.signal(signal.SIGALRM, before)
    assert time.monotonic() - start < launch.STOP_S / 2
    assert [process.returncode for process in processes] == [-signal.SIGKILL] * 2
