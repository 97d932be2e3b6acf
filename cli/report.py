"""`valenceflow report`: one HTML file of a campaign, of models side by side, or of both."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..inputs.whole_files import refuse_within_a_file, write_whole
from .completion import complete_data_set, complete_engine, complete_report
from .next_steps import failure_lines, lost_lines
from .places import JsonOption, Place, StoreOption, find_place
from .wording import (
    AS_MEANT,
    AUDIT_FAILED,
    FAILED,
    LOST_ORDERING,
    MISSING,
    NO_CAMPAIGN,
    Exact,
    command,
    commands_on,
    counted,
)

if TYPE_CHECKING:
    from ..analysis.report.calculations import Part
    from ..analysis.report.page import Advice, Report
    from ..analysis.report.remedies import Note
    from ..stores.overview import FractionOverview


def report(
    what: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="CAMPAIGN.yaml|SCORES.json...",
            help="A campaign's file, scores of `valenceflow evaluate` (or their folders), or both.",
            autocompletion=complete_report,
            show_default=False,
        ),
    ] = None,
    store: StoreOption = None,
    engine: Annotated[
        str | None, typer.Option(help="Only calculations of this engine.", autocompletion=complete_engine)
    ] = None,
    dataset: Annotated[
        list[Path] | None,
        typer.Option(
            "--dataset",
            "-d",
            help="Show the card of an exported set; repeat it.",
            autocompletion=complete_data_set,
            show_default=False,
        ),
    ] = None,
    figures: Annotated[
        Path | None,
        typer.Option("--figures", help="Show the pictures in a folder of `valenceflow figures`.", show_default=False),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="HTML file.", show_default="report.html beside the results")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Write a report that opens in a browser, without a network.

    Hull, orderings with filters, structures, moments, failures with what mends them; models side by side.
    """  # fmt: skip
    from ..analysis.report.page import page  # noqa: PLC0415 - plotly, pymatgen
    from ..flows.engines import engine_name  # noqa: PLC0415 - start-up

    engine = None if engine is None else engine_name(engine)
    campaigns, scores = _sorted_out(what or [])
    if not campaigns and store is None and not scores:
        raise ValueError("say what to report: a CAMPAIGN.yaml, --store PATH, or SCORES.json of `valenceflow evaluate`")
    place = find_place(campaigns[0] if campaigns else None, store) if campaigns or store is not None else None
    target = out or _beside(place, store, scores)
    refuse_within_a_file(target)
    if target.is_dir():
        raise ValueError(f"{target} is a folder; name a file, e.g. --out {target / 'report.html'}")
    made = _report(place, campaigns[0] if campaigns else None, engine, scores, dataset or [])
    if figures is not None:
        _add_figures(made, figures)
    text = page(made)
    write_whole(target, text)
    _say(made, target, len(text.encode()), as_json)


