"""Could a scheduler give what the steps of a campaign ask for? Asked before anything is handed over.

What no scheduler could give would come back hours later as a job that could not be submitted; a wall time too short for
a step would have VASP stopped and gone on from for ever.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import cast

from ...stores.documents import ConfigurationDoc, StepKind
from ..campaign_file import Campaign
from ..custody import STOPPED_BEFORE_MIN
from .jobs import JobQueue, Resources

COUNTS = frozenset(
    {
        *("nodes", "ntasks", "ntasks_per_node", "ntasks_per_core", "cpus_per_task"),
        *("nnodes", "ppnode", "processes", "processes_per_node", "threads_per_process"),
    }
)
"""Names of numbers in what a scheduler is asked for, of Slurm, QToolKit and FireWorks' adapters."""

_COUNT = re.compile(r"[1-9]\d*([-,:].*)?", re.ASCII)
"""A whole number; Slurm takes ranges as well."""


def steps_of(planned: Iterable[ConfigurationDoc]) -> list[StepKind]:
    """Every step that some configuration has."""
    named = dict.fromkeys(step for configuration in planned for step in configuration.job_uuids)
    return cast("list[StepKind]", list(named))


def check_requests(campaign: Campaign, queue: JobQueue, steps: Iterable[StepKind]) -> None:
    """Could the scheduler give what every step asks for, and is its wall time one in which a step gets on?

    Parameters
    ----------
    campaign : its `launch:` is read.
    queue : what it is to be handed to.
    steps : of its configurations.

    Raises
    ------
    ValueError
        With the step, the name and the value.
    """
    for step in steps:
        try:
            _check_counts(queue.resources(step))
            queue.check_request(step)
            _check_time(queue.wall_time_s(step), campaign.file.launch.wall_time_minutes)
        except ValueError as err:
            raise ValueError(
                f"{queue.place}: resources of the step {step}: {err}; correct `launch: {queue.kind}:` of "
                f"{campaign.path.name}, or what the queue's own files ask for"
            ) from None


def granted(campaign: Campaign, queue: JobQueue, own: Iterable[StepKind]) -> str:
    """What the steps of the protocol ask for, in words, for `doctor`.

    Parameters
    ----------
    campaign, queue : as in `check_requests`.
    own : steps that have requests of their own.

    Raises
    ------
    ValueError
        As `check_requests`.
    """
    steps: list[StepKind] = list(dict.fromkeys(("surrogate relax", "relax", *own)))
    check_requests(campaign, queue, steps)
    asked = ", ".join(f"{name} {value}" for name, value in queue.resources("relax").items())
    return f"a step relax asks for {asked or 'what the queue gives by itself'}"


def _check_counts(asked: Resources) -> None:
    for name in sorted(COUNTS & asked.keys()):
        if not _COUNT.fullmatch(str(asked[name])):
            raise ValueError(f"{name} = {asked[name]!r} is no whole number of at least 1")


def _check_time(seconds: int | None, own_min: float | None) -> None:
    """The queue's limit against the one that the campaign file gives, which goes over it."""
    if seconds is None:
        return
    if own_min is not None and 60 * own_min > seconds:
        raise ValueError(
            f"the queue ends a job after {seconds / 60:g} minutes, before launch.wall_time_minutes = {own_min:g}"
        )
    if own_min is None and seconds <= 60 * STOPPED_BEFORE_MIN:
        raise ValueError(
            f"a wall time of {seconds / 60:g} minutes, of which VASP is stopped {STOPPED_BEFORE_MIN} before the end, "
            "leaves none for a step"
        )
