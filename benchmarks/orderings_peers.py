"""What other programs do of the tasks in ``benchmarks/orderings.py``; runs in their environments, not in ours.

``python benchmarks/orderings_peers.py TASK < problem.json``. It prints one line of JSON: ``done``, ``of`` (how much of
the whole task that is), ``cpu_s`` for what was done, and ``result``. Imports are not timed. Environments:
``benchmarks/peer_environments.py``.
"""

from __future__ import annotations

import json
import os
import sys
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

Problem = dict[str, Any]
FEW_EWALD, FEW_PAIRS = 2, 3


def cpu() -> float:
    """CPU time of this process and those it started, s."""
    return sum(os.times()[:4])


def shry(problem: Problem) -> dict[str, Any]:
    """Distinct iron orderings with their multiplicities."""
    from pymatgen.core import Structure
    from shry import const
    from shry.core import Substitutor

    const.DISABLE_PROGRESSBAR = True
    share = problem["n_high"] / len(problem["redox"])
    species = [{"Fe": 1 - share, "Ga": share} if s == "Fe" else s for s in problem["symbols"]]
    structure = Structure(problem["lattice"], species, problem["positions"])
    start = cpu()
    weights = list(Substitutor(structure).weights())
    return {"done": 1, "of": 1, "cpu_s": cpu() - start, "result": f"{len(weights)} of {sum(weights)}"}


def bsym(problem: Problem) -> dict[str, Any]:
    """Distinct iron orderings with their multiplicities."""
    from bsym.interface.pymatgen import configuration_space_from_structure
    from pymatgen.core import Structure

    n_redox, n_high = len(problem["redox"]), problem["n_high"]
    structure = Structure(problem["lattice"], problem["symbols"], problem["positions"])
    start = cpu()
    space = configuration_space_from_structure(structure, subset=problem["redox"])
    found = space.unique_configurations({1: n_high, 0: n_redox - n_high})
    total = sum(one.count for one in found)
    return {"done": 1, "of": 1, "cpu_s": cpu() - start, "result": f"{len(found)} of {total}"}


def icet(problem: Problem) -> dict[str, Any]:
    """Iron orderings of the supercell's size by enumeration of all superlattices."""
    from ase import Atoms
    from icet.tools import enumerate_structures

    host = problem["host"]
    atoms = Atoms(host["symbols"], scaled_positions=host["positions"], cell=host["lattice"], pbc=True)
    allowed = [["Fe", "Ga"] if s == "Fe" else [s] for s in host["symbols"]]
    share = problem["n_high"] / len(problem["symbols"])
    start = cpu()
    found = enumerate_structures(atoms, [problem["n_cells"]], allowed, {"Ga": (share - 1e-9, share + 1e-9)})
    count = sum(1 for _ in found)
    return {"done": 1, "of": 1, "cpu_s": cpu() - start, "result": f"{count} on all superlattices"}


def _charged(problem: Problem, high: Any) -> Any:
    """The structure of one charge ordering at the problem's working-ion ordering."""
    from pymatgen.core import Structure

    charges = [problem["charges"][s] for s in problem["symbols"]]
    for site in high:
        charges[problem["redox"][int(site)]] += 1
    vacant = set(problem["vacant"])
    kept = [i for i in range(len(charges)) if i not in vacant]
    structure = Structure(
        problem["lattice"], [problem["symbols"][i] for i in kept], [problem["positions"][i] for i in kept]
    )
    structure.add_oxidation_state_by_site([charges[i] for i in kept])
    return structure


def pymatgen_ewald(problem: Problem) -> dict[str, Any]:
    """Energies one structure at a time by EwaldSummation."""
    from pymatgen.analysis.ewald import EwaldSummation

    structures = [_charged(problem, high) for high in problem["drawn"][:FEW_EWALD]]
    start = cpu()
    energies = [EwaldSummation(structure).total_energy for structure in structures]
    return {"done": FEW_EWALD, "of": problem["n_arrangements"], "cpu_s": cpu() - start, "result": energies[0]}


