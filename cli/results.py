"""Calculations as a table for people: what was meant, what came out, and how it stands against the end members."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.table import Table

from ..analysis.relative_energy import relative_energies_mev

if TYPE_CHECKING:
    from ..stores.connect import Stores

LOST = ("moved", "delocalised", "ambiguous")
MAX_ROWS = 60


def calculations_of(stores: Stores, campaign: str, engine: str) -> list[dict[str, Any]]:
    """Latest calculations of one engine, without their steps, by fraction and energy."""
    found = stores.collection("calculations").query(
        {"campaign": campaign, "engine": engine, "latest": True}, properties={"steps": 0}
    )
    return sorted(found, key=lambda c: (-c["fraction"], c["energy_per_fu"] is None, c["energy_per_fu"] or 0.0))


def calculation_table(calculations: Sequence[Mapping[str, Any]], engine: str) -> Table:
    """Rows per calculation: x, intended and achieved key, relation, meV/f.u. (Eq. 1), moments, what the audit found."""
    caption = "REHEARSAL, not DFT" if engine.startswith("rehearsal") else None
    table = Table(title=f"engine {engine}", caption=caption, pad_edge=False)
    for name, justify in (("x", "right"), ("meant", "left"), ("achieved", "left"), ("ordering", "left")):
        table.add_column(name, justify=justify, no_wrap=True)  # type: ignore[arg-type]  # literals from the line above
    table.add_column("meV/f.u.", justify="right", no_wrap=True)
    table.add_column("moments (muB), audit")
    for calculation, relative in zip(calculations[:MAX_ROWS], relative_energies_mev(calculations), strict=False):
        table.add_row(*_row(calculation, relative))
    if len(calculations) > MAX_ROWS:
        table.caption = f"first {MAX_ROWS} of {len(calculations)}; `valenceflow query` shows all"
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
