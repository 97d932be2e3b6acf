"""Mapping structures onto a host's supercell: disguised orderings keep their key, what does not fit fails loudly."""

import numpy as np
import pytest
from pymatgen.core import Structure
from pymatgen.symmetry.analyzer import SpacegroupAnalyzer
from valenceflow.inputs.charge_states import shipped_couples
from valenceflow.inputs.hosts import get_host
from valenceflow.inputs.orderings.charge_reading import charge_bits
from valenceflow.inputs.orderings.group import ordering_group
from valenceflow.inputs.orderings.mapping import MAX_DISPLACEMENT, map_onto
from valenceflow.inputs.supercells import HostSupercell

FE = shipped_couples()["Fe2+/Fe3+"]
OLIVINE = get_host("olivine-NaFePO4")
NOISE = 0.1  # A, of `disguised`


def key_of(structure, cell):
    site_map = map_onto(structure, cell)
    return ordering_group(cell).key(site_map.working, charge_bits(structure, site_map, cell, FE))


@pytest.fixture(scope="module")
def cell(small_cell):
    return small_cell("olivine 1x2x1")


@pytest.fixture
def structure(cell, ordered):
    """Na6Fe8(PO4)8 with two Fe3+, on its ideal places."""
    return ordered(cell, [True] * 6 + [False] * 2, [True, False, False, True, False, False, False, False])


@pytest.mark.parametrize("case", range(30))
def test_a_disguised_ordering_keeps_its_key(cell, case, ordered, random_ordering, disguised):
    rng = np.random.default_rng(case)
    working, charge = random_ordering(cell, rng)
    found = disguised(ordered(cell, working, charge), rng)
    assert key_of(found, cell) == ordering_group(cell).key(working, charge)
    assert map_onto(found, cell).displacement < 2 * NOISE


@pytest.mark.parametrize("case", range(4))
def test_a_disguised_ordering_of_the_papers_cell_keeps_its_key(paper_cell, case, ordered, random_ordering, disguised):
    rng = np.random.default_rng(100 + case)
    working, charge = random_ordering(paper_cell, rng)
    found = disguised(ordered(paper_cell, working, charge), rng)
    assert key_of(found, paper_cell) == ordering_group(paper_cell).key(working, charge)


@pytest.mark.parametrize(
    "name", ["olivine", "olivine {a+b, 3b, c}", "olivine {a+b, b-a, c}", "monoclinic 2x1x1", "triclinic 2x1x1"]
)
@pytest.mark.parametrize("case", range(3))
def test_a_disguised_ordering_of_any_superlattice_keeps_its_key(
    small_cell, name, case, ordered, random_ordering, disguised
):
    cell, rng = small_cell(name), np.random.default_rng(case)
    working, charge = random_ordering(cell, rng)
    assert key_of(disguised(ordered(cell, working, charge), rng), cell) == ordering_group(cell).key(working, charge)


@pytest.mark.filterwarnings("ignore:Set OLD_ERROR_HANDLING:DeprecationWarning")  # pymatgen asks spglib in its old way
@pytest.mark.parametrize(
    ("name", "space_group", "n_primitive"), [("A", "Pca2_1", 160), ("B", "P2_12_12_1", 80), ("C", "P2_1/c", 80)]
)
def test_orderings_at_two_thirds_map_with_their_counts_and_symmetry(
    paper_cell, two_thirds, ordered, disguised, name, space_group, n_primitive
):
    working, charge = two_thirds[name]
    assert paper_cell.n_high(16, FE) == 8
    structure = ordered(paper_cell, working, charge)
    rng = np.random.default_rng(7)
    site_map = map_onto(disguised(structure, rng), paper_cell)
    assert site_map.working.sum() == 16
    key = key_of(disguised(structure, rng), paper_cell)
    assert key == ordering_group(paper_cell).key(working, charge)
    assert key.charge.sum() == 8
    for site in paper_cell.redox_sites[charge]:
        structure[nearest_index(structure, paper_cell.structure[int(site)])] = "Ga"
    analyzer = SpacegroupAnalyzer(structure, symprec=0.01)
    assert analyzer.get_space_group_symbol() == space_group
    assert len(analyzer.find_primitive()) == n_primitive


def nearest_index(structure, site):
    return int(np.argmin(structure.lattice.get_all_distances([site.frac_coords], structure.frac_coords)[0]))


def test_orderings_at_two_thirds_are_three(paper_cell, two_thirds):
    group = ordering_group(paper_cell)
    assert len({group.key(working, charge) for working, charge in two_thirds.values()}) == 3


def test_a_superstructure_repeated_by_hand_keeps_its_key(paper_cell, two_thirds, half_of_b, ordered):
    doubled = ordered(*half_of_b).make_supercell([1, 1, 2])
    assert key_of(doubled, paper_cell) == ordering_group(paper_cell).key(*two_thirds["B"])


