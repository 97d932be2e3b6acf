"""Orderings as files: CSV, JSON lines, or a folder of CIFs that campaigns take as `reference:` and `file:`.

A file appears under its name when it is whole; what an interrupted writing left is swept away by the next one.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from pymatgen.core import Structure
from pymatgen.io.cif import CifWriter

from ..charge_states import RedoxCouple
from ..supercells import HostSupercell
from ..whole_files import written_whole
from .group import JointKey
from .rows import OrderingRow

INDEX = "index.csv"
COLUMNS = (
    "key",
    "fraction",
    "multiplicity",
    "working_multiplicity",
    "energy",
    "energy_mev_per_fu",
    "strata",
    "in_statistics",
)


def ordered_structure(cell: HostSupercell, couple: RedoxCouple, key: JointKey) -> Structure:
    """The idealised structure of an ordering, decorated with oxidation states unless the charge order is free."""
    structure = cell.structure.copy()
    structure.remove_site_property("host_site")
    if key.charge is not None:
        charges = cell.host.oxidation_states | {couple.element: couple.low.oxidation_state}
        states = np.array([charges[site.specie.symbol] for site in structure])
        states[cell.redox_sites[key.charge]] = couple.high.oxidation_state
        structure.add_oxidation_state_by_site(states.tolist())
    structure.remove_sites(cell.working_sites[~key.working].tolist())
    return structure.relabel_sites()  # labels of a CIF have to be unique


def record(row: OrderingRow, cell: HostSupercell, lowest: float | None = None) -> dict[str, Any]:
    """A row as plain values.

    Parameters
    ----------
    row : the ordering.
    cell : its supercell.
    lowest : energy, eV per supercell, that `energy_mev_per_fu` counts from; None: no such column.
    """
    relative = None
    if row.energy is not None and lowest is not None:
        relative = 1000 * (row.energy - lowest) / cell.formula_units
    return {
        "key": str(row.key),
        "fraction": float(row.key.working.mean()),
        "multiplicity": row.multiplicity,
        "working_multiplicity": row.working_multiplicity,
        "energy": row.energy,
        "energy_mev_per_fu": relative,
        "strata": list(row.strata),
        "in_statistics": row.in_statistics,
    }


def write_rows(path: Path, records: Iterable[Mapping[str, Any]]) -> int:
    """Write records as CSV or JSON lines, by the file's suffix; returns how many.

    Raises
    ------
    ValueError
        If the suffix is neither .csv nor .jsonl.
    OSError
        If it cannot be written; nothing is left under the name then.
    """
    if path.suffix not in (".csv", ".jsonl"):
        raise ValueError(f"{path}: name a file .csv or .jsonl, or a folder for CIFs")
    with written_whole(path) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        return _write_csv(file, records) if path.suffix == ".csv" else _write_lines(file, records)


def _write_csv(file: TextIO, records: Iterable[Mapping[str, Any]]) -> int:
    writer, number = csv.DictWriter(file, COLUMNS, extrasaction="ignore"), 0
    writer.writeheader()
    for number, entry in enumerate(records, 1):  # noqa: B007 - counted
        writer.writerow({**entry, "strata": " ".join(entry["strata"])})
    return number


def _write_lines(file: TextIO, records: Iterable[Mapping[str, Any]]) -> int:
    number = 0
    for number, entry in enumerate(records, 1):  # noqa: B007 - counted
        file.write(json.dumps(entry) + "\n")
    return number


def write_cif(path: Path, row: OrderingRow, cell: HostSupercell, couple: RedoxCouple) -> int:
    """Write one ordering as a CIF; returns 1."""
    with written_whole(path) as partial:
        CifWriter(ordered_structure(cell, couple, row.key)).write_file(partial)
    return 1


def write_cifs(
    folder: Path,
    records: Iterable[tuple[OrderingRow, Mapping[str, Any]]],
    cell: HostSupercell,
    couple: RedoxCouple,
    progress: Callable[[int], None] | None = None,
) -> int:
    """Write one CIF per ordering, named by place and key, and an index; returns how many.

    Parameters
    ----------
    folder : made; it may be there already if it is empty.
    records : each row with its record.
    cell, couple : of the orderings.
    progress : called with the number written so far.

    Raises
    ------
    ValueError
        If the folder holds something already.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"{folder} is not empty; name a new folder")
    with written_whole(folder) as partial:
        partial.mkdir(parents=True)

        def written() -> Iterator[Mapping[str, Any]]:
            for number, (row, entry) in enumerate(records, 1):
                name = f"{number:05d}-{row.key}.cif"
                CifWriter(ordered_structure(cell, couple, row.key)).write_file(partial / name)
                if progress is not None:
                    progress(number)
                yield entry

        return write_rows(partial / INDEX, written())
