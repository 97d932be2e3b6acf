"""Small cPaiNNs in double precision, random but the same each time."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="cPaiNN needs the potentials extra")

from valenceflow.potentials.cpainn.checkpoint import TrainedModel  # noqa: E402
from valenceflow.potentials.cpainn.crystals import Crystal  # noqa: E402
from valenceflow.potentials.cpainn.model import CPaiNN, EnergyScale  # noqa: E402
from valenceflow.potentials.cpainn.settings import ModelSettings  # noqa: E402
from valenceflow.potentials.species import SpeciesMap  # noqa: E402

SMALL = ModelSettings(features=12, n_layers=3, cutoff=3.2, n_radial=6)
REFERENCES = {11: -1.5, 26: -8.25, 31: -8.25, 8: -6.0}


@pytest.fixture(scope="session")
def make_model():
    """Function that makes a random model."""

    def make(seed=0, settings=SMALL, dtype=torch.float64, scale=0.7):
        torch.manual_seed(seed)
        model = CPaiNN(settings, EnergyScale(scale, REFERENCES)).to(dtype)
        with torch.no_grad():  # biases start at zero, where mistakes with them would not show
            for weights in model.parameters():
                weights += 0.05 * torch.randn_like(weights)
        return model

    return make


@pytest.fixture(scope="session")
def crystal_of():
    """Function that encodes Atoms with the paper's map."""

    def encode(atoms, name="structure"):
        species = SpeciesMap.shipped("paper").encode_atoms(atoms)
        return Crystal(species, atoms.positions.copy(), atoms.cell.array.copy(), np.array(atoms.pbc), name)

    return encode


@pytest.fixture(scope="session")
def predict(crystal_of):
    """Function that gives a model's prediction of Atoms as numpy arrays."""

    def run(model, *images):
        found = model.predict(model.batch([crystal_of(atoms) for atoms in images]))
        return type(found)(*(value.double().numpy() for value in vars(found).values()))

    return run


@pytest.fixture(scope="session")
def trained(make_model):
    """Function that dresses a model as a trained one."""

    def dress(model=None, species=(8, 11, 26, 31), map_name="paper"):
        return TrainedModel(model or make_model(), SpeciesMap.shipped(map_name), species, {"note": "random"})

    return dress
