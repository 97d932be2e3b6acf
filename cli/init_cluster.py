"""`valenceflow init cluster`: commented configuration of stores and queues, from questions or options."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from ..flows.queues.configuration import ClusterAnswers

PASSWORD_VARIABLE = "VALENCEFLOW_MONGO_PASSWORD"  # noqa: S105 - a name
"""Where the password comes from; an option would stay in the shell's history and in lists of processes."""

NONE = "none"
"""What is answered where there is no MongoDB."""

QUESTIONS = {
    "scheduler": "Scheduler (slurm, pbs)",
    "account": "Account to charge (empty: the cluster's default)",
    "partition": "Partition or queue (empty: the cluster's default)",
    "nodes": "Nodes of one VASP job",
    "ntasks": "MPI ranks of one VASP job",
    "time": "Wall time of one job, H:M:S",
    "vasp_cmd": "Command that starts VASP in a job",
    "potcars": "POTCAR folder (PMG_VASP_PSP_DIR) on the nodes",
    "activate": "Shell command that makes valenceflow available in a job",
    "mongo_host": f"MongoDB host ({NONE}: one allocation runs a campaign by itself)",
}
"""What is asked for first, in this order."""

WITH_MONGODB = {
    "mongo_port": "MongoDB port",
    "mongo_database": "MongoDB database",
    "mongo_user": "MongoDB user (empty: none)",
    "work_dir": "Folder in which jobs run, seen by the nodes",
    "max_jobs": "Jobs in the queue at once",
}
WITHOUT_MONGODB = {"workers": "Configurations at once in an allocation"}


def cluster(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where the files are written.")] = Path("cluster"),
    scheduler: Annotated[str | None, typer.Option(help="slurm or pbs.", show_default=False)] = None,
    account: Annotated[str | None, typer.Option(help="What is charged.", show_default=False)] = None,
    partition: Annotated[str | None, typer.Option(help="Partition or queue.", show_default=False)] = None,
    nodes: Annotated[int | None, typer.Option(help="Of one VASP job.", show_default=False)] = None,
    ntasks: Annotated[int | None, typer.Option(help="MPI ranks of one VASP job.", show_default=False)] = None,
    time: Annotated[str | None, typer.Option(help="Wall time of one job, H:M:S.", show_default=False)] = None,
    vasp_cmd: Annotated[str | None, typer.Option(help="Starts VASP in a job.", show_default=False)] = None,
    potcars: Annotated[str | None, typer.Option(help="PMG_VASP_PSP_DIR there.", show_default=False)] = None,
    activate: Annotated[
        str | None, typer.Option(help="Shell command that makes valenceflow available.", show_default=False)
    ] = None,
    workers: Annotated[
        int | None, typer.Option(help="Configurations at once in an allocation.", show_default=False)
    ] = None,
    work_dir: Annotated[str | None, typer.Option(help="Where a queue's jobs run.", show_default=False)] = None,
    max_jobs: Annotated[int | None, typer.Option(help="Jobs in the queue at once.", show_default=False)] = None,
    project: Annotated[str | None, typer.Option(help="Name of jobflow-remote's project.", show_default=False)] = None,
    mongo_host: Annotated[str | None, typer.Option(help=f"Host of MongoDB, or {NONE}.", show_default=False)] = None,
    mongo_port: Annotated[int | None, typer.Option(help="Its port.", show_default=False)] = None,
    mongo_database: Annotated[str | None, typer.Option(help="Its database.", show_default=False)] = None,
    mongo_user: Annotated[
        str | None, typer.Option(help=f"Its user; the password comes from ${PASSWORD_VARIABLE}.", show_default=False)
    ] = None,
    mongo_auth_source: Annotated[
        str | None, typer.Option(help="The database that knows the user.", show_default=False)
    ] = None,
) -> None:
    """Write commented configuration of queues, stores, allocation.

    For jobflow-remote, FireWorks, jobflow's store, and a Slurm allocation that needs no MongoDB.

    On a terminal, what no option says is asked for; elsewhere it gets its default.
    """
    from ..flows.queues.configuration import FILES, ClusterAnswers, write_cluster_files  # noqa: PLC0415 - start-up

    given = {name: value for name, value in locals().items() if name in vars(ClusterAnswers()) and value is not None}
    is_terminal = sys.stdin is not None and sys.stdin.isatty()  # a closed one is None
    answers = ClusterAnswers(**_asked({**found_here(), **given}, given, is_terminal))
    for path in write_cluster_files(folder, answers):
        typer.echo(f"{path}: {FILES[path.name]}")
    for line in next_lines(folder.resolve(), answers):
        typer.echo(line)


