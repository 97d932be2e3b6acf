"""Every input file of a campaign, written and not run. POTCARs are named in POTCAR.spec, so no licence is needed.

Step 2 starts from the geometry that step 1 will find; here it is written on the unrelaxed geometry, everything else
being as it will be.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from .campaign import configuration_jobs
from .campaign_file import Campaign
from .gpaw.maker import GpawStepMaker
from .launch import run_folder
from .plan import plan_configurations
from .preflight import check_protocol
from .runner import choose


def write_inputs(
    campaign: Campaign, engine: str, folder: Path, only: Sequence[str] = (), limit: int | None = None
) -> int:
    """Write the inputs of every step of every configuration.

    Parameters
    ----------
    campaign, engine : what would run.
    folder : an empty or new folder; per configuration one folder, per step one inside it.
    only, limit : as in `runner.prepare`.

    Returns
    -------
    Number of steps written.

    Raises
    ------
    ValueError
        If the folder is not empty or nothing matches `only`.
    """
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder} is a file; name a new folder for --dry-run")
    if folder.exists() and any(folder.iterdir()):
        raise ValueError(f"{folder} is not empty; name a new folder for --dry-run")
    check_protocol(campaign, engine)
    chosen = choose(plan_configurations(campaign, engine), only)[:limit]
    written = 0
    for document in chosen:
        place = folder / run_folder(Path(), document).parent.name
        for number, (maker, structure, sites) in enumerate(configuration_jobs(campaign, document), start=1):
            place_of_step = place / f"{number}-{maker.step.replace(' ', '-')}"
            prepared = maker.prepare(structure, sites)
            if isinstance(maker, GpawStepMaker):
                maker.write_inputs(place_of_step, prepared, maker.context(structure, sites, None, None, None))
                written += 1
                continue
            inputs = maker.input_set_generator.get_input_set(prepared.structure, potcar_spec=True)
            inputs.write_input(place_of_step, make_dir_if_not_present=True)
            written += 1
    return written
