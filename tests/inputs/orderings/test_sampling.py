"""Seeded samples: they grow without changing, do not depend on the listing, and are uniform over arrangements."""

from itertools import islice

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare
from valenceflow.inputs.orderings.group import JointKey, ordering_group
from valenceflow.inputs.orderings.listing import charge_orbits, list_orbits, mask_of
from valenceflow.inputs.orderings.sampling import is_ranked, sample_ranking, uniform_of
from valenceflow.inputs.orderings.spaces import ChargeSpace, JointSpace
from valenceflow.inputs.supercells import HostSupercell

SEEDS = 4000
LEAST_P = 0.01  # the seeds are fixed, so the test is deterministic

# A campaign's sample has to be the same on every machine and after every release: a re-run must find its finished
# members. These must never change.
PINNED_SAMPLES = {
    "arrangements": ["ffffff.05125c", "ffffff.05109e", "ffffff.051299", "ffffff.0620da", "ffffff.052326"],
    "orbits": ["ffffff.05125c", "ffffff.05109e", "ffffff.051299", "ffffff.0620da", "ffffff.052326"],
}

ORBITS = st.dictionaries(st.text("0123456789abcdef", min_size=1, max_size=6), st.integers(1, 48), min_size=1)


def named_orbits(group, working, n_high):
    orbits = charge_orbits(group, working, n_high)
    return [str(JointKey(working, orbits.bits(i))) for i in range(len(orbits))], orbits.multiplicities


@pytest.fixture(scope="module")
def small_space(small_cell):
    """8 choose 3 on olivine 1x2x1: 56 arrangements in five orbits of unequal size."""
    names, sizes = named_orbits(ordering_group(small_cell("olivine 1x2x1")), np.ones(8, dtype=bool), 3)
    assert (len(names), sizes.sum()) == (5, 56)
    assert len(set(sizes.tolist())) > 1
    return names, sizes


@pytest.mark.parametrize("weight", list(PINNED_SAMPLES))
def test_the_sample_of_a_seed_never_changes(paper_cell, weight):
    names, sizes = named_orbits(ordering_group(paper_cell), np.ones(24, dtype=bool), 8)
    first = sample_ranking(names, sizes, 31, weight)[:5]
    assert [names[i] for i in first] == PINNED_SAMPLES[weight]


def test_the_random_number_of_a_key_never_changes():
    # The first 8 bytes of `printf 31:ffffff.05125c | sha256sum` as a fraction of 2**64.
    assert uniform_of(31, ["0", "ffffff.05125c"])[1] == pytest.approx(0xFFFE3AA07559CC7C / 2**64, abs=1e-15)


@given(
    orbits=ORBITS,
    seed=st.integers(),
    order=st.randoms(use_true_random=False),
    weight=st.sampled_from(["arrangements", "orbits"]),
)
def test_a_sample_does_not_depend_on_the_order_of_the_listing(orbits, seed, order, weight):
    names = list(orbits)
    mixed = names.copy()
    order.shuffle(mixed)
    one, other = (
        [listed[i] for i in sample_ranking(listed, [orbits[name] for name in listed], seed, weight)]
        for listed in (names, mixed)
    )
    assert one == other
    assert sorted(one) == sorted(names)


@given(orbits=ORBITS, more=ORBITS, seed=st.integers(0, 10**9))
def test_a_larger_space_keeps_the_order_among_the_orbits_it_shares(orbits, more, seed):
    larger = more | orbits
    ranked = [list(larger)[i] for i in sample_ranking(larger, list(larger.values()), seed)]
    alone = [list(orbits)[i] for i in sample_ranking(orbits, list(orbits.values()), seed)]
    assert [name for name in ranked if name in orbits] == alone


@given(orbits=ORBITS, seed=st.integers(0, 10**9), n=st.integers(0, 20))
def test_a_sample_grows_without_changing_its_members(orbits, seed, n):
    ranking = sample_ranking(orbits, list(orbits.values()), seed).tolist()
    assert ranking[: n + 1][:n] == ranking[:n]
    assert sorted(ranking) == list(range(len(orbits)))


