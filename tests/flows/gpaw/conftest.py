"""GPAW's stand-in for tests of everything around it, and GPAW itself where it is installed."""

import shlex
import sys
from pathlib import Path

import pytest
from valenceflow.flows.gpaw.command import SETTING, find_gpaw

FAKE = Path(__file__).with_name("fake_gpaw.py")


@pytest.fixture
def fake_gpaw(monkeypatch):
    """Function that puts the stand-in in GPAW's place and says how its runs end."""
    find_gpaw.cache_clear()

    def put(how="well"):
        monkeypatch.setenv(SETTING, shlex.join([sys.executable, str(FAKE)]))
        monkeypatch.setenv("FAKE_GPAW", how)
        find_gpaw.cache_clear()

    yield put
    find_gpaw.cache_clear()