def found_here() -> dict[str, Any]:
    """What this machine says of itself, as defaults."""
    from ..flows.preflight import vasp_settings  # noqa: PLC0415 - pymatgen

    settings = vasp_settings()
    found = {
        "scheduler": "pbs" if shutil.which("qsub") and not shutil.which("sbatch") else "slurm",
        "work_dir": f"{os.environ.get('SCRATCH') or Path.home()}/valenceflow",
        "activate": f"source {Path(sys.prefix) / 'bin' / 'activate'}" if sys.prefix != sys.base_prefix else "",
        "vasp_cmd": "" if settings["VASP_CMD"] == "vasp_std" else settings["VASP_CMD"],
        "potcars": settings["PMG_VASP_PSP_DIR"],
    }
    return {name: value for name, value in found.items() if value}


def _asked(known: dict[str, Any], given: dict[str, Any], is_terminal: bool) -> dict[str, Any]:
    """Answers to everything: options, then questions (on a terminal), then defaults."""
    from ..flows.queues.configuration import ClusterAnswers  # noqa: PLC0415 - start-up

    answers = {**vars(ClusterAnswers()), **known}
    if is_terminal:
        _ask(QUESTIONS, answers, given)
    if answers["mongo_host"] == NONE:
        answers["mongo_host"] = ""
    if is_terminal:
        _ask(WITH_MONGODB if answers["mongo_host"] else WITHOUT_MONGODB, answers, given)
    if answers["mongo_host"] and answers["mongo_user"]:
        answers["mongo_password"] = _password(answers["mongo_user"], is_terminal)
    return answers


def _ask(questions: dict[str, str], answers: dict[str, Any], given: dict[str, Any]) -> None:
    """Ask what no option said; what is there is the default."""
    for name, question in questions.items():
        if name not in given:
            kind = type(answers[name])
            answers[name] = typer.prompt(question, default=answers[name], type=kind, err=True)


def _password(user: str, is_terminal: bool) -> str:
    password = os.environ.get(PASSWORD_VARIABLE)
    if password is None and is_terminal:
        password = str(typer.prompt(f"MongoDB password of {user}", hide_input=True, err=True))
    if not password:
        raise ValueError(f"MongoDB user {user} without a password: put it into ${PASSWORD_VARIABLE}")
    return password


def next_lines(folder: Path, answers: ClusterAnswers) -> list[str]:
    """What to type next."""
    from .wording import shell_words  # noqa: PLC0415 - start-up

    lines = ["look through them; every value is a line of yours to change. Then:"]
    if answers.mongo_host:
        home = f"~/.jfremote/{shell_words(f'{answers.project}.yaml')}"
        lines += [
            f"  store: {folder / 'store.yaml'}       # into the campaign file",
            f"  mkdir -p ~/.jfremote && install -m 600 {shell_words(folder / 'jobflow-remote.yaml')} {home}",
            "  jf project check --errors && jf admin reset && jf runner start   # reset empties the queue: once",
            "  valenceflow doctor CAMPAIGN.yaml --launch remote",
            "  valenceflow run CAMPAIGN.yaml --launch remote",
        ]
    if answers.scheduler == "slurm":
        lines.append(f"  sbatch {shell_words(folder / 'allocation.sbatch')} CAMPAIGN.yaml   # without MongoDB")
    return lines
