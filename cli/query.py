"""`valenceflow query`: calculations as a table or JSON, filtered."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..stores.relations import COUNTING, LOST
from .completion import complete_columns, complete_engine, complete_ordering, complete_sort, complete_state
from .places import CampaignArgument, JsonOption, StoreOption, find_place
from .wording import AS_MEANT, LOST_ORDERING, SHORT_NAMES, counted, ordering_text, rehearsal_note

if TYPE_CHECKING:
    from rich.table import Table

    from ..stores.connect import Stores

DEFAULT_COLUMNS = "x,meant,achieved,ordering,state,energy_per_fu,max_force,engine"
ORDERINGS = {LOST_ORDERING: LOST, AS_MEANT: COUNTING} | {
    relation: (relation,) for relation in (*COUNTING, *LOST, "not read")
}
"""What --ordering takes -> the relations it stands for."""

MAY_GO = ("max_force", "state", "achieved_key")
"""Columns that are left out one after the other where the terminal is narrow and none was asked for by name."""

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
    engine: Annotated[
        str | None, typer.Option(help="Engine, e.g. vasp or rehearsal:chgnet.", autocompletion=complete_engine)
    ] = None,
    columns: Annotated[
        str | None,
        typer.Option(
            help="Columns or fields, separated by commas; dots go into a field.",
            autocompletion=complete_columns,
            show_default="x, meant, achieved, ordering, state, energy, force",
        ),
    ] = None,
    sort: Annotated[
        str, typer.Option(help="Column or field to sort by; a leading - turns it round.", autocompletion=complete_sort)
    ] = "energy_per_fu",
    limit: Annotated[int, typer.Option(min=0, help="At most this many; 0: all.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Show calculations of a campaign or a store."""
    from ..flows.engines import ENGINES  # noqa: PLC0415 - pymatgen

    place = find_place(campaign, store)
    _check_words(ordering, state)
    calculations = place.stores.collection("calculations")
    engines = sorted(calculations.distinct("engine"))
    if engine is not None and engine not in (known := sorted({*ENGINES, *engines})):
        raise ValueError(f"--engine {engine!r} is unknown; choose one of {', '.join(known)}")
    criteria = _criteria(place.name, x, ordering, state, engine)
    fields = [_field(name) for name in (columns or DEFAULT_COLUMNS).split(",") if name.strip()]
    by = _field(sort.lstrip("-"))
    _check_fields(calculations.query_one({}), [*fields, by])
    # Energies of different engines cannot be compared: they are never sorted among each other.
    order: dict[str, Any] = {"engine": 1, by: -1 if sort.startswith("-") else 1}
    found = calculations.query(criteria, properties=[*fields, "engine"], sort=order, limit=limit)
    rows = [{name: _value(document, name) for name in dict.fromkeys([*fields, "engine"])} for document in found]
    if as_json:
        typer.echo(json.dumps([{name: row[name] for name in fields} for row in rows], indent=1, default=str))
        return
    _say_whose_numbers(engines if engine is None else [engine])
    _print_table(rows, fields, may_go=columns is None)
    if engine is not None and not rows:
        _say_where_there_are_some(place.stores, criteria)


def _field(name: str) -> str:
    """The field that a column shows; a field's own name is taken as well."""
    return SHORT_NAMES.get(name.strip(), name.strip())


def _check_words(ordering: str | None, state: str | None) -> None:
    for option, value, known in (("--ordering", ordering, ORDERINGS), ("--state", state, STATES)):
        if value is not None and value not in known:
            raise ValueError(f"{option} {value!r} is unknown; choose one of {', '.join(known)}")


def _check_fields(example: Mapping[str, Any] | None, names: Sequence[str]) -> None:
    for name in names:
        if example is not None and name.split(".")[0] not in example:
            there = ", ".join(sorted({*SHORT_NAMES, *example}))
            raise ValueError(f"no field {name!r} in a calculation; there are {there}")


def _say_whose_numbers(engines: Sequence[str]) -> None:
    rehearsed = [engine for engine in engines if rehearsal_note(engine)]
    if rehearsed:
        typer.echo(f"{rehearsal_note(rehearsed[0])}: {', '.join(rehearsed)}")
    if len(engines) > 1:
        typer.echo(f"engines {', '.join(engines)}: their energies cannot be compared; choose one with --engine")


def _say_where_there_are_some(stores: Stores, criteria: Mapping[str, Any]) -> None:
    """What the same question finds under other engines, where it finds nothing under the one asked for."""
    calculations = stores.collection("calculations")
    others = {name: value for name, value in criteria.items() if name != "engine"}
    for engine in sorted(calculations.distinct("engine", others)):
        number = int(calculations.count({**others, "engine": engine}))
        typer.echo(f"none of engine {criteria['engine']}; there {'is' if number == 1 else 'are'} {number} of {engine}")


def _criteria(
    name: str | None, x: str | None, ordering: str | None, state: str | None, engine: str | None
) -> dict[str, Any]:
    criteria: dict[str, Any] = {"latest": True}
    if name is not None:
        criteria["campaign"] = name
    if x is not None:
        low, high = _range(x)
        criteria["fraction"] = {"$gte": low, "$lte": high}
    if ordering is not None:
        criteria["relation"] = {"$in": list(ORDERINGS[ordering])}
    if state is not None:
        criteria["state"] = state
    if engine is not None:
        criteria["engine"] = engine
    return criteria


def _range(text: str) -> tuple[float, float]:
    low, _, high = text.partition(":")
    try:
        first = _number(low) if low.strip() else 0.0
        last = _number(high) if high.strip() else (1.0 if ":" in text else first)
    except (ValueError, ZeroDivisionError) as err:
        raise ValueError(f"--x {text!r}: give a fraction such as 0.5 or 1/2, or a range such as 0.4:0.6") from err
    slack = 1e-3
    return first - slack, last + slack


def _number(text: str) -> float:
    return float(Fraction(text.replace(" ", "")))


def _value(document: Mapping[str, Any], name: str) -> Any:
    value: Any = document
    for part in name.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _print_table(rows: Sequence[Mapping[str, Any]], fields: Sequence[str], may_go: bool) -> None:
    """A table, its headers over two lines where that helps, else one value a line, so that no number is cut.

    Columns that were not asked for by name may go.
    """
    from rich.console import Console  # noqa: PLC0415 - start-up

    from .tables import first_that_fits, print_lines  # noqa: PLC0415

    engines = {str(row["engine"]) for row in rows}
    footer = counted(len(rows), "calculation")
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
        return f"{value:.3f}" if field == "fraction" else f"{value:.4f}"
    if isinstance(value, list) and value and all(isinstance(part, float) for part in value):
        return " ".join(f"{part:.2f}" for part in value)
    return str(value)
