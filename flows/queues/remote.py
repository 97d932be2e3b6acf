"""jobflow-remote as the queue manager: projects, workers, resources and exec configs are those of its own files.

Campaigns are handed over as one flow per configuration; its runner takes them to the scheduler and brings documents
back into the project's JobStore, which must be the campaign's.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from jobflow import Flow, JobStore
from jobflow_remote import SETTINGS
from jobflow_remote.config.base import ConfigError, ExecutionConfig, Project
from jobflow_remote.config.jobconfig import set_run_config
from jobflow_remote.config.manager import ConfigManager
from jobflow_remote.jobs.jobcontroller import JobController
from pydantic import ValidationError
from pymongo.errors import PyMongoError

from ...stores.documents import StepKind
from ...stores.secrets import database_words, redacted, secrets_of
from ..wall_time import time_limit_s
from .job_documents import CAMPAIGN, FIELDS, last_line, queued_job
from .jobs import ALIVE, BEHIND_ANOTHER, HELD, QueuedJob, Resources, act_on, jobs_of, of_state
from .launches import LaunchKind
from .overview import project_of

if TYPE_CHECKING:
    from ..campaign_file import RemoteChoice


class RemoteQueue:
    """A project of jobflow-remote.

    Parameters
    ----------
    controller : of the project.
    choice : what the campaign file says under `launch: remote:`.
    environment : variables that every job of the campaign needs (of a rehearsal), exported by its script.
    """

    kind: LaunchKind = "remote"

    def __init__(
        self, controller: JobController, choice: RemoteChoice, environment: Mapping[str, str] | None = None
    ) -> None:
        self._controller = controller
        self._choice = choice
        self._worker = choice.worker or next(iter(self.project.workers))
        self._exec_config = merged_exec_config(self.project, choice.exec_config, environment or {})

    def for_jobs_with(self, environment: Mapping[str, str]) -> Self:
        """The same project, for jobs that need these variables."""
        return type(self)(self._controller, self._choice, environment)

    @classmethod
    def open(cls, choice: RemoteChoice, environment: Mapping[str, str] | None = None) -> Self:
        """Connect to the project that a campaign file names.

        Raises
        ------
        ValueError
            If project, worker or exec config is not there, or its database cannot be reached.
        """
        project = read_project(choice)
        try:
            controller = JobController.from_project(project)
            controller.jobs.find_one({}, projection=["_id"])  # a server that is not there is noticed with a question
            return cls(controller, choice, environment)
        except PyMongoError as err:
            raise ValueError(f"the queue of project {project.name} cannot be reached: {database_words(err)}") from None
        except Exception as err:  # of the stores' classes, whose arguments stand in the project's file
            secrets = secrets_of([project.queue.store, project.jobstore])
            raise ValueError(
                f"a store of project {project.name} cannot be made ({type(err).__name__}: "
                f"{database_words(err, secrets)}): see `jf project check --errors`"
            ) from None

    @property
    def project(self) -> Project:
        """The project with its workers."""
        project: Project | None = self._controller.project
        assert project is not None  # it was opened from one
        return project

    @property
    def place(self) -> str:
        """Project and worker."""
        return f"jobflow-remote project {self.project.name}, worker {self._worker}"

    def job_store(self) -> JobStore:
        """Where the runner puts documents."""
        store: JobStore | None = self.project.get_jobstore()
        if store is None:
            raise ValueError(f"project {self.project.name} has no jobstore; `valenceflow init cluster` shows one")
        return store

    def submit(self, flow: Flow) -> list[str]:
        """Hand a flow over.

        Raises
        ------
        ValueError
            If the queue's database was never set up, or holds a job of this flow already.
        """
        for job, step in jobs_of(flow):
            set_run_config(job, resources=self.resources(step), dynamic=False)
        ids: list[str] = self._controller.add_flow(
            flow,
            worker=self._worker,
            exec_config=self._exec_config,
            priority=self._choice.priority,
            allow_external_references=True,  # there are none; looking for them takes a fifth of the time
        )
        return ids

    def resources(self, step: StepKind) -> Resources:
        """What the scheduler is asked for: the worker's own, the campaign's over them, the step's over those."""
        base = self.project.workers[self._worker].resources or {}
        return {**base, **self._choice.resources, **self._choice.steps.get(step, {})}

    def check_request(self, step: StepKind) -> None:
        """Does the worker's scheduler know every name of what a step asks for?

        Raises
        ------
        ValueError
            If not.
        """
        self.project.workers[self._worker].get_scheduler_io().generate_header(self.resources(step))

    def wall_time_s(self, step: StepKind) -> int | None:
        """Seconds after which the scheduler kills a job of a step; None where nothing says."""
        resources = self.resources(step)
        if "time" in resources:
            return time_limit_s(resources["time"])
        return time_limit_s(resources["walltime"], bare_s=1) if "walltime" in resources else None  # PBS's name

    def jobs(self, campaign: str) -> list[QueuedJob]:
        """Every job of a campaign, oldest first."""
        found = self._controller.get_jobs({CAMPAIGN: campaign}, projection=list(FIELDS))
        return [queued_job(document) for document in found]

    @property
    def settings_file(self) -> Path | None:
        """The project's file."""
        return Path(ConfigManager().get_project_data(self.project.name).filepath)

    def drop(self, jobs: Sequence[QueuedJob]) -> None:
        """Delete the flows that hold these jobs from the queue; outputs and files stay."""
        flows = self._controller.flows.distinct("uuid", {"jobs": {"$in": [job.uuid for job in jobs]}})
        self._controller.delete_flows(flows, max_limit=0, raise_on_error=True)

    def cancel(self, jobs: Sequence[QueuedJob]) -> int:
        """Stop jobs; what waits behind them is held back."""
        held = self.pause(of_state(jobs, BEHIND_ANOTHER))
        going = of_state(jobs, ALIVE - HELD)  # what is held back does not start, and cannot be stopped
        return held + act_on(going, lambda job: self._controller.stop_job(job_id=job.uuid, job_index=job.index))

    def pause(self, jobs: Sequence[QueuedJob]) -> int:
        """Hold back jobs that no worker has taken up."""
        held = of_state(jobs, BEHIND_ANOTHER | {"READY"})
        return act_on(held, lambda job: self._controller.pause_job(job_id=job.uuid, job_index=job.index))

    def resume(self, jobs: Sequence[QueuedJob]) -> int:
        """Release what was held back."""
        held = of_state(jobs, HELD)
        return act_on(held, lambda job: self._controller.resume_job(job_id=job.uuid, job_index=job.index))