def test_first_members_are_uniform_over_arrangements(small_space):
    names, sizes = small_space
    firsts = np.bincount([sample_ranking(names, sizes, seed)[0] for seed in range(SEEDS)], minlength=5)
    assert chisquare(firsts, SEEDS * sizes / sizes.sum()).pvalue > LEAST_P


def test_weighting_by_orbits_is_uniform_over_orbits_and_not_over_arrangements(small_space):
    names, sizes = small_space
    firsts = np.bincount([sample_ranking(names, sizes, seed, "orbits")[0] for seed in range(SEEDS)], minlength=5)
    assert chisquare(firsts).pvalue > LEAST_P
    assert chisquare(firsts, SEEDS * sizes / sizes.sum()).pvalue < 1e-6


def test_pairs_of_members_are_as_frequent_as_in_repeated_draws_of_arrangements(small_space):
    # The second implementation: draw arrangements, pass over those whose orbit was met.
    names, sizes = small_space
    expected = np.array(
        [[0 if i == j else a / 56 * b / (56 - a) for j, b in enumerate(sizes)] for i, a in enumerate(sizes)]
    )
    seen = np.zeros((5, 5))
    for seed in range(SEEDS):
        first, second = sample_ranking(names, sizes, seed)[:2]
        seen[first, second] += 1
    off_diagonal = ~np.eye(5, dtype=bool)
    assert chisquare(seen[off_diagonal], SEEDS * expected[off_diagonal]).pvalue > LEAST_P


def test_different_seeds_give_different_samples(small_space):
    names, sizes = small_space
    assert len({tuple(sample_ranking(names, sizes, seed).tolist()) for seed in range(50)}) > 20


@given(seed=st.integers(), keys=st.lists(st.text(max_size=20)))
def test_random_numbers_of_keys_lie_in_zero_to_one_and_depend_on_the_key_alone(seed, keys):
    found = uniform_of(seed, keys)
    assert np.all((found > 0) & (found <= 1))
    assert [uniform_of(seed, [key])[0] for key in keys] == found.tolist()


def test_of_two_that_wait_equally_long_the_key_decides():
    """As where a key is given twice, or numbers that differ in the 64th bit become the same float."""
    names = ["2", "1", "2", "0"]
    waiting = -np.log(uniform_of(5, names))
    assert sample_ranking(names, [1] * 4, 5).tolist() == np.lexsort((names, waiting)).tolist()


def test_an_empty_space_has_an_empty_sample():
    assert sample_ranking([], [], 1).tolist() == []


def test_an_unknown_weight_is_refused():
    with pytest.raises(ValueError, match="weight = 'orbit' must be one of arrangements, orbits"):
        sample_ranking(["0"], [1], 1, "orbit")


def test_the_sample_is_one_of_distinct_orbits(paper_cell):
    group = ordering_group(paper_cell)
    orbits = list_orbits(group.redox_permutations, 8)
    names = [f"{mask:06x}" for mask in orbits.masks.tolist()]
    ranking = sample_ranking(names, orbits.multiplicities, 31)[:171]
    keys = {group.key(np.ones(24, dtype=bool), orbits.bits(int(i))) for i in ranking}
    assert len(keys) == 171


# Spaces too large to list are drawn from; these may never change either.
PINNED_DRAWS = {
    "arrangements": ["ffffffffffff.01c238bc2181", "ffffffffffff.0199c3882628", "ffffffffffff.001689287686"],
    "orbits": ["ffffffffffff.01429f122492", "ffffffffffff.11c8146821d2", "ffffffffffff.012656085961"],
}


@pytest.fixture(scope="module")
def large_cell(paper_cell):
    """Olivine 1x3x4: 48 sodium and 48 iron."""
    return HostSupercell.build(paper_cell.host, [1, 3, 4])


