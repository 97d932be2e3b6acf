"""Is everything there for `run --launch fireworks`: LaunchPad, qlaunch, and where documents go?"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from jobflow import SETTINGS

from ..runner import campaign_stores
from .findings import QueueFinding, store_finding, tried
from .launchpad import FireWorksQueue
from .requests import granted
from .submission import refuse_other_store

if TYPE_CHECKING:
    from ..campaign_file import Campaign, FireWorksChoice


def launchpad_findings(choice: FireWorksChoice, campaign: Campaign | None) -> Iterator[QueueFinding]:
    """Look at everything that a launch needs and that can be seen from here.

    Parameters
    ----------
    choice : what the campaign file says under `launch: fireworks:`.
    campaign : None: none was given.
    """
    beside = Path.cwd() if campaign is None else campaign.path.parent
    launchpad = tried(
        "LaunchPad",
        lambda: f"{FireWorksQueue.open(choice, beside).place} answers",
        "`valenceflow init cluster` writes my_launchpad.yaml; name it as launch.fireworks.launchpad",
    )
    yield launchpad
    if campaign is not None and launchpad.ok:
        yield tried(
            "resources",
            lambda: granted(campaign, FireWorksQueue.open(choice, beside), choice.steps),
            "correct `launch: fireworks:` of the campaign file",
        )
    qlaunch = shutil.which("qlaunch")
    remedy = "" if qlaunch else "make it available where jobs are submitted: it comes with FireWorks"
    yield QueueFinding("qlaunch", qlaunch is not None, qlaunch or "not on PATH", remedy, optional=True)
    if campaign is not None:
        stores = campaign_stores(campaign)
        yield store_finding(stores)
        yield tried(
            "worker's JOB_STORE",
            lambda: _same_store(stores),
            "on the worker let JOBFLOW_CONFIG_FILE name the same file as `store:` of the campaign (pre_rocket of "
            "my_qadapter.yaml exports it); here it is only known where the worker shares these settings",
        )


def _same_store(stores: object) -> str:
    refuse_other_store(stores, SETTINGS.JOB_STORE, "jobflow's settings here")  # type: ignore[arg-type]
    return f"{SETTINGS.CONFIG_FILE}: documents come back to the campaign's store"
