"""One small flow per configuration of a campaign; a finished and audited step 1 is not run again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from jobflow import Flow, OutputReference
from maggma.core import Store
from pymatgen.core import Structure

from ..inputs.substitution import ChargeSites
from ..stores.documents import ConfigurationDoc, StepIntent
from .campaign_file import Campaign
from .free import FreeRelaxMaker
from .plan import audit_reference, charge_sites_of, occupied_structure
from .two_step import TwoStepRelaxMaker, with_uuid
from .vasp_job import ChargeOrderedVaspMaker


def configuration_flow(campaign: Campaign, document: ConfigurationDoc, docs: Store | None = None) -> Flow:
    """The flow of one configuration.

    Parameters
    ----------
    campaign : where host, couple and protocol come from.
    document : the configuration.
    docs : jobflow's docs_store; if step 1 is in it and passed its audit, the flow holds step 2 alone.

    Raises
    ------
    ValueError
        If the campaign file no longer describes this configuration.
    """
    _same_campaign(campaign, document)
    structure, sites = unrelaxed(campaign, document)
    common: dict[str, Any] = {
        "sites": sites,
        "reference": audit_reference(campaign.cell, document.working_bits),
        "intent": StepIntent(
            campaign=campaign.file.name, configuration_id=document.configuration_id, attempt=document.attempt
        ),
    }
    if document.charge_bits is None:
        flow = free_maker(campaign).make(structure, job_uuids=document.job_uuids, **common)
    else:
        maker = two_step_maker(campaign)
        first = _finished_first_step(document, docs)
        if first is None:
            flow = maker.make(structure, job_uuids=document.job_uuids, **common)
        else:
            job = maker.make_second_step(maker.relax_maker, first, common)
            second = with_uuid(job, document.job_uuids["relax"])
            flow = Flow([second], output=second.output, name=maker.name)
    flow.name = f"{campaign.file.name} {document.joint_key}"
    flow.update_metadata(
        {
            "campaign": campaign.file.name,
            "configuration_id": document.configuration_id,
            "joint_key": document.joint_key,
        },
        dynamic=False,
    )
    return flow


def unrelaxed(campaign: Campaign, document: ConfigurationDoc) -> tuple[Structure, ChargeSites]:
    """The idealised structure of a configuration and its charge states."""
    structure = occupied_structure(campaign.cell, document.working_bits)
    return structure, charge_sites_of(structure, campaign.cell, campaign, document)


def two_step_maker(campaign: Campaign) -> TwoStepRelaxMaker:
    """The two-step protocol, its k-mesh decided on the idealised supercell so that no relaxed cell changes it."""
    maker = TwoStepRelaxMaker.from_protocol(campaign.protocol, campaign.couple)
    for step in (maker.surrogate_relax_maker, maker.relax_maker):
        step.input_set_generator.kpoints_mesh = _mesh(campaign)
    return maker


def free_maker(campaign: Campaign) -> FreeRelaxMaker:
    """The free relaxation with the same k-mesh."""
    maker = FreeRelaxMaker.from_protocol(campaign.protocol, campaign.couple)
    maker.relax_maker.input_set_generator.kpoints_mesh = _mesh(campaign)
    return maker


def configuration_jobs(
    campaign: Campaign, document: ConfigurationDoc
) -> Iterator[tuple[ChargeOrderedVaspMaker, Structure, ChargeSites]]:
    """Each VASP run of a configuration with the unrelaxed structure, for looking at its inputs."""
    structure, sites = unrelaxed(campaign, document)
    if document.charge_bits is None:
        yield free_maker(campaign).relax_maker, structure, sites
        return
    maker = two_step_maker(campaign)
    if sites.has_surrogate_step:
        yield maker.surrogate_relax_maker, structure, sites
    yield maker.relax_maker, structure, sites


def _mesh(campaign: Campaign) -> tuple[int, int, int]:
    return campaign.protocol.kpoints(campaign.cell.structure.lattice)


def _finished_first_step(document: ConfigurationDoc, docs: Store | None) -> OutputReference | None:
    """Reference to the output of step 1 if it is in the store and passed its audit."""
    uuid = document.job_uuids.get("surrogate relax")
    if docs is None or uuid is None:
        return None
    found = docs.query_one({"uuid": uuid}, properties=["output.document", "output.audit.passed"])
    output = (found or {}).get("output", {})
    finished = output.get("document") == "VaspStepDoc" and output.get("audit", {}).get("passed", False)
    return OutputReference(uuid) if finished else None


def _same_campaign(campaign: Campaign, document: ConfigurationDoc) -> None:
    ours = (campaign.cell.host.content_hash, campaign.protocol.hash, [list(row) for row in campaign.cell.matrix])
    theirs = (document.host_hash, document.protocol_hash, document.supercell)
    if ours != theirs:
        raise ValueError(
            f"configuration {document.joint_key} was planned with another host, protocol or supercell than "
            f"{campaign.path.name} has now; start `valenceflow run` again"
        )
