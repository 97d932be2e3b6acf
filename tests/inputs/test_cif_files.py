"""Crystals as users bring them: what cannot be a host is refused in one line, charges are proposed."""

import pytest
from pymatgen.core import Lattice, Structure
from valenceflow.inputs.cif_files import charges_line, one_element_per_site, proposed_charges

# pymatgen asks spglib in its old way.
pytestmark = pytest.mark.filterwarnings("ignore:Set OLD_ERROR_HANDLING:DeprecationWarning")


def rock_salt(extra, place, occupancy=0.5, ion="Na"):
    """Rock salt with one more atom, in a box large enough for its images to play no part."""
    structure = Structure.from_spacegroup("Fm-3m", Lattice.cubic(8.0), [ion, "O"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    structure.append({extra: occupancy}, place)
    return structure


def test_a_site_split_in_two_is_refused_with_both_places_and_the_way_out():
    with pytest.raises(ValueError, match=r"Na sites \[0\.0.*\] and \[0\.0.*\] are 0\.50 A apart") as caught:
        one_element_per_site(rock_salt("Na", [0.0625, 0, 0]), "Na", "split.cif")
    assert "keep one site of each such pair" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_sites_of_which_only_one_can_be_occupied_are_refused_across_the_cell_border_too(two_site_layers):
    with pytest.raises(ValueError, match=r"layers\.cif: Na sites .* are 1\.64 A apart and cannot both be occupied"):
        one_element_per_site(two_site_layers, "Na", "layers.cif")
    with pytest.raises(ValueError, match=r"0\.40 A apart"):
        one_element_per_site(rock_salt("Na", [0.95, 0, 0]), "Na", "split.cif")


def test_a_framework_atom_written_twice_is_refused():
    with pytest.raises(ValueError, match=r"O and O at .* are 0\.16 A apart; keep one"):
        one_element_per_site(rock_salt("O", [0.5, 0.5, 0.52], occupancy=1.0), "Na", "twice.cif")


@pytest.mark.parametrize("gap", [1.75, 1.94, 2.8])
def test_sites_that_can_both_be_occupied_are_read(gap):
    structure = rock_salt("Na", [gap / 8.0, 0, 0])
    assert one_element_per_site(structure, "Na", "near.cif").composition["Na"] == 5


def test_the_sodium_of_a_nasicon_is_read_as_all_its_sites(nasicon):
    assert one_element_per_site(nasicon, "Na", "n.cif").composition.reduced_formula == "Na4V2(PO4)3"


def test_charges_of_a_large_cell_are_proposed_from_its_formula_unit(nasicon):
    """Bond valences fail for the overfilled cell; guesses for all its 126 atoms would not end."""
    filled = one_element_per_site(nasicon, "Na", "n.cif")
    assert proposed_charges(filled, "V") == {"Na": 1, "P": 5, "O": -2}


def test_a_charge_that_the_formula_leaves_broken_is_not_proposed():
    """Nitrogen in NaN3 comes out as -1/3."""
    structure = Structure(
        Lattice.cubic(9.0), ["Na", "N", "N", "N"], [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0.63], [0.5, 0.5, 0.37]]
    )
    found = proposed_charges(structure, "Fe")
    assert "N" not in found
    assert charges_line(structure, "Fe", found) == f"{{Na: {found.get('Na', '?')}, N: ?}}"
