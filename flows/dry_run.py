"""Every input file of a campaign, written and not run. POTCARs are named in POTCAR.spec, so no licence is needed.

Step 2 starts from the geometry that step 1 will find; here it is written on the unrelaxed geometry, everything else
being as it will be. A file beside it says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from atomate2.vasp.files import write_vasp_input_set
from pymatgen.core import Structure

from ..inputs.substitution import ChargeSites
from ..stores.documents import StepIntent
from .campaign import configuration_jobs
from .campaign_file import Campaign
from .gpaw.maker import GpawStepMaker
from .launch import run_folder
from .makers import StepMaker, first_structure
from .metal import METAL, metal_maker, metal_sites, plan_metal
from .plan import plan_configurations
from .preflight import check_launch_settings, check_protocol
from .runner import choose

PLACEHOLDER_FILE = "GEOMETRY-IS-A-PLACEHOLDER.txt"
_PLACEHOLDER = """\
The geometry in this folder (POSCAR) is the unrelaxed host, in place of what the step before will have relaxed.
Its elements, their order and every other file are as they will be in the run. Do not submit it as it is:
`valenceflow run` passes the geometry on, and keeps moments and site order right while doing so.
"""


@dataclass
class Written:
    """What a dry run wrote: configurations, steps, and steps whose geometry is a placeholder."""

    configurations: int = 0
    steps: int = 0
    placeholders: int = 0


def write_inputs(
    campaign: Campaign, engine: str, folder: Path, only: Sequence[str] = (), limit: int | None = None
) -> Written:
    """Write the inputs of every step of every configuration.

    Parameters
    ----------
    campaign, engine : what would run.
    folder : an empty or new folder; per configuration one folder, per step one inside it.
    only, limit : as in `runner.prepare`.

    Returns
    -------
    How much was written.

    Raises
    ------
    ValueError
        If the folder is not empty, nothing matches `only`, or a tag in ATOMATE2_VASP_INCAR_UPDATES or launch.incar
        contradicts the protocol.
    """
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder} is a file; name a new folder for --dry-run")
    if folder.exists() and any(folder.iterdir()):
        raise ValueError(f"{folder} is not empty; name a new folder for --dry-run")
    check_protocol(campaign, engine)
    metal = plan_metal(campaign, engine) if campaign.file.voltages and (not only or METAL in only) else None
    chosen = [] if [*only] == [METAL] else choose(plan_configurations(campaign, engine), _without_metal(only))[:limit]
    check_launch_settings(campaign, engine, chosen)
    written = Written()
    if metal is not None:
        _write_step(metal_maker(campaign, metal), metal.structure, metal_sites(campaign, metal), folder / METAL)
        written.steps += 1
    for document in chosen:
        place = folder / run_folder(Path(), document).parent.name
        written.configurations += 1
        for number, (maker, structure, sites) in enumerate(configuration_jobs(campaign, document), start=1):
            step = place / f"{number}-{maker.step.replace(' ', '-')}"
            intent = StepIntent(configuration_id=document.configuration_id, attempt=document.attempt)
            _write_step(maker, first_structure(maker, structure, intent), sites, step)
            written.steps += 1
            if number > 1:
                (step / PLACEHOLDER_FILE).write_text(_PLACEHOLDER, encoding="utf-8")
                written.placeholders += 1
    return written


def _without_metal(only: Sequence[str]) -> list[str]:
    return [name for name in only if name != METAL]


def _write_step(maker: StepMaker, structure: Structure, sites: ChargeSites, folder: Path) -> None:
    """The inputs of one step as its job will write them."""
    prepared = maker.prepare(structure, sites)
    if isinstance(maker, GpawStepMaker):
        maker.write_inputs(folder, prepared, maker.context(structure, sites, None, None, None))
        return
    folder.mkdir(parents=True)
    # INCAR updates of atomate2's settings included. clean_prev would remove inputs from the folder that the user is in.
    options = {**maker.write_input_set_kwargs, "from_prev": False, "clean_prev": False, "potcar_spec": True}
    write_vasp_input_set(prepared.structure, maker.input_set_generator, directory=folder, **options)
