"""Build PyPI's GPAW without MPI in an environment of its own: python -m valenceflow.flows.gpaw.build FOLDER

For machines without Debian's package. It needs a C compiler, libxc and OpenBLAS with their headers
(`apt-get install gcc python3-dev python3-venv libxc-dev libopenblas-dev`); PAW setups come from PyPI's gpaw-data. What
is built is probed as `valenceflow doctor` would, and the last line says how to use it.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from .command import SETTING, GpawNotFoundError, find_gpaw

VERSION = "26.7.0"
"""The GPAW that this was tried with."""

PYTHON = "/usr/bin/python3"
APT = "`apt-get install gcc python3-dev python3-venv libxc-dev libopenblas-dev`"
SITECONFIG = """\
# How GPAW is compiled: no MPI, no ScaLAPACK, NumPy's FFT; libxc and OpenBLAS from the system.
mpi = False
compiler = 'gcc'
fftw = False
scalapack = False
libraries = ['xc', 'openblas']
"""
TOOLS = ("setuptools", "wheel", "pybind11", "numpy")
NEEDED = ("scipy", "ase", "pyyaml", "gpaw-data")
"""What GPAW runs with, beside NumPy; pip is told to install GPAW alone, so that nothing else is built."""
_PROGRAM = "#include <xc.h>\nvoid dgemm_(void);\nint main(void) { xc_version_string(); dgemm_(); return 0; }\n"


class BuildError(Exception):
    """GPAW could not be built; one line with the remedy."""


def check_libraries() -> None:
    """Is there a C compiler that finds libxc's headers and links libxc and OpenBLAS?

    Raises
    ------
    BuildError
        With what the compiler said, and the packages that mend it.
    """
    if shutil.which("gcc") is None:
        raise BuildError(f"there is no C compiler (gcc): {APT}")
    with tempfile.TemporaryDirectory(prefix="valenceflow-gpaw-") as folder:
        source = Path(folder) / "needed.c"
        source.write_text(_PROGRAM, encoding="utf-8")
        command = ["gcc", str(source), "-o", f"{folder}/needed", "-lxc", "-lopenblas"]
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode:
        said = next((line for line in ended.stderr.splitlines() if "error" in line or "cannot find" in line), "")
        raise BuildError(f"libxc or OpenBLAS, or their headers, are missing ({said.strip()[:200]}): {APT}")


def steps(folder: Path, python: str, version: str) -> list[list[str]]:
    """Commands that build GPAW, in order."""
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    return [
        [python, "-m", "venv", str(folder)],
        [*pip, "-U", *TOOLS],
        [*pip, *NEEDED],
        # A wheel that an earlier try left in pip's cache may have met other headers.
        [*pip, "--no-cache-dir", "--no-build-isolation", "--no-deps", f"gpaw=={version}"],
    ]


def _compiler_flags(folder: Path) -> str:
    """The environment's own NumPy headers first: with Debian's NumPy 1 installed, Python's headers hold that one's."""
    found = sorted(folder.glob("lib/python3*/site-packages/numpy/*core/include"))
    return " ".join(["-O2", *(f"-I{path}" for path in found), os.environ.get("CFLAGS", "")]).strip()


def build(folder: Path, python: str = PYTHON, version: str = VERSION) -> str:
    """Build GPAW; returns its Python, for VALENCEFLOW_GPAW_CMD.

    Parameters
    ----------
    folder : of the environment, made.
    python : interpreter of the environment, 3.10 or later.
    version : GPAW's on PyPI.

    Raises
    ------
    BuildError
        If something is missing or a step fails.
    """
    check_libraries()
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "siteconfig.py"
    config.write_text(SITECONFIG, encoding="utf-8")
    for command in steps(folder, python, version):
        print("+ " + " ".join(command), flush=True)
        environment = {**os.environ, "GPAW_CONFIG": str(config), "CFLAGS": _compiler_flags(folder)}
        ended = subprocess.run(command, env=environment, check=False)
        if ended.returncode:
            raise BuildError(f"`{' '.join(command)}` failed with exit code {ended.returncode}: mend what it says above")
    return str(folder / "bin" / "python")


def main(arguments: Sequence[str] | None = None) -> int:
    """Build, probe and say how to use it."""
    parser = argparse.ArgumentParser(prog="python -m valenceflow.flows.gpaw.build", description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="of the environment that is made, e.g. ~/gpaw")
    parser.add_argument("--python", default=PYTHON, help=f"interpreter (default: {PYTHON})")
    parser.add_argument("--version", default=VERSION, help=f"GPAW's on PyPI (default: {VERSION})")
    options = parser.parse_args(arguments)
    try:
        os.environ[SETTING] = build(options.folder.expanduser().resolve(), options.python, options.version)
        find_gpaw.cache_clear()
        found = find_gpaw(("Fe.PBE", "O.PBE"))
    except (BuildError, GpawNotFoundError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"GPAW {found.version} with PAW setups in {', '.join(found.setup_folders)}. Use it by")
    print(f"export {SETTING}={os.environ[SETTING]}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
