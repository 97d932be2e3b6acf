"""What GPAW's Python says of itself, as one JSON line; names of PAW setups are looked for in GPAW's folders."""

from __future__ import annotations

import json
import sys
from pathlib import Path


def main() -> None:
    """Print version, interpreter, folders of setups, and which of the named ones are missing."""
    import gpaw  # noqa: PLC0415 - whether this works is the question
    from gpaw.mpi import world  # noqa: PLC0415

    folders = [str(path) for path in gpaw.setup_paths if Path(path).is_dir()]
    missing = [name for name in sys.argv[1:] if not any(_has(Path(folder), name) for folder in folders)]
    if world.rank == 0:
        found = {
            "version": gpaw.__version__,
            "python": sys.executable,
            "setup_folders": folders,
            "missing": missing,
            "ranks": world.size,
        }
        print(json.dumps(found), flush=True)


def _has(folder: Path, name: str) -> bool:
    return any((folder / f"{name}{suffix}").is_file() for suffix in ("", ".gz"))
