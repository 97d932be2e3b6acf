"""A catalogue answers for joint orderings, charges at one working-ion ordering, and working ions alone."""

from itertools import product

import numpy as np
import pytest
from valenceflow.inputs.charge_states import shipped_couples
from valenceflow.inputs.orderings.catalogue import OrderingCatalogue
from valenceflow.inputs.orderings.group import bits_from_hex, ordering_group

FE = shipped_couples()["Fe2+/Fe3+"]


def catalogue(cell, fraction=None, **options):
    return OrderingCatalogue.at_fraction(cell, FE, fraction, **options)


def every_key(cell, n_working, n_high, at=None):
    """Distinct joint keys of all arrangements, by brute force."""
    group = ordering_group(cell)
    arrangements = {
        (n, ones): [np.array(bits, dtype=bool) for bits in product((0, 1), repeat=n) if sum(bits) == ones]
        for n, ones in ((group.n_working, n_working), (group.n_redox, n_high))
    }
    ions = arrangements[group.n_working, n_working] if at is None else [at]
    return {str(group.key(w, c)) for w in ions for c in arrangements[group.n_redox, n_high]}


@pytest.mark.parametrize(
    ("name", "fraction"), [("olivine", "1/2"), ("olivine 1x2x1", "7/8"), ("triclinic 2x1x1", "1/8")]
)
def test_a_joint_listing_is_every_arrangement_once(small_cell, name, fraction):
    found = catalogue(small_cell(name), fraction)
    rows = list(found.list())
    assert [str(row.key) for row in rows] == sorted(every_key(found.cell, found.n_working, found.n_high))
    assert len(rows) == found.space.distinct == found.count().joint_distinct
    assert sum(row.multiplicity * row.working_multiplicity for row in rows) == found.count().joint_raw


def test_a_listing_at_a_working_ion_ordering_is_of_its_charges(small_cell):
    cell = small_cell("olivine 1x2x1")
    at = bits_from_hex("3c", 8)
    found = catalogue(cell, at=at)
    rows = list(found.list())
    canonical = ordering_group(cell).key(at, None).working
    assert {str(row.key) for row in rows} == every_key(cell, 4, 4, canonical)
    assert sum(row.multiplicity for row in rows) == found.count().charge_raw == 70
    assert len({row.working_multiplicity for row in rows}) == 1


def test_the_same_ordering_has_the_same_multiplicities_in_every_catalogue(small_cell):
    cell = small_cell("olivine 1x2x1")
    joint = {str(row.key): row for row in catalogue(cell, "3/4").list()}
    for working in catalogue(cell, "3/4", working_only=True).list():
        for row in catalogue(cell, at=working.key.working).list():
            assert joint.pop(str(row.key)) == row
            assert row.working_multiplicity == working.working_multiplicity
    assert not joint


def test_names_and_numbers_are_those_of_a_campaign_file(paper_cell):
    found = OrderingCatalogue.of("olivine-NaFePO4", "Fe2+/Fe3+", "2/3", [1, 3, 2])
    assert found.cell == paper_cell
    count = found.count()
    assert (count.working_distinct, count.joint_distinct) == (15_622, 11_269_366_602)
    assert (count.n_working, count.n_high, count.charge_distinct) == (16, 8, None)


def test_the_proven_optimum_of_the_papers_cell_covers_every_pair(paper_cell):
    """Formal charges by pymatgen's Ewald sum, over 540,917,591,841 pairs."""
    found = catalogue(paper_cell, "2/3").optimum()
    assert found.proven
    assert found.covered == 540_917_591_841
    assert (found.row.multiplicity, found.row.working_multiplicity) == (1, 48)
    best = catalogue(paper_cell, at=found.row.key.working).rank(3)[0]
    assert best[0].energy == found.row.energy
    assert best[0].key == found.row.key


def test_the_rank_of_working_ions_shows_the_charges_that_rank_them(small_cell):
    cell = small_cell("olivine 1x2x1")
    joint, _ = catalogue(cell, "3/4").rank(1000)
    ions, proven = catalogue(cell, "3/4", working_only=True).rank(100)
    assert proven
    best = {}
    for row in joint:
        best.setdefault(str(row.key).partition(".")[0], row)
    assert {str(row.key): row.energy for row in ions} == {str(row.key): row.energy for row in best.values()}


def test_a_composition_that_is_not_neutral_is_counted_by_its_ions_alone(small_cell):
    """The made-up layered host has Fe3+ at full sodium: nothing of Fe2+/Fe3+ balances it at a third."""
    count = OrderingCatalogue(small_cell("layered 2x2x1"), FE, 4).count()
    assert (count.n_high, count.joint_raw, count.joint_distinct) == (None, None, None)
    assert count.working_raw == 495


def test_keys_of_structures_are_those_of_the_rows(small_cell, ordered, disguised):
    cell = small_cell("olivine 1x2x1")
    found = catalogue(cell, "3/4")
    rng = np.random.default_rng(1)
    for row in list(found.list())[::40]:
        structure = disguised(ordered(cell, row.key.working, row.key.charge), rng)
        assert found.key(structure).key == row.key


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "say the fraction of Na"),
        ({"fraction": "2/3"}, "not a whole number"),
        ({"fraction": 2}, "must lie in 0..1"),
        ({"fraction": "1/2", "at": [True] * 8}, "has 8 Na where fraction 1/2 asks for 4"),
        ({"at": [True] * 7}, "shape"),
        ({"at": [True] * 8, "working_only": True}, "its charge orderings are meant"),
    ],
)
def test_what_makes_no_sense_is_refused(small_cell, options, said):
    with pytest.raises(ValueError, match=said):
        catalogue(small_cell("olivine 1x2x1"), **options)


def test_a_reference_of_other_working_ions_is_no_member(small_cell):
    cell = small_cell("olivine 1x2x1")
    group = ordering_group(cell)
    here, other = (group.key(bits_from_hex(w, 8), np.arange(8) < 4) for w in ("f0", "3c"))
    found = catalogue(cell, at=here.working)
    assert found.sample(3, references=[here])[0].strata[0] == "reference"
    with pytest.raises(ValueError, match="is no member of this catalogue"):
        found.sample(3, references=[other])


def test_too_many_to_list_says_how_many_and_what_to_do(paper_cell):
    with pytest.raises(ValueError, match=r"11,269,366,602 distinct orderings .* rank the lowest"):
        catalogue(paper_cell, "2/3").list()
    with pytest.raises(ValueError, match="at least 1"):
        catalogue(paper_cell, "2/3").rank(0)
