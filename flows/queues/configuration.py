"""Commented configuration of a cluster: stores, jobflow-remote, FireWorks, and an allocation that needs neither.

Templates are files in `templates/`; every value goes in quoted for where it stands (YAML or shell).
"""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from string import Template

from ...stores.secrets import redacted
from ..wall_time import wall_time_s

SCHEDULERS = {"slurm": "SLURM", "pbs": "PBS"}
"""Schedulers that both queue managers can ask for nodes, with FireWorks' names."""

FILES = {
    "store.yaml": "where documents are kept (MongoDB); `store:` of a campaign file",
    "jobflow-remote.yaml": "a project of jobflow-remote, for `run --launch remote`; goes into ~/.jfremote/",
    "my_launchpad.yaml": "FireWorks' database, for `run --launch fireworks`",
    "my_fworker.yaml": "FireWorks' worker",
    "my_qadapter.yaml": "FireWorks' way into the queue",
    "allocation.sbatch": "the way without MongoDB: runs a campaign inside an allocation and requeues itself",
}
"""What is written, and what for."""

ALLOCATION = "allocation.sbatch"
"""The one file that needs no MongoDB."""

_SECRET = frozenset({"store.yaml", "jobflow-remote.yaml", "my_launchpad.yaml"})


MAX_PORT = 65535

_NOT_IN_DATABASES = frozenset('/\\. "$*<>:|?')
"""Letters that MongoDB allows in no database's name."""


@dataclass(frozen=True)
class ClusterAnswers:
    """What a cluster is like.

    Attributes
    ----------
    scheduler : slurm or pbs (the allocation is written for slurm alone).
    work_dir : where jobs run, on a disk that the nodes see.
    vasp_cmd : what starts VASP inside a job.
    potcars : PMG_VASP_PSP_DIR on the nodes.
    activate : shell command that makes `valenceflow` and `jf` available in a job.
    account, partition : empty for the cluster's default.
    nodes, ntasks, time : of one job; time as the scheduler writes it.
    workers : configurations at once in an allocation.
    max_jobs : jobs in the queue at once.
    mongo_* : the database; without a host there is none, and the allocation alone is written. The user is known to the
        database `mongo_auth_source`; empty: to the one that is used.
    """

    scheduler: str = "slurm"
    work_dir: str = "/scratch/valenceflow"
    vasp_cmd: str = "srun vasp_std"
    potcars: str = "/path/to/potcars"
    activate: str = "source ~/valenceflow/.venv/bin/activate"
    account: str = ""
    partition: str = ""
    nodes: int = 1
    ntasks: int = 40
    time: str = "24:00:00"
    workers: int = 1
    max_jobs: int = 50
    project: str = "valenceflow"
    worker: str = "cluster"
    mongo_host: str = "localhost"
    mongo_port: int = 27017
    mongo_database: str = "valenceflow"
    mongo_user: str = ""
    mongo_auth_source: str = ""
    mongo_password: str = ""

    def __post_init__(self) -> None:
        if self.scheduler not in SCHEDULERS:
            raise ValueError(f"scheduler {self.scheduler!r}: choose one of {', '.join(SCHEDULERS)}")
        wall_time_s(self.time)
        self._check_numbers()
        self._check_texts()
        self._check_database()

    def _check_numbers(self) -> None:
        for name in ("nodes", "ntasks", "workers", "max_jobs"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} {getattr(self, name)}: at least 1, please")
        if self.ntasks % self.nodes:
            raise ValueError(f"{self.ntasks} tasks on {self.nodes} nodes: as many on each node, please")
        if self.workers > self.ntasks:
            raise ValueError(f"workers {self.workers} share {self.ntasks} tasks: at least one task for each, please")

    def _check_texts(self) -> None:
        for name in ("activate", "vasp_cmd", "account", "partition", "work_dir", "potcars", "project", "worker"):
            if "\n" in getattr(self, name):
                raise ValueError(f"{name} has a line break: {getattr(self, name)!r}; write it in one line")
        for name in ("vasp_cmd", "potcars", "project", "worker"):
            if not getattr(self, name).strip():
                raise ValueError(f"{name} is empty: say one, or leave the option out for its default")
        for name, value in (("work folder", self.work_dir), ("POTCAR folder", self.potcars)):
            if not Path(value).is_absolute():
                raise ValueError(f"{name} {value!r} is not an absolute path; jobs start elsewhere")
        for name in ("account", "partition"):
            if any(letter.isspace() for letter in getattr(self, name)):
                raise ValueError(f"{name} {getattr(self, name)!r} has a blank in it: schedulers' names have none")
        for name in ("activate", "vasp_cmd"):
            _check_quotes(name, getattr(self, name))
        if "/" in self.project or self.project.startswith("."):
            raise ValueError(f"project {self.project!r} becomes the name of a file: no slashes, no dot before it")

    def _check_database(self) -> None:
        if "@" in self.mongo_host or "/" in self.mongo_host or any(letter.isspace() for letter in self.mongo_host):
            shown = redacted(self.mongo_host if "://" in self.mongo_host else f"mongodb://{self.mongo_host}")
            raise ValueError(f"mongo_host {shown!r} is no host's name alone; port and user have options")
        if not 1 <= self.mongo_port <= MAX_PORT:
            raise ValueError(f"mongo_port {self.mongo_port}: between 1 and {MAX_PORT}, please")
        if self.mongo_host and (not self.mongo_database or set(self.mongo_database) & _NOT_IN_DATABASES):
            raise ValueError(
                f"mongo_database {self.mongo_database!r} is no database's name: a word without blanks, dots, slashes"
            )