def _sorted_out(given: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    """Campaign files and scores."""
    campaigns = [path for path in given if path.suffix in (".yaml", ".yml")]
    scores = [path for path in given if path not in campaigns]
    if len(campaigns) > 1:
        raise ValueError(
            f"{len(campaigns)} campaigns are given ({', '.join(map(str, campaigns))}); report one, or the --store that "
            "both share"
        )
    for path in scores:
        if not path.is_dir() and path.suffix != ".json":
            raise ValueError(f"{path}: neither a campaign (.yaml) nor scores (.json, or a folder with scores.json)")
    return campaigns, scores


def _beside(place: Place | None, store: Path | None, scores: Sequence[Path]) -> Path:
    if place is not None and place.folder is not None:
        return place.folder / "report.html"
    if store is not None:
        return store.resolve().parent / "report.html"
    return (scores[0] if scores[0].is_dir() else scores[0].parent) / "report.html"


def _report(
    place: Place | None, campaign: Path | None, engine: str | None, scores: Sequence[Path], datasets: Sequence[Path]
) -> Report:
    from ..analysis.report.cards import notes_of_cards, read_card  # noqa: PLC0415 - the science stack
    from ..analysis.report.model_charts import charts_of_models  # noqa: PLC0415
    from ..analysis.report.models import comparisons, notes_of_models, read_models  # noqa: PLC0415
    from ..analysis.report.page import Report  # noqa: PLC0415

    found = comparisons(read_models(scores))
    cards = [read_card(folder) for folder in datasets]
    engines = [comparison.first.engine for comparison in found] + [card.engine for card in cards]
    made = Report(title="Models side by side", engines=engines, cards=cards, comparisons=found)
    made.model_charts = [charts_of_models(comparison, f"models-{n}") for n, comparison in enumerate(found, 1)]
    notes = [*notes_of_models(found), *notes_of_cards(cards, [c.first.data_set_checksum for c in found])]
    if place is not None:
        notes = [*_fill_in_campaign(made, place, campaign, engine), *notes]
    made.notes = notes
    return made


def _add_figures(made: Report, folder: Path) -> None:
    from ..analysis.report.pictures import notes_of_pictures, read_pictures  # noqa: PLC0415 - the science stack

    made.pictures = read_pictures(folder)
    made.notes = [*made.notes, *notes_of_pictures(folder)]
    rehearsed = [picture.source.partition(",")[0] for picture in made.pictures if picture.warning]
    made.engines = [*made.engines, *rehearsed]


def _fill_in_campaign(made: Report, place: Place, campaign: Path | None, engine: str | None) -> list[Note]:
    """Put what the stores hold into a report; returns what is missing."""
    from ..analysis.report.calculations import part_of  # noqa: PLC0415 - the science stack
    from ..analysis.report.campaign_charts import charts_of  # noqa: PLC0415
    from ..analysis.report.reading import read_groups  # noqa: PLC0415
    from ..analysis.report.remedies import notes_of  # noqa: PLC0415
    from ..analysis.report.structures import chosen_rows, encoded  # noqa: PLC0415

    parts = [part_of(group) for group in read_groups(place.stores, place.name, engine)]
    if not parts:
        raise ValueError(_nothing(place, campaign, engine))
    rows, made.without_structure = chosen_rows(parts)
    made.title = place.name or ", ".join(dict.fromkeys(name for part in parts for name in part.group.campaigns))
    made.title = made.title or str(place.stores.place)
    made.engines = [*dict.fromkeys(part.group.engine for part in parts), *made.engines]
    made.parts = parts
    made.charts = [charts_of(part, f"part-{number}") for number, part in enumerate(parts, 1)]
    made.structures = encoded(parts, rows)
    _fill_in_state(made, place, campaign, engine)
    return list(notes_of(parts, commands_on(campaign)))


def _nothing(place: Place, campaign: Path | None, engine: str | None) -> str:
    from ..stores.overview import engine_asked  # noqa: PLC0415 - start-up

    of = f" of engine {engine}" if engine else ""
    there = sorted(place.stores.collection("calculations").distinct("engine"))
    others = f"; there are some of {', '.join(there)}" if engine and there else ""
    return (
        f"no calculation{of} in {place.stores.place} yet{others}; run the campaign first: "
        f"`{command('run', campaign or NO_CAMPAIGN, engine or engine_asked(place.stores, place.name))}`"
    )


def _fill_in_state(made: Report, place: Place, campaign: Path | None, engine: str | None) -> None:
    """Counts, failures and lost orderings, in the words of `status`."""
    from ..flows.asked import read_asked  # noqa: PLC0415 - start-up
    from ..stores.failure_groups import failure_groups  # noqa: PLC0415
    from ..stores.overview import fraction_overviews  # noqa: PLC0415

    asked = {} if place.folder is None else read_asked(place.folder)
    left_out = [identity for record in asked.values() for identity in record.left_out]
    names = [place.name] if place.name else sorted(place.stores.collection("campaigns").distinct("campaign"))
    rows = [(n, row) for n in names for row in fraction_overviews(place.stores, n, left_out) if _of(row.engine, engine)]
    groups = [group for n in names for group in failure_groups(place.stores, n, left_out) if _of(group.engine, engine)]
    made.counts = _counts(rows, len(names) > 1)
    made.failures = [_advice(failure_lines(group, campaign)) for group in groups]
    lost: dict[str, int] = {}
    for _, row in rows:
        lost[row.engine] = lost.get(row.engine, 0) + row.lost
    made.lost = [_advice(lost_lines(n, campaign or NO_CAMPAIGN, name)) for name, n in lost.items() if n]
    made.summary = list(_summary(made.parts))


def _of(engine: str, wanted: str | None) -> bool:
    return wanted is None or engine == wanted


def _counts(
    rows: Sequence[tuple[str, FractionOverview]], several: bool
) -> tuple[Sequence[str], Sequence[Sequence[str]]]:
    """The table of `status`."""
    header = [*["campaign"] * several, "engine", "x", "all", AS_MEANT, LOST_ORDERING, AUDIT_FAILED, FAILED, MISSING]
    body = []
    for name, row in rows:
        numbers = [row.total, row.as_meant, row.lost, row.states.get(AUDIT_FAILED, 0), row.states.get(FAILED, 0)]
        cells = [row.engine, f"{row.fraction:.3f}", *(str(number) for number in numbers), str(row.missing)]
        body.append([*[name] * several, *cells])
    return header, body


def _advice(lines: Iterator[str] | Sequence[str]) -> list[Advice]:
    from ..analysis.report.page import Advice  # noqa: PLC0415 - plotly

    found = []
    for line in lines:
        before, verb, rest = line.partition("valenceflow ") if isinstance(line, Exact) else (line, "", "")
        found += [Advice(before.strip())] if before.strip() else []
        found += [Advice(verb + rest, is_command=True)] if verb else []
    return found


def _summary(parts: Sequence[Part]) -> Iterator[tuple[str, str]]:
    """What is told first: materials, engines, protocols, versions."""
    members = [member for part in parts for member in part.group.members]
    configurations = [m["configuration"] for m in members if m["configuration"] is not None]

    def told(values: Iterator[Any]) -> str:
        return ", ".join(sorted({str(value) for value in values if value not in (None, "")}))

    yield "host", told(part.group.host for part in parts)
    yield "working ion", told(c["working_ion"] for c in configurations)
    yield "redox couple", told(c["couple"] for c in configurations)
    yield "supercell", told(_supercell(c["supercell"]) for c in configurations)
    cells = sorted({(c["n_atoms"], c["formula"], c["formula_units"]) for c in configurations})
    yield "cells", ", ".join(formula for _, formula, _ in cells)
    yield "size", told(f"{n} formula units, up to {atoms} atoms" for atoms, _, n in cells[-1:])
    versions: dict[str, set[str]] = {}
    for m in members:
        versions.setdefault(m["engine"], set()).update(filter(None, [m["engine_version"]]))
    yield "engine", told(f"{name} (version {', '.join(sorted(v))})" if v else name for name, v in versions.items())
    yield "protocol", told(f"{part.group.protocol} ({part.group.protocol_hash})" for part in parts)
    yield "calculations", f"{len(members)}, of which {sum(bool(m['counts']) for m in members)} count"


def _supercell(rows: Sequence[Sequence[int]]) -> str:
    """A supercell as campaign files give it."""
    is_plain = all((i == j) == bool(value) for i, row in enumerate(rows) for j, value in enumerate(row))
    return str([row[i] for i, row in enumerate(rows)] if is_plain else [list(row) for row in rows])


def _say(made: Report, target: Path, size: int, as_json: bool) -> None:
    calculations = sum(len(part.rows) for part in made.parts)
    models = sum(len(comparison.models) for comparison in made.comparisons)
    if as_json:
        notes = [{"text": note.text, "remedy": note.remedy, "command": note.command} for note in made.notes]
        typer.echo(json.dumps({"file": str(target), "bytes": size, "calculations": calculations, "models": models,
                               "structures": len(made.structures), "missing": notes}, indent=1))  # fmt: skip
        return
    if made.warning:
        typer.echo(made.warning)
    for note in made.notes:
        typer.echo(note.text)
        if note.remedy or note.command:
            typer.echo(f"  to do: {': '.join(filter(None, [note.remedy, note.command]))}")
    shown = [counted(calculations, "calculation")] * bool(made.parts) + [counted(models, "model")] * bool(models)
    typer.echo(f"{', '.join(shown)}: {target} ({size / 1e6:.1f} MB)")
