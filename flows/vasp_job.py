"""The one VASP job of valenceflow: write inputs with the intended moments, run under custodian, parse once, audit.

A job never raises for a failed calculation: it returns a FailureDoc and stops its children. Every document is also
left in the run folder, so that a store can be rebuilt. Built on atomate2's BaseVaspMaker, whose fields and powerups
go on working.
"""

from __future__ import annotations

import gzip
import socket
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any

import orjson
from atomate2 import SETTINGS
from atomate2.common.files import gzip_output_folder
from atomate2.vasp.files import copy_vasp_outputs, write_vasp_input_set
from atomate2.vasp.jobs.base import _FILES_TO_ZIP, BaseVaspMaker, get_vasp_task_document
from atomate2.vasp.run import run_vasp
from emmet.core.tasks import TaskDoc
from jobflow import CURRENT_JOB, Response, job
from monty.serialization import dumpfn
from pymatgen.core import Structure

from ..inputs.substitution import ChargeSites, Occupants, StepStructure, step_structure
from ..inputs.vasp_sets import DEFAULT_PROTOCOL, ChargeOrderedSetGenerator, relax_set
from ..stores.documents import AchievedOrdering, FailureDoc, Finding, StepIntent, StepKind, VaspStepDoc
from ..stores.provenance import package_versions
from .audit import AuditReference, achieved_ordering, audit_step
from .custody import patient_custodian
from .failures import failure_doc
from .vasp_outputs import VaspOutputs, last_calculation, read_vasp_outputs

