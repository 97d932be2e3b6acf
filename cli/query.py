"""`valenceflow query`: calculations and frames as a table, JSON, CSV or Parquet, filtered."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..stores.relations import COUNTING, LOST
from .completion import complete_columns, complete_engine, complete_ordering, complete_sort, complete_state
from .places import CampaignArgument, JsonOption, StoreOption, find_place, refuse_not_started
from .wording import AS_MEANT, LOST_ORDERING, SHORT_NAMES, counted, ordering_text, rehearsal_note, shell_words

if TYPE_CHECKING:
    from rich.table import Table

    from ..stores.collection import Collection
    from ..stores.connect import Stores
    from ..stores.query import Question

DEFAULT_COLUMNS = "x,meant,achieved,ordering,state,energy_per_fu,max_force,engine"
FRAME_COLUMNS = "frame_id,formula,x,step,label.verdict,energy_per_atom,max_force,engine"
FORMATS = ("table", "json", "csv", "parquet")
ORDERINGS = {LOST_ORDERING: LOST, AS_MEANT: COUNTING} | {
    relation: (relation,) for relation in (*COUNTING, *LOST, "not read")
}
"""What --ordering takes -> the relations it stands for."""

MAY_GO = ("max_force", "state", "achieved_key")
"""Columns that are left out one after the other where the terminal is narrow and none was asked for by name."""

BUILT = ("relative_energy_mev_per_fu", "energy_above_hull_mev_per_fu", "energy_above_hull")
"""Fields of a calculation that `build` sets."""

SHOWN = 12
"""Values that are there, where none was found."""

STATES = ("completed", "failed", "audit failed")
_HEADERS = {field: name for name, field in SHORT_NAMES.items()}


def query(
    campaign: CampaignArgument = None,
    store: StoreOption = None,
    x: Annotated[str | None, typer.Option("--x", help="Working-ion fraction: 0.5, 1/2, or a range 1/4:0.6.")] = None,
    ordering: Annotated[
        str | None,
        typer.Option(
            help="'as meant' (kept, equivalent, measured), lost (moved, delocalised, ambiguous), or one of these.",
            autocompletion=complete_ordering,
        ),
    ] = None,
    state: Annotated[
        str | None, typer.Option(help="completed, failed, or 'audit failed'.", autocompletion=complete_state)
    ] = None,
    formula: Annotated[str | None, typer.Option(help="Formula, e.g. Na2Fe3P3O12, however many units.")] = None,
    host: Annotated[str | None, typer.Option(help="Host, e.g. olivine-NaFePO4.")] = None,
    engine: Annotated[
        str | None, typer.Option(help="Engine, e.g. vasp or rehearsal:chgnet.", autocompletion=complete_engine)
    ] = None,
    where: Annotated[
        str | None,
        typer.Option(
            help='Condition on any field: "energy_above_hull < 0.02 and n_high in (4, 8)".', show_default=False
        ),
    ] = None,
    mongo: Annotated[str | None, typer.Option(help="MongoDB filter as JSON, on top.", show_default=False)] = None,
    frames: Annotated[bool, typer.Option("--frames", help="Ask for frames instead of calculations.")] = False,
    columns: Annotated[
        str | None,
        typer.Option(
            help="Columns or fields, separated by commas; dots go into a field.",
            autocompletion=complete_columns,
            show_default="x, meant, achieved, ordering, state, energy, force",
        ),
    ] = None,
    sort: Annotated[
        str | None,
        typer.Option(
            help="Column or field to sort by; a leading - turns it round.",
            autocompletion=complete_sort,
            show_default="energy_per_fu; frames: frame_id",
        ),
    ] = None,
    limit: Annotated[int, typer.Option(min=0, help="At most this many; 0: all.")] = 0,
    form: Annotated[str, typer.Option("--format", help=f"One of {', '.join(FORMATS)}.")] = "table",
    output: Annotated[
        Path | None, typer.Option(help="File to write instead of the screen.", show_default=False)
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show calculations or frames of a campaign or a store."""
    from ..stores.query import Question, count, find  # noqa: PLC0415 - pymatgen

    form = "json" if as_json else form
    _check_words(ordering, state, form, frames)
    place = find_place(campaign, store)
    refuse_not_started(place, campaign)
    question = Question(
        kind="frames" if frames else "calculations",
        campaign=place.name,
        formula=formula,
        x=x,
        ordering=ordering,
        host=host,
        engine=engine,
        state=state,
        where=where,
        names=SHORT_NAMES,
        mongo=_mongo(mongo),
    )
    engines = sorted(place.stores.collection(question.kind).distinct("engine"))
    if engine is not None and engine not in engines:
        _check_engine(engine, engines)
    default = FRAME_COLUMNS if frames else DEFAULT_COLUMNS
    fields = [question.field(name) for name in (columns or default).split(",") if name.strip()]
    # Energies of different engines cannot be compared: they are never sorted among each other.
    by = sort or ("frame_id" if frames else "energy_per_fu")
    rows = list(find(place.stores, question, list(dict.fromkeys([*fields, "engine"])), by, limit))
    if form != "json":
        _say_what_build_makes(place.stores, question, [*fields, question.field(by.removeprefix("-"))], campaign, store)
    if form != "table" or output is not None:
        from .query_output import write_rows  # noqa: PLC0415 - start-up

        write_rows([{name: row[name] for name in fields} for row in rows], fields, form, output)
        if output is not None:
            typer.echo(f"{counted(len(rows), question.kind[:-1])} written to {output}", err=True)
        return
    _say_whose_numbers(engines if engine is None else [engine])
    there = count(place.stores, question) if limit and len(rows) == limit else len(rows)
    _print_table(rows, fields, may_go=columns is None, what="frame" if frames else "calculation", there=there)
    if not rows:
        _say_what_values_there_are(place.stores, question)
        _say_that_there_are_frames(place.stores, question)
        if engine is not None:
            _say_where_there_are_some(place.stores, question)


