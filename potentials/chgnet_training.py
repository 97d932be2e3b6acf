"""Training a CHGNet with its own trainer, epoch by epoch, so that it can be stopped, watched and gone on with.

`chgnet.trainer.Trainer` is used as it is: this module hands it loaders and keeps its state between epochs. The order
of frames is a function of seed and epoch, so on one CPU thread a training that was killed ends with the same weights as
one that was not; a kill costs at most an epoch.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from time import monotonic
from typing import Any, cast

import numpy as np
import torch
from ase.units import GPa
from chgnet.data.dataset import StructureData, get_loader
from chgnet.model import CHGNet
from chgnet.trainer import Trainer
from pymatgen.core import Structure

from ..stores.export.chgnet_json import vasp_stress
from ..stores.model_documents import EpochDoc, TargetScore
from .chgnet import TrainedChgnet, save_chgnet
from .cpainn.frames import Frame
from .model_folder import WEIGHTS_FILE
from .presets import ChgnetSettings
from .reference_energies import fit_reference_energies
from .species import SpeciesMap
from .training_state import STATE_FILE, optimizer_tensors, read_state, restore_optimizer, write_state
from .watching import Outcome, TrainingDivergedError, Watcher, best_of, reason_to_stop

KIND = "valenceflow-chgnet-training"
_TARGETS = {"e": ("energy", "eV/atom", 1.0), "f": ("forces", "eV/A", 1.0), "s": ("stress", "eV/A^3", GPa),
            "m": ("magmoms", "muB", 1.0)}  # fmt: skip
"""CHGNet's target -> name, unit, and what its error is multiplied by to be in that unit."""


