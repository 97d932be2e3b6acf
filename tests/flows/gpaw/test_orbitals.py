"""d orbitals in a crystal field: against ligand field theory, rotations, and GPAW's own order of real harmonics."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation
from valenceflow.flows.gpaw.in_gpaw.orbitals import (
    PI_OVER_SIGMA,
    crystal_field,
    d_basis,
    in_orbitals,
    ligand_vectors,
    orbitals_by_energy,
    put_block,
)

OCTAHEDRON = 2.1 * np.vstack([np.eye(3), -np.eye(3)])
TETRAHEDRON = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]) * 1.2
XY, YZ, Z2, XZ, X2_Y2 = range(5)


def test_an_octahedron_and_a_tetrahedron_split_as_in_the_textbook():
    # Angular overlap model: eg 3 e_sigma, t2g 4 e_pi; tetrahedron: t2 4/3 e_sigma + 8/9 e_pi, e 8/3 e_pi.
    octahedral = np.diag(crystal_field(OCTAHEDRON))
    assert octahedral[[Z2, X2_Y2]] == pytest.approx([3, 3])
    assert octahedral[[XY, YZ, XZ]] == pytest.approx([4 * PI_OVER_SIGMA] * 3)
    tetrahedral = np.linalg.eigvalsh(crystal_field(TETRAHEDRON))
    assert tetrahedral[:2] == pytest.approx([8 / 3 * PI_OVER_SIGMA] * 2)
    assert tetrahedral[2:] == pytest.approx([4 / 3 + 8 / 9 * PI_OVER_SIGMA] * 3)


def test_the_basis_is_that_of_the_real_harmonics_in_gpaws_order():
    n = np.array([0.3, -0.5, 0.81])
    x, y, z = n / np.linalg.norm(n)
    values = np.einsum("kij,i,j->k", d_basis(), [x, y, z], [x, y, z]) * np.sqrt(2)
    # Polynomials of gpaw.spherical_harmonics for l = 2, up to the common factor sqrt(15 / 4 pi) / sqrt(3).
    assert values == pytest.approx(
        [2 * x * y, 2 * y * z, (3 * z * z - 1) / np.sqrt(3), 2 * x * z, x * x - y * y], abs=1e-12
    )
    assert np.einsum("kij,lij->kl", d_basis(), d_basis()) == pytest.approx(np.eye(5), abs=1e-12)


@given(st.integers(0, 2**31))
def test_energies_do_not_depend_on_the_axes_and_orbitals_turn_with_the_ligands(seed):
    generator = np.random.default_rng(seed)
    ligands = OCTAHEDRON + generator.normal(0, 0.15, OCTAHEDRON.shape)
    turn = Rotation.random(rng=generator).as_matrix()
    assert np.linalg.eigvalsh(crystal_field(ligands @ turn.T)) == pytest.approx(
        np.linalg.eigvalsh(crystal_field(ligands)), abs=1e-9
    )
    lowest, turned = (
        np.einsum("k,kij->ij", orbitals_by_energy(v)[:, 0], d_basis()) for v in (ligands, ligands @ turn.T)
    )
    expected = turn @ lowest @ turn.T
    assert abs(np.sum(expected * turned)) == pytest.approx(1, abs=1e-6)


def test_along_a_long_axis_the_electron_goes_where_no_ligand_is_near():
    stretched = OCTAHEDRON * np.array([1, 1, 1.15])
    highest = orbitals_by_energy(stretched)[:, -1]
    assert abs(highest[X2_Y2]) == pytest.approx(1)
    flattened = OCTAHEDRON * np.array([1, 1, 0.9])
    assert abs(orbitals_by_energy(flattened)[XY, 0]) == pytest.approx(1)


def test_ligands_are_found_through_the_cells_walls():
    cell = np.diag([4.2, 4.2, 4.2])
    positions = np.array([[0.0, 0, 0], [2.1, 0, 0], [0, 2.1, 0], [0, 0, 2.1], [2.1, 2.1, 2.1]])
    found = ligand_vectors(0, positions, cell, [2, -2, -2, -2, 2])
    assert len(found) == 6
    assert np.linalg.norm(found, axis=1) == pytest.approx([2.1] * 6)
    with pytest.raises(ValueError, match="no site carries a negative charge"):
        ligand_vectors(0, positions, cell, [2] * 5)


def test_a_block_is_packed_as_gpaw_unpacks_it():
    size, first = 9, 4
    orbitals = orbitals_by_energy(OCTAHEDRON + 0.1)
    block = in_orbitals([1, 0.2, 0, 0, 0], orbitals)
    packed = np.zeros(size * (size + 1) // 2)
    put_block(packed, block, first, size)
    # GPAW's convention: upper triangle row by row, what is off the diagonal counted twice.
    full = np.zeros((size, size))
    full[np.triu_indices(size)] = packed
    full = (full + full.T) / 2
    assert full[first:, first:] == pytest.approx(block, abs=1e-12)
    assert np.count_nonzero(full[:first]) == 0
    assert np.trace(block) == pytest.approx(1.2)
