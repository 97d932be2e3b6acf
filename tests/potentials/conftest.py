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


@pytest.fixture(scope="session")
def cpainn_file(tmp_path_factory):
    """File of a cPaiNN with random weights and the paper's species map."""
    torch = pytest.importorskip("torch", reason="cPaiNN needs the potentials extra")
    from valenceflow.potentials.cpainn.checkpoint import TrainedModel, save_model
    from valenceflow.potentials.cpainn.model import CPaiNN, EnergyScale
    from valenceflow.potentials.cpainn.settings import ModelSettings
    from valenceflow.potentials.species import SpeciesMap

    torch.manual_seed(5)
    settings = ModelSettings(features=12, n_layers=3, cutoff=3.2, n_radial=6)
    model = CPaiNN(settings, EnergyScale(0.7, {11: -1.5, 26: -8.25, 31: -8.25, 8: -6.0})).to(torch.float64)
    path = tmp_path_factory.mktemp("cpainn") / "model.pt"
    save_model(path, TrainedModel(model, SpeciesMap.shipped("paper"), (8, 11, 26, 31)))
    return path


def _olivine_file(folder, map_name):
    torch = pytest.importorskip("torch", reason="cPaiNN needs the potentials extra")
    from valenceflow.potentials.cpainn.checkpoint import TrainedModel, save_model
    from valenceflow.potentials.cpainn.model import CPaiNN, EnergyScale
    from valenceflow.potentials.cpainn.settings import ModelSettings
    from valenceflow.potentials.species import SpeciesMap

    torch.manual_seed(6)
    settings = ModelSettings(features=8, n_layers=2, cutoff=3.0, n_radial=4)
    energies = EnergyScale(0.2, {11: -1.5, 26: -8.25, 31: -8.25, 15: -7.0, 8: -6.0})
    path = folder / "model.pt"
    species = (8, 11, 15, 26, 31) if map_name == "paper" else (8, 11, 15, 26)
    save_model(path, TrainedModel(CPaiNN(settings, energies), SpeciesMap.shipped(map_name), species))
    return path


@pytest.fixture(scope="session")
def olivine_model(tmp_path_factory):
    """File of a cPaiNN with random weights that takes NaxFePO4 with charge states."""
    return _olivine_file(tmp_path_factory.mktemp("states"), "paper")


@pytest.fixture(scope="session")
def plain_olivine_model(tmp_path_factory):
    """File of a cPaiNN with random weights that takes NaxFePO4 without charge states."""
    return _olivine_file(tmp_path_factory.mktemp("plain"), "elements")
