"""Proposals for crystals of several structure types: roles, couples, supercells, counts; what cannot be is refused."""

from fractions import Fraction

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure
from valenceflow.inputs.host_proposal import propose_from_file, propose_from_name
from valenceflow.inputs.orderings.group import ordering_group
from valenceflow.inputs.orderings.listing import charge_orbits, working_orbits
from valenceflow.inputs.supercells import HostSupercell

# pymatgen asks spglib in its old way.
pytestmark = pytest.mark.filterwarnings("ignore:Set OLD_ERROR_HANDLING:DeprecationWarning")


def olivine(ion="Li", redox="Mn"):
    """LiMnPO4 and its like, Pnma."""
    lattice = Lattice.orthorhombic(10.45, 6.10, 4.75)
    positions = [[0, 0, 0], [0.282, 0.25, 0.975], [0.095, 0.25, 0.418], [0.097, 0.25, 0.743]]
    positions += [[0.457, 0.25, 0.206], [0.166, 0.046, 0.285]]
    return Structure.from_spacegroup("Pnma", lattice, [ion, redox, "P", "O", "O", "O"], positions)


def layers(ion="Na", occupancy=1.0):
    """O3-NaCoO2, R-3m."""
    species = [{ion: occupancy}, "Co", "O"]
    return Structure.from_spacegroup(
        "R-3m", Lattice.hexagonal(2.888, 15.6), species, [[0, 0, 0.5], [0, 0, 0], [0, 0, 0.2305]]
    )


def spinel():
    """LiMn2O4, Fd-3m, as its primitive cell."""
    species, positions = ["Li", "Mn", "O"], [[0, 0, 0], [0.625] * 3, [0.3882] * 3]
    return Structure.from_spacegroup("Fd-3m", Lattice.cubic(8.247), species, positions).get_primitive_structure()


@pytest.fixture
def as_file(tmp_path):
    """Function that writes a structure as crystal.cif."""

    def write(structure):
        path = tmp_path / "crystal.cif"
        (structure.copy().relabel_sites() if structure.is_ordered else structure).to(filename=str(path))
        return path

    return write


@pytest.mark.parametrize(
    ("structure", "ion", "couple", "charges", "supercell", "units"),
    [
        (olivine("Li", "Mn"), "Li", "Mn2+/Mn3+", "{Li: 1, P: 5, O: -2}", (1, 1, 1), 4),
        (olivine("Li", "Fe"), "Li", "Fe2+/Fe3+", "{Li: 1, P: 5, O: -2}", (1, 1, 1), 4),
        (olivine("Na", "Co"), "Na", "Co2+/Co3+", "{Na: 1, P: 5, O: -2}", (1, 1, 1), 4),
        (layers(), "Na", "Co3+/Co4+", "{Na: 1, O: -2}", (2, 2, 1), 3),
        (spinel(), "Li", "Mn3+/Mn4+", "{Li: 1, O: -2}", (1, 1, 1), 2),
    ],
    ids=["LiMnPO4", "LiFePO4", "NaCoPO4", "NaCoO2", "LiMn2O4"],
)
def test_a_crystal_is_read_with_its_roles(structure, ion, couple, charges, supercell, units, as_file):
    proposal = propose_from_file(as_file(structure))
    assert (proposal.host.working_ion, proposal.couple.name) == (ion, couple)
    assert (proposal.charges, proposal.charges_known) == (charges, False)
    assert (proposal.supercell, proposal.host.formula_units) == (supercell, units)
    assert proposal.drafted == couple.endswith("4+")
    assert len(proposal.cell.redox_sites) >= 4


def test_the_shipped_host_needs_no_confirmation():
    proposal = propose_from_name("olivine-NaFePO4")
    assert (proposal.charges_known, proposal.drafted, proposal.wider) == (True, False, None)
    assert [str(choice.fraction) for choice in proposal.mixed] == ["1/4", "1/2", "3/4"]


def test_counts_of_orderings_are_those_of_the_lists(as_file):
    proposal = propose_from_file(as_file(olivine()))
    group = ordering_group(HostSupercell.build(proposal.host))
    for choice in proposal.choices:
        working = working_orbits(group, int(choice.fraction * 4))
        charges = [len(charge_orbits(group, working.bits(i), choice.n_high)) for i in range(len(working))]
        assert (choice.working, choice.joint) == (len(working), sum(charges))
        assert 1 <= choice.fewest_charges <= min(charges)


