"""`valenceflow pause` and `valenceflow cancel`: stop a running campaign from another terminal."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from .places import CampaignPath, find_place

if TYPE_CHECKING:
    from ..flows.control import Request


def pause(campaign: CampaignPath) -> None:
    """Let running configurations finish and start no others.

    `run` goes on later.
    """
    _ask(campaign, "pause", "starts no further configuration and ends when those running are done")


def cancel(campaign: CampaignPath) -> None:
    """Stop a running campaign now; what is finished stays.

    `run` can still go on later.
    """
    _ask(campaign, "cancel", "stops its VASP runs and ends")


def _ask(campaign: Path, what: Request, effect: str) -> None:
    from ..flows.control import request  # noqa: PLC0415 - start-up
    from ..flows.lock import is_running  # noqa: PLC0415

    place = find_place(campaign, None)
    if place.folder is None or not is_running(place.folder):
        raise ValueError(f"campaign {place.name} is not running here; nothing to {what}")
    request(place.folder, what)
    typer.echo(f"{place.name}: {what} requested; the run {effect}. `valenceflow run {campaign}` goes on from there")
