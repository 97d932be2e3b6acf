"""Training a MACE in a process of its own, `python -m valenceflow.potentials.mace_training JOB` (see `mace_process`).

What `mace_run_train` does with the flags that `mace_flags` gives, by the functions that it calls itself, with the same
weights at the end; but between epochs everything that changes is kept, so that on one CPU thread a training that was
killed ends like one that was not. (`mace_run_train --restart_latest` begins the order of frames, the average of weights
and the patience anew, and without several processes its patience stops nothing.)

Lines of JSON on standard output say how far it is. When nobody reads them any more, it ends.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
import warnings
from dataclasses import dataclass, field
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from time import monotonic
from typing import Any, cast

import torch

from ..stores.model_documents import EpochDoc, TargetScore
from .mace import TrainedMace, load_mace, save_mace
from .mace_flags import mace_flags
from .model_folder import WEIGHTS_FILE
from .presets import MaceSettings
from .reference_energies import fit_reference_energies
from .species import SpeciesMap
from .training_state import STATE_FILE, optimizer_tensors, read_state, restore_optimizer, write_state
from .watching import TrainingDivergedError, best_of, reason_to_stop

# `mace` above has imported mace before e3nn, and silenced what torch says about it.
from mace import data as mace_data  # isort: skip
from mace import modules, tools
from mace.tools import torch_geometric
from mace.tools.finetuning_utils import load_foundations_elements
from mace.tools.model_script_utils import configure_model
from mace.tools.scripts_utils import (
    LRScheduler,
    dict_to_array,
    get_dataset_from_xyz,
    get_loss_fn,
    get_optimizer,
    get_params_options,
)
from mace.tools.train import evaluate, train_one_epoch
from torch_ema import ExponentialMovingAverage

KIND = "valenceflow-mace-training"
_HEADS = ["Default"]
_ERRORS = {
    "energy": ("mae_e_per_atom", "rmse_e_per_atom", "eV/atom"),
    "forces": ("mae_f", "rmse_f", "eV/A"),
    "stress": ("mae_stress", "rmse_stress", "eV/A^3"),
}


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


class _WatchedLoss(torch.nn.Module):
    """The loss, and whose is not finite."""

    def __init__(self, loss_fn: torch.nn.Module) -> None:
        super().__init__()
        self.inner = loss_fn
        self.names: dict[bytes, str] = {}
        self.batch: list[str] = []

    def forward(self, ref: Any, pred: dict[str, Any], ddp: Any = None) -> torch.Tensor:
        ends = ref.ptr.tolist()
        keys = [_key(ref.positions[start:end]) for start, end in pairwise(ends)]
        self.batch = [self.names[key] for key in keys]
        loss: torch.Tensor = self.inner(pred=pred, ref=ref)
        if not torch.isfinite(loss):
            culprit = f"the batch of {', '.join(self.batch)}"
            for name, start, end, energy in zip(self.batch, ends[:-1], ends[1:], pred["energy"], strict=True):
                if not (torch.isfinite(energy) and torch.isfinite(pred["forces"][start:end]).all()):
                    culprit = name
                    break
            raise TrainingDivergedError(
                f"the loss of {culprit} is {float(loss)}; look at the frame, or lower learning_rate"
            )
        return loss


def _key(positions: torch.Tensor) -> bytes:
    return positions.detach().cpu().numpy().tobytes()


@dataclass
class _Steps:
    """Takes what `train_one_epoch` logs: progress, mean loss, weights that broke."""

    voice: Voice
    model: torch.nn.Module
    loss: _WatchedLoss
    of: int
    done: int = 0
    total: float = 0.0

    def log(self, metrics: dict[str, Any]) -> None:
        """Called after every step of the optimiser."""
        self.done += 1
        self.total += float(metrics["loss"])
        if not all(bool(torch.isfinite(weights).all()) for weights in self.model.parameters()):
            raise TrainingDivergedError(
                f"the gradient of the batch of {', '.join(self.loss.batch)} is not finite; look at its frames, or "
                "lower learning_rate"
            )
        self.voice.say("step", done=self.done, of=self.of)


@dataclass
class Run:
    """Everything that `mace_run_train` makes before its first epoch, and what has been done since."""

    job: Job
    voice: Voice
    history: list[EpochDoc] = field(default_factory=list)

    def __post_init__(self) -> None:
        job = self.job
        self.args, _ = tools.check_args(
            tools.build_default_arg_parser().parse_args(
                mace_flags(job.settings, job.training, job.validation, job.references)
            )
        )
        args = self.args
        tools.set_seeds(args.seed)
        tools.set_default_dtype(args.default_dtype)
        self.device = tools.init_device(args.device)
        self._load()
        self.loss = _WatchedLoss(get_loss_fn(args, False, False))
        self._name_frames()
        self._build()
        self.optimizer = get_optimizer(args, get_params_options(args, self.model))
        self.scheduler = LRScheduler(self.optimizer, args)
        self.ema = ExponentialMovingAverage(self.model.parameters(), decay=args.ema_decay) if args.ema else None

    def _load(self) -> None:
        job, args = self.job, self.args
        keys = mace_data.KeySpecification()
        mace_data.update_keyspec_from_kwargs(keys, vars(args))
        found, _ = get_dataset_from_xyz(
            work_dir=args.work_dir,
            train_path=str(job.training),
            valid_path=str(job.validation),
            valid_fraction=args.valid_fraction,
            key_specification=keys,
            seed=args.seed,
        )
        self.z_table = tools.AtomicNumberTable(sorted(job.references))
        sides = []
        for side in (found.train, found.valid):
            sides.append(
                [
                    mace_data.AtomicData.from_config(config, z_table=self.z_table, cutoff=args.r_max, heads=_HEADS)
                    for config in side
                ]
            )
        self.train_set, valid_set = sides
        self._all = [*self.train_set, *valid_set]

        def loader(frames: Any, size: int, training: bool) -> Any:
            return torch_geometric.dataloader.DataLoader(
                dataset=frames,
                batch_size=size,
                shuffle=training,
                drop_last=training,
                num_workers=0,
                generator=torch.Generator().manual_seed(args.seed),
            )

        self.train_loader = loader(self.train_set, args.batch_size, True)
        self.valid_loader = loader(valid_set, args.valid_batch_size, False)

    def _name_frames(self) -> None:
        names = [name for side in self.job.names for name in side]
        self.loss.names = {_key(frame.positions): name for frame, name in zip(self._all, names, strict=True)}

    def _build(self) -> None:
        job, args = self.job, self.args
        args.compute_energy, args.compute_dipole, args.compute_polarizability = True, False, False
        args.avg_num_neighbors = modules.compute_avg_num_neighbors(self.train_loader)
        energies = dict_to_array({"Default": job.references}, _HEADS)
        self.model, self.output_args = configure_model(
            args, self.train_loader, energies, None, _HEADS, self.z_table, None
        )
        self.model.to(self.device)
        self.references = job.references
        if job.start is not None:
            self.references = adopt_weights(self.model, load_mace(job.start), job.species_map)
            self.references = self._moved(self.references)
            set_references(self.model, self.references)

    def _moved(self, references: dict[int, float]) -> dict[int, float]:
        """Reference energies moved by what fits the training frames best, charge states tied."""
        set_references(self.model, references)
        species, rest = [], []
        for frame in self.train_set:
            batch = torch_geometric.Batch.from_data_list([frame]).to(self.device)
            found = self.model(batch.to_dict(), compute_force=False)["energy"]
            species.append([self.z_table.zs[index] for index in frame.node_attrs.argmax(dim=1).tolist()])
            rest.append(float(frame.energy) - float(found))
        moves = fit_reference_energies(species, rest, self.job.species_map).by_species
        return {number: energy + moves[number] for number, energy in references.items()}

    @property
    def generator(self) -> torch.Generator:
        """Of the order of frames."""
        found: torch.Generator = self.train_loader.generator
        return found

    def reason(self) -> str:
        """Why it is over; empty while it is not."""
        training = self.job.settings.training
        return reason_to_stop(self.history, training.epochs, training.stop_patience)

    def epoch(self) -> None:
        """One epoch, as `mace.tools.train` does it."""
        began, number = monotonic(), len(self.history) + 1
        if self.history:
            self.scheduler.step(metrics=self.history[-1].validation_loss)
        steps = _Steps(self.voice, self.model, self.loss, len(self.train_loader))
        try:
            train_one_epoch(
                model=self.model,
                loss_fn=self.loss,
                data_loader=self.train_loader,
                optimizer=self.optimizer,
                epoch=number - 1,
                output_args=self.output_args,
                max_grad_norm=self.args.clip_grad,
                ema=self.ema,
                logger=cast(Any, steps),
                device=self.device,
                distributed=False,
            )
            with self.averaged():
                loss, metrics = evaluate(
                    model=self.model,
                    loss_fn=self.loss,
                    data_loader=self.valid_loader,
                    output_args=self.output_args,
                    device=self.device,
                )
        except TrainingDivergedError as err:
            raise TrainingDivergedError(f"epoch {number}: {err}") from err
        self.history.append(
            EpochDoc(
                epoch=number,
                learning_rate=float(self.optimizer.param_groups[0]["lr"]),
                training_loss=steps.total / max(1, steps.done),
                validation_loss=float(loss),
                errors=_errors(metrics),
                seconds=monotonic() - began,
            )
        )

    def averaged(self) -> Any:
        """The model with its averaged weights, where it has any."""
        return contextlib.nullcontext() if self.ema is None else self.ema.average_parameters()


def _errors(metrics: dict[str, Any]) -> dict[str, TargetScore]:
    return {
        name: TargetScore(mae=float(metrics[mae]), rmse=float(metrics[rmse]), unit=unit)
        for name, (mae, rmse, unit) in _ERRORS.items()
        if mae in metrics
    }


def set_references(model: Any, references: dict[int, float]) -> None:
    """Write reference energies (model number -> eV) into a model."""
    energies = model.atomic_energies_fn.atomic_energies
    row = [references[int(number)] for number in model.atomic_numbers]
    energies.copy_(torch.tensor(row, dtype=energies.dtype).view_as(energies))


def adopt_weights(model: Any, start: TrainedMace, species_map: SpeciesMap) -> dict[int, float]:
    """Take over a model's weights; a charge state that is new to it begins as its element was.

    Returns
    -------
    Model number -> its reference energy, eV.

    Raises
    ------
    ValueError
        If the architectures differ, or an element is new.
    """
    parent: Any = start.model
    known = [int(number) for number in parent.atomic_numbers]
    wanted = [int(number) for number in model.atomic_numbers]
    sources = [number if number in known else species_map.parents.get(number, number) for number in wanted]
    strange = [number for number in sources if number not in known]
    if strange:
        raise ValueError(f"the model to start from does not know atomic number {strange[0]}; train from scratch")
    try:
        # mace's own way to take elements over; a new state's rows are copies of its element's.
        load_foundations_elements(
            model,
            parent.to(next(model.parameters()).dtype),
            tools.AtomicNumberTable(sources),
            load_readout=True,
            max_L=int(model.products[0].linear.irreps_out.lmax),
        )
    except (AssertionError, RuntimeError) as err:
        reason = " ".join(str(err).split())[:200]
        raise ValueError(f"the model to start from has another architecture: {reason}") from err
    energies = dict(zip(known, parent.atomic_energies_fn.atomic_energies.flatten().tolist(), strict=True))
    return {number: energies[source] for number, source in zip(wanted, sources, strict=True)}


@dataclass
class Keeper:
    """Writes where a training stands, and its best model, after every epoch."""

    job: Job

    def load(self, run: Run) -> None:
        """Go on from what the folder holds."""
        path = self.job.folder / STATE_FILE
        if not path.exists():
            return
        about, groups = read_state(path, KIND, self.job.identity)
        run.model.load_state_dict(groups["model"])
        restore_optimizer(run.optimizer, groups["optimizer"], about["learning_rates"])
        run.scheduler.lr_scheduler.load_state_dict(about["scheduler"])
        if run.ema is not None:
            shadow = [groups["ema"][str(index)] for index in range(len(groups["ema"]))]
            state = {**run.ema.state_dict(), "num_updates": about["ema_updates"], "shadow_params": shadow}
            run.ema.load_state_dict(state)
        run.generator.set_state(groups["order"]["state"])
        run.history = [EpochDoc.model_validate(epoch) for epoch in about["history"]]

    def keep(self, run: Run) -> None:
        """Write both files."""
        if best_of(run.history) == len(run.history):
            with run.averaged():
                trained = TrainedMace(run.model, self.job.species_map, self.job.species)
                save_mace(self.job.folder / WEIGHTS_FILE, trained)
        ema = {} if run.ema is None else run.ema.state_dict()
        about = {
            "learning_rates": [group["lr"] for group in run.optimizer.param_groups],
            "scheduler": _plain(run.scheduler.lr_scheduler.state_dict()),
            "ema_updates": ema.get("num_updates"),
            "history": [epoch.model_dump() for epoch in run.history],
        }
        groups = {
            "model": run.model.state_dict(),
            "optimizer": optimizer_tensors(run.optimizer),
            "ema": {str(index): tensor for index, tensor in enumerate(ema.get("shadow_params", ()))},
            "order": {"state": run.generator.get_state()},
        }
        write_state(self.job.folder / STATE_FILE, KIND, self.job.identity, about, groups)


def _plain(state: dict[str, Any]) -> dict[str, Any]:
    """A scheduler's state as JSON can say it; what it compares with is made anew by its constructor."""
    return {
        name: float(value) if hasattr(value, "item") else value
        for name, value in state.items()
        if name not in ("mode_worse", "best") or value not in (float("inf"), float("-inf"))
    }


