"""A FireWorks LaunchPad and the jobs on it. Light: `status` reads them without jobflow."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fireworks import LaunchPad
from pymongo.errors import PyMongoError

from ...inputs.yaml_files import parse_yaml
from ...stores.secrets import database_words, redacted
from .jobs import QueuedJob

STATES = {
    "WAITING": "WAITING",
    "READY": "READY",
    "RESERVED": "SUBMITTED",
    "RUNNING": "RUNNING",
    "COMPLETED": "COMPLETED",
    "FIZZLED": "FAILED",
    "DEFUSED": "USER_STOPPED",
    "PAUSED": "PAUSED",
    "ARCHIVED": "STOPPED",
}
"""FireWorks' states in jobflow-remote's names."""

_FIELDS = (
    "fw_id",
    "name",
    "state",
    "launches",
    "spec.configuration_id",
    "spec._tasks.job.uuid",
    "spec._tasks.job.index",
)


def open_launchpad(file: Path | None) -> LaunchPad:
    """Connect to the LaunchPad of a file, or to FireWorks' default one.

    Raises
    ------
    ValueError
        If the file is missing or wrong, or its database cannot be reached.
    """
    try:
        launchpad = LaunchPad.auto_load() if file is None else _from_file(file)
        # It would print a line for each workflow, between ours and into our JSON.
        launchpad.m_logger.setLevel(logging.WARNING)
        launchpad.get_fw_ids(count_only=True)
    except PyMongoError as err:
        raise ValueError(f"launch: fireworks: the LaunchPad cannot be reached: {database_words(err)}") from None
    return launchpad


def launchpad_place(launchpad: LaunchPad) -> str:
    """Host and database."""
    return redacted(f"FireWorks LaunchPad {launchpad.host}/{launchpad.name}")


def launchpad_jobs(launchpad: LaunchPad, campaign: str) -> list[QueuedJob]:
    """Every job of a campaign, oldest first."""
    found = list(launchpad.fireworks.find({"spec.campaign": campaign}, projection=list(_FIELDS)).sort("fw_id", 1))
    launches = _last_launches(launchpad, found)
    return [_queued(document, launches.get(document["fw_id"], {})) for document in found]


def _last_launches(launchpad: LaunchPad, fireworks: Sequence[Mapping[str, Any]]) -> dict[int, Mapping[str, Any]]:
    """Fw_id -> its last launch, of those that were launched; one question for all."""
    last = {document["launches"][-1]: document["fw_id"] for document in fireworks if document["launches"]}
    fields = ["launch_id", "launch_dir", "action.stored_data._message"]
    found = launchpad.launches.find({"launch_id": {"$in": list(last)}}, projection=fields) if last else ()
    return {last[launch["launch_id"]]: launch for launch in found}


def _queued(document: Mapping[str, Any], launch: Mapping[str, Any]) -> QueuedJob:
    spec = document["spec"]
    task = spec["_tasks"][0]["job"]
    stored = ((launch.get("action") or {}).get("stored_data") or {}) if document["state"] == "FIZZLED" else {}
    return QueuedJob(
        configuration_id=spec.get("configuration_id", ""),
        uuid=task["uuid"],
        index=task["index"],
        queue_id=str(document["fw_id"]),
        state=STATES.get(document["state"], document["state"]),
        error=" ".join(str(stored.get("_message", "")).split()),
        folder=launch.get("launch_dir") or "",
        name=document["name"],
    )


def _from_file(path: Path) -> LaunchPad:
    try:
        content = parse_yaml(path.read_text(encoding="utf-8"), str(path))
    except OSError as err:
        raise ValueError(f"launch: fireworks: launchpad: {path}: {err.strerror}") from err
    try:
        return LaunchPad.from_dict(content)
    except (KeyError, TypeError) as err:
        raise ValueError(
            f"{path}: is no LaunchPad file ({redacted(str(err))}); see `valenceflow init cluster`"
        ) from err