@pytest.mark.parametrize("weight", list(PINNED_DRAWS))
def test_the_sample_of_a_space_that_cannot_be_listed_never_changes(large_cell, weight):
    space = ChargeSpace.at(ordering_group(large_cell), np.ones(48, dtype=bool), 16)
    assert not space.is_listable
    assert (space.raw, space.distinct) == (2_254_848_913_647, 23_490_756_218)
    members = list(islice(space.sampled(31, weight), 3))
    assert [str(space.key(m.bits)) for m in members] == PINNED_DRAWS[weight]
    assert [m.multiplicity for m in members] == [space.multiplicity(m.bits) for m in members]


@pytest.mark.parametrize(
    ("n_sites", "n_ones", "ranked"), [(24, 8, True), (22, 11, True), (24, 9, False), (65, 1, False)]
)
def test_which_spaces_are_ranked_and_which_are_drawn_from_never_changes(n_sites, n_ones, ranked):
    """735,471, 705,432 and 1,307,504 arrangements, and one site more than a mask holds."""
    assert is_ranked(n_sites, n_ones) is ranked


class Drawn(ChargeSpace):
    """A small space that is drawn from as if it were too large to list."""

    def sampled(self, seed, weight="arrangements"):
        return self._drawn(seed, weight)


@pytest.fixture(scope="module")
def drawn_space(small_cell):
    """8 choose 3 on olivine 1x2x1, at all sodium sites filled."""
    return Drawn.at(ordering_group(small_cell("olivine 1x2x1")), np.ones(8, dtype=bool), 3)


@pytest.mark.parametrize("weight", ["arrangements", "orbits"])
def test_draws_meet_the_listed_orbits_each_once(drawn_space, weight):
    drawn = {mask_of(m.bits): m.multiplicity for m in islice(drawn_space.sampled(7, weight), drawn_space.distinct)}
    orbits = drawn_space.orbits
    assert drawn == dict(zip(orbits.masks.tolist(), orbits.multiplicities.tolist(), strict=True))


@pytest.mark.parametrize("weight", ["arrangements", "orbits"])
def test_first_draws_are_uniform_over_what_the_weight_says(drawn_space, weight):
    masks, seeds = drawn_space.orbits.masks.tolist(), 1500
    firsts = [masks.index(mask_of(next(drawn_space.sampled(seed, weight)).bits)) for seed in range(seeds)]
    sizes = drawn_space.orbits.multiplicities if weight == "arrangements" else np.ones(len(masks))
    assert chisquare(np.bincount(firsts, minlength=len(masks)), seeds * sizes / sizes.sum()).pvalue > LEAST_P


def test_draws_of_different_seeds_and_of_different_spaces_differ(small_cell):
    """Without the space's name in the seed, every sodium ordering would get the same charges."""
    group = ordering_group(small_cell("olivine 1x2x1"))
    rows = [np.arange(8) < 5, np.array([1, 0, 1, 0, 1, 1, 0, 1], dtype=bool)]
    raw = {
        tuple(mask_of(m.bits) for m in islice(Drawn.at(group, working, 3).sampled(seed), 4))
        for working in rows
        for seed in range(20)
    }
    assert len(raw) > 30


def test_a_joint_sample_is_of_joint_orderings(small_cell):
    """10 at x = 1/2 on the 28-atom cell."""
    space = JointSpace(ordering_group(small_cell("olivine")), 2, 2)
    members = list(islice(space.sampled(1), space.distinct))
    assert space.distinct == len(members) == len({str(space.key(m.bits)) for m in members}) == 10
    assert sum(m.multiplicity for m in members) == space.raw == 36
    assert {str(space.key(m.bits)) for m in members} == {str(space.key(m.bits)) for m in space.members()}


def test_an_unknown_weight_is_refused_by_draws(drawn_space, small_cell):
    for space in (
        JointSpace(ordering_group(small_cell("olivine")), 2, 2),
        ChargeSpace(drawn_space.group, 3, drawn_space.working),
    ):
        with pytest.raises(ValueError, match="weight = 'orbit' must be one of"):
            next(space.sampled(1, "orbit"))
