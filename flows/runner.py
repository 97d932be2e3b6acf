"""Run a campaign on this machine: plan, find what is missing, run it, and keep every result as it comes.

The command line (`cli.run`) shows what this yields.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..stores.builders import build_calculations, pending, record_failure
from ..stores.connect import STORE_FILE, Stores, sqlite_stores, stores_from_yaml
from ..stores.documents import ConfigurationDoc, FailureDoc, StepIntent
from .campaign_file import Campaign
from .failures import REMEDIES
from .launch import Finished, Started, Workers, run_folder
from .manifest import prepare_campaign, register_campaign


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
    """

    campaign: Campaign
    engine: str
    stores: Stores
    configurations: list[ConfigurationDoc]
    todo: list[ConfigurationDoc] = field(default_factory=list)


def campaign_stores(campaign: Campaign) -> Stores:
    """The campaign's stores: those that its `store:` names, else one SQLite file in its folder."""
    if campaign.file.store is not None:
        return stores_from_yaml(campaign.beside(campaign.file.store))
    return sqlite_stores(campaign.folder / STORE_FILE)


def make_folder(folder: Path) -> None:
    """Make the campaign's folder.

    Raises
    ------
    ValueError
        If it cannot be made or written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".write-probe"
        probe.touch()
        probe.unlink()
    except OSError as err:
        raise ValueError(
            f"{folder} cannot be written ({err.strerror}); move the campaign file to a folder that can"
        ) from err


def prepare(campaign: Campaign, engine: str, only: Sequence[str] = (), limit: int | None = None) -> Prepared:
    """Plan a campaign, register it, copy what is finished, and choose what to run.

    Parameters
    ----------
    campaign, engine : what to run, and with which engine.
    only : joint keys, or beginnings of configuration ids; empty: all.
    limit : at most this many.

    Raises
    ------
    ValueError
        If nothing matches `only`, or the campaign contradicts itself or its folder.
    """
    configurations = prepare_campaign(campaign, engine)
    chosen = [c for c in configurations if matches(c, only)] if only else configurations
    if not chosen:
        raise ValueError(f"no configuration matches --only {', '.join(only)}; `valenceflow status` lists the keys")
    stores = campaign_stores(campaign)
    register_campaign(campaign, engine, configurations, stores)
    build_calculations(stores, campaign.cell, configurations)
    todo = pending(stores, chosen)
    return Prepared(campaign, engine, stores, configurations, todo[:limit])


def matches(configuration: ConfigurationDoc, only: Sequence[str]) -> bool:
    """Whether a configuration is named by its joint key or the beginning of its id."""
    return any(configuration.joint_key == key or configuration.configuration_id.startswith(key) for key in only)


def run_prepared(
    prepared: Prepared, workers: int, environment: Mapping[str, str], stop_after_s: float | None = None
) -> Iterator[Started | Finished]:
    """Run what is to be done, keeping each result before it is reported."""
    count = min(workers, len(prepared.todo))
    with Workers(prepared.campaign, prepared.stores, count, environment) as pool:
        for event in pool.run(prepared.todo, stop_after_s):
            if isinstance(event, Finished):
                keep(prepared, event)
            yield event


def keep(prepared: Prepared, event: Finished) -> None:
    """Copy a finished configuration into `calculations`; one that left no document gets a FailureDoc."""
    cell = prepared.campaign.cell
    written = build_calculations(prepared.stores, cell, [event.configuration])
    if not written and pending(prepared.stores, [event.configuration]):
        record_failure(prepared.stores, cell, event.configuration, vanished(prepared.campaign, event))


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