def _mongo(text: str | None) -> dict[str, Any] | None:
    if text is None:
        return None
    try:
        found = json.loads(text)
    except ValueError as err:
        raise ValueError(f"--mongo {text!r}: not readable as JSON: {err}") from err
    if not isinstance(found, dict):
        raise ValueError(f'--mongo {text!r}: give an object, such as {{"n_high": {{"$gt": 4}}}}')
    return found


def _check_words(ordering: str | None, state: str | None, form: str, frames: bool) -> None:
    orderings = (AS_MEANT, LOST_ORDERING) if frames else tuple(ORDERINGS)
    asked = (("--ordering", ordering, orderings), ("--state", state, STATES), ("--format", form, FORMATS))
    for option, value, known in asked:
        if value is not None and value not in known:
            raise ValueError(f"{option} {value!r} is unknown; choose one of {', '.join(known)}")
    if frames and state is not None:
        raise ValueError("--state is of calculations; leave it or --frames out")


def _check_engine(engine: str, there: Sequence[str]) -> None:
    from ..flows.engines import ENGINES  # noqa: PLC0415 - pymatgen

    known = sorted({*ENGINES, *there})
    if engine not in known:
        raise ValueError(f"--engine {engine!r} is unknown; choose one of {', '.join(known)}")


def _say_whose_numbers(engines: Sequence[str]) -> None:
    rehearsed = [engine for engine in engines if rehearsal_note(engine)]
    if rehearsed:
        typer.echo(f"{rehearsal_note(rehearsed[0])}: {', '.join(rehearsed)}")
    if len(engines) > 1:
        typer.echo(f"engines {', '.join(engines)}: their energies cannot be compared; choose one with --engine")


def _say_what_build_makes(
    stores: Stores, question: Question, shown: Sequence[str], campaign: Path | None, store: Path | None
) -> None:
    """On standard error: frames, labels or hull distances are asked for that nobody made yet."""
    collection = stores.collection(question.kind)
    asked = [*shown, *question.fields_of_where(), *(["label.as_intended"] if question.ordering else [])]
    if question.kind == "frames":
        missing = "" if collection.count({}) else "frames"
        if not missing and any(field.startswith("label") for field in asked) and not _has(collection, "label.verdict"):
            missing = "labels"
    else:
        made = dict.fromkeys(field for field in asked if field in BUILT and collection.count({}))
        missing = ", ".join(field for field in made if not _has(collection, field))
    if missing:
        how = shell_words("valenceflow", "build", *([campaign] if campaign else ["--store", store or ""]))
        typer.echo(f"nothing built yet: {how} makes the {missing} asked for", err=True)


