"""What a queue manager says of a campaign's jobs, in one vocabulary: jobflow-remote's names of states. Light."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, Self, cast

from .launches import LaunchKind

if TYPE_CHECKING:
    from jobflow import Flow, Job

    from ...stores.documents import StepKind

Resources = dict[str, bool | int | float | str]
"""What a scheduler is asked for: nodes, time ("HH:MM:SS"), account, partition, ..."""

BEHIND_ANOTHER = frozenset({"WAITING"})
IN_QUEUE = frozenset({"READY", "CHECKED_OUT", "UPLOADED", "SUBMITTED", "BATCH_SUBMITTED"})
RUNNING = frozenset({"RUNNING", "BATCH_RUNNING", "RUN_FINISHED", "DOWNLOADED"})
HELD = frozenset({"PAUSED"})
BROKEN = frozenset({"FAILED", "REMOTE_ERROR"})
MENDED_BY_QUEUE = frozenset({"REMOTE_ERROR"})
"""Its manager could not carry the job there or back: that can be tried again, and no calculation has failed."""

STOPPED = frozenset({"STOPPED", "USER_STOPPED"})
ALIVE = IN_QUEUE | RUNNING | HELD
"""States of a job that will go on. One that waits behind a job that broke does not, so WAITING is not among them."""


@dataclass(frozen=True)
class QueuedJob:
    """One job of a configuration as its queue manager sees it.

    Attributes
    ----------
    configuration_id : whom it works for.
    uuid, index : of jobflow.
    queue_id : how the queue manager's own commands name it.
    state : one of jobflow-remote's names.
    error : what the queue manager says went wrong; empty where nothing did.
    folder : where it runs; empty where it has not started.
    name : of the job: the step.
    """

    configuration_id: str
    uuid: str
    index: int
    queue_id: str
    state: str
    error: str = ""
    folder: str = ""
    name: str = ""


class JobQueue(Protocol):
    """A queue manager that holds jobs until a scheduler runs them."""

    kind: LaunchKind

    @property
    def place(self) -> str:
        """Where it is, for messages."""

    def submit(self, flow: Flow) -> list[str]:
        """Hand a flow over; returns how the queue manager names its jobs."""

    @property
    def settings_file(self) -> Path | None:
        """The file that says where it is; None: its own default."""

    def for_jobs_with(self, environment: Mapping[str, str]) -> Self:
        """The same queue, for jobs that need these variables (of a rehearsal)."""

    def resources(self, step: StepKind) -> Resources:
        """What the scheduler is asked for, as far as it is known here."""

    def check_request(self, step: StepKind) -> None:
        """Does the scheduler know every name of what a step asks for? A ValueError where it is known that not."""

    def wall_time_s(self, step: StepKind) -> int | None:
        """Seconds after which the scheduler kills a job of a step; None where nothing says."""

    def jobs(self, campaign: str) -> list[QueuedJob]:
        """Every job of a campaign."""

    def drop(self, jobs: Sequence[QueuedJob]) -> None:
        """Forget jobs that have ended, so that their uuids can be submitted again."""

    def cancel(self, jobs: Sequence[QueuedJob]) -> int:
        """Stop jobs, running ones too; returns how many."""

    def pause(self, jobs: Sequence[QueuedJob]) -> int:
        """Hold back jobs that have not started; returns how many."""

    def resume(self, jobs: Sequence[QueuedJob]) -> int:
        """Release jobs that were held back; returns how many."""


def of_state(jobs: Iterable[QueuedJob], states: frozenset[str]) -> list[QueuedJob]:
    """Jobs in one of some states."""
    return [job for job in jobs if job.state in states]


def goes_on(jobs: Sequence[QueuedJob]) -> bool:
    """Whether the jobs of one configuration will go on by themselves.

    What waits, or was held back, behind a job that broke or was stopped never runs.
    """
    return bool(of_state(jobs, ALIVE)) and not of_state(jobs, BROKEN | STOPPED)


_LIFE = (
    *("REMOTE_ERROR", "FAILED", "USER_STOPPED", "STOPPED"),
    *("DOWNLOADED", "RUN_FINISHED", "RUNNING", "BATCH_RUNNING"),
    *("SUBMITTED", "BATCH_SUBMITTED", "UPLOADED", "CHECKED_OUT", "READY", "PAUSED", "WAITING", "COMPLETED"),
)
"""States, that of one job of a configuration which decides over the others first.

What is held back behind a job that runs does not hide that it runs.
"""


def configuration_state(jobs: Sequence[QueuedJob]) -> str:
    """State of a configuration from those of its jobs: what broke, else what is furthest, else COMPLETED.

    One that this version does not know is shown before all others.
    """
    return min((job.state for job in jobs), key=lambda state: _LIFE.index(state) if state in _LIFE else -1)


def by_configuration(jobs: Iterable[QueuedJob]) -> dict[str, list[QueuedJob]]:
    """Jobs of each configuration."""
    found: dict[str, list[QueuedJob]] = {}
    for job in jobs:
        found.setdefault(job.configuration_id, []).append(job)
    return found


def of_campaign(jobs: Iterable[QueuedJob], uuids: Mapping[str, set[str]]) -> list[QueuedJob]:
    """Jobs of some configurations' current attempts.

    Parameters
    ----------
    jobs : from a queue.
    uuids : configuration id -> uuids of its jobs.
    """
    return [job for job in jobs if job.uuid in uuids.get(job.configuration_id, ())]


def act_on(jobs: Sequence[QueuedJob], act: Callable[[QueuedJob], object]) -> int:
    """Do something to each job; returns how many there were."""
    for job in jobs:
        act(job)
    return len(jobs)


def jobs_of(flow: Flow) -> list[tuple[Job, StepKind]]:
    """Jobs of a configuration's flow, each with its step, whose name it bears.

    A configuration's flow holds jobs alone. `Flow.iterflow` would look through every argument for references, which
    took a quarter of the time of handing over.
    """
    return [(job, cast("StepKind", job.name)) for job in flow.jobs if not isinstance(job, Iterable)]
