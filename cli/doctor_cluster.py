"""What `doctor` says of a cluster: scheduler, disks, the queue manager's database and worker, what is there."""

from __future__ import annotations

import shutil
import subprocess
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from .checks import Check

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..flows.campaign_file import Campaign
    from ..flows.queues.launches import LaunchKind

SCHEDULERS = {
    "sinfo": ("Slurm", ("sinfo", "--noheader", "--format=%P %a, %D nodes %t, at most %l")),
    "qstat": ("PBS", ("qstat", "-Q")),
}
"""Command -> the scheduler that has it, and what asks it for its queues."""

ANSWERS_WITHIN_S = 20


def cluster_checks(
    path: Path | None, campaign: Campaign | None, engine: str, kind: LaunchKind | None
) -> Iterator[Check]:
    """Everything beyond this machine.

    Parameters
    ----------
    path, campaign : the campaign's file and what it says; None where none was given or it cannot be read.
    engine : full engine name.
    kind : the queue manager; None: the campaign runs here, or in an allocation.
    """
    yield from scheduler_checks()
    if campaign is not None:
        yield disk_check(campaign)
    if kind is not None:
        yield from _queue(path, campaign, engine, kind)


def scheduler_checks() -> Iterator[Check]:
    """Whether a scheduler answers; never required, as a worker's may be reached through ssh."""
    needed = "run --launch remote|fireworks, allocations"
    found = [each for each in SCHEDULERS if shutil.which(each)]
    for each in found:
        name, command = SCHEDULERS[each]
        try:
            asked = subprocess.run(command, capture_output=True, text=True, timeout=ANSWERS_WITHIN_S, check=False)
            good = asked.returncode == 0
            lines = asked.stdout.splitlines() if good else asked.stderr.splitlines()[-1:]
            answer = "; ".join(line.strip() for line in lines)
        except subprocess.TimeoutExpired:
            answer, good = f"no answer within {ANSWERS_WITHIN_S} s", False
        remedy = "" if good else f"ask who runs the cluster: `{' '.join(command)}` fails here"
        yield Check("scheduler", good, f"{name}: {answer}", needed, remedy, optional=True)
    if not found:
        remedy = "log in where sbatch or qsub are, or let a worker of type `remote` reach them through ssh"
        yield Check("scheduler", False, "none here", needed, remedy, optional=True)


def disk_check(campaign: Campaign) -> Check:
    """File system and room under the campaign's folder, and what that means for a SQLite store."""
    from ..flows.progress import MIN_FREE_BYTES, free_bytes, size_text  # noqa: PLC0415 - start-up
    from ..stores.sqlite_file import file_system_type, is_network_file_system  # noqa: PLC0415

    folder = campaign.folder if campaign.folder.is_dir() else campaign.path.parent
    kind, free = file_system_type(folder), free_bytes(folder)
    network = is_network_file_system(kind)
    way = "one process writes the SQLite store (rollback journal)" if network else "SQLite stores use a write-ahead log"
    if campaign.file.store is not None:
        way = f"documents go where {campaign.file.store} says"
    found = f"{kind or 'unknown file system'} under {folder}, {size_text(free)} free; {way}"
    return Check("disk", free > MIN_FREE_BYTES, found, "run", "make room, or move the campaign to another disk")


def _queue(path: Path | None, campaign: Campaign | None, engine: str, kind: LaunchKind) -> Iterator[Check]:
    from ..flows.campaign_file import LaunchChoice  # noqa: PLC0415 - pymatgen
    from ..flows.queues.opening import missing_package  # noqa: PLC0415

    needed = f"run --launch {kind}"
    missing = missing_package(kind)
    if missing:
        yield Check(kind, False, "not installed", needed, missing)
        return
    launch = LaunchChoice() if campaign is None else campaign.file.launch
    if kind == "remote":
        from ..flows.queues.remote_checks import remote_findings  # noqa: PLC0415 - an optional extra

        findings = remote_findings(launch.remote, path, campaign, engine)
    else:
        from ..flows.queues.launchpad_checks import launchpad_findings  # noqa: PLC0415 - half a second

        findings = launchpad_findings(launch.fireworks, campaign)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # jobflow-remote 1.0.1 uses what monty deprecates
        found = list(findings)
    for finding in found:
        yield Check(finding.name, finding.ok, finding.found, needed, finding.remedy, finding.optional)
