"""What `valenceflow search select` does once its options are read. Imported where something is selected."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..flows.campaign_file import read_campaign
from ..inputs.fractions import read_fraction
from ..inputs.hosts import host_names
from ..inputs.orderings.group import JointKey, ordering_group
from ..inputs.orderings.identity import key_of, read_structure
from ..search.campaign import write_campaign
from ..search.selection import SelectedOrdering, SelectionSettings, select_orderings
from .ordering_subject import CAMPAIGNS, Subject, parse_charges
from .search_found import found_in
from .search_run import SubjectOptions


def selected_campaign(
    folders: Sequence[Path], to: Path, numbers: Mapping[str, int], extras: Sequence[str], references: Sequence[Path]
) -> list[SelectedOrdering]:
    """Select from searches and write a campaign file.

    Raises
    ------
    ValueError
        As in `found_in`, `select_orderings` and `write_campaign`, or if a reference does not map.
    """
    found = found_in(folders)
    cell = found.subject.cell
    settings = SelectionSettings(extras=_extras(extras, found.subject), **numbers)
    keys = [_reference(path, found.subject) for path in references]
    selected = select_orderings(found.rows, ordering_group(cell), settings, keys)
    host, files = _host_fields(found.options, found.subject)
    write_campaign(to, selected, cell, found.subject.couple, host, files)
    return selected


def _extras(given: Sequence[str], subject: Subject) -> dict[int, int]:
    extras = {}
    for text in given:
        fraction, _, number = text.partition("=")
        if not number.isdigit():
            raise ValueError(f"--extra {text!r}: write FRACTION=NUMBER, e.g. 2/3=7")
        extras[subject.cell.n_working(read_fraction(fraction))] = int(number)
    return extras


def _reference(path: Path, subject: Subject) -> JointKey:
    try:
        return key_of(read_structure(path), subject.cell, subject.couple)
    except ValueError as err:
        raise ValueError(f"--reference {path}: {err}") from err


def _host_fields(options: SubjectOptions, subject: Subject) -> tuple[dict[str, Any], list[Path]]:
    """Fields of a campaign file that name the host, and the files that they name."""
    if options.host.lower().endswith(CAMPAIGNS):
        campaign = read_campaign(Path(options.host))
        file = campaign.file
        named = {"host": file.host, "couples": file.couples, "oxidation_states": file.oxidation_states}
        fields = {**named, "symprec": file.symprec, "protocol": file.protocol}
        paths = {name: campaign.beside(str(fields[name])) for name in ("host", "couples") if fields[name] is not None}
        if file.protocol.endswith(CAMPAIGNS):
            paths["protocol"] = campaign.beside(file.protocol)
    else:
        states = None if options.charges is None else parse_charges(options.charges)
        fields = {"host": options.host, "couples": options.couples, "oxidation_states": states}
        fields["symprec"] = options.symprec
        paths = {name: Path(str(fields[name])) for name in ("host", "couples") if fields[name] is not None}
    if fields["host"] in host_names():
        paths.pop("host")
    beside = {name: path.name for name, path in paths.items()}
    return {name: value for name, value in {**fields, **beside}.items() if value is not None}, list(paths.values())
