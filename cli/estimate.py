"""`valenceflow run --estimate`: what the configurations that are missing will cost, before anything is submitted."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..flows.progress import duration_text
from .wording import command, counted

if TYPE_CHECKING:
    from rich.console import Console

    from ..flows.campaign_file import Campaign
    from ..flows.estimate import StepEstimate
    from ..stores.connect import Stores


def show_estimate(
    console: Console, campaign: Campaign, engine: str, only: Sequence[str], like: Sequence[Path], as_json: bool
) -> None:
    """Print time and core-hours of what is missing; nothing is written or run.

    Parameters
    ----------
    console : to print on.
    campaign, engine, only : as `run` takes them.
    like : further stores with finished calculations: store.sqlite, or a YAML with JOB_STORE.
    as_json : print JSON.
    """
    from ..flows.estimate import estimate, known_costs  # noqa: PLC0415 - pymatgen
    from ..flows.manifest import with_attempts  # noqa: PLC0415
    from ..flows.runner import choose, plan  # noqa: PLC0415
    from ..stores.builders import pending  # noqa: PLC0415
    from .places import open_store  # noqa: PLC0415 - start-up
    from .tables import print_lines  # noqa: PLC0415 - start-up

    planned = choose(plan(campaign, engine, only), only)
    own = _own_stores(campaign)
    todo = planned if own is None else pending(own, with_attempts(campaign, planned, own))
    stores = [*([own] if own is not None else []), *(open_store(path) for path in like)]
    found = estimate(todo, known_costs(stores, engine))
    workers = campaign.file.launch.workers
    if as_json:
        console.print_json(json.dumps(_plain(found, len(todo))))
        return
    print_lines(console, [f"{campaign.file.name}, {engine}: {counted(len(todo), 'configuration')} to run"])
    print_lines(console, _lines(found, workers, campaign, engine))


def _own_stores(campaign: Campaign) -> Stores | None:
    """The campaign's stores, where it has some already."""
    from ..flows.runner import campaign_stores  # noqa: PLC0415 - pymatgen
    from ..stores.connect import STORE_FILE  # noqa: PLC0415

    has_some = campaign.file.store is not None or (campaign.folder / STORE_FILE).exists()
    return campaign_stores(campaign) if has_some else None


def _lines(found: Sequence[StepEstimate], workers: int, campaign: Campaign, engine: str) -> Iterator[str]:
    for step in found:
        yield f"  {step.step}: {_step_text(step)}"
    unknown = [step.step for step in found if step.elapsed_s is None]
    if unknown:
        yield f"no finished calculation of similar size (within 20 % of the atoms) has done: {', '.join(unknown)}"
        yield f"  to learn it: {command('run', campaign.path, engine, '--limit', '3')}, or name a store by --like"
    elif found:
        total_s = sum(step.to_do * (step.elapsed_s or 0.0) for step in found)
        yield f"in all: {_total_hours(found)}{duration_text(total_s)} of VASP, one run after the other"
        if workers > 1:
            yield f"  with {workers} workers: about {duration_text(total_s / workers)}"


def _step_text(step: StepEstimate) -> str:
    if step.elapsed_s is None:
        return f"{step.to_do} to do, cost unknown"
    hours = "" if step.core_hours is None else f"{step.core_hours:.3g} core-hours, "
    spread = "" if step.spread is None else f" (nine in ten between {step.spread[0]:.3g} and {step.spread[1]:.3g})"
    other = "" if step.same_protocol else ", under another protocol"
    known = f"from {counted(len(step.known), 'finished one')}{other}"
    return f"{step.to_do} to do, each {hours}{duration_text(step.elapsed_s)}{spread}, {known}"


def _total_hours(found: Sequence[StepEstimate]) -> str:
    if any(step.core_hours is None for step in found):
        return ""
    return f"{sum(step.to_do * (step.core_hours or 0.0) for step in found):.3g} core-hours; "


def _plain(found: Sequence[StepEstimate], configurations: int) -> dict[str, object]:
    steps = {
        step.step: {
            "to_do": step.to_do,
            "known": len(step.known),
            "same_protocol": step.same_protocol,
            "elapsed_s": step.elapsed_s,
            "core_hours": step.core_hours,
            "spread_core_hours": step.spread,
        }
        for step in found
    }
    return {"configurations": configurations, "steps": steps}
