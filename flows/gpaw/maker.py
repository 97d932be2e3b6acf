"""One step on GPAW: the same structures, documents, audit and resume as a VASP step, in GPAW's own process.

A job never raises for a failed calculation: it returns a FailureDoc and stops its children. A relaxation that was
stopped goes on from its last frame; a lost ordering may be tried again from every SCF start there is.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any

from jobflow import Job, Maker, Response, job
from pymatgen.core import Structure

from ...inputs.protocol import Protocol, load_protocol
from ...inputs.substitution import ChargeSites, Occupants, StepStructure, step_structure
from ...stores.documents import FailureDoc, Finding, RunHistory, StepIntent, StepKind, VaspStepDoc
from ...stores.relations import LOST
from ..audit import AuditReference, OnLostOrdering
from ..drift import Drift
from ..follow_up import StartingPoint, continued, goes_on, next_start
from ..harvest import killed_frames
from ..rattled_start import rattled_start
from ..start_file import write_start_file
from ..step_document import RunRecord, StepContext, job_uuid, leave_step_file, start_content, step_document
from .failures import GpawCrashedError, gpaw_failure_doc
from .in_gpaw.files import JOB, RESULT, write_whole
from .job import Calculation, gpaw_settings, job_content
from .outputs import pack, read_outputs
from .process import run_gpaw

EVERY_START = ("ionic", "ionic d1", "ionic d2", "ionic d3", "ionic d4", "ionic d5", "atoms")
"""SCF starts of another try at a lost ordering."""

_STOP_BEFORE = 0.95
"""Share of the wall time after which a relaxation ends itself between two ionic steps."""


@dataclass
class GpawStepMaker(Maker):
    """Run GPAW on a structure whose charge states are said, and audit what comes out.

    Parameters
    ----------
    name : job name.
    step : what this run is in the protocol; `surrogate relax` puts the surrogate on the high-state sites.
    protocol : with its `gpaw` block.
    k_mesh : mesh of the idealised cell; None takes the protocol's rule on the structure's lattice.
    starts : SCF starts; None: the protocol's.
    on_lost_ordering : what a lost ordering means: `keep` the flagged result, `retry` from every start, or `fail`.
    max_continuations : how often an unconverged or stopped relaxation goes on from its last frame.
    wall_time_s : wall time of one run; None: no limit.
    """

    name: str = "charge-ordered relax"
    step: StepKind = "relax"
    protocol: Protocol = field(default_factory=lambda: load_protocol("gpaw"))
    k_mesh: tuple[int, int, int] | None = None
    starts: tuple[str, ...] | None = None
    on_lost_ordering: OnLostOrdering = "keep"
    max_continuations: int = 5
    wall_time_s: float | None = None

    @property
    def calculation(self) -> Calculation:
        """What GPAW does in this step."""
        return "static" if self.step in ("static", "rescue static") else "relax"

    @job(data=["frames", "task"])
    def make(
        self,
        structure: Structure,
        prev_dir: str | Path | None = None,
        *,
        sites: ChargeSites,
        site_order: Sequence[int] | None = None,
        reference: AuditReference | None = None,
        intent: StepIntent | None = None,
        history: RunHistory | None = None,
        origin: StartingPoint | None = None,
    ) -> Response[VaspStepDoc | FailureDoc]:
        """Run one step; parameters and outputs as in `ChargeOrderedVaspMaker.make`. `prev_dir` is not used."""
        folder = Path.cwd()
        if origin is None:
            structure = rattled_start(structure, self.step, self.protocol, intent)
        context = self.context(structure, sites, reference, intent, history)
        origin = origin or StartingPoint(structure=structure, site_order=None if site_order is None else [*site_order])
        document: VaspStepDoc | FailureDoc
        after: Any = None  # jobflow's Response takes None for no replacement, its annotation does not
        try:
            start = self.prepare(structure, sites, site_order)
            document = self._run(folder, start, context)
            after = self.follow_up(document, context, next_start(folder, document), origin)
            document.continues = after is not None
        except Exception as error:  # whatever went wrong becomes a document: a campaign outlives any one calculation
            document = gpaw_failure_doc(error, self.step, job_uuid(), context.intent, folder)
            after = None
        leave_step_file(document, folder)
        passed = isinstance(document, VaspStepDoc) and document.audit.passed
        return Response(output=document, replace=after, stop_children=after is None and not passed)

    def context(
        self,
        structure: Structure,
        sites: ChargeSites,
        reference: AuditReference | None,
        intent: StepIntent | None,
        history: RunHistory | None,
    ) -> StepContext:
        """What this maker's run works for."""
        return StepContext(
            step=self.step,
            sites=sites,
            reference=reference,
            intent=intent or StepIntent(),
            history=history or RunHistory(),
            protocol=self.protocol,
            k_mesh=self.k_mesh or self.protocol.kpoints(structure.lattice),
            on_lost_ordering=self.on_lost_ordering,
        )

    def meshed(self, structure: Structure) -> GpawStepMaker:
        """The maker with its k-mesh decided on this cell, so that no relaxed cell changes it later."""
        decided = deepcopy(self)
        decided.k_mesh = self.k_mesh or self.protocol.kpoints(structure.lattice)
        return decided

    def prepare(
        self, structure: Structure, sites: ChargeSites, site_order: Sequence[int] | None = None
    ) -> StepStructure:
        """The structure of this step: elements, moments and site order as GPAW will see them."""
        occupants: Occupants = "surrogate" if self.step == "surrogate relax" else "redox"
        return step_structure(structure, sites, occupants, site_order)

    def content(self, start: StepStructure, context: StepContext) -> dict[str, Any]:
        """What job.json will say."""
        starts = EVERY_START if context.history.rescue else self.starts
        stop_after_s = None if self.wall_time_s is None else _STOP_BEFORE * self.wall_time_s
        return job_content(start, context.sites, self.protocol, context.k_mesh, self.calculation, starts, stop_after_s)

    def write_inputs(self, folder: Path, start: StepStructure, context: StepContext) -> None:
        """Write job.json alone, for looking at it."""
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(folder / JOB, json.dumps(self.content(start, context), indent=1))

    def follow_up(
        self, document: VaspStepDoc, context: StepContext, after: StartingPoint, origin: StartingPoint
    ) -> Job | None:
        """The job that replaces a finished one, or None where the document is the last word.

        Parameters
        ----------
        document : what came out.
        context : what it worked for.
        after : where a continuation starts.
        origin : where the step started.
        """
        common = {"sites": context.sites, "reference": context.reference, "intent": context.intent, "origin": origin}
        if goes_on(document, self.max_continuations):
            history = continued(document.history, document)
            return self.make(after.structure, site_order=after.site_order, history=history, **common)
        lost = document.achieved.relation in LOST and document.intended_is_high is not None
        if lost and context.on_lost_ordering == "retry" and not document.history.rescue and document.audit.passed:
            again = rescued(document)
            return self.make(origin.structure, site_order=origin.site_order, history=again, **common)
        return None

    def _run(self, folder: Path, start: StepStructure, context: StepContext) -> VaspStepDoc:
        began = perf_counter()
        write_whole(folder / JOB, json.dumps(self.content(start, context)))
        write_start_file(folder, start_content(context, start))
        inputs = perf_counter()
        code = run_gpaw(folder, self.wall_time_s)
        if code != 0 and not (folder / RESULT).exists():
            raise GpawCrashedError(code)
        ended = perf_counter()
        read = read_outputs(folder)
        killed, symbols = context.history.killed_folder, read.outputs.frames.symbols
        earlier = killed_frames(Path(killed), symbols) if killed is not None else []
        drift = Drift(findings=_start_findings(read.details))
        document = step_document(context, start, RunRecord(read.outputs, earlier, drift, read.details), folder)
        pack(folder)
        phases = {"inputs": inputs - began, "gpaw": ended - inputs, "parsing and audit": perf_counter() - ended}
        document.timings_s = {phase: round(seconds, 4) for phase, seconds in phases.items()}
        return document