def test_only_neutral_compositions_are_choices(as_file, nasicon):
    """V3+/V4+ in Na(1 to 3)V2(PO4)3 of up to four sodium."""
    proposal = propose_from_file(as_file(nasicon))
    assert (proposal.couple.name, proposal.host.structure.composition.reduced_formula) == ("V3+/V4+", "Na4V2(PO4)3")
    fractions = [choice.fraction for choice in proposal.choices]
    assert (min(fractions), max(fractions)) == (Fraction(1, 4), Fraction(3, 4))
    assert all(0 < choice.n_high < 12 for choice in proposal.mixed)


@pytest.mark.parametrize(("occupancy", "suggested"), [(1.0, "1/2"), (0.7, "2/3"), (0.99, "11/12"), (0.05, "1/12")])
def test_the_suggested_fraction_is_the_mixed_one_nearest_to_the_file(occupancy, suggested, as_file):
    assert str(propose_from_file(as_file(layers(occupancy=occupancy))).suggested.fraction) == suggested


def test_charges_written_in_the_file_need_no_confirmation(as_file):
    structure = olivine()
    structure.add_oxidation_state_by_element({"Li": 1, "Mn": 2, "P": 5, "O": -2})
    assert propose_from_file(as_file(structure)).charges_known


def test_a_couple_may_be_named_also_one_that_is_drafted(as_file):
    assert propose_from_file(as_file(layers()), couple="Co3+/Co4+").drafted
    with pytest.raises(ValueError, match=r"no fraction of Na leaves Co in a mixed charge state of Co2\+/Co3\+"):
        propose_from_file(as_file(layers()), couple="Co2+/Co3+")
    with pytest.raises(ValueError, match="unknown redox couple 'Cu'"):
        propose_from_file(as_file(layers()), couple="Cu")
    with pytest.raises(ValueError, match=r"crystal\.cif holds no Ni, the element of Ni2\+/Ni3\+; it holds Co, Na, O"):
        propose_from_file(as_file(layers()), couple="Ni2+/Ni3+")


def mixed_metals():
    structure = olivine("Li", "Mn")
    manganese = [i for i, site in enumerate(structure) if site.specie.symbol == "Mn"]
    structure.replace(manganese[0], "Fe")
    return structure


def two_ions():
    structure = olivine()
    structure.replace(0, "Na")
    return structure


@pytest.mark.parametrize(
    ("structure", "problem"),
    [
        (olivine("Al"), r"holds no working ion \(Li, Na, .*\), only Al, Mn, O, P: .* --working-ion"),
        (olivine("Li", "Mg"), r"holds no redox element of the shipped couples \(Fe, Mn, .*\), only Li, Mg, O, P"),
        (two_ions(), "holds Li and Na: say which one moves with --working-ion"),
        (mixed_metals(), "holds Fe and Mn: say which one changes charge with --couple"),
    ],
    ids=["no ion", "no redox element", "two ions", "two redox elements"],
)
def test_a_crystal_without_clear_roles_is_refused_in_one_line(structure, problem, as_file):
    with pytest.raises(ValueError, match=problem) as caught:
        propose_from_file(as_file(structure))
    assert "\n" not in str(caught.value)


def test_roles_that_are_named_settle_it(as_file):
    assert propose_from_file(as_file(two_ions()), working_ion="Na").host.working_ion == "Na"
    assert propose_from_file(as_file(mixed_metals()), couple="Fe2+/Fe3+").host.oxidation_states["Mn"] == 2
    with pytest.raises(ValueError, match=r"holds no K, which --working-ion names; it holds Li, Mn, Na, O, P"):
        propose_from_file(as_file(two_ions()), working_ion="K")


def test_rounded_numbers_are_told_with_the_tolerance_that_finds_more(as_file):
    structure = olivine()
    noise = np.random.default_rng(1).normal(scale=0.01, size=(len(structure), 3))
    noisy = Structure(structure.lattice, structure.species, structure.cart_coords + noise, coords_are_cartesian=True)
    proposal = propose_from_file(as_file(noisy))
    assert len(proposal.host.operations[0]) < 8
    assert proposal.wider == (0.1, 8)
    assert [choice.joint for choice in proposal.mixed] == [2, 10, 2]
