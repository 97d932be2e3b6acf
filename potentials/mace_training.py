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
import sys
import warnings
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ..stores.model_documents import EpochDoc
from .mace import TrainedMace, save_mace
from .mace_epochs import Run
from .mace_job import Job, Voice
from .model_folder import WEIGHTS_FILE
from .training_state import STATE_FILE, optimizer_tensors, read_state, restore_optimizer, write_state
from .watching import TrainingDivergedError, best_of

KIND = "valenceflow-mace-training"


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
    except (ValueError, OSError) as err:
        sys.stderr.write(" ".join(str(err).split()) + "\n")
        return 3 if isinstance(err, TrainingDivergedError) else 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
