"""Going on where a campaign was interrupted: finished steps are not run again, a half-done one goes on from CONTCAR.

Decisions come from documents in the store and, for runs that were killed and left none, from what lies in their folder.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jobflow import Job

from ..stores.collection import Collection
from ..stores.documents import ConfigurationDoc, VaspStepDoc
from ..stores.step_runs import StepRuns, step_runs
from .follow_up import StartingPoint, next_start
from .killed_run import killed_run
from .makers import StepMaker, as_before, first_structure, next_job

_BULK = ("frames", "task")


@dataclass(frozen=True)
class Place:
    """Where to look for what a configuration has done: the store, and folders with its runs (none: store alone)."""

    docs: Collection | None
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
    began = origin.model_copy(update={"structure": first_structure(maker, origin.structure, common["intent"])})
    job = _continued(maker, runs, began, common) or maker.make(origin.structure, site_order=origin.site_order, **common)
    killed = killed_run(place.folders, maker.step, common["sites"])
    if killed is not None:
        job = as_before(maker, killed.history).make(
            killed.structure, site_order=killed.site_order, history=killed.history, origin=began, **common
        )
    job.set_uuid(uuid)
    job.index = index
    return job


def _continued(maker: StepMaker, runs: StepRuns | None, origin: StartingPoint, common: dict[str, Any]) -> Job | None:
    """The follow-up that the newest run asked for."""
    if runs is None or not runs.goes_on:
        return None
    last = VaspStepDoc.model_validate({k: v for k, v in runs.last.items() if k not in _BULK and not k.startswith("@")})
    after = next_start(Path(last.folder.split(":", maxsplit=1)[-1]), last)
    context = maker.context(last.structure, common["sites"], common["reference"], common["intent"], last.history)
    return next_job(maker, last, context, after, origin)
