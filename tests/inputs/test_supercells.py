"""Supercells: exact translations, pymatgen's own supercell as the second implementation, fractions and neutrality."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure
from valenceflow.inputs.charge_states import shipped_couples
from valenceflow.inputs.fractions import read_fraction
from valenceflow.inputs.hosts import Host, get_host, in_host_order
from valenceflow.inputs.supercells import HostSupercell, supercell_matrix

HOST = get_host("olivine-NaFePO4")
MATRICES = st.lists(st.integers(-3, 3), min_size=9, max_size=9).map(lambda values: np.reshape(values, (3, 3)))


@st.composite
def superlattices(draw, largest):
    """A matrix of a random superlattice of up to `largest` cells, in a random basis."""
    diagonal = draw(st.sampled_from([d for d in np.ndindex(5, 5, 5) if 1 <= np.prod(d) <= largest]))
    matrix = np.diag(diagonal)
    matrix[1, 0], matrix[2, 0], matrix[2, 1] = (draw(st.integers(0, 3)) for _ in range(3))
    for _ in range(draw(st.integers(0, 2))):
        to, by = draw(st.sampled_from([(0, 1), (1, 2), (2, 0), (1, 0)]))
        matrix[to] += draw(st.sampled_from([-1, 1])) * matrix[by]
    return matrix


@pytest.fixture
def paper_cell():
    return HostSupercell.build(HOST, [1, 3, 2])


@given(matrix=MATRICES)
def test_a_matrix_is_read_if_its_determinant_is_positive_and_else_named_with_it(matrix):
    determinant = round(np.linalg.det(matrix))
    if determinant >= 1:
        assert supercell_matrix(matrix.tolist()).tolist() == matrix.tolist()
    else:
        with pytest.raises(ValueError, match=rf"has determinant {determinant}; it must be at least 1"):
            supercell_matrix(matrix.tolist())


def test_three_numbers_are_a_diagonal():
    assert supercell_matrix([1, 3, 2]).tolist() == [[1, 0, 0], [0, 3, 0], [0, 0, 2]]


@pytest.mark.parametrize(
    "value",
    [[1, 2], [1.5, 1, 1], [[1, 0], [0, 1]], "abc", [[1, 0, 0], [0, 1], [0, 0, 1]], [1, 1, float("nan")], None, 2],
)
def test_a_supercell_that_is_no_matrix_of_whole_numbers_is_refused_with_its_value(value):
    with pytest.raises(ValueError, match=r"must be \[na, nb, nc\] or a 3x3 matrix of whole numbers, got "):
        supercell_matrix(value)


def test_a_supercell_of_more_atoms_than_anybody_orders_is_refused_with_their_number():
    with pytest.raises(ValueError, match=r"supercell 60x60x60 of olivine-NaFePO4 has 6,048,000 atoms; take one of at"):
        HostSupercell.build(HOST, [60, 60, 60])
    assert HostSupercell.build(HOST, [1, 1, 700]).n_cells == 700


@settings(deadline=None)
@given(matrix=superlattices(12))
def test_translations_are_one_of_each_class_and_reduction_is_exact(matrix):
    cell = HostSupercell.build(HOST, matrix.tolist())
    assert len(cell.translations) == cell.n_cells == round(np.linalg.det(matrix))
    assert len(np.unique(cell.translations, axis=0)) == cell.n_cells
    assert cell.reduce(cell.translations).tolist() == cell.translations.tolist()
    box = np.stack(np.meshgrid(*[range(-4, 5)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    reduced = cell.reduce(box)
    assert {tuple(row) for row in reduced.tolist()} == {tuple(row) for row in cell.translations.tolist()}
    in_superlattice = (box - reduced) @ np.linalg.inv(matrix)
    assert in_superlattice == pytest.approx(np.round(in_superlattice), abs=1e-9)


@settings(deadline=None, max_examples=15)
@given(matrix=superlattices(4))
def test_the_structure_is_pymatgens_supercell_in_our_site_order(matrix):
    cell = HostSupercell.build(HOST, matrix.tolist())
    theirs = HOST.structure.make_supercell(matrix, in_place=False)
    assert cell.structure.lattice.matrix == pytest.approx(theirs.lattice.matrix)
    for symbol in ("Na", "Fe", "P", "O"):
        ours = [site.frac_coords for site in cell.structure if site.specie.symbol == symbol]
        same = [site.frac_coords for site in theirs if site.specie.symbol == symbol]
        distances = cell.structure.lattice.get_all_distances(ours, same)
        assert len(ours) == len(same)
        assert distances.min(axis=0).max() < 1e-6
        assert distances.min(axis=1).max() < 1e-6


def test_the_papers_cell_has_its_sodium_on_the_published_places(paper_cell):
    assert len(paper_cell.structure) == 168
    places = {
        (Fraction(x, 2), Fraction(j, 6), Fraction(k, 2) + Fraction(x, 4))
        for x in (0, 1)
        for j in range(6)
        for k in (0, 1)
    }
    found = {
        tuple(Fraction(float(value)).limit_denominator(12) for value in paper_cell.structure[i].frac_coords)
        for i in paper_cell.working_sites
    }
    assert found == places
    heights = np.unique(np.round(paper_cell.structure.frac_coords[paper_cell.redox_sites, 1] * 12, 6))
    assert heights.tolist() == [1, 3, 5, 7, 9, 11]


def test_sites_are_numbered_and_sublattices_hold_their_element(paper_cell):
    assert paper_cell.structure.site_properties["host_site"] == list(range(168))
    assert {paper_cell.structure[i].specie.symbol for i in paper_cell.working_sites} == {"Na"}
    assert {paper_cell.structure[i].specie.symbol for i in paper_cell.redox_sites} == {"Fe"}
    assert (len(paper_cell.working_sites), len(paper_cell.redox_sites), paper_cell.formula_units) == (24, 24, 24)


def test_site_order_never_changes(paper_cell):
    # Keys and samples refer to this order: these numbers must never change.
    positions = paper_cell.structure.frac_coords
    assert positions[[0, 1, 5, 6, 23]].round(4).tolist() == [
        [0.0, 0.0, 0.0],
        [0.0, 0.0, 0.5],
        [0.0, 0.6667, 0.5],
        [0.0, 0.1667, 0.0],
        [0.5, 0.8333, 0.75],
    ]
    assert positions[[24, 25, 47]].round(4).tolist() == [
        [0.213, 0.0833, 0.2432],
        [0.213, 0.0833, 0.7432],
        [0.787, 0.9167, 0.7568],
    ]


def test_supercells_are_equal_by_host_content_and_matrix():
    renamed = Host(**{name: getattr(HOST, name) for name in Host.model_fields} | {"name": "mine"})
    one, same, other = (
        HostSupercell.build(host, cell) for host, cell in [(HOST, [1, 2, 1]), (renamed, [1, 2, 1]), (HOST, [1, 1, 2])]
    )
    assert one == same
    assert hash(one) == hash(same)
    assert one != other
    assert one != "1x2x1"


@given(n=st.integers(0, 24), error=st.floats(-0.9e-3, 0.9e-3))
def test_a_fraction_is_read_if_it_is_whole_within_a_thousandth_of_a_site(n, error):
    cell = HostSupercell.build(HOST, [1, 3, 2])
    assert cell.n_working(Fraction(n, 24)) == n
    assert cell.n_working(min(1.0, max(0.0, (n + error) / 24))) == n


@pytest.mark.parametrize("written", ["1/3", 0.333, "0.333", 0.3333, Fraction(1, 3), 1 / 3])
def test_a_third_of_three_sites_may_be_written_in_any_way(written):
    """0.333 of 3 sites is a thousandth of a site from one: on the edge, and exact."""
    layers = Structure.from_spacegroup(
        "R-3m", Lattice.hexagonal(2.9, 15.6), ["Na", "Fe", "O"], [[0, 0, 0.5], [0, 0, 0], [0, 0, 0.23]]
    )
    fields = {"working_ion": "Na", "redox_element": "Fe", "oxidation_states": {"Na": 1, "O": -2}, "formula_units": 3}
    cell = HostSupercell.build(Host(name="layers", structure=in_host_order(layers), source="test", **fields))
    assert len(cell.working_sites) == 3
    assert cell.n_working(read_fraction(written)) == 1


def test_a_fraction_that_is_not_whole_names_the_nearest_that_are(paper_cell):
    with pytest.raises(
        ValueError, match=r"fraction 0\.7 of 24 Na sites is 16\.800, .* this supercell holds are 2/3 and 17/24"
    ):
        paper_cell.n_working(0.7)


@pytest.mark.parametrize("fraction", [-0.1, 1.01, Fraction(5, 4), float("nan")])
def test_a_fraction_outside_zero_to_one_is_refused(paper_cell, fraction):
    with pytest.raises(ValueError, match=r"must lie in 0\.\.1"):
        paper_cell.n_working(fraction)


@pytest.mark.parametrize("couple", sorted(shipped_couples()))
def test_neutrality_of_every_couple_is_pymatgens_own(couple):
    couple = shipped_couples()[couple]
    host = HOST if couple.element == "Fe" else HOST.with_redox_element(couple.element)
    cell = HostSupercell.build(host, [1, 1, 1])
    for n_working in range(5):
        try:
            n_high = cell.n_high(n_working, couple)
        except ValueError as err:
            message, n_high = str(err), None
        low, high = couple.low.oxidation_state, couple.high.oxidation_state
        balanced = [n for n in range(5) if charge(cell, n_working, couple.element, n * high + (4 - n) * low) == 0]
        assert balanced == ([] if n_high is None else [n_high])
        assert n_high is not None or "neutrality asks for" in message


def charge(cell, n_working, redox, redox_charge):
    structure = cell.structure.copy()
    structure.add_oxidation_state_by_element({"Na": 1, "P": 5, "O": -2, redox: 0})
    structure.remove_sites(cell.working_sites[n_working:].tolist())
    return structure.charge + redox_charge


def test_each_working_ion_taken_out_makes_one_high_site():
    structure = Structure(Lattice.cubic(4.0), ["Na", "Fe", "F", "F", "F"], np.eye(5, 3) * 0.3 + 0.1)
    host = Host(
        name="made up", structure=structure, working_ion="Na", redox_element="Fe", oxidation_states={"Na": 1, "F": -1},
        formula_units=1, source="test",
    )  # fmt: skip
    cell = HostSupercell.build(host, [2, 1, 1])
    assert [cell.n_high(n, shipped_couples()["Fe2+/Fe3+"]) for n in (0, 1, 2)] == [2, 1, 0]
