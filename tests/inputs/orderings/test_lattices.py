"""Integer lattices: normal forms, superlattices and settings."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pymatgen.core import Lattice
from sympy import Matrix
from sympy.matrices.normalforms import hermite_normal_form as sympys_normal_form
from valenceflow.inputs.hosts import get_host
from valenceflow.inputs.orderings.lattices import (
    hermite_normal_form,
    settings,
    sublattices,
    supercell_rotations,
    superlattices,
)

OLIVINE = get_host("olivine-NaFePO4")
MATRICES = st.lists(st.lists(st.integers(-6, 6), min_size=3, max_size=3), min_size=3, max_size=3)


def determinant(matrix):
    return round(float(np.linalg.det(matrix)))


@given(MATRICES)
def test_the_normal_form_is_a_basis_of_the_same_lattice(rows):
    matrix = np.array(rows)
    assume(determinant(matrix))
    form = hermite_normal_form(matrix)
    change = form @ np.linalg.inv(matrix)
    assert np.allclose(change, np.round(change))
    assert determinant(form) == abs(determinant(matrix))
    assert np.array_equal(form, np.triu(form))
    assert all(0 <= form[i, j] < form[j, j] for j in range(3) for i in range(j))


@given(MATRICES, MATRICES)
def test_two_bases_of_one_lattice_have_one_normal_form(rows, change):
    matrix, unimodular = np.array(rows), np.triu(np.array(change), 1) + np.eye(3, dtype=int)
    assume(determinant(matrix))
    assert np.array_equal(hermite_normal_form(unimodular @ matrix), hermite_normal_form(matrix))


@given(MATRICES)
def test_the_normal_form_is_sympys_but_for_the_order_of_rows_and_columns(rows):
    """sympy keeps columns as vectors; turned round in both directions they are our rows."""
    matrix = np.array(rows)
    assume(determinant(matrix))
    theirs = np.array(sympys_normal_form(Matrix(matrix[:, ::-1].T.tolist()), D=None).tolist(), dtype=int)
    assert np.array_equal(hermite_normal_form(matrix), theirs.T[::-1, ::-1])


@pytest.mark.parametrize(("index", "number"), [(1, 1), (2, 7), (3, 13), (4, 35), (5, 31), (6, 91), (8, 155)])
def test_superlattices_of_an_index_are_as_many_as_published(index, number):
    """OEIS A001001."""
    found = [matrix.tobytes() for matrix in sublattices(index)]
    assert len(found) == len(set(found)) == number
    assert all(np.array_equal(hermite_normal_form(m), m) and determinant(m) == index for m in sublattices(index))


@pytest.mark.parametrize(
    "matrix", [[1, 3, 2], [2, 1, 1], [[1, 1, 0], [0, 3, 0], [0, 0, 1]], [[1, 0, 1], [0, 2, 0], [0, 0, 3]]], ids=str
)
def test_the_supercell_of_a_lattice_is_found_in_any_basis(matrix):
    rows = np.diag(matrix) if np.ndim(matrix) == 1 else np.array(matrix)
    mixed = np.array([[1, 0, 0], [-1, 1, 0], [2, 1, 1]]) @ rows
    lattice = Lattice(mixed @ OLIVINE.structure.lattice.matrix * 1.02)
    found = superlattices(lattice, OLIVINE, determinant(rows))
    assert any(np.array_equal(form, rows) for form in found)
    assert all(np.array_equal(hermite_normal_form(form), form) for form in found)


def test_a_superlattice_and_its_mirror_image_are_one():
    """{a+b, 3b, c} and {a-b, 3b, c}: the same crystal seen from the other side."""
    left, right = (
        superlattices(Lattice(np.array(rows) @ OLIVINE.structure.lattice.matrix), OLIVINE, 3)
        for rows in ([[1, 1, 0], [0, 3, 0], [0, 0, 1]], [[1, -1, 0], [0, 3, 0], [0, 0, 1]])
    )
    assert [m.tolist() for m in left] == [m.tolist() for m in right]


def test_rotations_of_a_supercell_are_those_that_keep_its_lattice(cell):
    """The second implementation: a rotation that keeps a lattice keeps its metric."""
    rotations = supercell_rotations(cell)
    metric = cell.structure.lattice.matrix @ cell.structure.lattice.matrix.T
    for rotation in rotations:
        assert np.allclose(rotation @ metric @ rotation.T, metric, atol=0.05)
        assert abs(determinant(rotation)) == 1
    kept = {np.rint(np.linalg.inv(r)).astype(int).tobytes() for r in rotations}
    assert kept == {r.tobytes() for r in rotations}


def test_settings_that_the_symmetry_joins_are_given_once(small_cell):
    """Olivine's a and c are within 10 %: two ways to lay the axes, each with eight operations."""
    cell = small_cell("olivine 1x2x1")
    lattice = cell.structure.lattice
    every = list(lattice.find_all_mappings(lattice, ltol=0.10, atol=6.0, skip_rotation_matrix=True))
    joined = list(settings(lattice, cell))
    assert len(every) == len(joined) * len(supercell_rotations(cell))
    images = {(rotation @ scale).tobytes() for scale in joined for rotation in supercell_rotations(cell)}
    assert images == {scale.astype(int).tobytes() for *_, scale in every}
