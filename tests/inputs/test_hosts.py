"""Hosts: the shipped one against spglib and its source, CIFs as users bring them, the content hash."""

import numpy as np
import pytest
from pymatgen.analysis.bond_valence import BVAnalyzer
from pymatgen.core import Lattice, Structure
from pymatgen.symmetry.analyzer import SpacegroupAnalyzer
from valenceflow.inputs.hosts import Host, get_host, host_from_cif, host_from_fields, host_names, in_host_order

# pymatgen asks spglib in its old way.
ASKS_SPGLIB = pytest.mark.filterwarnings("ignore:Set OLD_ERROR_HANDLING:DeprecationWarning")

# A configuration's identity holds this hash: if it changes, every stored calculation loses its name. Never re-pin it.
OLIVINE_HASH = "e2cbd1fe620e1a1b"

CHARGES = {"Na": 1, "P": 5, "O": -2}
FIELDS = {
    "space_group": "R-3m",
    "lattice": [3.0, 3.0, 16.0, 90.0, 90.0, 120.0],
    "sites": [
        {"element": "Na", "position": [0.0, 0.0, 0.5]},
        {"element": "Fe", "position": [0.0, 0.0, 0.0]},
        {"element": "O", "position": [0.0, 0.0, 0.235]},
    ],
    "working_ion": "Na",
    "redox_element": "Fe",
    "oxidation_states": {"Na": 1, "O": -2},
    "operations": 36,
    "formula_units": 3,
    "source": "test",
}


@pytest.fixture
def olivine():
    return get_host("olivine-NaFePO4")


@pytest.fixture
def as_cif(tmp_path):
    """Write a structure as a P1 CIF with unique labels; occupancies and oxidation states as the sites carry them."""

    def write(structure, digits=8, name="crystal.cif"):
        lattice = structure.lattice
        lines = [
            "data_crystal",
            "_symmetry_space_group_name_H-M 'P 1'",
            "loop_",
            "_symmetry_equiv_pos_as_xyz",
            "'x,y,z'",
        ]
        lines += [f"_cell_length_{axis} {length:.{digits}f}" for axis, length in zip("abc", lattice.abc, strict=True)]
        angles = zip(("alpha", "beta", "gamma"), lattice.angles, strict=True)
        lines += [f"_cell_angle_{name} {angle:.{digits}f}" for name, angle in angles]
        species = sorted({specie for site in structure for specie in site.species}, key=str)
        if any(getattr(specie, "oxi_state", None) is not None for specie in species):
            lines += ["loop_", "_atom_type_symbol", "_atom_type_oxidation_number"]
            lines += [f"{specie} {specie.oxi_state:g}" for specie in species]
        lines += ["loop_", "_atom_site_type_symbol", "_atom_site_label"]
        lines += [f"_atom_site_fract_{axis}" for axis in "xyz"] + ["_atom_site_occupancy"]
        for i, site in enumerate(structure):
            position = " ".join(f"{value:.{digits}f}" for value in site.frac_coords)
            for j, (specie, amount) in enumerate(site.species.items()):
                lines.append(f"{specie} {specie.symbol}{i}_{j} {position} {amount:.4f}")
        path = tmp_path / name
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return path

    return write


def with_species(host, element, species):
    structure = host.structure.copy()
    structure.replace_species({element: species})
    return structure


def with_first(host, element, species):
    """The host with one site of an element replaced."""
    structure = host.structure.copy()
    structure[next(i for i, site in enumerate(structure) if site.specie.symbol == element)] = species
    return structure


@ASKS_SPGLIB
def test_the_shipped_olivine_is_the_published_crystal(olivine):
    structure = olivine.structure
    assert structure.composition.reduced_formula == "NaFePO4"
    assert len(structure) == 28
    assert structure.lattice.parameters == (10.4063, 6.2187, 4.9469, 90.0, 90.0, 90.0)
    analyzer = SpacegroupAnalyzer(structure, symprec=olivine.symprec)
    assert analyzer.get_space_group_number() == 62
    assert len(olivine.operations[0]) == len(analyzer.get_symmetry_operations()) == 8
    assert all(structure.get_neighbors(site, 1.7)[0].specie.symbol == "O" for site in structure if site.specie.Z == 15)


def test_every_shipped_host_is_neutral_at_a_whole_number_of_charges():
    for name in host_names():
        host = get_host(name)
        others = sum(host.oxidation_states.get(site.specie.symbol, 0) for site in host.structure)
        n_redox = sum(site.specie.symbol == host.redox_element for site in host.structure)
        assert (-others) % n_redox == 0


