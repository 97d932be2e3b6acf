"""`valenceflow rebuild`: a campaign's store made anew, or filled up, from what lies in its run folders."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .places import CampaignPath, JsonOption

if TYPE_CHECKING:
    from ..flows.rebuild import Rebuilt


def rebuild(
    campaign: CampaignPath,
    tasks: Annotated[bool, typer.Option("--tasks", help="Also read TaskDocs again from VASP's outputs.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Put into the store what it misses of the campaign's runs.

    Nothing in it is overwritten.
    """
    from ..flows.campaign_file import read_campaign  # noqa: PLC0415 - pymatgen
    from ..flows.lock import campaign_lock  # noqa: PLC0415
    from ..flows.rebuild import rebuild as rebuild_store  # noqa: PLC0415 - jobflow
    from ..flows.runner import campaign_stores  # noqa: PLC0415

    described = read_campaign(campaign)
    if not described.folder.is_dir():
        raise ValueError(f"campaign {described.file.name} has not been started: {described.folder} is missing")
    with campaign_lock(described.folder):
        stores = campaign_stores(described)
        done = rebuild_store(described, stores, with_tasks=tasks)
        stores.close()
    if as_json:
        typer.echo(json.dumps(asdict(done), default=str, indent=1))
        return
    for line in report(done):
        typer.echo(line)


def report(done: Rebuilt) -> list[str]:
    """What was done, one line each; files that were not used are named with their reason."""
    jobs = done.jobs
    lines = [
        f"added: {done.configurations} configurations, {jobs.added} job documents, {done.calculations} calculations; "
        f"mended: {jobs.mended}; already there: {jobs.unchanged}"
    ]
    notes: list[tuple[str, list[Any]]] = [
        ("run folders whose document differs from the store's, which stays", jobs.differing),
        ("configurations that differ from the store's, which stay", done.differing),
        ("configurations of another host or supercell than the file has now, left out", done.other_inputs),
    ]
    notes += [(f"files passed over, {reason}", paths) for reason, paths in done.passed_over.by_reason.items()]
    return lines + [f"{len(found)} {what}; the first: {found[0]}" for what, found in notes if found]
