"""A data set whose energies a potential gives: ideal olivine orderings, labelled, with moments that tell the states."""

import numpy as np
from valenceflow.potentials.labelling import atoms_of_ordering
from valenceflow.stores.connect import sqlite_stores
from valenceflow.stores.export.data_set import ExportOptions, export_set
from valenceflow.stores.frame_writer import FrameWriter
from valenceflow.stores.frames import FrameLabel, RunDoc
from valenceflow.stores.ingest_run import RunFacts, StepFrame, parts_of
from valenceflow.stores.splits import SplitPolicy

KEYS = ("f.0", "0.f", "3.3", "3.5", "3.6", "3.9", "5.3", "5.5", "1.7")
"""End members; x = 1/2 in two sodium orders; x = 1/4."""


def frames_of(atoms, calculator):
    """First a displaced frame, then the structure itself."""
    frames = []
    for shift in (0.02, 0.0):
        here = atoms.copy()
        here.positions += shift * np.random.default_rng(0).normal(size=here.positions.shape)
        here.calc = calculator
        states = here.arrays["oxidation_state"]
        moments = np.where(here.numbers == 26, np.where(states == 3, 4.33, 3.77), 0.0)
        frames.append(
            StepFrame(
                lattice=here.cell.array, positions=here.positions, energy=here.get_potential_energy(),
                forces=here.get_forces(), stress=here.get_stress(voigt=False), magmoms=moments,
            )
        )  # fmt: skip
    return frames


def label_of(atoms):
    states = [int(state) for state in atoms.arrays["oxidation_state"][atoms.numbers == 26]]
    high = sum(state == 3 for state in states)
    return FrameLabel(
        verdict="resolved", source="moments", couples=["Fe2+/Fe3+"], redox_elements=["Fe"], states=states,
        confidences=[1.0] * len(states), fixed={"Na": 1, "P": 5, "O": -2}, charge=0, n_high=high, confidence=1.0,
        as_intended=True, labelling_id="l",
    ).model_dump()  # fmt: skip


def write_set(folder, cell, couple, calculator, formats=("parquet",), twice=()):
    """Export a set of `KEYS` under a calculator's energies, all of it on the test side; some are there twice."""
    stores = sqlite_stores(folder / "store.sqlite")
    for key, name in [*((key, key) for key in KEYS), *((key, f"{key}-again") for key in twice)]:
        atoms = atoms_of_ordering(cell, couple, key)
        if name != key:
            atoms.positions[0] += 0.05
        facts = RunFacts(
            run_id=f"run-{name}", source="vasp folder", lineage=f"case-{name}", numbers=atoms.numbers.astype(np.uint8),
            engine="vasp", protocol_hash="p", step="relax",
            extra={"host": cell.host.name, "fraction": float((atoms.numbers == 11).sum() / 4)},
        )  # fmt: skip
        parts = list(parts_of(facts, frames_of(atoms, calculator), {}))
        for frame in (frame for part in parts for frame in part.frames):
            frame["label"] = label_of(atoms)
        run = RunDoc(run_id=facts.run_id, source="vasp folder", place=f"x:{name}", checksum="c", state="taken")
        with FrameWriter(stores) as writer:
            writer.add(run, parts)
    split = SplitPolicy(fractions=(0.0, 0.0, 1.0))
    export_set(stores, folder / "set", ExportOptions(formats=list(formats), split=split))
    stores.close()
    return folder / "set"
