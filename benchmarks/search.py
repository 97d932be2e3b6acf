"""Relaxations that each searcher needs to reach an optimum that is known, on landscapes drawn anew (olivine 1x3x2).

``python benchmarks/search.py --to FOLDER [--quick]``. What counts is the number of distinct orderings evaluated up to
and including the exact optimum at x = 2/3 (each would be a full relaxation), or up to the last vertex of the exact hull
where the composition is free. Every search is a line of FOLDER/results.jsonl with its CPU seconds; a run that was
stopped goes on where it was. The table is of all lines there.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from valenceflow.inputs.charge_states import get_couple
from valenceflow.inputs.hosts import get_host
from valenceflow.inputs.orderings.listing import working_orbits
from valenceflow.inputs.supercells import HostSupercell
from valenceflow.search.descent import DescentSettings, descent_search
from valenceflow.search.genetic import PAPER_2026, genetic_search
from valenceflow.search.hybrid import HybridSettings, hybrid_search
from valenceflow.search.landscapes import Landscape, WorkingOrderings
from valenceflow.search.loop import Outcome, run_search
from valenceflow.search.pool import CandidatePool
from valenceflow.search.record import SearchRecord
from valenceflow.search.space import SearchSpace

FIXED, FREE = "fixed composition", "free composition"
KINDS = ("short", "long")
AT_MOST = {"hybrid": 2_000, "paper-2026": 2_000, "descent": 15_622}
FREE_AT_MOST = {"hybrid": 2_000, "paper-2026": 2_000}
"""Evaluations after which a search is given up; of the paper's preset a converged population finds hardly a new one."""
NEVER = 10**9  # patience: only the optimum or the limit ends a search here
TOLERANCE = 1e-9


class Bench:
    """A space with everything that its landscapes and searchers share."""

    def __init__(self, supercell: list[int], fractions: list[Fraction] | None, folder: Path) -> None:
        cell = HostSupercell.build(get_host("olivine-NaFePO4"), supercell)
        self.space = SearchSpace.of(cell, get_couple("Fe2+/Fe3+"), "ions", fractions, charges="free")
        start = time.process_time()
        for n_working in self.space.compositions:
            self._list(n_working, folder)
        self.orderings = WorkingOrderings.of(self.space)
        self.pool = CandidatePool(self.space)
        self.listing_s = time.process_time() - start

    def _list(self, n_working: int, folder: Path) -> None:
        """List a composition; its electrostatic energies are kept in the folder."""
        group = self.space.group
        kept = folder / f"electrostatics-{n_working}-of-{group.n_working}.npy"
        if kept.exists():
            self.space.minima_kept[n_working] = working_orbits(group, n_working), np.load(kept)
        else:
            np.save(kept, self.space.working_minima(n_working)[1])

    def run(self, searcher: str, kind: str, seed: int) -> dict[str, Any]:
        """One search on one landscape."""
        landscape = Landscape.drawn(self.orderings, kind, seed)
        free = len(self.space.compositions) > 1
        goals = landscape.vertices() if free else {n: landscape.lowest(n) for n in self.space.compositions}
        group = self.space.group
        start = time.process_time()
        outcome = run_search(
            self._searcher(searcher, seed),
            self.space,
            SearchRecord(landscape, group.n_working, group.n_redox),
            at_most=(FREE_AT_MOST if free else AT_MOST)[searcher],
            until=lambda outcome: _missing(outcome, goals) == 0,
        )
        missing = _missing(outcome, goals)
        reached = [at for at, n, energy in outcome.improvements if n in goals and energy <= goals[n] + TOLERANCE]
        return {
            "case": FREE if free else FIXED,
            "searcher": searcher,
            "landscape": kind,
            "seed": seed,
            "evaluations": None if missing else max(reached),
            "found": len(goals) - missing,
            "goals": len(goals),
            "stopped_at": outcome.n_evaluations,
            "cpu_s": time.process_time() - start,
        }

    def _searcher(self, name: str, seed: int) -> Any:
        if name == "hybrid":
            return hybrid_search(self.space, HybridSettings(seed=seed, patience=NEVER), pool=self.pool)
        if name == "paper-2026":
            return genetic_search(self.space, replace(PAPER_2026, seed=seed, patience=NEVER))
        return descent_search(self.space, DescentSettings(seed=seed, patience=NEVER))


