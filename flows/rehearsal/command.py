"""The command string that runs the stand-in where a VASP command is expected. Imports nothing heavy."""

from __future__ import annotations

import shlex
import sys

from .fault_requests import parse_fault

ENGINES = ("springs", "chgnet", "chgnet-states")
"""springs: a toy without torch; chgnet: pretrained CHGNet; chgnet-states: one surface per charge order."""

ENGINE_VARIABLE = "VALENCEFLOW_REHEARSAL_ENGINE"
"""Environment variable that names the engine where the command line does not."""

DEFAULT_ENGINE = "chgnet"

VASP_VERSION = "6.4.0"
"""The output format that the stand-in follows. The version it reports is `6.4.0-rehearsal-<engine>`."""


def rehearsal_version(engine: str) -> str:
    """Return the version string in OUTCAR's first line and in vasprun.xml.

    pymatgen (`Vasprun.vasp_version`) and emmet (`TaskDoc.vasp_version`, `Calculation.vasp_version`) take it from
    vasprun.xml and keep all of it; neither reads OUTCAR's first line.
    """
    return f"{VASP_VERSION}-rehearsal-{engine}"


def rehearsal_command(engine: str = DEFAULT_ENGINE, fault: str | None = None, steps: int | None = None) -> str:
    """Return the command to set as ATOMATE2_VASP_CMD (and ATOMATE2_VASP_GAMMA_CMD).

    It names this Python by its full path, so it runs in a worker whose PATH lacks the environment. atomate2 reads
    both variables when it is imported: set them before, or pass `run_vasp_kwargs={"vasp_cmd": ...}`.

    Parameters
    ----------
    engine : one of `ENGINES`.
    fault : a fault to inject, `NAME[:ARGUMENT][@CONDITION,...]` (see fault_requests.py).
    steps : make exactly so many ionic steps, for benchmarks.

    Raises
    ------
    ValueError
        If there is no such engine or fault.

    Examples
    --------
    >>> rehearsal_command("springs").endswith("-m valenceflow.flows.rehearsal.executable --engine springs")
    True
    """
    if engine not in ENGINES:
        raise ValueError(f"unknown rehearsal engine {engine!r}; choose one of {', '.join(ENGINES)}")
    words = [sys.executable, "-m", "valenceflow.flows.rehearsal.executable", "--engine", engine]
    if fault is not None:
        parse_fault(fault)
        words += ["--fault", fault]
    if steps is not None:
        words += ["--steps", str(steps)]
    return shlex.join(words)
