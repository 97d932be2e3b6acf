"""Small exported sets of NaFe3O4 in rock salt: a smooth pair potential, and a shift that depends on where Fe3+ sits."""

import numpy as np
from ase.calculators.lj import LennardJones
from ase.stress import voigt_6_to_full_3x3_stress
from valenceflow.stores.connect import sqlite_stores
from valenceflow.stores.export.data_set import ExportOptions, export_set
from valenceflow.stores.ingest_run import StepFrame
from valenceflow.stores.splits import SplitPolicy

from ..stores.export.conftest import label, write_run

SYMBOLS = ["Na", "Fe", "Fe", "Fe", "O", "O", "O", "O"]
FORMATS = ["mace", "chgnet", "cpainn", "parquet"]


def labelled(high, **changes):
    """Label of a cell whose Fe number `high` is Fe3+."""
    states = [3 if place == high else 2 for place in range(3)]
    return label(states=states, confidences=[1.0] * 3, fixed={"Na": 1, "O": -2}, n_high=1, **changes)


def frame_of(atoms, high):
    """A computed frame; atoms with Fe3+ have moments of 4.3 muB."""
    atoms = atoms.copy()
    atoms.calc = LennardJones(sigma=2.0, epsilon=0.3, rc=4.0, ro=3.0, smooth=True)
    moments = np.zeros(8)
    moments[1:4] = [4.3 if place == high else 3.7 for place in range(3)]
    return StepFrame(
        lattice=atoms.cell.array, scaled_positions=None, positions=atoms.positions.copy(),
        energy=float(atoms.get_potential_energy()) + 0.1 * high, forces=atoms.get_forces(),
        stress=voigt_6_to_full_3x3_stress(atoms.get_stress()), magmoms=moments,
    )  # fmt: skip


def make_set(folder, rock_salt, n_runs=4, n_frames=3, formats=FORMATS, marked=None, change=None, **options):
    """Export a set: `n_runs` lineages of `n_frames` frames, a quarter of them for validation."""
    stores = sqlite_stores(folder.with_suffix(".sqlite"))
    for run in range(n_runs):
        high = run % 3
        frames = [frame_of(rock_salt(seed=10 * run + number), high) for number in range(n_frames)]
        for frame in frames:
            if change is not None:
                change(frame)
        write_run(stores, f"run{run}", frames, labelled(high) if marked is None else marked, symbols=SYMBOLS)
    split = SplitPolicy(fractions=(0.75, 0.25, 0.0))
    export_set(stores, folder, ExportOptions(formats, split=split, **options))
    stores.close()
    return folder
