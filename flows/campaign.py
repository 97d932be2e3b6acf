"""One small flow per configuration of a campaign; a finished and audited step 1 is not run again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from jobflow import Flow, Job
from pymatgen.core import Structure

from ..inputs.substitution import ChargeSites
from ..stores.collection import Collection
from ..stores.documents import ConfigurationDoc, StepIntent
from .campaign_file import Campaign
from .follow_up import StartingPoint
from .free import FreeRelaxMaker
from .gpaw.maker import GpawStepMaker
from .idealised import audit_reference, charge_sites_of, occupied_structure
from .makers import StepMaker
from .resume import Place, finished_start, resumed_job
from .two_step import TwoStepRelaxMaker, with_uuid


def configuration_flow(
    campaign: Campaign, document: ConfigurationDoc, docs: Collection | None = None, folders: Sequence[Path] = ()
) -> Flow:
    """The flow of one configuration, or what is left of it.

    Parameters
    ----------
    campaign : where host, couple and protocol come from.
    document : the configuration.
    docs : jobflow's docs_store; steps that are in it and passed their audit are not run again.
    folders : that hold the configuration's runs, where one that was killed left its CONTCAR.

    Raises
    ------
    ValueError
        If the campaign file no longer describes this configuration.
    """
    campaign = campaign.for_engine(document.engine)
    _same_campaign(campaign, document)
    structure, sites = unrelaxed(campaign, document)
    common: dict[str, Any] = {
        "sites": sites,
        "reference": audit_reference(campaign.cell, document.working_bits),
        "intent": StepIntent(
            campaign=campaign.file.name, configuration_id=document.configuration_id, attempt=document.attempt
        ),
    }
    jobs = _jobs(campaign, document, Place(docs, folders), StartingPoint(structure=structure, site_order=None), common)
    flow = Flow(jobs, output=jobs[-1].output, name=f"{campaign.file.name} {document.joint_key}")
    metadata = {"campaign": campaign.file.name, "configuration_id": document.configuration_id}
    flow.update_metadata({**metadata, "joint_key": document.joint_key}, dynamic=False)
    return flow


def _jobs(
    campaign: Campaign, document: ConfigurationDoc, place: Place, parent: StartingPoint, common: dict[str, Any]
) -> list[Flow | Job]:
    """Jobs that are left to do, in order."""
    if document.charge_bits is None:
        return [resumed_job(free_maker(campaign).relax_maker, document, place, parent, common)]
    maker = two_step_maker(campaign)
    if not common["sites"].has_surrogate_step:
        return [resumed_job(maker.relax_maker, document, place, parent, common)]
    first = finished_start(place.runs(document.job_uuids["surrogate relax"]))
    if first is not None:
        return [resumed_job(maker.relax_maker, document, place, first, common)]
    step_1 = resumed_job(maker.surrogate_relax_maker, document, place, parent, common)
    step_2 = maker.make_second_step(maker.relax_maker, step_1.output, common)
    return [step_1, with_uuid(step_2, document.job_uuids["relax"])]


def unrelaxed(campaign: Campaign, document: ConfigurationDoc) -> tuple[Structure, ChargeSites]:
    """The idealised structure of a configuration and its charge states."""
    structure = occupied_structure(campaign.cell, document.working_bits)
    return structure, charge_sites_of(structure, campaign.cell, campaign, document)


def two_step_maker(campaign: Campaign) -> TwoStepRelaxMaker:
    """The two-step protocol, its k-mesh decided on the idealised supercell so that no relaxed cell changes it."""
    maker = TwoStepRelaxMaker.from_protocol(campaign.protocol, campaign.couple)
    for step in (maker.surrogate_relax_maker, maker.relax_maker):
        _configure(step, campaign)
    return maker


def free_maker(campaign: Campaign) -> FreeRelaxMaker:
    """The free relaxation with the same k-mesh."""
    maker = FreeRelaxMaker.from_protocol(campaign.protocol, campaign.couple)
    _configure(maker.relax_maker, campaign)
    return maker


def _configure(maker: StepMaker, campaign: Campaign) -> None:
    """What the campaign file says of every run."""
    file = campaign.file
    maker.on_lost_ordering = file.on_lost_ordering
    maker.max_continuations = file.launch.max_continuations
    if isinstance(maker, GpawStepMaker):
        maker.k_mesh = _mesh(campaign)
        maker.wall_time_s = None if file.launch.wall_time_minutes is None else 60 * file.launch.wall_time_minutes
        return
    maker.input_set_generator.kpoints_mesh = _mesh(campaign)
    maker.input_set_generator.user_incar_settings |= file.launch.incar
    if file.launch.wall_time_minutes is not None:
        maker.run_vasp_kwargs["wall_time"] = round(60 * file.launch.wall_time_minutes)


def configuration_jobs(
    campaign: Campaign, document: ConfigurationDoc
) -> Iterator[tuple[StepMaker, Structure, ChargeSites]]:
    """Each run of a configuration with the unrelaxed structure, for looking at its inputs."""
    campaign = campaign.for_engine(document.engine)
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


def _same_campaign(campaign: Campaign, document: ConfigurationDoc) -> None:
    ours = (campaign.cell.host.content_hash, campaign.protocol.hash, [list(row) for row in campaign.cell.matrix])
    theirs = (document.host_hash, document.protocol_hash, document.supercell)
    if ours != theirs:
        raise ValueError(
            f"configuration {document.joint_key} was planned with another host, protocol or supercell than "
            f"{campaign.path.name} has now; start `valenceflow run` again"
        )
