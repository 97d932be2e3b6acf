"""The one VASP job of valenceflow: write inputs with the intended moments, run under custodian, parse once, audit.

A job never raises for a failed calculation: it returns a FailureDoc and stops its children. Every document is also
left in the run folder, so that a store can be rebuilt. An unconverged relaxation goes on from its CONTCAR, a lost
ordering may be tried again (`follow_up`). Built on atomate2's BaseVaspMaker, whose fields and powerups go on working.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any

from atomate2 import SETTINGS
from atomate2.common.files import gzip_output_folder
from atomate2.vasp.files import copy_vasp_outputs, write_vasp_input_set
from atomate2.vasp.jobs.base import _FILES_TO_ZIP, BaseVaspMaker, get_vasp_task_document
from atomate2.vasp.run import run_vasp
from emmet.core.tasks import TaskDoc
from jobflow import Response, job
from monty.serialization import dumpfn
from pymatgen.core import Structure
from pymatgen.io.vasp.outputs import UnconvergedVASPWarning

from ..inputs.substitution import ChargeSites, Occupants, StepStructure, step_structure
from ..inputs.vasp_sets import DEFAULT_PROTOCOL, ChargeOrderedSetGenerator, relax_set
from ..stores.documents import FailureDoc, RunHistory, StepIntent, StepKind, VaspStepDoc
from .audit import AuditReference, OnLostOrdering
from .custody import fresh_wall_clock, patient_custodian
from .diagnosis import reader_failure
from .drift import WrittenInputs, input_drift
from .failures import failure_doc
from .follow_up import StartingPoint, follow_up, next_start
from .harvest import archived_frames, killed_frames, was_restarted
from .killed_run import earlier_runs, killed_run, set_aside
from .potcar_checks import potcars_checked_once
from .rattled_start import rattled_start
from .rescue import WAVECAR, drop_wavecar, take_wavecar, uses_wavecar
from .start_file import write_start_file
from .step_document import RunRecord, StepContext, job_uuid, leave_step_file, start_content, step_document
from .vasp_messages import message_findings
from .vasp_outputs import UnreadableOutputsError, VaspOutputs, read_vasp_outputs, step_findings

_TO_ZIP = [name for name in _FILES_TO_ZIP if name != WAVECAR]
"""A WAVECAR is gigabytes that do not compress, and the next run starts from it or it is removed."""


class Clock:
    """Wall time of the phases of a job."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = perf_counter()

    def lap(self, phase: str) -> None:
        """End a phase."""
        now = perf_counter()
        self.laps[phase] = round(now - self._last, 4)
        self._last = now


