"""`valenceflow status`: how far a campaign is, what failed, and what to type next."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from .places import CampaignArgument, JsonOption, Place, StoreOption, find_place

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from ..stores.overview import FailureGroup, FractionOverview


NARROW = 64
COLUMNS = ("x", "all", "as meant", "lost", "audit failed", "failed", "missing")
SHORT_COLUMNS = ("x", "all", "kept", "lost", "fail", "left")


def status(campaign: CampaignArgument = None, store: StoreOption = None, as_json: JsonOption = False) -> None:
    """Show how far a campaign is and what to type next."""
    from ..stores.overview import failure_groups, fraction_overviews  # noqa: PLC0415 - start-up

    place = find_place(campaign, store)
    running = _bring_up_to_date(campaign, place)
    names = [place.name] if place.name else sorted(place.stores.collection("campaigns").distinct("campaign"))
    content: dict[str, Any] = {}
    tables = []
    for name in names:
        rows, failures = fraction_overviews(place.stores, name), failure_groups(place.stores, name)
        content[name] = {
            "running": running,
            "fractions": [row.as_dict() for row in rows],
            "failures": [asdict(group) for group in failures],
        }
        tables.append((name, rows, failures))
    if as_json:
        typer.echo(json.dumps(content, indent=1))
        return
    from rich.console import Console  # noqa: PLC0415 - start-up

    console = Console()
    for name, rows, failures in tables:
        _show(console, name, rows, failures, running, campaign)


def _bring_up_to_date(campaign: Path | None, place: Place) -> bool:
    """Copy what finished since the last look, where something is missing; returns whether a run holds the campaign."""
    if campaign is None or place.folder is None or place.name is None:
        return False
    from ..flows.lock import CampaignBusyError, campaign_lock, is_running  # noqa: PLC0415 - start-up
    from ..stores.overview import fraction_overviews  # noqa: PLC0415

    if is_running(place.folder):
        return True
    if place.folder.is_dir() and any(row.missing for row in fraction_overviews(place.stores, place.name)):
        from ..flows.campaign_file import read_campaign  # noqa: PLC0415 - pymatgen, only where needed
        from ..flows.manifest import read_manifest  # noqa: PLC0415
        from ..stores.builders import build_calculations  # noqa: PLC0415

        try:
            with campaign_lock(place.folder):  # where one process alone may write, this is it
                place.stores.take_in(alone=True)
                build_calculations(place.stores, read_campaign(campaign).cell, read_manifest(place.folder))
        except CampaignBusyError:
            return True
        except PermissionError:
            return False  # somebody else's campaign: it is shown as it stands
    return False


def _show(
    console: Console,
    name: str,
    rows: Sequence[FractionOverview],
    failures: Sequence[FailureGroup],
    running: bool,
    campaign: Path | None,
) -> None:
    for engine in dict.fromkeys(row.engine for row in rows):
        title = f"{name}, {engine} ({'running' if running else 'not running'})"
        console.print(_table(title, [row for row in rows if row.engine == engine], console.width))
    for group in failures:
        console.print(f"{group.count} x {group.reason}: {group.message}", highlight=False, markup=False)
        console.print(f"  folder: {group.folder}\n  to do: {group.remedy}", highlight=False, markup=False)
    if campaign is not None:
        for line in _next_commands(rows, failures, running, campaign):
            console.print(line, highlight=False, markup=False)


def _table(title: str, rows: Sequence[FractionOverview], width: int) -> Table:
    """Counts of one engine by fraction; a narrow terminal gets short names, and both kinds of failure in one number."""
    from rich.box import SIMPLE_HEAD  # noqa: PLC0415 - start-up
    from rich.table import Table  # noqa: PLC0415

    from ..stores.relations import LOST  # noqa: PLC0415

    narrow = width < NARROW
    table = Table(title=title, box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for column in SHORT_COLUMNS if narrow else COLUMNS:
        table.add_column(column, justify="right", no_wrap=True)
    for row in rows:
        lost = sum(row.relations.get(relation, 0) for relation in LOST)
        meant = row.states.get("completed", 0) - lost
        unfit = [row.states.get("audit failed", 0), row.states.get("failed", 0)]
        cells = [row.total, meant, lost, *([sum(unfit)] if narrow else unfit), row.missing]
        table.add_row(f"{row.fraction:.3f}", *(str(cell) for cell in cells))
    return table


def _next_commands(
    rows: Sequence[FractionOverview], failures: Sequence[FailureGroup], running: bool, campaign: Path
) -> list[str]:
    lines = []
    for engine in dict.fromkeys(row.engine for row in rows):
        mine = [row for row in rows if row.engine == engine]
        if not running and any(row.missing for row in mine):
            lines.append(f"missing ones: valenceflow run {campaign} --engine {engine}")
        if any(row.states.get("failed") or row.states.get("audit failed") for row in mine):
            lines.append(f"failed ones:  valenceflow retry {campaign} --engine {engine}, then run")
    return lines
