"""Every figure on reliability in one table; fails where one is not as promised.

    python benchmarks/reliability.py [--only messages --only store ...] [--seed 1] [--markdown | --json]

Parts: `messages` (custodian's VASP messages, one by one), `faults` (every known fault of a run), `campaign` (20
configurations, a random fault in every third), `kills`, `kills-inbox` and `kills-large` (SIGKILLs of launcher, workers
and VASP, of a builder too), `store` (many writers, killed writers, power cuts). A part is a function from a seed to
rows; all of them take some two hours on two busy cores.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from time import perf_counter

from faults import measure
from kills import HARMS, KILLED, kill_table
from reliability_row import HEAD, Row, as_markdown, as_text
from reliability_store import store_rows

KILLS, LARGE_KILLS = 20, 100


def messages(seed: int) -> Iterator[Row]:
    """Custodian's messages under our handlers: handled, surfaced or silent."""
    from reliability_faults import message_rows  # sets pymatgen's environment

    return message_rows()


def faults(seed: int) -> Iterator[Row]:
    """Every known fault of a VASP run: found as what?"""
    from reliability_faults import fault_rows

    return fault_rows()


def campaign(seed: int) -> Iterator[Row]:
    """A campaign of 20 configurations, a random fault in every third."""
    with tempfile.TemporaryDirectory(prefix="valenceflow-campaign-") as name:
        found = measure(Path(name), seed)
    for key, row in found.pop("faults").items():
        yield Row("campaign", f"{row['fault']} in {key}", "explained", row["outcome"], bool(row["outcome"]))
    total, unexplained = found.pop("configurations"), found["neither audited nor explained"]
    detail = ", ".join(f"{name}: {number}" for name, number in found.items())
    yield Row("campaign", f"{total} configurations", f"{unexplained} unexplained", detail, not any(found.values()))


def kills(seed: int) -> Iterator[Row]:
    """SIGKILLs at random moments over launcher, worker and VASP."""
    yield _kill_row("kills", seed)


def kills_with_inbox(seed: int) -> Iterator[Row]:
    """The same where the launcher alone may write to the store, as on network file systems."""
    yield _kill_row("kills", seed, inbox=True)


def kills_large(seed: int) -> Iterator[Row]:
    """Five times as many in a campaign of 50 configurations, with a builder beside it that is killed too."""
    yield _kill_row("kills", seed, kills=LARGE_KILLS, large=True)


def _kill_row(part: str, seed: int, kills: int = KILLS, inbox: bool = False, large: bool = False) -> Row:
    counts = kill_table(kills, seed, inbox, large)
    killed = {name.removeprefix(KILLED): number for name, number in counts.items() if name.startswith(KILLED)}
    told = [", ".join(f"{number} {target}" for target, number in killed.items())]
    told += [f"{counts['configurations']} configurations"]
    told += [f"{name}: {counts[name]}" for name in HARMS if name != "lost"]
    way = " with an inbox" if inbox else ""
    good = sum(killed.values()) == kills and not any(counts[name] for name in HARMS)
    case = f"{sum(killed.values())} SIGKILLs{way}"
    return Row(part, case, f"{counts['lost']} lost", "; ".join(told), good)


def store(seed: int) -> Iterator[Row]:
    """8 writing processes and a reader, 10,000 documents; killed writers; power cuts."""
    for row in store_rows(seed=seed):
        detail = f"{row.acknowledged:,} documents acknowledged, {row.doubled} doubled, "
        detail += f"file {'sound' if row.sound else 'DAMAGED'}, {row.seconds:.0f} s"
        good = not row.lost and not row.doubled and row.sound
        yield Row("store", f"{row.what} ({row.way})", f"{row.lost} lost", detail, good)


PARTS: dict[str, Callable[[int], Iterator[Row]]] = {
    "messages": messages,
    "faults": faults,
    "campaign": campaign,
    "kills": kills,
    "kills-inbox": kills_with_inbox,
    "kills-large": kills_large,
    "store": store,
}


def main() -> int:
    """Print the table as it grows."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", action="append", choices=list(PARTS), help="a part (repeatable; default: all)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--markdown", action="store_true")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    # What custodian and pymatgen say of the faults is not the table.
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    show = as_markdown if options.markdown else as_text
    if not options.json:
        print(show(HEAD), flush=True)
    if options.markdown:
        print("|--" * len(HEAD) + "|")
    rows, begin = [], perf_counter()
    for name in options.only or PARTS:
        for row in PARTS[name](options.seed):
            rows.append(row)
            if not options.json:
                print(show(row.cells), flush=True)
    bad = sum(not row.good for row in rows)
    if options.json:
        print(json.dumps([asdict(row) for row in rows], indent=1))
    else:
        print(f"\n{len(rows)} rows, {bad} not as promised; {(perf_counter() - begin) / 60:.0f} min")
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main())
