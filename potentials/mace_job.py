"""What a MACE training is told, and how it says how far it is (see `mace_process`)."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .presets import MaceSettings
from .species import SpeciesMap


@dataclass(frozen=True)
class Job:
    """What is to be trained: content of the job's file.

    Attributes
    ----------
    settings, species_map : of the model.
    training, validation : extended XYZ files in model species.
    names : of the frames in both, in order.
    species : model numbers that occur in training.
    references : model number -> eV per atom.
    folder : where model and state go.
    identity : what the training is of.
    start : weights to begin from, or None.
    """

    settings: MaceSettings
    species_map: SpeciesMap
    training: Path
    validation: Path
    names: list[list[str]]
    species: tuple[int, ...]
    references: dict[int, float]
    folder: Path
    identity: dict[str, Any]
    start: Path | None

    @classmethod
    def read(cls, path: Path) -> Job:
        """Read the file that `mace_process` wrote."""
        found = json.loads(path.read_text(encoding="utf-8"))
        return cls(
            settings=MaceSettings.model_validate(found["settings"]),
            species_map=SpeciesMap.model_validate(found["species_map"]),
            training=Path(found["training"]),
            validation=Path(found["validation"]),
            names=found["names"],
            species=tuple(found["species"]),
            references={int(number): energy for number, energy in found["references"].items()},
            folder=Path(found["folder"]),
            identity=found["identity"],
            start=None if found["start"] is None else Path(found["start"]),
        )


class Voice:
    """Says things on the real standard output; the libraries' own talk goes nowhere."""

    def __init__(self) -> None:
        self._out = os.fdopen(os.dup(sys.stdout.fileno()), "w")

    def say(self, event: str, **content: Any) -> None:
        self._out.write(json.dumps({"event": event, **content}) + "\n")
        self._out.flush()
