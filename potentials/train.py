"""One door to the training of all three models: an exported data set in, a model's folder out (`model_folder`).

    request = TrainingRequest("chgnet", Path("my-set"), Path("models/chgnet"), settings_of("chgnet", "tiny"))
    doc = train_model(request)

The same call goes on with a training that was interrupted, and does nothing where it is finished. On one CPU thread the
result is the same to the last bit, interrupted or not; on several, and on GPUs, sums are done in any order, and two
trainings agree to the noise of their precision.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from ..inputs.whole_files import write_whole
from ..stores.model_documents import KINDS, EpochDoc, ModelDoc, ModelKind, TargetScore
from .baseline import baseline_of_frames
from .cpainn.frames import Frame, frames_hash
from .cpainn.settings import Preset as CPaiNNSettings
from .learning_curve import draw_learning_curve
from .model_card import model_card
from .model_folder import (
    CARD_FILE,
    CURVE_FILE,
    LOG_FILE,
    MODEL_FILE,
    REQUEST_FILE,
    WEIGHTS_FILE,
    read_log,
    read_model,
    sha256_of,
    write_model,
)
from .presets import ChgnetSettings, MaceSettings, Settings
from .species import SpeciesMap, check_known
from .training_frames import SourceSet, choose_species_map, open_set, read_frames
from .training_state import refuse_unlike
from .watching import Outcome, Watcher, best_of, reason_to_stop


@dataclass(frozen=True)
class TrainingRequest:
    """What is to be trained.

    Attributes
    ----------
    kind : chgnet, mace or cpainn.
    data_set : folder of an exported set.
    out : folder to make, or of the same training, to go on with it.
    settings : architecture and training.
    preset : what the settings began as.
    charge_states : whether charge states are species of their own.
    species_map : name or YAML of another map than the set's.
    parent : what the weights begin from: a model's folder or, for CHGNet, a pretrained one's name or a file of its
        trainer. Its architecture replaces that of the settings.
    """

    kind: ModelKind
    data_set: Path
    out: Path
    settings: Settings
    preset: str = "own"
    charge_states: bool = True
    species_map: str | None = None
    parent: str | None = None


def train_model(request: TrainingRequest, watcher: Watcher | None = None) -> ModelDoc:
    """Train a model, go on with it, or find it finished.

    Parameters
    ----------
    request : what is to be trained.
    watcher : called as it goes on.

    Returns
    -------
    The model's document, which is in its folder too.

    Raises
    ------
    ValueError
        If the set lacks labels that are needed, the folder holds something else, or the parent does not fit.
    TrainingDivergedError
        If a loss or gradient is not finite; the frame is named.
    OSError
        If something cannot be written.
    """
    watcher = watcher or Watcher()
    _check_device(request)
    source = open_set(request.data_set)
    species_map = choose_species_map(source, request.charge_states, request.species_map)
    parent = open_parent(request)
    if parent is not None:
        request = replace(request, settings=parent.settings)
    identity = _identity(request, source, species_map, parent)
    finished = _claim(request.out, identity)
    if finished is not None and _is_over(request):
        return finished
    training = read_frames(source, "train", species_map, watcher.on_stage)
    validation = read_frames(source, "valid", species_map, watcher.on_stage)
    species = _species_of(training, validation, species_map)
    (request.out / MODEL_FILE).unlink(missing_ok=True)  # of the shorter training; until it is finished anew
    baseline = baseline_of_frames(validation, species_map)
    watcher.on_baseline(baseline)
    log = _Log(request.out / LOG_FILE, watcher)
    outcome = _train(request, training, validation, species_map, identity, parent, log.watcher)
    doc = _document(request, source, species_map, species, identity, outcome, baseline)
    _write_papers(request.out, doc, outcome.history)
    write_model(request.out, doc)
    return doc


def _check_device(request: TrainingRequest) -> None:
    from .devices import check_device  # noqa: PLC0415 - torch

    check_device(request.settings.training.device)


@dataclass(frozen=True)
class Parent:
    """What a training begins from.

    Attributes
    ----------
    name : for people.
    weights : of CHGNet and cPaiNN, the model itself; of MACE, the path of its weights.
    checksum : of the weights.
    settings : those asked for, with the parent's architecture.
    """

    name: str
    weights: Any
    checksum: str
    settings: Settings


def open_parent(request: TrainingRequest) -> Parent | None:
    """Open what a training begins from.

    Raises
    ------
    ValueError
        If there is none of this name, it is of another kind, or a pickle that would have to be run.
    """
    if request.parent is None:
        return None
    folder = Path(request.parent)
    if request.kind == "chgnet" and not (folder / MODEL_FILE).is_file():
        from .chgnet_parents import open_chgnet_checkpoint  # noqa: PLC0415 - CHGNet

        weights, checksum = open_chgnet_checkpoint(request.parent)
    else:
        if folder.is_file():
            raise ValueError(
                f"--from {folder}: give the folder of a model that `valenceflow train` made; files of other programs "
                "are pickles, and reading one runs whatever it holds"
            )
        if not folder.exists():
            raise ValueError(
                f"--from {folder}: no such folder; {request.kind} begins from the folder of a model that `valenceflow "
                "train` made"
            )
        doc = read_model(folder)
        if doc.kind != request.kind:
            raise ValueError(f"--from {folder}: holds a {doc.kind}, not a {request.kind}")
        weights, checksum = _weights_of(folder / doc.weights, doc.kind), doc.weights_sha256
    return Parent(request.parent, weights, checksum, _with_architecture(request, weights, folder))


def _weights_of(path: Path, kind: ModelKind) -> Any:
    if kind == "chgnet":
        from .chgnet import load_chgnet  # noqa: PLC0415 - CHGNet

        return load_chgnet(path)
    if kind == "cpainn":
        from .cpainn.checkpoint import load_model  # noqa: PLC0415 - torch

        return load_model(path)
    return path  # MACE is opened in its own process


def _with_architecture(request: TrainingRequest, weights: Any, folder: Path) -> Settings:
    """The settings asked for, with the parent's architecture."""
    if isinstance(request.settings, ChgnetSettings):
        from .chgnet_parents import architecture_settings  # noqa: PLC0415 - CHGNet

        return request.settings.model_copy(update={"model": architecture_settings(weights)})
    if isinstance(request.settings, CPaiNNSettings):
        return request.settings.model_copy(update={"model": weights.model.settings})
    architecture = MaceSettings.model_validate(read_model(folder).config).model
    return request.settings.model_copy(update={"model": architecture})