def read_project(choice: RemoteChoice) -> Project:
    """The project that a campaign file names, or jobflow-remote's default, with its worker checked.

    Raises
    ------
    ValueError
        If it cannot be read, or has no such worker or exec config.
    """
    try:
        project: Project = ConfigManager().get_project(choice.project)
    except ConfigError as err:
        unreadable = [f" ({problem})" for problem in unreadable_projects(Path(SETTINGS.projects_folder))]
        said = "".join([_one_line(err), *unreadable])
        raise ValueError(
            f"launch: remote: {said}; `valenceflow init cluster` writes one, `jf project list` shows yours"
        ) from None
    if not project.workers:
        raise ValueError(f"project {project.name} has no worker; `valenceflow init cluster` shows one")
    if choice.worker is not None and choice.worker not in project.workers:
        raise ValueError(f"project {project.name} has no worker {choice.worker!r}; it has {_names(project.workers)}")
    if choice.exec_config is not None and choice.exec_config not in project.exec_config:
        raise ValueError(
            f"project {project.name} has no exec_config {choice.exec_config!r}; it has {_names(project.exec_config)}"
        )
    return project


def unreadable_projects(folder: Path) -> Iterator[str]:
    """Files among the projects that are none, each with its first problem: jobflow-remote passes over them silently.

    Parameters
    ----------
    folder : of jobflow-remote's projects.
    """
    for path in sorted(folder.glob("*")):
        if path.suffix.removeprefix(".") not in ConfigManager.projects_ext:
            continue
        secrets: set[str] = set()
        try:
            content = project_of(path)
            secrets = secrets_of(content)
            Project.model_validate(content)
        except ValidationError as err:
            first = err.errors(include_input=False)[0]
            said = last_line(first["msg"].removeprefix("Value error, "))
            yield redacted(f"{path}: {'.'.join(map(str, first['loc']))}: {said}", secrets)
        except Exception as err:  # jobflow-remote's own checks raise KeyError and others, and it catches them all
            said = (
                _one_line(err) if isinstance(err, ValueError | OSError) else f"{type(err).__name__}: {_one_line(err)}"
            )
            yield redacted(said if said.startswith(str(path)) else f"{path}: {said}", secrets)


def merged_exec_config(project: Project, name: str | None, environment: Mapping[str, str]) -> ExecutionConfig | None:
    """An exec config of the project with variables added; None where there is nothing to say.

    jobflow-remote writes exports unquoted into the job's script, so values are quoted here.
    """
    base = project.exec_config[name] if name is not None else ExecutionConfig()
    if name is None and not environment:
        return None
    quoted = {variable: shlex.quote(value) for variable, value in environment.items()}
    merged: ExecutionConfig = base.model_copy(update={"export": {**(base.export or {}), **quoted}})
    return merged


def _one_line(error: Exception) -> str:
    return re.sub(r"\s+", " ", str(error)) or type(error).__name__


def _names(things: Mapping[str, Any]) -> str:
    return ", ".join(sorted(things)) or "none"
