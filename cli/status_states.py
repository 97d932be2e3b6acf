"""The part of `status` on where configurations are: states over local runs and queues, time left, core-hours.

States have jobflow-remote's names. Light.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..flows.control import Quorum
from ..flows.progress import duration_text, free_bytes, size_text
from ..flows.queues.jobs import MENDED_BY_QUEUE, RUNNING, STOPPED
from ..inputs.yaml_files import parse_yaml, yaml_text
from .wording import AUDIT_FAILED, FAILED, Exact, command, counted, shell_words

if TYPE_CHECKING:
    from rich.table import Table

    from ..flows.progress import Progress
    from ..flows.queues.overview import QueueOverview
    from ..stores.costs import Cost
    from ..stores.overview import FractionOverview

NOT_STARTED = "not started"
_ENDED = ("COMPLETED", "FAILED")
_ORDER = ("WAITING", "READY", "CHECKED_OUT", "UPLOADED", "SUBMITTED", "BATCH_SUBMITTED", "RUNNING", "BATCH_RUNNING")


def states_of(
    rows: Sequence[FractionOverview], progress: Progress | None, queue: QueueOverview | None
) -> dict[str, int]:
    """Configurations of one engine by state.

    Parameters
    ----------
    rows : of the engine.
    progress : of the run here that works on it; None: none does.
    queue : that has its jobs; None: none has.
    """
    missing = sum(row.missing for row in rows)
    states = {} if queue is None else {s: n for s, n in queue.counts(queue.states).items() if s not in _ENDED}
    if progress is not None:
        busy = len(progress.busy)
        states = {"RUNNING": busy, "READY": max(0, progress.total - progress.done - busy)}
    states[NOT_STARTED] = missing - sum(states.values())
    states["COMPLETED"] = sum(row.states.get("completed", 0) for row in rows)
    states["FAILED"] = sum(row.states.get(FAILED, 0) + row.states.get(AUDIT_FAILED, 0) for row in rows)
    return {state: number for state, number in states.items() if number > 0}


def states_table(found: dict[str, tuple[str, dict[str, int]]]) -> Table:
    """Configurations by where they are and state.

    Parameters
    ----------
    found : engine -> where it runs, and its states.
    """
    from .tables import plain_table  # noqa: PLC0415 - start-up

    there = {state for _, states in found.values() for state in states}
    columns = sorted(there, key=lambda state: (_place_in_life(state), state))
    table = plain_table()
    for header in ("engine", "where"):
        table.add_column(header)
    for state in columns:
        table.add_column(state, justify="right", no_wrap=True)
    for engine, (where, states) in found.items():
        table.add_row(engine, where, *(str(states.get(state, 0)) for state in columns))
    return table


def _place_in_life(state: str) -> int:
    if state == NOT_STARTED:
        return -1
    return _ORDER.index(state) if state in _ORDER else len(_ORDER) + (state in _ENDED)


def queue_lines(name: str, queue: QueueOverview, campaign: Path | None) -> Iterator[str]:
    """What is wrong in a queue, each with what mends it."""
    if queue.problem:
        yield f"{queue.launch.kind} cannot be asked: {queue.problem}"
        if campaign is not None:
            yield Exact(f"  to look: {command('doctor', campaign, queue.engine, '--launch', queue.launch.kind)}")
    for message, jobs in _by_message(queue).items():
        yield f"{counted(len(jobs), 'job')} {', '.join(sorted(MENDED_BY_QUEUE))}: {message} (job {jobs[0]})"
        yield Exact(f"  to do: {shell_words('jf', 'job', 'retry', '--state', 'REMOTE_ERROR', '-meta')} campaign={name}")
    stopped = sum(state in STOPPED for state in queue.states.values())
    held = len(queue.held)
    if (stopped or held) and campaign is not None:
        what = ", ".join(filter(None, [f"{stopped} stopped" * bool(stopped), f"{held} held back" * bool(held)]))
        again = command("run", campaign, queue.engine, "--launch", queue.launch.kind)
        yield Exact(f"{what}; to go on: {again}")


def hopeless_lines(rows: Sequence[FractionOverview], queue: QueueOverview, campaign: Path | None) -> Iterator[str]:
    """What to type where more failed than the campaign accepts: nobody watches a queue as a run here does.

    Parameters
    ----------
    rows : of the queue's engine.
    queue : that goes on with the others.
    campaign : its file; None (a bare store): nothing is told.
    """
    if campaign is None or not queue.goes_on:
        return
    accept = parse_yaml(yaml_text(campaign), str(campaign)).get("accept")
    share = accept.get("failed_at_most") if isinstance(accept, Mapping) else None
    if not isinstance(share, int | float):
        return
    failed = sum(row.states.get(FAILED, 0) + row.states.get(AUDIT_FAILED, 0) for row in rows)
    quorum = Quorum(share, sum(row.total for row in rows), failed)
    if quorum.is_lost:
        yield f"{failed} of {quorum.total} configurations failed, more than accept.failed_at_most = {share:g} allows"
        yield Exact(f"  to stop the others: {command('cancel', campaign)}")


def _by_message(queue: QueueOverview) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for job in queue.errors:
        found.setdefault(job.error or "no reason was given", []).append(job.queue_id)
    return found


def version_lines(found: Mapping[str, int]) -> Iterator[str]:
    """Packages that jobs had in other versions than the submitter.

    Parameters
    ----------
    found : how they differ, in words -> calculations.
    """
    for told, number in found.items():
        yield f"{counted(number, 'calculation')} ran under other versions than this campaign was submitted with: {told}"


def time_line(rows: Sequence[FractionOverview], queue: QueueOverview | None, cost: Cost | None) -> str:
    """Time that a queue will need at the pace of what runs; empty where nothing is known."""
    running = 0 if queue is None else sum(state in RUNNING for state in queue.states.values())
    missing = sum(row.missing for row in rows)
    if not running or cost is None or cost.mean_s is None or not missing:
        return ""
    left = max(1.0, missing / running) * cost.mean_s
    return f"time left: about {duration_text(left)} if {counted(running, 'configuration')} go on running at once"


def cost_line(engine: str, cost: Cost) -> str:
    """What was spent, from what VASP reports at its end."""
    if not cost.counted:
        return ""
    without = cost.calculations - cost.counted
    note = f" ({without} more do not say)" if without else ""
    mean = cost.core_hours / cost.counted
    return f"core-hours spent: {cost.core_hours:.3g} by {cost.counted} of {engine}, {mean:.3g} each{note}"


def disk_line(folder: Path | None, rows: Sequence[FractionOverview], progress: Progress | None) -> str:
    """Room on the disk against what the missing configurations of a run need; empty where that is not known."""
    missing = sum(row.missing for row in rows if progress is not None and row.engine == progress.engine)
    if folder is None or progress is None or progress.mean_size is None or not missing:
        return ""
    needed, free = missing * progress.mean_size, free_bytes(folder)
    line = f"disk: {size_text(free)} free, the {missing} missing need about {size_text(needed)}"
    return f"{line}: MAKE ROOM" if needed > free else line


def as_plain(queue: QueueOverview) -> dict[str, Any]:
    """Plain data for --json."""
    return {
        "kind": queue.launch.kind,
        "place": queue.launch.place,
        "states": dict(queue.counts(queue.states)),
        "problem": queue.problem,
        "errors": [{"job": job.queue_id, "state": job.state, "error": job.error} for job in queue.errors],
    }
