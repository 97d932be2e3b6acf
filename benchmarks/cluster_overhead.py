"""What a VASP job costs through Slurm and jobflow-remote beyond what any job costs there.

One configuration after the other (two jobs each, on the stand-in) and, in between, two `add` jobs of jobflow-remote's
testing go through a Slurm of one node. A job's time without VASP and custodian, less an `add` job's, is the overhead.
"""

from __future__ import annotations

import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cluster_project import NAME, make_project

SLURM = Path(__file__).resolve().parents[1] / "tests" / "slurm" / "slurm_node.sh"
CAMPAIGN = """\
name: many
host: olivine-NaFePO4
couple: Fe2+/Fe3+
working_ion: {Na: {fraction: 1/2, orderings: {all: true}}}
charge: {all: true}
end_members: false
store: store.yaml
"""
ENGINE = "rehearsal:springs"
JOBS_PER_FLOW = 2
CPU_FILE = "cpu.txt"
STATES = ["CHECKED_OUT", "UPLOADED", "RUN_FINISHED", "DOWNLOADED"]
PATIENCE_S = 900


@contextmanager
def slurm(folder: Path) -> Iterator[None]:
    """A Slurm of one node, as in the tests."""
    with socket.socket() as free:
        free.bind(("", 0))
        port = free.getsockname()[1]
    environment = {**os.environ, "VALENCEFLOW_SLURM_PORT": str(port)}
    subprocess.run([SLURM, "start", folder], check=True, env=environment, stdout=subprocess.DEVNULL)
    os.environ["SLURM_CONF"] = str(folder / "slurm.conf")
    try:
        yield
    finally:
        subprocess.run([SLURM, "stop", folder], check=True)


def overhead(repetitions: int) -> dict[str, float]:
    """Wall and CPU seconds per job, the fastest of both kinds, and what the job's imports cost by themselves.

    Parameters
    ----------
    repetitions : flows of each kind, alternating; at most ten.
    """
    with tempfile.TemporaryDirectory(prefix="valenceflow-overhead-") as made, slurm(Path(made) / "slurm"):
        ours, adds, vasp, cpu_ours, cpu_adds = [], [], [], [], []
        for wall, phases, cpu in _through_the_queue(Path(made), repetitions):
            if phases is None:
                adds.append(wall)
                cpu_adds.append(cpu)
            else:
                ours.append(wall - phases)
                vasp.append(phases)
                cpu_ours.append(cpu)
    imports = min(_imports("jobflow_remote.cli.execution, valenceflow.flows.vasp_job") for _ in range(3))
    imports -= min(_imports("jobflow_remote.cli.execution, jobflow_remote.testing") for _ in range(3))
    stock = min(_imports("jobflow_remote.cli.execution, atomate2.vasp.jobs.base") for _ in range(3))
    stock -= min(_imports("jobflow_remote.cli.execution, jobflow_remote.testing") for _ in range(3))
    return {
        "flows of each kind": repetitions,
        "our job without VASP and custodian, s": min(ours),
        "add job, s": min(adds),
        "overhead, s": min(ours) - min(adds),
        "overhead, s, medians": statistics.median(ours) - statistics.median(adds),
        "VASP and custodian, s": min(vasp),
        "our job with VASP, CPU s on the node": min(cpu_ours),
        "add job, CPU s on the node": min(cpu_adds),
        "imports of our job beyond an add job's, CPU s": imports,
        "of them atomate2's VASP job, CPU s": stock,
    }


def _through_the_queue(folder: Path, repetitions: int) -> Iterator[tuple[float, float | None, float]]:
    """Per flow: wall s, s of VASP and custodian (None: an `add` flow) and CPU s on the node, all per job."""
    from jobflow import Flow
    from jobflow_remote import set_run_config
    from jobflow_remote.jobs.runner import Runner
    from jobflow_remote.testing import add
    from valenceflow.flows.campaign_file import read_campaign
    from valenceflow.flows.preflight import worker_environment
    from valenceflow.flows.queues.remote import RemoteQueue
    from valenceflow.flows.queues.submission import hand_over
    from valenceflow.flows.runner import make_folder, plan, prepare

    controller = make_project(
        folder,
        CAMPAIGN,
        pre_run=f'export PATH="{Path(sys.executable).parent}:$PATH" OMP_NUM_THREADS=1',
        post_run=f"times > {CPU_FILE}",
        resources={"nodes": 1, "ntasks": 1, "time": "00:10:00"},
    )
    described = read_campaign(folder / f"{NAME}.yaml")
    make_folder(described.folder)
    prepared = prepare(described, ENGINE, plan(described, ENGINE))
    del prepared.todo[repetitions:]
    queue = RemoteQueue(controller, described.file.launch.remote, worker_environment(described, ENGINE))
    runner = Runner(NAME)
    runner.job_controller = controller
    todo, prepared.todo[:] = list(prepared.todo), []
    for configuration in todo:
        first = add(1, 2)
        flow = Flow([first, add(first.output, 3)])
        set_run_config(flow, exec_config=None)
        before, begin = _folders(controller), time.perf_counter()
        controller.add_flow(flow, worker="here")
        yield _run(runner, begin) / JOBS_PER_FLOW, None, _cpu(_folders(controller) - before)

        prepared.todo[:] = [configuration]
        before, begin = _folders(controller), time.perf_counter()
        (handed,) = hand_over(prepared, queue)
        assert len(handed.queue_ids) == JOBS_PER_FLOW
        wall = _run(runner, begin) / JOBS_PER_FLOW
        documents = prepared.stores.docs().query({"uuid": {"$in": list(configuration.job_uuids.values())}})
        vasp = [document["output"]["timings_s"]["vasp and custodian"] for document in documents]
        assert len(vasp) == JOBS_PER_FLOW
        yield wall, sum(vasp) / JOBS_PER_FLOW, _cpu(_folders(controller) - before)


def _run(runner, begin: float) -> float:
    """Let the runner work without a pause until every job has ended; returns the seconds since `begin`."""
    from jobflow_remote.jobs.state import JobState

    while True:
        runner.checkout()
        runner.advance_state(STATES)
        runner.check_run_status()
        states = {job.state for job in runner.job_controller.get_jobs_info()}
        if states == {JobState.COMPLETED}:
            return time.perf_counter() - begin
        assert not states & {JobState.FAILED, JobState.REMOTE_ERROR}, states
        assert time.perf_counter() - begin < PATIENCE_S, states


def _folders(controller) -> set[str]:
    return {job.run_dir for job in controller.get_jobs_info() if job.run_dir}


def _cpu(folders: set[str]) -> float:
    """CPU seconds per job that the shells of job scripts and their children took, as bash's `times` prints them."""
    total = 0.0
    for folder in folders:
        for word in (Path(folder) / CPU_FILE).read_text(encoding="utf-8").split():
            minutes, _, seconds = word.removesuffix("s").partition("m")
            total += 60 * float(minutes) + float(seconds)
    return total / len(folders)


def _imports(modules: str) -> float:
    """CPU seconds of a Python that imports modules."""
    before = os.times()
    subprocess.run([sys.executable, "-W", "ignore", "-c", f"import {modules}"], check=True)
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system
