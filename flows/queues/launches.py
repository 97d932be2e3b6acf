"""Which queue manager a campaign's jobs were handed to; light, as `status` asks it every time."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

LaunchKind = Literal["remote", "fireworks"]
LAUNCH_FILE = "launch.json"
QUEUES: tuple[LaunchKind, ...] = ("remote", "fireworks")
"""Queue managers, as `--launch` names them."""


@dataclass(frozen=True)
class Launch:
    """A queue manager that has a campaign's jobs.

    Attributes
    ----------
    kind : which one.
    place : where it is, for messages.
    file : that says where its database is (a project of jobflow-remote, my_launchpad.yaml); None: its own default.
    """

    kind: LaunchKind
    place: str = ""
    file: Path | None = None


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


def remember_launch(folder: Path, engine: str, launch: Launch) -> None:
    """Note in the campaign's folder that a queue manager has its jobs; `status` then asks that one too."""
    launches = {**launches_of(folder), engine: launch}
    content = {
        name: {"kind": each.kind, "place": each.place, "file": None if each.file is None else str(each.file)}
        for name, each in launches.items()
    }
    partial = folder / f"{LAUNCH_FILE}.partial"
    partial.write_text(json.dumps(content, indent=1), encoding="utf-8")
    partial.replace(folder / LAUNCH_FILE)


def launches_of(folder: Path) -> dict[str, Launch]:
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
        return {engine: _launch(each) for engine, each in content.items()}
    except (OSError, ValueError, AttributeError, TypeError, KeyError) as err:
        raise ValueError(f"{path}: damaged ({err}); delete it and submit again: what is in the queue stays") from err


def _launch(content: Any) -> Launch:
    if isinstance(content, str):  # as it was written first
        return Launch(queue_kind(content))
    file = content["file"]
    return Launch(queue_kind(content["kind"]), str(content["place"]), None if file is None else Path(file))
