"""FireWorks as the queue manager: one workflow per configuration on the user's LaunchPad, run by qlaunch or rlaunch.

Documents go where JOB_STORE of the worker's own jobflow settings says, so that no password is written into a workflow.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from fireworks import FWAction, LaunchPad, Workflow
from fireworks.utilities.fw_serializers import serialize_fw
from jobflow import Flow
from jobflow.managers.fireworks import JobFiretask, flow_to_workflow
from monty.json import jsanitize

from ...stores.documents import StepKind
from ..wall_time import time_limit_s
from .jobs import ALIVE, BEHIND_ANOTHER, HELD, QueuedJob, Resources, act_on, jobs_of, of_state
from .launches import LaunchKind
from .launchpad_jobs import launchpad_jobs, launchpad_place, open_launchpad

if TYPE_CHECKING:
    from ..campaign_file import FireWorksChoice

ENVIRONMENT = "valenceflow_environment"
"""Field of a job's spec with the variables that it needs."""


class FireWorksQueue:
    """A LaunchPad.

    Parameters
    ----------
    launchpad : connected.
    choice : what the campaign file says under `launch: fireworks:`.
    environment : variables that every job of the campaign needs (of a rehearsal); the job sets them, as a queue
        script's `pre_rocket` would replace that of the user's my_qadapter.yaml.
    file : that it was opened from; None: FireWorks' own default.
    """

    kind: LaunchKind = "fireworks"

    def __init__(
        self,
        launchpad: LaunchPad,
        choice: FireWorksChoice,
        environment: Mapping[str, str] | None = None,
        file: Path | None = None,
    ) -> None:
        self._file = file
        self._launchpad = launchpad
        self._choice = choice
        self._environment = dict(environment or {})

    @classmethod
    def open(cls, choice: FireWorksChoice, beside: Path, environment: Mapping[str, str] | None = None) -> Self:
        """Connect to the LaunchPad of a file, or to FireWorks' default one.

        Raises
        ------
        ValueError
            If the file is missing or wrong, or its database cannot be reached.
        """
        file = None if choice.launchpad is None else beside / choice.launchpad
        return cls(open_launchpad(file), choice, environment, file)

    @property
    def place(self) -> str:
        """Host and database."""
        return launchpad_place(self._launchpad)

    def submit(self, flow: Flow) -> list[str]:
        """Add a workflow; returns the fw_ids."""
        for job, step in jobs_of(flow):
            job.update_config({"manager_config": self.spec(step)}, dynamic=False)
        ids = self._launchpad.add_wf(readable_workflow(flow))
        return [str(fw_id) for fw_id in ids.values()]

    def spec(self, step: StepKind) -> dict[str, Any]:
        """Priority, category and what the queue is asked for."""
        queue = self.resources(step)
        spec: dict[str, Any] = {"_priority": self._choice.priority}
        if self._environment:
            spec[ENVIRONMENT] = self._environment
        if self._choice.category is not None:
            spec["_category"] = self._choice.category
        if queue:
            spec["_queueadapter"] = queue
        return spec

    def for_jobs_with(self, environment: Mapping[str, str]) -> Self:
        """The same LaunchPad, for jobs that need these variables."""
        return type(self)(self._launchpad, self._choice, environment, self._file)

    def resources(self, step: StepKind) -> Resources:
        """What the campaign file asks the scheduler for, over my_qadapter.yaml."""
        return {**self._choice.queue, **self._choice.steps.get(step, {})}

    def check_request(self, step: StepKind) -> None:
        """Nothing is refused: which names there are is a matter of the template that qlaunch fills in elsewhere."""

    def wall_time_s(self, step: StepKind) -> int | None:
        """Seconds after which the scheduler kills a job of a step; None where the campaign file does not say."""
        text = self.resources(step).get("walltime")
        return None if text is None else time_limit_s(text)

    def jobs(self, campaign: str) -> list[QueuedJob]:
        """Every job of a campaign, oldest first."""
        return launchpad_jobs(self._launchpad, campaign)

    @property
    def settings_file(self) -> Path | None:
        """The LaunchPad's file; None: FireWorks' own default."""
        return self._file

    def drop(self, jobs: Sequence[QueuedJob]) -> None:
        """Delete the workflows that hold these jobs; outputs and files stay."""
        with redirect_stdout(None):  # FireWorks prints a line for each
            for fw_id in self._workflows(jobs):
                self._launchpad.delete_wf(fw_id)

    def _workflows(self, jobs: Sequence[QueuedJob]) -> Iterator[int]:
        """One fw_id of each workflow."""
        ids = [int(job.queue_id) for job in jobs]
        for workflow in self._launchpad.workflows.find({"nodes": {"$in": ids}}, projection=["nodes"]):
            yield workflow["nodes"][0]

    def cancel(self, jobs: Sequence[QueuedJob]) -> int:
        """Defuse jobs; a running one is left by FireWorks to end by itself, and what it leaves is kept."""
        return act_on(of_state(jobs, ALIVE | BEHIND_ANOTHER), lambda job: self._launchpad.defuse_fw(int(job.queue_id)))

    def pause(self, jobs: Sequence[QueuedJob]) -> int:
        """Hold back jobs that no worker has taken up."""
        held = of_state(jobs, BEHIND_ANOTHER | {"READY", "SUBMITTED"})
        return act_on(held, lambda job: self._launchpad.pause_fw(int(job.queue_id)))

    def resume(self, jobs: Sequence[QueuedJob]) -> int:
        """Release what was held back."""
        return act_on(of_state(jobs, HELD), lambda job: self._launchpad.resume_fw(int(job.queue_id)))