def test_the_content_hash_of_the_shipped_olivine_never_changes(olivine):
    assert olivine.content_hash == OLIVINE_HASH


def test_the_content_hash_is_of_what_the_host_is_and_not_of_its_name(olivine):
    structure = olivine.structure.copy()
    same = Host(**{**olivine_fields(olivine), "name": "mine", "source": "mine"})
    assert same.content_hash == OLIVINE_HASH
    structure.translate_sites([0], [0, 0, 3e-4])
    moved = Host(**{**olivine_fields(olivine), "structure": structure})
    charged = Host(**{**olivine_fields(olivine), "oxidation_states": {**CHARGES, "P": 4}})
    assert len({OLIVINE_HASH, moved.content_hash, charged.content_hash}) == 3


def olivine_fields(host):
    return {name: getattr(host, name) for name in Host.model_fields}


def test_the_content_hash_knows_no_negative_zero(olivine):
    lattice = Lattice(np.where(olivine.structure.lattice.matrix == 0, -1e-17, olivine.structure.lattice.matrix))
    structure = Structure(lattice, olivine.structure.species, olivine.structure.frac_coords)
    assert Host(**{**olivine_fields(olivine), "structure": structure}).content_hash == OLIVINE_HASH


def test_the_host_order_does_not_depend_on_the_order_given(olivine):
    shuffled = Structure.from_sites([olivine.structure[i] for i in np.random.default_rng(1).permutation(28)])
    assert in_host_order(shuffled) == olivine.structure
    assert [site.frac_coords.tolist() for site in in_host_order(shuffled)] == olivine.structure.frac_coords.tolist()


def test_the_content_hash_and_order_bear_the_rounding_of_another_program(olivine):
    structure = olivine.structure.copy()
    jitter = np.random.default_rng(3).uniform(-1e-6, 1e-6, (28, 3))  # Na at 0 becomes 0.999999 or 0.000001
    moved = Structure(structure.lattice, structure.species, structure.frac_coords + jitter, to_unit_cell=True)
    host = Host(**{**olivine_fields(olivine), "structure": in_host_order(moved)})
    assert host.content_hash == OLIVINE_HASH


def test_an_unknown_host_is_answered_with_the_known_ones():
    with pytest.raises(ValueError, match="unknown host 'garnet'; known: olivine-NaFePO4, or give the path of a CIF"):
        get_host("garnet")


def test_fields_with_another_number_of_operations_are_refused():
    assert host_from_fields("layered", FIELDS).formula_units == 3
    with pytest.raises(ValueError, match=r"host layered: 36 symmetry operations at 0\.01 A where 12 were expected"):
        host_from_fields("layered", FIELDS | {"operations": 12})


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"working_ion": "Li"}, r"working ion Li is not among its elements \['Fe', 'Na', 'O'\]"),
        ({"redox_element": "Mn"}, "redox element Mn is not among its elements"),
        ({"oxidation_states": {"Na": 1}}, "no oxidation state for O; add oxidation_states"),
        ({"formula_units": 0}, r"formula_units: .*greater than or equal to 1 \(got 0\)"),
        ({"colour": "red"}, "unknown field 'colour'"),
    ],
)
def test_fields_that_make_no_host_are_refused_in_one_line(change, problem):
    with pytest.raises(ValueError, match=rf"^host layered: .*{problem}") as caught:
        host_from_fields("layered", FIELDS | change)
    assert "\n" not in str(caught.value)


def test_a_missing_field_of_a_host_is_named():
    with pytest.raises(ValueError, match="host layered: the field 'sites' is missing"):
        host_from_fields("layered", {name: value for name, value in FIELDS.items() if name != "sites"})


@pytest.mark.parametrize("element", ["Mn", "Co", "Ni"])
def test_another_redox_element_makes_another_host_with_its_own_hash_and_order(olivine, element):
    assert len(olivine.operations[0]) == 8  # both caches are filled before the copy is made
    assert olivine.content_hash == OLIVINE_HASH
    other = olivine.with_redox_element(element)
    assert other.redox_element == element
    assert other.structure.composition.reduced_formula.startswith("Na")
    assert {site.specie.symbol for site in other.structure} == {"Na", element, "P", "O"}
    assert other.content_hash != OLIVINE_HASH
    assert in_host_order(other.structure) == other.structure
    assert len(other.operations[0]) == 8
    assert other.reference_cells == ()
    assert other.with_redox_element("Fe").content_hash == OLIVINE_HASH


