"""What to type next, told from how far a campaign is. Light: used by `status`."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..flows.queues.jobs import ALIVE, BEHIND_ANOTHER, MENDED_BY_QUEUE, STOPPED
from .wording import AUDIT_FAILED, FAILED, LOST_ORDERING, Exact, command, counted

if TYPE_CHECKING:
    from ..flows.queues.overview import QueueOverview
    from ..stores.failure_groups import FailureGroup
    from ..stores.overview import FractionOverview

AUDIT_REMEDIES = {
    "forces": "raise launch.max_continuations, or look at the forces in OUTCAR",
    "stopped": "raise launch.max_continuations or launch.wall_time_minutes",
    "scf": "look at OSZICAR: give mixing tags in launch.incar, or more time",
    "volume": "look at CONTCAR: the cell left that of the host at this composition",
    "axes": "look at CONTCAR: the cell left that of the host at this composition",
    "ordering": "say on_lost_ordering: retry in the campaign file to try the rescues",
    "spin order": "look at the moments in OUTCAR; mixing tags in launch.incar may keep them",
    "moments": "look at the moments in OUTCAR",
    "engine": "mend vasp_cmd (`valenceflow doctor` shows what it runs)",
    "potcar": "point PMG_VASP_PSP_DIR at one POTCAR release for all runs (`valenceflow doctor`)",
}
"""By the code of what the audit found; for the others the run folder says more."""

_LOOK = "look at the run folder"


def failure_lines(group: FailureGroup, campaign: Path | None) -> list[str]:
    """One group of failures: what, where, and what to do about it.

    Parameters
    ----------
    group : from the store.
    campaign : its file; None (a bare store) leaves commands out.
    """
    remedy = group.remedy or AUDIT_REMEDIES.get(group.reason, _LOOK)
    lines = [f"{group.count} {group.state}: {group.message}", Exact(f"  folder: {_shown_folder(group.folder)}")]
    for message, folder in group.others:
        lines += [f"  also: {message}", Exact(f"  folder: {_shown_folder(folder)}")]
    lines.append(f"  to do: {remedy}")
    if campaign is not None:
        reason = group.reason if group.state == FAILED else AUDIT_FAILED
        lines.append(Exact(f"    {command('retry', campaign, group.engine, '--reason', reason)}"))
    return lines


def next_commands(
    rows: Sequence[FractionOverview], running: str | None, campaign: Path, queues: Mapping[str, QueueOverview]
) -> Iterator[str]:
    """What to type next for each engine.

    Parameters
    ----------
    rows : counts of every engine and fraction.
    running : engine of the run that holds the campaign; None where none does.
    campaign : its file.
    queues : engine -> the queue that has its jobs.
    """
    for engine in dict.fromkeys(row.engine for row in rows):
        mine = [row for row in rows if row.engine == engine]
        lost, missing = sum(row.lost for row in mine), sum(row.missing for row in mine)
        failed = sum(row.states.get(FAILED, 0) + row.states.get(AUDIT_FAILED, 0) for row in mine)
        if lost:
            yield from lost_lines(lost, campaign, engine)
        queue = queues.get(engine)
        launch = () if queue is None else ("--launch", queue.launch.kind)
        to_start = missing
        if queue is not None:
            told = ALIVE | BEHIND_ANOTHER | MENDED_BY_QUEUE | STOPPED  # those that stand have lines of their own
            to_start -= sum(state in told for state in queue.states.values())
        if to_start > 0 and running is None:
            yield Exact(f"{to_start} missing: {command('run', campaign, engine, *launch)}")
        elif failed or lost:
            yield Exact(f"after a retry: {command('run', campaign, engine, *launch)}")
        if not missing and any(row.as_meant for row in mine):
            yield Exact(f"results: {command('query', campaign, engine)}")


def lost_lines(number: int, campaign: Path, engine: str) -> Iterator[str]:
    """What to do about lost orderings.

    Parameters
    ----------
    number : how many there are.
    campaign, engine : whose they are.
    """
    yield Exact(f"{number} lost, to look at: {command('query', campaign, engine, '--ordering', LOST_ORDERING)}")
    yield "  to try again, by other ways with `on_lost_ordering: retry` in the campaign file:"
    yield Exact(f"    {command('retry', campaign, engine, '--reason', LOST_ORDERING)}")


def elsewhere_lines(rows: Sequence[FractionOverview]) -> Iterator[str]:
    """Configurations whose calculations are under another engine than the one they are asked of.

    Parameters
    ----------
    rows : counts of every engine and fraction.
    """
    for engine in dict.fromkeys(row.engine for row in rows):
        mine = [row for row in rows if row.engine == engine]
        for other in sorted({name for row in mine for name in row.run_by}):
            number = sum(row.run_by.get(other, 0) for row in mine)
            yield (
                f"{counted(number, 'configuration')} asked of {engine} {'was' if number == 1 else 'were'} run by "
                f"{other}: found by the output's own version string, so they do not count"
            )
        nothing_yet = all(row.missing == row.total for row in mine)
        others = {row.engine: 0 for row in rows if row.engine != engine}
        for row in rows:
            if row.engine != engine:
                others[row.engine] += row.total - row.missing
        there = [f"{number} of {name}" for name, number in others.items() if number]
        if nothing_yet and there:
            yield f"nothing of {engine} is done yet; there are results {', '.join(there)}, which is another engine"


def _shown_folder(folder: str) -> str:
    """A run folder that can be copied; the machine is named where it is another one."""
    machine, _, path = folder.partition(":")
    return path if path and machine == socket.gethostname() else folder
