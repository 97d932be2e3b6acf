"""SIGKILL to launcher, workers and VASP of a running campaign (benchmarks/kills.py, 5 of its 20, seeded)."""

import importlib.util
import random
from pathlib import Path

import pytest

KILLS = Path(__file__).resolve().parents[2] / "benchmarks" / "kills.py"


@pytest.mark.slow
def test_kills_of_launcher_worker_and_vasp_lose_double_and_repeat_nothing(tmp_path, write_campaign):
    specification = importlib.util.spec_from_file_location("kills", KILLS)
    kills = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(kills)
    campaign = write_campaign(
        tmp_path,
        name="kills",
        working_ion={"Na": {"fraction": "1/2", "orderings": {"sample": 1}}},
        end_members=False,
        launch={"workers": 1},
    )
    killed = kills.kill_at_random(campaign, 5, random.Random(3))
    kills.finish(campaign)
    counts = kills.check(campaign)
    # A fast machine may be done before the last kills.
    assert sum(killed.values()) >= 3, killed
    assert counts.pop("configurations") == 3
    assert set(counts.values()) == {0}, (counts, killed)
