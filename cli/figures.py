"""`valenceflow figures`: the paper's figures and tables from campaigns, scores and searches of one's own."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..analysis.ways_out import Ways
from ..inputs.whole_files import refuse_within_a_file, write_whole, written_whole
from .completion import complete_engine, complete_figure, complete_figure_source
from .places import JsonOption, find_place, open_store
from .wording import commands_on, counted

if TYPE_CHECKING:
    from ..analysis.campaign_results import CampaignResults
    from ..analysis.paper_figures import MadeFigure, Sources
    from ..analysis.search_course import SearchCourse
    from ..potentials.evaluation.scores import ModelScores
    from ..stores.connect import Stores

PUBLISHED = "published"
FORMATS = ("png", "svg", "pdf")
DPI = 200
NOT_MADE = 1


def figures(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE...",
            help="CAMPAIGN.yaml or store.sqlite; scores.json or the folder of `evaluate`; the folder of a search; "
            "`published`: the paper's own tables.",
            autocompletion=complete_figure_source,
        ),
    ],
    to: Annotated[Path | None, typer.Option("--to", help="Folder for pictures and numbers.")] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(help="fig1 ... fig9, table1, table2, voltages; with commas.", autocompletion=complete_figure),
    ] = None,
    engine: Annotated[
        str | None,
        typer.Option(help="Whose energies, where a campaign has several.", autocompletion=complete_engine),
    ] = None,
    kind: Annotated[str, typer.Option("--format", help="png, svg or pdf.")] = "png",
    as_json: JsonOption = False,
) -> None:
    """Draw the paper's figures and tables from your own results.

    Beside each picture its numbers, as CSV and JSON. What cannot be made is said, with what it lacks.
    """
    if to is None:
        raise ValueError("say where the figures go: --to DIR")
    if kind not in FORMATS:
        raise ValueError(f"--format {kind!r}: choose {', '.join(FORMATS)}")
    refuse_within_a_file(to / "fig1")
    from ..analysis.paper_figures import FIGURES, make_figure  # noqa: PLC0415 - matplotlib

    wanted = _wanted(only, list(FIGURES))
    found = _read(sources, engine)
    done: list[dict[str, Any]] = []
    for name in wanted:
        try:
            made = make_figure(name, found)
            numbers = _numbers(made)
        except ValueError as err:
            done.append({"figure": name, "title": FIGURES[name][0], "files": [], "reason": str(err)})
            continue
        files = _write(made, numbers, to / name, kind)
        done.append({"figure": name, "title": FIGURES[name][0], "files": files, "reason": ""})
    typer.echo(json.dumps(done, indent=1) if as_json else "\n".join(_said(done, to)))
    lacking = [entry for entry in done if not entry["files"]]
    if len(lacking) == len(done) or (only and lacking):
        raise typer.Exit(NOT_MADE)


def _wanted(only: Sequence[str] | None, known: Sequence[str]) -> list[str]:
    """Names asked for; `fig5` means all of its panels."""
    if not only:
        return list(known)
    wanted: list[str] = []
    for word in ",".join(only).split(","):
        word = word.strip().lower()
        here = [name for name in known if name == word or (name[:-1] == word and name[-1].isalpha())]
        if not here:
            raise ValueError(f"--only {word!r}: choose of {', '.join(known)}")
        wanted += [name for name in here if name not in wanted]
    return wanted


def _read(given: Sequence[str], engine: str | None) -> Sources:
    """Whatever each source is."""
    from ..analysis.paper_figures import Sources  # noqa: PLC0415
    from ..potentials.evaluation.scores import read_scores  # noqa: PLC0415

    campaigns: list[tuple[CampaignResults, dict[str, Any] | None]] = []
    scores: list[ModelScores] = []
    searches: list[SearchCourse] = []
    for name in given:
        path = Path(name)
        if name == PUBLISHED:
            continue
        if path.suffix in (".yaml", ".yml", ".sqlite"):
            campaigns.append(read_results(path, engine))
        elif path.suffix == ".json":
            scores.append(read_scores(path))
        elif (path / "settings.json").is_file():
            searches.append(_search(path))
        elif path.is_dir() and (inside := sorted(path.glob("*/scores.json"))):
            scores += [read_scores(one) for one in inside]
        else:
            raise ValueError(
                f"{name}: is no campaign file, scores.json, folder of `evaluate` or of a search, nor `{PUBLISHED}`"
            )
    if len(campaigns) > 1:
        raise ValueError(f"figures are of one campaign, got {len(campaigns)}; call it once for each")
    campaign, metal = campaigns[0] if campaigns else (None, None)
    return Sources(campaign, metal, tuple(scores), tuple(searches), PUBLISHED in given)


def read_results(path: Path, engine: str | None) -> tuple[CampaignResults, dict[str, Any] | None]:
    """Results of a campaign file or a store and its metal reference; errors as in `analysis.campaign_results`."""
    from ..analysis.campaign_results import read_campaign_results  # noqa: PLC0415 - pymatgen
    from ..analysis.voltages import metal_reference  # noqa: PLC0415
    from ..flows.engines import engine_name  # noqa: PLC0415

    full = None if engine is None else engine_name(engine)
    if path.suffix == ".sqlite":
        stores = open_store(path)
        name = None
    else:
        place = find_place(path, None)
        stores, name = place.stores, place.name
    try:
        results = read_campaign_results(stores, name, full, _ways(path, stores))
        return results, metal_reference(stores, results)
    finally:
        stores.close()


def _ways(path: Path, stores: Stores) -> Ways:
    """Commands on a campaign; of a store they name no file, and say whose is meant."""
    if path.suffix != ".sqlite":
        return Ways(commands_on(path))
    names = ", ".join(sorted(stores.collection("campaigns").distinct("campaign")))
    return Ways(commands_on(None), f" (with the file of campaign {names})")


def _search(folder: Path) -> SearchCourse:
    import numpy as np  # noqa: PLC0415 - start-up

    from ..analysis.search_course import SearchCourse  # noqa: PLC0415
    from ..search.record import read_evaluations, read_settings  # noqa: PLC0415
    from .search_subject import read_subject_of  # noqa: PLC0415
    from .wording import searched, searched_under  # noqa: PLC0415

    settings, (_, subject) = read_settings(folder), read_subject_of(folder)
    cell = subject.cell
    size = f"{cell.host.name}, {cell.formula_units} f.u. per cell"
    found = [e for e in read_evaluations(folder, len(cell.working_sites), len(cell.redox_sites)) if e.counts]
    if not found:
        raise ValueError(f"{folder}: nothing was evaluated yet; `valenceflow search run` goes on there")
    return SearchCourse(
        title=f"{searched(settings)}, {size}",
        source=searched_under(settings),
        working_ion=cell.host.working_ion,
        names=tuple(str(e.key) for e in found),
        x=np.array([float(e.key.working.mean()) for e in found]),
        energies_per_fu=np.array([e.energy for e in found]) / cell.formula_units,
    )


def _numbers(made: MadeFigure) -> str:
    """A figure's numbers as JSON; statistics that are none (NaN) are null there.

    Raises
    ------
    ValueError
        If a number that is drawn is none: JSON has no NaN.
    """
    for row in made.rows:
        for column, value in row.items():
            if isinstance(value, float) and not math.isfinite(value):
                which = next((str(v) for v in row.values() if isinstance(v, str)), "a row")
                raise ValueError(f"{which}: {column} is {value}, no number; mend what it comes from, or leave it out")
    return json.dumps({**_with_nulls(made.about), "rows": made.rows}, indent=1, allow_nan=False) + "\n"


def _with_nulls(value: Any) -> Any:
    """Plain data with None for each NaN and infinity."""
    if isinstance(value, dict):
        return {name: _with_nulls(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_with_nulls(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _write(made: MadeFigure, about: str, stem: Path, kind: str) -> list[str]:
    """Picture, CSV and JSON, each whole or not at all; returns their names."""
    picture, table, numbers = (stem.with_suffix(f".{suffix}") for suffix in (kind, "csv", "json"))
    with written_whole(picture) as partial:
        made.figure.savefig(partial, dpi=DPI, format=kind)
    text = io.StringIO()
    writer = csv.DictWriter(text, list(made.rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(made.rows)
    write_whole(table, text.getvalue())
    write_whole(numbers, about)
    return [str(path) for path in (picture, table, numbers)]


def _said(done: Sequence[dict[str, Any]], to: Path) -> list[str]:
    made = [entry for entry in done if entry["files"]]
    lines = [f"{entry['figure']:10s}{entry['title']}" for entry in made]
    if made:
        lines.append(f"{counted(len(made), 'figure')} in {to}, each with its numbers as CSV and JSON")
    lacking = [entry for entry in done if not entry["files"]]
    if lacking:
        lines.append("not made:" if made else "no figure could be made:")
        lines += [f"  {entry['figure']:10s}{entry['reason']}" for entry in lacking]
    return lines
