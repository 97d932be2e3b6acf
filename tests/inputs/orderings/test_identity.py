"""Who a structure is: superstructures find their supercell, keys survive every disguise, pairs are equal or not."""

import numpy as np
import pytest
from pymatgen.core import Structure
from pymatgen.symmetry.analyzer import SpacegroupAnalyzer
from valenceflow.inputs.charge_states import RedoxCouple, shipped_couples
from valenceflow.inputs.hosts import get_host
from valenceflow.inputs.orderings.group import ordering_group
from valenceflow.inputs.orderings.identity import find_supercell, identify, key_of, read_structure, same_ordering
from valenceflow.inputs.supercells import HostSupercell

FE = shipped_couples()["Fe2+/Fe3+"]
# The made-up layered host is neutral with Fe3+ at full sodium.
FE_3_4 = RedoxCouple.model_validate({
    "name": "Fe3+/Fe4+",
    "element": "Fe",
    "low": {"oxidation_state": 3, "magmom": 5},
    "high": {"oxidation_state": 4, "magmom": 4},
    "surrogate": {"element": "Ge", "oxidation_state": 4},
    "windows": "fit",
})  # fmt: skip
OLIVINE = get_host("olivine-NaFePO4")


def decorated(structure):
    copy = structure.copy()
    states = copy.site_properties["oxidation_state"]
    copy.remove_site_property("oxidation_state")
    copy.add_oxidation_state_by_site(states)
    return copy


pymatgens_old_way = pytest.mark.filterwarnings("ignore:Set OLD_ERROR_HANDLING:DeprecationWarning")


# Superstructures: the supercell is found.
@pytest.mark.parametrize(
    "name", ["olivine", "olivine 1x2x1", "olivine {a+b, 3b, c}", "monoclinic 2x1x1", "triclinic 2x1x1"]
)
@pytest.mark.parametrize("case", range(3))
def test_the_supercell_of_a_disguised_superstructure_is_found(
    small_cell, name, case, ordered, disguised, random_ordering
):
    cell, rng = small_cell(name), np.random.default_rng(case)
    working, charge = random_ordering(cell, rng)
    found = identify(disguised(ordered(cell, working, charge), rng), cell.host, FE)
    assert found.cell == cell
    assert found.key == ordering_group(cell).key(working, charge)
    assert found.working.sum() == working.sum()
    assert found.charge.sum() == charge.sum()


@pymatgens_old_way
@pytest.mark.parametrize(("name", "cells"), [("A", 6), ("B", 3), ("C", 3)])
def test_a_cif_in_the_standard_cell_of_its_own_space_group_maps_with_its_charges(
    paper_cell, two_thirds, ordered, name, cells, tmp_path
):
    """Among them P2_1/c with beta = 104.85 degrees; written, read back, strained by 2 %."""
    structure = decorated(ordered(paper_cell, *two_thirds[name]))
    standard = SpacegroupAnalyzer(structure, symprec=0.01).get_conventional_standard_structure()
    assert len(standard) == 160 * cells / 6
    standard.apply_strain([0.02, -0.02, 0.01])
    standard.relabel_sites().to(filename=str(tmp_path / "measured.cif"))
    measured = read_structure(tmp_path / "measured.cif")
    assert find_supercell(measured, OLIVINE).n_cells == cells
    assert key_of(measured, paper_cell, FE) == ordering_group(paper_cell).key(*two_thirds[name])


@pymatgens_old_way
def test_a_primitive_cell_of_a_centred_host_is_repeated_to_a_supercell_of_the_conventional_one(small_cell):
    """R-3m: one formula unit where the host's cell has three."""
    host = small_cell("layered 2x2x1").host
    primitive = SpacegroupAnalyzer(host.structure, symprec=0.01).find_primitive()
    assert len(primitive) == 4
    primitive.add_oxidation_state_by_element({"Na": 1, "Fe": 3, "O": -2})
    found = identify(primitive, host, FE_3_4)
    assert (found.cell.matrix, str(found.key)) == (((1, 0, 0), (0, 1, 0), (0, 0, 1)), "7.0")


