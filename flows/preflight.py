"""Before anything runs: is what the engine needs there? Every missing piece is named with its remedy."""

from __future__ import annotations

from collections.abc import Iterable

from atomate2 import SETTINGS as ATOMATE2_SETTINGS
from pymatgen.core import SETTINGS as PYMATGEN_SETTINGS
from pymatgen.core import Structure

from ..inputs.gpaw_settings import FUNCTIONALS, GPAW, gpaw_parameters
from ..inputs.incar import protocol_incar
from ..inputs.override_guard import with_overrides
from ..stores.documents import ConfigurationDoc
from .campaign import configuration_jobs
from .campaign_file import Campaign
from .custody import STOPPED_BEFORE_MIN
from .engines import check_fault, engine_environment, vasp_problems
from .gpaw.command import gpaw_problems
from .gpaw.job import gpaw_settings
from .leash import leashed
from .potcar_release import check_release
from .runner import campaign_stores
from .vasp_job import ChargeOrderedVaspMaker

STUB_POTCARS = "stub-potcars"


def potcar_labels(campaign: Campaign) -> list[str]:
    """POTCAR labels of every element that a step of the campaign can hold.

    Raises
    ------
    ValueError
        If the protocol has no label for an element.
    """
    return sorted(campaign.protocol.potcar.label(element) for element in campaign_elements(campaign))


def vasp_settings() -> dict[str, str]:
    """The two settings that VASP needs, as atomate2 and pymatgen read them."""
    return {
        "VASP_CMD": str(ATOMATE2_SETTINGS.VASP_CMD),
        "PMG_VASP_PSP_DIR": str(PYMATGEN_SETTINGS.get("PMG_VASP_PSP_DIR") or ""),
    }


def campaign_elements(campaign: Campaign) -> set[str]:
    """Every element that a step of the campaign can hold."""
    return {site.specie.symbol for site in campaign.cell.structure} | {campaign.couple.surrogate.element}


def check_protocol(campaign: Campaign, engine: str = "vasp") -> None:
    """Does the protocol say everything that the campaign's elements need?

    Raises
    ------
    ValueError
        If an element has no POTCAR label (for GPAW: no ionic charge), or the redox element no U.
    """
    if engine == GPAW:
        _check_gpaw_protocol(campaign.for_engine(engine))
    else:
        potcar_labels(campaign)
    element, protocol = campaign.couple.element, campaign.protocol
    if element not in protocol.hubbard_u:
        raise ValueError(
            f"protocol {protocol.name} has no U for {element}, the element of {campaign.couple.name}; in a protocol of "
            f"your own (YAML, `extends: {protocol.name}`) add hubbard_u: {{{element}: VALUE}}"
        )


def check_engine(campaign: Campaign, engine: str, fault: str | None = None) -> None:
    """Is everything there that the campaign needs to run? Nothing is written.

    Raises
    ------
    ValueError
        If vasp_cmd, the POTCAR folder or a POTCAR is missing or of another release than the campaign used so far, the
        protocol lacks an element, or there is no such fault.
    """
    check_protocol(campaign, engine)
    check_fault(engine, fault)
    if engine == "vasp":
        labels, functional = potcar_labels(campaign), campaign.protocol.potcar.functional
        problems = vasp_problems(labels, functional, vasp_settings())
        if problems:
            raise ValueError("; ".join(problems))
        stores = campaign_stores(campaign)
        if stores.lack is None:
            check_release(stores, campaign.protocol.hash, engine, labels, functional)
    elif engine == GPAW:
        problems = campaign_gpaw_problems(campaign)
        if problems:
            raise ValueError("; ".join(problems))


def check_launch_settings(campaign: Campaign, engine: str, planned: Iterable[ConfigurationDoc]) -> None:
    """Would VASP's inputs be made? Tags and times of `launch:`, and INCAR updates of atomate2's settings.

    Moments and U of a step depend on the composition alone, so one configuration of each stands for all.

    Parameters
    ----------
    campaign, engine : what is to run, and with which engine; GPAW reads none of this.
    planned : its configurations.

    Raises
    ------
    ValueError
        If a tag contradicts the protocol or the charge states, or VASP would be stopped as soon as it runs.
    """
    if engine == GPAW:
        return
    minutes = campaign.file.launch.wall_time_minutes
    if minutes is not None and minutes <= STOPPED_BEFORE_MIN:
        raise ValueError(
            f"{campaign.path.name}: launch.wall_time_minutes = {minutes:g}, and VASP is stopped {STOPPED_BEFORE_MIN} "
            "minutes before: give the whole time that a run may take"
        )
    for document in {configuration.fraction: configuration for configuration in planned}.values():
        for maker, structure, sites in configuration_jobs(campaign, document):
            assert isinstance(maker, ChargeOrderedVaspMaker)
            _check_incar(campaign, maker, maker.prepare(structure, sites).structure)


def _check_incar(campaign: Campaign, maker: ChargeOrderedVaspMaker, structure: Structure) -> None:
    generator = maker.input_set_generator
    made = protocol_incar(generator.protocol, generator.calculation, structure)
    try:
        with_overrides(made, campaign.file.launch.incar, generator.protocol, structure)
    except ValueError as err:
        raise ValueError(f"{campaign.path.name}: launch.incar: {err}") from err
    generator.get_input_set(structure, potcar_spec=True)


def campaign_gpaw_problems(campaign: Campaign) -> list[str]:
    """What a campaign lacks to run on GPAW, one line each with its remedy."""
    protocol = campaign.for_engine(GPAW).protocol
    return gpaw_problems(protocol.gpaw, campaign_elements(campaign), FUNCTIONALS.get(protocol.functional, "PBE"))


def _check_gpaw_protocol(campaign: Campaign) -> None:
    protocol, couple = campaign.protocol, campaign.couple
    gpaw_parameters(protocol, (), (1, 1, 1))
    for element in campaign_elements(campaign) - {couple.element, couple.surrogate.element}:
        gpaw_settings(protocol).ion(element)


def check_launch(campaign: Campaign, engine: str, fault: str | None = None) -> None:
    """As `check_engine`, for a campaign that runs on other machines: what VASP needs is needed there.

    Raises
    ------
    ValueError
        If the protocol lacks an element, there is no such fault, or the engine does not go through a queue manager.
    """
    check_protocol(campaign)
    check_fault(engine, fault)
    if engine == GPAW:
        raise ValueError("--engine gpaw runs with --launch local alone (inside an allocation: allocation.sbatch)")


def worker_environment(campaign: Campaign, engine: str, fault: str | None = None) -> dict[str, str]:
    """Environment for the workers; for a rehearsal, stub POTCARs are written into the campaign's folder.

    VASP is put on a leash, so that it ends with its worker however that ends.
    """
    if engine == GPAW:
        return {}
    functional = campaign.protocol.potcar.functional
    own = engine_environment(engine, campaign.folder / STUB_POTCARS, functional, potcar_labels(campaign), fault)
    commands = {
        "ATOMATE2_VASP_CMD": str(ATOMATE2_SETTINGS.VASP_CMD),
        "ATOMATE2_VASP_GAMMA_CMD": str(ATOMATE2_SETTINGS.VASP_GAMMA_CMD),
    }
    return {**own, **{name: leashed(own.get(name, command)) for name, command in commands.items()}}
