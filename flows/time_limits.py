"""How long a run may last: when it starts nothing more, and when it stops what runs, as inside a queue's allocation."""

from __future__ import annotations

from dataclasses import dataclass
from time import monotonic, time

import psutil

STOP_BEFORE_S, STOP_BEFORE_SHARE = 120, 0.1
"""Workers are stopped so long (or this share of a short time) before the wall time is over, so that VASP ends."""

START_NOTHING_BEFORE_S, START_NOTHING_BEFORE_SHARE = 300, 0.25
"""A configuration that started later than this would hardly make an ionic step."""


def process_began() -> float:
    """When this process began, on its monotonic clock: imports from a slow disk take a minute of an allocation."""
    created: float = psutil.Process().create_time()
    return monotonic() - max(0.0, time() - created)


@dataclass(frozen=True)
class TimeLimits:
    """Limits of a run, in seconds from its start.

    Attributes
    ----------
    stop_starting_s : start no further configuration after so long; None: no limit.
    wall_time_s : everything is killed after so long (by a queue); None: never.
    began : its start on the monotonic clock; None: when its clock starts.
    """

    stop_starting_s: float | None = None
    wall_time_s: float | None = None
    began: float | None = None

    def started(self) -> Clock:
        """The clock of the run."""
        now = monotonic() if self.began is None else self.began
        starting = [] if self.stop_starting_s is None else [now + self.stop_starting_s]
        if self.wall_time_s is None:
            return Clock(min(starting, default=None), None, None)
        stop_before = min(STOP_BEFORE_S, STOP_BEFORE_SHARE * self.wall_time_s)
        last_start = now + self.wall_time_s - min(START_NOTHING_BEFORE_S, START_NOTHING_BEFORE_SHARE * self.wall_time_s)
        return Clock(min([*starting, last_start]), now + self.wall_time_s - stop_before, last_start)


@dataclass(frozen=True)
class Clock:
    """A run's limits on this process's monotonic clock.

    Attributes
    ----------
    last_start : when the time to start configurations is over; None: never.
    end : when what runs is stopped; None: never.
    near_end : when too little of the wall time is left to start anything; None: never.
    """

    last_start: float | None
    end: float | None
    near_end: float | None

    @property
    def starts_nothing(self) -> bool:
        """No further configuration is to be started."""
        return self.last_start is not None and monotonic() > self.last_start

    @property
    def ends_soon(self) -> bool:
        """No further configuration is to be started because the wall time is nearly over."""
        return self.near_end is not None and monotonic() > self.near_end

    @property
    def is_over(self) -> bool:
        """What runs must be stopped."""
        return self.end is not None and monotonic() > self.end