def test_a_structure_without_charges_has_a_key_without_charges(small_cell, ordered):
    cell = small_cell("olivine 1x2x1")
    structure = ordered(cell, [True] * 6 + [False] * 2, [True] * 2 + [False] * 6)
    structure.remove_site_property("oxidation_state")
    assert str(key_of(structure, cell, FE)).endswith(".free")


def test_a_lattice_that_is_none_of_the_hosts_is_refused_and_both_are_named(small_cell, ordered):
    structure = ordered(small_cell("olivine"), [True] * 4, [False] * 4)
    structure.apply_strain([0, 0.4, 0])
    with pytest.raises(
        ValueError,
        match=r"lattice of Na4 .* \(10\.41 8\.71 4\.95 A, 90 90 90 deg\) is no superlattice of olivine-NaFePO4 "
        r"\(10\.41 6\.22 4\.95 A, 90 90 90 deg\) within 10% and 6 deg",
    ):
        find_supercell(structure, OLIVINE)


def test_a_superstructure_that_does_not_fill_the_supercell_is_refused_and_both_lattices_are_named(paper_cell):
    three = HostSupercell.build(OLIVINE, [[1, 1, 0], [0, 3, 0], [0, 0, 1]])
    with pytest.raises(ValueError, match=r"lattice \(12\.12 18\.66 4\.95 .*supercell of .*\(10\.41 18\.66 9\.89"):
        key_of(three.structure, paper_cell, FE)


def test_another_framework_is_refused_with_both_formulas(small_cell):
    other = small_cell("monoclinic 2x1x1").structure
    with pytest.raises(ValueError, match=r"Na8 Fe8 O8 F8 is no ordering of olivine-NaFePO4 \(Na4 Fe4 P4 O16; only Na"):
        find_supercell(other, OLIVINE)


def test_a_framework_of_the_same_composition_and_lattice_but_other_places_is_refused(small_cell):
    structure = small_cell("olivine").structure.copy()
    shuffled = structure.frac_coords[np.random.default_rng(0).permutation(len(structure))]
    strange = Structure(structure.lattice, structure.species, shuffled)
    with pytest.raises(ValueError, match="does not map one to one onto olivine-NaFePO4"):
        find_supercell(strange, OLIVINE)


@pytest.mark.parametrize(
    ("text", "said"), [(None, "no such file"), ("no\ncrystal\n", "not readable as a crystal structure")]
)
def test_a_file_that_is_no_crystal_is_refused_in_one_line(text, said, tmp_path):
    path = tmp_path / "some.cif"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ValueError, match=rf"some\.cif: {said}") as refused:
        read_structure(path)
    assert "\n" not in str(refused.value)


def test_a_file_with_partly_occupied_sites_is_refused(small_cell, tmp_path):
    structure = small_cell("olivine").structure.copy().remove_site_property("host_site").relabel_sites()
    structure[0] = {"Na": 0.5}
    structure.to(filename=str(tmp_path / "partial.cif"))
    with pytest.raises(ValueError, match="every site occupied or empty"):
        read_structure(tmp_path / "partial.cif")


# The key survives.
@pytest.mark.slow
def test_a_thousand_symmetry_operations_permutations_and_displacements_keep_the_key(
    small_cell, ordered, random_ordering, spglib_operations
):
    cell, rng = small_cell("olivine"), np.random.default_rng(2603)
    operations = spglib_operations(cell.structure)
    for _ in range(1000):
        working, charge = random_ordering(cell, rng)
        structure = ordered(cell, working, charge)
        operation = operations[rng.integers(len(operations))]
        directions = rng.normal(size=(len(structure), 3))
        noise = 0.1 * directions / np.linalg.norm(directions, axis=1)[:, None]
        moved = operation.operate_multi(structure.frac_coords) + rng.random(3)
        moved += cell.structure.lattice.get_fractional_coords(noise)
        order, states = rng.permutation(len(structure)), structure.site_properties["oxidation_state"]
        disguised = Structure(
            structure.lattice,
            [structure[int(i)].specie for i in order],
            moved[order],
            site_properties={"oxidation_state": [states[i] for i in order]},
        )
        assert key_of(disguised, cell, FE) == ordering_group(cell).key(working, charge)


