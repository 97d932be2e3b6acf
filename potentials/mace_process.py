"""Starts the process that trains a MACE (`mace_training`), and passes on what it says. Neither imports the other."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..stores.export.extxyz import extxyz_text
from ..stores.model_documents import EpochDoc
from .cpainn.frames import Frame
from .presets import MaceSettings
from .reference_energies import fit_reference_energies
from .species import SpeciesMap
from .watching import Outcome, TrainingDivergedError, Watcher

_DIVERGED = 3
_EVENT = '{"event"'


def train_mace(
    training: Sequence[Frame],
    validation: Sequence[Frame],
    species_map: SpeciesMap,
    settings: MaceSettings,
    folder: Path,
    identity: dict[str, Any],
    start: Path | None = None,
    watcher: Watcher | None = None,
) -> Outcome:
    """Train a model, or go on with a training that was interrupted; the best one lies in the folder.

    Parameters
    ----------
    training, validation : frames, encoded with the species map.
    species_map : kept with the model.
    settings : architecture and training.
    folder : where model and state go.
    identity : what the training is of; a training of something else does not go on from the folder's state.
    start : weights of a MACE of ours to begin from; charge states that are new to it begin as their element was.
    watcher : called as it goes on.

    Raises
    ------
    ValueError
        If there are fewer frames than a batch holds, a stress is missing that the loss needs, the folder holds another
        training, or the process fails.
    TrainingDivergedError
        If a loss or gradient is not finite; the frame is named.
    """
    size = settings.training.batch_size
    if len(training) < size:
        raise ValueError(
            f"a batch of {size} frames is more than the {len(training)} to train on, and MACE trains on whole batches "
            "only; lower --batch-size"
        )
    with tempfile.TemporaryDirectory(prefix="valenceflow-mace-") as scratch:
        job = write_job(Path(scratch), training, validation, species_map, settings, folder, identity, start)
        return _run(job, watcher or Watcher())


def write_job(
    work: Path,
    training: Sequence[Frame],
    validation: Sequence[Frame],
    species_map: SpeciesMap,
    settings: MaceSettings,
    folder: Path,
    identity: dict[str, Any],
    start: Path | None = None,
) -> Path:
    """Write what the process reads: frames in model species, and the job's file, whose path is returned.

    Reference energies are of the species that occur: MACE takes no others.
    """
    sides = (training, validation)
    for name, frames in zip(("train", "valid"), sides, strict=True):
        _write_xyz(work / f"{name}.xyz", frames)
    species = np.unique(np.concatenate([frame.crystal.species for frame in training])).tolist()
    fit = fit_reference_energies(
        [frame.crystal.species for frame in training], [frame.energy for frame in training], species_map
    )
    job = {
        "settings": settings.model_dump(mode="json"),
        "species_map": species_map.model_dump(mode="json"),
        "training": str(work / "train.xyz"),
        "validation": str(work / "valid.xyz"),
        "names": [[frame.name for frame in side] for side in sides],
        "species": species,
        "references": {number: energy for number, energy in fit.by_species.items() if number in species},
        "folder": str(folder.resolve()),
        "identity": identity,
        "start": None if start is None else str(start.resolve()),
    }
    path = work / "job.json"
    path.write_text(json.dumps(job), encoding="utf-8")
    return path


def _write_xyz(path: Path, frames: Sequence[Frame]) -> None:
    with path.open("wb") as file:
        for index, frame in enumerate(frames):
            crystal = frame.crystal
            stress = frame.stress if np.isfinite(frame.stress).all() else None
            vectors = {"pos": crystal.positions, "REF_forces": frame.forces}
            file.write(extxyz_text(crystal.species, crystal.cell, vectors, {}, frame.energy, stress, str(index)))


def _run(job: Path, watcher: Watcher) -> Outcome:
    """Run the process; it ends when nobody reads what it says."""
    command = [sys.executable, "-m", "valenceflow.potentials.mace_training", str(job)]
    history: list[EpochDoc] = []
    done: dict[str, Any] = {}
    watcher.on_stage("starting MACE", 0, 0)
    with tempfile.TemporaryFile("w+") as errors:
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True, cwd=job.parent) as process:
            assert process.stdout is not None
            try:
                for line in process.stdout:
                    if not line.startswith(_EVENT):  # libraries talk while they are imported
                        continue
                    done = _told(json.loads(line), history, watcher)
            except BaseException:
                process.terminate()
                raise
        errors.seek(0)
        said = errors.read().strip().splitlines()
    if process.returncode != 0 or "reason" not in done:
        reason = said[-1] if said else f"the process that trains MACE ended with exit code {process.returncode}"
        raise TrainingDivergedError(reason) if process.returncode == _DIVERGED else ValueError(reason)
    references = {int(number): energy for number, energy in done["references"].items()}
    return Outcome(history, done["reason"], references, done["n_parameters"], done["versions"])


def _told(event: dict[str, Any], history: list[EpochDoc], watcher: Watcher) -> dict[str, Any]:
    """Pass an event on; returns the last one's content."""
    kind = event.pop("event")
    if kind == "history":
        history.extend(EpochDoc.model_validate(epoch) for epoch in event["epochs"])
        watcher.on_history(history)
    elif kind == "step":
        watcher.on_step(event["done"], event["of"])
    elif kind == "epoch":
        history.append(EpochDoc.model_validate(event))
        watcher.on_epoch(history[-1])
    return event
