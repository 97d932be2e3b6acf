"""An exported data set as frames to train on, its charge states encoded anew: one set serves trainings of both kinds.

Reads whichever of the formats cpainn, mace, parquet and chgnet a set has. Real elements and oxidation states are in all
of them, so a set that was exported with one species map, or with none, is trained on with another.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow.parquet as pq
from ase import Atoms
from ase.data import atomic_numbers
from ase.io import iread
from ase.io.formats import UnknownFileTypeError
from pydantic import ValidationError

from ..inputs.yaml_files import first_problem
from ..stores.export.chgnet_json import KBAR_PER_EV_A3
from ..stores.export.unfinished import MANIFEST, SPECIES
from ..stores.model_documents import DataSetRef
from .cpainn.frames import Frame, frame_from_atoms
from .model_folder import sha256_of
from .species import OXIDATION_STATE, SpeciesMap, check_balanced, get_species_map

Side = Literal["train", "valid", "test", "benchmark"]
Report = Callable[[str, int, int], None]
_SHOWN = 100

READABLE = ("cpainn", "mace", "parquet", "chgnet")
"""Formats in the order of preference."""


@dataclass(frozen=True)
class SourceSet:
    """A data set's folder.

    Attributes
    ----------
    folder : of the set.
    manifest : content of its manifest.json.
    species_map : that it was exported with.
    """

    folder: Path
    manifest: dict[str, Any]
    species_map: SpeciesMap

    @property
    def reference(self) -> DataSetRef:
        """What a model remembers of it."""
        manifest = self.manifest
        return DataSetRef(
            name=manifest["title"],
            folder=str(self.folder),
            checksum=sha256_of(self.folder / MANIFEST),
            engine=manifest["engine"],
            protocol=manifest["protocol"],
            protocol_hash=manifest["protocol_hash"],
            n_train=manifest["counts"].get("train", 0),
            n_valid=manifest["counts"].get("valid", 0),
        )


def open_set(folder: Path) -> SourceSet:
    """Open an exported set.

    Raises
    ------
    ValueError
        If the folder is none, or its manifest or species map cannot be read.
    """
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        species = json.loads((folder / SPECIES).read_text(encoding="utf-8"))
    except OSError as err:
        raise ValueError(
            f"{folder}: is no data set ({err.filename or MANIFEST}: {err.strerror}); make one with `valenceflow export`"
        ) from err
    except ValueError as err:
        raise ValueError(f"{folder}: {MANIFEST} or {SPECIES} is damaged: {err}") from err
    if not isinstance(manifest, dict) or manifest.get("document") != "valenceflow data set":
        raise ValueError(f"{folder / MANIFEST}: is not of a data set that `valenceflow export` made")
    try:
        return SourceSet(folder, manifest, SpeciesMap.model_validate(species))
    except ValidationError as err:
        raise ValueError(f"{folder / SPECIES}: {first_problem(err)}") from err


def choose_species_map(source: SourceSet, charge_states: bool, name: str | None = None) -> SpeciesMap:
    """The map to train with: none, the one that is asked for, the set's own, or `charge-states`.

    Raises
    ------
    ValueError
        If the map asked for is unknown or has no charge states.
    """
    if not charge_states:
        return SpeciesMap.shipped("elements")
    if name is None:
        own = source.species_map
        return own if own.knows_charge_states else SpeciesMap.shipped("charge-states")
    asked = get_species_map(name)
    if not asked.knows_charge_states:
        raise ValueError(f"species map {name!r} has no charge states; choose another, or train with --no-charge-states")
    return asked


def read_frames(
    source: SourceSet, side: Side, species_map: SpeciesMap, report: Report = lambda what, done, of: None
) -> list[Frame]:
    """Read one side of a set.

    Parameters
    ----------
    source : the set.
    side : train, valid, test or benchmark.
    species_map : how charge states are encoded.
    report : progress: what, frames done, frames in all.

    Raises
    ------
    ValueError
        If a file is missing or is not the one that was exported, frames lack charge states or are not neutral, or a
        label is broken; the frame is named.
    """
    total = source.manifest["counts"].get(side, 0)
    if not total:
        raise ValueError(f"{source.folder}: has no {side} frames; export it with other --fractions or more groups")
    images = _checked_labels(source, list(_images(source, side)), species_map)
    frames = []
    for name, atoms in images:
        frames.append(frame_from_atoms(atoms, species_map, name))
        if len(frames) % _SHOWN == 0 or len(frames) == total:
            report(f"reading {side}", len(frames), total)
    return frames


def _checked_labels(
    source: SourceSet, images: list[tuple[str, Atoms]], species_map: SpeciesMap
) -> list[tuple[str, Atoms]]:
    """Say of the whole set what is wrong with its charge states, before a single frame is."""
    if not species_map.knows_charge_states:
        return images
    redox = [atomic_numbers[element] for element in species_map.states]
    if not any(np.isin(atoms.numbers, redox).any() for _, atoms in images):
        raise ValueError(
            f"{source.folder}: none of its frames holds {' or '.join(species_map.states)}, whose charge states map "
            f"{species_map.name!r} knows; train with --no-charge-states"
        )
    bare = [name for name, atoms in images if OXIDATION_STATE not in atoms.arrays]
    if bare:
        raise ValueError(
            f"{source.folder}: {len(bare)} of {len(images)} frames have no charge states ({bare[0]}); label them "
            "(`valenceflow build`) and export again without --keep ambiguous, or train with --no-charge-states"
        )
    charged = [name for name, atoms in images if not _is_neutral(atoms)]
    if charged:
        raise ValueError(
            f"{source.folder}: in {len(charged)} of {len(images)} frames the charge states do not sum to zero "
            f"({charged[0]}); their energies cannot be compared: export again without them, or train with "
            "--no-charge-states"
        )
    return images


def _is_neutral(atoms: Atoms) -> bool:
    try:
        check_balanced(atoms.numbers, atoms.arrays[OXIDATION_STATE])
    except ValueError:
        return False
    return True


def _images(source: SourceSet, side: Side) -> Iterator[tuple[str, Atoms]]:
    """Names and Atoms of one side: real elements, labels under cPaiNN's keys."""
    for name in READABLE:
        folder = source.folder / name
        if name in source.manifest["formats"] and folder.is_dir():
            _check_files(source, name, side)
            yield from _READERS[name](folder, side, source.species_map)
            return
    raise ValueError(f"{source.folder}: has none of the formats {', '.join(READABLE)}; export it with one of them")


