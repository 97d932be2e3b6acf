"""The charge ordering that a structure carries: oxidation states first, then moments; what contradicts itself fails."""

import pytest
from pymatgen.electronic_structure.core import Magmom
from pymatgen.io.cif import CifWriter
from valenceflow.inputs.charge_states import shipped_couples
from valenceflow.inputs.orderings.charge_reading import charge_bits
from valenceflow.inputs.orderings.identity import key_of, read_structure
from valenceflow.inputs.orderings.mapping import map_onto

FE = shipped_couples()["Fe2+/Fe3+"]
MOMENTS = {3: 4.33, 2: 3.77}  # muB, of real PBE+U runs


@pytest.fixture(scope="module")
def cell(small_cell):
    return small_cell("olivine 1x2x1")


@pytest.fixture
def structure(cell, ordered):
    """Na6Fe8(PO4)8 with two Fe3+, on its ideal places."""
    return ordered(cell, [True] * 6 + [False] * 2, HIGH)


HIGH = [True, False, False, True, False, False, False, False]


def bits(structure, cell):
    return charge_bits(structure, map_onto(structure, cell), cell, FE)


def states_of(structure):
    return structure.site_properties["oxidation_state"]


def plain(structure):
    copy = structure.copy()
    copy.remove_site_property("oxidation_state")
    return copy


@pytest.fixture
def expected(cell, structure):
    """(n_redox,) True where the site map has put an Fe3+."""
    site_map = map_onto(structure, cell)
    high_sites = {int(site) for site, s in zip(site_map.host_sites, states_of(structure), strict=True) if s == 3}
    return [int(site) in high_sites for site in cell.redox_sites]


def test_charges_come_from_the_site_property_or_from_decorated_species(cell, structure, expected):
    assert bits(structure, cell).tolist() == expected
    decorated = plain(structure)
    decorated.add_oxidation_state_by_site(states_of(structure))
    assert bits(decorated, cell).tolist() == expected


@pytest.mark.parametrize(
    "written",
    [float, lambda moment: -moment, lambda moment: [0, 0, moment], lambda moment: [0, -moment, 0], Magmom],
    ids=["numbers", "spin down", "vectors", "along b", "pymatgen's"],
)
def test_charges_come_from_moments_where_there_are_no_states(cell, structure, expected, written):
    silent = plain(structure)
    silent.add_site_property("magmom", [written(MOMENTS.get(state, 0.0)) for state in states_of(structure)])
    assert bits(silent, cell).tolist() == expected


def test_charges_come_from_the_spin_of_species(cell, structure, expected):
    silent = plain(structure)
    silent.add_spin_by_site([MOMENTS.get(state, 0.0) for state in states_of(structure)])
    assert bits(silent, cell).tolist() == expected


def test_charges_come_from_a_magnetic_cif(cell, structure, tmp_path):
    silent = plain(structure).relabel_sites()
    silent.add_site_property("magmom", [MOMENTS.get(state, 0.0) for state in states_of(structure)])
    CifWriter(silent, write_magmoms=True).write_file(tmp_path / "magnetic.mcif")
    assert key_of(read_structure(tmp_path / "magnetic.mcif"), cell, FE) == key_of(structure, cell, FE)


def test_oxidation_states_win_over_moments_that_cannot_be_read(cell, structure, expected):
    structure.add_site_property("magmom", [3.95] * len(structure))
    assert bits(structure, cell).tolist() == expected


def test_the_window_is_that_of_the_engine(cell, structure, expected):
    """4.2 muB is ambiguous in VASP; CHGNet's Fe3+ begin there."""
    silent, moments = plain(structure), {3: 4.22, 2: 3.95}
    silent.add_site_property("magmom", [moments.get(state, 0.0) for state in states_of(structure)])
    site_map = map_onto(silent, cell)
    with pytest.raises(ValueError, match="the moments do not tell the charge ordering"):
        charge_bits(silent, site_map, cell, FE)
    assert charge_bits(silent, site_map, cell, FE, "rehearsal:chgnet").tolist() == expected


def test_a_structure_that_says_nothing_of_its_charges_has_no_charge_ordering(cell, structure):
    structure.remove_site_property("oxidation_state")
    assert bits(structure, cell) is None


def test_states_on_some_redox_sites_only_are_refused(cell, structure):
    states = structure.site_properties["oxidation_state"]
    first = next(i for i, site in enumerate(structure) if site.specie.symbol == "Fe")
    structure.add_site_property("oxidation_state", [None if i == first else state for i, state in enumerate(states)])
    with pytest.raises(ValueError, match=r"oxidation states \[.*None.*\] of the Fe sites are not all of Fe2\+/Fe3\+"):
        bits(structure, cell)


def test_states_of_another_couple_are_refused(cell, structure):
    states = structure.site_properties["oxidation_state"]
    structure.add_site_property("oxidation_state", [4 if state == 3 else state for state in states])
    with pytest.raises(ValueError, match=r"oxidation states \[.*4.*\] of the Fe sites are not all of"):
        bits(structure, cell)


def test_states_that_are_not_neutral_are_refused_with_both_counts(cell, ordered):
    structure = ordered(cell, [True] * 6 + [False] * 2, [True] * 3 + [False] * 5)
    with pytest.raises(ValueError, match=r"3 of 8 Fe sites are Fe3\+ where neutrality asks for 2 with 6 Na; correct"):
        bits(structure, cell)


def test_moments_of_a_shared_hole_tell_no_ordering(cell, structure):
    structure.remove_site_property("oxidation_state")
    structure.add_site_property("magmom", [3.95 if site.specie.symbol == "Fe" else 0.0 for site in structure])
    with pytest.raises(ValueError, match="the moments do not tell the charge ordering: 8 moments"):
        bits(structure, cell)
