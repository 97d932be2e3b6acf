"""Hull of 10,000 entries: ours, what `build` does with as many calculations, and pymatgen's CompoundPhaseDiagram.

``OMP_NUM_THREADS=1 python benchmarks/hull.py [--json]``. CPU time on one core, fastest of some repeats; the heights
above the hull of all entries are held against pymatgen's in the same run. Exit code 1 if ours takes over a second or
differs.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from pymatgen.analysis.phase_diagram import CompoundPhaseDiagram, PDEntry
from pymatgen.core import Composition
from valenceflow.analysis.hull import composed
from valenceflow.analysis.hull_agreement import hull_agreement, make_hull

N, SITES, SEED = 10_000, 24, 7
FULL, EMPTY = -46.6835, -42.0  # eV per formula unit
AT_MOST = 1.0  # CPU seconds
SAME = 1e-6  # meV per formula unit


def entries() -> tuple[list[str], np.ndarray, np.ndarray]:
    """Names, fractions of 24 sites and energies (eV per formula unit), some below the line between the ends."""
    draw = np.random.default_rng(SEED)
    x = np.concatenate([[0.0, 1.0], draw.integers(1, SITES, N - 2) / SITES])
    spread = draw.normal(0.02, 0.03, N) * (x > 0) * (x < 1)
    return [f"k{i}" for i in range(N)], x, x * FULL + (1 - x) * EMPTY + spread


def calculations(names: list[str], x: np.ndarray, energies: np.ndarray) -> list[dict[str, Any]]:
    """The same as documents."""
    common = {
        "host": "olivine-NaFePO4", "host_hash": "h", "engine": "vasp", "protocol": "paper-2026", "protocol_hash": "p",
        "working_key": "w", "multiplicity": 1, "counts": True, "in_statistics": True, "sample_weight": "arrangements",
        "n_atoms": 160, "formula_units": SITES, "working_ion": "Na",
    }  # fmt: skip
    return [
        {**common, "calculation_id": n, "configuration_id": n, "fraction": f, "energy_per_fu": e}
        for n, f, e in zip(names, x.tolist(), energies.tolist(), strict=True)
    ]


def pymatgen_heights(names: list[str], x: np.ndarray, energies: np.ndarray) -> dict[str, float]:
    """Heights above the hull by the second implementation, meV per formula unit."""
    made = [
        PDEntry(Composition({"Na": f, "Fe": 1, "P": 1, "O": 4}), e, attribute=n)
        for n, f, e in zip(names, x.tolist(), energies.tolist(), strict=True)
    ]
    ends = [Composition("NaFePO4"), Composition("FePO4")]
    diagram = CompoundPhaseDiagram(made, ends, normalize_terminal_compositions=False)
    return {e.original_entry.attribute: 1000 * diagram.get_e_above_hull(e) for e in diagram.all_entries}


def fastest(action: Callable[[], Any], repeats: int) -> tuple[Any, float]:
    """Last result and the smallest CPU time, s."""
    laps = []
    for _ in range(repeats):
        start = time.process_time()
        result = action()
        laps.append(time.process_time() - start)
    return result, min(laps)


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    names, x, energies = entries()
    above, ours = fastest(lambda: make_hull(names, x, energies, "vasp").above, options.repeats)
    other = make_hull(names, x, energies + 0.01 * np.sin(np.arange(N)) * (x > 0) * (x < 1), "other")
    _, agreeing = fastest(lambda: hull_agreement(make_hull(names, x, energies, "vasp"), other), options.repeats)
    documents = calculations(names, x, energies)
    _, built = fastest(lambda: composed({"members": documents}), options.repeats)
    heights, theirs = fastest(lambda: pymatgen_heights(names, x, energies), 1)
    difference = max(abs(height - heights[name]) for name, height in zip(names, above, strict=True))
    found = {
        "entries": N, "hull_s": ours, "agreement_of_two_hulls_s": agreeing, "build_s": built, "pymatgen_s": theirs,
        "pymatgen_over_ours": theirs / ours, "largest_difference_mev_per_fu": difference,
    }  # fmt: skip
    lines = [f"{name:32s} {value:.4g}" for name, value in found.items()]
    print(json.dumps(found, indent=1) if options.json else "\n".join(lines))
    return int(max(ours, built) > AT_MOST or difference > SAME)


if __name__ == "__main__":
    sys.exit(main())
