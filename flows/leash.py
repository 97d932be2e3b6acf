"""Tie a process to its parent: VASP dies with its worker, a worker with its launcher, so that no orphan writes on.

    python -I leash.py COMMAND [ARGUMENT ...]

replaces itself by the command, which then gets SIGTERM when its parent ends, however it ends (Linux; elsewhere the
command simply runs). Imports only what it needs: it stands in front of every VASP start.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def die_with_parent(parent: int | None = None) -> None:
    """Get SIGTERM when the parent ends.

    Parameters
    ----------
    parent : pid that the parent has; if it is another one now, the parent has ended already, and so do we.
    """
    if not sys.platform.startswith("linux"):
        return
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    if parent is not None and os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGTERM)


def leashed(command: str) -> str:
    """A command string that runs `command` on a leash."""
    import shlex  # noqa: PLC0415 - the launcher's, not needed where the leash is put on

    return f"{shlex.join([sys.executable, '-I', os.path.abspath(__file__)])} {command}"  # noqa: PTH100 - no pathlib here


if __name__ == "__main__":
    die_with_parent()
    os.execvp(sys.argv[1], sys.argv[1:])  # noqa: S606 - the user's own vasp_cmd, as a list
