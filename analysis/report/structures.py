"""Relaxed structures as the viewer reads them: few numbers per site, vacancies and charge states among them.

Positions are fractional coordinates in units of 1/`GRID`, which is finer than 0.003 A in a cell of 25 A.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ...inputs.supercells import HostSupercell
from ...stores.building import supercell_of
from .calculations import Part, Row

GRID = 10_000
MAX_SITES = 180_000
"""Sites in all structures of a report: 1,000 structures of the paper's 1x3x2 supercell, about 1.5 MB."""


def chosen_rows(parts: Sequence[Part], max_sites: int = MAX_SITES) -> tuple[list[Row], int]:
    """Rows whose structures a report holds: all, or the lowest of each composition first while there is room.

    Parameters
    ----------
    parts : of the report.
    max_sites : in all structures together.

    Returns
    -------
    Rows in their order, and how many were left out.
    """
    candidates = [row for part in parts for row in part.rows if has_structure(row)]
    seen: dict[tuple[int, float], int] = {}
    ranked = []
    for number, part in enumerate(parts):
        for row in part.rows:
            if has_structure(row):
                place = (number, row.fraction)
                seen[place] = seen.get(place, 0) + 1
                ranked.append((seen[place], row))
    ranked.sort(key=lambda pair: pair[0])
    kept: set[int] = set()
    sites = 0
    for _, row in ranked:
        sites += len(row.member["final"]["structure"]["sites"])
        if sites > max_sites:
            break
        kept.add(id(row))
    return [row for row in candidates if id(row) in kept], len(candidates) - len(kept)


def has_structure(row: Row) -> bool:
    """Whether the last step left a structure."""
    final = row.member["final"]
    return final is not None and bool(final.get("structure"))


class StructureEncoder:
    """Makes the viewer's structures of a part; the host's supercell is built once per campaign.

    Parameters
    ----------
    part : whose rows are encoded.
    """

    def __init__(self, part: Part) -> None:
        self._cells = {name: supercell_of(campaign) for name, campaign in part.group.campaigns.items()}

    def encode(self, row: Row) -> dict[str, Any]:
        """A structure as plain data.

        Returns
        -------
        `cell` 9 numbers, A; `elements` runs of (symbol, number); `at` 3 n_sites grid positions; `redox` site of each
        redox site in host order, with `meant` and `achieved` (1 = high, None where unknown), `moments`; `states` names
        of low and high; `vacant` grid positions of empty working-ion sites.
        """
        final = row.member["final"]
        structure = final["structure"]
        symbols = [site["species"][0]["element"] for site in structure["sites"]]
        order = {parent: place for place, parent in enumerate(final["site_order"])}
        achieved = (final.get("achieved") or {}).get("is_high")
        couple = final["couple"]
        return {
            "cell": [round(float(v), 4) for vector in structure["lattice"]["matrix"] for v in vector],
            "elements": [[symbol, len(list(run))] for symbol, run in groupby(symbols)],
            "at": _on_grid([site["abc"] for site in structure["sites"]]),
            "redox": [order[site] for site in final["redox_sites"]],
            "meant": _bits((row.member["configuration"] or {}).get("charge_bits")),
            "achieved": _bits(achieved),
            "moments": [_number(m) for m in row.member["magmoms_redox"] or ()],
            "states": [f"{couple['element']}{couple[which]['oxidation_state']}+" for which in ("low", "high")],
            "ion": (row.member["configuration"] or {}).get("working_ion", ""),
            "vacant": self._vacancies(row),
        }

    def _vacancies(self, row: Row) -> list[int]:
        """Ideal positions of the empty working-ion sites; none where the store does not know the host."""
        configuration = row.member["configuration"]
        cell: HostSupercell | None = self._cells.get(row.member["campaign"])
        if configuration is None or cell is None:
            return []
        empty = ~np.asarray(configuration["working_bits"], dtype=bool)
        if [list(r) for r in cell.matrix] != configuration["supercell"] or len(empty) != len(cell.working_sites):
            return []
        return _on_grid(cell.structure.frac_coords[cell.working_sites[empty]])


def _on_grid(positions: ArrayLike) -> list[int]:
    found: list[int] = (np.rint(GRID * np.asarray(positions, dtype=float)).astype(np.int64) % GRID).ravel().tolist()
    return found


def _bits(values: Sequence[bool] | None) -> list[int] | None:
    return None if values is None else [int(value) for value in values]


def _number(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else round(float(value), 3)


def encoded(parts: Sequence[Part], rows: Sequence[Row]) -> dict[str, dict[str, Any]]:
    """Structures by calculation id.

    Parameters
    ----------
    parts : of the report.
    rows : whose structures are wanted (`chosen_rows`).
    """
    wanted = {id(row) for row in rows}
    found: dict[str, dict[str, Any]] = {}
    for part in parts:
        encoder: StructureEncoder | None = None
        for row in part.rows:
            if id(row) in wanted:
                encoder = encoder or StructureEncoder(part)
                found[row.identity] = encoder.encode(row)
    return found
