"""Speed of the exact orderings on olivine 1x3x2 (24 Na, 24 Fe, 48 operations), beside other programs.

``python benchmarks/orderings.py [--peers FOLDER] [--json]``. All times are CPU time on one core (set
OMP_NUM_THREADS=1): the median of many repeats, and the fastest, which is held against the promise, as neighbours on a
busy machine take the cache away but never add to it. With ``--peers`` the same tasks are done by
bsym, SHRY, icet, smol and pymatgen in the environments that ``benchmarks/peer_environments.py FOLDER`` makes; where a
program is too slow for the whole task a part is done, and the time is scaled to the whole.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from orderings_problem import CELL, COUPLE, LARGE, noisy, occupied, problem
from peer_environments import python_of
from valenceflow.inputs.orderings.annealing import anneal_charges, anneal_joint
from valenceflow.inputs.orderings.electrostatics import ElectrostaticModel
from valenceflow.inputs.orderings.energies import ordering_energies
from valenceflow.inputs.orderings.expansion import fit_expansion
from valenceflow.inputs.orderings.group import burnside_count, joint_burnside_count, ordering_group
from valenceflow.inputs.orderings.identity import key_of
from valenceflow.inputs.orderings.listing import charge_orbits, list_orbits, working_orbits
from valenceflow.inputs.orderings.optimum import joint_optimum, lowest_working_orderings
from valenceflow.inputs.orderings.random_orbits import sample_orbits
from valenceflow.inputs.orderings.ranking import charge_energies, lowest_charge_orderings

DISTINCT = "distinct orderings of 735,471 with multiplicities"
ENERGIES = "all 735,471 energies of one Na ordering"
BEST = "best charge ordering of a new Na ordering"
NEW = "is it new? the key, or a pair for StructureMatcher"

# Task: (environment, function of orderings_peers.py).
PEER_TASKS = {
    DISTINCT: [("bsym", "bsym"), ("shry", "shry"), ("icet", "icet")],
    ENERGIES: [("smol", "smol"), ("smol", "pymatgen_ewald")],
    BEST: [("smol", "pymatgen_best")],
    NEW: [("smol", "pymatgen_matcher")],
}
PEER_LIMIT = 200  # seconds after which another program is left


@dataclass
class Row:
    """One measurement; `at_most` is what the project promises, in the unit of `value`."""

    program: str
    task: str
    result: str
    value: float
    fastest: float
    unit: str
    at_most: float | None = None

    @property
    def met(self) -> bool | None:
        """Whether the promise is kept."""
        return None if self.at_most is None else self.fastest <= self.at_most


def measured(
    task: str, action: Callable[[int], Any], said: Callable[[Any], str], repeats: int, at_most: float | None = None
) -> Row:
    """Median CPU time of an action in ms; it is called once before with -1, then with the number of the repeat."""
    action(-1)
    laps = []
    for repeat in range(repeats):
        start = time.process_time()
        result = action(repeat)
        laps.append(1e3 * (time.process_time() - start))
    return Row("valenceflow", task, said(result), statistics.median(laps), min(laps), "ms", at_most)


def counting_rows() -> list[Row]:
    """Counting, listing and sampling."""
    group, large = ordering_group(CELL), ordering_group(LARGE)
    iron, large_iron = group.redox_permutations, large.redox_permutations

    def listed(orbits: Any) -> str:
        return f"{len(orbits)} of {orbits.multiplicities.sum()}"

    sodium = working_orbits(group, 16)
    halved = sodium.bits(int(np.flatnonzero(group.order // sodium.multiplicities == 2)[0]))
    return [
        measured("Burnside, 24c8", lambda _: burnside_count(iron, 8), "{:,}".format, 50, 5),
        measured("Burnside, 48c16", lambda _: burnside_count(large_iron, 16), "{:,}".format, 50, 5),
        measured(
            "Burnside, joint 48c32 x 48c16", lambda _: joint_burnside_count(large, 32, 16), "{:.3e}".format, 50, 5
        ),
        measured(DISTINCT, lambda _: list_orbits(iron, 8), listed, 30, 50),
        measured("the same modulo a stabiliser of 2", lambda _: charge_orbits(group, halved, 8), listed, 10),
        measured("all sodium orderings at x = 1/2", lambda _: working_orbits(group, 12), listed, 5),
        measured(
            "1,000 uniform orbits of 48c16",
            lambda i: sample_orbits(large_iron, 16, 1000, i, "orbits"),
            lambda sample: f"of {sample.n_orbits:,}",
            3,
        ),
    ]


def energy_rows() -> list[Row]:
    """Energies at one sodium ordering, and the key of a structure."""
    model = ElectrostaticModel(CELL, COUPLE)
    structures = [noisy(seed) for seed in range(11)]
    return [
        measured(
            ENERGIES,
            lambda i: charge_energies(model, occupied(24, 16, i + 1)),
            lambda found: f"{found[1].min():.4f} eV, {_peak(model)}",
            50,
            5,
        ),
        measured(
            BEST,
            lambda i: lowest_charge_orderings(model, occupied(24, 16, i + 1)),
            lambda found: f"{found.energies[0]:.4f} eV",
            100,
            2,
        ),
        measured(
            "the 20 best charge orderings",
            lambda i: lowest_charge_orderings(model, occupied(24, 16, i + 1), 20),
            lambda found: f"{found.energies[0]:.4f} to {found.energies[-1]:.4f} eV",
            30,
        ),
        measured(NEW, lambda i: key_of(structures[i], CELL, COUPLE), str, 10, 10),
    ]


def _peak(model: ElectrostaticModel) -> str:
    tracemalloc.start()
    charge_energies(model, occupied(24, 16, 0))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return f"{peak / 1e6:.1f} MB"


def long_rows() -> list[Row]:
    """Tasks of seconds; each in a process of its own, so that its memory is its own too."""
    return [
        _apart("optimum", "exact joint optimum over 5.4e11 pairs (x = 2/3)", 30),
        _apart("half", "exact joint optimum over 7.3e12 pairs (x = 1/2)"),
        _apart("twenty", "the 20 lowest Na orderings, proven (x = 2/3)"),
        _apart("anneal", "annealing the joint optimum at x = 2/3, 40 starts"),
        _apart("anneal48", "annealing 48c16, 40 starts"),
        _apart("anneal96", "annealing 48c32 x 48c16 together, 40 starts"),
        _apart("expansion", "expansion of 200 energies, optimum included"),
    ]


def _apart(name: str, task: str, at_most: float | None = None) -> Row:
    done = subprocess.run(
        [sys.executable, __file__, "--only", name], check=True, capture_output=True, text=True, env=one_core()
    )
    found = json.loads(done.stdout.splitlines()[-1])
    result = f"{found['result']}, {found['peak_mb']:.0f} MB"
    return Row("valenceflow", task, result, found["cpu_s"], found["cpu_s"], "s", at_most)


def _expansion(model: ElectrostaticModel) -> str:
    rows = [(occupied(24, 16, seed), occupied(24, 8, seed + 500)) for seed in range(200)]
    working, charge = (np.array(part) for part in zip(*rows, strict=True))
    fitted = fit_expansion(CELL, COUPLE, working, charge, ordering_energies(model, working, charge))
    return f"error {fitted.cv_error:.1e} eV, {joint_optimum(fitted, 16).orderings[0].key}"


def _ranked(model: ElectrostaticModel, n_occupied: int, how_many: int) -> str:
    found = lowest_working_orderings(model, n_occupied, how_many)
    return f"{found.orderings[0].energy:.6f} eV, {found.n_searched} of {found.n_rows} rows searched"


def _annealed(found: Any) -> str:
    return f"{found.energy:.6f} eV, {found.hits} of {found.starts}, {found.sweeps} sweeps"


ALONE: dict[str, Callable[[ElectrostaticModel, ElectrostaticModel], str]] = {
    "optimum": lambda small, _: _ranked(small, 16, 1),
    "half": lambda small, _: _ranked(small, 12, 1),
    "twenty": lambda small, _: _ranked(small, 16, 20),
    "anneal": lambda small, _: _annealed(anneal_joint(small, 16)),
    "anneal48": lambda _, large: _annealed(anneal_charges(large, occupied(48, 32, 0))),
    "anneal96": lambda _, large: _annealed(anneal_joint(large, 32)),
    "expansion": lambda small, _: _expansion(small),
}


def alone(name: str) -> dict[str, Any]:
    """CPU time, peak memory and result of a long task in this process; the pair matrices are made before."""
    small, large = ElectrostaticModel(CELL, COUPLE), ElectrostaticModel(LARGE, COUPLE)
    for model in (small, large):
        assert model.polynomial.n_bits
    start = time.process_time()
    result = ALONE[name](small, large)
    spent = time.process_time() - start
    return {"cpu_s": spent, "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3, "result": result}


def one_core() -> dict[str, str]:
    """The environment with every library's threads off."""
    return os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


