"""One job in GPAW's process: several SCF starts, the lowest kept, then forces or a relaxation, every step streamed.

    python -c "...; from in_gpaw.run import main; main()" FOLDER

`result.json` is there if, and only if, this process came to an end that it can speak of.
"""

from __future__ import annotations

import contextlib
import json
import resource
import sys
import time
import traceback
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from gpaw import KohnShamConvergenceError
from gpaw.mpi import world

from .calculator import (
    SETUP_CLASS,
    ionic_start,
    ionic_start_problem,
    magmoms_now,
    make_calculator,
    setup_facts,
    tested_note,
    versions,
)
from .files import CONTCAR, FRAMES, ITERATIONS, JOB, LOG, RESULT, append_line, contcar_text, write_whole
from .ions import IonicStart, starting_from
from .relax import StopRelaxation, relax
from .watch import SloshingError, Watch

HARTREE = 27.211386024367243


class RefusedError(Exception):
    """The job contradicts itself."""


class Run:
    """One job while it runs."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.began = folder, time.monotonic()
        self.job: dict[str, Any] = json.loads((folder / JOB).read_text(encoding="utf-8"))
        self.starts: list[dict[str, Any]] = []
        self.notes: list[str] = []
        self.facts: dict[str, Any] = {}
        self.n_frames = 0
        redox = self.job["redox"]
        self.watch = Watch(
            redox["sites"], redox["n_high"], redox["high_is_larger"], self.job["max_hops"], self._keep_iteration
        )

    @property
    def parameters(self) -> dict[str, Any]:
        """Of the calculator."""
        found: dict[str, Any] = self.job["parameters"]
        return found

    def atoms(self) -> Atoms:
        """The structure with its initial moments."""
        job = self.job
        made = Atoms(job["symbols"], cell=job["cell"], scaled_positions=job["frac_coords"], pbc=True)
        made.set_initial_magnetic_moments(job["magmoms"])
        return made

    def go(self) -> dict[str, Any]:
        """Run the job; returns what result.json says."""
        best: tuple[float, Atoms, str] | None = None
        for start in self.job["starts"]:
            atoms = self.try_start(start)
            if atoms is not None and (best is None or self.starts[-1]["energy"] < best[0]):
                best = (self.starts[-1]["energy"], atoms, start)
        if best is None:
            why = self.starts[-1]
            return self.result("not converged", f"no SCF start converged; {why['start']}: {why['error']}")
        _, atoms, start = best
        with self.start_context(start):
            return self.from_here(atoms, start)

    def from_here(self, atoms: Atoms, start: str) -> dict[str, Any]:
        """Frames from a converged start on."""
        self.watch.start(start=start, step=0)
        self.watch.iteration = next(s["iterations"] for s in self.starts if s["start"] == start)
        if self.job["calculation"] == "static":
            self.keep_frame(atoms)
            return self.result("done", "", start)
        settings, state = self.job["relax"], "done"
        try:
            converged = relax(atoms, settings, lambda: self.keep_step(atoms))
            message = "" if converged else f"not relaxed after {settings['max_steps']} steps"
        except StopRelaxation as stop:
            state, message = "stopped", str(stop)
        except (KohnShamConvergenceError, SloshingError) as error:
            state, message = "not converged", f"after {self.n_frames} ionic steps: {_one_line(error)}"
        return self.result(state, message, start)

    def try_start(self, start: str) -> Atoms | None:
        """One SCF from one start; None if it did not converge."""
        atoms = self.atoms()
        polarised = bool(np.any(np.abs(self.job["magmoms"]) > 0))
        calculator = make_calculator(self.parameters, polarised, self.folder / f"{start.replace(' ', '-')}.{LOG}")
        atoms.calc = calculator
        calculator.job, calculator.ions = self.job, self.ions(start)
        calculator.attach(self._observe, 1, calculator)
        record: dict[str, Any] = {"start": start, "used": start}
        self.starts.append(record)
        self.watch.start(start=start, step=0)
        began = time.process_time()
        try:
            with self.start_context(start, record):
                calculator.initialize(atoms)
                self.check_electrons(calculator)
                record["energy"] = float(atoms.get_potential_energy())
            record |= {"converged": True, "magmoms": magmoms_now(calculator), "error": ""}
        except (KohnShamConvergenceError, SloshingError) as error:
            record |= {"converged": False, "energy": None, "magmoms": None, "error": _one_line(error)}
        if calculator.problem:
            record["used"] = "ionic"
            self.notes.append(f"{calculator.problem}; d shells began spherical: orders may be lost in the SCF")
        record |= {"iterations": self.watch.iteration, "hops": self.watch.hops}
        record["cpu_s"] = round(time.process_time() - began, 1)
        return atoms if record["converged"] else None

    def ions(self, start: str) -> IonicStart | None:
        """Ions of a start; None where it begins from atoms."""
        if not start.startswith("ionic") or ionic_start_problem():
            return None
        return ionic_start(self.job, int(start.removeprefix("ionic d")) - 1 if start != "ionic" else None)

    @contextlib.contextmanager
    def start_context(self, start: str, record: dict[str, Any] | None = None) -> Any:
        """Within this, densities begin as the start says; where that cannot be had, from atoms, and it is said."""
        problem = ionic_start_problem() if start.startswith("ionic") else ""
        if start == "atoms" or problem:
            if problem and record is not None:
                record["used"] = "atoms"
                self.notes.append(f"{problem}; started from neutral atoms instead: orders may be lost in the SCF")
            yield
            return
        ions = self.ions(start)
        assert ions is not None  # only starts from atoms have none
        with starting_from(ions, SETUP_CLASS):
            yield
        if record is not None and ions.used != set(ions.charges):
            record["used"] = "atoms"
            self.notes.append("GPAW did not ask for the ions that the density should start from: it began from atoms")
        elif record is not None and tested_note() not in self.notes:
            self.notes += [note for note in [tested_note()] if note]

    def check_electrons(self, calculator: Any) -> None:
        """Refuse a total moment that no whole numbers of electrons have."""
        self.facts = setup_facts(calculator)
        total, electrons = float(np.sum(self.job["magmoms"])), float(calculator.wfs.nvalence)
        up = (electrons + total) / 2
        if self.parameters["fix_total_moment"] and total and abs(up - round(up)) > 1e-6:
            raise RefusedError(
                f"the initial moments sum to {total:g} muB, which {electrons:g} valence electrons cannot have with "
                "whole numbers of either spin; correct the charge states or their moments"
            )

    def keep_step(self, atoms: Atoms) -> None:
        """A geometry of a relaxation is computed: keep it, and stop if the time is over."""
        self.keep_frame(atoms)
        limit, spent = self.job["relax"].get("stop_after_s"), time.monotonic() - self.began
        over = 0 if limit is None or spent + spent / self.n_frames < limit else 1
        if world.max(over):
            raise StopRelaxation(f"stopped after {self.n_frames} ionic steps: the time is over")
        self.watch.start(start="relaxation", step=self.n_frames)

    def keep_frame(self, atoms: Atoms) -> None:
        """Append a frame, and leave its geometry where a run that goes on looks for it."""
        calculator = atoms.calc
        frame = {
            "cell": np.asarray(atoms.cell).tolist(),
            "frac_coords": atoms.get_scaled_positions(wrap=False).tolist(),
            "energy": float(atoms.get_potential_energy()),
            "forces": atoms.get_forces().tolist(),
            "stress": atoms.get_stress(voigt=False).tolist(),
            "magmoms": magmoms_now(calculator),
            "total_magmom": float(atoms.get_magnetic_moment()),
            "scf_converged": True,
            "scf_iterations": self.watch.iteration,
        }
        self.n_frames += 1
        if world.rank == 0:
            append_line(self.folder / FRAMES, frame, sync=True)
            write_whole(self.folder / CONTCAR, contcar_text(self.job["symbols"], frame["cell"], frame["frac_coords"]))
        world.barrier()

    def result(self, state: str, message: str, chosen: str | None = None) -> dict[str, Any]:
        """What result.json says."""
        usage = resource.getrusage(resource.RUSAGE_SELF)
        return {
            "state": state,
            "message": message,
            "versions": versions(),
            "setups": self.facts,
            "starts": self.starts,
            "chosen": chosen,
            "notes": self.notes,
            "n_frames": self.n_frames,
            "ranks": world.size,
            "elapsed_s": round(time.monotonic() - self.began, 2),
            "cpu_s": round(usage.ru_utime + usage.ru_stime, 2),
            "max_memory_mb": round(usage.ru_maxrss / 1024, 1),
        }

    def _observe(self, calculator: Any) -> None:
        energy = calculator.hamiltonian.e_total_extrapolated
        error = calculator.density.error
        known = error is not None and np.isfinite(error)  # before the first mixing it is infinite
        self.watch.observe(float(energy) * HARTREE, magmoms_now(calculator), float(error) if known else None)

    def _keep_iteration(self, record: dict[str, Any]) -> None:
        if world.rank == 0:
            append_line(self.folder / ITERATIONS, record)


def _one_line(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return (text or type(error).__name__)[:300]


def main() -> None:
    """Run the job in the folder named on the command line."""
    folder = Path(sys.argv[1])
    run = None
    try:
        run = Run(folder)
        found = run.go()
    except Exception as error:  # whatever GPAW raises is told to the job, which knows what to do about it
        traceback.print_exc()
        states = {FileNotFoundError: "missing setup", RefusedError: "inputs refused"}
        state = next((name for kind, name in states.items() if isinstance(error, kind)), "error")
        found = {"state": state, "message": f"{type(error).__name__}: {_one_line(error)}", "versions": versions()}
        if world.size > 1:  # the other ranks may be waiting for this one: say it, then end all of them
            write_whole(folder / RESULT, json.dumps(found))
            sys.stdout.flush()
            world.abort(1)
    if world.rank == 0:
        write_whole(folder / RESULT, json.dumps(found))
