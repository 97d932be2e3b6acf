"""CPU time of an epoch: our trainings against upstream's trainers called directly, and charge states against none.

Upstream runs undisturbed; whenever it begins an epoch, it is asked for its loader or tells its logger, and there one
epoch of ours is done and timed. Ours includes what the command does beside: checkpoint, best model, finite checks.
"""

from __future__ import annotations

import contextlib
import io
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import process_time

import torch
from valenceflow.potentials.cpainn.frames import Frame
from valenceflow.potentials.presets import settings_of
from valenceflow.potentials.species import SpeciesMap
from valenceflow.potentials.watching import Watcher


class Turns:
    """Times upstream's epochs and, between them, ours."""

    def __init__(self, ours: Callable[[], None]) -> None:
        self._ours, self._began = ours, None
        self.times = {"upstream": [], "ours": []}

    def change(self) -> None:
        """Upstream is between two epochs."""
        now = process_time()
        if self._began is not None:
            self.times["upstream"].append(now - self._began)
        self._ours()
        self._began = process_time()
        self.times["ours"].append(self._began - now)

    def medians(self) -> dict[str, float]:
        """Median seconds of each; the first epoch of both is for warming up."""
        return {name: statistics.median(values[1:]) for name, values in self.times.items()}


def chgnet_run(frames: list[Frame], species_map: SpeciesMap, folder: Path, epochs: int):
    """One epoch of ours, as a function, and what upstream needs for the same."""
    from valenceflow.potentials.chgnet_training import Keeper, Run, initial_model, set_references

    settings = settings_of("chgnet", "tiny", {"training": {"epochs": epochs, "stop_patience": 10_000}})
    torch.manual_seed(0)
    model = initial_model(settings, species_map, None)
    run = Run(model, settings, frames, frames[:2], Watcher())
    set_references(run, species_map, from_scratch=True)
    keeper = Keeper(folder, {}, species_map, (8, 11, 15, 26, 84), "m" in run.targets)

    def epoch() -> None:
        run.epoch()
        keeper.keep(run)

    return epoch, run


def chgnet_against_upstream(frames: list[Frame], species_map: SpeciesMap, epochs: int) -> dict[str, float]:
    """CHGNet's trainer with its own loaders and checkpoints."""
    from chgnet.data.dataset import get_loader
    from valenceflow.potentials.chgnet_training import initial_model, make_trainer

    with tempfile.TemporaryDirectory() as place:
        ours, run = chgnet_run(frames, species_map, Path(place), epochs + 2)
        turns = Turns(ours)
        torch.manual_seed(0)
        trainer = make_trainer(initial_model(run.settings, species_map, None), run.settings, run.targets)
        size = run.settings.training.batch_size
        loaders = [get_loader(data, batch_size=size, pin_memory=False) for data in run.data]

        class Asked:
            def __len__(self) -> int:
                return len(loaders[0])

            def __iter__(self):
                turns.change()
                return iter(loaders[0])

        trainer.epochs = epochs + 2
        trainer.train(Asked(), loaders[1], save_dir=str(Path(place) / "upstream"))
    return turns.medians()


def mace_run(frames: list[Frame], species_map: SpeciesMap, folder: Path, epochs: int):
    """One epoch of ours, as a function, and the run."""
    from valenceflow.potentials.mace_epochs import Run
    from valenceflow.potentials.mace_job import Job
    from valenceflow.potentials.mace_process import write_job
    from valenceflow.potentials.mace_training import Keeper

    class Silent:
        def say(self, event: str, **content: object) -> None:
            """As much work as the real one's, into nothing."""
            io.StringIO().write(f"{event} {content}")

    settings = settings_of("mace", "tiny", {"training": {"epochs": epochs, "stop_patience": 10_000}})
    job = Job.read(write_job(folder, frames, frames[:2], species_map, settings, folder, {}))
    run, keeper = Run(job, Silent()), Keeper(job)

    def epoch() -> None:
        run.epoch()
        keeper.keep(run)

    return epoch, run


def mace_against_upstream(frames: list[Frame], species_map: SpeciesMap, epochs: int) -> dict[str, float]:
    """`mace.tools.train`, the loop of `mace_run_train`, with its own logger and checkpoints."""
    from mace import tools

    with tempfile.TemporaryDirectory() as place, tempfile.TemporaryDirectory() as other:
        ours, _ = mace_run(frames, species_map, Path(place), epochs + 2)
        turns = Turns(ours)
        _, theirs = mace_run(frames, species_map, Path(other), epochs + 2)
        logger = tools.MetricsLogger(directory=other, tag="upstream")
        genuine = logger.log

        def log(metrics: dict) -> None:
            genuine(metrics)
            if metrics["mode"] == "eval":
                turns.change()

        logger.log = log
        tools.train(
            model=theirs.model, loss_fn=theirs.loss.inner, train_loader=theirs.train_loader,
            valid_loaders={"Default": theirs.valid_loader}, optimizer=theirs.optimizer,
            lr_scheduler=theirs.scheduler, start_epoch=0, max_num_epochs=epochs + 1, patience=10_000,
            checkpoint_handler=tools.CheckpointHandler(directory=other, tag="upstream"), logger=logger,
            eval_interval=1, output_args=theirs.output_args, device=theirs.device, log_errors="PerAtomMAE",
            ema=theirs.ema, max_grad_norm=theirs.args.clip_grad,
        )  # fmt: skip
    return turns.medians()


def states_against_none(make: Callable, images: dict[str, tuple[list[Frame], SpeciesMap]], epochs: int):
    """Epochs of the same training with and without charge states, in turns."""
    times: dict[str, list[float]] = {name: [] for name in images}
    with contextlib.ExitStack() as stack:
        runs = {}
        for name, (frames, species_map) in images.items():
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            runs[name], _ = make(frames, species_map, folder, epochs + 1)
        for number in range(epochs + 1):
            for name, epoch in runs.items():
                began = process_time()
                epoch()
                if number:  # the first is for warming up
                    times[name].append(process_time() - began)
    return {name: statistics.median(values) for name, values in times.items()}


def measure(
    frames: dict[str, tuple[list[Frame], SpeciesMap]], epochs: int = 5
) -> dict[str, dict[str, dict[str, float]]]:
    """Median CPU seconds of an epoch.

    Parameters
    ----------
    frames : "with" and "without" charge states: the same frames encoded, and their map.
    epochs : that are timed.
    """
    with contextlib.redirect_stdout(io.StringIO()):
        found = {
            "chgnet": {
                "against upstream": chgnet_against_upstream(*frames["with"], epochs),
                "charge states": states_against_none(chgnet_run, frames, epochs),
            },
            "mace": {
                "against upstream": mace_against_upstream(*frames["with"], epochs),
                "charge states": states_against_none(mace_run, frames, epochs),
            },
        }
    torch.set_default_dtype(torch.float32)  # mace leaves its own
    return found