def _check_files(source: SourceSet, name: str, side: Side) -> None:
    """Compare the files of one side with the manifest's checksums."""
    beginning = f"{name}/{side}"
    files = {
        path: found
        for path, found in source.manifest["files"].items()
        if path.startswith((beginning + ".", beginning + "/"))
    }
    for path, found in files.items():
        if not (source.folder / path).is_file():
            raise ValueError(f"{source.folder}: {path} is missing; export the set again")
        if sha256_of(source.folder / path) != found["sha256"]:
            raise ValueError(f"{source.folder}: {path} was changed after its export; export the set again")


def _from_xyz(folder: Path, side: Side, species_map: SpeciesMap) -> Iterator[tuple[str, Atoms]]:
    path = folder / f"{side}.xyz"
    try:
        for index, atoms in enumerate(iread(path, index=":")):
            if folder.name == "mace":
                atoms.numbers = species_map.decode(atoms.numbers)[0]
            yield f"{side} frame {index + 1} ({atoms.info.get('frame_id')})", atoms
    except UnknownFileTypeError as err:
        raise ValueError(f"{path}: holds no frames ({err}); export the set again") from err


def _from_parquet(folder: Path, side: Side, species_map: SpeciesMap) -> Iterator[tuple[str, Atoms]]:
    with pq.ParquetFile(folder / f"{side}.parquet") as file:
        index = 0
        for batch in file.iter_batches(batch_size=200):
            for row in batch.to_pylist():
                index += 1
                atoms = Atoms(
                    row["numbers"],
                    positions=np.reshape(row["positions"], (-1, 3)),
                    cell=np.reshape(row["lattice"], (3, 3)),
                    pbc=True,
                )
                arrays = {
                    "REF_magmoms": row["magmoms"],
                    "bader_charges": row["bader_charges"],
                    OXIDATION_STATE: row["oxidation_states"],
                }
                _label(atoms, row["energy"], row["forces"], row["stress"], arrays)
                yield f"{side} frame {index} ({row['frame_id']})", atoms


def _from_chgnet(folder: Path, side: Side, species_map: SpeciesMap) -> Iterator[tuple[str, Atoms]]:
    index = 0
    for path in sorted((folder / side).glob("*.json")):
        for frames in json.loads(path.read_text(encoding="utf-8")).values():
            for name, record in frames.items():
                index += 1
                structure = record["structure"]
                sites = structure["sites"]
                numbers = [atomic_numbers[site["species"][0]["element"]] for site in sites]
                atoms = Atoms(
                    species_map.decode(numbers)[0],
                    scaled_positions=[site["abc"] for site in sites],
                    cell=structure["lattice"]["matrix"],
                    pbc=True,
                )
                states = [site["properties"].get(OXIDATION_STATE) for site in sites]
                stress = record.get("stress")
                _label(
                    atoms,
                    record["energy_per_atom"] * len(sites),
                    record["force"],
                    None if stress is None else np.array(stress) / -KBAR_PER_EV_A3,
                    {"REF_magmoms": record["magmom"], OXIDATION_STATE: None if None in states else states},
                )
                yield f"{side} frame {index} ({name})", atoms


def _label(atoms: Atoms, energy: float, forces: Any, stress: Any, arrays: dict[str, Any]) -> None:
    atoms.info["REF_energy"] = energy
    if stress is not None:
        atoms.info["REF_stress"] = np.reshape(stress, 9)
    atoms.set_array("REF_forces", np.reshape(forces, (-1, 3)))
    for name, values in arrays.items():
        if values is not None:
            atoms.set_array(name, np.array(values))


_READERS: dict[str, Callable[[Path, Side, SpeciesMap], Iterator[tuple[str, Atoms]]]] = {
    "cpainn": _from_xyz,
    "mace": _from_xyz,
    "parquet": _from_parquet,
    "chgnet": _from_chgnet,
}
