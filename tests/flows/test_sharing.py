"""Campaigns of one store that ask for the same configurations."""

import pytest
from valenceflow.flows.campaign_file import read_campaign
from valenceflow.flows.manifest import MANIFEST_FILE, read_manifest
from valenceflow.flows.rebuild import rebuild
from valenceflow.flows.retry import mark_for_retry, next_attempt
from valenceflow.flows.runner import campaign_stores, make_folder, plan, prepare
from valenceflow.stores.builders import build_calculations
from valenceflow.stores.documents import FailureDoc, StepIntent
from valenceflow.stores.failure_groups import failure_groups
from valenceflow.stores.integrity import document_problems
from valenceflow.stores.overview import engine_asked, fraction_overviews
from valenceflow.stores.query import Question, find
from valenceflow.stores.sharing import BY_CAMPAIGN, documents_of, sharing_of

ENGINE = "rehearsal:springs"
STORE = """JOB_STORE:
  docs_store: {type: SQLiteStore, path: store.sqlite, collection: jobs}
  additional_stores: {data: {type: SQLiteStore, path: store.sqlite, collection: data}}
"""


@pytest.fixture
def started(tmp_path, write_campaign):
    """Function that starts a campaign in the common store and runs nothing of it."""
    (tmp_path / "store.yaml").write_text(STORE)

    def start(name, orderings, charge):
        sodium = {"Na": {"fraction": "1/2", "orderings": orderings}}
        fields = {"name": name, "working_ion": sodium, "charge": charge, "store": "store.yaml"}
        campaign = read_campaign(write_campaign(tmp_path, f"{name}.yaml", end_members=True, **fields))
        make_folder(campaign.folder)
        return campaign, open_again(campaign)

    return start


def open_again(campaign):
    return prepare(campaign, ENGINE, plan(campaign, ENGINE))


@pytest.fixture
def both(started):
    """One campaign with every ordering, and one after it with a few of the same."""
    first, _ = started("first", {"all": True}, {"all": True})
    second, _ = started("second", {"lowest": 1}, {"sample": 2, "seed": 1})
    return first, second


def fail(campaign, configuration, reason="killed"):
    """Leave a FailureDoc as a job of this campaign does, and take it in."""
    prepared = open_again(campaign)
    ((step, uuid), *_) = configuration.job_uuids.items()
    failure = FailureDoc(
        step=step, uuid=uuid, reason=reason, message="m", remedy="r", exception="e", folder="f",
        intent=StepIntent(campaign=campaign.file.name, configuration_id=configuration.configuration_id),
    )  # fmt: skip
    metadata = {"campaign": campaign.file.name, "configuration_id": configuration.configuration_id}
    envelope = {"uuid": uuid, "index": 1, "output": failure.model_dump(mode="json"), "metadata": metadata}
    prepared.stores.docs().update([envelope], key=["uuid", "index"])
    assert build_calculations(prepared.stores, campaign.cell, prepared.configurations) == 1
    prepared.stores.close()


def counts(stores, name):
    return {row.fraction: (row.total, dict(row.states)) for row in fraction_overviews(stores, name)}


def test_a_later_campaign_leaves_the_earlier_one_as_it_was_and_says_what_it_shares(both):
    _, second = both
    stores = open_again(second).stores
    assert counts(stores, "first") == {1.0: (1, {}), 0.5: (10, {}), 0.0: (1, {})}
    assert counts(stores, "second") == {1.0: (1, {}), 0.5: (2, {}), 0.0: (1, {})}
    mine = {c.configuration_id: c for c in read_manifest(second.folder)}
    assert set(sharing_of(stores, "second").shared) == set(mine)
    assert sharing_of(stores, "first").shared == {}
    read = list(documents_of(stores, "configurations", "second"))
    assert {c["configuration_id"]: (c["stratum"], c["sample_weight"], c["job_uuids"]) for c in read} == {
        name: (c.stratum, c.sample_weight, c.job_uuids) for name, c in mine.items()
    }
    theirs = {c["configuration_id"]: c for c in documents_of(stores, "configurations", "first")}
    assert {c["stratum"] for c in theirs.values()} == {"all", "end member"}
    assert all(c["campaign"] == "first" for c in theirs.values())
    assert engine_asked(stores, "second") == ENGINE


def test_a_calculation_counts_in_every_campaign_that_asks_for_it(both):
    first, second = both
    mine = next(c for c in read_manifest(second.folder) if c.fraction == 0.5)
    fail(second, mine)  # the later campaign computed it
    stores = open_again(first).stores
    for name in ("first", "second"):
        assert counts(stores, name)[0.5][1] == {"failed": 1}
        ((found),) = documents_of(stores, "calculations", name)
        assert (found["configuration_id"], found["campaign"]) == (mine.configuration_id, name)
        assert [group.count for group in failure_groups(stores, name)] == [1]
        ((asked),) = find(stores, Question(campaign=name))
        assert asked["configuration_id"] == mine.configuration_id
    said = {name: next(documents_of(stores, "calculations", name)) for name in ("first", "second")}
    assert {name: said[name]["stratum"] for name in said} == {"first": "all", "second": "sample"}
    assert said["second"]["sample_weight"] == mine.sample_weight
    assert list(find(stores, Question(campaign="third"))) == []
    for campaign in both:
        configurations = read_manifest(campaign.folder)
        assert list(document_problems(stores, campaign.file.name, configurations)) == []


