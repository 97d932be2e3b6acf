"""`valenceflow train` makes a potential of a data set; `valenceflow models` says which ones there are."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .completion import complete_data_set, complete_model, complete_model_kind, complete_preset
from .places import JsonOption
from .wording import counted, rehearsal_note

if TYPE_CHECKING:
    from ..potentials.train import TrainingRequest
    from ..potentials.watching import Watcher
    from ..stores.model_documents import EpochDoc, ModelDoc, TargetScore

_ORDER = ("energy", "forces", "stress", "magmoms", "charges")
_FROM = "Begin from this model: a folder of ours, or for CHGNet 0.3.0, r2scan or a file of its trainer."
_CONFIG = "YAML with fields under model: and training: that replace the preset's."


def train(
    kind: Annotated[
        str, typer.Argument(metavar="MODEL", help="chgnet, mace or cpainn.", autocompletion=complete_model_kind)
    ],
    dataset: Annotated[
        Path | None,
        typer.Option(help="Folder that `export` made.", autocompletion=complete_data_set, show_default=False),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the model; the same command goes on in it.", show_default=False)
    ] = None,
    charge_states: Annotated[
        bool, typer.Option("--charge-states/--no-charge-states", help="Give charge states species of their own.")
    ] = True,
    preset: Annotated[
        str | None,
        typer.Option(
            help="Architecture and training that go together.",
            show_default="the paper's",
            autocompletion=complete_preset,
        ),
    ] = None,
    parent: Annotated[
        str | None, typer.Option("--from", help=_FROM, autocompletion=complete_model, show_default="random weights")
    ] = None,
    species_map: Annotated[str | None, typer.Option(help="Map of charge states.", show_default="the set's own")] = None,
    config: Annotated[Path | None, typer.Option(help=_CONFIG, show_default=False)] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="At most so many.", show_default="the preset's")] = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Frames per step.", show_default="the preset's")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="At the start.", show_default="the preset's")] = None,
    patience: Annotated[
        int | None, typer.Option(min=1, help="Epochs without improvement, then stop.", show_default="the preset's")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of weights and order of frames.")] = 0,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    store: Annotated[
        Path | None, typer.Option(help="Store that registers the model.", show_default="models.sqlite beside OUT")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Train a potential on a data set, with charge states or without."""
    from ..potentials.presets import PRESETS, settings_of  # noqa: PLC0415 - start-up
    from ..potentials.registry import open_registry, register  # noqa: PLC0415
    from ..potentials.train import TrainingRequest, kind_of, train_model  # noqa: PLC0415 - torch

    model_kind = kind_of(kind)
    if dataset is None or out is None:
        raise ValueError("say on what and where to: --dataset FOLDER --out FOLDER")
    changes = _changes(
        config,
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        stop_patience=patience,
        seed=seed,
        device=device,
    )
    request = TrainingRequest(
        kind=model_kind,
        data_set=dataset,
        out=out,
        settings=settings_of(model_kind, preset, changes),
        preset=preset or next(iter(PRESETS[model_kind])),
        charge_states=charge_states,
        species_map=species_map,
        parent=parent,
    )
    with _Lines(shown=not as_json) as lines:
        doc = train_model(request, lines.watcher())
    stores = open_registry(out, store)
    try:
        register(stores, out)
    finally:
        stores.close()
    if as_json:
        typer.echo(doc.model_dump_json(indent=1))
        return
    for line in [*summary(doc, out), *_passed_over(doc, request)]:
        typer.echo(line)


def _passed_over(doc: ModelDoc, request: TrainingRequest) -> list[str]:
    """What a finished training took no notice of."""
    asked = request.settings.training.epochs
    if doc.n_epochs <= asked:
        return []
    return [f"note: it had {counted(doc.n_epochs, 'epoch')} already; a model of {asked} needs a folder of its own"]


def _changes(config: Path | None, **training: Any) -> dict[str, Any]:
    """What replaces fields of the preset: the file's, then the options'."""
    from ..inputs.yaml_files import parse_yaml  # noqa: PLC0415 - pydantic

    changes: dict[str, Any] = {}
    if config is not None:
        try:
            changes = dict(parse_yaml(config.read_text(encoding="utf-8"), str(config)))
        except (OSError, UnicodeDecodeError) as err:
            raise ValueError(f"{config}: not readable: {err}") from err
    given = {name: value for name, value in training.items() if value is not None}
    own = changes.get("training") or {}
    for name, default in (("seed", 0), ("device", "cpu")):
        if given.get(name) == default and name in own:
            del given[name]  # the file says it, the option was left alone
    return {**changes, "training": {**own, **given}}


