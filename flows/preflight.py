"""Before anything runs: is what the engine needs there? Every missing piece is named with its remedy."""

from __future__ import annotations

from atomate2 import SETTINGS as ATOMATE2_SETTINGS
from pymatgen.core import SETTINGS as PYMATGEN_SETTINGS

from .campaign_file import Campaign
from .engines import engine_environment, vasp_problems

STUB_POTCARS = "stub-potcars"


def potcar_labels(campaign: Campaign) -> list[str]:
    """POTCAR labels of every element that a step of the campaign can hold.

    Raises
    ------
    ValueError
        If the protocol has no label for an element.
    """
    elements = {site.specie.symbol for site in campaign.cell.structure} | {campaign.couple.surrogate.element}
    return sorted(campaign.protocol.potcar.label(element) for element in elements)


def vasp_settings() -> dict[str, str]:
    """The two settings that VASP needs, as atomate2 and pymatgen read them."""
    return {
        "VASP_CMD": str(ATOMATE2_SETTINGS.VASP_CMD),
        "PMG_VASP_PSP_DIR": str(PYMATGEN_SETTINGS.get("PMG_VASP_PSP_DIR") or ""),
    }


def check_engine(campaign: Campaign, engine: str, fault: str | None = None) -> dict[str, str]:
    """Environment for the workers, once everything the engine needs is there.

    Raises
    ------
    ValueError
        If vasp_cmd, the POTCAR folder or a POTCAR is missing, or an element has neither label nor U.
    """
    labels = potcar_labels(campaign)
    functional = campaign.protocol.potcar.functional
    if engine == "vasp":
        problems = vasp_problems(labels, functional, vasp_settings())
        if problems:
            raise ValueError("; ".join(problems))
    return engine_environment(engine, campaign.folder / STUB_POTCARS, functional, labels, fault)
