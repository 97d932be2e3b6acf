"""The supercell's group against spglib and sympy, Burnside's counts against published numbers, the joint key."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Lattice, Structure
from sympy.combinatorics import Permutation, PermutationGroup
from valenceflow.inputs.hosts import Host, get_host
from valenceflow.inputs.orderings.group import (
    JointKey,
    bits_from_hex,
    burnside_count,
    count_text,
    cycle_lengths,
    joint_burnside_count,
    ordering_group,
)
from valenceflow.inputs.orderings.listing import bits_of, charge_orbits, list_orbits, working_orbits
from valenceflow.inputs.supercells import HostSupercell

OLIVINE = get_host("olivine-NaFePO4")

# Distinct sodium patterns on 1x3x2 by number of vacancies 0..12, mirrored above.
SODIUM_COUNTS = [1, 1, 12, 48, 259, 913, 2934, 7293, 15622, 27407, 41344, 52234, 56913]

# Canonical keys name every stored calculation. They must never change: not with a library's version, not with a faster
# algorithm. A test that fails here has found a bug in the change, not in these numbers.
PINNED_KEYS = {
    ("ffffff", "0000ff"): "ffffff.0000ff",
    ("fff000", "00000f"): "000fff.0003c0",
    ("123456", "abcdef"): "072a1a.f7b3d5",
    ("0f0f0f", "f00f00"): "0f0f0f.00f00f",
    ("7fffff", "800000"): "7fffff.000001",
}


def combinations(n_sites, n_ones):
    for ones in itertools.combinations(range(n_sites), n_ones):
        yield np.isin(np.arange(n_sites), ones)


def group_of(host, supercell):
    return ordering_group(HostSupercell.build(host, supercell))


def as_tuples(rows):
    return {tuple(row) for row in rows.tolist()}


def test_the_permutations_are_those_that_spglib_finds_on_the_supercell(cell, spglib_permutations):
    assert as_tuples(ordering_group(cell).permutations) == as_tuples(spglib_permutations(cell))


def test_the_papers_cell_has_48_operations_faithful_on_both_sublattices(paper_cell, spglib_permutations):
    group = ordering_group(paper_cell)
    assert group.order == 48
    assert as_tuples(group.permutations) == as_tuples(spglib_permutations(paper_cell))
    assert len(np.unique(group.working_permutations, axis=0)) == 48
    assert len(np.unique(group.redox_permutations, axis=0)) == 48


def test_the_permutations_are_a_group_by_sympys_count(cell):
    rows = ordering_group(cell).permutations
    assert PermutationGroup([Permutation(row) for row in rows.tolist()]).order() == len(rows)


def test_the_group_is_closed_and_holds_the_identity_and_every_inverse(cell):
    rows = ordering_group(cell).permutations
    known = as_tuples(rows)
    n_sites = rows.shape[1]
    assert (np.sort(rows, axis=1) == np.arange(n_sites)).all()
    assert tuple(range(n_sites)) in known
    assert as_tuples(np.argsort(rows, axis=1)) == known
    assert all(as_tuples(row[rows]) == known for row in rows)


def test_no_operation_moves_a_site_between_the_sublattices(cell):
    group = ordering_group(cell)
    assert set(group.working_permutations.ravel()) == set(range(group.n_working))
    assert set(group.redox_permutations.ravel()) == set(range(group.n_redox))


def test_only_operations_that_map_the_superlattice_onto_itself_are_kept(small_cell):
    # Of the 8 operations of Pnma x 3 translations the mirrors across a and b tilt {a+b, 3b, c}.
    assert ordering_group(small_cell("olivine {a+b, 3b, c}")).order == 12
    assert ordering_group(small_cell("olivine {a+b, b-a, c}")).order == 16


def test_a_host_cell_that_is_not_primitive_has_the_same_group_as_the_supercell_it_is():
    doubled = HostSupercell.build(OLIVINE, [1, 2, 1])
    structure = doubled.structure.copy()
    structure.remove_site_property("host_site")
    fields = {name: getattr(OLIVINE, name) for name in Host.model_fields}
    host = Host(**fields | {"structure": structure, "formula_units": 8})
    once = ordering_group(HostSupercell.build(host))
    assert as_tuples(once.permutations) == as_tuples(ordering_group(doubled).permutations)


def with_operation(positions, rotation, translation):
    """A made-up cell of two sodium and one iron on which an operation was found that is none."""
    structure = Structure(Lattice.cubic(10.0), ["Na", "Na", "Fe"], positions)
    host = Host(
        name="made up", structure=structure, working_ion="Na", redox_element="Fe", oxidation_states={"Na": 1},
        formula_units=1, source="test",
    )  # fmt: skip
    host.__dict__["operations"] = (np.array([rotation]), np.array([translation]))
    return HostSupercell.build(host)


def test_an_operation_that_sends_a_site_nowhere_is_refused_with_its_distance():
    cell = with_operation([[0, 0, 0], [0, 0, 0.5], [0.5, 0, 0]], np.eye(3, dtype=int), [0.03, 0, 0])
    with pytest.raises(
        ValueError, match=r"found at 0\.01 A sends site 0 0\.300 A away from any Na; use another tolerance"
    ):
        ordering_group(cell)


def test_an_operation_that_sends_two_sites_to_one_is_refused():
    cell = with_operation([[0, 0, 0], [0, 0, 0.005], [0.5, 0, 0]], np.diag([1, 1, 0]), [0, 0, 0])
    with pytest.raises(ValueError, match="sends two sites to one place; use a smaller tolerance"):
        ordering_group(cell)


@pytest.mark.parametrize(
    ("supercell", "n_high", "raw", "distinct"),
    [
        ([1, 2, 1], 3, 56, 5),
        ([1, 3, 1], 4, 495, 32),
        ([1, 2, 2], 5, 4368, 157),
        ([1, 3, 2], 8, 735_471, 15_770),
        ([1, 3, 4], 16, 2_254_848_913_647, 23_490_756_218),
    ],
)
def test_burnside_counts_the_published_numbers_of_iron_orderings(supercell, n_high, raw, distinct):
    group = group_of(OLIVINE, supercell)
    assert burnside_count(group.redox_permutations, n_high) == distinct
    assert burnside_count(np.arange(group.n_redox)[None], n_high) == raw


def test_burnside_counts_every_sodium_content_of_the_papers_cell(paper_cell):
    group = ordering_group(paper_cell)
    counts = [burnside_count(group.working_permutations, 24 - vacancies) for vacancies in range(25)]
    assert counts == SODIUM_COUNTS + SODIUM_COUNTS[-2::-1]
    assert sum(counts) == 353_049


def test_joint_burnside_counts(paper_cell, small_cell):
    assert joint_burnside_count(ordering_group(paper_cell), 16, 8) == 11_269_366_602
    assert joint_burnside_count(ordering_group(small_cell("olivine 1x2x1")), 4, 4) == 344
    unit_cell = ordering_group(small_cell("olivine"))
    assert [joint_burnside_count(unit_cell, n, 4 - n) for n in range(5)] == [1, 2, 10, 2, 1]


def test_iron_orderings_at_a_sodium_ordering_are_counted_modulo_its_stabiliser(paper_cell):
    group = ordering_group(paper_cell)
    orbits = working_orbits(group, 16)
    sizes = group.order // orbits.multiplicities
    counts = {}
    for size in (1, 2, 4, 8, 16):
        chosen = np.flatnonzero(sizes == size)[:40]
        stabilisers = [group.stabiliser(orbits.bits(int(i))) for i in chosen]
        assert {len(rows) for rows in stabilisers} == {size}
        counts[size] = {burnside_count(rows, 8) for rows in stabilisers}
    assert counts[1] == {735_471}
    assert counts[16] == {46_519}
    assert 367_983 in counts[2]
    assert 184_239 in counts[4]
    assert 92_783 in counts[8]


@pytest.mark.parametrize(("name", "joint", "apart"), [("olivine", 10, 9), ("olivine 1x2x1", 344, 100)])
def test_the_joint_key_keeps_apart_what_separate_keys_would_merge(small_cell, name, joint, apart):
    group = ordering_group(small_cell(name))
    half = group.n_working // 2
    keys, separate = set(), set()
    redox_only = {}
    for charge in combinations(group.n_redox, half):
        redox_only[charge.tobytes()] = min(row.tobytes() for row in charge[group.redox_permutations])
    for working in combinations(group.n_working, half):
        alone = group.key(working, None)
        for charge in combinations(group.n_redox, half):
            keys.add(group.key(working, charge))
            separate.add((alone, redox_only[charge.tobytes()]))
    assert len(keys) == joint_burnside_count(group, half, half) == joint
    assert len(separate) == apart


def test_structure_matcher_agrees_with_the_joint_key_on_marked_structures(small_cell, marked):
    cell = small_cell("olivine")
    group = ordering_group(cell)
    arrangements = list(itertools.product(combinations(4, 2), combinations(4, 2)))
    matcher = StructureMatcher(ltol=1e-3, stol=1e-3, angle_tol=0.1, primitive_cell=False, scale=False)
    structures = [marked(cell, *arrangement) for arrangement in arrangements]
    classes = matcher.group_structures(structures)
    assert len(classes) == 10
    keys = {id(s): group.key(*arrangement) for s, arrangement in zip(structures, arrangements, strict=True)}
    assert all(len({keys[id(structure)] for structure in one}) == 1 for one in classes)


def test_structure_matcher_calls_charge_orderings_equal_that_the_key_keeps_apart(small_cell):
    # Trap T13: plain iron carries no charge state.
    cell = small_cell("olivine")
    group = ordering_group(cell)
    working = np.array([True, True, False, False])
    one, other = list_orbits(group.stabiliser(working), 2).bits(0), list_orbits(group.stabiliser(working), 2).bits(1)
    structures = []
    for charge in (one, other):
        structure = cell.structure.copy()
        moments = np.zeros(len(structure))
        moments[cell.redox_sites] = np.where(charge, 5.0, 4.0)
        structure.add_site_property("magmom", moments.tolist())
        structures.append(structure)
    assert StructureMatcher().fit(*structures)
    assert group.key(working, one) != group.key(working, other)


@settings(deadline=None, max_examples=50)
@given(data=st.data())
def test_the_key_does_not_change_under_any_operation(cell, data):
    group = ordering_group(cell)
    bits = np.array(data.draw(st.lists(st.booleans(), min_size=24, max_size=24)))[: group.n_working + group.n_redox]
    bits = np.resize(bits, group.n_working + group.n_redox)
    image = bits[group.permutations[data.draw(st.integers(0, group.order - 1))]]
    n = group.n_working
    key = group.key(bits[:n], bits[n:])
    assert key == group.key(image[:n], image[n:])
    assert key == group.key(key.working, key.charge)
    assert key.working.tolist() == group.key(bits[:n], None).working.tolist()
    assert (key.working.sum(), key.charge.sum()) == (bits[:n].sum(), bits[n:].sum())


@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_keys_are_equal_if_and_only_if_an_operation_maps_one_ordering_onto_the_other(cell, spglib_permutations, data):
    group, rows = ordering_group(cell), spglib_permutations(cell)
    n = group.n_working
    # Few bits, so that equivalent pairs occur.
    sites = st.sets(st.integers(0, n + group.n_redox - 1), max_size=3)
    one, other = (np.isin(np.arange(n + group.n_redox), list(data.draw(sites))) for _ in range(2))
    mapped = any((one[row] == other).all() for row in rows)
    assert (group.key(one[:n], one[n:]) == group.key(other[:n], other[n:])) == mapped


@settings(deadline=None)
@given(data=st.data())
def test_a_key_is_read_back_from_its_text(cell, data):
    group = ordering_group(cell)
    draw = st.integers(0, 2**64 - 1)
    working = bits_of(data.draw(draw), group.n_working)
    charge = bits_of(data.draw(draw), group.n_redox)
    key = group.key(working, charge)
    texts = str(key).split(".")
    again = JointKey(bits_from_hex(texts[0], group.n_working), bits_from_hex(texts[1], group.n_redox))
    assert again == key
    assert hash(again) == hash(key)
    assert str(group.key(working, None)).split(".") == [texts[0], "free"]


def test_keys_of_different_charge_order_or_supercell_differ(small_cell):
    group = ordering_group(small_cell("olivine"))
    working, charge = np.ones(4, dtype=bool), np.zeros(4, dtype=bool)
    keys = {
        group.key(working, charge),
        group.key(working, None),
        JointKey(working[:3], charge),
        JointKey(working, charge[:3]),
        group.key(working, ~charge),
    }
    assert len(keys) == 5
    assert group.key(working, charge) != str(group.key(working, charge))


@pytest.mark.parametrize("text", ["", "-1", "+1", "0xf", "1_0", " 1", "g0", "1\n", "\u0661\u0662"])
def test_a_text_that_is_no_hexadecimal_number_is_refused(text):
    with pytest.raises(ValueError, match=r"is no hexadecimal ordering; copy a key from"):
        bits_from_hex(text, 4 * max(1, len(text)))


@pytest.mark.parametrize(("text", "length"), [("f", 3), ("0f", 4), ("f", 8), ("fff", 24)])
def test_a_key_of_another_supercell_is_refused(text, length):
    with pytest.raises(ValueError, match=rf"'{text}' does not describe {length} sites"):
        bits_from_hex(text, length)


@pytest.mark.parametrize(("given_bits", "key"), list(PINNED_KEYS.items()))
def test_joint_keys_never_change(paper_cell, spglib_permutations, given_bits, key):
    working, charge = (bits_from_hex(text, 24) for text in given_bits)
    assert str(ordering_group(paper_cell).key(working, charge)) == key
    images = np.concatenate([working, charge])[spglib_permutations(paper_cell)]
    smallest = min(int("".join("01"[bit] for bit in row), 2) for row in images.astype(int))
    assert f"{smallest:012x}" == key.replace(".", "")


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 10**6))
def test_the_stabiliser_and_the_multiplicity_are_spglibs_on_the_marked_structure(cell, marked, spglib_operations, seed):
    group, rng = ordering_group(cell), np.random.default_rng(seed)
    # Symmetric orderings are rare: each is made from whole orbits of a random subgroup.
    working = rng.random(group.n_working) < 0.4
    working |= working[group.working_permutations[rng.integers(group.order)]]
    charge = rng.random(group.n_redox) < 0.4
    none = np.zeros(group.n_redox, dtype=bool)
    stabiliser = group.stabiliser(working)
    unmarked, all_marked = (len(spglib_operations(marked(cell, working, bits))) for bits in (none, charge))
    # spglib counts operations; ours counts permutations, which may coincide on the ordering sites.
    repeated = len(spglib_operations(cell.structure)) // group.order
    assert len(stabiliser) * repeated == unmarked
    assert group.multiplicity(working, charge) == unmarked // all_marked


def test_a_smaller_bit_string_wins_with_the_first_site_as_its_most_significant_bit(small_cell):
    group = ordering_group(small_cell("olivine"))
    key = group.key([True, False, False, False], [False, False, True, False])
    assert key.working.tolist() == [False, False, False, True]
    images = np.array([True, False, False, False, False, False, True, False])[group.permutations]
    assert np.concatenate([key.working, key.charge]).tolist() == min(images.tolist())


@pytest.mark.parametrize("shape", [3, 5, (4, 1)])
def test_an_ordering_of_another_length_is_refused(small_cell, shape):
    group = ordering_group(small_cell("olivine"))
    with pytest.raises(ValueError, match=r"working-ion ordering has shape .*, expected \(4,\)"):
        group.key(np.zeros(shape), np.zeros(4))
    with pytest.raises(ValueError, match=r"charge ordering has shape .*, expected \(4,\)"):
        group.key(np.zeros(4), np.zeros(shape))


@given(permutation=st.permutations(list(range(10))))
def test_cycle_lengths_are_sympys(permutation):
    structure = Permutation(permutation).cycle_structure
    expected = sorted(length for length, number in structure.items() for _ in range(number))
    assert sorted(cycle_lengths(np.array(permutation))) == expected


@settings(deadline=None, max_examples=40)
@given(generators=st.lists(st.permutations(list(range(6))), min_size=1, max_size=2), n_ones=st.integers(0, 6))
def test_burnside_is_the_number_of_orbits_of_any_permutation_group(generators, n_ones):
    group = PermutationGroup([Permutation(generator) for generator in generators])
    rows = np.array([element.array_form for element in group.elements])
    orbits = {frozenset(bits[row].tobytes() for row in rows) for bits in combinations(6, n_ones)}
    assert burnside_count(rows, n_ones) == len(orbits) == len(list_orbits(rows, n_ones))


def test_permutations_that_are_no_group_are_refused_by_burnside():
    with pytest.raises(ValueError, match="3 permutations are no group"):
        burnside_count(np.array([[0, 1, 2], [1, 0, 2], [0, 2, 1]]), 1)


def test_charge_orbits_of_a_canonical_working_ordering_are_canonical_joint_keys(small_cell):
    group = ordering_group(small_cell("olivine 1x2x1"))
    orbits = working_orbits(group, 5)
    keys = set()
    for working in map(orbits.bits, range(len(orbits))):
        charges = charge_orbits(group, working, 3)
        for i in range(len(charges)):
            key = group.key(working, charges.bits(i))
            assert key == JointKey(working, charges.bits(i))
            assert group.multiplicity(working, charges.bits(i)) == charges.multiplicities[i]
            keys.add(key)
    assert len(keys) == joint_burnside_count(group, 5, 3)


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (11_269_366_602, "11,269,366,602"),
        (10**15 - 1, "999,999,999,999,999"),
        (10**15, "1.00e15"),
        (65 * 10**400, "6.50e401"),
    ],
)
def test_counts_are_exact_where_a_person_can_read_them(number, text):
    assert count_text(number) == text
