"""The kernel's locks on files (flock): they die with their process, so neither clocks nor a file left behind matter."""

from __future__ import annotations

import fcntl
import os
import socket
from contextlib import suppress
from typing import TextIO


def tried(file: int | TextIO, kind: int) -> bool:
    """Take a lock without waiting.

    Parameters
    ----------
    file : open file.
    kind : fcntl.LOCK_EX or LOCK_SH.

    Returns
    -------
    Whether it was taken; another process keeps it otherwise.

    Raises
    ------
    OSError
        If the file system knows no locks.
    """
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def sign(descriptor: int) -> None:
    """Write into a lock's file who holds it."""
    with suppress(OSError):  # a full disk: the lock holds all the same, and what is written next says it
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"process {os.getpid()} on {socket.gethostname()}\n".encode())


def holder(descriptor: int) -> str:
    """Who holds it, as `sign` wrote it."""
    return os.read(descriptor, 200).decode(errors="replace").strip() or "another process"