def train_chgnet(
    training: Sequence[Frame],
    validation: Sequence[Frame],
    species_map: SpeciesMap,
    settings: ChgnetSettings,
    folder: Path,
    identity: dict[str, Any],
    start: TrainedChgnet | None = None,
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
    start : begin from this model's weights; charge states that are new to it begin as their element was.
    watcher : called as it goes on.

    Raises
    ------
    ValueError
        If CHGNet cannot make a graph of a frame (it is named), the folder holds another training, or a batch (its
        frames are named) does not fit the GPU.
    TrainingDivergedError
        If a loss or gradient is not finite; the frame is named.
    OSError
        If a checkpoint cannot be written.
    """
    watcher = watcher or Watcher()
    with torch.random.fork_rng(devices=[]), contextlib.redirect_stdout(io.StringIO()):  # its trainer prints
        torch.manual_seed(settings.training.seed)
        model = initial_model(settings, species_map, start)
        try:
            run = Run(model, settings, training, validation, watcher)
            references = set_references(run, species_map, from_scratch=start is None)
            species = tuple(np.unique(np.concatenate([frame.crystal.species for frame in training])).tolist())
            magmoms = "m" in run.targets or (start is not None and start.magmoms)
            keeper = Keeper(folder, identity, species_map, species, magmoms)
            keeper.load(run)
            watcher.on_history(run.history)
            reason = run.reason()
            while not reason:
                run.epoch()
                keeper.keep(run)
                watcher.on_epoch(run.history[-1])
                reason = run.reason()
        finally:
            StructureData.__getitem__.cache_clear()  # it holds every graph for as long as the process lives
    n_parameters = sum(weights.numel() for weights in model.parameters())
    versions = {"chgnet": version("chgnet"), "torch": version("torch")}
    return Outcome(run.history, reason, references, n_parameters, versions)


def initial_model(settings: ChgnetSettings, species_map: SpeciesMap, start: TrainedChgnet | None) -> CHGNet:
    # composition_model by name: an AtomRef object among the arguments could not be read back as weights only.
    model = CHGNet(**settings.model.model_dump(), composition_model="MPtrj")
    if start is not None:
        adopt_weights(model, start, species_map)
    model.graph_converter.set_isolated_atom_response("error")
    return model


def adopt_weights(model: Any, start: TrainedChgnet, species_map: SpeciesMap) -> None:
    """Take over a model's weights; a charge state that is new to it gets the row and the reference of its element.

    Raises
    ------
    ValueError
        If the architectures differ.
    """
    try:
        model.load_state_dict(start.model.state_dict())
    except RuntimeError as err:
        reason = " ".join(str(err).split())[:200]
        raise ValueError(f"the model to start from has another architecture: {reason}") from err
    with torch.no_grad():
        for number, parent in species_map.parents.items():
            if number not in start.species:
                rows, energies = model.atom_embedding.embedding.weight, model.composition_model.fc.weight
                rows[number - 1] = rows[parent - 1]
                energies[0, number - 1] = energies[0, parent - 1]


def set_references(run: Run, species_map: SpeciesMap, from_scratch: bool) -> dict[int, float]:
    """Reference energies by least squares in double precision, charge states tied (CHGNet's own fit cannot do that).

    A model that is trained already keeps its own, moved by what fits the frames best.
    """
    weights = cast(Any, run.model).composition_model.fc.weight
    species = [frame.crystal.species for frame in run.training]
    energies = np.array([frame.energy for frame in run.training])
    if not from_scratch:
        energies = energies - run.predicted_energies()
    fit = fit_reference_energies(species, energies, species_map)
    with torch.no_grad():
        for number, energy in fit.by_species.items():
            weights[0, number - 1] = energy + (0.0 if from_scratch else weights[0, number - 1])
    return {number: float(weights[0, number - 1]) for number in fit.by_species}


class _WatchedLoader:
    """A loader that remembers its last batch and tells how far it is."""

    def __init__(self, loader: Any, watcher: Watcher | None) -> None:
        self._loader, self._watcher = loader, watcher
        self.names: list[str] = []

    def __len__(self) -> int:
        return len(self._loader)

    def __iter__(self) -> Iterator[Any]:
        for index, (graphs, targets) in enumerate(self._loader):
            self.names = [graph.mp_id for graph in graphs]
            yield graphs, targets
            if self._watcher is not None:
                self._watcher.on_step(index + 1, len(self))


class _WatchedLoss(torch.nn.Module):
    """The trainer's criterion, its mean, and whose loss is not finite."""

    def __init__(self, criterion: Any) -> None:
        super().__init__()
        self.criterion = criterion
        self.loader: Any = None
        self._sum, self._count = 0.0, 0

    def forward(self, targets: dict[str, Any], prediction: dict[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = self.criterion(targets, prediction)
        loss = float(found["loss"].detach())
        if not np.isfinite(loss):
            raise TrainingDivergedError(
                f"the loss of {self._culprit(prediction)} is {loss}; look at the frame, or lower learning_rate"
            )
        count = len(prediction["e"])
        self._sum, self._count = self._sum + loss * count, self._count + count
        return found

    def take_mean(self) -> float:
        """Mean since the last call, frames weighing alike."""
        mean = self._sum / max(1, self._count)
        self._sum, self._count = 0.0, 0
        return mean

    def _culprit(self, prediction: dict[str, Any]) -> str:
        names = self.loader.names
        for index, name in enumerate(names):
            values = [prediction[key][index] for key in ("e", "f", "s", "m") if key in prediction]
            if not all(bool(torch.isfinite(value).all()) for value in values):
                return str(name)
        return f"the batch of {', '.join(names)}"


@dataclass
class Run:
    """A trainer with its loaders and what it has done."""

    model: CHGNet
    settings: ChgnetSettings
    training: Sequence[Frame]
    validation: Sequence[Frame]
    watcher: Watcher
    history: list[EpochDoc] = field(default_factory=list)

    def __post_init__(self) -> None:
        frames = [*self.training, *self.validation]
        self.targets = _targets_of(frames)
        self.data = [self._data(side, what) for side, what in ((self.training, "train"), (self.validation, "valid"))]
        size = self.settings.training.batch_size
        self._loaders = [
            _WatchedLoader(get_loader(data, batch_size=size, pin_memory=False), watcher)
            for data, watcher in zip(self.data, (self.watcher, None), strict=True)
        ]
        self.trainer = make_trainer(self.model, self.settings, self.targets)
        self.criterion = _WatchedLoss(self.trainer.criterion)
        self.trainer.criterion = cast(Any, self.criterion)

    def _data(self, frames: Sequence[Frame], what: str) -> StructureData:
        """CHGNet's data set with every graph made: its loader would hand out another frame where one fails."""
        with_stress, with_magmoms = "s" in self.targets, "m" in self.targets
        data = StructureData(
            [_structure(frame) for frame in frames],
            [frame.energy / len(frame.crystal) for frame in frames],
            cast(Any, [frame.forces for frame in frames]),
            stresses=cast(Any, [vasp_stress(frame.stress) for frame in frames]) if with_stress else None,
            magmoms=cast(Any, [frame.magmoms for frame in frames]) if with_magmoms else None,
            structure_ids=[frame.name for frame in frames],
            graph_converter=self.model.graph_converter,
            shuffle=False,
        )
        for index, frame in enumerate(frames):
            data[index]
            if data.failed_idx:
                raise ValueError(
                    f"{frame.name}: CHGNet cannot make a graph of it (an atom without neighbours within "
                    f"{self.settings.model.atom_graph_cutoff:g} A?); leave the frame out"
                )
            self.watcher.on_stage(f"graphs of {what}", index + 1, len(frames))
        return data

    def predicted_energies(self) -> np.ndarray:
        """Energies of the training frames by the model as it is, eV per cell."""
        graphs = [self.data[0][index][0] for index in range(len(self.training))]
        found: Any = self.model.predict_graph(graphs, task="e", batch_size=self.settings.training.batch_size)
        rows = [found] if isinstance(found, dict) else found  # of one graph it gives no list
        return np.array([float(row["e"]) * len(frame.crystal) for row, frame in zip(rows, self.training, strict=True)])

    def reason(self) -> str:
        """Why it is over; empty while it is not."""
        return reason_to_stop(self.history, self.settings.training.epochs, self.settings.training.stop_patience)

    def epoch(self) -> None:
        """Let the trainer do one epoch."""
        began, number = monotonic(), len(self.history)
        torch.manual_seed(int(np.random.default_rng([self.settings.training.seed, number]).integers(2**62)))
        self.trainer.starting_epoch, self.trainer.epochs = number, number + 1
        train, valid = cast(Any, self._loaders)
        losses = []

        def validation_begins() -> Iterator[Any]:
            losses.append(self.criterion.take_mean())
            self._refuse_broken_weights(number + 1)
            self.criterion.loader = valid
            yield from valid

        self.criterion.loader = train
        try:
            self.trainer.train(
                train, cast(Any, _Begun(validation_begins, len(valid))), save_dir=""
            )  # "": it writes nothing
        except TrainingDivergedError as err:
            raise TrainingDivergedError(f"epoch {number + 1}: {err}") from err
        except torch.OutOfMemoryError as err:
            names = ", ".join(self.criterion.loader.names)
            raise ValueError(
                f"epoch {number + 1}: GPU out of memory on the batch of {names}; lower --batch-size"
            ) from err
        self.history.append(
            EpochDoc(
                epoch=number + 1,
                learning_rate=float(self.trainer.optimizer.param_groups[0]["lr"]),
                training_loss=losses[0],
                validation_loss=self.criterion.take_mean(),
                errors=self._errors(),
                seconds=monotonic() - began,
            )
        )

    def _refuse_broken_weights(self, number: int) -> None:
        """A gradient that is not finite spoils the weights without a trace in the loss of the last batch."""
        if not all(bool(torch.isfinite(weights).all()) for weights in self.model.parameters()):
            raise TrainingDivergedError(
                f"the gradient of the batch of {', '.join(self._loaders[0].names)} is not finite; look at its frames, "
                "or lower learning_rate"
            )

    def _errors(self) -> dict[str, TargetScore]:
        found = {}
        for key in self.targets:
            name, unit, factor = _TARGETS[key]
            found[name] = TargetScore(mae=self.trainer.training_history[key]["val"][-1] * factor, unit=unit)
        return found


class _Begun:
    """A loader by a function that makes its iterator: called when validation begins."""

    def __init__(self, make: Any, length: int) -> None:
        self._make, self._length = make, length

    def __iter__(self) -> Iterator[Any]:
        return iter(self._make())

    def __len__(self) -> int:
        return self._length


def _targets_of(frames: Sequence[Frame]) -> str:
    """CHGNet's targets: stress where every frame has one (a batch without any would have no finite loss), moments
    where any frame has them.
    """
    stress = all(np.isfinite(frame.stress).all() for frame in frames)
    magmoms = any(np.isfinite(frame.magmoms).all() for frame in frames)
    return "ef" + ("s" if stress else "") + ("m" if magmoms else "")


def _structure(frame: Frame) -> Structure:
    crystal = frame.crystal
    return Structure(crystal.cell, crystal.species.tolist(), crystal.positions, coords_are_cartesian=True)


def make_trainer(model: CHGNet, settings: ChgnetSettings, targets: str) -> Trainer:
    training = settings.training
    return Trainer(
        model=model,
        targets=cast(Any, targets),
        energy_loss_ratio=training.energy_weight,
        force_loss_ratio=training.forces_weight,
        stress_loss_ratio=training.stress_weight,
        mag_loss_ratio=training.magmoms_weight,
        optimizer=training.optimizer,
        scheduler=training.scheduler,
        criterion=training.criterion,
        epochs=training.epochs,
        learning_rate=training.learning_rate,
        use_device=training.device,
        print_freq=1_000_000,
    )


@dataclass
class Keeper:
    """Writes where a training stands, and its best model, after every epoch."""

    folder: Path
    identity: dict[str, Any]
    species_map: SpeciesMap
    species: tuple[int, ...]
    magmoms: bool

    def load(self, run: Run) -> None:
        """Go on from what the folder holds."""
        if not (self.folder / STATE_FILE).exists():
            return
        about, groups = read_state(self.folder / STATE_FILE, KIND, self.identity)
        run.model.load_state_dict(groups["model"])
        restore_optimizer(run.trainer.optimizer, groups["optimizer"], about["learning_rates"])
        run.trainer.scheduler.load_state_dict(about["scheduler"])
        run.trainer.training_history = about["training_history"]
        run.history = [EpochDoc.model_validate(epoch) for epoch in about["history"]]

    def keep(self, run: Run) -> None:
        """Write both files."""
        optimizer = run.trainer.optimizer
        if best_of(run.history) == len(run.history):
            trained = TrainedChgnet(run.model, self.species_map, self.species, self.magmoms)
            save_chgnet(self.folder / WEIGHTS_FILE, trained)
        about = {
            "learning_rates": [group["lr"] for group in optimizer.param_groups],
            "scheduler": run.trainer.scheduler.state_dict(),
            "training_history": run.trainer.training_history,
            "history": [epoch.model_dump() for epoch in run.history],
        }
        groups = {"model": run.model.state_dict(), "optimizer": optimizer_tensors(optimizer)}
        write_state(self.folder / STATE_FILE, KIND, self.identity, about, groups)
