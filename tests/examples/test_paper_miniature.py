"""The paper in miniature at its smallest scale: every stage, killed three times on the way, ends whole."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="potentials need their extra")

EXAMPLE = Path(__file__).parents[2] / "examples" / "paper-miniature"
MINIATURE = EXAMPLE / "miniature.py"


def command(folder, *more):
    return [sys.executable, str(MINIATURE), "--scale", "smoke", "--to", str(folder), *more]


def finished(folder):
    """Name of every stage that says it is finished -> its record."""
    records = {path.parent.name: json.loads(path.read_text()) for path in folder.glob("*/stage.json")}
    return {name: record for name, record in records.items() if record["finished"]}


@pytest.mark.slow
def test_every_stage_is_done_though_it_is_killed_at_three_moments(tmp_path):
    folder, draw = tmp_path / "smoke", random.Random(7)
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    # Into the calculations, a training and what follows: after so many stages, at a moment drawn within a second.
    for stages in (0, 2, 5):
        process = subprocess.Popen(command(folder), env=env)
        while len(finished(folder)) < stages or not list(folder.glob("*/stage.json")):
            assert process.poll() is None, "ended by itself"
            time.sleep(0.05)
        time.sleep(1 + draw.random())
        process.send_signal(signal.SIGKILL)
        process.wait()
    subprocess.run(command(folder), env=env, check=True)
    done = finished(folder)
    listed = subprocess.run(command(folder, "--list"), env=env, check=True, capture_output=True, text=True).stdout
    assert listed.count(": done, ") == len(done) == len(listed.splitlines()) - 1
    assert sum(record["killed"] for record in done.values()) == 3
    results = json.loads((folder / "results" / "results.json").read_text())
    assert {model["charge_states"] for model in results["models"]} == {True, False}
    assert results["calculations"]["cells28"]["calculations"] >= 4
    assert "a rehearsal, not DFT" in (folder / "results" / "results.md").read_text()
    again = subprocess.run(command(folder), env=env, check=True, capture_output=True, text=True).stdout
    assert again.count(": done, ") == len(done)
    assert " ... " not in again
