"""Frames from ASE: labels wherever they stand, missing ones as NaN, and what is refused."""

import numpy as np
import pytest
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import read, write

torch = pytest.importorskip("torch", reason="cPaiNN needs the potentials extra")

from valenceflow.potentials.cpainn.frames import frame_from_atoms, frames_from_atoms, frames_hash  # noqa: E402
from valenceflow.potentials.species import SpeciesMap  # noqa: E402

PAPER = SpeciesMap.shipped("paper")


@pytest.fixture
def labelled(rock_salt):
    """Function that makes Atoms with results of a calculator."""

    def make(seed=1, **labels):
        atoms = rock_salt(seed=seed)
        rng = np.random.default_rng(seed)
        results = {"energy": -50.0, "forces": rng.normal(size=(8, 3)), "stress": rng.normal(size=6)} | labels
        atoms.calc = SinglePointCalculator(
            atoms, **{name: value for name, value in results.items() if value is not None}
        )
        return atoms

    return make


def test_labels_come_from_the_calculator(labelled):
    atoms = labelled(magmoms=np.linspace(-4, 4, 8))
    frame = frame_from_atoms(atoms, PAPER, "a")
    assert frame.energy == -50.0
    assert np.array_equal(frame.forces, atoms.get_forces())
    assert np.array_equal(frame.stress, atoms.get_stress(voigt=False))
    assert np.array_equal(frame.magmoms, np.abs(np.linspace(-4, 4, 8)))
    assert np.isnan(frame.charges).all()
    assert frame.crystal.species.tolist() == [11, 31, 26, 26, 8, 8, 8, 8]
    assert atoms.get_chemical_symbols()[1] == "Fe"


def test_labels_come_from_an_extended_xyz_as_mace_reads_it(labelled, tmp_path):
    atoms = labelled()
    told = frame_from_atoms(atoms, PAPER, "a")
    atoms.info |= {"REF_energy": told.energy, "REF_stress": told.stress.ravel()}
    atoms.set_array("REF_forces", told.forces)
    atoms.set_array("bader_charges", np.linspace(-1, 1, 8))
    atoms.calc = None
    write(tmp_path / "set.xyz", atoms, format="extxyz")
    found = frame_from_atoms(read(tmp_path / "set.xyz"), PAPER, "a")
    assert found.energy == told.energy
    assert np.allclose(found.forces, told.forces, atol=1e-7)
    assert np.allclose(found.stress, told.stress, atol=1e-7)
    assert np.allclose(found.charges, np.linspace(-1, 1, 8), atol=1e-7)


@pytest.mark.parametrize(
    ("labels", "found"),
    [
        ({"energy": None}, "a: has no energy to learn from"),
        ({"forces": None}, "a: has no forces to learn from"),
        ({"energy": np.nan}, "a: energy is not finite"),
        ({"energy": -1e30}, r"a: energy holds 1e\+30, which no calculation gives"),
        ({"forces": np.full((8, 3), np.inf)}, "a: forces is not finite"),
    ],
)
def test_a_frame_without_usable_labels_is_named(labelled, labels, found):
    with pytest.raises(ValueError, match=found):
        frame_from_atoms(labelled(**labels), PAPER, "a")


def test_wrong_shapes_are_named(labelled):
    atoms = labelled()
    atoms.calc.results["stress"] = np.zeros(5)
    with pytest.raises(ValueError, match=r"stress has shape \(5,\) where \(3, 3\) is needed"):
        frame_from_atoms(atoms, PAPER, "a")


def test_an_unbalanced_frame_is_refused_only_where_charge_states_are_encoded(labelled):
    atoms = labelled()
    atoms.arrays["oxidation_state"][2] = 3
    with pytest.raises(ValueError, match=r"frame 1: oxidation states sum to \+1 e"):
        frames_from_atoms([labelled(), atoms], PAPER)
    assert len(frames_from_atoms([labelled(), atoms], SpeciesMap.shipped("elements"))) == 2


def test_a_frame_without_states_is_refused_where_they_are_encoded(labelled):
    atoms = labelled()
    del atoms.arrays["oxidation_state"]
    with pytest.raises(ValueError, match="frame 0: atom 1 has no oxidation state"):
        frames_from_atoms([atoms], PAPER)


def test_a_stress_of_an_open_cell_is_refused(labelled):
    atoms = labelled()
    atoms.pbc[2] = False
    atoms.calc.atoms.pbc[2] = False
    with pytest.raises(ValueError, match="has a stress but is not periodic"):
        frame_from_atoms(atoms, PAPER, "a")


def test_the_hash_sees_every_number_and_not_the_name(labelled):
    frame = frame_from_atoms(labelled(), PAPER, "a")
    assert frames_hash([frame]) == frames_hash([frame_from_atoms(labelled(), PAPER, "b")])
    for changes in ({"energy": -50.1}, {"forces": np.zeros((8, 3))}, {"stress": None}, {"magmoms": np.ones(8)}):
        assert frames_hash([frame_from_atoms(labelled(**changes), PAPER, "a")]) != frames_hash([frame])
    assert frames_hash([frame_from_atoms(labelled(), SpeciesMap.shipped("elements"), "a")]) != frames_hash([frame])
