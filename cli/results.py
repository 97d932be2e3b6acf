"""Calculations as a table for people: what was meant, what came out, and how it stands against the end members."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ..analysis.relative_energy import relative_energies_mev
from ..stores.relations import LOST
from ..stores.sharing import documents_of
from .tables import first_that_fits, plain_table
from .wording import AS_MEANT, AUDIT_FAILED, FAILED, LOST_ORDERING, MISSING, counted, ordering_text, rehearsal_note

if TYPE_CHECKING:
    from ..stores.connect import Stores

MAX_ROWS = 60
MAX_NOTES = 20
SHOWN_MOMENTS = 8
LAYOUTS: tuple[tuple[str, ...], ...] = (
    ("x", "meant", "achieved", "outcome", "meV/f.u.", "moments (muB)"),
    ("x", "meant", "achieved", "outcome", "meV/f.u."),
    ("x", "meant", "outcome", "meV/f.u."),
)
"""Columns, the fullest layout first; a terminal gets the first one that fits."""

_RIGHT = ("x", "meV/f.u.")


def calculations_of(stores: Stores, campaign: str, engine: str) -> list[dict[str, Any]]:
    """Latest calculations of one engine, without their steps, by fraction and energy."""
    found = documents_of(stores, "calculations", campaign, {"engine": engine, "latest": True}, {"steps": 0})
    return sorted(found, key=lambda c: (-c["fraction"], c["energy_per_fu"] is None, c["energy_per_fu"] or 0.0))


def calculation_table(
    calculations: Sequence[Mapping[str, Any]], engine: str, columns: Sequence[str] = LAYOUTS[0]
) -> Table:
    """Rows per calculation: x, intended and achieved key, ordering or failure, meV/f.u. (Eq. 1), moments.

    Parameters
    ----------
    calculations : ChargeOrderedCalculationDocs as dicts.
    engine : their engine.
    columns : one of `LAYOUTS`.
    """
    captions = [note] if (note := rehearsal_note(engine)) else []
    if len(calculations) > MAX_ROWS:
        captions.append(f"first {MAX_ROWS} of {len(calculations)}; `valenceflow query` shows all")
    table = plain_table(f"engine {engine}", "\n".join(captions))
    for column in columns:
        table.add_column(column, justify="right" if column in _RIGHT else "left", no_wrap=True)
    for calculation, relative in zip(calculations[:MAX_ROWS], relative_energies_mev(calculations), strict=False):
        cells = _cells(calculation, relative)
        table.add_row(*(cells[column] for column in columns), style=_colour(calculation))
    return table


def fitting_table(calculations: Sequence[Mapping[str, Any]], engine: str, console: Console) -> Table:
    """The fullest table that fits the terminal; the narrowest where none does."""
    layouts = (calculation_table(calculations, engine, columns) for columns in LAYOUTS)
    return first_that_fits(layouts, console) or calculation_table(calculations, engine, LAYOUTS[-1])


def _cells(calculation: Mapping[str, Any], relative: float | None) -> dict[str, str]:
    completed = calculation["state"] == "completed"
    return {
        "x": f"{calculation['fraction']:.3f}",
        "meant": calculation["intended_key"],
        "achieved": calculation["achieved_key"] or "-",
        "outcome": ordering_text(calculation["relation"]) if completed else calculation["state"],
        "meV/f.u.": "-" if relative is None else f"{relative:z.1f}",
        "moments (muB)": _moments(calculation),
    }


def _colour(calculation: Mapping[str, Any]) -> str:
    if calculation["state"] != "completed":
        return "red"
    return "yellow" if calculation["relation"] in LOST else ""


def _moments(calculation: Mapping[str, Any]) -> str:
    moments = calculation["magmoms_redox"] or []
    return escape(" ".join(f"{abs(m):.2f}" for m in moments[:SHOWN_MOMENTS]) + " ..." * (len(moments) > SHOWN_MOMENTS))


def notes(calculations: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """What the audit found and what was tried, one line each; the ordering is told by the table."""
    lines = [
        f"x = {c['fraction']:.3f} {c['intended_key']}: {finding['message']}"
        for c in calculations[:MAX_ROWS]
        for finding in c["audit"]["findings"]
        if finding["code"] != "ordering"
    ]
    if lines:
        yield "notes:"
        yield from (f"  {line}" for line in lines[:MAX_NOTES])
    if len(lines) > MAX_NOTES:
        yield f"  and {len(lines) - MAX_NOTES} more; `valenceflow query --columns meant,audit.findings` shows all"


def summary_line(calculations: Sequence[Mapping[str, Any]], planned: Collection[str]) -> str:
    """One line: how many of the planned configurations are done, lost, failed and missing.

    Parameters
    ----------
    calculations : latest ones of any configurations.
    planned : ids of the configurations that are asked for.
    """
    ours = [c for c in calculations if c["configuration_id"] in planned]
    lost = sum(c["state"] == "completed" and c["relation"] in LOST for c in ours)
    states = {state: sum(c["state"] == state for c in ours) for state in ("completed", AUDIT_FAILED, FAILED)}
    parts = {
        AS_MEANT: states["completed"] - lost,
        LOST_ORDERING: lost,
        AUDIT_FAILED: states[AUDIT_FAILED],
        FAILED: states[FAILED],
        MISSING: len(planned) - len(ours),
    }
    return f"{len(ours)} of {counted(len(planned), 'configuration')} done: " + ", ".join(
        f"{number} {what}" for what, number in parts.items()
    )
