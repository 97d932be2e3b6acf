"""Wall times as schedulers write them."""

from __future__ import annotations

import re

_FORM = re.compile(r"(?:(?P<days>\d+)-)?(?P<rest>\d+(?::\d+){0,2})")
_MINUTE, _HOUR, _DAY = 60, 3600, 86400


def wall_time_s(text: str | float) -> int:
    """Seconds of a wall time as Slurm reads it: M, M:S, H:M:S, D-H, D-H:M or D-H:M:S.

    Raises
    ------
    ValueError
        If it has another form.

    Examples
    --------
    >>> wall_time_s("12:00:00"), wall_time_s("1-12"), wall_time_s(90)
    (43200, 129600, 5400)
    """
    found = _FORM.fullmatch(str(text).strip())
    if found is None:
        raise ValueError(f"wall time {text!r}: write H:M:S, D-H:M:S or minutes")
    numbers = [int(part) for part in found["rest"].split(":")]
    if found["days"] is not None:
        return int(found["days"]) * _DAY + _sum(numbers, (_HOUR, _MINUTE, 1))
    units = {1: (_MINUTE,), 2: (_MINUTE, 1), 3: (_HOUR, _MINUTE, 1)}[len(numbers)]
    return _sum(numbers, units)


def _sum(numbers: list[int], units: tuple[int, ...]) -> int:
    return sum(number * unit for number, unit in zip(numbers, units, strict=False))
