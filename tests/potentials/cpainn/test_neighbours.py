"""Neighbour lists against ASE's, and layouts that hold every edge once."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.neighborlist import neighbor_list
from hypothesis import given, settings
from hypothesis import strategies as st
from valenceflow.potentials.cpainn.neighbours import find_edges, lay_out


def edges_of(atoms, cutoff):
    return find_edges(atoms.positions, atoms.cell.array, atoms.pbc, cutoff)


def listed(receivers, senders, vectors):
    """Edges in an order that does not depend on who found them."""
    return sorted((int(i), int(j), *np.round(v, 6) + 0.0) for i, j, v in zip(receivers, senders, vectors, strict=True))


def assert_same_as_ase(atoms, cutoff):
    found = edges_of(atoms, cutoff)
    receivers = np.repeat(np.arange(len(atoms)), found.degrees)
    assert listed(receivers, found.senders, found.vectors) == listed(*neighbor_list("ijD", atoms, cutoff))


def random_cell(seed):
    rng = np.random.default_rng(seed)
    n_atoms = int(rng.integers(1, 7))
    cell = np.diag(rng.uniform(1.8, 7.0, 3)) + rng.uniform(-1.0, 1.0, (3, 3))
    inside = rng.uniform(-2.0, 3.0, (n_atoms, 3))  # some outside the cell
    return Atoms(f"Fe{n_atoms}", scaled_positions=inside, cell=cell, pbc=rng.random(3) < 0.7)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000))
def test_edges_are_those_of_ase_in_cells_smaller_than_the_cutoff_and_open_ones(seed):
    assert_same_as_ase(random_cell(seed), 4.0)


@pytest.mark.parametrize(
    "atoms", [molecule("C6H6"), Atoms("H"), bulk("Cu"), Atoms("Fe", cell=np.eye(3) * 1.5, pbc=True)]
)
def test_edges_are_those_of_ase(atoms):
    assert_same_as_ase(atoms, 4.0)


def test_a_slab_without_a_third_cell_vector_has_neighbours():
    slab = bulk("Cu", cubic=True)
    slab.pbc = [True, True, False]
    slab.cell[2] = 0
    assert_same_as_ase(slab, 4.0)


@pytest.mark.parametrize("edges_per_block", [1, 7, 100, 10**6])
def test_a_layout_holds_every_edge_once_and_fills_with_edges_beyond_the_cutoff(edges_per_block):
    crystals = [random_cell(seed) for seed in range(5)]
    found = [edges_of(atoms, 3.0) for atoms in crystals]
    layout = lay_out(found, 6.0, edges_per_block)
    real = np.linalg.norm(layout.vectors, axis=1) < 3.0
    assert np.allclose(layout.vectors[~real], [6.0, 0, 0])
    expected, offset = [], 0
    for edges in found:
        receivers = np.repeat(np.arange(len(edges.degrees)), edges.degrees) + offset
        expected += listed(receivers, edges.senders + offset, edges.vectors)
        offset += len(edges.degrees)
    receivers, senders = layout.order[layout.receivers[real]], layout.order[layout.senders[real]]
    assert listed(receivers, senders, layout.vectors[real]) == sorted(expected)


@pytest.mark.parametrize("edges_per_block", [1, 30, 10**6])
def test_blocks_follow_each_other_and_cover_all(edges_per_block):
    layout = lay_out([edges_of(random_cell(seed), 4.0) for seed in range(4)], 8.0, edges_per_block)
    place, edge = 0, 0
    for block in layout.blocks:
        assert (block.atoms.start, block.edges.start) == (place, edge)
        assert block.atoms.stop - block.atoms.start == block.n_atoms
        assert block.edges.stop - block.edges.start == block.n_atoms * block.width
        expected = np.repeat(np.arange(place, block.atoms.stop), block.width)
        assert np.array_equal(layout.receivers[block.edges], expected)
        place, edge = block.atoms.stop, block.edges.stop
    assert (place, edge) == (len(layout.order), len(layout.senders))


@pytest.mark.parametrize(
    ("positions", "cell", "pbc", "found"),
    [
        ([[0, 0, 0], [0, 0, 0]], np.eye(3) * 5, True, "atoms 0 and 1 lie on one place"),
        ([[0, 0, np.nan]], np.eye(3) * 5, True, "not finite"),
        ([[0, 0, 0]], np.diag([5, 5, 0]), True, "no extent"),
        ([[0, 0, 0]], np.zeros((3, 3)), [False, False, True], "no extent"),
    ],
)
def test_geometries_without_neighbours_to_speak_of_are_refused(positions, cell, pbc, found):
    with pytest.raises(ValueError, match=found):
        find_edges(positions, cell, pbc, 4.0)