class _Lines:
    """A bar of batches on standard error, where that is a terminal, and a line per epoch above it."""

    def __init__(self, shown: bool) -> None:
        from rich.console import Console  # noqa: PLC0415 - start-up
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn  # noqa: PLC0415

        self._shown, self._console = shown, Console(stderr=True)
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        hidden = not (shown and self._console.is_terminal)
        self._progress = Progress(*columns, console=self._console, transient=True, disable=hidden)
        self._task = self._progress.add_task("", total=None)
        self._epoch = 1

    def __enter__(self) -> _Lines:
        self._progress.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._progress.stop()

    def watcher(self) -> Watcher:
        """What a training calls."""
        from ..potentials.watching import Watcher  # noqa: PLC0415

        return Watcher(self._stage, self._baseline, self._history, self._step, self._done)

    def _stage(self, what: str, done: int, of: int) -> None:
        self._progress.update(self._task, description=what, completed=done, total=of or None)

    def _baseline(self, errors: Mapping[str, TargetScore]) -> None:
        self._say(f"a constant in the model's place: {errors_text(errors)}")

    def _history(self, epochs: Sequence[EpochDoc]) -> None:
        self._epoch = len(epochs) + 1
        if epochs:
            self._say(f"going on after {counted(len(epochs), 'epoch')}")

    def _step(self, done: int, of: int) -> None:
        self._progress.update(self._task, description=f"epoch {self._epoch}", completed=done, total=of)

    def _done(self, epoch: EpochDoc) -> None:
        self._epoch = epoch.epoch + 1
        loss, errors = f"loss {epoch.validation_loss:.4g}", errors_text(epoch.errors)
        self._say(f"epoch {epoch.epoch:4d}  {loss}  {errors}  {epoch.seconds:.0f} s")

    def _say(self, line: str) -> None:
        if self._shown:
            self._progress.console.print(line, highlight=False, soft_wrap=True)


def errors_text(errors: Mapping[str, TargetScore]) -> str:
    """Mean absolute errors, in units that people read."""
    from ..potentials.learning_curve import in_milli  # noqa: PLC0415 - numpy

    parts = []
    for target, score in sorted(errors.items(), key=lambda item: _ORDER.index(item[0])):
        value, unit = in_milli(score.mae, score.unit)
        parts.append(f"{target} {value:.3g} {unit}")
    return ", ".join(parts)


def not_learned(doc: ModelDoc) -> str:
    """Targets in which the model is no better than a constant."""
    from ..potentials.baseline import no_better_than_a_constant  # noqa: PLC0415 - numpy

    return ", ".join(no_better_than_a_constant(doc.errors, doc.baseline))


def summary(doc: ModelDoc, folder: Path) -> list[str]:
    """What was trained, one line each."""
    note = rehearsal_note(doc.data_set.engine)
    return [
        *([f"{note}: {doc.data_set.engine}"] if note else []),
        f"{folder}: {doc.name}, {doc.n_parameters:,} parameters, on {doc.data_set.n_train} frames",
        f"best of {counted(doc.n_epochs, 'epoch')}: {doc.best_epoch} ({doc.stopped})",
        f"MAE on {doc.data_set.n_valid} validation frames: {errors_text(doc.errors)}",
        *([f"of a constant in its place: {errors_text(doc.baseline)}"] if doc.baseline else []),
        *([f"no better than a constant, so not learned: {missed}"] if (missed := not_learned(doc)) else []),
        f"model card: {folder / 'README.md'}",
    ]


def models(
    folder: Annotated[Path, typer.Argument(help="Folder whose models.sqlite to read.")] = Path(),
    store: Annotated[Path | None, typer.Option(help="Another store that registers models.", show_default=False)] = None,
    as_json: JsonOption = False,
) -> None:
    """List the models that a registry knows."""
    from ..potentials.model_folder import MODEL_FILE  # noqa: PLC0415 - start-up
    from ..potentials.registry import REGISTRY_FILE, open_registry, registered  # noqa: PLC0415

    place = store or folder / REGISTRY_FILE
    if not place.exists():
        raise ValueError(f"{place}: no such registry; `valenceflow train` makes it, or name one by --store")
    stores = open_registry(folder, place)
    try:
        entries = registered(stores)
    finally:
        stores.close()
    if as_json:
        typer.echo(json.dumps([entry.model_dump(mode="json") for entry in entries], indent=1))
        return
    for entry in entries:
        doc = entry.model
        notes = [f"not learned: {missed}"] if (missed := not_learned(doc)) else []
        if not (Path(entry.folder) / MODEL_FILE).is_file():
            notes.append("folder without its model: moved, or its training goes on")
        scored = f"scored on {counted(len(entry.scores), 'set')}"
        typer.echo(f"{entry.folder}  {doc.name}, {doc.preset}, {doc.data_set.engine}: {errors_text(doc.errors)}; "
                   f"{'; '.join([*notes, scored])}")  # fmt: skip
