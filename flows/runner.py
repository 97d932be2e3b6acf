"""Run a campaign on this machine: plan, find what is missing, run it, and keep every result as it comes.

The command line (`cli.run`) shows what this yields.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import time
from typing import Any

from ..inputs.orderings.lowest import SearchProgress
from ..stores.builders import build_calculations, pending, record_failure
from ..stores.connect import STORE_FILE, Stores, sqlite_stores, stores_from_yaml
from ..stores.documents import ConfigurationDoc, FailureDoc, StepIntent
from .campaign_file import Campaign
from .control import Quorum, clear_requests, requested
from .failures import REMEDIES
from .launch import RUNS_FOLDER, Finished, Started, Workers, run_folder
from .manifest import MANIFEST_FILE, PlanChange, plan_change, register_campaign, with_attempts
from .plan import plan_configurations
from .progress import (
    Busy,
    Progress,
    begin_progress,
    duration_text,
    free_bytes,
    outcome_text,
    size_text,
    write_log,
)
from .restore import adopt
from .step_document import leave_step_file
from .time_limits import TimeLimits


@dataclass
class Prepared:
    """A campaign that is ready to run.

    Attributes
    ----------
    campaign : the campaign.
    engine : full engine name.
    stores : its stores.
    configurations : all of them.
    todo : those that this run will do, in order.
    ended : why the run ended before everything was done, empty otherwise.
    change : how the plan differs from that of the last run; None where there was none.
    progress : of the run, once it has begun.
    out_of_time : its wall time was over, and another run should go on.
    disk_full : it began no further configuration for want of room.
    """

    campaign: Campaign
    engine: str
    stores: Stores
    configurations: list[ConfigurationDoc]
    todo: list[ConfigurationDoc] = field(default_factory=list)
    ended: str = ""
    change: PlanChange | None = None
    progress: Progress | None = None
    out_of_time: bool = False
    disk_full: bool = False


def campaign_stores(campaign: Campaign) -> Stores:
    """The campaign's stores: those that its `store:` names, else one SQLite file in its folder.

    Raises
    ------
    ValueError
        If the file in its folder is of another campaign.
    """
    if campaign.file.store is not None:
        return stores_from_yaml(campaign.beside(campaign.file.store))
    stores = sqlite_stores(campaign.folder / STORE_FILE)
    if (campaign.folder / STORE_FILE).exists():
        stores.refuse_others(campaign.file.name)
    return stores


def refuse_lost_store(campaign: Campaign) -> None:
    """Refuse to start a new store over runs that an earlier one knew.

    Raises
    ------
    ValueError
        If the store's file is gone and run folders are there.
    """
    path = campaign.folder / STORE_FILE
    started = (campaign.folder / MANIFEST_FILE).exists() and any((campaign.folder / RUNS_FOLDER).glob("*"))
    if campaign.file.store is None and started and not path.exists():
        raise ValueError(
            f"{path} is gone, though {RUNS_FOLDER}/ holds runs of this campaign: "
            f"`valenceflow rebuild {campaign.path}` makes it anew from them"
        )


def reach_store(campaign: Campaign) -> None:
    """Connect to the store that `store:` names, so that one that is not there is said before anything is written.

    A file in the campaign's own folder is not looked for: the folder is still to be made.

    Raises
    ------
    ValueError, or what the store's library raises
        If it cannot be reached.
    """
    if campaign.file.store is None:
        return
    stores = campaign_stores(campaign)
    if not campaign.folder.exists() and campaign.folder in Path(stores.place).parents:
        return
    stores.collection("campaigns")
    stores.close()


def make_folder(folder: Path) -> None:
    """Make the campaign's folder.

    Raises
    ------
    ValueError
        If it cannot be made or written.
    """
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder} is a file where the campaign's folder belongs: move it away, or change `name:`")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".write-probe"
        probe.touch()
        probe.unlink()
    except OSError as err:
        raise ValueError(
            f"{folder} cannot be written ({err.strerror}); move the campaign file to a folder that can"
        ) from err
    runs = folder / RUNS_FOLDER
    if runs.exists() and not runs.is_dir():
        raise ValueError(f"{runs} is a file where the runs' folder belongs: move it away")


def plan(
    campaign: Campaign, engine: str, only: Sequence[str] = (), progress: SearchProgress | None = None
) -> list[ConfigurationDoc]:
    """Plan a campaign and find whatever contradicts it before anything is written.

    Parameters
    ----------
    campaign, engine : what to run, and with which engine.
    only : joint keys, or beginnings of configuration ids; empty: all.
    progress : called now and then with (done, to do) by searches for the lowest orderings.

    Raises
    ------
    ValueError
        If nothing matches `only`, or the campaign contradicts itself, its store or its folder.
    """
    campaign_stores(campaign)
    refuse_lost_store(campaign)
    planned = with_attempts(campaign, plan_configurations(campaign, engine, progress))
    choose(planned, only)
    return planned


def choose(configurations: Sequence[ConfigurationDoc], only: Sequence[str]) -> list[ConfigurationDoc]:
    """Those that are named; all of them where none is.

    Raises
    ------
    ValueError
        If a name matches none.
    """
    for name in only:
        if not any(matches(c, [name]) for c in configurations):
            known = ", ".join(c.joint_key for c in configurations[:6]) + (" ..." if len(configurations) > 6 else "")
            raise ValueError(
                f"no configuration matches --only {name or repr(name)}; give a key ({known}) or the start of an id"
            )
    return [c for c in configurations if matches(c, only)] if only else list(configurations)


def prepare(
    campaign: Campaign,
    engine: str,
    planned: Sequence[ConfigurationDoc],
    only: Sequence[str] = (),
    limit: int | None = None,
) -> Prepared:
    """Register a planned campaign, copy what is finished, and choose what to run. The caller holds the lock.

    Parameters
    ----------
    campaign, engine : what to run, and with which engine.
    planned : from `plan`.
    only : as in `plan`.
    limit : at most this many.
    """
    stores = campaign_stores(campaign)
    configurations = with_attempts(campaign, planned, stores)  # again: another may have retried before the lock
    stores.take_in(alone=True)
    change = plan_change(campaign.folder, engine, configurations)
    register_campaign(campaign, engine, configurations, stores)
    _take_from_folders(campaign, stores, configurations)
    build_calculations(stores, campaign.cell, configurations)
    todo = pending(stores, choose(configurations, only))
    return Prepared(campaign, engine, stores, configurations, todo[:limit], change=change)


def _take_from_folders(campaign: Campaign, stores: Stores, configurations: Sequence[ConfigurationDoc]) -> None:
    """Documents that jobs left in their folders but could not store: they were killed, or the disk was full."""
    job_store = stores.job_store()
    job_store.connect()
    adopt(job_store, campaign.folder, pending(stores, configurations))
    job_store.close()


def matches(configuration: ConfigurationDoc, only: Sequence[str]) -> bool:
    """Whether a configuration is named by its joint key or the beginning of its id."""
    return any(
        configuration.joint_key == key or (key and configuration.configuration_id.startswith(key)) for key in only
    )


class StopWorkersError(Exception):
    """Everything that runs is to be stopped now; the message says why."""


def run_prepared(
    prepared: Prepared, workers: int, environment: Mapping[str, str], limits: TimeLimits | None = None
) -> Iterator[Started | Finished]:
    """Run what is to be done, keeping each result before it is reported; `prepared.ended` says why it ended early.

    Parameters
    ----------
    prepared : from `prepare`.
    workers : processes.
    environment : for the workers.
    limits : when to start no further configuration, and when to stop those that run (default: never).
    """
    folder = prepared.campaign.folder
    clear_requests(folder)
    workers = min(workers, len(prepared.todo))
    progress = prepared.progress = begin_progress(folder, prepared.engine, workers, len(prepared.todo))
    progress.write(folder)
    clock = (limits or TimeLimits()).started()
    quorum = quorum_of(prepared)

    def keep_starting() -> bool:
        asked = requested(folder)
        if asked == "cancel":
            raise StopWorkersError("cancelled by `valenceflow cancel`; what is finished stays")
        if clock.is_over:
            prepared.out_of_time = True
            raise StopWorkersError("the wall time is nearly over; the next run goes on where this one was")
        if asked == "pause":
            prepared.ended = "paused by `valenceflow pause`"
        elif quorum.is_lost:
            prepared.ended = quorum.reason
        elif clock.starts_nothing:
            prepared.out_of_time = clock.ends_soon
            prepared.ended = "the time to start configurations is over"
        elif (free := free_bytes(folder)) < progress.room_needed:
            prepared.disk_full = True
            prepared.ended = f"only {size_text(free)} are free on the disk of {folder}: make room, then run again"
        return not prepared.ended

    end = "interrupted"
    write_log(folder, f"{prepared.engine}: {len(prepared.todo)} to run with {workers} workers, {_this_process()}")
    try:
        with Workers(prepared.campaign, prepared.stores, workers, environment) as pool:
            for event in pool.run(prepared.todo, keep_starting):
                if isinstance(event, Finished):
                    quorum.failed += keep(prepared, event)
                _note(prepared, event)
                yield event
        end = prepared.ended or "the run ends"
    except StopWorkersError as stopped:
        end = prepared.ended = str(stopped)
    finally:
        write_log(folder, f"{progress.done} of {len(prepared.todo)} done; {end}")


def _note(prepared: Prepared, event: Started | Finished) -> None:
    """Write down for `status` and in the log that a configuration was taken up or finished."""
    assert prepared.progress is not None
    folder, configuration = prepared.campaign.folder, event.configuration
    name = f"x = {configuration.fraction:.3f} {configuration.joint_key}"
    if isinstance(event, Started):
        place = run_folder(folder, configuration)
        busy = Busy(configuration.joint_key, configuration.fraction, time(), str(place))
        prepared.progress.start(configuration.configuration_id, busy)
        write_log(folder, f"{name} started in {place}")
    else:
        seconds, size = prepared.progress.finish(configuration.configuration_id)
        outcome = outcome_text(calculation_of(prepared, configuration))
        write_log(folder, f"{name} {outcome}; {duration_text(seconds)}, {size_text(size)}")
    prepared.progress.write(folder)


def calculation_of(prepared: Prepared, configuration: ConfigurationDoc) -> dict[str, Any] | None:
    """State, relation, energy and whether it counts, of a configuration's current attempt."""
    wanted = ["state", "relation", "energy_per_fu", "counts"]
    criteria = {"calculation_id": configuration.calculation_id}
    found: dict[str, Any] | None = prepared.stores.collection("calculations").query_one(criteria, properties=wanted)
    return found


