"""Orderings with energies from a CSV or JSON lines file: columns `key` and `energy`, as `orderings list` writes them.

For energies that were made elsewhere, by a potential, say: list, evaluate, fill in the column, fit.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..supercells import HostSupercell
from .energies import Floats
from .group import Bits, bits_from_hex


def read_energies(path: Path, cell: HostSupercell) -> tuple[Bits, Bits, Floats]:
    """Read orderings and their energies.

    Parameters
    ----------
    path : .csv with a header, or .jsonl; `key` is WORKING.CHARGE, `energy` in eV per supercell.
    cell : the supercell of the keys.

    Returns
    -------
    working (n, n_working) bool, charge (n, n_redox) bool, energies (n,) eV per supercell.

    Raises
    ------
    ValueError
        If the file is missing or of another kind, or a row has no key of this supercell or no energy; the row is named.
    """
    working, charge, energies = [], [], []
    for place, row in _rows(path):
        where = f"{path}, {place}"
        first, _, second = str(row.get("key") or "").partition(".")
        try:
            working.append(bits_from_hex(first, len(cell.working_sites)))
            charge.append(bits_from_hex(second, len(cell.redox_sites)))
        except ValueError as err:
            raise ValueError(f"{where}: key {row.get('key')!r}: {err}") from err
        energies.append(_energy(row.get("energy"), where))
    if not energies:
        raise ValueError(f"{path} holds no ordering; it needs the columns key and energy (eV per supercell)")
    return np.array(working), np.array(charge), np.array(energies)


def _rows(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Each row with its place in words."""
    if path.suffix not in (".csv", ".jsonl"):
        raise ValueError(f"{path}: energies are read from a .csv or .jsonl file")
    try:
        with path.open(encoding="utf-8", newline="") as file:
            if path.suffix == ".csv":
                yield from ((f"row {number}", row) for number, row in enumerate(csv.DictReader(file), 1))
                return
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield f"line {number}", _object(line, f"{path}, line {number}")
    except FileNotFoundError as err:
        raise ValueError(f"{path}: no such file") from err
    except UnicodeDecodeError as err:
        raise ValueError(f"{path}: not readable as text: {err}") from err


def _object(line: str, where: str) -> Mapping[str, Any]:
    try:
        found = json.loads(line)
    except ValueError as err:
        raise ValueError(f"{where}: no JSON: {err}") from err
    if not isinstance(found, dict):
        raise ValueError(f"{where}: expected an object with key and energy, got {line.strip()[:40]}")
    return found


def _energy(value: Any, where: str) -> float:
    try:
        energy = float(value)
    except (TypeError, ValueError) as err:
        raise ValueError(f"{where}: energy {value!r} is no number; give eV per supercell or leave the row out") from err
    if not math.isfinite(energy):
        raise ValueError(f"{where}: energy {value!r} is not finite; leave the row out")
    return energy