def _missing(outcome: Outcome, goals: dict[int, float]) -> int:
    return sum(n not in outcome.best or outcome.best[n].energy > e + TOLERANCE for n, e in goals.items())


def table(rows: list[dict[str, Any]]) -> list[str]:
    """Quartiles of every group of rows; an optimum that was not reached counts as infinitely far."""
    lines = [
        "| case | landscapes | searcher | searches | reached | quartiles | CPU s, median |",
        "|---|---|---|---|---|---|---|",
    ]
    for group in dict.fromkeys((row["case"], row["landscape"], row["searcher"]) for row in rows):
        mine = [row for row in rows if (row["case"], row["landscape"], row["searcher"]) == group]
        numbers = sorted(np.inf if row["evaluations"] is None else row["evaluations"] for row in mine)
        quartiles = np.percentile(numbers, [25, 50, 75], method="lower")
        texts = "/".join("not reached" if np.isinf(q) else f"{q:.0f}" for q in quartiles)
        reached = sum(row["evaluations"] is not None for row in mine)
        cpu = np.median([row["cpu_s"] for row in mine])
        lines.append(f"| {group[0]} | {group[1]} | {group[2]} | {len(mine)} | {reached} | {texts} | {cpu:.1f} |")
    return lines


def median(rows: list[dict[str, Any]], case: str, kind: str, searcher: str) -> float:
    """Median evaluations of a group; infinite where fewer than half of the searches arrived."""
    mine = [r for r in rows if (r["case"], r["landscape"], r["searcher"]) == (case, kind, searcher)]
    return float(np.percentile([r["evaluations"] or np.inf for r in mine], 50, method="lower")) if mine else np.nan


def main() -> None:
    """Run what is missing and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--to", type=Path, required=True, help="folder of results.jsonl")
    parser.add_argument("--quick", action="store_true", help="two landscapes of a 112-atom cell: a test of this file")
    parser.add_argument("--only", choices=["fixed", "free"])
    options = parser.parse_args()
    cell, n_landscapes, n_free = ([1, 2, 2], 2, 1) if options.quick else ([1, 3, 2], 20, 10)
    fixed = [Fraction(1, 2)] if options.quick else [Fraction(2, 3)]
    plan = [(FIXED, k, s, seed) for seed in range(n_landscapes) for k in KINDS for s in AT_MOST]
    plan += [(FREE, k, s, seed) for seed in range(n_free) for k in KINDS for s in FREE_AT_MOST]
    options.to.mkdir(parents=True, exist_ok=True)
    path = options.to / "results.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    done = {(row["case"], row["landscape"], row["searcher"], row["seed"]) for row in rows}
    benches: dict[str, Bench] = {}
    for case, kind, searcher, seed in plan:
        if (options.only or case.partition(" ")[0]) not in case or (case, kind, searcher, seed) in done:
            continue
        if case not in benches:
            benches = {
                case: Bench(cell, fixed if case == FIXED else None, options.to)
            }  # one at a time: the free one is large
            print(f"{case}: orderings and candidates prepared in {benches[case].listing_s:.0f} CPU s", flush=True)
        row = benches[case].run(searcher, kind, seed)
        rows.append(row)
        with path.open("a") as file:
            file.write(json.dumps(row) + "\n")
        print(row, flush=True)
    print("\n".join(table(rows)))
    for kind in KINDS if any(row["case"] == FIXED for row in rows) else ():
        ratio = median(rows, FIXED, kind, "hybrid") / median(rows, FIXED, kind, "paper-2026")
        print(f"{kind}: hybrid / paper-2026 = {ratio:.3f} (promised: at most 0.1)")


if __name__ == "__main__":
    main()
