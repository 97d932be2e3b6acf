"""Hand a campaign to a queue manager: one flow per configuration, none twice, and what became of those handed over."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from jobflow import Flow, JobStore
from maggma.core import Store

from ...inputs.supercells import HostSupercell
from ...stores.builders import pending, record_failure
from ...stores.connect import Stores
from ...stores.documents import ConfigurationDoc, FailureDoc, StepIntent
from ..campaign import configuration_flow
from ..runner import Prepared
from ..vasp_job import ChargeOrderedVaspMaker
from .jobs import (
    BROKEN,
    HELD,
    MENDED_BY_QUEUE,
    JobQueue,
    QueuedJob,
    by_configuration,
    goes_on,
    jobs_of,
    of_state,
)

REMEDY = (
    "read queue.out and queue.err in the folder: if the queue killed the job, ask for more time or memory "
    "(`launch:` in the campaign file), then `valenceflow retry` and run the campaign again"
)


@dataclass(frozen=True)
class HandedOver:
    """A configuration after its turn: its jobs' names in the queue, or none where it was there already.

    `released` of those had been held back.
    """

    configuration: ConfigurationDoc
    queue_ids: tuple[str, ...]
    released: int = 0


def refuse_other_store(stores: Stores, theirs: JobStore, place: str) -> None:
    """Documents must come back to where the campaign looks for them.

    Parameters
    ----------
    stores : the campaign's.
    theirs : the queue manager's JobStore.
    place : of the queue manager, for the message.

    Raises
    ------
    ValueError
        If they are two different places, or the JobStore has no additional store `data`.
    """
    ours = stores.job_store()
    their_data: Store | None = getattr(theirs, "additional_stores", {}).get("data")
    if their_data is None:
        raise ValueError(
            f"the jobstore of {place} has no additional store `data`; `valenceflow init cluster` shows one"
        )
    pairs = [(ours.docs_store, theirs.docs_store), (ours.additional_stores["data"], their_data)]
    for mine, other in pairs:
        if mine.name != other.name:
            raise ValueError(
                f"the campaign's store is {mine.name}, that of {place} is {other.name}: set `store:` of the campaign "
                "to a YAML with the same JOB_STORE"
            )


def hand_over(prepared: Prepared, queue: JobQueue) -> Iterator[HandedOver]:
    """Submit what is to be done and not in the queue already, yielding each configuration after its turn.

    Parameters
    ----------
    prepared : from `runner.prepare`; the caller holds the campaign's lock.
    queue : where to.
    """
    queued = by_configuration(queue.jobs(prepared.campaign.file.name))
    docs = prepared.stores.docs()
    for configuration in prepared.todo:
        mine = current_jobs(configuration, queued)
        if goes_on(mine):
            yield HandedOver(configuration, (), released=queue.resume(of_state(mine, HELD)))
            continue
        if mine:
            queue.drop(mine)
        flow = configuration_flow(
            prepared.campaign, configuration, docs, _folders(queued.get(configuration.configuration_id, []))
        )
        _stop_in_time(flow, queue)
        yield HandedOver(configuration, tuple(queue.submit(flow)))


def current_jobs(configuration: ConfigurationDoc, queued: dict[str, list[QueuedJob]]) -> list[QueuedJob]:
    """Jobs of the attempt that counts."""
    uuids = set(configuration.job_uuids.values())
    return [job for job in queued.get(configuration.configuration_id, []) if job.uuid in uuids]


def _folders(jobs: Sequence[QueuedJob]) -> list[Path]:
    """Run folders of earlier jobs, of all attempts, that can be looked into from here."""
    return [Path(job.folder) for job in jobs if job.folder and Path(job.folder).is_dir()]


def _stop_in_time(flow: Flow, queue: JobQueue) -> None:
    """Tell every VASP run when the queue will kill it, unless the campaign file says so itself."""
    for job, step in jobs_of(flow):
        seconds = queue.wall_time_s(step)
        if seconds is not None and isinstance(job.maker, ChargeOrderedVaspMaker):
            job.maker.run_vasp_kwargs.setdefault("wall_time", seconds)


def record_vanished(
    stores: Stores,
    cell: HostSupercell,
    configurations: Sequence[ConfigurationDoc],
    queued: Sequence[QueuedJob],
    place: str,
) -> list[ConfigurationDoc]:
    """Write a failure for each configuration whose jobs failed in the queue without a document of their own.

    Parameters
    ----------
    stores, cell : the campaign's.
    configurations : its configurations, finished calculations built.
    queued : its jobs.
    place : of the queue manager.

    Returns
    -------
    Those that got one.
    """
    found = by_configuration(queued)
    lost = []
    for configuration in pending(stores, configurations):
        mine = current_jobs(configuration, found)
        broken = of_state(mine, BROKEN - MENDED_BY_QUEUE)
        if broken and not goes_on(mine):
            record_failure(stores, cell, configuration, _vanished(configuration, broken[-1], place))
            lost.append(configuration)
    return lost


def _vanished(configuration: ConfigurationDoc, job: QueuedJob, place: str) -> FailureDoc:
    step = next(step for step, uuid in configuration.job_uuids.items() if uuid == job.uuid)
    error = job.error or "no error was recorded"
    return FailureDoc(
        step=step,
        uuid=job.uuid,
        intent=StepIntent(
            campaign=configuration.campaign,
            configuration_id=configuration.configuration_id,
            attempt=configuration.attempt,
        ),
        reason="vanished",
        message=f"{step}: vanished: job {job.queue_id} of {place} is {job.state}: {error}",
        remedy=REMEDY,
        exception=error,
        folder=f"{socket.gethostname()}:{job.folder}",
    )
