"""Make the environments in which ``benchmarks/orderings.py`` runs other programs.

``python benchmarks/peer_environments.py FOLDER [NAME ...]``. Each program gets a virtual environment of its own under
FOLDER, as they do not fit together (SHRY asks for an old pymatgen); one that is there is left as it is. About 3 GB.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

PEERS = {"bsym": "bsym==2.2.0", "icet": "icet==4.0", "shry": "SHRY==1.1.8", "smol": "smol==0.5.7"}
"""The version measured of each; smol's environment has the pymatgen that is measured too."""


def python_of(folder: Path, name: str) -> Path:
    """The Python of a program's environment."""
    return folder / name / "bin" / "python"


def make(folder: Path, name: str) -> None:
    """Make one environment, or leave it as it is."""
    if (folder / name / "made").exists():
        print(f"{name}: already there")
        return
    print(f"{name}: installing {PEERS[name]}", flush=True)
    subprocess.run([sys.executable, "-m", "venv", "--clear", folder / name], check=True)
    subprocess.run([python_of(folder, name), "-m", "pip", "install", "-q", PEERS[name]], check=True)
    (folder / name / "made").touch()


def main() -> int:
    """Make the environments that are named, or all; exit code 1 if one could not be made."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="where to put them")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"some of {', '.join(PEERS)}; default: all")
    options = parser.parse_args()
    if unknown := sorted(set(options.names) - set(PEERS)):
        parser.error(f"unknown: {', '.join(unknown)}; known: {', '.join(PEERS)}")
    options.folder.mkdir(parents=True, exist_ok=True)
    failed = []
    for name in options.names or PEERS:
        try:
            make(options.folder, name)
        except subprocess.CalledProcessError as err:
            failed.append(f"{name}: {err}")
    for line in failed:
        print(line, file=sys.stderr)
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