@pytest.mark.parametrize("element", ["P", "Na"])
def test_an_element_of_the_framework_cannot_become_the_redox_element(olivine, element):
    with pytest.raises(ValueError, match=f"holds {element} already"):
        olivine.with_redox_element(element)


def test_a_cif_of_the_same_crystal_is_the_same_host(olivine, as_cif):
    host = host_from_cif(as_cif(olivine.structure), "Na", "Fe", CHARGES)
    assert host.content_hash == OLIVINE_HASH
    assert (host.name, host.formula_units, host.source) == ("crystal", 4, "CIF crystal.cif")


def test_a_cif_of_another_olivine_is_read(olivine, as_cif):
    structure = olivine.structure.copy()
    structure.replace_species({"Na": "Li", "Fe": "Mn"})
    host = host_from_cif(as_cif(structure), "Li", "Mn", {"Li": 1, "P": 5, "O": -2})
    assert host.structure.composition.reduced_formula == "LiMnPO4"
    assert len(host.operations[0]) == 8


@pytest.mark.parametrize("digits", [3, 4])
def test_rounded_coordinates_keep_the_eight_operations_at_the_default_tolerance(olivine, as_cif, digits):
    rounded = Structure(
        olivine.structure.lattice, olivine.structure.species, olivine.structure.frac_coords.round(digits)
    )
    assert len(host_from_cif(as_cif(rounded, digits), "Na", "Fe", CHARGES).operations[0]) == 8


def test_rounded_coordinates_lose_their_symmetry_at_a_tight_tolerance(olivine, as_cif):
    path = as_cif(olivine.structure, 3)
    assert len(host_from_cif(path, "Na", "Fe", CHARGES, symprec=1e-5).operations[0]) < 8


def test_a_file_whose_rounded_numbers_hide_symmetry_is_refused_until_a_tolerance_is_chosen(olivine, as_cif):
    noise = np.random.default_rng(3).uniform(-0.02, 0.02, (28, 3))  # A
    positions = olivine.structure.cart_coords + noise
    rounded = Structure(olivine.structure.lattice, olivine.structure.species, positions, coords_are_cartesian=True)
    path = as_cif(rounded)
    with pytest.raises(ValueError, match=r": 1 symmetry operations at 0\.01 A but 8 at 0\.1 A: .* symprec: 0\.1 "):
        host_from_cif(path, "Na", "Fe", CHARGES)
    assert len(host_from_cif(path, "Na", "Fe", CHARGES, symprec=0.1).operations[0]) == 8
    assert len(host_from_cif(path, "Na", "Fe", CHARGES, symprec=0.01).operations[0]) < 8


def test_energies_of_a_host_with_two_redox_sites_per_formula_are_per_formula_unit(as_cif, nasicon):
    """Na4V2(PO4)3, all sodium sites filled: six formula units, twelve vanadium."""
    host = host_from_cif(as_cif(nasicon), "Na", "V", CHARGES)
    assert host.formula_units == 6
    assert sum(site.specie.symbol == "V" for site in host.structure) == 12
    assert host.structure.composition.reduced_formula == "Na4V2(PO4)3"


def test_partial_occupancy_of_the_working_ion_is_read_as_its_sites(olivine, as_cif):
    path = as_cif(with_species(olivine, "Na", {"Na": 0.667}))
    assert host_from_cif(path, "Na", "Fe", CHARGES).content_hash == OLIVINE_HASH


def test_partial_occupancy_elsewhere_is_refused_with_element_and_place(olivine, as_cif):
    path = as_cif(with_first(olivine, "O", {"O": 0.9}))
    with pytest.raises(
        ValueError, match=r"crystal\.cif: partial occupancy of O at \[.*\]; only the working ion \(Na\)"
    ):
        host_from_cif(path, "Na", "Fe", CHARGES)


@pytest.mark.parametrize(("element", "mixture"), [("Fe", {"Fe": 0.5, "Mn": 0.5}), ("Na", {"Na": 0.5, "K": 0.4})])
def test_mixed_sites_are_refused_on_every_sublattice(olivine, as_cif, element, mixture):
    path = as_cif(with_species(olivine, element, mixture))
    with pytest.raises(ValueError, match=r"crystal\.cif: site \[.*\] mixes .*; order it first"):
        host_from_cif(path, "Na", "Fe", CHARGES)


