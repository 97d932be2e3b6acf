"""Which queue manager a campaign's jobs were handed to; light, as `status` asks it every time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

LaunchKind = Literal["remote", "fireworks"]
LAUNCH_FILE = "launch.json"
QUEUES: tuple[LaunchKind, ...] = ("remote", "fireworks")
"""Queue managers, as `--launch` names them."""


def queue_kind(text: str) -> LaunchKind:
    """A queue manager by its name.

    Raises
    ------
    ValueError
        If there is no such one.
    """
    for kind in QUEUES:
        if text == kind:
            return kind
    raise ValueError(f"--launch {text}: choose local, {' or '.join(QUEUES)}")


def remember_launch(folder: Path, kind: LaunchKind, engine: str) -> None:
    """Note in the campaign's folder that a queue manager has its jobs; `status` then asks that one too."""
    launches = {**launches_of(folder), engine: kind}
    partial = folder / f"{LAUNCH_FILE}.partial"
    partial.write_text(json.dumps(launches, indent=1), encoding="utf-8")
    partial.replace(folder / LAUNCH_FILE)


def launches_of(folder: Path) -> dict[str, LaunchKind]:
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
        launches = {engine: queue_kind(kind) for engine, kind in content.items()}
    except (ValueError, AttributeError) as err:
        raise ValueError(f"{path}: damaged ({err}); delete it and submit again: what is in the queue stays") from err
    return launches
