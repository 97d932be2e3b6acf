"""The first line of a run: how many configurations there are, and how they were chosen."""

import pytest
from valenceflow.flows.campaign_file import read_campaign
from valenceflow.flows.plan import plan_configurations
from valenceflow.flows.plan_words import fraction_words
from valenceflow.inputs.orderings.catalogue import OrderingCatalogue
from valenceflow.inputs.orderings.group import bits_from_hex
from valenceflow.inputs.orderings.written import write_cif


@pytest.fixture
def words(tmp_path, write_campaign):
    """Function that plans a campaign of changed fields and says it in words."""

    def make(**changes):
        campaign = read_campaign(write_campaign(tmp_path, **changes))
        return fraction_words(plan_configurations(campaign, "rehearsal:springs"), campaign.file.ion)

    return make


def sodium(fraction, **orderings):
    return {"Na": {"fraction": fraction, "orderings": orderings or {"all": True}}}


def test_all_orderings_are_just_counted(words):
    assert words() == ["x = 1: 1 (1 Na ordering)", "x = 0: 1 (1 Na ordering)", "x = 0.5: 10 (3 Na orderings)"]


def test_strata_of_both_sublattices_are_named(words, half_filled, cif_with_charges, tmp_path):
    cif_with_charges(half_filled(high=(0, 2), vacancies=(0, 3)), tmp_path / "reference.cif")
    found = words(
        working_ion=sodium("1/2", pick=[{"file": "reference.cif"}, {"lowest": 3}]),
        charge={"pick": {"reference": "reference.cif", "sample": 1}},
        end_members=False,
    )
    assert found == ["x = 0.5: 4 (3 Na orderings: 1 from files, 2 lowest; 1 reference, 3 sampled)"]


def test_a_free_charge_order_is_named(words):
    assert words(charge="free", end_members=False) == ["x = 0.5: 3 (3 Na orderings; 3 free)"]


def test_what_is_only_the_best_found_says_so(words, tmp_path):
    """48 iron sites are too many to visit: annealed, and sampled without a list."""
    working = bits_from_hex("ffffffff0000", 48)
    large = OrderingCatalogue.of("olivine-NaFePO4", "Fe2+/Fe3+", supercell=[1, 3, 4], at=working)
    write_cif(tmp_path / "sodium.cif", large.sample(1)[0], large.cell, large.couple)
    found = words(
        supercell=[1, 3, 4],
        working_ion=sodium("2/3", file="sodium.cif"),
        charge={"pick": [{"lowest": 2}, {"sample": 3}]},
        end_members=False,
    )
    text = "x = 0.666667: 5 (1 Na ordering: 1 from files; 2 best found (annealed, not proven lowest), 3 sampled)"
    assert found == [text]
