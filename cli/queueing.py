"""`valenceflow run --launch remote|fireworks`: hand a campaign's configurations to a queue manager."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .wording import Exact, command

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
    from ..flows.queues.overview import refuse_queued  # noqa: PLC0415
    from ..flows.queues.requests import check_requests, steps_of  # noqa: PLC0415
    from ..flows.runner import campaign_stores, make_folder, plan, prepare, quorum_of, reach_store  # noqa: PLC0415
    from .tables import print_lines  # noqa: PLC0415

    planned = plan(campaign, engine, only)
    check_launch(campaign, engine, fault)
    check_launch_settings(campaign, engine, planned)
    reach_store(campaign)
    queue = open_queue(campaign, kind, campaign_stores(campaign))
    check_requests(campaign, queue, steps_of(planned))
    make_folder(campaign.folder)
    if engine != "vasp":
        queue = queue.for_jobs_with(worker_environment(campaign, engine, fault))
    with campaign_lock(campaign.folder):
        prepared = prepare(campaign, engine, planned, only, limit)
        refuse_queued(campaign.path, campaign.folder, engine, prepared.todo, kind)
        if (quorum := quorum_of(prepared)).is_lost:
            raise ValueError(quorum.reason)
        remember_launch(campaign.folder, engine, Launch(kind, queue.place, queue.settings_file))
        turns = _submit(console, prepared, queue)
    print_lines(console, [_summary(prepared, queue, turns), Exact(f"then: {command('status', campaign.path)}")])


def _submit(console: Console, prepared: Prepared, queue: JobQueue) -> list[HandedOver]:
    """Submit with a progress bar; returns what became of each configuration, and tells it where Ctrl-C ends it."""
    from rich.progress import track  # noqa: PLC0415 - start-up

    from ..flows.queues.submission import hand_over  # noqa: PLC0415
    from .tables import print_lines  # noqa: PLC0415

    turns, total, done = hand_over(prepared, queue), len(prepared.todo), []
    try:
        for turn in track(turns, "submitting", total=total, console=console, disable=not console.is_terminal):
            done.append(turn)
    except KeyboardInterrupt:
        print_lines(console, [f"interrupted after {len(done)} of {total} configurations; run again for the others"])
        raise
    return done


def _summary(prepared: Prepared, queue: JobQueue, turns: Sequence[HandedOver]) -> str:
    from ..stores.builders import pending  # noqa: PLC0415 - pymatgen

    handed = sum(bool(each.queue_ids) for each in turns)
    released = sum(bool(each.released) for each in turns)
    there, others = len(turns) - handed, len(prepared.configurations) - len(turns)
    done = len(prepared.configurations) - len(pending(prepared.stores, prepared.configurations))
    parts = [f"{handed} of {len(prepared.configurations)} configurations handed to {queue.place}"]
    held_back = f", {released} of them held back until now" if released else ""
    parts += [f"{there} {'is' if there == 1 else 'are'} in it already{held_back}"] if there else []
    parts += [f"{done} {'needs' if done == 1 else 'need'} nothing"] if done else []
    parts += [f"{others - done} left for another run"] if others > done else []
    return "; ".join(parts)
