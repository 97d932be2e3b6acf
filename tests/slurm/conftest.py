"""A Slurm of one node on this machine, and projects of jobflow-remote that run on it."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from jobflow_remote.config.manager import ConfigManager
from jobflow_remote.jobs.jobcontroller import JobController
from jobflow_remote.jobs.runner import Runner
from valenceflow.flows.campaign_file import Campaign, read_campaign
from valenceflow.flows.preflight import worker_environment
from valenceflow.flows.queues.remote import RemoteQueue
from valenceflow.flows.runner import Prepared, make_folder, plan, prepare

SCRIPT = Path(__file__).with_name("slurm_node.sh")
ENGINE = "rehearsal:springs"
PATIENCE_S = 900
"""For what takes seconds on a machine of its own, and minutes on one that runs much else."""

_STATES = ["CHECKED_OUT", "UPLOADED", "RUN_FINISHED", "DOWNLOADED"]
CAMPAIGN = """\
name: trial
host: olivine-NaFePO4
couple: Fe2+/Fe3+
working_ion: {Na: {fraction: [1/2], orderings: {sample: 1, seed: 1}}}
charge: {sample: 2, seed: 1}
store: store.yaml
end_members: false
"""


@pytest.fixture(scope="session")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """SLURM_CONF of a running Slurm."""
    if shutil.which("sbatch") is None or shutil.which("munged") is None:
        pytest.skip("no Slurm here: apt-get install slurm-wlm munge")
    if os.geteuid() != 0:
        pytest.skip("bringing up a Slurm takes root")
    folder = tmp_path_factory.mktemp("slurm")
    environment = {**os.environ, "VALENCEFLOW_SLURM_PORT": str(_two_free_ports())}
    subprocess.run([SCRIPT, "start", folder], check=True, capture_output=True, timeout=240, env=environment)
    os.environ["SLURM_CONF"] = str(folder / "slurm.conf")
    yield folder / "slurm.conf"
    del os.environ["SLURM_CONF"]
    subprocess.run([SCRIPT, "stop", folder], check=True, timeout=240)


def _two_free_ports() -> int:
    """A port that nobody listens on, nor on the next: another node may run on this machine."""
    while True:
        with socket.socket() as first, socket.socket() as second:
            first.bind(("", 0))
            port: int = first.getsockname()[1]
            try:
                second.bind(("", port + 1))
            except (OSError, OverflowError):
                continue
            return port


def queued_jobs(*of: str) -> list[list[str]]:
    """Number, state and reason of every job in Slurm's queue, or of one that `squeue` is told to list.

    A job that has left Slurm's memory is in no queue. Whatever else squeue fails with says nothing of the queue.
    """
    words = ["squeue", "--noheader", "--format=%A|%T|%r", *of]
    listed = subprocess.run(words, check=False, capture_output=True, text=True)
    if listed.returncode and "Invalid job id" not in listed.stderr:
        raise AssertionError(f"squeue failed: {listed.stderr}")
    return [line.split("|") for line in listed.stdout.splitlines()]


@pytest.fixture
def wait_for_end(slurm: Path) -> Callable[[str], None]:
    """Function that waits until Slurm has no such job; one that was requeued begins in seconds instead of minutes.

    Not at once: slurmd refuses what it launches within the second in which it ended the same job, as "already killed".
    """

    def wait(job: str) -> None:
        end = time.monotonic() + PATIENCE_S
        brought_forward = False
        while listed := queued_jobs(f"--jobs={job}"):
            assert time.monotonic() < end, f"still there after {PATIENCE_S} s: {listed}"
            if not brought_forward and any(reason == "BeginTime" for _, _, reason in listed):
                subprocess.run(["scontrol", "update", f"jobid={job}", "starttime=now+5"], check=True)
                brought_forward = True
            time.sleep(1)

    return wait


@pytest.fixture
def command() -> Callable[..., str]:
    """Function that runs a valenceflow command as a process of its own and returns what it prints."""

    def run(*arguments: object) -> str:
        words = [sys.executable, "-m", "valenceflow.cli.main", *map(str, arguments)]
        done = subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


@dataclass
class Trial:
    """A campaign whose jobs go through jobflow-remote to Slurm."""

    campaign: Campaign
    controller: JobController
    runner: Runner

    def prepared(self) -> Prepared:
        """The campaign as `run` prepares it."""
        return prepare(self.campaign, ENGINE, plan(self.campaign, ENGINE))

    def queue(self, fault: str | None = None) -> RemoteQueue:
        """Its queue, for jobs of the stand-in."""
        environment = worker_environment(self.campaign, ENGINE, fault)
        return RemoteQueue(self.controller, self.campaign.file.launch.remote, environment)

    def run_until(self, condition: Callable[[], bool], seconds: int = PATIENCE_S) -> None:
        """Let the runner work until something is so."""
        end = time.monotonic() + seconds
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # as in `run`
            while not condition():
                assert time.monotonic() < end, f"not so after {seconds} s: {self.states()}"
                self.runner.checkout()
                self.runner.advance_state(_STATES)
                self.runner.check_run_status()
                time.sleep(0.5)

    def has_left(self, name: str) -> Callable[[], bool]:
        """Whether some job has written a file that is not empty; packed where the job has ended since."""
        return lambda: any(p.stat().st_size for p in self.campaign.path.parent.glob(f"work/*/*/*/*/{name}*"))

    def states(self) -> list[str]:
        """State of every job."""
        return [job.state for job in self.queue().jobs("trial")]

    def run(self, seconds: int = PATIENCE_S) -> None:
        """Let the runner work until every job has ended, at most so long."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # jobflow-remote 1.0.1 uses what monty and pydantic deprecate
            self.runner.run_all_jobs(max_seconds=seconds)