def test_two_charge_states_of_one_element_on_a_site_are_that_element(olivine, as_cif):
    structure = with_species(olivine, "Fe", {"Fe2+": 0.5, "Fe3+": 0.5})
    structure.replace_species({"Na": "Na+", "P": "P5+", "O": "O2-"})
    assert host_from_cif(as_cif(structure), "Na", "Fe").content_hash == OLIVINE_HASH


def test_charges_written_in_the_cif_are_taken(olivine, as_cif):
    structure = olivine.structure.copy()
    structure.add_oxidation_state_by_element({"Fe": 2} | CHARGES)
    host = host_from_cif(as_cif(structure), "Na", "Fe")
    assert host.oxidation_states == CHARGES
    assert host.content_hash == OLIVINE_HASH


def test_two_charges_of_one_framework_element_are_not_confirmed_charges(olivine, as_cif):
    structure = olivine.structure.copy()
    structure.add_oxidation_state_by_element({"Fe": 2} | CHARGES)
    first_oxygen = next(i for i, site in enumerate(structure) if site.specie.symbol == "O")
    structure[first_oxygen] = "O1-"
    with pytest.raises(ValueError, match="oxidation states are not confirmed"):
        host_from_cif(as_cif(structure), "Na", "Fe")


def test_unconfirmed_charges_are_proposed_from_bond_valences(olivine, as_cif):
    with pytest.raises(ValueError, match=r"not confirmed; .* add the line `oxidation_states: \{Na: 1, P: 5, O: -2\}`"):
        host_from_cif(as_cif(olivine.structure), "Na", "Fe")


@ASKS_SPGLIB
def test_unconfirmed_charges_are_proposed_from_the_formula_where_bonds_tell_nothing(olivine, as_cif):
    structure = olivine.structure.copy()
    structure.scale_lattice(0.3 * structure.volume)
    with pytest.raises(ValueError, match=r"Valences cannot be assigned|empty sequence"):
        BVAnalyzer().get_valences(structure)
    with pytest.raises(ValueError, match=r"`oxidation_states: \{Na: 1, P: 5, O: -2\}`"):
        host_from_cif(as_cif(structure), "Na", "Fe")


def test_where_nothing_proposes_charges_the_line_to_fill_in_is_given(olivine, as_cif):
    structure = olivine.structure.copy()
    structure.replace_species({"P": "K", "O": "K"})
    with pytest.raises(ValueError, match=r"propose any: add the line `oxidation_states: \{K: \?, Na: \?\}`$"):
        host_from_cif(as_cif(structure), "Na", "Fe")


@pytest.mark.parametrize(
    ("working_ion", "redox_element", "charges", "problem"),
    [
        ("Li", "Fe", CHARGES, "working_ion names Li, but its elements are Fe, Na, O, P"),
        ("Na", "Mn", CHARGES, "couple names Mn, but its elements are Fe, Na, O, P"),
        ("Na", "Fe", CHARGES | {"S": 6}, r"oxidation_states names S, which crystal\.cif does not contain"),
        ("Na", "Fe", {"Na": 1, "P": 5}, "no oxidation state for O; add oxidation_states"),
    ],
)
def test_a_cif_that_does_not_fit_its_roles_is_refused_in_one_line(
    olivine, as_cif, working_ion, redox_element, charges, problem
):
    with pytest.raises(ValueError, match=problem) as caught:
        host_from_cif(as_cif(olivine.structure), working_ion, redox_element, charges)
    assert "\n" not in str(caught.value)


def test_an_unreadable_cif_is_one_line_with_its_path(tmp_path):
    path = tmp_path / "broken.cif"
    with pytest.raises(ValueError, match=r"broken\.cif: no such file"):
        host_from_cif(path, "Na", "Fe")
    path.write_text("data_x\nloop_\n_atom_site_label\nNa1\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"broken\.cif: not readable as a crystal structure: ") as caught:
        host_from_cif(path, "Na", "Fe")
    assert "\n" not in str(caught.value)


def test_atoms_on_one_place_have_no_symmetry_and_are_named(olivine):
    structure = olivine.structure.copy()
    structure.translate_sites([1], structure[0].frac_coords - structure[1].frac_coords)
    with pytest.raises(ValueError, match=r"spglib finds no symmetry of .* at 0\.01 A; are two atoms on one place\?"):
        _ = Host(**{**olivine_fields(olivine), "structure": structure}).operations
