"""Random displacements: bounded, isotropic, told by a name."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from valenceflow.inputs.rattle import rattled


def moves(structure, moved):
    """(n_sites, 3) displacements, A."""
    return structure.lattice.get_cartesian_coords(moved.frac_coords - structure.frac_coords)


@settings(deadline=None, max_examples=20)
@given(st.floats(1e-3, 0.3), st.text(max_size=20))
def test_no_atom_moves_farther_than_told_and_a_name_tells_how(olivine, largest, name):
    structure = olivine.structure
    moved = rattled(structure, largest, name)
    assert np.linalg.norm(moves(structure, moved), axis=1).max() <= largest * (1 + 1e-9)
    assert moved.lattice == structure.lattice
    assert moved.species == structure.species
    assert moved.site_properties == structure.site_properties
    assert np.array_equal(rattled(structure, largest, name).frac_coords, moved.frac_coords)
    assert not np.array_equal(rattled(structure, largest, f"{name}+").frac_coords, moved.frac_coords)


def test_displacements_are_isotropic_and_uniform_in_length(olivine):
    structure = olivine.structure
    found = np.concatenate([moves(structure, rattled(structure, 0.1, str(n))) for n in range(200)])
    lengths = np.linalg.norm(found, axis=1)
    error = 5 / np.sqrt(len(found))
    assert abs(lengths.mean() / 0.05 - 1) < error
    assert np.abs(found.mean(axis=0)).max() < 0.1 * error
    spread = found.T @ found / len(found)
    along_an_axis = 0.1**2 / 9  # a third of the mean squared length, itself a third of the largest
    assert np.allclose(spread, along_an_axis * np.eye(3), atol=5 * error * along_an_axis)
