"""The document of one VASP run: made from its outputs and what was meant, and left in its folder."""

from __future__ import annotations

import gzip
import socket
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
from jobflow import CURRENT_JOB

from ..inputs.protocol import Protocol
from ..inputs.substitution import ChargeSites, StepStructure
from ..stores.documents import (
    AchievedOrdering,
    FailureDoc,
    Finding,
    FrameSeries,
    RunHistory,
    StepIntent,
    StepKind,
    VaspStepDoc,
)
from ..stores.provenance import package_versions
from .audit import AuditReference, OnLostOrdering, RunFindings, achieved_ordering, audit_step
from .drift import Drift
from .vasp_outputs import VaspOutputs, last_calculation

STEP_FILE = "valenceflow-step.json.gz"
"""The job's document in its run folder (a VaspStepDoc with frames, or a FailureDoc)."""


@dataclass(frozen=True)
class StepContext:
    """What a run works for.

    Attributes
    ----------
    step : what the run is in the protocol.
    sites : charge states in parent order.
    reference : what cell and ordering are held against.
    intent : configuration and campaign.
    history : what came before in the same step.
    protocol, k_mesh : under which it runs.
    on_lost_ordering : what a lost ordering means.
    """

    step: StepKind
    sites: ChargeSites
    reference: AuditReference | None
    intent: StepIntent
    history: RunHistory
    protocol: Protocol
    k_mesh: tuple[int, int, int]
    on_lost_ordering: OnLostOrdering = "keep"


@dataclass
class RunRecord:
    """What a run left: outputs, frames of its forerunners, how its inputs changed, and the engine's own account.

    `noticed` holds what the engine said and what was done about it.
    """

    outputs: VaspOutputs
    earlier: list[FrameSeries] = field(default_factory=list)
    drift: Drift = field(default_factory=Drift)
    details: dict[str, Any] = field(default_factory=dict)
    noticed: list[Finding] = field(default_factory=list)


def step_document(context: StepContext, prepared: StepStructure, record: RunRecord, folder: Path) -> VaspStepDoc:
    """Audit a run and write down what came out."""
    outputs, frames = record.outputs, record.outputs.frames
    initial = [float(m) for m in prepared.structure.site_properties["magmom"]]
    achieved = _achieved(context, prepared, outputs)
    run = RunFindings(outputs.stopped, tuple(record.drift.findings), context.on_lost_ordering, tuple(record.noticed))
    audit = audit_step(
        context.step, frames, outputs.final_magmoms, initial, achieved, context.protocol, context.reference, run
    )
    whole = FrameSeries.joined([*record.earlier, frames])
    return VaspStepDoc(
        step=context.step,
        uuid=job_uuid(),
        intent=context.intent,
        structure=outputs.structure,
        site_order=prepared.site_order,
        energy=frames.energies[-1],
        forces=frames.forces[-1],
        stress=frames.stresses[-1],
        initial_magmoms=initial,
        magmoms=outputs.final_magmoms,
        first_magmoms=whole.magmoms[0],
        bader_charges=_bader_charges(outputs),
        n_ionic_steps=len(whole.energies),
        stopped=outputs.stopped,
        history=context.history,
        protocol_drift=record.drift.changes,
        potcar_titles=outputs.potcar_titles,
        couple=context.sites.couple,
        redox_sites=context.sites.redox_sites,
        intended_is_high=context.sites.is_high,
        achieved=achieved,
        audit=audit,
        engine=outputs.engine,
        protocol=context.protocol.name,
        protocol_hash=context.protocol.hash,
        k_mesh=context.k_mesh,
        versions=package_versions(),
        folder=f"{socket.gethostname()}:{folder}",
        elapsed_s=outputs.elapsed_s,
        n_cores=outputs.n_cores,
        frames=whole,
        engine_details=record.details,
        task=outputs.task,
    )


def _achieved(context: StepContext, prepared: StepStructure, outputs: VaspOutputs) -> AchievedOrdering:
    if context.step == "surrogate relax" or not context.sites.redox_sites:  # a metal has no charge states
        return AchievedOrdering(relation="not read")
    equivalences = context.reference.equivalences if context.reference is not None else ()
    order, engine = prepared.site_order, outputs.engine.name
    return achieved_ordering(outputs.final_magmoms, order, context.sites, engine, equivalences)


def job_uuid() -> str:
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


def start_content(context: StepContext, prepared: StepStructure) -> dict[str, Any]:
    """Who starts a run, and which parent site each of its sites is."""
    job = CURRENT_JOB.job
    return {
        "uuid": job_uuid(),
        "index": 1 if job is None else job.index,
        "name": context.step if job is None else job.name,
        "metadata": {} if job is None else job.metadata,
        "hosts": [] if job is None else job.hosts,
        "step": context.step,
        "attempt": context.intent.attempt,
        "site_order": prepared.site_order,
        "history": context.history.model_dump(mode="json"),
    }