def peer_rows(folder: Path) -> list[Row]:
    """The tasks of other programs."""
    text = json.dumps(problem())
    return [
        _peer_row(python_of(folder, name), task, what, text)
        for task, peers in PEER_TASKS.items()
        for name, what in peers
        if python_of(folder, name).exists()
    ]


def _peer_row(python: Path, task: str, what: str, text: str) -> Row:
    script = Path(__file__).with_name("orderings_peers.py")
    try:
        done = subprocess.run(
            [python, script, what],
            input=text,
            capture_output=True,
            text=True,
            env=one_core(),
            timeout=PEER_LIMIT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Row(what, task, f"not done in {PEER_LIMIT} s", PEER_LIMIT, PEER_LIMIT, "s")
    if done.returncode:
        return Row(what, task, f"failed: {done.stderr.strip().splitlines()[-1]}", np.nan, np.nan, "s")
    found = json.loads(done.stdout.splitlines()[-1])
    scaled = found["cpu_s"] * found["of"] / found["done"]
    part = "" if found["done"] == found["of"] else f" (from {found['done']})"
    return Row(what, task, f"{found['result']}{part}", scaled, scaled, "s")


def same_energies(rows: list[Row]) -> bool:
    """Whether pymatgen's first energy and its best of the same problem are ours, or above ours."""
    model = ElectrostaticModel(CELL, COUPLE)
    ours = {
        "pymatgen_ewald": float(ordering_energies(model, occupied(24, 16, 1), occupied(24, 8, 0))),
        "pymatgen_best": float(lowest_charge_orderings(model, occupied(24, 16, 1)).energies[0]),
    }
    theirs = {row.program: float(row.result.split()[0]) for row in rows if row.program in ours}
    print(*(f"{name}: {theirs[name]:.9f} eV, exact {ours[name]:.9f} eV" for name in theirs), sep="\n", file=sys.stderr)
    return abs(theirs.get("pymatgen_ewald", ours["pymatgen_ewald"]) - ours["pymatgen_ewald"]) < 1e-8


def table(rows: list[Row]) -> str:
    """Rows as text."""
    head = f"{'program':<16} {'task':<54} {'result':<58} {'median':>10} {'fastest':>10}     at most"
    lines = [head, "-" * len(head)]
    for row in rows:
        verdict = "" if row.met is None else f"  {row.at_most:g} {row.unit} {'met' if row.met else 'MISSED'}"
        times = f"{row.value:>10.4g} {row.fastest:>10.4g} {row.unit:<3}"
        lines.append(f"{row.program:<16} {row.task:<54} {row.result:<58} {times}{verdict}")
    return "\n".join(lines)


def main() -> int:
    """Run the benchmark; exit code 1 if a promise is missed or an energy differs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peers", type=Path, help="folder of benchmarks/peer_environments.py")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--only", choices=list(ALONE), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.only:
        print(json.dumps(alone(options.only)))
        return 0
    if os.environ.get("OMP_NUM_THREADS") != "1":
        print("set OMP_NUM_THREADS=1: CPU time on one core is what is compared", file=sys.stderr)
        return 2
    rows = counting_rows() + energy_rows() + long_rows() + (peer_rows(options.peers) if options.peers else [])
    agree = same_energies(rows)
    print(json.dumps([asdict(row) | {"met": row.met} for row in rows], indent=1) if options.json else table(rows))
    return int(not agree or any(row.met is False for row in rows))


if __name__ == "__main__":
    sys.exit(main())
