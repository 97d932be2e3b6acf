"""Which queue manager a campaign's jobs were handed to; light, as `status` asks it every time."""

from __future__ import annotations

import json
from pathlib import Path

LAUNCH_FILE = "launch.json"
QUEUES = ("remote", "fireworks")
"""Queue managers, as `--launch` names them."""


def remember_launch(folder: Path, kind: str, engine: str) -> None:
    """Note in the campaign's folder that a queue manager has its jobs; `status` then asks that one too."""
    launches = {**launches_of(folder), engine: kind}
    partial = folder / f"{LAUNCH_FILE}.partial"
    partial.write_text(json.dumps(launches, indent=1), encoding="utf-8")
    partial.replace(folder / LAUNCH_FILE)


def launches_of(folder: Path) -> dict[str, str]:
    """Engine -> the queue manager that its jobs were handed to.

    Raises
    ------
    ValueError
        If the file is damaged.
    """
    path = folder / LAUNCH_FILE
    if not path.exists():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        launches: dict[str, str] = {engine: kind for engine, kind in content.items() if kind in QUEUES}
    except (json.JSONDecodeError, AttributeError) as err:
        raise ValueError(f"{path}: damaged ({err}); delete it and submit again: what is in the queue stays") from err
    return launches
