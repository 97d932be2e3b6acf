"""Wall times as schedulers write them."""

from __future__ import annotations

import re
from itertools import pairwise

_FORM = re.compile(r"(?:(?P<days>\d+)-)?(?P<rest>\d+(?::\d+){0,2})", re.ASCII)
_MINUTE, _HOUR, _DAY = 60, 3600, 86400

UNLIMITED = ("UNLIMITED", "INFINITE")
"""What Slurm calls no limit."""


def wall_time_s(text: str | float, bare_s: int = _MINUTE) -> int:
    """Seconds of a wall time as Slurm reads it: M, M:S, H:M:S, D-H, D-H:M or D-H:M:S.

    Parameters
    ----------
    text : the wall time.
    bare_s : seconds that a number alone counts; for PBS, 1.

    Raises
    ------
    ValueError
        If it has another form, a part that the one before it would take up (90 seconds behind minutes), or no length.

    Examples
    --------
    >>> wall_time_s("12:00:00"), wall_time_s("1-12"), wall_time_s(90)
    (43200, 129600, 5400)
    """
    found = _FORM.fullmatch(str(text).strip())
    if found is None:
        raise ValueError(f"wall time {text!r}: write H:M:S, D-H:M:S or minutes")
    numbers = [int(part) for part in found["rest"].split(":")]
    units: tuple[int, ...] = {1: (bare_s,), 2: (_MINUTE, 1), 3: (_HOUR, _MINUTE, 1)}[len(numbers)]
    if found["days"] is not None:
        numbers, units = [int(found["days"]), *numbers], (_DAY, _HOUR, _MINUTE, 1)
    parts = list(zip(numbers, units, strict=False))
    for (_, above), (number, unit) in pairwise(parts):
        if number * unit >= above:
            raise ValueError(f"wall time {text!r}: {number} is too much behind a colon or dash; write H:M:S or D-H:M:S")
    seconds = sum(number * unit for number, unit in parts)
    if not seconds:
        raise ValueError(f"wall time {text!r} leaves no time: write H:M:S, as 24:00:00")
    return seconds


def time_limit_s(text: str | float, bare_s: int = _MINUTE) -> int | None:
    """As `wall_time_s`; None where there is no limit, in Slurm's words for that."""
    return None if str(text).strip().upper() in UNLIMITED else wall_time_s(text, bare_s)