def _this_process() -> str:
    return f"process {os.getpid()} on {socket.gethostname()}"


def quorum_of(prepared: Prepared) -> Quorum:
    """Whether what failed in earlier runs with this engine leaves hope."""
    ids = {c.calculation_id for c in prepared.configurations}
    found = prepared.stores.collection("calculations").query({"state": {"$ne": "completed"}}, ["calculation_id"])
    failed = sum(c["calculation_id"] in ids for c in found)
    return Quorum(prepared.campaign.file.accept.failed_at_most, len(ids), failed)


def keep(prepared: Prepared, event: Finished) -> bool:
    """Copy a finished configuration into `calculations`; returns whether it failed.

    One that left no document gets a FailureDoc.
    """
    cell, configuration = prepared.campaign.cell, event.configuration
    prepared.stores.take_in()
    written = build_calculations(prepared.stores, cell, [configuration])
    if not written and pending(prepared.stores, [configuration]):
        failure = vanished(prepared.campaign, event)
        leave_step_file(failure, run_folder(prepared.campaign.folder, configuration))
        record_failure(prepared.stores, cell, configuration, failure)
    found = calculation_of(prepared, configuration)
    return found is None or found["state"] != "completed"


def vanished(campaign: Campaign, event: Finished) -> FailureDoc:
    """Failure of a configuration whose jobs left no document of their own."""
    configuration = event.configuration
    step = next(iter(configuration.job_uuids))
    error = event.error or "the flow ended without a document"
    return FailureDoc(
        step=step,
        uuid=configuration.job_uuids[step],
        intent=StepIntent(
            campaign=configuration.campaign,
            configuration_id=configuration.configuration_id,
            attempt=configuration.attempt,
        ),
        reason="vanished",
        message=f"{step}: vanished: {error}",
        remedy=REMEDIES["vanished"],
        exception=error,
        folder=f"{socket.gethostname()}:{run_folder(campaign.folder, configuration)}",
    )