STEP_FILE = "valenceflow-step.json.gz"
"""The job's document in its run folder (a VaspStepDoc with frames, or a FailureDoc)."""


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
    run_vasp_kwargs and the other fields : as in atomate2's BaseVaspMaker.
    """

    name: str = "charge-ordered relax"
    input_set_generator: ChargeOrderedSetGenerator = field(default_factory=lambda: relax_set(DEFAULT_PROTOCOL))
    run_vasp_kwargs: dict[str, Any] = field(default_factory=patient_custodian)
    step: StepKind = "relax"

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
    ) -> Response[VaspStepDoc | FailureDoc]:
        """Run one step.

        Parameters
        ----------
        structure : parent structure, or the final structure of the step before. Its moments are never used.
        prev_dir : folder of an earlier run to copy outputs from (never from step 1 to step 2).
        sites : charge states in parent order.
        site_order : (n_sites,) parent index of each site of `structure`; None: parent order.
        reference : what the cell and the ordering are held against.
        intent : configuration and campaign this run belongs to.

        Returns
        -------
        Response whose output is a VaspStepDoc, or a FailureDoc with children stopped.
        """
        folder, intent = Path.cwd(), intent or StepIntent()
        document: VaspStepDoc | FailureDoc
        try:
            document = self._run(folder, structure, prev_dir, sites, site_order, reference, intent)
            passed = document.audit.passed
        except Exception as error:  # whatever went wrong becomes a document: a campaign outlives any one calculation
            document = failure_doc(error, self.step, _job_uuid(), intent, folder)
            passed = False
        leave_step_file(document, folder)
        return Response(output=document, stop_children=not passed)

    def _run(
        self,
        folder: Path,
        structure: Structure,
        prev_dir: str | Path | None,
        sites: ChargeSites,
        site_order: Sequence[int] | None,
        reference: AuditReference | None,
        intent: StepIntent,
    ) -> VaspStepDoc:
        clock = Clock()
        prepared = self.prepare(structure, sites, site_order)
        if prev_dir is not None:
            copy_vasp_outputs(prev_dir, **self.copy_vasp_kwargs)
        # Files of an earlier run may be copied; its inputs and moments are never inherited.
        options = {**self.write_input_set_kwargs, "from_prev": False}
        write_vasp_input_set(prepared.structure, self.input_set_generator, **options)
        for filename, content in self.write_additional_data.items():
            dumpfn(content, filename.replace(":", "."))
        clock.lap("inputs")
        run_vasp(**self.run_vasp_kwargs)
        clock.lap("vasp and custodian")
        task = get_vasp_task_document(folder, **self.task_document_kwargs)
        assert isinstance(task, TaskDoc)  # the other kind is for nudged elastic bands
        task.task_label = self.name
        outputs = read_vasp_outputs(folder, task)
        clock.lap("parsing")
        document = self._document(outputs, prepared, sites, reference, intent, folder)
        clock.lap("audit")
        gzip_output_folder(directory=folder, setting=SETTINGS.VASP_ZIP_FILES, files_list=_FILES_TO_ZIP)
        clock.lap("compressing")
        document.timings_s = clock.laps
        return document

    def prepare(
        self, structure: Structure, sites: ChargeSites, site_order: Sequence[int] | None = None
    ) -> StepStructure:
        """The structure of this step: elements, moments and site order as VASP will see them."""
        occupants: Occupants = "surrogate" if self.step == "surrogate relax" else "redox"
        return step_structure(structure, sites, occupants, site_order)

    def _document(
        self,
        outputs: VaspOutputs,
        prepared: StepStructure,
        sites: ChargeSites,
        reference: AuditReference | None,
        intent: StepIntent,
        folder: Path,
    ) -> VaspStepDoc:
        initial = [float(m) for m in prepared.structure.site_properties["magmom"]]
        if self.step == "surrogate relax":
            achieved = AchievedOrdering(relation="not read")
        else:
            equivalences = reference.equivalences if reference is not None else ()
            order, engine = prepared.site_order, outputs.engine.name
            achieved = achieved_ordering(outputs.final_magmoms, order, sites, engine, equivalences)
        protocol, frames = self.input_set_generator.protocol, outputs.frames
        audit = audit_step(self.step, frames, outputs.final_magmoms, initial, achieved, protocol, reference)
        mesh = self.input_set_generator.kpoints_mesh or protocol.kpoints(prepared.structure.lattice)
        return VaspStepDoc(
            step=self.step,
            uuid=_job_uuid(),
            intent=intent,
            structure=outputs.structure,
            site_order=prepared.site_order,
            energy=frames.energies[-1],
            forces=frames.forces[-1],
            stress=frames.stresses[-1],
            initial_magmoms=initial,
            magmoms=outputs.final_magmoms,
            first_magmoms=frames.magmoms[0],
            bader_charges=_bader_charges(outputs),
            n_ionic_steps=len(frames.energies),
            couple=sites.couple,
            redox_sites=sites.redox_sites,
            intended_is_high=sites.is_high,
            achieved=achieved,
            audit=audit,
            engine=outputs.engine,
            protocol=protocol.name,
            protocol_hash=protocol.hash,
            k_mesh=mesh,
            versions=package_versions(),
            folder=f"{socket.gethostname()}:{folder}",
            elapsed_s=outputs.elapsed_s,
            frames=frames,
            task=outputs.task,
        )


def _job_uuid() -> str:
    """Uuid of the running job; empty when the maker's function is called outside jobflow."""
    return "" if CURRENT_JOB.job is None else str(CURRENT_JOB.job.uuid)


def _bader_charges(outputs: VaspOutputs) -> list[float] | None:
    """Net charges, positive on cations; None where no Bader analysis was asked for."""
    calculation = last_calculation(outputs.task)
    bader: Any = None if calculation is None else calculation.bader
    if not bader:
        return None
    gained = bader["charge_transfer"]  # electrons gained by each atom
    return [-float(electrons) for electrons in gained]


def leave_step_file(document: VaspStepDoc | FailureDoc, folder: Path) -> None:
    """Write the document into its folder; where that fails the job still returns it, saying so."""
    try:
        write_step_file(document, folder)
    except OSError as error:  # a full disk, say: the result goes to the store all the same
        if isinstance(document, VaspStepDoc):
            message = f"{STEP_FILE} was not written: {error}; a store rebuilt from run folders will miss this run"
            document.audit.findings.append(Finding(code="step file", severity="warning", message=message))


def write_step_file(document: VaspStepDoc | FailureDoc, folder: Path) -> None:
    """Leave the document in the run folder, whole or not at all."""
    fields = document.model_dump(mode="json", exclude={"task"})
    partial = folder / f"{STEP_FILE}.partial"
    with gzip.open(partial, "wb", compresslevel=4) as handle:
        handle.write(orjson.dumps(fields))
    partial.replace(folder / STEP_FILE)
