"""Open the queue manager that a campaign goes through."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec

from ...stores.connect import Stores
from ..campaign_file import Campaign
from .jobs import JobQueue
from .launches import LaunchKind
from .submission import refuse_other_store


def missing_package(kind: LaunchKind) -> str:
    """How to install what a queue manager needs; empty where it is there."""
    if kind == "remote" and find_spec("jobflow_remote") is None:
        return "pip install 'valenceflow[remote]' (and on the worker)"
    return ""


def open_queue(
    campaign: Campaign, kind: LaunchKind, stores: Stores, environment: Mapping[str, str] | None = None
) -> JobQueue:
    """Connect to a queue manager as the campaign file names it.

    Parameters
    ----------
    campaign : whose `launch:` is read.
    kind : which one.
    stores : the campaign's; documents must come back to them.
    environment : variables that every job needs (of a rehearsal).

    Raises
    ------
    ValueError
        If its package is not installed, it cannot be reached, or its documents go elsewhere.
    """
    if kind == "fireworks":
        from .launchpad import FireWorksQueue  # noqa: PLC0415 - half a second that other launches need not wait

        return FireWorksQueue.open(campaign.file.launch.fireworks, campaign.path.parent, environment)
    missing = missing_package(kind)
    if missing:
        raise ValueError(f"--launch {kind} needs jobflow-remote: {missing}")
    from .remote import RemoteQueue  # noqa: PLC0415 - an optional extra

    queue = RemoteQueue.open(campaign.file.launch.remote, environment)
    refuse_other_store(stores, queue.job_store(), queue.place)
    return queue
