"""How GPAW is started: its own Python, named by one setting, with nothing of ours in its environment.

VALENCEFLOW_GPAW_CMD is what starts a Python that has GPAW: where it is not set, /usr/bin/python3 (Debian's package
gpaw); with MPI, `mpiexec -n 4 /usr/bin/python3`.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Collection
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ...inputs.gpaw_settings import GpawSettings

SETTING = "VALENCEFLOW_GPAW_CMD"
DEFAULT_COMMAND = "/usr/bin/python3"
OLDEST = (22, 8)
"""Oldest GPAW whose answers these steps read."""

INSTALL = (
    "`apt-get install --no-install-recommends gpaw gpaw-data` (Debian), or build PyPI's by "
    f"`python -m valenceflow.flows.gpaw.build FOLDER`, or name a Python that has it in {SETTING} (docs/gpaw.md)"
)
_STRIPPED = ("PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "VIRTUAL_ENV", "__PYVENV_LAUNCHER__")
_PROBE_S = 120.0


class GpawNotFoundError(Exception):
    """There is no GPAW to run."""


@dataclass(frozen=True)
class Installation:
    """What GPAW's Python says of itself.

    Attributes
    ----------
    version : GPAW's.
    python : its interpreter.
    setup_folders : where PAW setups are looked for.
    missing : setups asked for that are in none of them.
    ranks : MPI ranks that the command starts.
    """

    version: str
    python: str
    setup_folders: tuple[str, ...]
    missing: tuple[str, ...]
    ranks: int


def gpaw_command() -> list[str]:
    """What starts GPAW's Python, as a list."""
    return shlex.split(os.environ.get(SETTING) or DEFAULT_COMMAND)


def gpaw_environment() -> dict[str, str]:
    """Environment for GPAW's Python: ours without what would lead it to our packages, one thread unless said."""
    kept = {name: value for name, value in os.environ.items() if name not in _STRIPPED}
    return {"OMP_NUM_THREADS": "1", **kept}


def start_arguments(module: str, *arguments: str) -> list[str]:
    """Arguments that make a Python run `main` of a module of `in_gpaw`.

    The folder of this module goes to the end of its path, so that nothing in it can stand before GPAW's own imports.
    """
    folder = str(Path(__file__).resolve().parent)
    code = f"import sys; sys.path[0:1] = []; sys.path.append({folder!r}); from in_gpaw.{module} import main; main()"
    return ["-c", code, *arguments]


@cache
def find_gpaw(setups: tuple[str, ...] = ()) -> Installation:
    """Ask GPAW's Python what it is.

    Parameters
    ----------
    setups : file names of PAW setups (Fe.PBE) that are needed.

    Raises
    ------
    GpawNotFoundError
        If the command is missing, fails, or has no GPAW.
    """
    command = gpaw_command()
    shown = shlex.join(command)
    if shutil.which(command[0]) is None:
        raise GpawNotFoundError(f"{command[0]!r}, which should start GPAW's Python, is not there")
    try:
        with tempfile.TemporaryDirectory(prefix="valenceflow-gpaw-") as folder:
            ended = subprocess.run(
                [*command, *start_arguments("probe", *setups)],
                env=gpaw_environment(),
                cwd=folder,
                capture_output=True,
                text=True,
                timeout=_PROBE_S,
                check=False,
            )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise GpawNotFoundError(f"{shown!r} did not answer: {error}") from error
    answers = [line for line in ended.stdout.splitlines() if line.startswith("{")]
    if ended.returncode != 0 or not answers:
        said = [line for line in ended.stderr.splitlines() if line.strip()]
        raise GpawNotFoundError(f"{shown!r} has no GPAW: {said[-1] if said else f'exit code {ended.returncode}'}"[:300])
    found = json.loads(answers[-1])
    return Installation(
        version=found["version"],
        python=found["python"],
        setup_folders=tuple(found["setup_folders"]),
        missing=tuple(found["missing"]),
        ranks=found["ranks"],
    )


def gpaw_problems(settings: GpawSettings | None, elements: Collection[str], functional: str = "PBE") -> list[str]:
    """What is missing to run GPAW, one line each with its remedy.

    Parameters
    ----------
    settings : of the protocol; None: the default setups.
    elements : that need a PAW setup.
    functional : GPAW's name.
    """
    names = {} if settings is None else settings.setups
    try:
        found = find_gpaw(tuple(sorted(setup_file(element, names.get(element), functional) for element in elements)))
    except GpawNotFoundError as error:
        return [f"GPAW: {error}: {INSTALL}"]
    problems = []
    if version_tuple(found.version) < OLDEST:
        needed = ".".join(str(n) for n in OLDEST)
        problems.append(f"GPAW {found.version} is older than {needed}: update it, {INSTALL}")
    if not found.setup_folders:
        problems.append("GPAW's PAW setups are missing: `apt-get install gpaw-data`, or set GPAW_SETUP_PATH")
    elif found.missing:
        where = ", ".join(found.setup_folders)
        problems.append(
            f"no PAW setup {', '.join(found.missing)} in {where}: add them (`gpaw install-data`, GPAW_SETUP_PATH)"
        )
    return problems


def setup_file(element: str, name: str | None, functional: str) -> str:
    """File name of a PAW setup without its ending: Fe.PBE, or Na.1.PBE for the setup `1`."""
    return f"{element}.{functional}" if name in (None, "paw") else f"{element}.{name}.{functional}"


def version_tuple(version: str) -> tuple[int, ...]:
    """22.8.0 as (22, 8, 0); what is no number ends it."""
    numbers = []
    for part in version.split("."):
        if not part.isdigit():
            break
        numbers.append(int(part))
    return tuple(numbers)
