"""What a potential is held against: the frames of an exported data set, with real elements and labels.

Parquet says everything. Extended XYZ (of cPaiNN or MACE) says step and host only where all frames of the set have the
same; else what needs them is left out.
"""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from ase import Atoms
from ase.io import iread
from numpy.typing import NDArray

from ...inputs.species import OXIDATION_STATE, FloatArray, SpeciesMap
from ...stores.export.files import Format, file_name
from ...stores.export.unfinished import MANIFEST, SPECIES, SPLIT_FILE

SIDES = ("train", "valid", "test", "benchmark")
_BATCH = 50


@dataclass(frozen=True)
class ReferenceFrame:
    """One frame.

    Attributes
    ----------
    frame_id, lineage : as in the set.
    side : train, valid, test or benchmark.
    formula : reduced formula.
    step : `relax` and the like; empty where the format does not say.
    host : name of the host; None where it is not known.
    atoms : real elements; array `oxidation_state` where states are known.
    energy : eV per cell.
    forces : (n_atoms, 3) eV/A.
    stress : (3, 3) eV/A^3, positive = tension; None where there is none.
    magmoms, charges : (n_atoms,) muB and e; None where there are none.
    """

    frame_id: str
    lineage: str
    side: str
    formula: str
    step: str
    host: str | None
    atoms: Atoms
    energy: float
    forces: FloatArray
    stress: FloatArray | None
    magmoms: FloatArray | None
    charges: FloatArray | None


@dataclass(frozen=True)
class ReferenceSet:
    """An exported data set.

    Attributes
    ----------
    folder : of the set.
    manifest : its manifest.

    Raises
    ------
    ValueError
        If the folder is no data set.
    """

    folder: Path
    manifest: dict[str, Any]

    @classmethod
    def open(cls, folder: Path) -> ReferenceSet:
        """Read the manifest."""
        path = folder / MANIFEST
        try:
            manifest = json.loads(path.read_text(encoding="utf-8"))
        except OSError as err:
            raise ValueError(f"{folder}: is no data set (no {path.name}); make one with valenceflow export") from err
        except ValueError as err:
            raise ValueError(f"{path}: is damaged; export the set again") from err
        return cls(folder, manifest)

    @cached_property
    def checksum(self) -> str:
        """SHA-256 of the manifest, which holds that of every file."""
        return hashlib.sha256((self.folder / MANIFEST).read_bytes()).hexdigest()

    @property
    def title(self) -> str:
        """What the set calls itself."""
        return str(self.manifest["title"])

    @property
    def engine(self) -> str:
        """What computed its frames."""
        return str(self.manifest["engine"])

    @property
    def protocol(self) -> str:
        """Protocol of its frames by name, or by hash where it has no name; empty where neither is said."""
        return str(self.manifest.get("protocol") or self.manifest.get("protocol_hash") or "")

    def sides(self, wanted: str) -> tuple[str, ...]:
        """Sides by name: train, valid, test, benchmark (what was held out by name) or all.

        Raises
        ------
        ValueError
            If the name is unknown or the side is empty.
        """
        if wanted not in (*SIDES, "all"):
            raise ValueError(f"--side {wanted!r}: choose {', '.join(SIDES)} or all")
        counts = {side: int(self.manifest["counts"].get(side, 0)) for side in SIDES}
        sides = tuple(side for side in SIDES if counts[side] and wanted in (side, "all"))
        if not sides:
            there = ", ".join(f"{side} {number}" for side, number in counts.items())
            raise ValueError(f"{self.folder}: holds no {wanted} frames ({there}); choose another --side")
        return sides

    def frames(self, side: str) -> Iterator[ReferenceFrame]:
        """Frames of one side, in the set's order, memory holding a few.

        Raises
        ------
        ValueError
            If the set holds no format that is read here.
        """
        formats = self.manifest["formats"]
        if "parquet" in formats:
            yield from _from_parquet(self.folder / "parquet" / file_name("parquet", side), side)
        elif "cpainn" in formats or "mace" in formats:
            name: Format = "cpainn" if "cpainn" in formats else "mace"
            yield from self._from_xyz(self.folder / name / file_name(name, side), side, of_model=name == "mace")
        else:
            raise ValueError(f"{self.folder}: holds {', '.join(formats)}; evaluation reads parquet, cpainn or mace")

    def _common(self, name: str) -> str | None:
        """What all frames have in common (`host`, `step`), by the manifest's counts; None where they differ."""
        counts = self.manifest.get("frames_by", {}).get(name, {})
        common = [value for value, number in counts.items() if number == self.manifest["n_frames"]]
        return common[0] if common else None

    def _from_xyz(self, path: Path, side: str, of_model: bool) -> Iterator[ReferenceFrame]:
        with (self.folder / SPLIT_FILE).open(encoding="utf-8", newline="") as file:
            lineages = {row["frame_id"]: (row["lineage"], row["formula"]) for row in csv.DictReader(file)}
        step, host = self._common("step") or "", self._common("host")
        species = SpeciesMap.model_validate_json((self.folder / SPECIES).read_text(encoding="utf-8"))
        for found in iread(path):
            atoms = Atoms(found.numbers, found.positions, cell=found.cell, pbc=found.pbc)
            states = found.arrays.get(OXIDATION_STATE)
            if of_model:
                real, told = species.decode(found.numbers)
                atoms.numbers = real
                states = states if states is not None else (told if species.knows_charge_states else None)
            if states is not None:
                atoms.set_array(OXIDATION_STATE, np.asarray(states, dtype=float))
            frame_id = str(found.info["frame_id"])
            lineage, formula = lineages[frame_id]
            stress = found.info.get("REF_stress")
            yield ReferenceFrame(
                frame_id, lineage, side, formula, step, host, atoms,
                energy=float(found.info["REF_energy"]),
                forces=found.arrays["REF_forces"],
                stress=None if stress is None else np.reshape(stress, (3, 3)),
                magmoms=found.arrays.get("REF_magmoms"),
                charges=found.arrays.get("bader_charges"),
            )  # fmt: skip


def _from_parquet(path: Path, side: str) -> Iterator[ReferenceFrame]:
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=_BATCH):
            for row in batch.to_pylist():
                yield _of_row(row, side)


def _of_row(row: dict[str, Any], side: str) -> ReferenceFrame:
    atoms = Atoms(
        row["numbers"], np.reshape(row["positions"], (-1, 3)), cell=np.reshape(row["lattice"], (3, 3)), pbc=True
    )
    if row["oxidation_states"] is not None:
        atoms.set_array(OXIDATION_STATE, np.array(row["oxidation_states"], dtype=float))

    def array(name: str) -> NDArray[np.float64] | None:
        return None if row[name] is None else np.array(row[name], dtype=float)

    stress = array("stress")
    return ReferenceFrame(
        row["frame_id"], row["configuration_id"] or row["lineage"], side, row["formula"], row["step"], row["host"],
        atoms, row["energy"],
        forces=np.reshape(row["forces"], (-1, 3)),
        stress=None if stress is None else stress.reshape(3, 3),
        magmoms=array("magmoms"),
        charges=array("bader_charges"),
    )  # fmt: skip
