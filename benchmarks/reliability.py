"""The figures on reliability, one table each (CONTRIBUTING.md names the targets).

    python benchmarks/reliability.py [--only store --only kills] [--seed 1] [--json]

A table is a function from a seed to rows; to add one, add it to `TABLES`.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from kills import kill_table
from reliability_store import store_rows

Rows = list[dict[str, Any]]


def store(seed: int) -> Rows:
    """8 writing processes and a reader, 10,000 documents; killed writers; power cuts."""
    return [asdict(row) for row in store_rows(seed=seed)]


def kills(seed: int) -> Rows:
    """20 SIGKILLs at random moments over launcher, worker and VASP."""
    return [{"what": name, "number": number} for name, number in kill_table(20, seed).items()]


def kills_with_inbox(seed: int) -> Rows:
    """The same where the launcher alone may write to the store, as on network file systems."""
    return [{"what": name, "number": number} for name, number in kill_table(20, seed, inbox=True).items()]


TABLES: dict[str, Callable[[int], Rows]] = {"store": store, "kills": kills, "kills_with_inbox": kills_with_inbox}


def as_text(rows: Rows) -> str:
    """Rows in columns."""
    cells = [list(rows[0]), *([_cell(value) for value in row.values()] for row in rows)]
    widths = [max(len(line[place]) for line in cells) for place in range(len(cells[0]))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in cells)


def _cell(value: Any) -> str:
    return f"{value:.1f}" if isinstance(value, float) else str(value)


def main() -> int:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", action="append", choices=list(TABLES), help="a table (repeatable; default: all)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    tables = {name: TABLES[name](options.seed) for name in options.only or TABLES}
    if options.json:
        print(json.dumps(tables, indent=1))
    else:
        print("\n\n".join(f"{name}: {TABLES[name].__doc__}\n{as_text(rows)}" for name, rows in tables.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
