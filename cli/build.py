"""`valenceflow build`: calculations, frames, labels and composition summaries, whatever is new of them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .ingest import cores, only_writer, own_couples
from .places import CampaignArgument, JsonOption, Place, StoreOption, find_place

if TYPE_CHECKING:
    from ..stores.connect import Stores
    from ..stores.labels import Labelling

_BAR_WIDTH = 50
_COARSE = 0.05  # muB: a line of the printed histogram


def build(
    campaign: CampaignArgument = None,
    store: StoreOption = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes that compute (default: one per core).")] = None,
    couples: Annotated[Path | None, typer.Option(help="YAML with redox couples of your own, for the labels.")] = None,
    fixed: Annotated[
        list[str] | None, typer.Option(help="Oxidation state of an element, e.g. Ti=4; repeat it.", show_default=False)
    ] = None,
    fit_windows: Annotated[
        bool, typer.Option("--fit-windows", help="Fit label windows to this store's moments, and label by them.")
    ] = False,
    published_windows: Annotated[
        bool, typer.Option("--published-windows", help="Label by the couples' own windows again.")
    ] = False,
    histogram: Annotated[bool, typer.Option(help="Show the histogram of moments.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Make the frames, labels and summaries that are due.

    Run it as often as you like.
    """
    from ..stores.building import build_store_calculations  # noqa: PLC0415 - the science stack

    if fit_windows and published_windows:
        raise ValueError("--fit-windows or --published-windows, not both")
    place = find_place(campaign, store)
    stores, processes = place.stores, workers or cores()
    done: dict[str, Any] = {}
    with only_writer(stores, _folder(place, store)), _Bars(shown=not as_json) as bars:
        done["calculations"] = build_store_calculations(stores)
        done |= _build_frames(stores, bars, processes)
        changes = {"fit": fit_windows, "published": published_windows}
        labelling, done["windows"] = _labelling(stores, couples, fixed or [], **changes)
        done["labels"] = _build_labels(stores, labelling, bars, processes)
        done["compositions"] = _build_compositions(stores, bars)
    done["frames_in_store"] = _frame_counts(stores)
    if histogram:
        done["histograms"] = _histograms(stores, labelling)
    stores.close()
    if as_json:
        typer.echo(json.dumps(done, indent=1))
        return
    for line in report(done):
        typer.echo(line)


def _folder(place: Place, store: Path | None) -> Path | None:
    return place.folder if place.folder is not None else None if store is None else store.resolve().parent


def _build_frames(stores: Stores, bars: _Bars, processes: int) -> dict[str, Any]:
    from ..stores.builders_frames import FramesBuilder, framed  # noqa: PLC0415
    from ..stores.building import run_builder  # noqa: PLC0415

    found: dict[str, Any] = {"frames": 0, "problems": []}
    for item in run_builder(FramesBuilder.of(stores), framed, processes, bars.on("frames of calculations")):
        found["frames"] += sum(run["n_frames"] for run, _ in item["runs"])
        found["problems"] += [f"{item['calculation_id']}: {problem}" for problem in item["problems"]]
    return found


def _labelling(
    stores: Stores, couples: Path | None, fixed: Sequence[str], fit: bool, published: bool
) -> tuple[Labelling, list[str]]:
    """The labelling to use, and what a fit found; what was chosen before stays unless something is said."""
    from ..inputs.fixed_states import parse_fixed_states  # noqa: PLC0415
    from ..stores.labelling_choice import (  # noqa: PLC0415
        choose_labelling,
        current_labelling,
        fit_labelling,
        published_labelling,
    )

    chosen = current_labelling(stores)
    if chosen is None or couples is not None or fixed or published:
        chosen = published_labelling(stores, own_couples(couples), parse_fixed_states(fixed))
        choose_labelling(stores, chosen)
    if not fit:
        return chosen, []
    labelling, histograms, lines = fit_labelling(stores, chosen)
    choose_labelling(stores, labelling, histograms, lines)
    return labelling, lines


def _build_labels(stores: Stores, labelling: Labelling, bars: _Bars, processes: int) -> dict[str, int]:
    from ..stores.builders_labels import LabelsBuilder, labelled  # noqa: PLC0415
    from ..stores.building import run_builder  # noqa: PLC0415

    verdicts: Counter[str] = Counter()
    for item in run_builder(LabelsBuilder.of(stores, labelling), labelled, processes, bars.on("labels of runs")):
        verdicts.update(item["verdicts"])
    return dict(verdicts)