def images_of(bits, permutations):
    return {row.tobytes() for row in bits[permutations]}


def test_ten_thousand_random_pairs_are_equal_where_brute_force_over_the_operations_says_so(
    paper_cell, spglib_permutations
):
    """Every second pair is drawn independently, every fourth is an image, every fourth an image with one swap."""
    group, rng, permutations = ordering_group(paper_cell), np.random.default_rng(31), spglib_permutations(paper_cell)
    equal = 0
    for case in range(10_000):
        one = np.concatenate([rng.permutation(np.arange(24) < 16), rng.permutation(np.arange(24) < 8)])
        other = one[permutations[rng.integers(len(permutations))]]
        if case % 2:
            other = np.concatenate([rng.permutation(np.arange(24) < 16), rng.permutation(np.arange(24) < 8)])
        elif case % 4:
            i, j = 24 + rng.integers(24, size=2)
            other[[i, j]] = other[[j, i]]
        same = group.key(one[:24], one[24:]) == group.key(other[:24], other[24:])
        assert same == (other.tobytes() in images_of(one, permutations))
        equal += same
    assert 2500 < equal < 5000


# Two structures.
def test_two_disguises_of_one_ordering_are_the_same_and_two_orderings_are_not(
    small_cell, ordered, disguised, random_ordering
):
    cell = small_cell("olivine 1x2x1")
    group = ordering_group(cell)
    for case in range(10):
        rng = np.random.default_rng(case)
        (working, charge), (occupied, high) = random_ordering(cell, rng), random_ordering(cell, rng)
        one, again, other = (
            disguised(ordered(cell, *bits), rng) for bits in ((working, charge), (working, charge), (occupied, high))
        )
        assert same_ordering(one, again, cell, FE)
        assert same_ordering(one, other, cell, FE) == (group.key(working, charge) == group.key(occupied, high))


def test_a_superstructure_is_the_same_in_its_small_and_in_a_larger_cell(
    paper_cell, two_thirds, half_of_b, ordered, disguised
):
    rng = np.random.default_rng(5)
    small, large = disguised(ordered(*half_of_b), rng), disguised(ordered(paper_cell, *two_thirds["B"]), rng)
    assert same_ordering(small, large, OLIVINE, FE)
    assert not same_ordering(small, disguised(ordered(paper_cell, *two_thirds["C"]), rng), OLIVINE, FE)


def test_a_superstructure_and_its_mirror_image_in_another_cell_are_the_same(small_cell, ordered, random_ordering):
    """{a+b, 3b, c} reflected is an ordering of {a-b, 3b, c}: neither cell is the other."""
    cell = small_cell("olivine {a+b, 3b, c}")
    structure = ordered(cell, *random_ordering(cell, np.random.default_rng(3)))
    mirrored = Structure(
        structure.lattice.matrix * [1, -1, 1],
        structure.species,
        structure.frac_coords,
        site_properties=structure.site_properties,
    )
    assert same_ordering(structure, mirrored, OLIVINE, FE)


def test_charges_on_one_of_two_structures_only_are_no_comparison(small_cell, ordered):
    cell = small_cell("olivine")
    structure = ordered(cell, [True, True, False, False], [True, True, False, False])
    silent = structure.copy()
    silent.remove_site_property("oxidation_state")
    with pytest.raises(ValueError, match="the second structure carries no charge states and the other one does"):
        same_ordering(structure, silent, cell, FE)
    assert same_ordering(silent, silent, cell, FE)