def rescued(document: VaspStepDoc) -> RunHistory:
    """History of another try at a lost ordering."""
    history, achieved = document.history, document.achieved
    note = f"ordering {achieved.relation} ({achieved.reason}): again from SCF starts {', '.join(EVERY_START)}"
    changes = {"rescue": history.rescue + 1, "continuation": 0, "tried": [*history.tried, note], "killed_folder": None}
    return history.model_copy(update=changes)


def _start_findings(details: dict[str, Any]) -> list[Finding]:
    """What must be known of the SCF starts: one that could not be had, and those that did not converge."""
    found = [Finding(code="scf start", severity="warning", message=note) for note in details["notes"]]
    for start in details["starts"]:
        if not start["converged"]:
            message = f"start {start['start']} did not converge: {start['error']}; {details['chosen']} is kept"
            found.append(Finding(code="scf start", severity="info", message=message))
    return found


def gpaw_relax_maker(step: StepKind, protocol: Protocol) -> GpawStepMaker:
    """A relaxation of one step under a protocol."""
    gpaw_settings(protocol)
    return GpawStepMaker(name=step, step=step, protocol=protocol)


def gpaw_static_maker(protocol: Protocol) -> GpawStepMaker:
    """A single point under a protocol."""
    gpaw_settings(protocol)
    return GpawStepMaker(name="static", step="static", protocol=protocol)
