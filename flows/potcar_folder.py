"""The folder of POTCARs that PMG_VASP_PSP_DIR names: is it there, is it sorted as pymatgen wants it, is it complete?"""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

SETTING = "PMG_VASP_PSP_DIR"
_SUFFIXES = ("", ".gz", ".bz2", ".Z")
# What `pmg config -p` recognises: it names the sorted folder after the one that VASP's archive was unpacked into.
_ARCHIVE_NAMES = {"PBE": "potpaw_PBE", "PBE_52": "potpaw_PBE.52", "PBE_54": "potpaw_PBE.54", "PBE_64": "potpaw_PBE.64"}


def potcar_problems(setting: str, functional: str, labels: Sequence[str]) -> list[str]:
    """What is wrong with the folder of POTCARs, one line each: what, a colon, the commands that mend it.

    Parameters
    ----------
    setting : PMG_VASP_PSP_DIR as pymatgen reads it; empty: not set.
    functional : pymatgen's name of the POTCAR release, e.g. PBE_54.
    labels : POTCAR labels that are needed; empty: any will do.
    """
    folder = Path(setting).expanduser()
    if not setting:
        return [
            f"{SETTING} is not set: {_point_to('DIR')}, DIR being your sorted POTCARs ({_sort('SRC', 'DIR')} sorts)"
        ]
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "does not exist"
        return [f"{SETTING} is {setting!r}, which {what}: name the folder of your POTCARs with {_point_to('DIR')}"]
    missing = [label for label in labels if not _has_potcar(folder, functional, label)]
    if not missing and (labels or _releases(folder)):
        return []
    what = f"no POTCAR for {', '.join(missing)} of {functional}" if missing else "no POTCARs as pymatgen sorts them"
    source = _unsorted(folder, functional)
    if source is not None and not (folder / _release_folder(functional)).is_dir():
        return [f"{what} under {folder}, which is not sorted: {_sorting(source, folder, functional)}"]
    found = f" (it has {', '.join(releases)})" if missing and (releases := _releases(folder)) else ""
    return [f"{what} under {folder}{found}: add them with {_sort(_ARCHIVE_NAMES.get(functional, 'SRC'), str(folder))}"]


def _point_to(folder: str) -> str:
    if os.environ.get(SETTING):
        return f"`export {SETTING}={folder}` (set in your environment, which wins over pymatgen's file)"
    return f"`pmg config --add {SETTING} {folder}`"


def _sort(source: str, target: str) -> str:
    return f"`pmg config -p {shlex.quote(source)} {shlex.quote(target)}`"


def _sorting(source: Path, folder: Path, functional: str) -> str:
    """Commands that sort VASP's own layout (LABEL/POTCAR) for pymatgen."""
    target = folder.parent / f"{folder.name}-sorted"
    commands = f"{_sort(str(source), str(target))} and {_point_to(shlex.quote(str(target)))}"
    wanted = _ARCHIVE_NAMES.get(functional)
    if wanted is None or source.name.replace("_5", ".5").replace("_6", ".6") == wanted:
        return commands
    renamed = source.with_name(wanted)
    return f"`mv {shlex.quote(str(source))} {shlex.quote(str(renamed))}` (if that is the release), " + commands.replace(
        str(source), str(renamed), 1
    )


def _unsorted(folder: Path, functional: str) -> Path | None:
    """The folder whose sub-folders are POTCAR labels, as VASP's archives unpack."""
    places = sorted(place for place in folder.iterdir() if place.is_dir())
    # The archive of the release asked for comes first, where several were unpacked side by side.
    places.sort(key=lambda place: place.name != _ARCHIVE_NAMES.get(functional))
    for place in (folder, *places):
        if place.name not in _known_releases().values() and any(_potcars_by_label(place)):
            return place
    return None


def _potcars_by_label(folder: Path) -> Iterator[Path]:
    return (path for label in folder.iterdir() if label.is_dir() for path in label.glob("POTCAR*"))


def _known_releases() -> dict[str, str]:
    from pymatgen.io.vasp.inputs import POTCAR_FUNCTIONAL_MAP  # noqa: PLC0415 - heavy, needed for this check only

    return dict(POTCAR_FUNCTIONAL_MAP)


def _releases(folder: Path) -> list[str]:
    """Releases that a sorted folder has, by the names that pymatgen gives them."""
    return sorted(name for name, place in _known_releases().items() if (folder / place).is_dir())


def _release_folder(functional: str) -> str:
    from pymatgen.core import SETTINGS  # noqa: PLC0415 - as above

    # The same two places, in the same order, as pymatgen's own look-up.
    return str(SETTINGS.get("PMG_VASP_PSP_SUB_DIRS", {}).get(functional, _known_releases()[functional]))


def _has_potcar(folder: Path, functional: str, label: str) -> bool:
    release = folder / _release_folder(functional)
    names = [f"POTCAR.{label}", f"{label}/POTCAR"]
    return any((release / f"{name}{suffix}").exists() for name in names for suffix in _SUFFIXES)
