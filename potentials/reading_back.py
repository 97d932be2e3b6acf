"""Has a data set read back in a process of its own; imports no torch."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path


def read_back(folder: Path, formats: Sequence[str], report: Callable[[str, int, int], None]) -> dict[str, str]:
    """Read formats of a set back through their trainers' own loaders.

    Parameters
    ----------
    folder : of the set, with what was meant in it (`stores.export.data_set.EXPECTED`).
    formats : any of mace, chgnet, cpainn, aselmdb.
    report : called with what is read, frames done, frames in all (0: not known).

    Returns
    -------
    Format -> package and version of its loader.

    Raises
    ------
    ValueError
        If a loader is not installed, or reads other numbers than were meant.
    """
    command = [sys.executable, "-m", "valenceflow.potentials.read_back", str(folder), *formats]
    last = ""
    with tempfile.TemporaryFile("w+") as errors:
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True) as process:
            assert process.stdout is not None
            try:
                for line in process.stdout:
                    last = line
                    what, _, done = line.strip().partition(" ")
                    if done.isdigit():
                        report(f"reading {what} back", int(done), 0)
            except BaseException:
                process.kill()  # on Ctrl-C it would read on
                raise
        errors.seek(0)
        said = errors.read().strip().splitlines()
    if process.returncode != 0:
        reason = said[-1] if said else f"it ended with exit code {process.returncode}"
        raise ValueError(f"the set was not made: reading it back failed: {reason}")
    found: dict[str, str] = json.loads(last)
    return found
