"""Calculations as a table for people: what was meant, what came out, and how it stands against the end members."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from ..analysis.relative_energy import relative_energies_mev
from ..stores.relations import LOST

if TYPE_CHECKING:
    from ..stores.connect import Stores

MAX_ROWS = 60
NARROW = 76


def calculations_of(stores: Stores, campaign: str, engine: str) -> list[dict[str, Any]]:
    """Latest calculations of one engine, without their steps, by fraction and energy."""
    found = stores.collection("calculations").query(
        {"campaign": campaign, "engine": engine, "latest": True}, properties={"steps": 0}
    )
    return sorted(found, key=lambda c: (-c["fraction"], c["energy_per_fu"] is None, c["energy_per_fu"] or 0.0))


def calculation_table(calculations: Sequence[Mapping[str, Any]], engine: str, width: int = NARROW) -> Table:
    """Rows per calculation: x, intended and achieved key, relation, meV/f.u. (Eq. 1), moments, what the audit found.

    Parameters
    ----------
    calculations : ChargeOrderedCalculationDocs as dicts.
    engine : their engine.
    width : of the terminal; a narrow one gets the numbers without achieved keys, moments and findings.
    """
    narrow = width < NARROW
    captions = ["REHEARSAL, not DFT"] if engine.startswith("rehearsal") else []
    if len(calculations) > MAX_ROWS:
        captions.append(f"first {MAX_ROWS} of {len(calculations)}; `valenceflow query` shows all")
    if narrow:
        captions.append("a wider terminal also shows moments and the audit")
    table = Table(
        title=f"engine {engine}", caption="\n".join(captions), box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True
    )
    table.add_column("x", justify="right", no_wrap=True)
    table.add_column("meant", overflow="fold")
    if not narrow:
        table.add_column("achieved", overflow="fold")
    table.add_column("ordering", overflow="fold")
    table.add_column("meV/f.u.", justify="right", no_wrap=True)
    if not narrow:
        table.add_column("moments (muB), audit")
    for calculation, relative in zip(calculations[:MAX_ROWS], relative_energies_mev(calculations), strict=False):
        row = _row(calculation, relative)
        table.add_row(*([row[0], row[1], row[3], row[4]] if narrow else row))
    return table


def _row(calculation: Mapping[str, Any], relative: float | None) -> list[str]:
    lost = calculation["relation"] in LOST
    failed = calculation["state"] != "completed"
    relation = f"LOST: {calculation['relation']}" if lost else calculation["relation"]
    colour = "red" if failed else "yellow" if lost else ""
    shown = [
        f"{calculation['fraction']:.3f}",
        calculation["intended_key"],
        calculation["achieved_key"] or "-",
        calculation["state"] if calculation["state"] == "failed" else relation,
        "-" if relative is None else f"{relative:.1f}",
        _moments_and_findings(calculation),
    ]
    return [f"[{colour}]{cell}[/{colour}]" if colour else cell for cell in shown]


def _moments_and_findings(calculation: Mapping[str, Any]) -> str:
    moments = calculation["magmoms_redox"] or []
    text = " ".join(f"{abs(m):.2f}" for m in moments[:8]) + (" ..." if len(moments) > 8 else "")
    findings = [f["message"] for f in calculation["audit"]["findings"] if f["code"] != "ordering"]
    return "; ".join([*([text] if text else []), *findings]).replace("[", "\\[")


def summary_line(calculations: Sequence[Mapping[str, Any]], planned: int) -> str:
    """One line: how many are done, lost, failed and missing."""
    done = len(calculations)
    kept = sum(c["counts"] for c in calculations)
    lost = sum(c["state"] == "completed" and c["relation"] in LOST for c in calculations)
    audit = sum(c["state"] == "audit failed" for c in calculations)
    failed = sum(c["state"] == "failed" for c in calculations)
    return (
        f"{done} of {planned} configurations done: {kept} as meant, {lost} lost their ordering, "
        f"{audit} failed the audit, {failed} failed, {planned - done} missing"
    )
