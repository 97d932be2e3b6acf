"""`valenceflow evaluate`: scores of potentials on one data set, side by side."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from ..inputs.whole_files import write_whole
from .completion import complete_data_set, complete_model
from .model_options import BatchOption, DeviceOption, ForceOption, PrecisionOption, WorkersOption, chosen_model
from .places import JsonOption

if TYPE_CHECKING:
    from rich.table import Table

    from ..inputs.hosts import Host
    from ..potentials.evaluation.scores import ModelScores, Start
    from ..potentials.open_models import ModelChoice

SCORES, PARITY, COMPARISON = "scores.json", "parity.svg", "comparison.json"
STARTS = ("ideal", "rattled", "first")


def evaluate(
    models: Annotated[
        list[str],
        typer.Argument(
            metavar="MODEL...",
            help="Folders of trained models; several with + between them: an ensemble.",
            autocompletion=complete_model,
        ),
    ],
    dataset: Annotated[
        Path | None,
        typer.Option("--dataset", "-d", help="Folder of an exported set.", autocompletion=complete_data_set),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder for scores; a killed evaluation goes on there.")
    ] = None,
    side: Annotated[str, typer.Option(help="test, valid, train, benchmark or all.")] = "test",
    start: Annotated[
        list[str] | None, typer.Option(help="ideal, rattled, first; repeat it.", show_default="ideal, rattled")
    ] = None,
    rattle: Annotated[float, typer.Option(min=0, help="Standard deviation of rattled starts, A.")] = 0.02,
    seed: Annotated[int, typer.Option(min=0, help="Of rattled starts.")] = 0,
    frames: Annotated[int | None, typer.Option(min=1, help="At most so many frames.", show_default="all")] = None,
    structures: Annotated[
        int | None, typer.Option(min=0, help="Relax at most so many mixed structures; 0: none.", show_default="all")
    ] = None,
    reference: Annotated[
        str | None, typer.Option(help="Configuration or key that energies are relative to.", show_default="the lowest")
    ] = None,
    host: Annotated[
        str | None, typer.Option(help="Host where the set names none that is shipped: a CIF or campaign.")
    ] = None,
    judge: Annotated[
        str | None,
        typer.Option(help="Plain potential whose moments tell the ordering reached, e.g. pretrained-chgnet."),
    ] = None,
    check_references: Annotated[
        bool,
        typer.Option(
            "--check-references", help="Relax on under --judge, which made the set, from the model's minima (slow)."
        ),
    ] = False,
    reference_force: Annotated[
        float,
        typer.Option(min=1e-6, max=1e6, help="Largest force of a structure of the set that counts as relaxed, eV/A."),
    ] = 0.05,
    fmax: ForceOption = 0.01,
    steps: Annotated[int, typer.Option(min=0, help="Steps of a relaxation.")] = 1000,
    store: Annotated[
        Path | None, typer.Option(help="Registry of models.", show_default="models.sqlite beside each model")
    ] = None,
    workers: WorkersOption = 1,
    device: DeviceOption = "cpu",
    dtype: PrecisionOption = None,
    batch_atoms: BatchOption = None,
    as_json: JsonOption = False,
) -> None:
    """Score potentials on a data set, side by side.

    Errors, rankings, orderings achieved, moments, hull, embeddings. Nothing is evaluated twice; the same command goes
    on after a kill.
    """
    if dataset is None or out is None:
        raise ValueError("say which data set and where scores go: --dataset DIR --out DIR")
    from ..potentials.evaluation.parity import draw_parity  # noqa: PLC0415 - torch, matplotlib
    from ..potentials.evaluation.reference import ReferenceSet  # noqa: PLC0415
    from ..potentials.evaluation.run import evaluate_model  # noqa: PLC0415
    from ..potentials.evaluation.settings import EvaluationSettings  # noqa: PLC0415
    from ..potentials.relaxation import RelaxSettings  # noqa: PLC0415
    from ..stores.export.unfinished import MANIFEST  # noqa: PLC0415
    from .export import ProgressLine  # noqa: PLC0415

    if (out / MANIFEST).exists():
        raise ValueError(f"--out {out}: is a folder of something else ({MANIFEST}); give scores one of their own")
    data = ReferenceSet.open(dataset)
    settings = EvaluationSettings(
        side, _starts(start), rattle, seed, RelaxSettings(fmax=fmax, steps=steps), frames, structures, reference,
        workers, _host(host), _judge(judge, device), check_references, reference_force,
    )  # fmt: skip
    done: list[ModelScores] = []
    with ProgressLine(shown=not as_json) as line:
        for name in models:
            choice = chosen_model(name.split("+"), device, dtype, batch_atoms)
            scores, predictions = evaluate_model(choice, data, out / "work", settings, line.moved)
            folder = _folder_of(scores, out, done)
            folder.mkdir(parents=True, exist_ok=True)
            draw_parity(predictions, f"{scores.model} on {scores.data_set} ({scores.engine})", folder / PARITY)
            write_whole(folder / SCORES, scores.model_dump_json(indent=1) + "\n")
            _register(name, scores, store)
            done.append(scores)
    from ..potentials.evaluation.comparison import comparison_rows  # noqa: PLC0415

    rows = comparison_rows(done)
    about = {"data_set": data.title, "side": side, "models": [scores.model for scores in done], "rows": rows}
    write_whole(out / COMPARISON, json.dumps(about, indent=1) + "\n")
    if as_json:
        typer.echo(json.dumps([scores.model_dump(mode="json") for scores in done], indent=1))
    else:
        _show(done, rows, out)


def _register(name: str, scores: ModelScores, store: Path | None) -> None:
    """Keep the scores of a trained model in its registry; ensembles and other models have no entry."""
    from ..potentials.model_folder import MODEL_FILE  # noqa: PLC0415 - pydantic
    from ..potentials.registry import add_scores, open_registry, register  # noqa: PLC0415 - start-up

    folder = Path(name)
    if not (folder / MODEL_FILE).is_file():
        return
    stores = open_registry(folder, store)
    try:
        entry = register(stores, folder)
        add_scores(stores, entry.model_id, scores.data_set_checksum, scores.model_dump(mode="json"))
    finally:
        stores.close()


def _starts(given: Sequence[str] | None) -> tuple[Start, ...]:
    for name in given or ():
        if name not in STARTS:
            raise ValueError(f"--start {name!r}: choose {', '.join(STARTS)}")
    return cast("tuple[Start, ...]", tuple(dict.fromkeys(given or STARTS[:2])))


def _judge(name: str | None, device: str) -> ModelChoice | None:
    """A potential that is not told the labels; pretrained CHGNet is taken without its species."""
    from ..potentials.open_models import PRETRAINED, ModelChoice  # noqa: PLC0415 - torch

    return None if name is None else ModelChoice((name,), device, None, "elements" if name == PRETRAINED else None)


def _host(name: str | None) -> Host | None:
    from .ordering_subject import read_subject  # noqa: PLC0415 - pymatgen

    return None if name is None else read_subject(name).cell.host


def _folder_of(scores: ModelScores, out: Path, before: Sequence[ModelScores]) -> Path:
    """A folder per model, named by its title; of equal titles the later have their fingerprint."""
    taken = [other.model for other in before if other.model_fingerprint != scores.model_fingerprint]
    title = scores.model.replace("/", "-")
    return out / (f"{title}-{scores.model_fingerprint[:6]}" if scores.model in taken else title)


def show_scores(names: Sequence[str], rows: Sequence[dict[str, object]]) -> None:
    """Print scores by model; where it is narrow names give way to numbers, never scores."""
    from rich.console import Console  # noqa: PLC0415 - start-up

    from .tables import fits  # noqa: PLC0415

    console, table = Console(), _table(names, rows)
    if not fits(table, console):
        numbers = [str(number) for number in range(1, len(names) + 1)]
        typer.echo("\n".join(f"{number:>3s}  {name}" for number, name in zip(numbers, names, strict=True)))
        table = _table(numbers, rows)
    console.print(table)


def _table(headers: Sequence[str], rows: Sequence[dict[str, object]]) -> Table:
    from .tables import plain_table  # noqa: PLC0415 - rich

    table = plain_table()
    table.add_column("")
    for header in headers:
        table.add_column(header, no_wrap=True)
    for row in rows:
        cells = cast("list[object]", row["values"])
        table.add_row(str(row["score"]), *("" if cell is None else str(cell) for cell in cells))
    return table


def _show(done: Sequence[ModelScores], rows: Sequence[dict[str, object]], out: Path) -> None:
    from .wording import counted, rehearsal_note  # noqa: PLC0415

    first = done[0]
    note = rehearsal_note(first.engine)
    n_frames = max((score.n for score in first.errors if score.target == "energy"), default=0)
    side = f"{first.data_set}, {first.side} side, errors of {counted(n_frames, 'frame')}"
    typer.echo(side + (f" ({note})" if note else ""))
    show_scores([scores.model for scores in done], rows)
    for reason in sorted({reason for scores in done for reason in scores.left_out}):
        counts = ", ".join(str(scores.left_out.get(reason, 0)) for scores in done)
        typer.echo(f"left out: {counts}  {reason}")
    typer.echo(f"all scores and parity plots: {out}")
