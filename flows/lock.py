"""One lock per campaign folder: two runs at once refuse each other, and a lock dies with its process."""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LOCK_FILE = "lock"


class CampaignBusyError(ValueError):
    """Another process holds the campaign."""


@contextmanager
def campaign_lock(folder: Path) -> Iterator[None]:
    """Hold the campaign for one `run`.

    Raises
    ------
    CampaignBusyError
        If another process holds it.
    """
    with (folder / LOCK_FILE).open("a+", encoding="utf-8") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as err:
            handle.seek(0)
            holder = handle.read().strip() or "another process"
            raise CampaignBusyError(
                f"campaign {folder.name} is being run by {holder}; wait for it, or stop it with Ctrl-C"
            ) from err
        handle.truncate(0)
        handle.write(f"process {os.getpid()} on {socket.gethostname()}\n")
        handle.flush()
        yield


def is_running(folder: Path) -> bool:
    """Whether some process on this machine holds the campaign."""
    path = folder / LOCK_FILE
    if not path.exists():
        return False
    with path.open("r", encoding="utf-8") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
    return False
