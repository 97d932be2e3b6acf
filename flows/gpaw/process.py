"""GPAW's process: started on a leash, so that it ends with its worker, waited for, and ended when its time is over."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
from pathlib import Path

from ..leash import leashed
from .command import GpawNotFoundError, gpaw_command, gpaw_environment, start_arguments

OUTPUT, ERRORS = "gpaw.out", "std_err.txt"
GRACE_S = 10.0
"""Seconds between asking a process to end and ending it."""


class OverTimeError(Exception):
    """The wall time was over in the middle of an ionic step."""


def run_gpaw(folder: Path, wall_time_s: float | None = None) -> int:
    """Run the job in a folder; returns GPAW's exit code (negative: the signal that ended it).

    Parameters
    ----------
    folder : holds job.json.
    wall_time_s : then the process is ended; it stops by itself between two ionic steps where it can.

    Raises
    ------
    GpawNotFoundError
        If the command is not there.
    OverTimeError
        If the wall time was over.
    """
    command = gpaw_command()
    if shutil.which(command[0]) is None:
        raise GpawNotFoundError(f"{command[0]!r}, which should start GPAW's Python, is not there")
    arguments = [*shlex.split(leashed(shlex.join(command))), *start_arguments("run", str(folder))]
    with (folder / OUTPUT).open("wb") as out, (folder / ERRORS).open("wb") as err:
        process = subprocess.Popen(
            arguments,
            cwd=folder,
            env=gpaw_environment(),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            start_new_session=True,  # MPI ranks are ended with it, as one group
        )
        try:
            return process.wait(wall_time_s)
        except subprocess.TimeoutExpired as error:
            message = f"the wall time of {wall_time_s:g} s was over in the middle of an ionic step"
            raise OverTimeError(message) from error
        finally:
            end(process)


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process and its group, if it still runs."""
    if process.poll() is not None:
        return
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
            process.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            continue
        except ProcessLookupError:
            process.wait()
        return
