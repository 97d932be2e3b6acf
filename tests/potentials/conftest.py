"""Small mixed-valence cells for potentials."""

import numpy as np
import pytest
from ase import Atoms

CHARGES = {"Na": 1, "O": -2}


@pytest.fixture(scope="session")
def rock_salt():
    """Function that makes NaFe3O4 in rock salt, one Fe3+ among two Fe2+ (`high`), rattled and strained by a seed."""

    def make(seed=None, high=0, labelled=True):
        symbols = ["Na", "Fe", "Fe", "Fe", "O", "O", "O", "O"]
        cations = [[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]]
        anions = [[0.5, 0.5, 0.5], [0.5, 0, 0], [0, 0.5, 0], [0, 0, 0.5]]
        atoms = Atoms(symbols, scaled_positions=cations + anions, cell=np.eye(3) * 4.4, pbc=True)
        if labelled:
            states = [1, 2, 2, 2, -2, -2, -2, -2]
            states[1 + high] = 3
            atoms.set_array("oxidation_state", np.array(states))
        if seed is not None:
            rng = np.random.default_rng(seed)
            atoms.set_cell(atoms.cell.array @ (np.eye(3) + rng.normal(scale=0.03, size=(3, 3))), scale_atoms=True)
            atoms.positions += rng.normal(scale=0.1, size=(8, 3))
        return atoms

    return make
