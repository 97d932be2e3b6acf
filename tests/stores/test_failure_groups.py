"""What failed in a campaign, by engine and reason."""

import pytest
from valenceflow.stores.connect import sqlite_stores
from valenceflow.stores.failure_groups import SHOWN_OTHERS, failure_groups

ENGINE = "rehearsal:springs"


def configuration(number, engine=ENGINE):
    return {"configuration_id": str(number), "campaign": "small", "fraction": 0.5, "engine": engine, "joint_key": "3"}


def finding(code, severity="failure"):
    return {"code": code, "severity": severity, "message": f"relax: {code} is wrong"}


def unfit(number, *codes, engine=ENGINE, latest=True):
    """A calculation that did not pass its audit."""
    return {
        "calculation_id": f"{number}-1",
        "configuration_id": str(number),
        "campaign": "small",
        "state": "audit failed",
        "relation": "kept",
        "fraction": 0.5,
        "engine": engine,
        "latest": latest,
        "audit": {"passed": False, "findings": [finding("stress", "warning"), *map(finding, codes)]},
        "steps": {"surrogate relax": {"folder": "host:/runs/1"}, "relax": {"folder": f"host:/runs/{number}"}},
    }


def failed(number, reason="killed", engine=ENGINE):
    step = {"document": "FailureDoc", "reason": reason, "message": "m", "remedy": "r", "folder": "host:/f"}
    return {**unfit(number, engine=engine), "state": "failed", "steps": {"relax": step}}


@pytest.fixture
def groups_of(tmp_path):
    """Function that puts documents into a store and groups what failed."""
    stores = sqlite_stores(tmp_path / "store.sqlite")

    def group(configurations, calculations, left_out=()):
        stores.collection("configurations").update(configurations)
        stores.collection("calculations").update(calculations)
        return failure_groups(stores, "small", left_out)

    return group


def test_failed_audits_are_grouped_by_the_first_failure_that_was_found(groups_of):
    numbers = [configuration(n) for n in range(4)]
    found = groups_of(numbers, [unfit(0, "volume"), unfit(1, "volume", "axes"), unfit(2, "axes"), failed(3)])
    assert {(group.state, group.reason): group.count for group in found} == {
        ("audit failed", "volume"): 2,
        ("audit failed", "axes"): 1,
        ("failed", "killed"): 1,
    }
    volume = next(group for group in found if group.reason == "volume")
    assert (volume.message, volume.folder) == ("relax: volume is wrong", "host:/runs/0")


def test_engines_are_grouped_apart(groups_of):
    found = groups_of(
        [configuration(0), configuration(1, "vasp")], [failed(0), {**failed(1, engine="vasp"), "engine": "vasp"}]
    )
    assert [(group.engine, group.count) for group in found] == [(ENGINE, 1), ("vasp", 1)]


def test_an_output_of_another_engine_is_the_asked_engine_s_failure(groups_of):
    """VASP was asked for, and a stand-in behind vasp_cmd answered."""
    (group,) = groups_of([configuration(0, "vasp")], [unfit(0, "volume", "engine", engine=ENGINE)])
    assert (group.engine, group.reason) == ("vasp", "engine")


def test_earlier_attempts_and_what_is_no_longer_asked_for_are_no_failures(groups_of):
    calculations = [unfit(0, "volume", latest=False), unfit(1, "volume"), failed(2)]
    found = groups_of([configuration(n) for n in range(3)], calculations, left_out=["1", "2"])
    assert found == []


def test_failures_of_one_reason_that_say_different_things_are_told_up_to_a_number(groups_of):
    def saying(number):
        calculation = failed(number)
        calculation["steps"]["relax"] |= {"message": f"m{number // 2}", "folder": f"host:/{number}"}
        return calculation

    (group,) = groups_of([configuration(n) for n in range(20)], [saying(n) for n in range(20)])
    assert group.count == 20
    told = [group.message, *(message for message, _ in group.others)]
    assert len(told) == len(set(told)) == 1 + SHOWN_OTHERS
    assert all(f"m{int(folder.removeprefix('host:/')) // 2}" == message for message, folder in group.others)
