"""How `valenceflow orderings thermodynamics` shows what it finds: tables, JSON, a picture."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import exp
from pathlib import Path
from typing import Any

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from ..analysis.figures.style import said_source
from ..analysis.figures.thermodynamics import evenly, thermodynamics_figure
from ..analysis.relative_energy import EV_TO_MEV
from ..analysis.thermodynamics import BOLTZMANN, Floats, Thermodynamics, free_energy_hull
from ..inputs.orderings.catalogue import OrderingCatalogue
from ..inputs.orderings.expansion import ClusterExpansion
from ..inputs.supercells import supercell_text
from ..inputs.whole_files import written_whole
from .ordering_model import RankedBy
from .ordering_output import about
from .tables import first_that_fits, plain_table

SHOWN_TEMPERATURES = 12
ON_HULL = 1e-9  # eV per formula unit


@dataclass(frozen=True)
class Layout:
    """Columns of a table that are there at any temperature, and of how many temperatures it has one each."""

    columns: tuple[str, ...]
    temperatures: int = 0


COMPOSITIONS = (
    Layout(("x", "arrangements", "", "ln W\nk/f.u."), 3),
    Layout(("x", "arrangements", "ln W\nk/f.u."), 2),
    Layout(("x", "arrangements"), 1),
    Layout(("x",), 1),
)
HULL = (Layout(("x",), 3), Layout(("x",), 2), Layout(("x",), 1))
ONE = (
    Layout(("T (K)", "F\nmeV/f.u.", "E\nmeV/f.u.", "S\nk/f.u.", "C\nk/f.u.")),
    Layout(("T (K)", "F\nmeV/f.u.", "S\nk/f.u.", "C\nk/f.u.")),
    Layout(("T (K)", "S\nk/f.u.", "C\nk/f.u.")),
)
"""The fullest layout first; a terminal gets the first one that fits."""


@dataclass(frozen=True)
class Found:
    """What was asked and what came out.

    Attributes
    ----------
    catalogue : of the first composition.
    ranked_by : the energy model as it was named.
    compositions : working-ion fraction -> thermodynamics.
    sampling : sets, sweeps and seed.
    """

    catalogue: OrderingCatalogue
    ranked_by: RankedBy
    compositions: Mapping[float, Thermodynamics]
    sampling: Mapping[str, int]

    @property
    def formula_units(self) -> int:
        """In the supercell."""
        return self.catalogue.cell.formula_units

    @property
    def has_hull(self) -> bool:
        """Whether both end members are there, and something between them."""
        return len(self.compositions) > 2 and {0.0, 1.0} <= set(self.compositions)

    @property
    def is_sampled(self) -> bool:
        """Whether any composition was sampled."""
        return any(one.method == "sampled" for one in self.compositions.values())


def show(found: Found, as_json: bool) -> None:
    """Print what was found."""
    if as_json:
        typer.echo(json.dumps(_content(found), indent=1))
        return
    typer.echo(_head(found))
    console = Console()
    several = len(found.compositions) > 1
    _print(console, found, _compositions_table if several else _temperatures_table, COMPOSITIONS if several else ONE)
    if found.has_hull:
        _print(console, found, _hull_table, HULL)
    for line in [*_unsettled(found), *_peaks(found)]:
        typer.echo(line)


def _print(console: Console, found: Found, make: Callable[[Found, Layout], Table], layouts: Sequence[Layout]) -> None:
    """The fullest of several layouts that fits the terminal; the narrowest where none does."""
    tables = [make(found, layout) for layout in layouts]
    console.print(first_that_fits(tables, console) or tables[-1])


def _subject(found: Found) -> str:
    catalogue = found.catalogue
    where = f"{catalogue.cell.host.name} {supercell_text(catalogue.cell.matrix)}"
    if len(found.compositions) > 1:
        return f"{where}, {len(found.compositions)} compositions"
    at = about(catalogue)["at"]
    return f"{where}, x = {catalogue.fraction}" + (f", charges at {at}" if at else ", ions and charges")


def _head(found: Found) -> str:
    model = found.catalogue.energy_model
    lines = [_subject(found), found.ranked_by.note(model)]
    if not isinstance(model, ClusterExpansion) and found.ranked_by.dielectric == 1.0:
        lines.append(
            "unscreened: temperatures are too high by about the permittivity; --dielectric 11.4 matches CHGNet on "
            "NaxFePO4, --model takes energies of calculations"
        )
    if found.is_sampled:
        s = found.sampling
        lines.append(
            f"sampled: {s['sets']} independent sets of {s['sweeps']} sweeps, seed {s['seed']}; standard errors after ±"
        )
    return "\n".join(lines)


def _with_error(value: float, error: float | None, digits: int) -> str:
    return f"{value:z.{digits}f}" if error is None else f"{value:z.{digits}f} ± {error:.{digits}f}"


def _kelvin(temperature: float) -> str:
    """A temperature in whole K; of small ones three digits."""
    return f"{temperature:.0f}" if temperature >= 100 else f"{temperature:.3g}"


def _temperatures_table(found: Found, layout: Layout) -> Table:
    (one,) = found.compositions.values()
    table = plain_table()
    for name in layout.columns:
        table.add_column(name, justify="right", no_wrap=True)
    for place in evenly(len(one.temperatures), SHOWN_TEMPERATURES):
        cells = dict(zip(ONE[0].columns, _cells(one, place, found.formula_units), strict=True))
        table.add_row(*(cells[name] for name in layout.columns))
    table.caption = "F and E from the lowest ordering"
    return table


def _cells(one: Thermodynamics, place: int, formula_units: int) -> list[str]:
    mev, k = EV_TO_MEV / formula_units, 1.0 / (BOLTZMANN * formula_units)
    cells = [_kelvin(one.temperatures[place])]
    for name, zero, unit, digits in (
        ("free_energy", one.lowest, mev, 2), ("energy", one.lowest, mev, 2), ("entropy", 0.0, k, 4),
        ("heat_capacity", 0.0, k, 4),
    ):  # fmt: skip
        error = None if one.errors is None else unit * float(getattr(one.errors, name)[place])
        cells.append(_with_error(unit * (float(getattr(one, name)[place]) - zero), error, digits))
    return cells


def _compositions_table(found: Found, layout: Layout) -> Table:
    temperatures = next(iter(found.compositions.values())).temperatures
    places, k = evenly(len(temperatures), layout.temperatures), 1.0 / (BOLTZMANN * found.formula_units)
    table = plain_table()
    for name in layout.columns:
        table.add_column(name, justify="right", no_wrap=True)
    for place in places:
        table.add_column(f"S ({_kelvin(temperatures[place])} K)\nk/f.u.", justify="right", no_wrap=True)
    table.add_column("C peak\nK", justify="right", no_wrap=True)
    for x, one in found.compositions.items():
        errors = [None if one.errors is None else k * float(one.errors.entropy[place]) for place in places]
        entropies = [_with_error(k * float(one.entropy[p]), e, 3) for p, e in zip(places, errors, strict=True)]
        peak = "-" if one.peak is None else _with_error(one.peak.temperature, one.peak.error, 0)
        ways = f"{round(exp(one.ln_arrangements)):,}" if one.ln_arrangements < 30 else f"{exp(one.ln_arrangements):.2e}"
        firsts = (f"{x:.4g}", ways, one.method, f"{one.ln_arrangements / found.formula_units:.3f}")
        cells = dict(zip(COMPOSITIONS[0].columns, firsts, strict=True))
        table.add_row(*(cells[name] for name in layout.columns), *entropies, peak)
    return table


def _hull_table(found: Found, layout: Layout) -> Table:
    mixing, hull = free_energy_hull(found.compositions, found.formula_units)
    temperatures = next(iter(found.compositions.values())).temperatures
    places = evenly(len(temperatures), layout.temperatures)
    table = plain_table("free energy of mixing, meV/f.u.; * on the hull")
    for name in (*layout.columns, *(f"{_kelvin(temperatures[place])} K" for place in places)):
        table.add_column(name, justify="right", no_wrap=True)
    for row, x in enumerate(sorted(found.compositions)):
        marks = ["*" if mixing[row, p] - hull[row, p] < ON_HULL else " " for p in places]
        table.add_row(
            f"{x:.4g}", *(f"{EV_TO_MEV * mixing[row, p]:z.2f}{mark}" for p, mark in zip(places, marks, strict=True))
        )
    return table


def _unsettled(found: Found) -> list[str]:
    drifting = [f"{x:.4g}" for x, one in found.compositions.items() if not one.settled]
    if not drifting:
        return []
    return [f"NOT SETTLED at x = {', '.join(drifting)}: energies still drift, so errors are too small; more --sweeps"]


def _peaks(found: Found) -> list[str]:
    if len(found.compositions) > 1:
        return []
    (one,) = found.compositions.values()
    low, high = one.temperatures[0], one.temperatures[-1]
    if not one.ln_arrangements:
        return ["one arrangement only: there is nothing to order"]
    if one.peak is None:
        return [f"no peak of the heat capacity between {_kelvin(low)} and {_kelvin(high)} K: widen --temperatures"]
    error = "" if one.peak.error is None else f" ± {one.peak.error:.0f}"
    return [
        f"order-disorder temperature of this supercell: {one.peak.temperature:.0f}{error} K (peak of the heat capacity)"
    ]


def _content(found: Found) -> dict[str, Any]:
    catalogue = found.catalogue
    content = {name: about(catalogue)[name] for name in ("host", "supercell", "n_operations", "couple", "kind", "at")}
    content |= {"formula_units": found.formula_units, **found.ranked_by.facts(catalogue.energy_model)}
    content |= {"sampling": dict(found.sampling) if found.is_sampled else None}
    content["units"] = {"energies": "eV per supercell", "entropy, heat_capacity": "eV/K per supercell"}
    content["compositions"] = [_record(x, one) for x, one in found.compositions.items()]
    if found.has_hull:
        mixing, hull = free_energy_hull(found.compositions, found.formula_units)
        content["free_energy_of_mixing_ev_per_fu"] = mixing.tolist()
        content["hull_ev_per_fu"] = hull.tolist()
    return content


def _record(x: float, one: Thermodynamics) -> dict[str, Any]:
    names = ("temperatures", "free_energy", "energy", "entropy", "heat_capacity")
    record: dict[str, Any] = {"fraction": x, "method": one.method, "ln_arrangements": one.ln_arrangements}
    record |= {"lowest": one.lowest, "n_lowest": one.n_lowest, "settled": one.settled}
    record |= {name: _plain(getattr(one, name)) for name in names}
    record["order_disorder"] = None if one.peak is None else asdict(one.peak)
    errors = one.errors
    record["errors"] = None if errors is None else {name: _plain(getattr(errors, name)) for name in names[1:]}
    return record


def _plain(values: Floats) -> list[float]:
    return [float(value) for value in np.asarray(values)]


def write_figure(found: Found, path: Path) -> None:
    """Draw entropy, heat capacity and hull; the kind of picture is that of the file's suffix."""
    model = found.catalogue.energy_model
    if isinstance(model, ClusterExpansion):
        whose = f"cluster expansion of {said_source(model.source or 'energies of unknown source')}"
    else:
        whose = f"formal charges, relative permittivity {found.ranked_by.dielectric:g}: not DFT"
    methods = " and ".join(sorted({one.method for one in found.compositions.values()}))
    title = f"{_subject(found)}, {methods}\n{whose}"
    picture = thermodynamics_figure(
        found.compositions, found.formula_units, found.catalogue.cell.host.working_ion, title
    )
    with written_whole(path) as partial:
        picture.savefig(partial, format=path.suffix[1:], dpi=200)
