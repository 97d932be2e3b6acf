"""What `valenceflow search select` does once its options are read. Imported where something is selected."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from ..inputs.fractions import read_fraction
from ..inputs.orderings.group import JointKey, ordering_group
from ..inputs.orderings.identity import key_of, read_structure
from ..search.campaign import write_campaign
from ..search.selection import SelectedOrdering, SelectionSettings, select_orderings
from .ordering_subject import Subject
from .search_found import found_in


def selected_campaign(
    folders: Sequence[Path],
    to: Path,
    numbers: Mapping[str, int],
    extras: Sequence[str],
    references: Sequence[Path],
    protocol: str | None = None,
) -> list[SelectedOrdering]:
    """Select from searches and write a campaign file.

    Parameters
    ----------
    folders : of the searches.
    to : campaign file.
    numbers : lowest, highest, diverse and disputed ones of each composition.
    extras : FRACTION=NUMBER of further lowest ones.
    references : CIFs to be taken too.
    protocol : name or YAML; None: that of the campaign that was searched, else the default.

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
    host, files = found.options.campaign_fields()
    if protocol is not None:  # in place of that of the search's campaign
        host = {**host, "protocol": _seen_from(protocol, to.parent)}
        files = {field: file for field, file in files.items() if field != "protocol"}
    write_campaign(to, selected, cell, found.subject.couple, host, files, found.marks)
    return selected


def _seen_from(protocol: str, folder: Path) -> str:
    """A protocol as a campaign file in a folder names it; files it may extend stay where they are."""
    if not protocol.endswith((".yaml", ".yml")):
        return protocol  # a shipped one's name
    return os.path.relpath(Path(protocol).expanduser().resolve(), folder.resolve())


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
