"""Relaxations that each searcher needs to reach the optimum under a trained potential (olivine 1x2x1, x = 1/2).

    python benchmarks/search_potential.py MODEL --to FOLDER [--supercell 1 2 1] [--fraction 1/2] [--seeds 20]

Every distinct joint ordering is relaxed once under MODEL (`valenceflow train`) as the paper relaxes; FOLDER keeps the
relaxations, and a run that was stopped goes on there. The lowest of them is the optimum. Searches are then played on
this table: what counts is the number of distinct orderings evaluated up to and including the optimum.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from valenceflow.cli.progress import progress_bar
from valenceflow.inputs.charge_states import get_couple
from valenceflow.inputs.hosts import get_host
from valenceflow.inputs.orderings.catalogue import OrderingCatalogue
from valenceflow.inputs.orderings.group import JointKey
from valenceflow.inputs.supercells import HostSupercell
from valenceflow.potentials.open_models import ModelChoice
from valenceflow.potentials.relaxation import RelaxSettings
from valenceflow.search.evaluation import Evaluation, Tell
from valenceflow.search.loop import run_search
from valenceflow.search.record import SearchRecord
from valenceflow.search.relaxed import RelaxingEvaluator
from valenceflow.search.setup import SearcherChoice
from valenceflow.search.space import SearchSpace

NEVER = 10**9  # patience: only the optimum or the end of the space ends a search here
TOLERANCE = 1e-3
"""eV: relaxations of one minimum agree within it."""
SEARCHERS = {
    "hybrid, charges nested": ("hybrid", True),
    "paper-2026, both at once": ("paper-2026", False),
    "descent, both at once": ("descent", False),
}


class Table:
    """Every ordering with its relaxed energy, as an evaluator."""

    def __init__(self, evaluations: Mapping[str, Evaluation], identity: Mapping[str, Any]) -> None:
        self.evaluations, self.identity = evaluations, identity

    def __call__(self, keys: Sequence[JointKey], tell: Tell) -> None:
        """Look orderings up."""
        for key in keys:
            tell(self.evaluations[str(key)])

    @property
    def lowest(self) -> float:
        """Energy of the optimum, eV per cell."""
        return min(one.energy for one in self.evaluations.values() if np.isfinite(one.energy))


def relaxed(cell: HostSupercell, fraction: Fraction, choice: ModelChoice, fmax: float, folder: Path) -> Table:
    """Relax every joint ordering, or read what an earlier run did."""
    couple = get_couple("Fe2+/Fe3+")
    keys = [row.key for row in OrderingCatalogue(cell, couple, cell.n_working(fraction)).list()]
    evaluator = RelaxingEvaluator(cell, couple, choice, RelaxSettings(fmax=fmax), folder / "relaxations")
    found: dict[str, Evaluation] = {}
    with progress_bar("relaxing every ordering") as tell:

        def done(evaluation: Evaluation) -> None:
            found[str(evaluation.key)] = evaluation
            tell(len(found), len(keys))

        evaluator(keys, done)
    return Table(found, evaluator.identity)


def evaluations(name: str, cell: HostSupercell, fraction: Fraction, seed: int, table: Table) -> int | None:
    """Orderings that one search evaluated up to the optimum; None: it never got there."""
    searcher, nested = SEARCHERS[name]
    space = SearchSpace.of(cell, get_couple("Fe2+/Fe3+"), "ions" if nested else "both", [fraction])
    choice = SearcherChoice(searcher, {"seed": seed, "patience": NEVER}, nested)  # type: ignore[arg-type]  # names above
    group = space.group
    goal = table.lowest + TOLERANCE
    number = space.compositions[0]
    outcome = run_search(
        choice.searcher(space),
        space,
        SearchRecord(table, group.n_working, group.n_redox),
        at_most=len(table.evaluations),
        until=lambda outcome: number in outcome.best and outcome.best[number].energy <= goal,
    )
    return next((at for at, n, energy in outcome.improvements if n == number and energy <= goal), None)


def main() -> None:
    """Relax, search, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--to", type=Path, required=True, help="folder of relaxations")
    parser.add_argument("--supercell", type=int, nargs=3, default=[1, 2, 1])
    parser.add_argument("--fraction", type=Fraction, default=Fraction(1, 2))
    parser.add_argument("--fmax", type=float, default=0.01, help="of the relaxations, eV/A; the paper's is 0.01")
    parser.add_argument("--seeds", type=int, default=20)
    options = parser.parse_args()
    cell = HostSupercell.build(get_host("olivine-NaFePO4"), options.supercell)
    table = relaxed(cell, options.fraction, ModelChoice((options.model,)), options.fmax, options.to)
    failed = sum(not np.isfinite(one.energy) for one in table.evaluations.values())
    print(f"{len(table.evaluations)} orderings relaxed, {failed} failed; at random {len(table.evaluations) / 2:.0f}")
    print("| searcher | searches | reached | relaxations, quartiles |\n|---|---|---|---|")
    medians = {}
    for name in SEARCHERS:
        counts = [evaluations(name, cell, options.fraction, seed, table) for seed in range(options.seeds)]
        quartiles = np.percentile([count or np.inf for count in counts], [25, 50, 75], method="lower")
        medians[name] = quartiles[1]
        texts = "/".join("not reached" if np.isinf(q) else f"{q:.0f}" for q in quartiles)
        print(f"| {name} | {len(counts)} | {sum(count is not None for count in counts)} | {texts} |")
    first, paper = medians["hybrid, charges nested"], medians["paper-2026, both at once"]
    print(f"hybrid with nested charges / paper-2026 = {first / paper:.3f}")


if __name__ == "__main__":
    main()
