"""Open the queue manager that a campaign goes through, and remember which one it was."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import get_args

from ..campaign_file import Campaign
from .jobs import JobQueue, LaunchKind

LAUNCH_FILE = "launch.json"
LAUNCHES: tuple[str, ...] = ("local", *get_args(LaunchKind))


def open_queue(campaign: Campaign, kind: LaunchKind, environment: Mapping[str, str] | None = None) -> JobQueue:
    """Connect to a queue manager as the campaign file names it.

    Parameters
    ----------
    campaign : whose `launch:` is read.
    kind : which one.
    environment : variables that every job needs (of a rehearsal).

    Raises
    ------
    ValueError
        If its package is not installed, or it cannot be reached.
    """
    if kind == "fireworks":
        from .launchpad import FireWorksQueue  # noqa: PLC0415 - half a second that other launches need not wait

        return FireWorksQueue.open(campaign.file.launch.fireworks, campaign.path.parent, environment)
    try:
        from .remote import RemoteQueue  # noqa: PLC0415 - an optional extra
    except ImportError as err:
        raise ValueError(
            "--launch remote needs jobflow-remote: pip install 'valenceflow[remote]' (and on the worker)"
        ) from err
    return RemoteQueue.open(campaign.file.launch.remote, environment)


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
        launches: dict[str, LaunchKind] = {engine: kind for engine, kind in content.items() if kind in LAUNCHES}
    except (json.JSONDecodeError, AttributeError) as err:
        raise ValueError(f"{path}: damaged ({err}); delete it and submit again: what is in the queue stays") from err
    return launches
