"""The stand-in under the real custodian, quickly: its process is replaced by a call in this one."""

from __future__ import annotations

import contextlib
import copy
import json
import os
import subprocess
import warnings
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
from atomate2.vasp.run import DEFAULT_HANDLERS, run_vasp
from pymatgen.io.vasp.inputs import PotcarSingle
from valenceflow.flows.rehearsal.executable import main

POLLING = {"polling_time_step": 0, "monitor_freq": 1}


class InThisProcess(subprocess.Popen):
    """Runs the stand-in to its end when started; everything else in custodian is as ever."""

    def __init__(self, args, cwd=None, stdout=None, stderr=None, **_: Any) -> None:
        self.args, self.pid = args, os.getpid()
        with contextlib.chdir(cwd), contextlib.redirect_stdout(stdout), contextlib.redirect_stderr(stderr):
            self.returncode = main(args[3:])
            stdout.flush()

    def poll(self):
        return self.returncode

    def __del__(self) -> None:
        """Nothing to reap."""


_VALIDITY = PotcarSingle.is_valid.fget
_FOUND: dict[str, tuple[Any, Any]] = {}


def _remembered_validity(potcar: PotcarSingle) -> Any:
    """Handlers read POTCAR some ten times a correction, and pymatgen compares it with every one it knows each time."""
    if potcar.data not in _FOUND:
        _FOUND[potcar.data] = (_VALIDITY(potcar), potcar._summary_stats)
    validity, potcar._summary_stats = _FOUND[potcar.data]
    return validity


@dataclass
class Report:
    """What custodian did: the errors it saw per restart, the actions it took, and how it ended."""

    folder: Path
    errors: list[list[str]] = field(default_factory=list)
    actions: list[list[Any]] = field(default_factory=list)
    ending: str = "finished"

    @property
    def outcome(self) -> str:
        """corrected, stopped, or nothing."""
        if self.ending != "finished":
            return "stopped"
        return "corrected" if self.errors else "nothing"

    @property
    def ladder(self) -> str:
        """What was set, deleted or copied, correction by correction; `-` where custodian knew no remedy."""
        rungs = [", ".join(_words(action) for action in actions) or "-" for actions in self.actions]
        counted = [(rung, len(list(same))) for rung, same in groupby(rungs)]
        return " | ".join(rung if times == 1 else f"{times} x {rung}" for rung, times in counted)


def under_custodian(folder: Path, fault: str, monkeypatch: pytest.MonkeyPatch, **arguments: Any) -> Report:
    """Run atomate2's run_vasp with its default handlers (fresh copies: they count across jobs)."""
    monkeypatch.setattr(subprocess, "Popen", InThisProcess)
    monkeypatch.setattr(PotcarSingle, "is_valid", property(_remembered_validity))
    monkeypatch.chdir(folder)
    report = Report(folder)
    arguments.setdefault("handlers", copy.deepcopy(DEFAULT_HANDLERS))
    command = f"python -m valenceflow.flows.rehearsal.executable --engine springs --fault {fault}"
    with warnings.catch_warnings():
        # Handlers tell the user what they think of the run; what they do is tested.
        warnings.simplefilter("ignore")
        try:
            run_vasp(vasp_cmd=command, vasp_gamma_cmd=command, custodian_kwargs=POLLING, **arguments)
        except Exception as err:  # what custodian raises is the result
            report.ending = type(err).__name__
    if (folder / "custodian.json").exists():
        for correction in json.loads((folder / "custodian.json").read_text())[0]["corrections"]:
            report.errors.append(correction["errors"])
            report.actions.append(correction["actions"] or [])
    return report


def _words(action: dict[str, Any]) -> str:
    ((verb, value),) = action["action"].items()
    what = action.get("dict") or action.get("file")
    if verb == "_file_copy":
        return f"{what} -> {value['dest']}"
    if verb in ("_file_delete", "_unset"):
        return f"{what} deleted" if verb == "_file_delete" else f"{what} without {' '.join(value)}"
    if what == "POSCAR":
        return "POSCAR changed"
    return f"{what} " + " ".join(f"{tag}={new}" for tag, new in value.items())
