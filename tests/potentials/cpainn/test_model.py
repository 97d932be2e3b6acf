"""cPaiNN's physics: symmetries, derivatives, sizes, cutoffs, labels; and the published number of parameters."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, make_supercell
from scipy.spatial.transform import Rotation

torch = pytest.importorskip("torch", reason="cPaiNN needs the potentials extra")

from valenceflow.potentials.cpainn.messages import Purpose  # noqa: E402
from valenceflow.potentials.cpainn.model import CPaiNN, EnergyScale  # noqa: E402
from valenceflow.potentials.cpainn.settings import PRESETS, ModelSettings, get_preset  # noqa: E402

from .textbook import textbook_outputs  # noqa: E402


@pytest.fixture(scope="module")
def model(make_model):
    return make_model()


@pytest.fixture
def cell(rock_salt):
    return rock_salt(seed=1)


def turned(atoms, matrix):
    """The same crystal in another frame of reference."""
    moved = atoms.copy()
    moved.set_cell(atoms.cell.array @ matrix.T)
    moved.positions = atoms.positions @ matrix.T
    return moved


def test_the_papers_size_has_the_published_number_of_parameters():
    assert CPaiNN(get_preset("paper").model).n_parameters == 3_053_315


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_can_be_built(preset):
    settings = PRESETS[preset].model
    assert CPaiNN(settings).n_parameters > 10_000
    assert 1 <= settings.heads_after <= settings.n_layers


def test_an_unknown_preset_is_refused():
    with pytest.raises(ValueError, match="unknown cPaiNN preset 'huge'; known: paper, small, tiny"):
        get_preset("huge")


@pytest.mark.parametrize("n_layers", [1, 2, 3, 4])
def test_outputs_are_those_of_the_textbook(make_model, crystal_of, cell, n_layers):
    model = make_model(settings=ModelSettings(features=5, n_layers=n_layers, cutoff=3.0, n_radial=4))
    batch = model.batch([crystal_of(cell)])
    for purpose in Purpose:
        found = model(batch, batch.vectors, purpose)
        ours = [batch.end_to_end(x).detach().numpy() for x in (found.energies, found.magmoms, found.charges)]
        for one, other in zip(ours, textbook_outputs(model, cell, crystal_of(cell).species), strict=True):
            assert np.allclose(one, other, atol=1e-10)


@pytest.mark.parametrize("inverted", [False, True])
def test_turning_or_inverting_a_crystal_turns_what_has_a_direction_and_nothing_else(model, predict, cell, inverted):
    matrix = Rotation.random(rng=np.random.default_rng(3)).as_matrix() * (-1 if inverted else 1)
    before, after = predict(model, cell), predict(model, turned(cell, matrix))
    assert after.energies == pytest.approx(before.energies, abs=1e-10)
    assert np.allclose(after.forces, before.forces @ matrix.T, atol=1e-10)
    assert np.allclose(after.stresses[0], matrix @ before.stresses[0] @ matrix.T, atol=1e-12)
    assert np.allclose(after.magmoms, before.magmoms, atol=1e-10)
    assert np.allclose(after.charges, before.charges, atol=1e-10)


def test_the_order_of_atoms_does_not_matter(model, predict, cell):
    order = np.random.default_rng(0).permutation(len(cell))
    before, after = predict(model, cell), predict(model, cell[order])
    assert after.energies == pytest.approx(before.energies, abs=1e-10)
    assert np.allclose(after.forces, before.forces[order], atol=1e-10)
    assert np.allclose(after.magmoms, before.magmoms[order], atol=1e-10)


def test_moving_the_crystal_or_single_atoms_by_cell_vectors_changes_nothing(model, predict, cell):
    moved = cell.copy()
    moved.positions += [0.3, -1.7, 12.0]
    moved.positions[2] += cell.cell.array[0] - 2 * cell.cell.array[1]
    before, after = predict(model, cell), predict(model, moved)
    assert after.energies == pytest.approx(before.energies, abs=1e-10)
    assert np.allclose(after.forces, before.forces, atol=1e-10)
    assert np.allclose(after.stresses, before.stresses, atol=1e-12)


@pytest.mark.parametrize("matrix", [np.diag([2, 1, 1]), np.diag([2, 2, 2]), [[1, 1, 0], [0, 1, 0], [0, 0, 2]]])
def test_a_supercell_has_the_energy_of_its_cells_and_the_same_stress(model, predict, cell, matrix):
    size = round(abs(np.linalg.det(matrix)))
    one, many = predict(model, cell), predict(model, make_supercell(cell, matrix, order="atom-major"))
    assert many.energies == pytest.approx(size * one.energies, abs=1e-9)
    assert np.allclose(many.forces, np.repeat(one.forces, size, axis=0), atol=1e-10)
    assert np.allclose(many.stresses, one.stresses, atol=1e-12)


def test_one_atom_with_all_its_images_is_right(make_model, predict):
    model = make_model(settings=ModelSettings(features=8, n_layers=2, cutoff=5.0, n_radial=5))
    small = bulk("Fe", "sc", a=2.2)
    small.set_array("oxidation_state", np.array([2]))
    one, many = predict(model, small), predict(model, small * (4, 4, 4))
    assert many.energies == pytest.approx(64 * one.energies, abs=1e-8)
    assert np.allclose(one.forces, 0, atol=1e-12)
    assert np.allclose(many.stresses, one.stresses, atol=1e-12)


def test_forces_and_stress_are_derivatives_of_the_energy(model, predict, cell):
    found, step = predict(model, cell), 1e-4
    rng = np.random.default_rng(5)
    for _ in range(3):
        along = rng.normal(size=(8, 3))
        energies = []
        for sign in (1, -1):
            moved = cell.copy()
            moved.positions += sign * step * along
            energies.append(predict(model, moved).energies[0])
        assert (energies[1] - energies[0]) / (2 * step) == pytest.approx(
            (found.forces * along).sum(), rel=1e-5, abs=1e-6
        )
    for _ in range(3):
        strain = rng.normal(size=(3, 3))  # not symmetric: a turn must cost nothing
        energies = []
        for sign in (1, -1):
            energies.append(predict(model, turned(cell, np.eye(3) + sign * step * strain)).energies[0])
        work = (found.stresses[0] * strain).sum() * cell.get_volume()
        assert (energies[0] - energies[1]) / (2 * step) == pytest.approx(work, rel=1e-5, abs=1e-5)


def test_stress_is_symmetric_and_forces_sum_to_zero(model, predict, cell):
    found = predict(model, cell)
    assert np.array_equal(found.stresses, found.stresses.transpose(0, 2, 1))
    assert np.abs(found.forces.sum(axis=0)).max() < 1e-10


def test_stress_is_symmetric_before_it_is_made_so(model, crystal_of, cell):
    batch = model.batch([crystal_of(cell)])
    vectors = batch.vectors.clone().requires_grad_()
    (slopes,) = torch.autograd.grad(model(batch, vectors).energies.sum(), vectors)
    virial = slopes.T @ batch.vectors
    assert torch.allclose(virial, virial.T, atol=1e-10)


def test_a_batch_gives_what_one_by_one_gives(model, predict, rock_salt):
    images = [rock_salt(seed=1), bulk("NaO", "rocksalt", a=4.0), rock_salt(seed=2, high=2) * (2, 1, 1)]
    together, alone = predict(model, *images), [predict(model, image) for image in images]
    for name in ("energies", "forces", "stresses", "magmoms", "charges"):
        expected = np.concatenate([getattr(one, name) for one in alone])
        assert np.allclose(getattr(together, name), expected, atol=1e-9), name


def test_how_edges_are_cut_into_blocks_changes_nothing(model, crystal_of, cell, monkeypatch):
    found = []
    for floats in (1, 10**3, 10**8):
        monkeypatch.setattr("valenceflow.potentials.cpainn.model._CPU_BLOCK", floats)
        found.append(model.predict(model.batch([crystal_of(cell)])).forces)
    assert torch.allclose(found[0], found[1], atol=1e-12)
    assert torch.allclose(found[0], found[2], atol=1e-12)


def test_energy_and_force_are_smooth_as_an_atom_crosses_the_cutoff(model, predict):
    cutoff = model.settings.cutoff

    def at(distance):
        pair = Atoms("NaO", positions=[[0, 0, 0], [0, 0, distance]], cell=np.eye(3) * 20, pbc=True)
        found = predict(model, pair)
        return found.energies[0], found.forces[1, 2]

    far, near = at(cutoff + 1.0), at(cutoff - 1.0)
    assert far[1] == 0
    for distance in (cutoff - 1e-4, cutoff, cutoff + 1e-4):
        energy, force = at(distance)
        assert abs(energy - far[0]) < 1e-5 * abs(near[0] - far[0])
        assert abs(force) < 1e-3 * abs(near[1])


def test_the_energy_has_no_kink_where_symmetry_makes_vectors_vanish(model, predict, rock_salt):
    """Force on an atom that leaves its inversion centre grows in proportion, from the first thousandth of an A on."""
    atoms = rock_salt()
    atoms.set_array("oxidation_state", np.array([1, 2, 2, 2, -2, -2, -2, -2]))
    forces = []
    for shift in (0.0, 1e-4, 2e-4):
        moved = atoms.copy()
        moved.positions[0, 0] += shift
        forces.append(predict(model, moved).forces[0, 0])
    assert abs(forces[0]) < 1e-10
    assert forces[2] == pytest.approx(2 * forces[1], rel=0.01)


def test_swapping_two_labels_changes_the_energy(model, predict, rock_salt):
    atoms, swapped = rock_salt(seed=1, high=0), rock_salt(seed=1, high=1)
    assert np.array_equal(atoms.positions, swapped.positions)
    assert abs(predict(model, atoms).energies[0] - predict(model, swapped).energies[0]) > 1e-4


def test_an_isolated_atom_has_an_energy_and_no_stress(model, predict):
    found = predict(model, Atoms("O"))
    assert np.isfinite(found.energies).all()
    assert np.array_equal(found.forces, np.zeros((1, 3)))
    assert np.isnan(found.stresses).all()


def test_an_empty_structure_and_a_broken_one_are_named(model, crystal_of):
    with pytest.raises(ValueError, match="nothing: has no atoms"):
        model.batch([crystal_of(Atoms(), "nothing")])
    with pytest.raises(ValueError, match="clash: atoms 0 and 1 lie on one place"):
        model.batch([crystal_of(Atoms("OO", cell=np.eye(3) * 3, pbc=True), "clash")])


def test_references_are_added_in_double_precision(make_model, predict, cell):
    model = make_model(dtype=torch.float32)
    bare = predict(model, cell).energies[0]
    model.set_energies(EnergyScale(0.7, {number: energy - 1e6 for number, energy in model.energies.references.items()}))
    assert predict(model, cell).energies[0] - bare == pytest.approx(-8e6, abs=1e-6)


def test_single_precision_agrees_with_double(make_model, predict, cell):
    double, single = make_model(), make_model(dtype=torch.float32)
    single.load_state_dict(double.state_dict())
    one, other = predict(double, cell), predict(single, cell)
    assert one.energies == pytest.approx(other.energies, abs=1e-4)
    assert np.allclose(one.forces, other.forces, atol=1e-4)
