"""Mapping structures onto a host's supercell: disguised orderings keep their key, what does not fit fails loudly."""

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure
from pymatgen.symmetry.analyzer import SpacegroupAnalyzer
from scipy.spatial.transform import Rotation
from valenceflow.inputs.charge_states import shipped_couples
from valenceflow.inputs.hosts import get_host
from valenceflow.inputs.orderings.group import ordering_group
from valenceflow.inputs.orderings.mapping import MAX_DISPLACEMENT, charge_bits, map_onto
from valenceflow.inputs.supercells import HostSupercell

FE = shipped_couples()["Fe2+/Fe3+"]
OLIVINE = get_host("olivine-NaFePO4")
NOISE, STRAIN = 0.1, 0.03  # A; relative

# Three orderings at x = 2/3 on 1x3x2, derived by hand (none is the experimental one): vacancies and Fe3+ in fractions
# of the supercell, and the space group of the ordered crystal with its atoms per primitive cell.
DIAGONAL_FE3 = [
    (0.713, 1 / 12, 0.0069), (0.713, 1 / 12, 0.5069), (0.213, 1 / 12, 0.2432), (0.213, 1 / 12, 0.7432),
    (0.787, 7 / 12, 0.2569), (0.787, 7 / 12, 0.7569), (0.287, 7 / 12, 0.4931), (0.287, 7 / 12, 0.9931),
]  # fmt: skip
COLUMN = [(0, y, z) for y in (0, 1 / 2) for z in (0, 1 / 2)]
TWO_THIRDS = {
    "A": (
        [(0, 0, 0), (0, 1 / 2, 0), (1 / 2, 0, 1 / 4), (1 / 2, 1 / 2, 1 / 4),
         (0, 1 / 6, 1 / 2), (0, 2 / 3, 1 / 2), (1 / 2, 1 / 6, 3 / 4), (1 / 2, 2 / 3, 3 / 4)],
        DIAGONAL_FE3, "Pca2_1", 160,
    ),
    "B": (COLUMN + [(1 / 2, y, z) for y in (1 / 6, 2 / 3) for z in (1 / 4, 3 / 4)], DIAGONAL_FE3, "P2_12_12_1", 80),
    "C": (
        COLUMN + [(1 / 2, y, z) for y in (0, 1 / 2) for z in (1 / 4, 3 / 4)],
        [(x, y, z + half) for x, y, z in ((0.713, 1 / 12, 0.0069), (0.213, 5 / 12, 0.2432),
                                          (0.787, 7 / 12, 0.2569), (0.287, 11 / 12, 0.4932)) for half in (0, 1 / 2)],
        "P2_1/c", 80,
    ),
}  # fmt: skip


def ordered(cell, working, charge):
    """The idealised structure of an ordering, oxidation states as a site property."""
    structure = cell.structure.copy()
    charges = {"Fe": 2} | cell.host.oxidation_states
    states = np.array([charges[site.specie.symbol] for site in structure])
    states[cell.redox_sites] += np.asarray(charge, dtype=int)
    structure.remove_site_property("host_site")
    structure.add_site_property("oxidation_state", states.tolist())
    structure.remove_sites(cell.working_sites[~np.asarray(working)].tolist())
    return structure


def random_ordering(cell, rng):
    """A neutral ordering of random composition."""
    working = rng.random(len(cell.working_sites)) < rng.random()
    charge = np.zeros(len(cell.redox_sites), dtype=bool)
    charge[rng.permutation(len(charge))[: cell.n_high(int(working.sum()), FE)]] = True
    return working, charge


def disguised(structure, rng):
    """The same crystal relaxed, strained, turned, shifted, renumbered, and in another setting."""
    setting = np.eye(3, dtype=int)[rng.permutation(3)] * rng.choice([-1, 1], 3)[:, None]
    to, by = rng.permutation(3)[:2]
    setting[to] += rng.integers(-1, 2) * setting[by]
    stretch = rng.uniform(-STRAIN, STRAIN, (3, 3))
    turn = Rotation.random(rng=rng).as_matrix()
    lattice = Lattice(setting @ structure.lattice.matrix @ (np.eye(3) + (stretch + stretch.T) / 2) @ turn)
    directions = rng.normal(size=(len(structure), 3))
    noise = NOISE * directions / np.linalg.norm(directions, axis=1)[:, None]
    positions = structure.frac_coords @ np.linalg.inv(setting) + rng.random(3) + lattice.get_fractional_coords(noise)
    order = rng.permutation(len(structure))
    states = structure.site_properties["oxidation_state"]
    return Structure(
        lattice,
        [structure[int(i)].specie for i in order],
        positions[order],
        to_unit_cell=True,
        site_properties={"oxidation_state": [states[int(i)] for i in order]},
    )


