"""`valenceflow query`: calculations as a table or JSON, filtered."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from ..flows.engines import ENGINES
from ..stores.relations import LOST
from .completion import complete_columns, complete_engine, complete_ordering, complete_sort, complete_state
from .places import CampaignArgument, JsonOption, StoreOption, find_place

DEFAULT_COLUMNS = "fraction,intended_key,achieved_key,relation,state,energy_per_fu,max_force,engine"
WIDE = 10_000
ORDERINGS = ("lost", "kept", "equivalent", "measured", "moved", "delocalised", "ambiguous", "not read")
STATES = ("completed", "failed", "audit failed")


def query(
    campaign: CampaignArgument = None,
    store: StoreOption = None,
    x: Annotated[str | None, typer.Option("--x", help="Working-ion fraction: 0.5, or a range 0.4:0.6.")] = None,
    ordering: Annotated[
        str | None,
        typer.Option(
            help="kept, equivalent, measured, moved, delocalised, ambiguous, or lost (the last three).",
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
        str,
        typer.Option(
            help="Fields, separated by commas; dots go into a field.",
            autocompletion=complete_columns,
            show_default="x, keys, relation, state, energy, force",
        ),
    ] = DEFAULT_COLUMNS,
    sort: Annotated[
        str, typer.Option(help="Field to sort by; a leading - turns it round.", autocompletion=complete_sort)
    ] = "energy_per_fu",
    limit: Annotated[int, typer.Option(min=0, help="At most this many; 0: all.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Show calculations of a campaign or a store."""
    place = find_place(campaign, store)
    _check_words(ordering, state)
    calculations = place.stores.collection("calculations")
    engines = sorted(calculations.distinct("engine"))
    if engine is not None and engine not in (known := sorted({*ENGINES, *engines})):
        raise ValueError(f"--engine {engine!r} is unknown; choose one of {', '.join(known)}")
    criteria = _criteria(place.name, x, ordering, state, engine)
    fields = [name.strip() for name in columns.split(",") if name.strip()]
    by = sort.lstrip("-")
    _check_fields(calculations.query_one({}), [*fields, by])
    # Energies of different engines cannot be compared: they are never sorted among each other.
    order: dict[str, Any] = {"engine": 1, by: -1 if sort.startswith("-") else 1}
    found = calculations.query(criteria, properties=[*fields, "engine"], sort=order, limit=limit)
    rows = [{name: _value(document, name) for name in fields} for document in found]
    if not as_json:
        _say_whose_numbers(engines if engine is None else [engine])
    if as_json:
        typer.echo(json.dumps(rows, indent=1, default=str))
        return
    _print_table(rows, fields)


def _check_words(ordering: str | None, state: str | None) -> None:
    for option, value, known in (("--ordering", ordering, ORDERINGS), ("--state", state, STATES)):
        if value is not None and value not in known:
            raise ValueError(f"{option} {value!r} is unknown; choose one of {', '.join(known)}")


def _check_fields(example: Mapping[str, Any] | None, names: Sequence[str]) -> None:
    for name in names:
        if example is not None and name.split(".")[0] not in example:
            raise ValueError(f"no field {name!r} in a calculation; there are {', '.join(sorted(example))}")


def _say_whose_numbers(engines: Sequence[str]) -> None:
    rehearsed = [engine for engine in engines if engine.startswith("rehearsal")]
    if rehearsed:
        typer.echo(f"REHEARSAL, not DFT: {', '.join(rehearsed)}")
    if len(engines) > 1:
        typer.echo(f"engines {', '.join(engines)}: their energies cannot be compared; choose one with --engine")


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
        criteria["relation"] = {"$in": list(LOST)} if ordering == "lost" else ordering
    if state is not None:
        criteria["state"] = state
    if engine is not None:
        criteria["engine"] = engine
    return criteria


def _range(text: str) -> tuple[float, float]:
    low, _, high = text.partition(":")
    try:
        first = float(low) if low else 0.0
        last = float(high) if high else (1.0 if ":" in text else first)
    except ValueError as err:
        raise ValueError(f"--x {text!r}: give a fraction such as 0.5, or a range such as 0.4:0.6") from err
    slack = 1e-3
    return first - slack, last + slack


def _value(document: Mapping[str, Any], name: str) -> Any:
    value: Any = document
    for part in name.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _print_table(rows: Sequence[Mapping[str, Any]], fields: Sequence[str]) -> None:
    from rich.box import SIMPLE_HEAD  # noqa: PLC0415 - start-up
    from rich.console import Console  # noqa: PLC0415
    from rich.markup import escape  # noqa: PLC0415
    from rich.measure import Measurement  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    engines = {str(row["engine"]) for row in rows if "engine" in row}
    footer = f"{len(rows)} calculations"
    if len(engines) == 1:  # said once, below the table
        fields = [name for name in fields if name != "engine"]
        footer += f", engine {engines.pop()}"
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for name in fields:
        table.add_column(name.replace("_", "_\n"), no_wrap=True)
    for row in rows:
        table.add_row(*(escape(_shown(row[name])) for name in fields))
    console = Console()
    if Measurement.get(console, console.options.update(width=WIDE), table).maximum <= console.width:
        console.print(table)
    else:  # too narrow for a table: one value a line, so that no number is cut
        for row in rows:
            lines = "\n".join(f"{name}: {_shown(row[name])}" for name in fields)
            console.print(f"{lines}\n", highlight=False, markup=False, soft_wrap=True)
    console.print(footer, highlight=False)


def _shown(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.4f}" if isinstance(value, float) else str(value)