def _build_compositions(stores: Stores, bars: _Bars) -> list[dict[str, Any]]:
    from ..analysis.hull import CompositionBuilder, composed  # noqa: PLC0415
    from ..stores.building import run_builder  # noqa: PLC0415

    for _ in run_builder(CompositionBuilder.of(stores), composed, 1, bars.on("compositions")):
        pass
    found = stores.collection("compositions").query({}, sort={"engine": 1})
    return sorted(
        ({name: value for name, value in summary.items() if name in _SHOWN} for summary in found),
        key=lambda summary: (summary["engine"], summary["host"], -summary["fraction"]),
    )


_SHOWN = ("host", "engine", "protocol", "fraction", "n_calculations", "n_counting", "lowest", "on_hull", "statistics")


def _frame_counts(stores: Stores) -> list[dict[str, Any]]:
    from ..stores.overview import count_by  # noqa: PLC0415

    rows = count_by(stores.collection("frames"), ("engine", "step", "label.verdict"))
    return [
        {"engine": engine, "step": step, "label": verdict or "not labelled", "frames": number}
        for (engine, step, verdict), number in sorted(rows, key=lambda row: [str(value) for value in row[0]])
    ]


def _histograms(stores: Stores, labelling: Labelling) -> dict[str, Any]:
    from ..stores.label_windows import moment_histograms  # noqa: PLC0415

    windows = {couple.name: couple for couple in labelling.couples}
    found = moment_histograms(stores, labelling.couples)
    return {
        f"{name}, {engine}": histogram.as_dict(windows[name].window(engine))
        for (name, engine), histogram in sorted(found.items())
    }


class _Bars:
    """One progress bar per builder on standard error, where that is a terminal."""

    def __init__(self, shown: bool) -> None:
        from rich.console import Console  # noqa: PLC0415 - start-up
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn  # noqa: PLC0415

        console = Console(stderr=True)
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self._progress = Progress(*columns, console=console, disable=not (shown and console.is_terminal))

    def __enter__(self) -> _Bars:
        self._progress.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._progress.stop()

    def on(self, name: str) -> Any:
        """A new bar; returns what moves it, called with (done, in all)."""
        task = self._progress.add_task(name, total=None)
        return lambda done, total: self._progress.update(task, completed=done, total=total)


def report(done: Mapping[str, Any]) -> list[str]:
    """What was made and what the store holds now, one line each."""
    lines = [
        f"new: {done['calculations']} calculations, {done['frames']} frames, {sum(done['labels'].values())} labels"
    ]
    lines += [f"not framed: {problem}" for problem in done["problems"]]
    lines += [f"window of {line}" for line in done["windows"]]
    if done["frames_in_store"]:
        lines.append("frames in the store:")
    for row in done["frames_in_store"]:
        lines.append(f"  {row['frames']:8d}  {row['engine']:24s} {row['step']:16s} {row['label']}")
    for summary in done["compositions"]:
        lines.append(_composition(summary))
    for name, histogram in done.get("histograms", {}).items():
        lines += [f"moments of {name} (muB):", *_drawn(histogram)]
    return lines


def _composition(summary: Mapping[str, Any]) -> str:
    lowest = summary["lowest"]
    relative = None if lowest is None else lowest["relative_energy_mev_per_fu"]
    place = "no energy that counts" if lowest is None else "an end member is missing"
    if relative is not None:
        above = lowest["energy_above_hull_mev_per_fu"]
        place = f"lowest {relative:.1f} meV/f.u., " + ("on the hull" if summary["on_hull"] else f"{above:.1f} above it")
    head = f"{summary['host']}, {summary['engine']}, x = {summary['fraction']:.3f}"
    return f"{head}: {summary['n_counting']} of {summary['n_calculations']} count, {place}"


def _drawn(histogram: Mapping[str, Any]) -> list[str]:
    """Bars of 0.05 muB; the window's bounds are marked."""
    step = max(1, round(_COARSE / histogram["width"]))
    first = int(histogram["start"] / histogram["width"])
    coarse: Counter[int] = Counter()
    for place, count in enumerate(histogram["counts"]):
        coarse[(first + place) // step] += count
    most = max(coarse.values(), default=1)
    window = histogram["window"]
    lines, before = [], None
    for place, count in sorted(coarse.items()):
        if count == 0:
            continue
        if before is not None and place > before + 1:
            lines.append("    ...")
        lines.append(f"  {place * _COARSE:5.2f}  {count:8d}  {'#' * -(-count * _BAR_WIDTH // most)}")
        before = place
    if window is not None:
        lines.append(f"  window: up to {window['low_max']} and from {window['high_min']} muB ({window['source']})")
    else:
        lines.append("  no window: the states that neutrality asks for must stand 0.2 muB apart")
    return lines