def key_of(structure, cell):
    site_map = map_onto(structure, cell)
    return ordering_group(cell).key(site_map.working, charge_bits(structure, site_map, cell, FE))


@pytest.fixture(scope="module")
def cell(small_cell):
    return small_cell("olivine 1x2x1")


@pytest.fixture
def structure(cell):
    """Na6Fe8(PO4)8 with two Fe3+, on its ideal places."""
    return ordered(cell, [True] * 6 + [False] * 2, [True, False, False, True, False, False, False, False])


@pytest.mark.parametrize("case", range(30))
def test_a_disguised_ordering_keeps_its_key(cell, case):
    rng = np.random.default_rng(case)
    working, charge = random_ordering(cell, rng)
    found = disguised(ordered(cell, working, charge), rng)
    assert key_of(found, cell) == ordering_group(cell).key(working, charge)
    assert map_onto(found, cell).displacement < 2 * NOISE


@pytest.mark.parametrize("case", range(4))
def test_a_disguised_ordering_of_the_papers_cell_keeps_its_key(paper_cell, case):
    rng = np.random.default_rng(100 + case)
    working, charge = random_ordering(paper_cell, rng)
    found = disguised(ordered(paper_cell, working, charge), rng)
    assert key_of(found, paper_cell) == ordering_group(paper_cell).key(working, charge)


@pytest.mark.parametrize(
    "name", ["olivine", "olivine {a+b, 3b, c}", "olivine {a+b, b-a, c}", "monoclinic 2x1x1", "triclinic 2x1x1"]
)
@pytest.mark.parametrize("case", range(3))
def test_a_disguised_ordering_of_any_superlattice_keeps_its_key(small_cell, name, case):
    cell, rng = small_cell(name), np.random.default_rng(case)
    working, charge = random_ordering(cell, rng)
    assert key_of(disguised(ordered(cell, working, charge), rng), cell) == ordering_group(cell).key(working, charge)


def nearest(positions, cell, sites):
    distances = cell.structure.lattice.get_all_distances(positions, cell.structure.frac_coords[sites])
    assert distances.min(axis=1).max() < 0.01
    chosen = np.zeros(len(sites), dtype=bool)
    chosen[distances.argmin(axis=1)] = True
    assert chosen.sum() == len(positions)
    return chosen


@pytest.mark.filterwarnings("ignore:Set OLD_ERROR_HANDLING:DeprecationWarning")  # pymatgen asks spglib in its old way
@pytest.mark.parametrize("name", list(TWO_THIRDS))
def test_orderings_at_two_thirds_map_with_their_counts_and_symmetry(paper_cell, name):
    vacancies, fe3, space_group, n_primitive = TWO_THIRDS[name]
    working = ~nearest(vacancies, paper_cell, paper_cell.working_sites)
    charge = nearest(fe3, paper_cell, paper_cell.redox_sites)
    assert paper_cell.n_high(16, FE) == 8
    structure = ordered(paper_cell, working, charge)
    rng = np.random.default_rng(7)
    site_map = map_onto(disguised(structure, rng), paper_cell)
    assert site_map.working.sum() == 16
    key = key_of(disguised(structure, rng), paper_cell)
    assert key == ordering_group(paper_cell).key(working, charge)
    assert key.charge.sum() == 8
    for site in paper_cell.redox_sites[charge]:
        paper_cell_site = paper_cell.structure[int(site)]
        structure[nearest_index(structure, paper_cell_site)] = "Ga"
    analyzer = SpacegroupAnalyzer(structure, symprec=0.01)
    assert analyzer.get_space_group_symbol() == space_group
    assert len(analyzer.find_primitive()) == n_primitive


def nearest_index(structure, site):
    return int(np.argmin(structure.lattice.get_all_distances([site.frac_coords], structure.frac_coords)[0]))


