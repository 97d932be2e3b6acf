"""How `valenceflow orderings` shows and writes what it finds: lines that say what is meant, tables, JSON, files."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.table import Table

from ..inputs.orderings.catalogue import OrderingCatalogue
from ..inputs.orderings.group import JointKey, count_text, ordering_group
from ..inputs.orderings.identity import IdentifiedStructure
from ..inputs.orderings.rows import OrderingCount, OrderingRow
from ..inputs.orderings.written import record, write_cif, write_cifs, write_rows
from ..inputs.supercells import HostSupercell, supercell_text
from .ordering_subject import Subject
from .progress import progress_bar
from .tables import first_that_fits, plain_table, print_lines

SHOWN = 40
"""Rows of a table unless --limit asks for more."""


def head(catalogue: OrderingCatalogue, note: str = "") -> str:
    """What the rows below are of."""
    cell, couple, space = catalogue.cell, catalogue.couple, catalogue.space
    at = _half(catalogue)
    what = "charge orderings" if at else f"{cell.host.working_ion} orderings" if catalogue.working_only else "orderings"
    high = f", {catalogue.n_high} {couple.element}{couple.high.oxidation_state}+" if not catalogue.working_only else ""
    return (
        f"{cell.host.name} {supercell_text(cell.matrix)} ({catalogue.group.order} operations), "
        f"x = {catalogue.fraction}: {catalogue.n_working} {cell.host.working_ion}{high}\n"
        f"{what}{f' at {at}' if at else ''}: {count_text(space.raw)} arrangements, "
        f"{count_text(space.distinct)} distinct" + (f"\n{note}" if note else "")
    )


def _half(catalogue: OrderingCatalogue) -> str | None:
    """Key of the working-ion ordering that was given."""
    return None if catalogue.at is None else str(JointKey(catalogue.at, None)).partition(".")[0]


@dataclass(frozen=True)
class Shown:
    """How rows are wanted: as a table, as JSON, or written to a file or folder."""

    output: Path | None
    limit: int | None
    as_json: bool


def show_rows(
    catalogue: OrderingCatalogue,
    rows: Iterable[OrderingRow],
    number: int,
    shown: Shown,
    note: str = "",
    lowest_is: str = "lowest",
    **facts: object,
) -> None:
    """Print rows as a table or JSON, or write them to a file or a folder.

    Parameters
    ----------
    catalogue : what they are of.
    rows : each is used once; a sequence where they have energies.
    number : how many there are.
    shown : as the options say.
    note : ends the first line.
    lowest_is : what energies are told above, where the lowest row is not the lowest there is.
    facts : further fields for JSON.
    """
    lowest = min((r.energy for r in rows if r.energy is not None), default=None) if isinstance(rows, Sequence) else None
    if shown.output is not None:
        written = _write(catalogue, rows, number, shown.output, lowest)
        if not isinstance(rows, Sequence):  # a listing is used up
            typer.echo(head(catalogue, note))
            typer.echo(f"{written:,} written to {shown.output}")
            return
    at_most = shown.limit or (None if shown.as_json else SHOWN)
    records = [record(row, catalogue.cell, lowest) for row in islice(rows, at_most)]
    if shown.as_json:
        above = {} if lowest is None else {"energies_above": lowest_is}
        typer.echo(json.dumps({**about(catalogue), **facts, **above, "rows": records}, indent=1))
        return
    typer.echo(head(catalogue, note))
    _print_table(records, catalogue.cell.host.working_ion, lowest_is)
    if shown.output is not None:
        typer.echo(f"{number:,} written to {shown.output}")
    elif number > len(records):
        typer.echo(f"{len(records)} of {number:,} shown; --output FILE.csv writes all, --limit N shows more")


def about(catalogue: OrderingCatalogue) -> dict[str, Any]:
    """What JSON says of the catalogue itself."""
    cell = catalogue.cell
    return {
        "host": cell.host.name,
        "supercell": [list(row) for row in cell.matrix],
        "n_operations": catalogue.group.order,
        "couple": catalogue.couple.name,
        "fraction": float(catalogue.fraction),
        "kind": catalogue.kind,
        "at": _half(catalogue),
        "arrangements": catalogue.space.raw,
        "distinct": catalogue.space.distinct,
    }


def _write(
    catalogue: OrderingCatalogue, rows: Iterable[OrderingRow], number: int, output: Path, lowest: float | None
) -> int:
    """Write rows with progress, whole or not at all; returns how many."""
    cell, couple = catalogue.cell, catalogue.couple
    with progress_bar("writing") as tell:

        def told() -> Iterator[OrderingRow]:
            for done, row in enumerate(rows, 1):
                yield row
                tell(done, number)

        if output.suffix in (".csv", ".jsonl"):
            return write_rows(output, (record(row, cell, lowest) for row in told()))
        if output.suffix == ".cif" and number == 1:
            return write_cif(output, next(told()), cell, couple)
        return write_cifs(output, ((row, record(row, cell, lowest)) for row in told()), cell, couple)


def show_counts(subject: Subject, counts: Sequence[OrderingCount], as_json: bool) -> None:
    """Counts by fraction."""
    if as_json:
        typer.echo(json.dumps([{**asdict(count), "fraction": float(count.fraction)} for count in counts], indent=1))
        return
    ion, couple = subject.cell.host.working_ion, subject.couple
    high = f"{couple.element}{couple.high.oxidation_state}+"
    columns = [("x", [str(count.fraction) for count in counts]), (ion, _texts(c.n_working for c in counts))]
    columns.append((high, _texts(count.n_high for count in counts)))
    raw = [(f"{ion}\narrangements", _texts(count.working_raw for count in counts))]
    distinct = [(f"{ion}\norderings", _texts(count.working_distinct for count in counts))]
    if any(count.charge_distinct is not None for count in counts):
        raw.append((f"{high}\narrangements", _texts(count.charge_raw for count in counts)))
        distinct.append((f"{high} orderings\nat this one", _texts(count.charge_distinct for count in counts)))
    else:
        raw.append(("joint\narrangements", _texts(count.joint_raw for count in counts)))
        distinct.append(("joint\norderings", _texts(count.joint_distinct for count in counts)))
    console = Console()
    # Arrangements go first where it is narrow: no digit is ever cut.
    layouts = [_columns([*columns, *raw, *distinct]), _columns([*columns, *distinct])]
    console.print(first_that_fits(layouts, console) or layouts[-1])


def _texts(numbers: Iterable[int | None]) -> list[str]:
    return ["-" if number is None else count_text(number) for number in numbers]


def _columns(columns: Sequence[tuple[str, list[str]]]) -> Table:
    table = plain_table()
    for name, _ in columns:
        table.add_column(name, justify="right", no_wrap=True)
    for cells in zip(*(texts for _, texts in columns), strict=True):
        table.add_row(*cells)
    return table


def _print_table(records: Sequence[dict[str, Any]], ion: str, lowest_is: str) -> None:
    """Rows as a table; a narrow terminal gets fewer columns, or lines, and no number or key is ever cut."""
    columns = _columns_of(records, ion, lowest_is)
    gone = [name for name in _MAY_GO if name in columns]
    console = Console()
    for number in range(len(gone) + 1):
        names = [name for name in columns if name not in gone[:number]]
        table = first_that_fits([_row_table({name: columns[name] for name in names})], console)
        if table is not None:
            console.print(table)
            if number:
                left = ", ".join(columns[name].header.replace("\n", " ") for name in gone[:number])
                print_lines(console, [f"a wider terminal also shows {left}"])
            return
    for cells in zip(*(column.cells for column in columns.values()), strict=True):
        headers = (column.header.replace("\n", " ") for column in columns.values())
        print_lines(console, [*(f"{header}: {cell}" for header, cell in zip(headers, cells, strict=True)), ""])


_MAY_GO = ("working", "charges", "strata", "energy")
"""Columns that a narrow terminal goes without, first one first."""


@dataclass(frozen=True)
class _Column:
    header: str
    cells: list[str]


def _columns_of(records: Sequence[dict[str, Any]], ion: str, lowest_is: str) -> dict[str, _Column]:
    """The columns that these rows fill."""
    columns = {"key": _Column("key", [row["key"] for row in records])}
    if any(row["multiplicity"] is not None for row in records):
        columns["charges"] = _Column("multiplicity\nof charges", _texts(row["multiplicity"] for row in records))
    multiplicities = _texts(row["working_multiplicity"] for row in records)
    columns["working"] = _Column(f"multiplicity\nof {ion}", multiplicities)
    if any(row["energy"] is not None for row in records):
        columns["energy"] = _Column("eV", _numbers((row["energy"] for row in records), 4))
        above = _numbers((row["energy_mev_per_fu"] for row in records), 2)
        columns["above"] = _Column(f"meV/f.u.\nabove {lowest_is}", above)
    if any(row["strata"] for row in records):
        columns["strata"] = _Column("chosen as", [", ".join(row["strata"]) for row in records])
    return columns


def _numbers(values: Iterable[float | None], places: int) -> list[str]:
    return ["-" if value is None else f"{value:.{places}f}" for value in values]


def _row_table(columns: dict[str, _Column]) -> Table:
    table = plain_table()
    for name, column in columns.items():
        table.add_column(column.header, justify="left" if name in ("key", "strata") else "right", no_wrap=True)
    for cells in zip(*(column.cells for column in columns.values()), strict=True):
        table.add_row(*cells)
    return table


def count_head(subject: Subject) -> str:
    """Whose orderings are counted."""
    cell = subject.cell
    return (
        f"{cell.host.name} {supercell_text(cell.matrix)}: {cell.structure.composition.formula}, "
        f"{ordering_group(cell).order} operations"
    )


def show_identities(found: Sequence[tuple[Path, IdentifiedStructure]], as_json: bool) -> None:
    """Keys of structures; a structure that is one before it says which."""
    records: list[dict[str, Any]] = []
    seen: dict[tuple[HostSupercell, JointKey], str] = {}
    for path, one in found:
        same_as = seen.get((one.cell, one.key))
        seen.setdefault((one.cell, one.key), str(path))
        records.append(
            {
                "file": str(path),
                "host": one.cell.host.name,
                "supercell": [list(row) for row in one.cell.matrix],
                "fraction": float(one.working.mean()),
                "key": str(one.key),
                "displacement": one.site_map.displacement,
                "same_as": same_as,
            }
        )
    if as_json:
        typer.echo(json.dumps(records, indent=1))
        return
    for row, (_, one) in zip(records, found, strict=True):
        same = f"; the same ordering as {row['same_as']}" if row["same_as"] else ""
        typer.echo(
            f"{row['file']}: {row['key']}, x = {row['fraction']:.4g}, supercell {supercell_text(one.cell.matrix)}, "
            f"atoms up to {row['displacement']:.2f} A from their sites{same}"
        )