# These change how a training runs, not what comes out, so a killed one may go on with others.
_MAY_CHANGE = {"stop_patience", "device", "atoms_per_pass", "checkpoint_every_s"}


def _identity(
    request: TrainingRequest, source: SourceSet, species_map: SpeciesMap, parent: Parent | None
) -> dict[str, Any]:
    """What makes two trainings the same. CHGNet's epochs are part of it: its learning rate falls along all of them."""
    settings = request.settings.model_dump(mode="json")
    may_change = _MAY_CHANGE | (set() if request.kind == "chgnet" else {"epochs"})
    return {
        "kind": request.kind,
        "data set": source.reference.checksum,
        "species map": species_map.content_hash,
        "architecture": settings["model"],
        "parent": None if parent is None else parent.checksum,
        **{name: value for name, value in settings["training"].items() if name not in may_change},
    }


def _claim(out: Path, identity: dict[str, Any]) -> ModelDoc | None:
    """Make the folder ours, or find the same training in it; a finished one is returned."""
    path = out / REQUEST_FILE
    if path.is_file():
        try:
            theirs = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as err:
            raise ValueError(f"{path}: is damaged; give another folder") from err
        refuse_unlike(theirs, identity, path)
        return read_model(out) if (out / MODEL_FILE).is_file() else None
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ValueError(f"{out}: exists and holds no training; give a new folder")
    out.mkdir(parents=True, exist_ok=True)
    write_whole(path, json.dumps(identity, indent=1, sort_keys=True) + "\n")
    return None


def _is_over(request: TrainingRequest) -> bool:
    """Whether a finished training has all that is asked for now: more epochs or patience go on with it."""
    training = request.settings.training
    return bool(reason_to_stop(read_log(request.out), training.epochs, training.stop_patience))


