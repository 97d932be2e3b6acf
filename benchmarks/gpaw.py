"""What a GPAW job costs beyond GPAW itself, and what a mixed-valence single point of 26 atoms costs. It needs GPAW.

    python benchmarks/gpaw.py [--json] [--repetitions 3]

Overhead: iron oxide as a job (inputs, process, parsing, audit, document, frames in the store) against the same process
by itself in a folder with the same job.json. Wall time, and CPU time of everything, medians after a first job that
imports. Single point: Na2Fe4P4O16 (ordering 5.6, the gallium geometry of the tests), Gamma point, plane waves up to
350 eV, one core. `make study-dft` has the CPU time of every other ordering (docs/gpaw/study.md).
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

from jobflow import Flow, run_locally
from pymatgen.core import Lattice, Structure
from valenceflow.flows.gpaw.command import find_gpaw, gpaw_command, gpaw_environment, gpaw_problems, start_arguments
from valenceflow.flows.gpaw.maker import GpawStepMaker
from valenceflow.inputs.charge_states import get_couple
from valenceflow.inputs.protocol import Protocol, load_protocol
from valenceflow.inputs.substitution import ChargeSites, charge_sites
from valenceflow.stores.connect import Stores, sqlite_stores

OVERHEAD_S, SINGLE_POINT_CPU_S, CUTOFF = 3.0, 150.0, 350.0
GEOMETRY = Path(__file__).resolve().parents[1] / "tests" / "flows" / "gpaw" / "gallium_geometry.json"


def quick(cutoff: float) -> Protocol:
    """gpaw-quick with another cutoff, eV."""
    protocol = load_protocol("gpaw-quick")
    assert protocol.gpaw is not None
    return protocol.model_copy(update={"gpaw": protocol.gpaw.model_copy(update={"cutoff": cutoff})})


def iron_oxide() -> Structure:
    """FeO, rock salt, two atoms."""
    lattice = Lattice([[0, 2.15, 2.15], [2.15, 0, 2.15], [2.15, 2.15, 0]])
    return Structure(lattice, ["Fe", "O"], [[0, 0, 0], [0.5, 0.5, 0.5]], site_properties={"oxidation_state": [2, -2]})


def timed(action: Callable[[], object]) -> tuple[float, float]:
    """Wall time and CPU time (this process and its children), s."""
    began, cpu = perf_counter(), _cpu_s()
    action()
    return perf_counter() - began, _cpu_s() - cpu


def _cpu_s() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


def run_job(
    maker: GpawStepMaker, structure: Structure, sites: ChargeSites, stores: Stores, folder: Path
) -> dict[str, Any]:
    """One job; returns its document.

    Raises
    ------
    RuntimeError
        If it failed.
    """
    job = maker.make(structure, sites=sites)
    run_locally(Flow([job]), store=stores.job_store(), create_folders=True, root_dir=folder, log=False)
    found = stores.docs().query_one({"uuid": job.uuid})
    if found is None or found["output"]["document"] == "FailureDoc":
        raise RuntimeError(found and found["output"]["message"])
    return dict(found["output"])


def run_alone(maker: GpawStepMaker, structure: Structure, sites: ChargeSites, folder: Path) -> None:
    """GPAW's process by itself; its job.json is written before the clock runs."""
    command = [*gpaw_command(), *start_arguments("run", str(folder))]
    subprocess.run(command, cwd=folder, env=gpaw_environment(), check=True, stdout=subprocess.DEVNULL)


def overhead(folder: Path, repetitions: int) -> dict[str, float]:
    """Medians over jobs and bare processes, s."""
    structure, sites = iron_oxide(), charge_sites(iron_oxide(), get_couple("Fe2+/Fe3+"))
    maker = GpawStepMaker(name="static", step="static", protocol=quick(300), k_mesh=(2, 2, 2))
    stores = sqlite_stores(folder / "store.sqlite")
    jobs, alone = [], []
    for number in range(repetitions + 1):
        jobs.append(timed(lambda: run_job(maker, structure, sites, stores, folder)))
        bare = folder / f"bare-{number}"
        maker.write_inputs(bare, maker.prepare(structure, sites), maker.context(structure, sites, None, None, None))
        alone.append(timed(lambda here=bare: run_alone(maker, structure, sites, here)))  # type: ignore[misc]
    names = ("wall", "cpu")
    found = {}
    for i, name in enumerate(names):
        job = statistics.median(times[i] for times in jobs[1:])
        bare_s = statistics.median(times[i] for times in alone[1:])
        found |= {f"job, {name}": job, f"GPAW alone, {name}": bare_s, f"overhead, {name}": job - bare_s}
    return found


def single_point(folder: Path) -> dict[str, Any]:
    """CPU time and what became of the order."""
    structure = Structure.from_dict(json.loads(GEOMETRY.read_text(encoding="utf-8"))["structure"])
    structure.replace_species({"Ga": "Fe"})
    sites = charge_sites(structure, get_couple("Fe2+/Fe3+"))
    maker = GpawStepMaker(name="static", step="static", protocol=quick(CUTOFF))
    document = run_job(maker, structure, sites, sqlite_stores(folder / "point.sqlite"), folder)
    details = document["engine_details"]
    return {
        "cpu": details["cpu_s"],
        "memory (MB)": details["max_memory_mb"],
        "SCF iterations": details["starts"][0]["iterations"],
        "ordering": document["achieved"]["relation"],
        "energy (eV)": document["energy"],
    }


def main() -> int:
    """Measure both; returns 1 where a limit is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--repetitions", type=int, default=3)
    options = parser.parse_args()
    problems = gpaw_problems(load_protocol("gpaw-quick").gpaw, {"Na", "Fe", "P", "O"})
    if problems:
        print("\n".join(problems), file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as name:
        found = {
            "GPAW": find_gpaw().version,
            "iron oxide": overhead(Path(name), options.repetitions),
            "26 atoms": single_point(Path(name)),
        }
    if options.json:
        print(json.dumps(found, indent=1))
    else:
        for case in ("iron oxide", "26 atoms"):
            print(f"{case}, GPAW {found['GPAW']}")
            for label, value in found[case].items():
                print(f"  {label:24} {value if isinstance(value, (str, int)) else f'{value:.2f}'}")
    more, cpu = found["iron oxide"]["overhead, cpu"], found["26 atoms"]["cpu"]
    met = more <= OVERHEAD_S and cpu <= SINGLE_POINT_CPU_S and found["26 atoms"]["ordering"] == "kept"
    print(
        f"overhead {more:.2f} CPU s, at most {OVERHEAD_S}; single point {cpu:.0f} CPU s, at most "
        f"{SINGLE_POINT_CPU_S:.0f}, order {found['26 atoms']['ordering']}: {'met' if met else 'MISSED'}",
        file=sys.stderr,
    )
    return 0 if met else 1


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    warnings.filterwarnings("ignore", "cd is deprecated")  # jobflow 0.4.0 enters its folders by monty's `cd`
    raise SystemExit(main())
