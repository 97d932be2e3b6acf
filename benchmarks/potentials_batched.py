"""Time of relaxing many structures in one batch against one by one, finished by ASE both ways; the factor is printed.

    python benchmarks/potentials_batched.py MODEL [--structures 64] [--supercell 1 1 1] [--device cuda] [--json]

MODEL is the folder of a cPaiNN or a MACE (`valenceflow train`). Structures are the orderings of NaxFePO4 at x = 1/2,
rattled by 0.05 A where there are fewer than asked for. Wall time, as a GPU's work is no CPU time; minima are compared.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from valenceflow.inputs.charge_states import get_couple
from valenceflow.inputs.hosts import get_host
from valenceflow.inputs.orderings.catalogue import OrderingCatalogue
from valenceflow.inputs.supercells import HostSupercell
from valenceflow.potentials.labelling import atoms_of_ordering
from valenceflow.potentials.open_models import ModelChoice
from valenceflow.potentials.relax_many import RelaxJob, relax_many
from valenceflow.potentials.relaxation import RelaxSettings


def structures(number: int, supercell: list[int]) -> list[RelaxJob]:
    """Rattled orderings, each with its labels."""
    cell, couple = HostSupercell.build(get_host("olivine-NaFePO4"), supercell), get_couple("Fe2+/Fe3+")
    rows = OrderingCatalogue(cell, couple, len(cell.working_sites) // 2).sample(number, 0)
    rng, jobs = np.random.default_rng(0), []
    for place in range(number):
        atoms = atoms_of_ordering(cell, couple, rows[place % len(rows)].key)
        atoms.positions += rng.normal(scale=0.05, size=atoms.positions.shape)
        jobs.append(RelaxJob(str(place), atoms))
    return jobs


def main() -> None:
    """Measure both and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--structures", type=int, default=64)
    parser.add_argument("--supercell", type=int, nargs=3, default=[1, 1, 1])
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--fmax", type=float, default=0.01)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.device == "cpu":
        torch.set_num_threads(1)
    jobs = structures(options.structures, options.supercell)
    alone = ModelChoice((options.model,), options.device)
    together = replace(alone, batch_atoms=sum(len(job.atoms) for job in jobs))
    settings = RelaxSettings(fmax=options.fmax)
    found: dict[str, Any] = {"structures": len(jobs), "atoms": len(jobs[0].atoms), "device": options.device}
    energies = {}
    for name, choice in (("one by one", alone), ("in one batch", together)):
        relax_many(jobs[:1], choice, RelaxSettings(steps=1))  # warm
        start = time.perf_counter()
        results = relax_many(jobs, choice, settings)
        found[name] = {
            "wall_s": time.perf_counter() - start,
            "converged": sum(result.state == "converged" for result in results),
        }
        energies[name] = np.array([np.nan if r.energy is None else r.energy for r in results])
    found["factor"] = found["one by one"]["wall_s"] / found["in one batch"]["wall_s"]
    differences = np.abs(energies["one by one"] - energies["in one batch"])
    found["same minimum"] = int((differences < 0.005).sum())
    if options.json:
        print(json.dumps(found, indent=1))
        return
    print(f"{found['structures']} structures of {found['atoms']} atoms on {found['device']}")
    for name in ("one by one", "in one batch"):
        print(f"{name:14s}{found[name]['wall_s']:10.1f} s, {found[name]['converged']} converged")
    print(f"factor {found['factor']:.1f}; {found['same minimum']} of {found['structures']} within 5 meV of one another")


if __name__ == "__main__":
    main()
