"""FireWorks on a real Slurm: one configuration through qlaunch, serially; its documents come back."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from pathlib import Path

import pymongo
import pytest
from valenceflow.flows.queues.configuration import ClusterAnswers, write_cluster_files
from valenceflow.flows.queues.launchpad_jobs import open_launchpad

MONGO_URI = os.environ.get("VALENCEFLOW_MONGO_URI")
BIN = Path(sys.executable).parent

pytestmark = [
    pytest.mark.slurm,
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(
        not MONGO_URI, reason="FireWorks' jobs are processes of their own: VALENCEFLOW_MONGO_URI is not set"
    ),
]


@pytest.fixture
def cluster(tmp_path):
    """Files of `init cluster` for a new database on the server, and the FireWorks commands with them."""
    database = f"valenceflow_test_{uuid.uuid4().hex[:12]}"
    host, _, port = MONGO_URI.removeprefix("mongodb://").partition("/")[0].rpartition(":")
    answers = ClusterAnswers(
        ntasks=1,
        time="00:10:00",
        activate=f'export PATH="{BIN}:$PATH"',
        mongo_host=host,
        mongo_port=int(port),
        mongo_database=database,
    )
    write_cluster_files(tmp_path / "cluster", answers)
    launchpad = open_launchpad(tmp_path / "cluster" / "my_launchpad.yaml")
    launchpad.reset("", require_password=False)  # as `lpad reset` does
    launchpad.connection.close()
    yield tmp_path / "cluster"
    with pymongo.MongoClient(MONGO_URI) as client:
        client.drop_database(database)


def test_qlaunch_runs_a_configuration_and_its_documents_come_back(slurm, cluster, tmp_path, write_campaign, command):
    path = write_campaign(
        tmp_path,
        working_ion={"Na": {"fraction": 1, "orderings": {"all": True}}},
        end_members=False,
        store="cluster/store.yaml",
        launch={"fireworks": {"launchpad": "cluster/my_launchpad.yaml"}},
    )
    handed = command("run", path, "--launch", "fireworks", "--engine", "rehearsal:springs")
    assert "1 of 1 configurations handed to FireWorks LaunchPad" in handed
    told = json.loads(command("status", path, "--json"))["small"]
    assert told["queues"]["rehearsal:springs"]["states"] == {"READY": 1}

    files = [
        word
        for flag, name in (("-l", "launchpad"), ("-w", "fworker"), ("-q", "qadapter"))
        for word in (flag, str(cluster / f"my_{name}.yaml"))
    ]
    (tmp_path / "launches").mkdir()
    words = [str(BIN / "qlaunch"), "-r", *files, "--launch_dir", str(tmp_path / "launches"), "singleshot"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    wait = ["srun", "--dependency=singleton", "--job-name=FW_job", "true"]
    subprocess.run(wait, timeout=900, check=True, capture_output=True)
    told = json.loads(command("status", path, "--json"))["small"]
    assert told["fractions"][0]["states"] == {"completed": 1}, told
