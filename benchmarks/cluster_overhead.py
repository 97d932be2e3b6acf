"""What a VASP job costs through Slurm and jobflow-remote beyond what any job costs there.

One configuration after the other (two jobs each, on the stand-in) and, in between, two `add` jobs of jobflow-remote's
testing and two of atomate2's static calculations (on the stand-in too) go through a Slurm of one node. A job's time
without VASP and custodian, less an `add` job's, is the overhead; atomate2's job says how much of it any VASP job takes.
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
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

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


@dataclass(frozen=True)
class Measured:
    """What a job of one kind took, mean of those of a flow: wall s, of them VASP and custodian, CPU s on the node."""

    kind: Literal["ours", "add", "atomate2"]
    wall: float
    vasp: float
    cpu: float


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
        found = list(_through_the_queue(Path(made), repetitions))
    ours, adds, stock = ([each for each in found if each.kind == kind] for kind in ("ours", "add", "atomate2"))
    without = [each.wall - each.vasp for each in ours]
    waits = [each.wall for each in adds]
    least = {kind: min(each.cpu for each in of) for kind, of in (("ours", ours), ("add", adds), ("atomate2", stock))}
    none = min(_imports("jobflow_remote.cli.execution, jobflow_remote.testing") for _ in range(3))
    imports = min(_imports("jobflow_remote.cli.execution, valenceflow.flows.vasp_job") for _ in range(3))
    theirs = min(_imports("jobflow_remote.cli.execution, atomate2.vasp.jobs.base") for _ in range(3))
    return {
        "flows of each kind": repetitions,
        "our job without VASP and custodian, s": min(without),
        "add job, s": min(waits),
        "overhead, s": min(without) - min(waits),
        "overhead, s, medians": statistics.median(without) - statistics.median(waits),
        "VASP and custodian, s": min(each.vasp for each in ours),
        "our job with VASP, CPU s on the node": least["ours"],
        "atomate2's static job with VASP, CPU s on the node": least["atomate2"],
        "add job, CPU s on the node": least["add"],
        "imports of our job beyond an add job's, CPU s": imports - none,
        "of them atomate2's VASP job, CPU s": theirs - none,
    }


def _through_the_queue(folder: Path, repetitions: int) -> Iterator[Measured]:
    """Flows of each kind in turn."""
    from valenceflow.flows.campaign_file import read_campaign
    from valenceflow.flows.preflight import worker_environment
    from valenceflow.flows.queues.remote import RemoteQueue, merged_exec_config
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
    environment = worker_environment(described, ENGINE)
    queue = RemoteQueue(controller, described.file.launch.remote, environment)
    stock = merged_exec_config(queue.project, None, environment)
    todo, prepared.todo[:] = list(prepared.todo[:repetitions]), []
    for configuration in todo:
        yield Measured("add", *_of_others(controller, _two_adds(), None))
        yield Measured("atomate2", *_of_others(controller, _two_static(described.cell.structure), stock))

        prepared.todo[:] = [configuration]
        before, begin = _folders(controller), time.perf_counter()
        (handed,) = hand_over(prepared, queue)
        assert len(handed.queue_ids) == JOBS_PER_FLOW
        wall = _run(controller, begin) / JOBS_PER_FLOW
        documents = prepared.stores.docs().query({"uuid": {"$in": list(configuration.job_uuids.values())}})
        vasp = [document["output"]["timings_s"]["vasp and custodian"] for document in documents]
        assert len(vasp) == JOBS_PER_FLOW
        yield Measured("ours", wall, sum(vasp) / JOBS_PER_FLOW, _cpu(_folders(controller) - before))


def _two_adds() -> Any:
    from jobflow import Flow
    from jobflow_remote.testing import add

    first = add(1, 2)
    return Flow([first, add(first.output, 3)])


def _two_static(structure: Any) -> Any:
    """atomate2's own static calculation, twice, of the POTCARs that the stand-in has."""
    from atomate2.vasp.jobs.core import StaticMaker
    from atomate2.vasp.sets.core import StaticSetGenerator
    from jobflow import Flow

    maker = StaticMaker(input_set_generator=StaticSetGenerator(user_potcar_settings={"Na": "Na_pv", "Fe": "Fe_pv"}))
    return Flow([maker.make(structure) for _ in range(JOBS_PER_FLOW)])


def _of_others(controller, flow, exec_config) -> tuple[float, float, float]:
    """Wall s, 0 s of VASP and CPU s on the node per job of a flow that is not ours."""
    from jobflow_remote import set_run_config

    set_run_config(flow, exec_config=exec_config)
    before, begin = _folders(controller), time.perf_counter()
    controller.add_flow(flow, worker="here")
    return _run(controller, begin) / JOBS_PER_FLOW, 0.0, _cpu(_folders(controller) - before)


def _run(controller, begin: float) -> float:
    """Let a runner work without a pause until every job has ended; returns the seconds since `begin`."""
    from jobflow_remote.jobs.runner import Runner
    from jobflow_remote.jobs.state import JobState

    runner = Runner(NAME)
    runner.job_controller = controller
    while True:
        runner.checkout()
        runner.advance_state(STATES)
        runner.check_run_status()
        states = {job.state for job in controller.get_jobs_info()}
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