def test_orderings_at_two_thirds_are_three(paper_cell):
    group = ordering_group(paper_cell)
    keys = {
        group.key(
            ~nearest(vacancies, paper_cell, paper_cell.working_sites), nearest(fe3, paper_cell, paper_cell.redox_sites)
        )
        for vacancies, fe3, *_ in TWO_THIRDS.values()
    }
    assert len(keys) == 3


def test_ordering_b_fits_the_half_cell(paper_cell):
    vacancies, fe3, *_ = TWO_THIRDS["B"]
    half = HostSupercell.build(OLIVINE, [1, 3, 1])
    working = ~nearest([(x, y, 2 * z) for x, y, z in vacancies if z < 0.5], half, half.working_sites)
    charge = nearest([(x, y, 2 * z) for x, y, z in fe3 if z < 0.5], half, half.redox_sites)
    doubled = ordered(half, working, charge).make_supercell([1, 1, 2])
    whole = ordering_group(paper_cell).key(
        ~nearest(vacancies, paper_cell, paper_cell.working_sites), nearest(fe3, paper_cell, paper_cell.redox_sites)
    )
    assert key_of(doubled, paper_cell) == whole


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


def test_an_empty_host_maps_without_working_ions(cell):
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


def test_too_many_working_ions_or_foreign_elements_are_refused(cell):
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


def test_two_atoms_cannot_share_a_site(cell):
    full = ordered(cell, [True] * 8, [False] * 8)
    full.translate_sites([0], full[2].frac_coords - full[0].frac_coords + [0, 0, 0.05])
    with pytest.raises(ValueError, match="does not map one to one"):
        map_onto(full, cell)


def test_charges_come_from_the_site_property_from_species_or_from_moments(cell, structure):
    site_map = map_onto(structure, cell)
    states = structure.site_properties["oxidation_state"]
    high_sites = [int(site) for site, state in zip(site_map.host_sites, states, strict=True) if state == 3]
    expected = [int(site) in high_sites for site in cell.redox_sites]
    assert charge_bits(structure, site_map, cell, FE).tolist() == expected
    plain = structure.copy()
    plain.remove_site_property("oxidation_state")
    decorated = plain.copy()
    decorated.add_oxidation_state_by_site(states)
    assert charge_bits(decorated, site_map, cell, FE).tolist() == expected
    moments = {3: 4.33, 2: 3.77}
    plain.add_site_property("magmom", [moments.get(state, 0.0) for state in states])
    assert charge_bits(plain, site_map, cell, FE).tolist() == expected


def test_a_structure_that_says_nothing_of_its_charges_has_no_charge_ordering(cell, structure):
    structure.remove_site_property("oxidation_state")
    assert charge_bits(structure, map_onto(structure, cell), cell, FE) is None


def test_states_on_some_redox_sites_only_are_refused(cell, structure):
    states = structure.site_properties["oxidation_state"]
    first = next(i for i, site in enumerate(structure) if site.specie.symbol == "Fe")
    structure.add_site_property("oxidation_state", [None if i == first else state for i, state in enumerate(states)])
    with pytest.raises(ValueError, match=r"oxidation states \[.*None.*\] of the Fe sites are not all of Fe2\+/Fe3\+"):
        charge_bits(structure, map_onto(structure, cell), cell, FE)


def test_states_of_another_couple_are_refused(cell, structure):
    states = structure.site_properties["oxidation_state"]
    structure.add_site_property("oxidation_state", [4 if state == 3 else state for state in states])
    with pytest.raises(ValueError, match=r"oxidation states \[.*4.*\] of the Fe sites are not all of"):
        charge_bits(structure, map_onto(structure, cell), cell, FE)


def test_states_that_are_not_neutral_are_refused_with_both_counts(cell):
    structure = ordered(cell, [True] * 6 + [False] * 2, [True] * 3 + [False] * 5)
    with pytest.raises(ValueError, match=r"3 of 8 Fe sites are Fe3\+ where neutrality asks for 2 with 6 Na; correct"):
        charge_bits(structure, map_onto(structure, cell), cell, FE)


def test_moments_of_a_shared_hole_tell_no_ordering(cell, structure):
    structure.remove_site_property("oxidation_state")
    structure.add_site_property("magmom", [3.95 if site.specie.symbol == "Fe" else 0.0 for site in structure])
    with pytest.raises(ValueError, match="the moments do not tell the charge ordering: 8 moments"):
        charge_bits(structure, map_onto(structure, cell), cell, FE)
