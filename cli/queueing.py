"""`valenceflow run --launch remote|fireworks`: hand a campaign's configurations to a queue manager."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from ..flows.campaign_file import Campaign
    from ..flows.queues.jobs import JobQueue
    from ..flows.queues.launches import LaunchKind
    from ..flows.runner import Prepared


def hand_over_campaign(
    console: Console,
    campaign: Campaign,
    engine: str,
    kind: LaunchKind,
    only: tuple[str, ...] = (),
    limit: int | None = None,
    fault: str | None = None,
) -> None:
    """Submit what is missing and not in the queue yet, and say what to type next."""
    from ..flows.lock import campaign_lock  # noqa: PLC0415 - start-up
    from ..flows.preflight import (  # noqa: PLC0415 - atomate2's settings
        check_launch,
        check_launch_settings,
        worker_environment,
    )
    from ..flows.queues.launches import Launch, remember_launch  # noqa: PLC0415
    from ..flows.queues.opening import open_queue  # noqa: PLC0415
    from ..flows.runner import make_folder, plan, prepare, reach_store  # noqa: PLC0415

    planned = plan(campaign, engine, only)
    check_launch(campaign, engine, fault)
    check_launch_settings(campaign, engine, planned)
    reach_store(campaign)
    make_folder(campaign.folder)
    environment = {} if engine == "vasp" else worker_environment(campaign, engine, fault)
    with campaign_lock(campaign.folder):
        prepared = prepare(campaign, engine, planned, only, limit)
        queue = open_queue(campaign, kind, prepared.stores, environment)
        remember_launch(campaign.folder, engine, Launch(kind, queue.place, queue.settings_file))
        handed, there = _submit(console, prepared, queue)
    console.print(_summary(prepared, queue, handed, there), highlight=False, markup=False)
    console.print(f"then: valenceflow status {campaign.path}", highlight=False, markup=False)


def _submit(console: Console, prepared: Prepared, queue: JobQueue) -> tuple[int, int]:
    """Submit with a progress bar; returns how many were handed over and how many were in the queue already."""
    from rich.progress import track  # noqa: PLC0415 - start-up

    from ..flows.queues.submission import hand_over  # noqa: PLC0415

    handed = there = 0
    turns = hand_over(prepared, queue)
    quiet = not console.is_terminal
    for each in track(turns, "submitting", total=len(prepared.todo), console=console, disable=quiet):
        handed, there = (handed + 1, there) if each.queue_ids else (handed, there + 1)
    return handed, there


def _summary(prepared: Prepared, queue: JobQueue, handed: int, there: int) -> str:
    done = len(prepared.configurations) - len(prepared.todo)
    parts = [f"{handed} of {len(prepared.configurations)} configurations handed to {queue.place}"]
    parts += [f"{there} are in it already"] if there else []
    parts += [f"{done} need nothing"] if done else []
    return "; ".join(parts)
