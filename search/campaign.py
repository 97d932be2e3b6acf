"""A selection as a campaign: one CIF per ordering and the file that `valenceflow run` takes."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import yaml

from ..flows.campaign_file import read_campaign
from ..inputs.charge_states import RedoxCouple
from ..inputs.orderings.rows import OrderingRow
from ..inputs.orderings.written import write_cif
from ..inputs.supercells import HostSupercell
from ..inputs.whole_files import write_whole
from .selection import SelectedOrdering

ORDERINGS = "orderings"


def write_campaign(
    path: Path,
    selected: Sequence[SelectedOrdering],
    cell: HostSupercell,
    couple: RedoxCouple,
    host: Mapping[str, Any],
    files: Mapping[str, Path] | None = None,
    marks: Sequence[str] = (),
) -> int:
    """Write a campaign file with its orderings beside it.

    Parameters
    ----------
    path : of the YAML; its stem names the campaign. CIFs go into `<stem>-orderings/` beside it.
    selected : the orderings; those whose charges are free get the best charges by electrostatics.
    cell, couple : whose orderings they are.
    host : fields of the campaign file that name the host: `host`, and for a CIF what it needs.
    files : field of `host` -> file that it names. One that lies beside the campaign file is named there; another is
        copied into the orderings' folder.
    marks : what has to be said of the energies that chose them, at the head of the file.

    Returns
    -------
    The number of orderings.

    Raises
    ------
    ValueError
        If nothing was selected, something is there already, some orderings have charges and others not, or what comes
        out is no campaign. Then nothing is left behind.
    """
    folder = path.with_name(f"{path.stem}-{ORDERINGS}")
    for there in (path, folder):
        if there.exists():
            raise ValueError(f"{there} is there already; name another campaign")
    if not selected:
        raise ValueError("nothing was selected: the end members, which every campaign adds itself, are all there is")
    free = {one.key.charge is None for one in selected}
    if len(free) == 2:
        raise ValueError(
            "some of the orderings have charges and others not: take searches of one kind, and references that carry "
            "oxidation states or moments just if the others have charges"
        )
    folder.mkdir(parents=True)
    try:
        names = {}
        for number, one in enumerate(selected, 1):
            name = f"{number:04d}-{one.key}.cif"
            write_cif(folder / name, OrderingRow(one.key, None, 1), cell, couple)
            names[f"{folder.name}/{name}"] = one
        beside = {field: _put(file, folder) for field, file in (files or {}).items()}
        content = _content(path.stem, names, cell, couple, {**host, **beside}, free.pop())
        write_whole(path, "".join(_head(names, marks)) + yaml.safe_dump(content, sort_keys=False))
        read_campaign(path)
    except BaseException:
        shutil.rmtree(folder)
        path.unlink(missing_ok=True)
        raise
    return len(names)


def _put(file: Path, folder: Path) -> str:
    """A file as a campaign beside `folder` names it; copied unless it lies there already."""
    if file.resolve().parent == folder.resolve().parent:
        return file.name
    shutil.copyfile(file, folder / file.name)
    return f"{folder.name}/{file.name}"


def _head(names: Mapping[str, SelectedOrdering], marks: Sequence[str]) -> Iterator[str]:
    for line in marks:
        yield f"# {line}\n"
    yield "# Orderings selected from a search, lowest first at each fraction, with what they were taken for:\n"
    for name, one in names.items():
        yield f"#   {name}: {', '.join(one.reasons)}\n"


def _content(
    name: str,
    names: Mapping[str, SelectedOrdering],
    cell: HostSupercell,
    couple: RedoxCouple,
    host: Mapping[str, Any],
    free: bool,
) -> dict[str, Any]:
    n_sites = len(cell.working_sites)
    fractions = sorted({Fraction(one.n_working, n_sites) for one in names.values()})
    references = [file for file, one in names.items() if "reference" in one.reasons]
    others = [file for file in names if file not in references]
    charge: dict[str, Any] = {"lowest": 1} if free else {}
    if not free:
        charge |= {"file": others} if others else {}
        charge |= {"reference": references} if references else {}
    orderings = {"fraction": [str(value) for value in fractions], "orderings": {"file": list(names)}}
    return {
        "name": name,
        **host,
        "supercell": [list(row) for row in cell.matrix],
        "couple": couple.name,
        "working_ion": {cell.host.working_ion: orderings},
        "charge": charge,
        "end_members": True,
    }
