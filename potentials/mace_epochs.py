"""A MACE training epoch by epoch, by the functions that `mace_run_train` calls itself.

The loss is watched on the way, so that a frame at which it is no number is named.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from itertools import pairwise
from time import monotonic
from typing import Any, cast

import torch

from ..stores.model_documents import EpochDoc, TargetScore
from .mace import load_mace
from .mace_flags import mace_flags
from .mace_job import Job, Voice
from .mace_start import adopt_weights, set_references
from .reference_energies import fit_reference_energies
from .watching import TrainingDivergedError, reason_to_stop

# `mace` above has imported mace before e3nn, and silenced what torch says about it.
from mace import data as mace_data  # isort: skip
from mace import modules, tools
from mace.tools import torch_geometric
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

_HEADS = ["Default"]
_ERRORS = {
    "energy": ("mae_e_per_atom", "rmse_e_per_atom", "eV/atom"),
    "forces": ("mae_f", "rmse_f", "eV/A"),
    "stress": ("mae_stress", "rmse_stress", "eV/A^3"),
}


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
        except torch.OutOfMemoryError as err:
            place = f"batch {steps.done + 1} of {steps.of}" if steps.done < steps.of else "validation"
            raise ValueError(
                f"epoch {number}, {place}: GPU out of memory on {self.args.batch_size} frames; lower --batch-size"
            ) from err
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