def test_another_attempt_is_one_of_every_campaign_that_asks_for_it(both):
    first, second = both
    mine = next(c for c in read_manifest(second.folder) if c.fraction == 0.5)
    fail(second, mine)
    (marked,) = mark_for_retry(second, ENGINE)
    assert marked.attempt == 2
    (found,) = (c for c in open_again(first).todo if c.configuration_id == mine.configuration_id)
    assert (found.campaign, found.attempt) == ("first", 2)
    assert not set(found.job_uuids.values()) & set(marked.job_uuids.values())
    stores = open_again(second).stores
    assert counts(stores, "first") == {1.0: (1, {}), 0.5: (10, {}), 0.0: (1, {})}
    for campaign in both:
        assert list(document_problems(stores, campaign.file.name, read_manifest(campaign.folder))) == []
    # And the other way round, where the campaign that is told last has lost its manifest.
    fail(first, found)
    (again,) = mark_for_retry(first, ENGINE)
    (second.folder / MANIFEST_FILE).unlink()
    (found,) = (c for c in open_again(second).configurations if c.configuration_id == mine.configuration_id)
    assert (again.attempt, found.attempt, found.campaign) == (3, 3, "second")


def test_what_a_campaign_alone_decides_are_fields_of_configurations_and_calculations():
    from valenceflow.stores.documents import ChargeOrderedCalculationDoc, ConfigurationDoc

    for model in (ConfigurationDoc, ChargeOrderedCalculationDoc):
        assert set(BY_CAMPAIGN) <= set(model.model_fields)


def test_a_step_that_passed_is_kept_by_the_campaign_whose_job_it_was_and_by_no_other(both):
    first, second = both
    mine = next(c for c in read_manifest(second.folder) if c.fraction == 0.5)
    theirs = next(c for c in read_manifest(first.folder) if c.configuration_id == mine.configuration_id)
    passed = {"document": "VaspStepDoc", "audit": {"passed": True}, "uuid": mine.job_uuids["surrogate relax"]}
    kept, new = (next_attempt(c, {"surrogate relax": passed}).job_uuids["surrogate relax"] for c in (mine, theirs))
    assert kept == mine.job_uuids["surrogate relax"]
    assert new not in {kept, theirs.job_uuids["surrogate relax"]}


def test_a_store_in_which_a_later_campaign_took_a_configuration_over_is_mended_by_the_next_run(both):
    first, second = both
    mine = next(c for c in read_manifest(second.folder) if c.fraction == 0.5)
    theirs = next(c for c in read_manifest(first.folder) if c.configuration_id == mine.configuration_id)
    fail(first, theirs)
    stores = open_again(first).stores
    for name in ("first", "second"):  # as they were before `CampaignDoc.shared`
        campaigns = stores.collection("campaigns")
        campaigns.update([{**campaigns.query_one({"campaign": name}, {"_id": 0}), "shared": {}}])
    stores.collection("configurations").update([mine.model_dump(mode="json")])
    assert counts(stores, "second")[0.5] == (1, {})
    for campaign in both:
        open_again(campaign).stores.close()
        assert counts(stores, "first")[0.5] == (10, {"failed": 1})
    assert counts(stores, "second")[0.5] == (2, {"failed": 1})
    (found,) = stores.collection("calculations").query({})
    assert (found["campaign"], found["stratum"]) == ("second", "sample")


def test_both_campaigns_are_rebuilt_in_either_order_at_the_last_attempt(both):
    first, second = both
    mine = next(c for c in read_manifest(second.folder) if c.fraction == 0.5)
    fail(second, mine)
    mark_for_retry(second, ENGINE)
    for order in ((first, second), (second, first)):
        for file in second.folder.parent.glob("store.sqlite*"):
            file.unlink()
        for campaign in (*order, *order):
            done = rebuild(campaign, campaign_stores(campaign))
            assert done.differing == []
        stores = campaign_stores(first)
        assert counts(stores, "first") == {1.0: (1, {}), 0.5: (10, {}), 0.0: (1, {})}
        assert counts(stores, "second") == {1.0: (1, {}), 0.5: (2, {}), 0.0: (1, {})}
        stored = stores.collection("configurations").query_one({"configuration_id": mine.configuration_id})
        assert (stored["campaign"], stored["attempt"]) == (order[0].file.name, 2)
        for campaign in both:
            assert list(document_problems(stores, campaign.file.name, read_manifest(campaign.folder))) == []
