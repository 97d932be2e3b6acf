"""Going on where a campaign was interrupted: finished steps are not run again, a half-done one goes on from CONTCAR.

Decisions come from documents in the store and, for runs that were killed and left none, from what lies in their folder.
"""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
from jobflow import Job
from maggma.core import Store
from pymatgen.core import Structure

from ..inputs.substitution import ChargeSites
from ..stores.documents import ConfigurationDoc, RunHistory, VaspStepDoc
from ..stores.step_runs import StepRuns, step_runs
from .follow_up import StartingPoint, geometry_left, next_start
from .makers import StepMaker, as_before, next_job
from .start_file import started_runs
from .step_document import STEP_FILE

_BULK = ("frames", "task")
CUT_OFF = ("killed", "vanished", "disk")
"""Reasons of failures that are not VASP's doing: the geometry it had reached is good to go on from."""


@dataclass(frozen=True)
class KilledRun:
    """A run that started and left no document: where it got to."""

    folder: Path
    structure: Structure
    site_order: list[int]
    history: RunHistory


@dataclass(frozen=True)
class Place:
    """Where to look for what a configuration has done: the store, and folders with its runs (none: store alone)."""

    docs: Store | None
    folders: Sequence[Path] = ()

    def runs(self, uuid: str) -> StepRuns | None:
        """Runs of a step that left documents."""
        return None if self.docs is None else step_runs(self.docs, [uuid]).get(uuid)


def finished_start(runs: StepRuns | None) -> StartingPoint | None:
    """Where the next step starts, if this one is finished and passed its audit."""
    if runs is None or runs.goes_on or not runs.passed:
        return None
    result = runs.result
    return StartingPoint(structure=result["structure"], site_order=list(result["site_order"]))


def resumed_job(
    maker: StepMaker,
    document: ConfigurationDoc,
    place: Place,
    origin: StartingPoint,
    common: dict[str, Any],
) -> Job:
    """The next job of one step: a fresh one, or the one that goes on from what is there.

    Parameters
    ----------
    maker : of the step.
    document : the configuration.
    place : where to look.
    origin : where the step starts when nothing is there.
    common : sites, reference and intent.
    """
    uuid = document.job_uuids[maker.step]
    runs = place.runs(uuid)
    index = 1 if runs is None else len(runs.documents) + 1
    job = _continued(maker, runs, origin, common) or maker.make(
        origin.structure, site_order=origin.site_order, **common
    )
    killed = killed_run(place.folders, maker, common["sites"])
    if killed is not None:
        job = as_before(maker, killed.history).make(
            killed.structure, site_order=killed.site_order, history=killed.history, origin=origin, **common
        )
    job.set_uuid(uuid)
    job.index = index
    return job


def _continued(
    maker: StepMaker, runs: StepRuns | None, origin: StartingPoint, common: dict[str, Any]
) -> Job | None:
    """The follow-up that the newest run asked for."""
    if runs is None or not runs.goes_on:
        return None
    last = VaspStepDoc.model_validate({k: v for k, v in runs.last.items() if k not in _BULK and not k.startswith("@")})
    after = next_start(Path(last.folder.split(":", maxsplit=1)[-1]), last)
    context = maker.context(last.structure, common["sites"], common["reference"], common["intent"], last.history)
    return next_job(maker, last, context, after, origin)


def killed_run(folders: Sequence[Path], maker: StepMaker, sites: ChargeSites) -> KilledRun | None:
    """The newest run of a step if it was cut off and left a geometry to go on from.

    Parameters
    ----------
    folders : of the configuration's runs, or of all its attempts.
    maker : of the step.
    sites : charge states in parent order.
    """
    mine = [(run, content) for run, content in started_runs(folders) if content.get("step") == maker.step]
    if not mine or not _can_go_on(mine[-1][0] / STEP_FILE):
        return None
    place, content = mine[-1]
    occupants = "surrogate" if maker.step == "surrogate relax" else "redox"
    try:
        order = [int(i) for i in content["site_order"]]
        symbols = [sites.symbol(i, occupants) for i in order]  # type: ignore[arg-type]  # one of two literals
        history = RunHistory.model_validate(content["history"])
    except (KeyError, ValueError, IndexError, TypeError):
        return None  # a start file that was cut off or edited: the step starts anew
    left = geometry_left(place, symbols)
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
