"""One lock per campaign folder: two runs at once refuse each other, and a lock dies with its process.

It is the kernel's (flock), so neither clocks nor a file that a killed process left behind matter. Until a run has it,
while it imports and chooses orderings, the run holds the campaign's YAML, for `status` to see.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TextIO

from ..stores.file_lock import holder, sign, tried

LOCK_FILE = "lock"

PATIENCE_S = 0.5
"""Whoever looks whether a campaign runs (`status`) holds its lock for a moment, which is no reason to refuse a run."""


@contextmanager
def run_starts(campaign: Path) -> Iterator[None]:
    """Say that a run of a campaign is on its way.

    Parameters
    ----------
    campaign : the campaign's YAML. Where it cannot be read or locked, nothing is said.
    """
    with ExitStack() as held:
        with suppress(OSError):
            handle = held.enter_context(campaign.open(encoding="utf-8"))
            deadline = time.monotonic() + PATIENCE_S
            while not tried(handle, fcntl.LOCK_EX) and time.monotonic() < deadline:
                time.sleep(0.02)
        yield


def is_starting(campaign: Path) -> bool:
    """Whether a run of this campaign is on its way on this machine."""
    try:
        with campaign.open(encoding="utf-8") as handle:
            return not tried(handle, fcntl.LOCK_SH)
    except OSError:
        return False


class CampaignBusyError(ValueError):
    """Another process holds the campaign."""


@contextmanager
def campaign_lock(folder: Path) -> Iterator[None]:
    """Hold the campaign for one `run`.

    Raises
    ------
    CampaignBusyError
        If another process holds it.
    ValueError
        If the file system knows no locks.
    """
    path = folder / LOCK_FILE
    # Opened without buffers: what a full disk does not take is not tried again when the file is closed.
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        if not _locked(descriptor, path):
            raise CampaignBusyError(
                f"campaign {folder.name} is being run by {holder(descriptor)}; wait for it, or stop it with Ctrl-C"
            )
        sign(descriptor)
        yield
    finally:
        os.close(descriptor)


def _locked(descriptor: int, path: Path) -> bool:
    """Take the lock; False if another process keeps it."""
    deadline = time.monotonic() + PATIENCE_S
    while not _flock(descriptor, fcntl.LOCK_EX, path):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def _flock(file: int | TextIO, kind: int, path: Path) -> bool:
    try:
        return tried(file, kind)
    except OSError as err:
        raise ValueError(
            f"{path} cannot be locked ({err.strerror}): mount this file system with locks (Lustre: -o flock), or move "
            "the campaign to one that has them"
        ) from err


def is_running(folder: Path) -> bool:
    """Whether some process on this machine holds the campaign."""
    path = folder / LOCK_FILE
    if not path.exists():
        return False
    with path.open("r", encoding="utf-8") as handle:
        return not _flock(handle, fcntl.LOCK_SH, path)
