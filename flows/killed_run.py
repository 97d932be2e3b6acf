"""Where a VASP run that was cut off got to, so that its step goes on from there."""

from __future__ import annotations

import gzip
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson
from pymatgen.core import Structure

from ..inputs.substitution import ChargeSites, Occupants
from ..stores.documents import RunHistory, StepKind
from .follow_up import geometry_before, geometry_left
from .start_file import START_FILE, started_runs
from .step_document import STEP_FILE

CUT_OFF = ("killed", "vanished", "disk")
"""Reasons of failures that are not VASP's doing: the geometry it had reached is good to go on from."""


@dataclass(frozen=True)
class KilledRun:
    """A run that started and left no document: where it got to."""

    folder: Path
    structure: Structure
    site_order: list[int]
    history: RunHistory


def killed_run(folders: Sequence[Path], step: StepKind, sites: ChargeSites) -> KilledRun | None:
    """The newest run of a step if it was cut off and left a geometry to go on from.

    Parameters
    ----------
    folders : of the configuration's runs, or of all its attempts.
    step : what it was in the protocol.
    sites : charge states in parent order.
    """
    mine = [(run, content) for run, content in started_runs(folders) if content.get("step") == step]
    if not mine or not _can_go_on(mine[-1][0] / STEP_FILE):
        return None
    place, content = mine[-1]
    occupants: Occupants = "surrogate" if step == "surrogate relax" else "redox"
    try:
        order = [int(i) for i in content["site_order"]]
        symbols = [sites.symbol(i, occupants) for i in order]
        history = RunHistory.model_validate(content["history"])
    except (KeyError, ValueError, IndexError, TypeError):
        return None  # a start file that was cut off or edited: the step starts anew
    left = geometry_left(place, symbols)
    if left is None and history.killed_folder is not None:
        # It had itself gone on from a run that was killed: what that one did is not to be done again.
        left = geometry_before(place, symbols)
    if left is None:
        return None
    structure, source = left
    note = f"went on from the {source} of a run that was killed"
    changes = {"killed_folder": str(place), "tried": [*history.tried, note]}
    return KilledRun(place, structure, order, history.model_copy(update=changes))


def _can_go_on(step_file: Path) -> bool:
    """Whether a run left no document, or one that says that it was cut off from outside."""
    if not step_file.exists():
        return True
    try:
        document = orjson.loads(gzip.decompress(step_file.read_bytes()))
    except (OSError, EOFError, orjson.JSONDecodeError):
        return False
    return document.get("document") == "FailureDoc" and document.get("reason") in CUT_OFF


_KEPT = ("WAVECAR", "WAVECAR.gz")
"""What the run that comes next may need."""

_OF_QUEUES = (
    "jfremote_*",
    "remote_job_data.json",
    "submit.sh",
    "queue.*",
    "FW*",
    "*.out",
    "*.error",
    "additional_store*",
)
"""What a queue manager keeps in the folder of its job."""


def set_aside(folder: Path) -> Path | None:
    """Move what an earlier run left in this folder into one below it; None where none ran here.

    A scheduler that takes a job back (a node went down, somebody requeued it) runs it again in the same folder.
    """
    if not (folder / START_FILE).exists():
        return None
    aside = folder / f"before-{1 + len(earlier_runs(folder))}"
    aside.mkdir()
    for path in list(folder.iterdir()):
        of_queue = any(path.match(pattern) for pattern in _OF_QUEUES) and path.name != "vasp.out"
        if path.is_file() and path.name not in _KEPT and not of_queue:
            shutil.move(path, aside / path.name)
    return aside


def earlier_runs(folder: Path) -> list[Path]:
    """Folders that `set_aside` made in a run folder."""
    return sorted(folder.glob("before-*"))
