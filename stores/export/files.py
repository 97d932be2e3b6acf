"""Files of a set by format: one per side of the split (CHGNet: a folder of them), written frame by frame."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal, Protocol, get_args

from .aselmdb import AseLmdbWriter
from .chgnet_json import as_json, chgnet_record
from .extxyz import extxyz_frame
from .parquet import ParquetWriter
from .prepared import ExportFrame

Format = Literal["mace", "chgnet", "cpainn", "parquet", "aselmdb"]
FORMATS: tuple[Format, ...] = get_args(Format)
_PER_FILE = 500
"""Frames of a CHGNet file, more where a lineage is longer: its loader replaces a key that another file has too."""


class FrameFile(Protocol):
    """Where frames of one side go."""

    def write(self, frame: ExportFrame) -> None:
        """Take a frame."""

    def close(self) -> None:
        """Write what is left."""


class ExtxyzFile:
    """An extended XYZ file.

    Parameters
    ----------
    path : file to make.
    of_model : species as a model knows them.
    """

    def __init__(self, path: Path, of_model: bool) -> None:
        self._file = path.open("wb", buffering=1 << 20)
        self._of_model = of_model

    def write(self, frame: ExportFrame) -> None:
        """Take a frame."""
        self._file.write(extxyz_frame(frame, self._of_model))

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class ChgnetFolder:
    """A folder of JSON files, each lineage whole in one of them.

    Parameters
    ----------
    folder : made here.
    with_stress : every frame of the set has one.
    """

    def __init__(self, folder: Path, with_stress: bool) -> None:
        folder.mkdir()
        self._folder, self._with_stress = folder, with_stress
        self._records: dict[str, dict[str, bytes]] = {}
        self._frames = self._files = 0

    def write(self, frame: ExportFrame) -> None:
        """Take a frame; those of a lineage come one after the other."""
        lineage = frame.entry.lineage
        if lineage not in self._records and self._frames >= _PER_FILE:
            self._write()
        self._records.setdefault(lineage, {})[frame.entry.frame_id] = as_json(chgnet_record(frame, self._with_stress))
        self._frames += 1

    def close(self) -> None:
        """Write what is left."""
        if self._records:
            self._write()

    def _write(self) -> None:
        lineages = (
            as_json(lineage) + b":{" + b",".join(as_json(name) + b":" + text for name, text in records.items()) + b"}"
            for lineage, records in self._records.items()
        )
        (self._folder / f"{self._files:05d}.json").write_bytes(b"{" + b",".join(lineages) + b"}\n")
        self._records, self._frames = {}, 0
        self._files += 1


def open_files(folder: Path, formats: Sequence[Format], side: str, with_stress: bool) -> list[FrameFile]:
    """Files of one side of the split in every format.

    Parameters
    ----------
    folder : of the set; a folder per format is made in it.
    formats : which.
    side : train, valid, test or benchmark.
    with_stress : every frame of the set has one.
    """
    for name in formats:
        (folder / name).mkdir(exist_ok=True)
    opened: list[FrameFile] = []
    for name in formats:
        path = folder / name / file_name(name, side)
        if name in ("mace", "cpainn"):
            opened.append(ExtxyzFile(path, of_model=name == "mace"))
        elif name == "chgnet":
            opened.append(ChgnetFolder(path, with_stress))
        else:
            opened.append(ParquetWriter(path) if name == "parquet" else AseLmdbWriter(path))
    return opened


def file_name(name: Format, side: str) -> str:
    """What a side is called in a format's folder."""
    ending = {"mace": ".xyz", "cpainn": ".xyz", "chgnet": "", "parquet": ".parquet", "aselmdb": ".aselmdb"}
    return side + ending[name]


def checked_formats(names: Iterable[str]) -> list[Format]:
    """Formats by name, in the order of `FORMATS`, each once.

    Raises
    ------
    ValueError
        If one is unknown or there is none.
    """
    wanted = [part for name in names for part in name.replace(",", " ").split()]
    unknown = [name for name in wanted if name not in FORMATS]
    if unknown or not wanted:
        said = f"format {unknown[0]!r} is unknown" if unknown else "say which format"
        raise ValueError(f"{said}; choose one or several of {', '.join(FORMATS)}")
    return [name for name in FORMATS if name in wanted]
