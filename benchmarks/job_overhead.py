"""Wall time that a VASP job costs beyond the executable itself, and where it goes.

    python benchmarks/job_overhead.py [--json]

The rehearsal executable (engine springs) makes a fixed number of ionic steps; the same command is also run by itself in
a folder with the same inputs. Overhead = job - executable, medians over repetitions in one warm process.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter
from types import SimpleNamespace

STEPS = {"26 atoms x 10 steps": ((1, 1, 1), 0.5, 10, 7), "160 atoms x 100 steps": ((1, 3, 2), 2 / 3, 100, 2)}
LIMIT_S = 1.0


def prepare_environment(folder: Path, steps: int) -> str:
    """Choose the stand-in before atomate2 is imported; returns its command."""
    from valenceflow.flows.rehearsal.command import rehearsal_command
    from valenceflow.flows.rehearsal.potcars import write_stub_potcars

    command = rehearsal_command("springs", steps=steps)
    os.environ |= {
        "ATOMATE2_VASP_CMD": command,
        "ATOMATE2_VASP_GAMMA_CMD": command,
        "PMG_VASP_PSP_DIR": str(folder / "potcars"),
        "OMP_NUM_THREADS": "1",
    }
    write_stub_potcars(folder / "potcars")
    return command


def measure(
    supercell: tuple[int, ...], fraction: float, command: str, repetitions: int, folder: Path
) -> dict[str, float]:
    """Medians of the job, the executable and the job's phases, s."""
    import numpy as np
    from jobflow import run_locally
    from valenceflow.flows.idealised import occupied_structure
    from valenceflow.flows.two_step import redox_relax_maker
    from valenceflow.inputs.charge_states import get_couple
    from valenceflow.inputs.hosts import get_host
    from valenceflow.inputs.substitution import ChargeSites
    from valenceflow.inputs.supercells import HostSupercell
    from valenceflow.stores.connect import sqlite_stores

    cell = HostSupercell.build(get_host("olivine-NaFePO4"), supercell)
    occupied = np.arange(len(cell.working_sites)) < cell.n_working(fraction)
    structure = occupied_structure(cell, occupied)
    redox = [i for i, site in enumerate(structure) if site.specie.symbol == "Fe"]
    n_high = cell.n_high(int(occupied.sum()), get_couple("Fe2+/Fe3+"))
    sites = ChargeSites(
        couple=get_couple("Fe2+/Fe3+"),
        elements=[site.specie.symbol for site in structure],
        redox_sites=redox,
        is_high=[i < n_high for i in range(len(redox))],
        n_high=n_high,
    )
    maker = redox_relax_maker()
    maker.max_continuations = 0  # the fixed number of steps ends unconverged: one job is to be one VASP run
    store = sqlite_stores(folder / "store.sqlite").job_store()
    walls, phases, alone = [], [], []
    for repetition in range(repetitions + 1):
        job = maker.make(structure, sites=sites)
        start = perf_counter()
        run_locally(job, store=store, create_folders=True, root_dir=folder, log=False)
        wall = perf_counter() - start
        output = store.get_output(job.uuid)
        if isinstance(output, dict):
            output = SimpleNamespace(**output)
        if output.document == "FailureDoc":
            raise RuntimeError(f"{output.message}: {output.exception} {output.last_lines}")
        if repetition == 0:
            continue  # warm-up: imports and first use of pymatgen's tables
        walls.append(wall)
        phases.append(output.timings_s)
        alone.append(executable_alone(maker, structure, sites, command, folder / f"alone-{repetition}"))
    result = {name: statistics.median(phase[name] for phase in phases) for name in phases[0]}
    storing = statistics.median(w - sum(p.values()) for w, p in zip(walls, phases, strict=True))
    job_s, alone_s = statistics.median(walls), statistics.median(alone)
    return {
        "job": job_s,
        "executable alone": alone_s,
        "overhead": job_s - alone_s,
        **result,
        "storing and jobflow": storing,
    }


def executable_alone(maker, structure, sites, command: str, folder: Path) -> float:
    """Wall time of the same run without custodian, s."""
    inputs = maker.input_set_generator.get_input_set(maker.prepare(structure, sites).structure)
    inputs.write_input(folder, make_dir_if_not_present=True)
    start = perf_counter()
    subprocess.run(shlex.split(command), cwd=folder, check=True, stdout=subprocess.DEVNULL)
    return perf_counter() - start


def main() -> int:
    """Measure each size in a process of its own (the command is fixed when atomate2 is imported)."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--case", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.case:
        supercell, fraction, steps, repetitions = STEPS[options.case]
        with tempfile.TemporaryDirectory() as name:
            command = prepare_environment(Path(name), steps)
            print(json.dumps(measure(supercell, fraction, command, repetitions, Path(name))))
        return 0
    results = {}
    for case in STEPS:
        done = subprocess.run(
            [sys.executable, "-W", "ignore", __file__, "--case", case], capture_output=True, text=True
        )
        if done.returncode:
            sys.stderr.write(done.stderr)
            return 1
        results[case] = json.loads(done.stdout.splitlines()[-1])
    if options.json:
        print(json.dumps(results, indent=1))
    else:
        for case, figures in results.items():
            print(case)
            for name, seconds in figures.items():
                print(f"  {name:24} {seconds:8.3f} s")
    small = results["26 atoms x 10 steps"]["overhead"]
    print(
        f"overhead per job {small:.2f} s, at most {LIMIT_S} s: {'met' if small <= LIMIT_S else 'MISSED'}",
        file=sys.stderr,
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
