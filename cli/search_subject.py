"""Whose orderings a search is of: as the command line names them, and as the search's folder keeps them."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import yaml

from ..flows.campaign_file import read_campaign
from ..inputs.hosts import host_names
from ..inputs.protocol_files import merged_fields
from ..inputs.whole_files import write_whole
from ..search.record import read_object
from .ordering_subject import CAMPAIGNS, Subject, parse_charges, read_subject

SUBJECT = "subject.json"
WRITTEN_ANEW = "the command that made the search writes it anew"
FILES = ("host", "couples", "protocol")
"""Options that may name files."""


@dataclass(frozen=True)
class SubjectOptions:
    """How the host is named on the command line; `protocol` is a campaign's, for what is selected."""

    host: str
    supercell: str | None = None
    couple: str | None = None
    couples: str | None = None
    working_ion: str | None = None
    charges: str | None = None
    symprec: float | None = None
    protocol: str | None = None

    def read(self) -> Subject:
        """Look it up."""
        values = asdict(self)
        values.pop("protocol")
        couples = values.pop("couples")
        return read_subject(**values, couples=None if couples is None else Path(couples))

    def resolved(self) -> SubjectOptions:
        """The same with what a campaign file says in its place: campaigns are edited and moved, a search stays."""
        if not self.host.lower().endswith(CAMPAIGNS):
            return self
        campaign = read_campaign(Path(self.host))
        file, subject = campaign.file, self.read()
        options = SubjectOptions(
            file.host,
            ";".join(",".join(str(number) for number in row) for row in subject.cell.matrix),
            file.couple,
            None if file.couples is None else str(campaign.beside(file.couples)),
            protocol=str(campaign.beside(file.protocol)) if file.protocol.endswith(CAMPAIGNS) else file.protocol,
        )
        if file.host in host_names():
            return options
        states = file.oxidation_states
        charges = None if states is None else ",".join(f"{element}={charge}" for element, charge in states.items())
        host = str(campaign.beside(file.host))
        return replace(options, host=host, working_ion=file.ion, charges=charges, symprec=file.symprec)

    def keep(self, folder: Path) -> None:
        """Write it into a search's folder, with the files it names, so that the folder can be read on its own."""
        values = asdict(self.resolved())
        for name in FILES:
            if values[name] is not None and Path(values[name]).is_file():
                values[name] = _copied(name, Path(values[name]), folder)
        write_whole(folder / SUBJECT, json.dumps(values, indent=1))

    def campaign_fields(self) -> tuple[dict[str, Any], dict[str, Path]]:
        """Fields of a campaign file for the host, and the files that some of them name."""
        given: dict[str, Any] = {
            "host": self.host,
            "couples": self.couples,
            "oxidation_states": None if self.charges is None else parse_charges(self.charges),
            "symprec": self.symprec,
            "protocol": self.protocol,
        }
        named = {"host": self.host, "couples": self.couples, "protocol": self.protocol}
        files = {name: Path(file) for name, file in named.items() if file is not None and Path(file).is_file()}
        return {name: value for name, value in given.items() if value is not None}, files


def _copied(name: str, file: Path, folder: Path) -> str:
    """Put a file into a search's folder; a protocol with all that it extends."""
    copy = folder / f"{name}{file.suffix}"
    if copy.resolve() != file.resolve():
        if name == "protocol":
            write_whole(copy, yaml.safe_dump(merged_fields(str(file), file.parent), sort_keys=False))
        else:
            shutil.copyfile(file, copy)
    return copy.name


def read_subject_of(folder: Path) -> tuple[SubjectOptions, Subject]:
    """Whose orderings the search in a folder is of.

    Raises
    ------
    ValueError
        If there is no search, or the file that says it is damaged.
    """
    values = read_object(folder / SUBJECT, WRITTEN_ANEW)
    if "host" not in values or set(values) - {field.name for field in fields(SubjectOptions)}:
        raise ValueError(f"{folder / SUBJECT} does not name a host; {WRITTEN_ANEW}")
    for name in FILES:
        if values.get(name) is not None and (folder / values[name]).is_file():
            values[name] = str(folder / values[name])
    options = SubjectOptions(**values).resolved()
    return options, options.read()
