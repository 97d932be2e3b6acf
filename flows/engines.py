"""Which executable stands behind vasp_cmd: the user's VASP, or the rehearsal stand-in with generated stub POTCARs.

For these no Maker and no job knows the engine: it is chosen here, in the environment of the worker processes, through
atomate2's and pymatgen's own settings. GPAW has makers of its own (`gpaw`).
"""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from ..inputs.gpaw_settings import GPAW
from .potcar_folder import potcar_problems
from .rehearsal.command import ENGINES as REHEARSAL_ENGINES
from .rehearsal.command import rehearsal_command
from .worker_log import STUB_POTCAR_WARNINGS

ENGINES = ("vasp", *(f"rehearsal:{name}" for name in REHEARSAL_ENGINES), GPAW)
DEFAULT_REHEARSAL = "rehearsal:chgnet"


def engine_name(text: str) -> str:
    """Full name of an engine; `rehearsal` is short for `rehearsal:chgnet`.

    Raises
    ------
    ValueError
        If there is no such engine.
    """
    name = DEFAULT_REHEARSAL if text == "rehearsal" else text
    if name not in ENGINES:
        raise ValueError(f"unknown engine {text!r}; choose one of {', '.join(ENGINES)}")
    return name


def engine_environment(
    engine: str, potcar_folder: Path, functional: str, labels: Sequence[str], fault: str | None = None
) -> dict[str, str]:
    """Environment variables for the worker processes of an engine.

    Parameters
    ----------
    engine : full name.
    potcar_folder : where stub POTCARs are generated for a rehearsal.
    functional, labels : POTCAR release and labels that the protocol asks for.
    fault : a fault for the stand-in to inject (rehearsal only; see `check_fault`).
    """
    if engine in ("vasp", GPAW):
        return {}
    from .rehearsal.potcars import write_stub_potcars  # noqa: PLC0415 - pymatgen, needed for a rehearsal only

    write_stub_potcars(potcar_folder, functional, labels)
    command = rehearsal_command(engine.removeprefix("rehearsal:"), fault)
    return {
        "ATOMATE2_VASP_CMD": command,
        "ATOMATE2_VASP_GAMMA_CMD": command,
        "PMG_VASP_PSP_DIR": str(potcar_folder),
        "PYTHONWARNINGS": ",".join(filter(None, [os.environ.get("PYTHONWARNINGS"), STUB_POTCAR_WARNINGS])),
    }


def check_fault(engine: str, fault: str | None) -> None:
    """Can this fault be injected into this engine?

    Raises
    ------
    ValueError
        If the engine is no rehearsal, or there is no such fault.
    """
    if fault is None:
        return
    if not engine.startswith("rehearsal"):
        raise ValueError(f"fault {fault!r} can only be injected into a rehearsal; add --engine rehearsal")
    from .rehearsal.faults import make_fault  # noqa: PLC0415 - numpy, needed with a fault only

    make_fault(fault)


def vasp_problems(labels: Sequence[str], functional: str, settings: Mapping[str, str]) -> list[str]:
    """What is missing to run VASP, one line each with its remedy.

    Parameters
    ----------
    labels : POTCAR labels that the campaign's elements need.
    functional : POTCAR release.
    settings : VASP_CMD as atomate2 reads it and PMG_VASP_PSP_DIR as pymatgen reads it.
    """
    problems = []
    command = shlex.split(os.path.expandvars(settings.get("VASP_CMD", "")))
    if any("valenceflow" in word and "rehearsal" in word for word in command):
        problems.append("vasp_cmd is the rehearsal stand-in: unset ATOMATE2_VASP_CMD, or run with --engine rehearsal")
    elif not command or shutil.which(command[0]) is None:
        shown = command[0] if command else "nothing"
        problems.append(
            f"vasp_cmd runs {shown!r}, which is not on PATH: set ATOMATE2_VASP_CMD (e.g. `srun vasp_std`), or rehearse "
            "with --engine rehearsal"
        )
    found = potcar_problems(settings.get("PMG_VASP_PSP_DIR", ""), functional, labels)
    return problems + [f"{problem}; or rehearse with --engine rehearsal" for problem in found]
