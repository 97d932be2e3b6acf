"""The way without MongoDB on a real Slurm: an allocation that runs a campaign, requeues itself and goes on."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from valenceflow.flows.queues.configuration import ALLOCATION, ClusterAnswers, write_cluster_files

SPRINGS = ("--engine", "rehearsal:springs")
BIN = Path(sys.executable).parent
FIRST_TIME_SHORT = """#!/bin/sh
# An allocation whose time is nearly over when it starts, then one with time enough.
if [ "${SLURM_RESTART_COUNT:-0}" = 0 ] && [ "${SLURM_ARRAY_TASK_ID:-1}" = 1 ]; then echo 0:02; else echo 20:00; fi
"""

pytestmark = [pytest.mark.slurm, pytest.mark.slow, pytest.mark.timeout(1800)]


@pytest.fixture
def campaign(tmp_path, write_campaign):
    """A campaign of one configuration and the script that `init cluster` writes; Slurm's word on time is made up."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "squeue").write_text(FIRST_TIME_SHORT)
    (tmp_path / "bin" / "squeue").chmod(0o755)
    activate = f'export PATH="{tmp_path / "bin"}:{BIN}:$PATH"'
    answers = ClusterAnswers(mongo_host="", ntasks=1, time="00:20:00", activate=activate, vasp_cmd="srun vasp_std")
    write_cluster_files(tmp_path / "cluster", answers)
    one = {"Na": {"fraction": "1/2", "orderings": {"sample": 1}}}
    return write_campaign(tmp_path, working_ion=one, charge={"sample": 1}, end_members=False)


def submitted(slurm, campaign, *options):
    """Number of the job that runs a campaign."""
    script = campaign.parent / "cluster" / ALLOCATION
    words = ["sbatch", "--parsable", *options, str(script), str(campaign), *SPRINGS]
    return subprocess.run(words, cwd=campaign.parent, check=True, capture_output=True, text=True).stdout.strip()


def test_an_allocation_stops_in_time_requeues_itself_and_finishes(slurm, campaign, command, wait_for_end):
    job = submitted(slurm, campaign)
    wait_for_end(job)
    log = (campaign.parent / f"valenceflow-{job}.log").read_text()
    assert log.count("small: 1 configuration") == 2, log
    (found,) = json.loads(command("query", campaign, "--json"))
    assert found["state"] == "completed"


def test_a_chain_of_array_tasks_goes_on_one_after_the_other(slurm, campaign, command, wait_for_end):
    job = submitted(slurm, campaign, "--array=1-3%1")
    wait_for_end(job)
    logs = "".join(path.read_text() for path in sorted(campaign.parent.glob("valenceflow-*.log")))
    assert logs.count("work is left: the next task of this array goes on") == 1, logs
    assert "0 to run" in logs, "the last one finds nothing to do"
    (found,) = json.loads(command("query", campaign, "--json"))
    assert found["state"] == "completed"


def test_an_array_beyond_slurms_limit_is_refused_by_slurm(slurm, campaign):
    with pytest.raises(subprocess.CalledProcessError) as refused:
        submitted(slurm, campaign, "--array=1-5000%1")
    assert "Invalid job array specification" in refused.value.stderr
    assert not (campaign.parent / "small").exists()
