"""`valenceflow pause` and `valenceflow cancel`: stop a campaign that runs here or in a queue, from another terminal."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from .places import CampaignPath, find_place
from .wording import command, counted

if TYPE_CHECKING:
    from ..flows.control import Request
    from ..flows.queues.launches import Launch


def pause(campaign: CampaignPath) -> None:
    """Let running configurations finish and start no others.

    In a queue, jobs that have not started are held back. `run` goes on later.
    """
    _ask(campaign, "pause", "starts no further configuration and ends when those running are done")


def cancel(campaign: CampaignPath) -> None:
    """Stop a running campaign now; what is finished stays.

    In a queue, its jobs are stopped, running ones too. `run` can still go on later.
    """
    _ask(campaign, "cancel", "stops its VASP runs and ends")


def _ask(campaign: Path, what: Request, effect: str) -> None:
    from ..flows.control import request  # noqa: PLC0415 - start-up
    from ..flows.lock import is_running  # noqa: PLC0415
    from ..flows.queues.launches import launches_of  # noqa: PLC0415

    place = find_place(campaign, None)
    assert place.folder is not None  # as a campaign was given
    launches = launches_of(place.folder)
    for engine, launch in launches.items():
        typer.echo(_ask_queue(campaign, what, engine, launch))
    if is_running(place.folder):
        request(place.folder, what)
        typer.echo(f"{place.name}: {what} requested; the run {effect}. `valenceflow run {campaign}` goes on from there")
    elif not launches:
        raise ValueError(f"campaign {place.name} is not running here; nothing to {what}")


def _ask_queue(campaign: Path, what: Request, engine: str, launch: Launch) -> str:
    """Pause or cancel an engine's jobs in a queue; returns what was done."""
    from ..flows.campaign_file import read_campaign  # noqa: PLC0415 - pymatgen
    from ..flows.queues.jobs import of_campaign  # noqa: PLC0415
    from ..flows.queues.opening import open_queue  # noqa: PLC0415
    from ..flows.queues.overview import current_uuids  # noqa: PLC0415
    from ..flows.runner import campaign_stores  # noqa: PLC0415

    described = read_campaign(campaign)
    name, stores = described.file.name, campaign_stores(described)
    queue = open_queue(described, launch.kind, stores)
    mine = of_campaign(queue.jobs(name), current_uuids(stores, name, engine))
    number = queue.pause(mine) if what == "pause" else queue.cancel(mine)
    done = "held back" if what == "pause" else "stopped"
    again = command("run", campaign, engine, "--launch", launch.kind)
    return f"{name}, {engine}: {counted(number, 'job')} {done} in {queue.place}; to go on: {again}"
