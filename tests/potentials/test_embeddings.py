"""Last-layer embeddings: the energy is read from them, separations are those of known clouds."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="potentials need their extra")

from valenceflow.potentials.calculator import ChargeStateCalculator  # noqa: E402
from valenceflow.potentials.embeddings import (  # noqa: E402
    last_layer,
    nearest_centroid,
    principal_components,
    silhouette,
)
from valenceflow.potentials.open_models import ModelChoice  # noqa: E402
from valenceflow.potentials.species import SpeciesMap  # noqa: E402

from .ionic import IonicPairs  # noqa: E402

PAPER = SpeciesMap.shipped("paper")


def test_cpainns_energy_is_its_readout_of_these_features(cpainn_file, rock_salt):
    calculator = ModelChoice((str(cpainn_file),)).open()
    atoms = rock_salt(seed=1)
    features, layer = last_layer(calculator, atoms)
    model = calculator.models[0].trained.model
    with torch.no_grad():
        network = model.readout(torch.from_numpy(features)).sum().item()
    references = sum(model.energies.references[n] for n in PAPER.encode_atoms(atoms))
    atoms.calc = calculator
    assert atoms.get_potential_energy() == pytest.approx(model.energies.scale * network + references, abs=1e-8)
    assert features.shape == (8, 12)
    assert layer == "cPaiNN: input of the readout"


def test_rows_belong_to_the_atoms_in_their_order(cpainn_file, rock_salt):
    calculator = ModelChoice((str(cpainn_file),)).open()
    atoms = rock_salt(seed=1)
    order = np.random.default_rng(0).permutation(len(atoms))
    there, _ = last_layer(calculator, atoms)
    shuffled, _ = last_layer(calculator, atoms[order])
    assert np.allclose(shuffled, there[order], atol=1e-10)


@pytest.mark.filterwarnings("ignore:Converting a tensor with requires_grad=True to a scalar")  # torch, of chgnet's code
def test_chgnets_energy_is_its_mlp_of_these_features(rock_salt):
    from contextlib import redirect_stdout
    from io import StringIO

    from chgnet.model import CHGNet
    from chgnet.model.dynamics import CHGNetCalculator

    torch.manual_seed(0)
    sizes = {"atom_fea_dim": 16, "bond_fea_dim": 16, "angle_fea_dim": 16, "num_radial": 9, "num_angular": 9}
    model = CHGNet(**sizes, n_conv=2, composition_model=None, mlp_hidden_dims=16).eval()
    with redirect_stdout(StringIO()):
        inner = CHGNetCalculator(model, use_device="cpu", on_isolated_atoms="ignore")
    calculator = ChargeStateCalculator(inner, PAPER)
    atoms = rock_salt(seed=1)
    features, layer = last_layer(calculator, atoms)
    with torch.no_grad():
        energy = model.mlp(torch.from_numpy(features).float()).sum().item()
    atoms.calc = calculator
    assert atoms.get_potential_energy() == pytest.approx(energy, abs=1e-3)
    assert atoms.get_stress().shape == (6,)  # CHGNet's own is 3 x 3
    assert layer == "CHGNet: input of mlp"


def test_a_potential_without_a_known_last_layer_is_refused(rock_salt):
    with pytest.raises(ValueError, match="IonicPairs: its last layer is not known"):
        last_layer(ChargeStateCalculator(IonicPairs(), PAPER), rock_salt(seed=1))


def test_principal_components_keep_distances_of_a_plane_and_their_shares_sum_to_one():
    draw = np.random.default_rng(0)
    plane = draw.normal(size=(20, 2)) @ draw.normal(size=(2, 7)) + 3.0
    points, shares = principal_components(plane)
    assert shares.sum() == pytest.approx(1)
    before = np.linalg.norm(plane[:, None] - plane, axis=-1)
    assert np.allclose(np.linalg.norm(points[:, None] - points, axis=-1), before)
    assert np.array_equal(principal_components(np.ones((4, 3)))[0], np.zeros((4, 2)))


def test_silhouettes_are_those_of_the_definition():
    draw = np.random.default_rng(1)
    features, classes = draw.normal(size=(9, 3)), np.array([0, 0, 0, 0, 1, 1, 1, 2, 2])
    values = []
    for i in range(9):
        distance = np.linalg.norm(features - features[i], axis=1)
        own = [distance[j] for j in range(9) if j != i and classes[j] == classes[i]]
        others = [distance[classes == other].mean() for other in range(3) if other != classes[i]]
        a, b = np.mean(own), min(others)
        values.append((b - a) / max(a, b))
    assert silhouette(features, classes) == pytest.approx(np.mean(values))


def test_clouds_far_apart_separate_equal_ones_do_not_and_single_ones_say_nothing():
    draw = np.random.default_rng(2)
    classes = np.repeat([0, 1], 20)
    near, far = draw.normal(size=(40, 4)), draw.normal(size=(40, 4)) + 50 * classes[:, None]
    assert silhouette(far, classes) > 0.9
    assert nearest_centroid(far, classes) == 1
    assert abs(silhouette(near, classes)) < 0.1
    assert nearest_centroid(np.ones((6, 2)), np.array([0, 0, 0, 1, 1, 1])) == 0.5
    assert silhouette(near[:3], np.array([0, 0, 1])) is None
    assert nearest_centroid(near[:2], np.array([0, 0])) is None
