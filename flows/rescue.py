"""The ladder against lost orderings, and the WAVECAR that its rungs hand on.

A rung is a static SCF at the geometry of step 1 with moments 4/5 muB, its WAVECAR kept, then a relaxation that starts
from it; the next rung does the same with stiffer mixing.
"""

from __future__ import annotations

import shutil
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING

from jobflow import Job

from ..inputs.vasp_sets import relax_set, static_set
from ..stores.documents import RunHistory, VaspStepDoc

if TYPE_CHECKING:
    from .vasp_job import ChargeOrderedVaspMaker

LADDER: tuple[dict[str, float], ...] = ({}, {"AMIX": 0.1, "BMIX": 0.001, "AMIX_MAG": 0.2, "BMIX_MAG": 0.001})
"""Mixing of each rung; the first keeps VASP's own. Stiffer mixing keeps holes from sloshing between sites."""

WAVECAR = "WAVECAR"
RESCUE_NAME = "rescue static"


def rescued(history: RunHistory, document: VaspStepDoc) -> RunHistory:
    """History of the static calculation that starts the next rung of the ladder."""
    mixing = LADDER[history.rescue]
    how = "static SCF at the step-1 geometry" + (f" with {mixing}" if mixing else "")
    came_out = f"ordering {document.achieved.relation} ({document.achieved.reason})"
    failures = [finding.message for finding in document.audit.findings if finding.severity == "failure"]
    note = f"{failures[0] if failures else came_out}: rescue {history.rescue + 1}: {how}"
    changes = {"rescue": history.rescue + 1, "continuation": 0, "tried": [*history.tried, note], "killed_folder": None}
    return history.model_copy(update=changes)


def rescue_static(maker: ChargeOrderedVaspMaker, history: RunHistory) -> ChargeOrderedVaspMaker:
    """The static calculation of a rung: same protocol and mesh, WAVECAR kept."""
    static = deepcopy(maker)
    static.name, static.step = RESCUE_NAME, "rescue static"
    relaxing = maker.input_set_generator
    settings = {tag: value for tag, value in relaxing.user_incar_settings.items() if tag != "NSW"}
    static.input_set_generator = static_set(relaxing.protocol, relaxing.kpoints_mesh)
    static.input_set_generator.user_incar_settings = {**settings, "LWAVE": True, **LADDER[history.rescue - 1]}
    return static


def relax_from_wavecar(maker: ChargeOrderedVaspMaker, history: RunHistory) -> ChargeOrderedVaspMaker:
    """The relaxation of a rung, which starts from the WAVECAR of its static calculation (made by `maker`)."""
    relax = deepcopy(maker)
    relax.name, relax.step = "relax", "relax"
    static = maker.input_set_generator
    settings = {tag: value for tag, value in static.user_incar_settings.items() if tag != "LWAVE"}
    relax.input_set_generator = relax_set(static.protocol, static.kpoints_mesh)
    relax.input_set_generator.user_incar_settings = {**settings, **LADDER[history.rescue - 1]}
    relax.input_set_generator.restart = "from wavecar"
    return relax


def on_rung(maker: ChargeOrderedVaspMaker, history: RunHistory) -> ChargeOrderedVaspMaker:
    """The relaxation's maker with the mixing of a rung: a resumed campaign makes its makers anew, without it."""
    if history.rescue == 0 or maker.step != "relax":
        return maker
    mixed = deepcopy(maker)
    mixed.input_set_generator.user_incar_settings |= LADDER[history.rescue - 1]
    return mixed


def without_wavecar(maker: ChargeOrderedVaspMaker) -> ChargeOrderedVaspMaker:
    """The maker of a run that starts from scratch: a continuation has no WAVECAR, and its geometry is another."""
    if maker.input_set_generator.restart == "scratch":
        return maker
    fresh = deepcopy(maker)
    fresh.input_set_generator.restart = "scratch"
    return fresh


def has_wavecar(source: str | Path) -> bool:
    """Whether a run folder (`host:path`) holds a WAVECAR."""
    return (_path(source) / WAVECAR).exists()


def take_wavecar(source: str | Path, folder: Path) -> None:
    """Give this run the WAVECAR of an earlier one; it may be gigabytes, so it is linked, not copied.

    The earlier one keeps it until this run has ended (`drop_wavecar`): were it killed, another could start from it.

    Raises
    ------
    FileNotFoundError
        If there is none.
    """
    wavecar = _path(source) / WAVECAR
    if not wavecar.exists():
        raise FileNotFoundError(f"{wavecar.parent} has no WAVECAR to start from; the static calculation left none")
    try:
        (folder / WAVECAR).hardlink_to(wavecar)
    except OSError:  # another file system, or one without links
        shutil.move(wavecar, folder / WAVECAR)


def drop_wavecar(maker: ChargeOrderedVaspMaker, folder: Path, after: Job | None) -> None:
    """Remove the WAVECAR of a rescue once no run starts from it any more.

    Parameters
    ----------
    maker : of the run that ended.
    folder : its folder.
    after : what follows it.
    """
    generator = None if after is None else getattr(after.maker, "input_set_generator", None)
    is_wanted = generator is not None and generator.restart == "from wavecar"
    wavecar = folder / WAVECAR
    if is_wanted or not uses_wavecar(maker) or not wavecar.exists():
        return
    # The same file under its other names: in the static run's folder, and in those of runs that were killed.
    names = [path for path in folder.parent.glob(f"*/{WAVECAR}") if path.samefile(wavecar)]
    for path in names:
        path.unlink(missing_ok=True)


def uses_wavecar(maker: ChargeOrderedVaspMaker) -> bool:
    """Whether a run leaves a WAVECAR for the next one, or starts from one."""
    return maker.step == "rescue static" or maker.input_set_generator.restart == "from wavecar"


def _path(source: str | Path) -> Path:
    return Path(str(source).split(":", maxsplit=1)[-1])
