"""`valenceflow hull`: stable phases and voltages of a campaign, and how two campaigns agree."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .completion import complete_campaign, complete_engine
from .figures import read_results
from .places import JsonOption

if TYPE_CHECKING:
    from rich.table import Table

    from ..analysis.campaign_results import CampaignResults
    from ..analysis.hull_agreement import Hull, HullAgreement

LAYOUTS = (
    ("x", "orderings", "lowest", "meV/f.u.\nrelative", "meV/f.u.\nabove hull"),
    ("x", "lowest", "meV/f.u.\nrelative", "meV/f.u.\nabove hull"),
    ("x", "lowest", "meV/f.u.\nabove hull"),
)
"""Columns, the fullest layout first; a terminal gets the first one that fits."""


def hull(
    campaign: Annotated[
        Path,
        typer.Argument(
            metavar="CAMPAIGN.yaml", help="A campaign's file or store.sqlite.", autocompletion=complete_campaign
        ),
    ],
    engine: Annotated[
        str | None,
        typer.Option(help="Whose energies, where there are several.", autocompletion=complete_engine),
    ] = None,
    against: Annotated[
        Path | None,
        typer.Option(help="Another campaign of the same host and supercell.", autocompletion=complete_campaign),
    ] = None,
    against_engine: Annotated[
        str | None,
        typer.Option(help="Another engine, in that campaign or in this one.", autocompletion=complete_engine),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show stable phases, voltages, and how two hulls agree."""
    from ..analysis.hull_agreement import hull_agreement  # noqa: PLC0415 - pymatgen

    results, metal = read_results(campaign, engine)
    found = results.hull()
    about: dict[str, Any] = {"campaign": results.name, "source": found.source, "compositions": _compositions(found)}
    about["voltages"] = _voltages(results, metal)
    if against is not None or against_engine is not None:
        other, _ = read_results(against or campaign, against_engine)
        _same_cell(results, other)
        theirs = other.hull()
        whose = (f"{against or campaign} ({theirs.source})", f"{campaign} ({found.source})")
        agreement = hull_agreement(theirs, found, whose)
        about["against"] = {"campaign": other.name, "source": theirs.source, **agreement.as_dict()}
    if as_json:
        typer.echo(json.dumps(about, indent=1))
        return
    _show(about)
    if "against" in about:
        typer.echo("\n".join(_agreement_lines(theirs, agreement)))


def _compositions(found: Hull) -> list[dict[str, Any]]:
    """Lowest ordering of every composition."""
    rows = []
    above = found.above
    for x in sorted(set(found.x.tolist()), reverse=True):
        here = [place for place in range(len(found.names)) if found.x[place] == x]
        best = min(here, key=lambda place: float(found.energies[place]))
        rows.append(
            {
                "x": x, "orderings": len(here), "lowest": found.names[best],
                "relative_mev_per_fu": float(found.energies[best]),
                "above_hull_mev_per_fu": float(above[best]), "stable": found.names[best] in found.stable,
            }
        )  # fmt: skip
    return rows


def _voltages(results: CampaignResults, metal: dict[str, Any] | None) -> dict[str, Any]:
    """Plateaus, or why there are none."""
    from ..analysis.voltages import campaign_voltages  # noqa: PLC0415

    try:
        found = campaign_voltages(results, metal)
    except ValueError as err:
        return {"refused": str(err)}
    return {"against": found.metal, "average_V": found.average, "steps": found.rows()}


def _same_cell(results: CampaignResults, other: CampaignResults) -> None:
    """Keys of orderings mean the same in one supercell of one host alone."""
    if results.cell != other.cell:
        raise ValueError(
            f"{results.name} and {other.name} are of different hosts or supercells: their orderings do not match"
        )


def _show(about: dict[str, Any]) -> None:
    from rich.console import Console  # noqa: PLC0415 - start-up

    from .tables import first_that_fits  # noqa: PLC0415
    from .wording import rehearsal_note  # noqa: PLC0415

    note = rehearsal_note(about["source"])
    typer.echo(f"{about['campaign']}: {about['source']}" + (f" ({note})" if note else ""))
    console = Console()
    tables = [_table(about["compositions"], columns) for columns in LAYOUTS]
    console.print(first_that_fits(tables, console) or tables[-1])
    voltages = about["voltages"]
    if "refused" in voltages:
        typer.echo(f"no voltages: {voltages['refused']}")
        return
    for step in voltages["steps"]:
        typer.echo(
            f"x = {step['x_low']:.3f} to {step['x_high']:.3f}: {step['voltage_V']:.3f} V, "
            f"{step['capacity_mAh_per_g']:.1f} mAh/g"
        )
    typer.echo(f"average {voltages['average_V']:.3f} V against {voltages['against']}")


def _table(compositions: list[dict[str, Any]], columns: tuple[str, ...]) -> Table:
    """Compositions with some of the columns; where they do not fit, names of orderings are broken and no number is."""
    from .tables import plain_table  # noqa: PLC0415 - start-up

    table = plain_table()
    for column in columns:
        is_name = column == "lowest"
        table.add_column(column, justify="left" if is_name else "right", no_wrap=not is_name, overflow="fold")
    for row in compositions:
        cells = (
            f"{row['x']:.3f}", str(row["orderings"]), row["lowest"], f"{row['relative_mev_per_fu']:z.1f}",
            "stable" if row["stable"] else f"{row['above_hull_mev_per_fu']:z.1f}",
        )  # fmt: skip
        found = dict(zip(LAYOUTS[0], cells, strict=True))
        table.add_row(*(found[column] for column in columns))
    return table


def _agreement_lines(theirs: Hull, found: HullAgreement) -> list[str]:
    def names(which: tuple[str, ...]) -> str:
        return ", ".join(which) or "none"

    return [
        f"against {theirs.source}: {len(found.names)} orderings that both have"
        + (f" ({found.only_one_has} that one has alone)" if found.only_one_has else ""),
        f"  residuals, meV/f.u.: mean absolute {found.mae:.1f}, root mean square {found.rmse:.1f}, "
        f"largest {found.largest:.1f}; energy above the hull: mean absolute {found.mae_above_hull:.1f}",
        f"  stable in both: {names(found.stable_in_both)}; here alone: {names(found.only_in_second)}; "
        f"there alone: {names(found.only_in_first)}",
    ]
