"""Frames of runs that did not come to their end: custodian's archives (error.N.tar.gz) and folders of killed runs.

The trajectory of a step is whole: what VASP computed before it was restarted or killed is kept, each frame saying where
it comes from.
"""

from __future__ import annotations

import re
import tarfile
import tempfile
from pathlib import Path

from ..stores.documents import FrameSeries
from ..stores.outcar import read_outcar
from ..stores.vasprun_steps import read_vasprun_steps
from .gpaw.outputs import has_frames, read_frames
from .start_file import read_start_file
from .vasp_outputs import frame_series

_ARCHIVE = re.compile(r"error\.(\d+)\.tar\.gz")
_WANTED = ("vasprun.xml", "OUTCAR")


def archived_frames(folder: Path, symbols: list[str]) -> list[FrameSeries]:
    """Frames in custodian's archives of a run folder, oldest first.

    Parameters
    ----------
    folder : run folder.
    symbols : (n_sites,) elements that the frames must have; archives of other structures are left out.
    """
    archives = sorted(
        (int(match.group(1)), path) for path in folder.iterdir() if (match := _ARCHIVE.fullmatch(path.name)) is not None
    )
    found = []
    for number, path in archives:
        with tempfile.TemporaryDirectory(prefix="valenceflow-harvest-") as name:
            _unpack(path, Path(name))
            series = partial_frames(Path(name), f"error.{number}")
        if series is not None and series.symbols == symbols:
            found.append(series)
    return found


def killed_frames(folder: Path, symbols: list[str]) -> list[FrameSeries]:
    """Frames of a run that was cut off and of those that it had gone on from itself, oldest first.

    Parameters
    ----------
    folder : of the run that was cut off last.
    symbols : (n_sites,) elements that the frames must have.
    """
    chain: list[Path] = []
    here: Path | None = folder
    while here is not None and here not in chain:
        chain.append(here)
        before = (read_start_file(here).get("history") or {}).get("killed_folder")
        here = None if before is None else Path(before)
    return [series for place in reversed(chain) for series in frames_left(place, symbols)]


def frames_left(folder: Path, symbols: list[str]) -> list[FrameSeries]:
    """All complete frames of a run that was cut off, oldest first: custodian's archives, then the last VASP's.

    Parameters
    ----------
    folder : run folder; one that is gone has none.
    symbols : (n_sites,) elements that the frames must have.
    """
    if not folder.is_dir():
        return []
    last = partial_frames(folder, "killed")
    return archived_frames(folder, symbols) + ([last] if last is not None and last.symbols == symbols else [])


def partial_frames(folder: Path, origin: str) -> FrameSeries | None:
    """Complete ionic steps of a run that was cut off; None if there is none.

    Parameters
    ----------
    folder : holds vasprun.xml (and OUTCAR), plain or gzipped, or GPAW's stream of frames.
    origin : what the frames will say of where they come from.
    """
    if has_frames(folder):
        return read_frames(folder, origin)
    vasprun = _existing(folder, "vasprun.xml")
    if vasprun is None:
        return None
    found = read_vasprun_steps(vasprun)
    outcar = _existing(folder, "OUTCAR")
    if not found.steps or not found.symbols:
        return None
    records = read_outcar(outcar).steps if outcar is not None else []
    return frame_series(found.symbols, found.steps, records, found.nelm, origin)


def was_restarted(folder: Path) -> bool:
    """Whether custodian started VASP more than once in a run folder."""
    return any(_ARCHIVE.fullmatch(path.name) for path in folder.iterdir())


def _existing(folder: Path, name: str) -> Path | None:
    return next((path for path in (folder / name, folder / f"{name}.gz") if path.exists()), None)


def _unpack(archive: Path, folder: Path) -> None:
    """The wanted files alone, under their own names: nothing in an archive can write elsewhere."""
    with tarfile.open(archive, "r:gz") as tar:
        for member in tar:
            name = Path(member.name).name.removesuffix(".gz")
            if member.isfile() and name in _WANTED:
                source = tar.extractfile(member)
                if source is not None:
                    (folder / Path(member.name).name).write_bytes(source.read())
