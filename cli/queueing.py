"""`valenceflow run --launch remote|fireworks`: hand a campaign's configurations to a queue manager."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from ..flows.campaign_file import Campaign
    from ..flows.queues.jobs import JobQueue
    from ..flows.queues.launches import LaunchKind
    from ..flows.queues.submission import HandedOver
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
        turns = _submit(console, prepared, queue)
    console.print(_summary(prepared, queue, turns), highlight=False, markup=False)
    console.print(f"then: valenceflow status {campaign.path}", highlight=False, markup=False)


def _submit(console: Console, prepared: Prepared, queue: JobQueue) -> list[HandedOver]:
    """Submit with a progress bar; returns what became of each configuration."""
    from rich.progress import track  # noqa: PLC0415 - start-up

    from ..flows.queues.submission import hand_over  # noqa: PLC0415

    turns, quiet = hand_over(prepared, queue), not console.is_terminal
    return list(track(turns, "submitting", total=len(prepared.todo), console=console, disable=quiet))


def _summary(prepared: Prepared, queue: JobQueue, turns: Sequence[HandedOver]) -> str:
    handed = sum(bool(each.queue_ids) for each in turns)
    released = sum(bool(each.released) for each in turns)
    there, done = len(turns) - handed, len(prepared.configurations) - len(prepared.todo)
    parts = [f"{handed} of {len(prepared.configurations)} configurations handed to {queue.place}"]
    parts += [f"{there} are in it already" + f", {released} of them held back until now" * bool(released)] * bool(there)
    parts += [f"{done} need nothing"] if done else []
    return "; ".join(parts)