def pymatgen_best(problem: Problem) -> dict[str, Any]:
    """The ten best charge orderings by OrderDisorderedStructureTransformation."""
    from pymatgen.analysis.ewald import EwaldSummation
    from pymatgen.transformations.standard_transformations import OrderDisorderedStructureTransformation

    structure = _charged(problem, [])
    share = problem["n_high"] / len(problem["redox"])
    for i, site in enumerate(structure):
        if site.specie.symbol == "Fe":
            structure[i] = {"Fe2+": 1 - share, "Fe3+": share}
    start = cpu()
    ranked = OrderDisorderedStructureTransformation().apply_transformation(structure, return_ranked_list=10)
    spent = cpu() - start
    return {"done": 1, "of": 1, "cpu_s": spent, "result": EwaldSummation(ranked[0]["structure"]).total_energy}


def pymatgen_matcher(problem: Problem) -> dict[str, Any]:
    """Whether two charge orderings are the same by StructureMatcher, per pair."""
    from pymatgen.analysis.structure_matcher import StructureMatcher

    structures = [_charged(problem, high) for high in problem["drawn"][: 2 * FEW_PAIRS]]
    start = cpu()
    same = [StructureMatcher().fit(a, b) for a, b in zip(structures[::2], structures[1::2], strict=True)]
    return {"done": FEW_PAIRS, "of": 1, "cpu_s": cpu() - start, "result": f"{sum(same)} of {FEW_PAIRS} equal"}


def smol(problem: Problem) -> dict[str, Any]:
    """Energies of all charge orderings by EwaldProcessor, the matrix excluded."""
    from pymatgen.core import Structure
    from smol.cofe import ClusterSubspace
    from smol.cofe.extern import EwaldTerm
    from smol.moca import EwaldProcessor

    host = problem["host"]
    ordering = {"Fe": {"Fe2+": 0.5, "Fe3+": 0.5}, "Na": {"Na+": 0.5}, "P": "P5+", "O": "O2-"}
    species = [ordering[symbol] for symbol in host["symbols"]]
    subspace = ClusterSubspace.from_cutoffs(Structure(host["lattice"], species, host["positions"]), {2: 0.1})
    term = EwaldTerm()
    subspace.add_external_term(term)
    processor = EwaldProcessor(subspace, np.array(problem["matrix"]), term)
    working, redox = (
        [i for i, site in enumerate(processor.structure) if element in {e.symbol for e in site.species.elements}]
        for element in ("Na", "Fe")
    )
    drawn = problem["drawn"]
    rows = np.zeros((len(drawn), len(processor.structure)), dtype=np.int32)
    rows[:, working] = _code(processor, working[0], "Na+")
    # Which sites are vacant and high makes no difference to the time: smol has a site order of its own.
    rows[:, working[: len(problem["vacant"])]] = 1 - _code(processor, working[0], "Na+")
    rows[:, redox] = _code(processor, redox[0], "Fe2+")
    for row, high in zip(rows, drawn, strict=True):
        row[np.array(redox)[high]] = _code(processor, redox[0], "Fe3+")
    processor.compute_property(rows[0])  # makes the matrix
    start = cpu()
    energies = [processor.compute_property(row) for row in rows]
    spent = cpu() - start
    return {"done": len(rows), "of": problem["n_arrangements"], "cpu_s": spent, "result": float(np.ravel(energies)[0])}


def _code(processor: Any, site: int, species: str) -> int:
    return [str(one) for one in processor.allowed_species[site]].index(species)


TASKS: dict[str, Callable[[Problem], dict[str, Any]]] = {
    name: task for name, task in globals().items() if callable(task) and getattr(task, "__doc__", None)
}


def main() -> int:
    """Do one task."""
    problem = json.load(sys.stdin)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # other people's deprecations
        print(json.dumps(TASKS[sys.argv[1]](problem), default=float))
    return 0


if __name__ == "__main__":
    sys.exit(main())
