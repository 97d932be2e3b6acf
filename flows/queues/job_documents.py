"""Jobs as jobflow-remote keeps them in its queue's collection. Light: `status` reads them without jobflow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .jobs import QueuedJob

CAMPAIGN = "job.metadata.campaign"
"""Where a job says which campaign it is of."""

FIELDS = (
    *("uuid", "index", "db_id", "state", "error", "remote.error", "run_dir"),
    *("job.name", "job.metadata.configuration_id"),
)
"""What is read of a job."""


def queued_job(document: Mapping[str, Any]) -> QueuedJob:
    """A job from its document in the queue's collection."""
    job, remote = document["job"], document.get("remote") or {}
    return QueuedJob(
        configuration_id=(job.get("metadata") or {}).get("configuration_id", ""),
        uuid=document["uuid"],
        index=document["index"],
        queue_id=document["db_id"],
        state=document["state"],
        error=last_line(document.get("error") or remote.get("error") or ""),
        folder=document.get("run_dir") or "",
        name=job.get("name", ""),
    )


def last_line(text: str) -> str:
    """What a traceback ends with."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else ""