def readable_workflow(flow: Flow) -> Workflow:
    """A workflow whose jobs can be read back from FireWorks' database, however often it writes them anew."""
    return _strictly_written(flow_to_workflow(flow))


def _strictly_written(workflow: Workflow) -> Workflow:
    for firework in workflow.fws:
        firework.tasks = [StrictJobFiretask(**task) for task in firework.tasks]
    return workflow


def take_environment(wanted: Mapping[str, str]) -> None:
    """Set variables for the jobs of this process, and what atomate2 and pymatgen made of them.

    Both read theirs when they are imported, which reading a job from FireWorks' database has done.
    """
    if not wanted:
        return
    from atomate2 import SETTINGS as ATOMATE2  # noqa: PLC0415 - seconds, and submitters need it not
    from pymatgen.core import SETTINGS as PYMATGEN  # noqa: PLC0415

    os.environ.update(wanted)
    for name, value in type(ATOMATE2)():
        setattr(ATOMATE2, name, value)
    PYMATGEN.update({name: value for name, value in wanted.items() if name.startswith("PMG_")})


class StrictJobFiretask(JobFiretask):
    """A job that sets the variables it needs, and is written strictly.

    jobflow 0.4.0 writes it by jsanitize without `strict`, which turns a pydantic model, as the protocol, to a `str`.
    """

    _fw_name = f"{{{{{__name__}.StrictJobFiretask}}}}"

    @serialize_fw  # type: ignore[untyped-decorator]  # FireWorks is untyped
    def to_dict(self) -> dict[str, Any]:
        """The task as plain data, models by their fields and class."""
        return {**self, "job": jsanitize(self["job"], strict=True, enum_values=True)}

    def run_task(self, fw_spec: dict[str, Any]) -> FWAction:
        """Run the job; what follows it is written strictly too."""
        take_environment(fw_spec.get(ENVIRONMENT, {}))
        action: FWAction = super().run_task(fw_spec)  # type: ignore[no-untyped-call]  # jobflow leaves it untyped
        for workflow in (*action.detours, *action.additions):
            _strictly_written(workflow)
        return action
