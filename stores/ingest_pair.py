"""vasprun.xml and OUTCAR of one VASP run, read side by side: each ionic step with what only OUTCAR says of it.

That both are of the same run is checked at every step (number of ions, version, energy): folders get mixed up.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from .ingest_files import open_bytes, open_text
from .ingest_reasons import PassOver
from .outcar import IonicStepRecord, OutcarRecord, iter_outcar
from .vasprun_steps import IonicStep, VasprunSteps, iter_vasprun_steps

SAME_ENERGY = 1e-3
"""eV: both files print the same free energy of a step with at least six decimals."""


@dataclass
class OutputPair:
    """Both files of a run, open, its first step read.

    Attributes
    ----------
    origin : what its frames say of where they come from.
    found, record : what the files say around the steps; whole once `read` is exhausted.
    has_outcar : there is one.
    first, first_record : the first ionic step, None where there is none.
    """

    origin: str
    found: VasprunSteps
    record: OutcarRecord
    has_outcar: bool
    first: IonicStep | None
    first_record: IonicStepRecord | None
    _steps: Iterator[IonicStep]
    _records: Iterator[IonicStepRecord]
    _n_steps: int = 0
    _n_records: int = 0

    @classmethod
    def open(cls, vasprun: Path, outcar: Path | None, origin: str, stack: ExitStack) -> OutputPair:
        """Open both files and read as far as the first step; `stack` closes them."""
        found, record = VasprunSteps(), OutcarRecord()
        steps = iter_vasprun_steps(stack.enter_context(open_bytes(vasprun)), found, vasprun.name)
        records: Iterator[IonicStepRecord] = iter(())
        if outcar is not None:
            records = iter_outcar(stack.enter_context(open_text(outcar)), record)
        return cls(origin, found, record, outcar is not None, next(steps, None), next(records, None), steps, records)

    def read(self) -> Iterator[tuple[IonicStep, IonicStepRecord | None]]:
        """Every complete step of vasprun.xml with its record in OUTCAR, None where that one has ended.

        Raises
        ------
        PassOver
            If the two files are of different runs.
        """
        step, record, place = self.first, self.first_record, 0
        self._check_same_cell()
        while step is not None:
            for _ in range(step.number - place):  # steps of vasprun.xml that lack something are left out there alone
                record = next(self._records, None)
            place = step.number
            self._check_same_step(step, record)
            self._n_steps += 1
            self._n_records += record is not None and record.complete
            yield step, record
            step = next(self._steps, None)
        for _ in self._records:  # its last lines say whether the run ended by itself
            pass

    @property
    def problem(self) -> str:
        """Why the run is not whole, once it was read; empty if it is."""
        if self.found.problem:
            return self.found.problem
        if self.has_outcar and self._n_records < self._n_steps:
            return f"OUTCAR holds {self._n_records} of {self._n_steps} ionic steps"
        return "OUTCAR ends before the run did" if self.has_outcar and self.record.elapsed_s is None else ""

    def nothing_read(self) -> PassOver:
        """Why there is no step at all."""
        problem = self.found.problem
        if problem and self.found.version is None and not self.found.incar:
            return PassOver("not XML", problem)
        lacking = ", ".join(f"{count} {reason}" for reason, count in self.found.left_out.items())
        said = "; ".join(text for text in (lacking, problem) if text)
        return PassOver("no complete ionic step", said or "vasprun.xml is whole and holds no ionic step")

    @property
    def is_collinear(self) -> bool:
        """Whether moments are numbers; else they are vectors (LNONCOLLINEAR, LSORBIT)."""
        known = {**self.found.incar, **self.found.parameters}
        return not any(known.get(tag, "F").upper().strip(".").startswith("T") for tag in ("LNONCOLLINEAR", "LSORBIT"))

    def _check_same_cell(self) -> None:
        n_sites, said = len(self.found.symbols), self.record.n_sites
        if said is not None and said != n_sites:
            raise PassOver("site counts disagree", f"vasprun.xml has {n_sites} sites where OUTCAR has {said}")
        here, there = (self.found.version or "").split(), self.record.version
        if here and there and not there.startswith(here[0]) and not here[0].startswith(there):
            raise PassOver("mixed-up folder", f"vasprun.xml is of VASP {here[0]}, OUTCAR of {there}")

    def _check_same_step(self, step: IonicStep, record: IonicStepRecord | None) -> None:
        n_sites = len(self.found.symbols)
        if len(step.frac_coords) != n_sites or len(step.forces) != n_sites:
            raise PassOver(
                "site counts disagree",
                f"vasprun.xml names {n_sites} sites, its step {self._n_steps + 1} has {len(step.frac_coords)} "
                f"positions and {len(step.forces)} forces",
            )
        if record is None:
            return
        if record.magmoms is not None and len(record.magmoms) != n_sites:
            raise PassOver(
                "site counts disagree",
                f"OUTCAR lists {len(record.magmoms)} moments where vasprun.xml has {n_sites} sites",
            )
        energy = record.free_energy
        if energy is not None and abs(energy - step.free_energy) > SAME_ENERGY:
            raise PassOver(
                "mixed-up folder",
                f"step {self._n_steps + 1} has {step.free_energy:.6f} eV in vasprun.xml and {energy:.6f} eV in OUTCAR: "
                "they are of different runs",
            )