@pytest.fixture
def trial(slurm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Trial]]:
    """Function that makes a trial from lines to add to the campaign file, and settings of the worker.

    What it left in Slurm's queue is ended.

    jobflow-remote's queue wants MongoDB; a MemoryStore serves where controller and runner share it in one process.
    """

    def make(more: str = "", **worker: object) -> Trial:
        job_store = {
            "@module": "jobflow.core.store",
            "@class": "JobStore",
            "docs_store": _store(tmp_path, "jobs"),
            "additional_stores": {"data": {**_store(tmp_path, "data"), "key": "blob_uuid"}},
        }
        (tmp_path / "store.yaml").write_text(yaml.safe_dump({"JOB_STORE": job_store}), encoding="utf-8")
        projects = tmp_path / "projects"
        projects.mkdir()
        (projects / "trial.yaml").write_text(yaml.safe_dump(_project(tmp_path, job_store, worker)), encoding="utf-8")
        monkeypatch.setattr("jobflow_remote.SETTINGS.projects_folder", str(projects))
        (tmp_path / "campaign.yaml").write_text(CAMPAIGN + more, encoding="utf-8")
        campaign = read_campaign(tmp_path / "campaign.yaml")
        make_folder(campaign.folder)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # as in `Trial.run`
            return _trial(campaign)

    yield make
    end = time.monotonic() + PATIENCE_S
    while listed := queued_jobs():
        assert time.monotonic() < end, f"not ended by scancel: {listed}"
        subprocess.run(["scancel", f"--user={getpass.getuser()}"], check=True)
        time.sleep(1)


def _trial(campaign: Campaign) -> Trial:
    controller = JobController.from_project(ConfigManager().get_project("trial"))
    controller.reset(reset_output=False)
    runner = Runner("trial")
    runner.job_controller = controller
    return Trial(campaign, controller, runner)


def _store(folder: Path, collection: str) -> dict[str, str]:
    path = str(folder / "store.sqlite")
    return {"@module": "valenceflow.stores.sqlite", "@class": "SQLiteStore", "path": path, "collection": collection}


def _project(folder: Path, job_store: dict[str, object], worker: dict[str, object]) -> dict[str, object]:
    return {
        "name": "trial",
        # A squeue or sbatch that fails once on a busy machine is tried again.
        "runner": {
            **{"delay_checkout": 1, "delay_check_run_status": 1, "delay_advance_status": 1},
            **{"max_step_attempts": 5, "delta_retry": [2, 5, 10, 30]},
        },
        "workers": {
            "cluster": {
                "type": "local",
                "scheduler_type": "slurm",
                "work_dir": str(folder / "work"),
                "pre_run": f'export PATH="{Path(sys.executable).parent}:$PATH" OMP_NUM_THREADS=1',
                "resources": {"nodes": 1, "ntasks": 1, "time": "00:10:00"},
                **worker,
            }
        },
        "queue": {"store": {"type": "MemoryStore", "collection_name": "jobs"}},
        "jobstore": job_store,
    }
