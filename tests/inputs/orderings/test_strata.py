"""Choosing orderings by strata: each once, with the name of every stratum that took it, and statistics kept clean."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from valenceflow.inputs.charge_states import shipped_couples
from valenceflow.inputs.orderings.electrostatics import ElectrostaticModel
from valenceflow.inputs.orderings.group import ordering_group
from valenceflow.inputs.orderings.lowest import lowest_finder
from valenceflow.inputs.orderings.spaces import ChargeSpace, WorkingSpace
from valenceflow.inputs.orderings.strata import Selection, select, statistical_weight
from valenceflow.inputs.orderings.stratum_names import in_statistics, main_stratum

FE = shipped_couples()["Fe2+/Fe3+"]


@pytest.fixture(scope="module")
def cell(small_cell):
    return small_cell("olivine 1x2x1")


@pytest.fixture(scope="module")
def space(cell):
    """Three Fe3+ on eight sites at a sodium ordering that one operation keeps: 56 arrangements, in pairs or single."""
    group = ordering_group(cell)
    spaces = (ChargeSpace.at(group, member.bits, 3) for member in WorkingSpace(group, 5).members())
    return next(space for space in spaces if len(space.permutations) == 2 and space.distinct < 56)


@pytest.fixture(scope="module")
def find_lowest(cell):
    return lowest_finder(ElectrostaticModel(cell, FE))


def keys(space, chosen):
    return [str(space.key(one.member.bits)) for one in chosen]


def test_everything_is_every_distinct_ordering_with_its_multiplicity(space):
    chosen = select(space, Selection(everything=True))
    assert len(chosen) == len(set(keys(space, chosen))) == space.distinct
    assert sum(one.member.multiplicity for one in chosen) == space.raw == 56


def test_a_reference_the_lowest_and_a_sample_add_up(space, find_lowest):
    sampled = list(zip(range(space.distinct), space.sampled(31), strict=False))
    reference = space.member(sampled[-1][1].bits)
    chosen = select(space, Selection(lowest=3, sample=5, seed=31), [(reference, "reference")], find_lowest)
    assert len(chosen) == 9
    assert [one.stratum for one in chosen] == ["reference", *["lowest"] * 3, *["sample"] * 5]
    energies = [one.member.energy for one in chosen[1:4]]
    assert energies == sorted(energies)


def test_what_two_strata_take_is_there_once_with_both_names(space, find_lowest):
    lowest, _ = find_lowest(space, space.distinct)
    chosen = select(space, Selection(lowest=space.distinct, everything=True), [(lowest[0], "reference")], find_lowest)
    assert len(chosen) == space.distinct
    assert chosen[0].strata == ("reference", "lowest", "all")
    assert chosen[0].member.energy == lowest[0].energy
    assert {one.strata for one in chosen[1:]} == {("lowest", "all")}


@given(seed=st.integers(0, 1000), lowest=st.integers(0, 6), sample=st.integers(0, 15))
def test_the_sample_among_strata_is_the_uniform_one_whatever_else_is_taken(space, find_lowest, seed, lowest, sample):
    """Members that count in statistics are a beginning of the plain sample, so they are as uniform as that."""
    plain = [str(space.key(m.bits)) for _, m in zip(range(space.distinct), space.sampled(seed), strict=False)]
    reference = space.member(np.arange(8) < 3)
    given = [(reference, "reference")]
    chosen = select(space, Selection(lowest=lowest, sample=sample, seed=seed), given, find_lowest)
    counted = [key for key, one in zip(keys(space, chosen), chosen, strict=True) if in_statistics(one.strata)]
    drawn = [key for key, one in zip(keys(space, chosen), chosen, strict=True) if "sample" in one.strata]
    assert sorted(drawn) == sorted(plain[: len(drawn)])
    assert set(drawn) - {str(space.key(reference.bits))} == set(counted)
    taken = {key for key, one in zip(keys(space, chosen), chosen, strict=True) if one.strata != ("sample",)}
    assert len(chosen) == len(taken) + sample


@pytest.mark.parametrize("lowest", [0, 4])
def test_more_of_a_sample_or_of_the_lowest_keeps_every_earlier_member(space, find_lowest, lowest):
    before: set[str] = set()
    for sample in range(1, 12):
        now = set(keys(space, select(space, Selection(lowest=lowest, sample=sample, seed=5), (), find_lowest)))
        assert before < now
        before = now
    assert before <= set(keys(space, select(space, Selection(lowest=lowest + 2, sample=11, seed=5), (), find_lowest)))


def test_a_sample_that_includes_what_is_given_is_one_smaller_beside_a_reference(space):
    reference = space.member(np.arange(8) < 3)
    chosen = select(space, Selection(sample=7, sample_includes_given=True), [(reference, "reference")])
    assert len(chosen) == 7
    assert sum(in_statistics(one.strata) for one in chosen) == 6


@pytest.mark.parametrize(
    ("selection", "said"),
    [
        (Selection(sample=57, where="charge.", of="3 Fe"), r"charge\.sample = 57 but only \d+ orderings of 3 Fe are"),
        (Selection(lowest=57), "lowest = 57 but only"),
        (Selection(lowest=5, sample=56), "sample = 56 but only .* 5 of them taken already"),
    ],
)
def test_more_than_there_are_is_refused_with_both_numbers(space, find_lowest, selection, said):
    with pytest.raises(ValueError, match=said):
        select(space, selection, (), find_lowest)


@pytest.mark.parametrize(
    ("strata", "main", "counts"),
    [
        (("sample",), "sample", True),
        (("all",), "all", True),
        (("lowest", "sample"), "lowest", True),
        (("lowest",), "lowest", False),
        (("best found",), "best found", False),
        (("sample", "reference"), "reference", False),
        (("reference", "all"), "reference", False),
        (("file",), "file", False),
        (("end member",), "end member", False),
        (("free",), "free", False),
    ],
)
def test_only_a_sample_or_the_whole_list_counts_and_never_a_reference(strata, main, counts):
    assert main_stratum(strata) == main
    assert in_statistics(strata) is counts


def test_weights_undo_how_a_sample_was_drawn(space):
    """The mean multiplicity per arrangement and per orbit, from samples of both kinds, against the whole list."""
    sizes = np.array([m.multiplicity for m in space.members()], dtype=float)
    truth = {"arrangements": (sizes**2).sum() / sizes.sum(), "orbits": sizes.mean()}
    firsts = {by: [next(space.sampled(seed, by)).multiplicity for seed in range(2000)] for by in truth}
    for per, mean in truth.items():
        weights = [statistical_weight(int(size), None, per) for size in sizes]
        assert np.average(sizes, weights=weights) == pytest.approx(mean)
        for drawn_by, drawn in firsts.items():
            weights = [statistical_weight(size, drawn_by, per) for size in drawn]
            assert np.average(drawn, weights=weights) == pytest.approx(mean, rel=0.03)