def _check_quotes(name: str, command: str) -> None:
    try:
        shlex.split(command, comments=True)
    except ValueError as err:
        raise ValueError(f"{name} {command!r} is no shell command: {err}") from None


def write_cluster_files(folder: Path, answers: ClusterAnswers) -> list[Path]:
    """Write every file that the cluster can use, or none where one is there already.

    Parameters
    ----------
    folder : made where it is missing; files name each other by its absolute path.
    answers : what the cluster is like.

    Raises
    ------
    ValueError
        If a file exists, or the folder cannot be made or written.
    """
    folder = folder.resolve()
    names = usable_files(answers)
    there = [name for name in names if os.path.lexists(folder / name)]
    if there:
        raise ValueError(f"{folder} has {', '.join(there)}; name another folder, or move them away")
    texts = {folder / name: cluster_file(name, folder, answers) for name in names}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _write_all(texts)
    except (FileExistsError, NotADirectoryError):
        raise ValueError(f"{folder} is no folder, or lies in none: name a new one, or one that is there") from None
    except OSError as err:
        raise ValueError(f"{folder} cannot be written ({err.strerror}); name another folder") from err
    return list(texts)


def _write_all(texts: Mapping[Path, str]) -> None:
    """Write every file, or none."""
    written = []
    try:
        for path, text in texts.items():
            path.touch(mode=0o600 if path.name in _SECRET else 0o666, exist_ok=False)
            written.append(path)
            path.write_text(text, encoding="utf-8")
    except OSError:
        for path in written:
            path.unlink()
        raise


def usable_files(answers: ClusterAnswers) -> list[str]:
    """Names among `FILES` that are of use: queue managers need MongoDB, the allocation needs Slurm."""
    allocation = [ALLOCATION] if answers.scheduler == "slurm" else []
    managers = [name for name in FILES if name != ALLOCATION] if answers.mongo_host else []
    if not [*managers, *allocation]:
        raise ValueError(
            f"no MongoDB and no Slurm but {answers.scheduler}: there is nothing to write; inside a job of your own, "
            "`valenceflow run CAMPAIGN.yaml --wall-time H:M:S` stops in time and exits with 75 while work is left"
        )
    return [*managers, *allocation]


def cluster_file(name: str, folder: Path, answers: ClusterAnswers) -> str:
    """Text of one file.

    Parameters
    ----------
    name : one of `FILES`.
    folder : where it will be, for those that name another.
    answers : what the cluster is like.
    """
    template = files(f"{__package__}.templates").joinpath(name).read_text(encoding="utf-8")
    values = _shell_values(answers) if name.endswith(".sbatch") else _yaml_values(folder, answers)
    return Template(template).substitute(values)