def _has(collection: Collection, field: str) -> bool:
    """Whether any document has a value of it."""
    return any(value is not None for value in collection.distinct(field))


def _say_what_values_there_are(stores: Stores, question: Question) -> None:
    """The fractions and hosts that are there, where none is found of the one asked for."""
    collection = stores.collection(question.kind)
    for option, asked, field in (("--x", question.x, "fraction"), ("--host", question.host, "host")):
        if asked is not None:
            there = sorted({value for value in collection.distinct(field) if value is not None})
            shown = ", ".join(f"{value:.4g}" if isinstance(value, float) else str(value) for value in there[:SHOWN])
            more = f" and {len(there) - SHOWN} more" if len(there) > SHOWN else ""
            typer.echo(f"{option} {asked}: none; there are {shown or 'no values of it'}{more}")


def _say_that_there_are_frames(stores: Stores, question: Question) -> None:
    """Ingested runs are frames and no calculations."""
    if question.kind == "calculations" and stores.collection("calculations").count({}) == 0:
        number = int(stores.collection("frames").count({}))
        if number:
            typer.echo(f"no calculations, but {counted(number, 'frame')}: ingested runs are asked for by --frames")


def _say_where_there_are_some(stores: Stores, question: Question) -> None:
    """What the same question finds under other engines, where it finds nothing under the one asked for."""
    collection = stores.collection(question.kind)
    others = replace(question, engine=None).criteria(stores)
    for engine in sorted(collection.distinct("engine", others)):
        number = int(collection.count({"$and": [others, {"engine": engine}]}))
        typer.echo(f"none of engine {question.engine}; there {'is' if number == 1 else 'are'} {number} of {engine}")


def _print_table(rows: Sequence[Mapping[str, Any]], fields: Sequence[str], may_go: bool, what: str, there: int) -> None:
    """A table, its headers over two lines where that helps, else one value a line, so that no number is cut.

    Columns that were not asked for by name may go. `there` are all that match, which --limit may not show.
    """
    from rich.console import Console  # noqa: PLC0415 - start-up

    from .tables import first_that_fits, print_lines  # noqa: PLC0415

    engines = {str(row["engine"]) for row in rows}
    footer = counted(len(rows), what) if there == len(rows) else f"{len(rows)} of {counted(there, what)}"
    if len(engines) == 1 and may_go:  # said once, below the table
        fields = [name for name in fields if name != "engine"]
        footer += f", engine {engines.pop()}"
    console = Console()
    for gone in (0, *range(1, len(MAY_GO) + 1 if may_go else 1)):
        shown = [name for name in fields if name not in MAY_GO[:gone]]
        table = first_that_fits((_table(rows, shown, breaks) for breaks in (False, True)), console)
        if table is not None:
            console.print(table)
            footer += f"; a wider terminal also shows {', '.join(map(_header, MAY_GO[:gone]))}" if gone else ""
            break
    else:
        for row in rows:
            print_lines(console, [*(f"{_header(name)}: {_shown(name, row[name])}" for name in fields), ""])
    print_lines(console, [footer])


def _table(rows: Sequence[Mapping[str, Any]], fields: Sequence[str], broken_headers: bool) -> Table:
    from rich.markup import escape  # noqa: PLC0415 - start-up

    from .tables import broken, plain_table  # noqa: PLC0415

    table = plain_table()
    for name in fields:
        header = escape(_header(name))
        table.add_column(broken(header, "_") if broken_headers else header, no_wrap=True)
    for row in rows:
        table.add_row(*(escape(_shown(name, row[name])) for name in fields))
    return table


def _header(field: str) -> str:
    return _HEADERS.get(field, field)


def _shown(field: str, value: Any) -> str:
    if value is None:
        return "-"
    if field == "relation":
        return ordering_text(value)
    if isinstance(value, float):
        return f"{value:.3f}" if field == "fraction" else f"{value:z.4f}"
    if isinstance(value, list) and value and all(isinstance(part, float) for part in value):
        return " ".join(f"{part:z.2f}" for part in value)
    return str(value)