@dataclass
class ChargeOrderedVaspMaker(BaseVaspMaker):
    """Run VASP on a structure whose charge states are said, and audit what comes out.

    Parameters
    ----------
    name : job name.
    step : what this run is in the protocol; `surrogate relax` puts the surrogate on the high-state sites.
    input_set_generator : made from a Protocol (`inputs.vasp_sets`); holds the k-mesh of the idealised cell.
    on_lost_ordering : what a lost ordering means: `keep` the flagged result, `retry` (see `follow_up`), or `fail`.
    max_continuations : how often an unconverged or stopped relaxation goes on from its CONTCAR.
    run_vasp_kwargs and the other fields : as in atomate2's BaseVaspMaker.
    """

    name: str = "charge-ordered relax"
    input_set_generator: ChargeOrderedSetGenerator = field(default_factory=lambda: relax_set(DEFAULT_PROTOCOL))
    run_vasp_kwargs: dict[str, Any] = field(default_factory=patient_custodian)
    step: StepKind = "relax"
    on_lost_ordering: OnLostOrdering = "keep"
    max_continuations: int = 5

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
        """Run one step.

        Parameters
        ----------
        structure : parent structure, or the final structure of the step before; rattled where the protocol says so and
            nothing came before. Its moments are never used.
        prev_dir : folder of an earlier run to copy outputs from (never from step 1 to step 2).
        sites : charge states in parent order.
        site_order : (n_sites,) parent index of each site of `structure`; None: parent order.
        reference : what the cell and the ordering are held against.
        intent : configuration and campaign this run belongs to.
        history : what came before in the same step; None: nothing.
        origin : geometry that the step started from, where `structure` is a later one (continuations).

        Returns
        -------
        Response whose output is a VaspStepDoc, or a FailureDoc with children stopped; a follow-up replaces the job.
        """
        folder = Path.cwd()
        if origin is None:
            structure = rattled_start(structure, self.step, self.input_set_generator.protocol, intent)
        origin = origin or StartingPoint(structure=structure, site_order=None if site_order is None else [*site_order])
        before = set_aside(folder)
        cut_off = None if before is None else killed_run([before], self.step, sites)
        if cut_off is not None:
            structure, site_order, history = cut_off.structure, cut_off.site_order, cut_off.history
        context = self.context(structure, sites, reference, intent, history)
        document: VaspStepDoc | FailureDoc
        after: Any = None  # jobflow's Response takes None for no replacement, its annotation does not
        try:
            start = self.prepare(structure, sites, site_order)
            with potcars_checked_once():
                document = self._run(folder, start, prev_dir, context)
            after = follow_up(self, document, context, next_start(folder, document), origin)
            document.continues = after is not None
        except Exception as error:  # whatever went wrong becomes a document: a campaign outlives any one calculation
            document = failure_doc(error, self.step, job_uuid(), context.intent, folder)
            after = None
        drop_wavecar(self, folder, after)
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
        generator = self.input_set_generator
        return StepContext(
            step=self.step,
            sites=sites,
            reference=reference,
            intent=intent or StepIntent(),
            history=history or RunHistory(),
            protocol=generator.protocol,
            k_mesh=generator.kpoints_mesh or generator.protocol.kpoints(structure.lattice),
            on_lost_ordering=self.on_lost_ordering,
        )

    def prepare(
        self, structure: Structure, sites: ChargeSites, site_order: Sequence[int] | None = None
    ) -> StepStructure:
        """The structure of this step: elements, moments and site order as VASP will see them."""
        occupants: Occupants = "surrogate" if self.step == "surrogate relax" else "redox"
        return step_structure(structure, sites, occupants, site_order)

    def _run(
        self, folder: Path, start: StepStructure, prev_dir: str | Path | None, context: StepContext
    ) -> VaspStepDoc:
        clock = Clock()
        written = self._write_inputs(folder, start, prev_dir)
        write_start_file(folder, start_content(context, start))
        clock.lap("inputs")
        fresh_wall_clock()
        # Commands as they are set now, not when atomate2 was imported; handlers count errors: every run has fresh ones.
        commands = {"vasp_cmd": SETTINGS.VASP_CMD, "vasp_gamma_cmd": SETTINGS.VASP_GAMMA_CMD}
        run_vasp(**commands | deepcopy(self.run_vasp_kwargs))
        clock.lap("vasp and custodian")
        outputs = self._read_outputs(folder)
        symbols, killed = outputs.frames.symbols, context.history.killed_folder
        earlier = killed_frames(Path(killed), symbols) if killed is not None else []
        earlier += archived_frames(folder, symbols)
        first_lattice, restarted = outputs.frames.lattices[0], was_restarted(folder)
        drift = input_drift(written, folder, first_lattice, outputs.potcar_titles, restarted)
        clock.lap("parsing")
        noticed = [*step_findings(outputs), *message_findings(folder)]
        record = RunRecord(outputs, earlier, drift, noticed=noticed)
        document = step_document(context, start, record, folder)
        clock.lap("audit")
        how = "atomate" if SETTINGS.VASP_ZIP_FILES is True and uses_wavecar(self) else SETTINGS.VASP_ZIP_FILES
        for place in (folder, *earlier_runs(folder)):  # custodian unpacks everything below the folder it starts in
            gzip_output_folder(directory=place, setting=how, files_list=_TO_ZIP)
        clock.lap("compressing")
        document.timings_s = clock.laps
        return document

    def _read_outputs(self, folder: Path) -> VaspOutputs:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UnconvergedVASPWarning)  # the audit says it, with the forces
                task = get_vasp_task_document(folder, **self.task_document_kwargs)
            assert isinstance(task, TaskDoc)  # the other kind is for nudged elastic bands
            task.task_label = self.name
            return read_vasp_outputs(folder, task)
        except Exception as error:  # emmet and pymatgen raise many kinds for files that are missing or cut off
            raise UnreadableOutputsError(reader_failure(error, folder)) from error

    def _write_inputs(self, folder: Path, start: StepStructure, prev_dir: str | Path | None) -> WrittenInputs:
        generator = self.input_set_generator
        if generator.restart == "from wavecar" and prev_dir is not None:
            take_wavecar(prev_dir, folder)
        elif prev_dir is not None:
            copy_vasp_outputs(prev_dir, **self.copy_vasp_kwargs)
        # Files of an earlier run may be copied; its inputs and moments are never inherited.
        options = {**self.write_input_set_kwargs, "from_prev": False}
        write_vasp_input_set(start.structure, generator, **options)
        for filename, content in self.write_additional_data.items():
            dumpfn(content, filename.replace(":", "."))
        elements = dict.fromkeys(site.specie.symbol for site in start.structure)
        labels = [generator.protocol.potcar.label(element) for element in elements]
        return WrittenInputs.read(folder, start.structure.lattice, labels)
