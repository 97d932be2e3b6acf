"""The reference electrode of a campaign with `voltages: true`: its working ion's metal, relaxed by the same engine.

One small flow beside the configurations: planned, run, resumed, and built into a MetalReferenceDoc. It is tried again
by the next run where it failed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from jobflow import Flow
from pymatgen.core import Structure

from ..inputs.gpaw_settings import GPAW
from ..inputs.metals import metal_name, metal_protocol, metal_structure
from ..inputs.protocol import Protocol
from ..inputs.substitution import ChargeSites
from ..inputs.vasp_sets import ChargeOrderedSetGenerator
from ..stores.collection import Collection
from ..stores.connect import Stores
from ..stores.documents import Audit, Finding, MetalReferenceDoc, StepIntent
from ..stores.step_runs import StepRuns, step_runs
from .campaign_file import Campaign
from .plan import step_uuid
from .step_files import StepDocument, in_order, read_step_file, step_paths
from .two_step import with_uuid
from .vasp_job import ChargeOrderedVaspMaker

METAL: Final = "metal"
"""The step, the run folder, and the word for `run --only`."""

_BULK = ("frames", "task")


@dataclass(frozen=True, eq=False)
class MetalPlan:
    """The metal job of one campaign and engine.

    Attributes
    ----------
    element, structure : what is relaxed.
    protocol : the metal's own.
    of_protocol : hash of the campaign's protocol, whose energies it belongs to.
    engine : full name.
    reference_id : hash of element, both protocols and engine.
    campaign : name.
    """

    element: str
    structure: Structure
    protocol: Protocol
    of_protocol: str
    engine: str
    reference_id: str
    campaign: str

    def uuid(self, attempt: int) -> str:
        """Uuid of an attempt's job, fixed before anything runs."""
        return step_uuid(self.campaign, self.reference_id, METAL, attempt)

    def folder(self, campaign_folder: Path, attempt: int) -> Path:
        """Run folder of an attempt."""
        return campaign_folder / METAL / f"{self.element}_{self.reference_id[:8]}" / f"attempt-{attempt}"


def plan_metal(campaign: Campaign, engine: str) -> MetalPlan:
    """Plan the reference.

    Raises
    ------
    ValueError
        If the engine cannot do a metal, or no simple metal of the working ion is known.
    """
    if engine == GPAW:
        raise ValueError(
            "voltages: the metal reference is not made for --engine gpaw, whose protocol here is one for insulators; "
            f"take `voltages: true` out of {campaign.path.name}, or run another engine"
        )
    element = campaign.file.ion
    protocol = metal_protocol(campaign.protocol, element)
    content = [element, protocol.hash, campaign.protocol.hash, engine]
    identity = hashlib.sha256(json.dumps(content).encode()).hexdigest()[:20]
    return MetalPlan(
        element, metal_structure(element), protocol, campaign.protocol.hash, engine, identity, campaign.file.name
    )


def metal_maker(campaign: Campaign, plan: MetalPlan) -> ChargeOrderedVaspMaker:
    """The job, with the campaign's launch tags."""
    launch = campaign.file.launch
    maker = ChargeOrderedVaspMaker(
        name=METAL,
        step=METAL,
        input_set_generator=ChargeOrderedSetGenerator(
            protocol=plan.protocol, kpoints_mesh=plan.protocol.kpoints(plan.structure.lattice)
        ),
        max_continuations=launch.max_continuations,
    )
    maker.input_set_generator.user_incar_settings |= launch.incar
    if launch.wall_time_minutes is not None:
        maker.run_vasp_kwargs["wall_time"] = round(60 * launch.wall_time_minutes)
    return maker


def metal_sites(campaign: Campaign, plan: MetalPlan) -> ChargeSites:
    """No site of a metal has a charge state."""
    elements = [site.specie.symbol for site in plan.structure]
    return ChargeSites(couple=campaign.couple, elements=elements, redox_sites=[], is_high=[], n_high=0)


def metal_flow(campaign: Campaign, plan: MetalPlan, attempt: int) -> Flow:
    """The flow of one attempt."""
    intent = StepIntent(campaign=plan.campaign, configuration_id=plan.reference_id, attempt=attempt)
    made = metal_maker(campaign, plan).make(plan.structure, sites=metal_sites(campaign, plan), intent=intent)
    job = with_uuid(made, plan.uuid(attempt))
    return Flow([job], output=job.output, name=f"{plan.campaign} {metal_name(plan.element)}")


def find_reference(stores: Stores, campaign: Campaign, plan: MetalPlan) -> MetalReferenceDoc | None:
    """The reference document, made of what has run where it is not there yet; None where nothing has finished."""
    kept = stores.collection("references").query_one({"reference_id": plan.reference_id})
    known = None if kept is None else MetalReferenceDoc.model_validate({k: v for k, v in kept.items() if k != "_id"})
    if known is not None and known.counts:
        return known
    attempt = next_attempt(known)
    runs = finished_runs(stores.docs(), campaign, plan, attempt)
    if runs is None or runs.goes_on:
        return known
    made = reference_doc(plan, runs, attempt)
    stores.collection("references").update([made.model_dump(mode="json")])
    return made


def finished_runs(docs: Collection, campaign: Campaign, plan: MetalPlan, attempt: int) -> StepRuns | None:
    """What an attempt has left in the store or, where that was lost, in its folder; None: nothing."""
    runs = step_runs(docs, [plan.uuid(attempt)]).get(plan.uuid(attempt))
    if runs is not None:
        return runs
    paths = step_paths(plan.folder(campaign.folder, attempt))
    files = [file for path in in_order(paths) if (file := _readable(path)) is not None]
    found = [file.model_dump(mode="json") for file in files if file.uuid == plan.uuid(attempt)]
    return StepRuns(tuple(found)) if found else None


def _readable(path: Path) -> StepDocument | None:
    """A run's document; one that was cut off is as if it had never been: the run is done again."""
    try:
        return read_step_file(path)
    except ValueError:
        return None


def next_attempt(known: MetalReferenceDoc | None) -> int:
    """Number of the attempt to be made."""
    return 1 if known is None else known.attempt + 1


def reference_doc(plan: MetalPlan, runs: StepRuns, attempt: int) -> MetalReferenceDoc:
    """The document of one finished attempt."""
    result = {name: value for name, value in runs.result.items() if name not in _BULK}
    finished = result["document"] == "VaspStepDoc"
    audit = _audit(plan, result)
    return MetalReferenceDoc(
        reference_id=plan.reference_id,
        campaign=plan.campaign,
        element=plan.element,
        crystal=metal_name(plan.element),
        energy_per_atom=float(result["energy"]) / len(plan.structure) if finished else None,
        counts=audit.passed,
        audit=audit,
        attempt=attempt,
        k_mesh=plan.protocol.kpoints(plan.structure.lattice),
        engine=plan.engine,
        protocol=plan.protocol.name,
        protocol_hash=plan.protocol.hash,
        of_protocol_hash=plan.of_protocol,
        step=result,
    )


def _audit(plan: MetalPlan, result: dict[str, Any]) -> Audit:
    if result["document"] == "FailureDoc":
        return Audit.of([Finding(code=result["reason"], severity="failure", message=result["message"])])
    findings: Sequence[Finding] = [Finding(**finding) for finding in result["audit"]["findings"]]
    if result["engine"]["name"] != plan.engine:
        message = f"run as {plan.engine}, but the output was written by {result['engine']['name']}; mend vasp_cmd"
        return Audit.of([*findings, Finding(code="engine", severity="failure", message=message)])
    return Audit.of(list(findings))