def train_mace(job: Job, voice: Voice) -> None:
    """Train; the best model lies in the job's folder at the end. Errors as `chgnet_training.train_chgnet`."""
    run = Run(job, voice)
    keeper = Keeper(job)
    keeper.load(run)
    voice.say("history", epochs=[epoch.model_dump() for epoch in run.history])
    reason = run.reason()
    while not reason:
        run.epoch()
        keeper.keep(run)
        voice.say("epoch", **run.history[-1].model_dump())
        reason = run.reason()
    n_parameters = sum(weights.numel() for weights in run.model.parameters())
    versions = {package: version(package) for package in ("mace-torch", "torch", "e3nn")}
    references = {str(number): energy for number, energy in run.references.items()}
    voice.say("done", reason=reason, n_parameters=n_parameters, versions=versions, references=references)


def main() -> int:
    """Train what the job's file says."""
    voice = Voice()
    warnings.simplefilter("ignore")  # upstream's own, about TorchScript and coming versions
    try:
        job = Job.read(Path(sys.argv[1]))
        with contextlib.redirect_stdout(io.StringIO()):
            train_mace(job, voice)
    except BrokenPipeError:  # who started it is gone; what it had done is kept
        return 1
    except torch.OutOfMemoryError as err:
        sys.stderr.write(f"GPU out of memory: {' '.join(str(err).split())[:200]}; lower --batch-size\n")
        return 2
    except (ValueError, OSError) as err:
        sys.stderr.write(" ".join(str(err).split()) + "\n")
        return 3 if isinstance(err, TrainingDivergedError) else 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