def _yaml_values(folder: Path, answers: ClusterAnswers) -> dict[str, str]:
    """Values as YAML scalars; JSON's strings are YAML's."""
    plain = {name: json.dumps(value) for name, value in vars(answers).items()}
    plain["mongo_auth_source"] = json.dumps(answers.mongo_auth_source or answers.mongo_database)
    rlaunch = f"rlaunch -l {shlex.quote(f'{folder}/my_launchpad.yaml')} -w {shlex.quote(f'{folder}/my_fworker.yaml')}"
    store = f"export JOBFLOW_CONFIG_FILE={shlex.quote(f'{folder}/store.yaml')}"
    return {
        **plain,
        "resources": "\n".join(f"      {line}" for line in _scalars(remote_resources(answers))),
        "queue": "\n".join(_scalars(fireworks_resources(answers))),
        "pre_run": "\n".join(f"      {line}" for line in _in_every_job(answers)),
        "pre_rocket": "\n".join(f"  {line}" for line in [*_in_every_job(answers), store]),
        "rocket_launch": json.dumps(f"{rlaunch} singleshot"),
        "fw_scheduler": SCHEDULERS[answers.scheduler],
    }


def remote_resources(answers: ClusterAnswers) -> dict[str, str | int]:
    """What a job asks for, in the names of jobflow-remote's scheduler interface (QToolKit)."""
    if answers.scheduler == "slurm":
        asked: dict[str, str | int] = {"nodes": answers.nodes, "ntasks": answers.ntasks, "time": answers.time}
        return {**asked, **_given(account=answers.account, partition=answers.partition)}
    cores = answers.ntasks // answers.nodes
    select = f"select={answers.nodes}:ncpus={cores}:mpiprocs={cores}"
    return {"select": select, "walltime": answers.time, **_given(account=answers.account, queue=answers.partition)}


def fireworks_resources(answers: ClusterAnswers) -> dict[str, str | int]:
    """What a job asks for, in the names of FireWorks' queue adapters."""
    if answers.scheduler == "slurm":
        asked: dict[str, str | int] = {"nodes": answers.nodes, "ntasks": answers.ntasks}
    else:
        asked = {"nnodes": answers.nodes, "ppnode": answers.ntasks // answers.nodes}
    return {**asked, "walltime": answers.time, **_given(account=answers.account, queue=answers.partition)}


def _given(**values: str) -> dict[str, str]:
    return {name: value for name, value in values.items() if value}


def _scalars(values: dict[str, str | int]) -> list[str]:
    return [f"{name}: {json.dumps(value)}" for name, value in values.items()]


def _in_every_job(answers: ClusterAnswers) -> list[str]:
    """Lines of shell before a job."""
    return [
        answers.activate,
        f"export ATOMATE2_VASP_CMD={shlex.quote(answers.vasp_cmd)}",
        'export ATOMATE2_VASP_GAMMA_CMD="$ATOMATE2_VASP_CMD"',
        f"export PMG_VASP_PSP_DIR={shlex.quote(answers.potcars)}",
        "export OMP_NUM_THREADS=1",
    ]


def _shell_values(answers: ClusterAnswers) -> dict[str, str]:
    """Values for the allocation's script."""
    more = [f"#SBATCH --account={answers.account}"] if answers.account else []
    more += [f"#SBATCH --partition={answers.partition}"] if answers.partition else []
    step = answers.vasp_cmd
    if answers.workers > 1 and step.split()[0] == "srun":
        per_worker = max(1, answers.ntasks // answers.workers)
        step = f"srun --exclusive --ntasks={per_worker} {step.removeprefix('srun').strip()}"
    return {
        **{name: str(value) for name, value in vars(answers).items()},
        "sbatch_more": "\n".join(more),
        "step_cmd": shlex.quote(step),
        "potcars": shlex.quote(answers.potcars),
    }
