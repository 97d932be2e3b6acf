"""Sets that `valenceflow export` made, taken back in: units, engine, protocol, species and groups are in their papers.

Their extended XYZ is read, MACE's or else cPaiNN's; the other formats hold the same frames once more.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from ase.data import chemical_symbols
from pydantic import BaseModel, Field, ValidationError

from ..inputs.species import SpeciesMap
from .export.files import FORMATS
from .export.unfinished import DOCUMENT, MANIFEST, SPECIES, SPLIT_FILE
from .ingest_files import plain_file
from .ingest_options import IngestOptions
from .ingest_reasons import PassOver

READ = ("mace", "cpainn")
"""Formats that are read, the first that a set has."""

_PAPERS = frozenset({MANIFEST, SPECIES})
_REFERENCES = frozenset({"E0s.json", "atom_ref.json"})
_LARGEST = 1 << 26  # bytes of a manifest


class _Manifest(BaseModel):
    document: Literal["valenceflow data set"]
    engine: str = Field(min_length=1)
    engine_versions: list[str] = Field(default_factory=list)
    protocol: str | None = None
    protocol_hash: str


@dataclass(frozen=True)
class ExportedSet:
    """What an exported set says of its frames.

    Attributes
    ----------
    engine, engine_version, protocol, protocol_hash : of all its frames.
    encoded : element as written -> (real element, oxidation state); empty where real elements are written.
    papers : the files that say it.
    group_of : frame id -> group of its split.
    """

    engine: str
    engine_version: str | None
    protocol: str | None
    protocol_hash: str
    encoded: Mapping[str, tuple[str, int]]
    papers: tuple[Path, ...] = ()
    group_of: Mapping[str, str] = field(default_factory=dict)

    def laid_on(self, options: IngestOptions) -> IngestOptions:
        """Options for this set's files; what a person said goes first."""
        stated = {
            "engine": self.engine if options.engine == "unstated" else options.engine,
            "protocol_name": options.protocol_name or self.protocol,
            "stress_unit": options.stress_unit or "eV/A3",
            "bader": options.bader or "net",
            "encoded": {**self.encoded, **options.encoded},
        }
        return options.model_copy(update=stated)

    def agrees_with(self, options: IngestOptions) -> bool:
        """Whether nobody gave these frames another engine or protocol."""
        return options.engine == self.engine and options.protocol_name == self.protocol


def export_folder(path: Path) -> Path | None:
    """The exported set that an extended XYZ file is of, or None."""
    folder = path.parent.parent
    return folder if path.parent.name in READ and _manifest(folder) is not None else None


def exported_set(path: Path, root: Path) -> ExportedSet | None:
    """What is said of the frames of an extended XYZ file of an exported set; None for any other file.

    Parameters
    ----------
    path : the file.
    root : folder that was named; nothing outside it is opened.

    Raises
    ------
    PassOver
        If the set's species map or split is missing or damaged.
    """
    folder = export_folder(path)
    manifest = None if folder is None or not folder.resolve().is_relative_to(root.resolve()) else _manifest(folder)
    if folder is None or manifest is None:
        return None
    papers = tuple(plain_file(folder / name, root) for name in (MANIFEST, SPECIES, SPLIT_FILE))
    try:
        species = SpeciesMap.model_validate_json(papers[1].read_text(encoding="utf-8"))
        with papers[2].open(encoding="utf-8", newline="") as file:
            groups = {row["frame_id"]: row["group"] for row in csv.DictReader(file)}
    except (ValueError, KeyError, csv.Error) as err:
        raise PassOver("not readable", f"{folder.name}/{SPECIES} or {SPLIT_FILE} is damaged: {err}") from err
    versions = manifest.engine_versions
    return ExportedSet(
        engine=manifest.engine,
        engine_version=versions[0] if len(versions) == 1 else None,
        protocol=manifest.protocol,
        protocol_hash=manifest.protocol_hash,
        encoded=_encoded(species) if path.parent.name == "mace" else {},
        papers=papers,
        group_of=groups,
    )


def passed_by(folder: Path, folders: list[str]) -> frozenset[str]:
    """Names in a folder that ingest passes by: an exported set's papers, and frames that it has in another format.

    Parameters
    ----------
    folder : where; not only exported sets.
    folders : names of the folders in it.
    """
    if folder.name in READ and _manifest(folder.parent) is not None:
        return _REFERENCES
    if _manifest(folder) is None:
        return frozenset()
    read = next((name for name in READ if name in folders), None)
    return _PAPERS | (frozenset(FORMATS) - {read})


def unread_export(folder: Path, folders: list[str]) -> PassOver | None:
    """Why nothing of an exported set is taken, where it has none of the formats that are read."""
    if _manifest(folder) is None or any(name in folders for name in READ):
        return None
    return PassOver(
        "no frame",
        f"an exported set without {' or '.join(READ)}, which are read: export it with --format {READ[0]} too",
    )


def _encoded(species: SpeciesMap) -> dict[str, tuple[str, int]]:
    return {
        chemical_symbols[number]: (element, state)
        for element, states in species.states.items()
        for state, number in states.items()
        if chemical_symbols[number] != element
    }


def _manifest(folder: Path) -> _Manifest | None:
    """Manifest of an exported set; None for every other folder, of which nothing is said here."""
    path = folder / MANIFEST
    try:
        if not path.exists() or plain_file(path, folder).stat().st_size > _LARGEST:
            return None
        text = path.read_text(encoding="utf-8")
        return _Manifest.model_validate_json(text) if DOCUMENT in text else None
    except (PassOver, OSError, UnicodeDecodeError, ValidationError):
        return None
