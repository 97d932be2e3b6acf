"""Answers of `valenceflow query` for other programs: JSON, CSV, Parquet. Imported where one is written."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import typer

from ..inputs.whole_files import write_whole, written_whole


def write_rows(rows: Sequence[Mapping[str, Any]], fields: Sequence[str], form: str, output: Path | None) -> None:
    """Write rows to a file, or to the screen.

    Parameters
    ----------
    rows, fields : what was found.
    form : json, csv or parquet.
    output : file; None: the screen, which Parquet is not for.

    Raises
    ------
    ValueError
        If Parquet is to be shown, or a table to be written.
    """
    if form == "table":
        raise ValueError("--output is for json, csv and parquet; choose one with --format")
    if form == "parquet":
        _write_parquet(rows, fields, output)
        return
    text = json.dumps(list(rows), indent=1, default=str) if form == "json" else _as_csv(rows, fields)
    if output is None:
        typer.echo(text.rstrip("\n"))
    else:
        write_whole(output, text + ("\n" if form == "json" else ""))


def _as_csv(rows: Sequence[Mapping[str, Any]], fields: Sequence[str]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(fields)
    writer.writerows([_plain(row[name]) for name in fields] for row in rows)
    return text.getvalue()


def _plain(value: Any) -> Any:
    """Lists and mappings as JSON, which CSV has no words for."""
    return json.dumps(value, default=str) if isinstance(value, dict | list) else value


def _write_parquet(rows: Sequence[Mapping[str, Any]], fields: Sequence[str], output: Path | None) -> None:
    import pyarrow as pa  # noqa: PLC0415 - only for this format
    import pyarrow.parquet as pq  # noqa: PLC0415

    if output is None:
        raise ValueError("parquet goes into a file: say which with --output answer.parquet")
    columns = {name: [row[name] for row in rows] for name in fields}
    try:
        table = pa.table(columns)
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        # A field whose documents disagree in type, such as `steps`.
        table = pa.table({name: [_plain(value) for value in values] for name, values in columns.items()})
    with written_whole(output) as partial:
        pq.write_table(table, partial)
