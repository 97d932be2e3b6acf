"""Open the queue manager that a campaign goes through."""

from __future__ import annotations

from collections.abc import Mapping

from ...stores.connect import Stores
from ..campaign_file import Campaign
from .jobs import JobQueue
from .launches import LaunchKind
from .submission import refuse_other_store


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
    try:
        from .remote import RemoteQueue  # noqa: PLC0415 - an optional extra
    except ImportError as err:
        raise ValueError(
            "--launch remote needs jobflow-remote: pip install 'valenceflow[remote]' (and on the worker)"
        ) from err
    queue = RemoteQueue.open(campaign.file.launch.remote, environment)
    refuse_other_store(stores, queue.job_store(), queue.place)
    return queue
