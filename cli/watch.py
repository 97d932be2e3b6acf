"""What `run` shows while it runs: a bar on a terminal, a line per configuration in a file; Ctrl-C once and twice."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, ProgressColumn, Task, TimeElapsedColumn
from rich.progress import Progress as Bar
from rich.table import Column
from rich.text import Text

from ..flows.launch import Finished
from ..flows.progress import Progress, outcome_text
from ..flows.runner import Prepared, calculation_of, run_prepared
from ..flows.time_limits import TimeLimits
from .tables import print_lines

ROOM_FOR_A_BAR, ROOM_FOR_A_CLOCK = 80, 56
"""Widths of the terminal from which on these are shown before the words."""

SHOWN_KEYS = 3
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def watch(console: Console, prepared: Prepared, workers: int, environment: dict[str, str], limits: TimeLimits) -> None:
    """Run what is to be done and show it.

    Parameters
    ----------
    console : where.
    prepared : from `flows.runner.prepare`.
    workers, environment, limits : see `flows.runner.run_prepared`.
    """
    with orderly_end(console), _bar(console, prepared) as bar:
        task = bar.add_task("starting", total=len(prepared.todo))
        for event in run_prepared(prepared, workers, environment, limits):
            assert prepared.progress is not None
            bar.update(task, completed=prepared.progress.done)
            if isinstance(event, Finished):
                _tell(console, prepared, event)
    if prepared.ended:
        print_lines(console, [f"ended early: {prepared.ended}"])


class _Told(ProgressColumn):
    """Words on a run, told anew while configurations run for hours; what does not fit is cut off at its end."""

    max_refresh = 1.0

    def __init__(self, prepared: Prepared, tell: Callable[[Progress], str]) -> None:
        super().__init__(table_column=Column(no_wrap=True, overflow="ellipsis"))
        self._prepared, self._tell = prepared, tell

    def render(self, task: Task) -> Text:
        progress = self._prepared.progress
        return Text(task.description if progress is None else self._tell(progress))


def _bar(console: Console, prepared: Prepared) -> Bar:
    """How many are done, since when, the time left, and what runs; a narrow terminal gets the words alone."""
    columns: list[ProgressColumn] = [_Told(prepared, _in_words)]
    if console.width >= ROOM_FOR_A_CLOCK:
        columns = [TimeElapsedColumn(), *columns]
    if console.width >= ROOM_FOR_A_BAR:
        columns = [BarColumn(bar_width=None), *columns]
    return Bar(*columns, console=console, disable=not console.is_terminal)


def _in_words(progress: Progress) -> str:
    return " ".join(filter(None, [f"{progress.done}/{progress.total}", progress.left_text(), _running(progress)]))


def _running(progress: Progress) -> str:
    """Keys of what runs, as many as are read at a glance."""
    keys = [busy.joint_key for busy in progress.busy.values()]
    return " ".join([*keys[:SHOWN_KEYS], *([f"+{len(keys) - SHOWN_KEYS}"] if len(keys) > SHOWN_KEYS else [])])


def _tell(console: Console, prepared: Prepared, event: Finished) -> None:
    """A line on what came out: of everything in a file, on a terminal of what is not as it was meant."""
    found = calculation_of(prepared, event.configuration)
    if console.is_terminal and found is not None and found["counts"]:
        return
    assert prepared.progress is not None
    configuration, done = event.configuration, f"{prepared.progress.done}/{prepared.progress.total}"
    name = f"x = {configuration.fraction:.3f} {configuration.joint_key}"
    parts = [f"{name} {outcome_text(found)}", f"{done} at {datetime.now():%Y-%m-%d %H:%M:%S}"]
    print_lines(console, ["; ".join([*parts, *filter(None, [prepared.progress.left_text()])])])


@contextmanager
def orderly_end(console: Console) -> Iterator[None]:
    """Turn the first Ctrl-C (SIGTERM, a closed terminal) into an orderly end and the second into a quick one.

    Under nohup a closed terminal is none of our business.
    """
    asked: list[int] = []

    def interrupt(signum: int, frame: Any) -> None:
        asked.append(signum)
        if len(asked) == 1 and signum == signal.SIGINT:
            print_lines(console, ["stopping VASP and workers; Ctrl-C again kills them at once"])
        raise KeyboardInterrupt

    before = {signum: signal.getsignal(signum) for signum in _SIGNALS}
    for signum, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(signum, interrupt)
    try:
        yield
    except KeyboardInterrupt:
        print_lines(console, ["stopped; finished configurations are kept, and `valenceflow run` goes on from here"])
        raise
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)