@pytest.mark.parametrize("case", range(3))
def test_a_smaller_superstructure_is_repeated_to_fill_the_supercell(
    paper_cell, two_thirds, half_of_b, ordered, disguised, case
):
    half = disguised(ordered(*half_of_b), np.random.default_rng(case))
    site_map = map_onto(half, paper_cell)
    assert np.bincount(site_map.atoms).tolist() == [2] * len(half)
    assert len(set(site_map.host_sites.tolist())) == 160
    assert key_of(half, paper_cell) == ordering_group(paper_cell).key(*two_thirds["B"])


def test_every_atom_gets_a_site_of_its_own_and_of_its_element(cell, structure):
    shuffled = Structure.from_sites([structure[int(i)] for i in np.random.default_rng(0).permutation(len(structure))])
    site_map = map_onto(shuffled, cell)
    assert len(set(site_map.host_sites.tolist())) == len(structure) == 54
    for atom, site in zip(shuffled, site_map.host_sites, strict=True):
        assert atom.specie == cell.structure[int(site)].specie
    redox = site_map.redox_atoms(cell)
    assert site_map.host_sites[redox].tolist() == cell.redox_sites.tolist()


def test_the_displacement_is_that_of_the_atom_that_moved_most(cell, structure):
    assert map_onto(structure, cell).displacement < 1e-9
    structure.translate_sites([len(structure) - 1], [0.5, 0, 0], frac_coords=False)
    assert map_onto(structure, cell).displacement == pytest.approx(0.5, abs=1e-6)


def test_an_empty_host_maps_without_working_ions(cell, ordered):
    structure = ordered(cell, [False] * 8, [True] * 8)
    site_map = map_onto(structure, cell)
    assert site_map.working.tolist() == [False] * 8
    assert charge_bits(structure, site_map, cell, FE).tolist() == [True] * 8


def test_a_cell_of_the_same_atoms_but_another_shape_is_refused_and_both_lattices_are_named(cell):
    other = HostSupercell.build(OLIVINE, [2, 1, 1])
    with pytest.raises(
        ValueError, match=r"lattice \(20\.81 6\.22 4\.95 A, 90 90 90 deg\) does not fit .*\(10\.41 12\.44 4\.95"
    ):
        map_onto(other.structure, cell)


def test_a_cell_strained_beyond_the_tolerance_is_refused(cell, structure):
    structure.apply_strain([0.12, 0, 0])
    with pytest.raises(ValueError, match="does not fit the supercell of olivine-NaFePO4"):
        map_onto(structure, cell)


def without(structure, symbol):
    copy = structure.copy()
    copy.remove_sites([next(i for i, site in enumerate(copy) if site.specie.symbol == symbol)])
    return copy


@pytest.mark.parametrize("symbol", ["Fe", "P", "O"])
def test_a_missing_framework_atom_is_refused_with_both_formulas(cell, structure, symbol):
    with pytest.raises(ValueError, match=r"^Na6 .* does not fit the supercell Na8 Fe8 P8 O32 .*only Na may be fewer"):
        map_onto(without(structure, symbol), cell)


def test_too_many_working_ions_or_foreign_elements_are_refused(cell, ordered):
    full = ordered(cell, [True] * 8, [False] * 8)
    full.append("Na", [0.25, 0.25, 0.25], properties={"oxidation_state": 1})
    with pytest.raises(ValueError, match="Na9 Fe8 P8 O32 does not fit"):
        map_onto(full, cell)
    surrogate = cell.structure.copy()
    surrogate[int(cell.redox_sites[0])] = "Ga"
    with pytest.raises(ValueError, match=r"Ga1 .*does not fit"):
        map_onto(surrogate, cell)


def test_a_structure_of_another_supercell_is_refused_by_its_composition(cell, paper_cell):
    with pytest.raises(ValueError, match="does not fit the supercell Na8 Fe8 P8 O32"):
        map_onto(paper_cell.structure, cell)


@pytest.mark.parametrize("symbol", ["Na", "Fe", "O"])
def test_an_atom_beyond_the_bound_is_refused_with_its_distance(cell, structure, symbol):
    atom = next(i for i, site in enumerate(structure) if site.specie.symbol == symbol)
    structure.translate_sites([atom], [0, 0, MAX_DISPLACEMENT + 0.3], frac_coords=False)
    with pytest.raises(ValueError, match=r"does not map one to one onto olivine-NaFePO4: an atom would lie .* A\)"):
        map_onto(structure, cell)


def test_the_bound_is_a_parameter(cell, structure):
    structure.translate_sites([len(structure) - 1], [0.5, 0, 0], frac_coords=False)
    with pytest.raises(ValueError, match=r"an atom would lie 0\.50 A from its site \(bound 0\.3 A\)"):
        map_onto(structure, cell, max_displacement=0.3)


def test_two_atoms_cannot_share_a_site(cell, ordered):
    full = ordered(cell, [True] * 8, [False] * 8)
    full.translate_sites([0], full[2].frac_coords - full[0].frac_coords + [0, 0, 0.05])
    with pytest.raises(ValueError, match="does not map one to one"):
        map_onto(full, cell)
