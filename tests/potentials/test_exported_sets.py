"""Exported sets as trainers see them: stress by finite differences in every format, trainings that run unchanged."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.lj import LennardJones
from ase.stress import voigt_6_to_full_3x3_stress
from ase.units import GPa
from valenceflow.stores.export.data_set import ExportOptions, export_set
from valenceflow.stores.ingest_run import StepFrame
from valenceflow.stores.splits import SplitPolicy

from ..stores.export.conftest import N_SITES, SYMBOLS, put, stores  # noqa: F401 - fixtures

pytestmark = pytest.mark.slow
LOADED = Path(__file__).with_name("loaded_sets.py")
FORMATS = ["mace", "chgnet", "cpainn", "parquet", "aselmdb"]
STRAIN = 1e-3
TENSION_OF = {"mace": 1.0, "cpainn": 1.0, "parquet": 1.0, "aselmdb": 1.0, "chgnet": GPa}
"""What a loaded stress is multiplied by to be in eV/A^3, positive = tension."""


def crystal(seed):
    """A shaken grid with a smooth pair potential."""
    draw = np.random.default_rng(seed)
    places = np.array(list(np.ndindex(3, 3, 3)))[:N_SITES] / 3
    scaled = np.round(places + draw.normal(size=places.shape) * 0.01, 8)
    atoms = Atoms(SYMBOLS, cell=np.diag([7.3, 7.6, 7.1]), scaled_positions=scaled, pbc=True)
    atoms.calc = LennardJones(sigma=2.2, epsilon=0.4, rc=6.0, ro=5.0, smooth=True)
    return atoms


def step_frame(atoms):
    moments = np.array([0.0] * 2 + [4.3, 3.7, 4.3, 3.7] + [0.0] * 20)
    return StepFrame(
        lattice=atoms.cell.array, scaled_positions=None, positions=atoms.positions.copy(),
        energy=float(atoms.get_potential_energy()), forces=atoms.get_forces(),
        stress=voigt_6_to_full_3x3_stress(atoms.get_stress()), magmoms=moments,
    )  # fmt: skip


def strained(atoms, row, column, size):
    copied = atoms.copy()
    copied.calc = atoms.calc
    strain = np.eye(3)
    strain[row, column] += size / 2
    strain[column, row] += size / 2
    copied.set_cell(atoms.cell.array @ strain, scale_atoms=True)
    return copied


def python(*arguments, cwd=None):
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(
        [sys.executable, *map(str, arguments)], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:] + done.stdout[-2000:]
    return done.stdout


def test_stress_is_the_derivative_of_the_energy_in_every_format(stores, put, tmp_path):  # noqa: F811
    atoms = crystal(0)
    directions = [(0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1)]
    images = [atoms] + [strained(atoms, *d, sign * STRAIN) for d in directions for sign in (1, -1)]
    put("a", [step_frame(image) for image in images])
    export_set(stores, tmp_path / "set", ExportOptions(FORMATS, split=SplitPolicy(fractions=(1.0, 0.0, 0.0))))
    loaded = json.loads(python(LOADED, "numbers", tmp_path / "set"))
    assert set(loaded) == set(FORMATS)
    for name, frames in loaded.items():
        cells = N_SITES if name == "chgnet" else 1  # CHGNet's energies are per atom
        energies = [cells * energy for energy, _, _ in frames]
        volume = abs(np.linalg.det(np.reshape(frames[0][1], (3, 3))))
        slopes = [(energies[1 + 2 * n] - energies[2 + 2 * n]) / (2 * STRAIN * volume) for n in range(6)]
        stress = np.array(frames[0][2]) * TENSION_OF[name]
        found = stress if stress.size == 6 else stress.reshape(3, 3)[tuple(zip(*directions, strict=True))]
        # Central differences over a strain of 1e-3; CHGNet's loader makes single precision of energies beside.
        assert np.allclose(found, slopes, atol=5e-5), name
        assert np.abs(slopes).max() > 5e-3


@pytest.fixture
def tiny(stores, put, tmp_path):  # noqa: F811
    """A set of four lineages, two frames each."""
    for seed in range(4):
        put(f"run{seed}", [step_frame(crystal(10 * seed + n)) for n in range(2)])
    export_set(
        stores, tmp_path / "set", ExportOptions(["mace", "chgnet"], split=SplitPolicy(fractions=(0.5, 0.5, 0.0)))
    )
    return tmp_path / "set"


def test_mace_trains_on_a_set_as_it_is(tiny, tmp_path):
    said = python(
        "-m", "mace.cli.run_train", "--name=tiny", f"--train_file={tiny}/mace/train.xyz",
        f"--valid_file={tiny}/mace/valid.xyz", f"--E0s={tiny}/mace/E0s.json", "--model=MACE", "--hidden_irreps=8x0e",
        "--max_ell=1", "--correlation=2", "--num_interactions=2", "--r_max=4", "--batch_size=2", "--max_num_epochs=1",
        "--device=cpu", "--loss=stress", "--compute_stress=True", "--seed=1", "--default_dtype=float64",
        cwd=tmp_path,
    )  # fmt: skip
    assert "Training complete" in said or "Done" in said
    assert list(tmp_path.glob("*.model")) or list(tmp_path.rglob("*tiny*.model"))


def test_chgnet_trains_on_a_set_as_it_is(tiny):
    losses = json.loads(python(LOADED, "chgnet", tiny))
    assert set(losses) == {"e", "f", "s", "m"}
    assert all(np.isfinite(found).all() and len(found) == 1 for found in losses.values())