def _species_of(training: Sequence[Frame], validation: Sequence[Frame], species_map: SpeciesMap) -> tuple[int, ...]:
    """Model numbers that occur in training; validation may hold no other."""
    known = np.unique(np.concatenate([frame.crystal.species for frame in training])).tolist()
    for frame in validation:
        check_known(frame.crystal.species, known, species_map, frame.name)
    return tuple(known)


def _train(
    request: TrainingRequest,
    training: Sequence[Frame],
    validation: Sequence[Frame],
    species_map: SpeciesMap,
    identity: dict[str, Any],
    parent: Parent | None,
    watcher: Watcher,
) -> Outcome:
    start = None if parent is None else parent.weights
    settings, out = request.settings, request.out
    state = {**identity, "frames": frames_hash([*training, *validation])}
    if isinstance(settings, ChgnetSettings):
        from .chgnet_training import train_chgnet  # noqa: PLC0415 - CHGNet

        return train_chgnet(training, validation, species_map, settings, out, state, start, watcher)
    if isinstance(settings, MaceSettings):
        from .mace_process import train_mace  # noqa: PLC0415

        return train_mace(training, validation, species_map, settings, out, state, start, watcher)
    from .cpainn.training import train  # noqa: PLC0415 - torch

    found = train(training, validation, species_map, settings.model, settings.training, out, start, watcher)
    model = found.trained.model
    versions = {package: version(package) for package in ("torch", "matscipy")}
    history = [record.document() for record in found.history]
    return Outcome(history, found.reason, dict(model.energies.references), model.n_parameters, versions)


class _Log:
    """`log.jsonl`: a line per epoch, whatever interruptions there were."""

    def __init__(self, path: Path, watcher: Watcher) -> None:
        self._path, self._inner = path, watcher
        self.watcher = replace(watcher, on_history=self._begin, on_epoch=self._add)

    def _begin(self, epochs: Sequence[EpochDoc]) -> None:
        write_whole(self._path, "".join(epoch.model_dump_json() + "\n" for epoch in epochs))
        self._inner.on_history(epochs)

    def _add(self, epoch: EpochDoc) -> None:
        with self._path.open("a", encoding="utf-8") as file:
            file.write(epoch.model_dump_json() + "\n")
        self._inner.on_epoch(epoch)


def _document(
    request: TrainingRequest,
    source: SourceSet,
    species_map: SpeciesMap,
    species: tuple[int, ...],
    identity: dict[str, Any],
    outcome: Outcome,
    baseline: dict[str, TargetScore],
) -> ModelDoc:
    best = best_of(outcome.history)
    hashed = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
    return ModelDoc(
        model_id=f"{request.kind}-{hashed[:12]}",
        kind=request.kind,
        preset=request.preset,
        charge_states=species_map.knows_charge_states,
        species_map=species_map,
        species=list(species),
        data_set=source.reference,
        config=request.settings.model_dump(mode="json"),
        seed=request.settings.training.seed,
        parent=request.parent,
        reference_energies=outcome.reference_energies,
        n_parameters=outcome.n_parameters,
        n_epochs=len(outcome.history),
        best_epoch=best,
        stopped=outcome.reason,
        errors=outcome.history[best - 1].errors,
        baseline=baseline,
        seconds=sum(epoch.seconds for epoch in outcome.history),
        versions={"valenceflow": version("valenceflow"), **outcome.versions},
        made=datetime.now(tz=UTC),
        weights=WEIGHTS_FILE,
        weights_sha256=sha256_of(request.out / WEIGHTS_FILE),
    )


def _write_papers(out: Path, doc: ModelDoc, history: Sequence[EpochDoc]) -> None:
    draw_learning_curve(out / CURVE_FILE, history, doc.best_epoch, doc.baseline)
    write_whole(out / CARD_FILE, model_card(doc))


def kind_of(name: str) -> ModelKind:
    """A model's kind by name.

    Raises
    ------
    ValueError
        If there is none of this name.
    """
    if name not in KINDS:
        raise ValueError(f"model {name!r} is unknown; choose one of {', '.join(KINDS)}")
    return name
