"""Is everything there for `run --launch remote`: project, databases, runner, worker, and what is installed on it?"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobflow_remote.config.base import ExecutionConfig, Project, WorkerBase
from jobflow_remote.config.helper import check_queue_store, check_worker
from jobflow_remote.jobs.daemon import DaemonManager, DaemonStatus
from maggma.core import Store

from ...stores.connect import Stores
from ...stores.secrets import redacted
from ..runner import campaign_stores
from .findings import QueueFinding, store_finding, tried
from .job_documents import last_line
from .remote import RemoteQueue, read_project
from .requests import granted
from .submission import refuse_other_store

if TYPE_CHECKING:
    from ..campaign_file import Campaign, RemoteChoice

SAME_THERE = ("valenceflow", "jobflow", "jobflow-remote", "atomate2", "pymatgen", "emmet-core", "maggma", "custodian")
"""Packages whose documents pass between submitter and worker."""

ANSWERS_WITHIN_S = 300
"""Imports from a busy network disk take minutes."""

_INSTALL = "install the same there: `pip install -c constraints.txt -e '.[remote]'` in the clone"


def remote_findings(
    choice: RemoteChoice, path: Path | None, campaign: Campaign | None, engine: str
) -> Iterator[QueueFinding]:
    """Look at everything that a launch needs, in the order in which it is needed.

    Parameters
    ----------
    choice : what the campaign file says under `launch: remote:`.
    path, campaign : of the campaign; None: none was given.
    engine : full engine name; what it needs is asked of the worker.
    """
    try:
        project = read_project(choice)
    except ValueError as error:
        what, _, remedy = str(error).partition("; ")
        yield QueueFinding("project", False, redacted(what), remedy)
        return
    name = choice.worker or next(iter(project.workers))
    worker = project.workers[name]
    kind = f"type {worker.type}, {getattr(worker, 'scheduler_type', 'no scheduler')}"
    yield QueueFinding("project", True, f"{project.name}, worker {name} ({kind}); work_dir {worker.work_dir}")
    database = tried(
        "queue database", lambda: _queue_database(project), "start MongoDB, or correct `queue:` of the project"
    )
    yield database
    if campaign is not None:
        if database.ok:
            yield tried(
                "resources",
                lambda: granted(campaign, RemoteQueue.open(choice), choice.steps),
                "correct `launch: remote:` of the campaign file, or `resources:` of the worker",
            )
        stores = campaign_stores(campaign)
        yield store_finding(stores)
        yield tried(
            "jobstore",
            lambda: _same_store(stores, project),
            "make `jobstore:` of the project and `store:` of the campaign the same",
        )
    yield _runner(project)
    yield tried(f"worker {name}", lambda: _worker(worker), "see `jf project check --errors`")
    yield from _environment(name, worker, project.exec_config.get(choice.exec_config or ""), path, engine)


def _queue_database(project: Project) -> str:
    store: Store = project.get_queue_store()  # type: ignore[no-untyped-call]  # jobflow-remote leaves it untyped
    error = check_queue_store(store)
    if error:
        raise ConnectionError(last_line(error))
    return f"{store.name} answers"


def _same_store(stores: Stores, project: Project) -> str:
    theirs = project.get_jobstore()
    if theirs is None:
        raise ValueError(f"project {project.name} has no `jobstore:`; `valenceflow init cluster` shows one")
    refuse_other_store(stores, theirs, f"project {project.name}")
    return "documents come back to the campaign's store"


def _runner(project: Project) -> QueueFinding:
    remedy = "`jf runner start` (here, where it can go on running)"

    def ask() -> str:
        status = DaemonManager.from_project(project).check_status()
        if status != DaemonStatus.RUNNING:
            raise RuntimeError(f"{status.name.lower().replace('_', ' ')}: nothing is submitted and nothing comes back")
        return "running"

    found = tried("runner", ask, remedy)
    # It may run on another machine than this one.
    return QueueFinding(found.name, found.ok, found.found, found.remedy, optional=True)


def _worker(worker: WorkerBase) -> str:
    error, warning = check_worker(worker)
    if error:
        raise ConnectionError(last_line(error))
    said = f"; {' '.join(warning.split())}" if warning else ""
    return f"its scheduler answers, jobs can be written to {worker.work_dir}{said}"


def _environment(
    name: str, worker: WorkerBase, exec_config: ExecutionConfig | None, path: Path | None, engine: str
) -> Iterator[QueueFinding]:
    """What `doctor` says in the environment of a job, on the machine from which the worker submits."""
    host: Any = worker.get_host()  # jobflow-remote leaves its methods untyped
    where = f"on worker {name}"
    try:
        host.connect()
        yield tried(f"scratch {where}", lambda: _room(host, worker), "choose another work_dir, or make room")
        words = ["valenceflow", "doctor", "--json", "--engine", engine]
        if worker.type == "local" and path is not None:
            words.insert(2, str(path.resolve()))
        script = _in_bash([*_before(worker, exec_config), shlex.join(words)])
        out, err, code = host.execute(script, timeout=ANSWERS_WITHIN_S)
    except Exception as error:  # ssh and its libraries raise many kinds
        text = redacted(" ".join(str(error).split()))
        yield QueueFinding(f"environment {where}", False, text, "see `jf project check --errors`")
        return
    finally:
        host.close()
    checks = _checks_in(out)
    if checks is None:
        said = last_line(err) or last_line(out) or f"exit code {code}"
        remedy = "`pre_run` of the worker has to make valenceflow available"
        yield QueueFinding(f"environment {where}", False, redacted(f"valenceflow does not answer: {said}"), remedy)
        return
    yield _versions(where, checks)
    for check in checks:
        if check["name"] in ("VASP", "campaign"):
            yield QueueFinding(f"{check['name']} {where}", check["ok"], check["found"], check["remedy"])


def _before(worker: WorkerBase, exec_config: ExecutionConfig | None) -> list[str]:
    """Lines of shell that a job of the worker begins with."""
    lines = [worker.pre_run or ""]
    if exec_config is not None:
        lines += [f"module load {module}" for module in exec_config.modules or ()]
        lines += [f"export {name}={value}" for name, value in (exec_config.export or {}).items()]
        lines += [exec_config.pre_run or ""]
    return [line for line in lines if line]


def _in_bash(lines: list[str]) -> str:
    return f"bash -c {shlex.quote(chr(10).join(lines))}"


def _room(host: Any, worker: WorkerBase) -> str:
    upwards = f'd={shlex.quote(str(worker.work_dir))}; while [ ! -d "$d" ]; do d=$(dirname "$d"); done; df -PTh "$d"'
    out, err, code = host.execute(_in_bash([upwards]))
    if code:
        raise OSError(last_line(err))
    _, kind, size, _, free, *_ = out.splitlines()[-1].split()
    return f"{worker.work_dir}: {kind}, {free} of {size} free"


def _checks_in(out: str) -> list[dict[str, Any]] | None:
    """The JSON of a doctor, after whatever a pre_run printed."""
    start = out.find("\n[") + 1 if not out.startswith("[") else 0
    try:
        found = json.loads(out[start:])
    except json.JSONDecodeError:
        return None
    return found if isinstance(found, list) else None


def _versions(where: str, checks: list[dict[str, Any]]) -> QueueFinding:
    there = {check["name"]: check["found"] for check in checks}
    here = {name: _version_here(name) for name in SAME_THERE}
    differing = [name for name in SAME_THERE if name in there and there[name] != here[name]]
    if differing:
        told = ", ".join(f"{name} {there[name]} (here {here[name]})" for name in differing)
        return QueueFinding(f"versions {where}", False, told, _INSTALL)
    return QueueFinding(f"versions {where}", True, f"the same as here: {_told(here)}")


def _version_here(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def _told(versions: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {number}" for name, number in versions.items())
