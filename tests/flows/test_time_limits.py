"""When a run starts nothing more and when it stops what runs."""

from __future__ import annotations

from time import monotonic

import pytest
from valenceflow.flows import time_limits
from valenceflow.flows.time_limits import TimeLimits, process_began
from valenceflow.flows.wall_time import time_limit_s, wall_time_s


@pytest.fixture
def at(monkeypatch):
    """Set the clock."""

    def set_time(seconds):
        monkeypatch.setattr(time_limits, "monotonic", lambda: seconds)

    set_time(0.0)
    return set_time


@pytest.mark.parametrize(
    ("limits", "seconds", "starts_nothing", "ends_soon", "is_over"),
    [
        (TimeLimits(), 1e9, False, False, False),
        (TimeLimits(stop_starting_s=60), 59, False, False, False),
        (TimeLimits(stop_starting_s=60), 61, True, False, False),
        (TimeLimits(wall_time_s=3600), 3299, False, False, False),
        (TimeLimits(wall_time_s=3600), 3301, True, True, False),
        (TimeLimits(wall_time_s=3600), 3479, True, True, False),
        (TimeLimits(wall_time_s=3600), 3481, True, True, True),
        (TimeLimits(stop_starting_s=60, wall_time_s=3600), 61, True, False, False),
        (TimeLimits(wall_time_s=100), 74, False, False, False),
        (TimeLimits(wall_time_s=100), 76, True, True, False),
        (TimeLimits(wall_time_s=100), 91, True, True, True),
    ],
)
def test_a_run_stops_in_time(at, limits, seconds, starts_nothing, ends_soon, is_over):
    clock = limits.started()
    at(seconds)
    assert (clock.starts_nothing, clock.ends_soon, clock.is_over) == (starts_nothing, ends_soon, is_over)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 5400),
        (90, 5400),
        ("1:30", 90),
        ("12:00:00", 43200),
        ("1-12", 129600),
        ("2-01:30", 178200),
        ("1-00:00:01", 86401),
    ],
)
def test_wall_times_are_read_as_slurm_reads_them(text, seconds):
    assert wall_time_s(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "soon", "1:2:3:4", "-5", "1.5", "UNLIMITED", "1-", "0", "00:00:00", "99:99", "1:60:00", "1-24:00"]
)
def test_other_wall_times_are_refused(text):
    with pytest.raises(ValueError, match="wall time"):
        wall_time_s(text)


def test_no_limit_is_none_and_a_number_alone_counts_what_its_scheduler_says():
    assert [time_limit_s(text) for text in ("UNLIMITED", "infinite", "90:00")] == [None, None, 5400]
    assert wall_time_s(3600, bare_s=1) == 3600, "PBS counts seconds"


def test_the_time_of_imports_and_planning_counts():
    began = process_began()
    assert began < monotonic()
    clock = TimeLimits(wall_time_s=60, began=monotonic() - 50).started()
    assert clock.starts_nothing
    assert not clock.is_over
    assert TimeLimits(wall_time_s=60, began=monotonic() - 55).started().is_over
