"""How far a campaign is, counted in the store."""

import pytest
from valenceflow.stores.connect import sqlite_stores
from valenceflow.stores.failure_groups import failure_groups
from valenceflow.stores.overview import finished_among, fraction_overviews

ENGINE = "rehearsal:springs"
WRONG_ENGINE = {"findings": [{"code": "engine", "severity": "failure", "message": "run as vasp, but written by it"}]}


def failure(reason, number):
    return {
        "document": "FailureDoc",
        "reason": reason,
        "message": f"{reason} {number}",
        "remedy": f"mend {reason}",
        "folder": f"host:/runs/{number}",
    }


def calculation(number, state="completed", relation="kept", fraction=0.5, latest=True, campaign="small", **changes):
    steps = {"relax": failure(changes.pop("reason", "killed"), number)} if state == "failed" else {}
    fields = {"calculation_id": f"{campaign}-{number}", "configuration_id": str(number), "campaign": campaign}
    fields |= {"state": state, "relation": relation, "fraction": fraction, "engine": ENGINE, "latest": latest}
    return fields | {"steps": steps} | changes


@pytest.fixture
def stores(tmp_path):
    opened = sqlite_stores(tmp_path / "store.sqlite")
    configurations = [
        {
            "configuration_id": f"{campaign}-{n}",
            "campaign": campaign,
            "fraction": x,
            "engine": ENGINE,
            "joint_key": str(n),
        }
        for campaign in ("small", "other")
        for n, x in enumerate([1.0, 0.0, 0.5, 0.5, 0.5, 0.5, 0.5])
    ]
    opened.collection("configurations").update(configurations)
    return opened


def test_every_configuration_is_counted_once_by_fraction_and_state(stores):
    stores.collection("calculations").update(
        [
            calculation(0, fraction=1.0),
            calculation(2),
            calculation(3, relation="moved"),
            calculation(4, state="audit failed", relation="not read"),
            calculation(5, state="failed", relation="not read"),
            calculation(2, campaign="other"),
        ]
    )
    full, half, empty = fraction_overviews(stores, "small")
    assert [row.fraction for row in (full, half, empty)] == [1.0, 0.5, 0.0]
    assert (full.total, full.states, full.missing) == (1, {"completed": 1}, 0)
    assert (half.total, half.missing) == (5, 1)
    assert half.states == {"completed": 2, "audit failed": 1, "failed": 1}
    assert half.relations == {"kept": 1, "moved": 1}
    assert (empty.total, empty.states, empty.missing) == (1, {}, 1)
    assert half.as_dict()["missing"] == 1


def test_an_earlier_attempt_no_longer_counts(stores):
    stores.collection("calculations").update(
        [calculation(2, state="failed", latest=False), calculation(2, calculation_id="again")]
    )
    half = fraction_overviews(stores, "small")[1]
    assert half.states == {"completed": 1}
    assert failure_groups(stores, "small") == []


def test_failures_are_grouped_by_reason_with_their_remedy(stores):
    stores.collection("calculations").update(
        [
            calculation(2, state="failed", reason="killed"),
            calculation(3, state="failed", reason="vasp error"),
            calculation(4, state="failed", reason="vasp error"),
            calculation(5, state="failed", reason="disk", campaign="other"),
        ]
    )
    groups = failure_groups(stores, "small")
    assert [(group.reason, group.count, group.remedy) for group in groups] == [
        ("vasp error", 2, "mend vasp error"),
        ("killed", 1, "mend killed"),
    ]
    assert groups[1].folder == "host:/runs/2"


def test_an_unknown_campaign_has_no_rows(stores):
    assert fraction_overviews(stores, "nowhere") == []
    assert failure_groups(stores, "nowhere") == []


def by_engine(*engines):
    """A store with one configuration at x = 1/2 for each engine."""
    return [
        {"configuration_id": f"c{n}", "campaign": "asked", "fraction": 0.5, "engine": engine, "joint_key": "3"}
        for n, engine in enumerate(engines)
    ]


def test_what_another_engine_wrote_is_counted_where_it_was_asked_for_and_says_who_wrote_it(stores):
    """vasp_cmd was a stand-in: nothing is missing, and nothing counts."""
    stores.collection("configurations").update(by_engine("vasp", "vasp", ENGINE))
    stores.collection("calculations").update(
        [
            calculation("a", "audit failed", campaign="asked", configuration_id="c0", audit=WRONG_ENGINE),
            calculation("b", "completed", campaign="asked", configuration_id="c2"),
        ]
    )
    springs, vasp = fraction_overviews(stores, "asked")
    assert (springs.engine, springs.states, springs.run_by) == (ENGINE, {"completed": 1}, {})
    assert (vasp.engine, vasp.states, vasp.missing) == ("vasp", {"audit failed": 1}, 1)
    assert vasp.run_by == {ENGINE: 1}
    assert vasp.as_dict()["run_by"] == {ENGINE: 1}


def test_it_is_seen_too_where_nothing_was_asked_of_the_engine_that_wrote_it(stores):
    stores.collection("configurations").update(by_engine("vasp"))
    stores.collection("calculations").update(
        [calculation("a", "audit failed", campaign="asked", configuration_id="c0", audit=WRONG_ENGINE)]
    )
    (vasp,) = fraction_overviews(stores, "asked")
    assert (vasp.missing, vasp.run_by) == (0, {ENGINE: 1})


def test_configurations_that_are_no_longer_asked_for_are_not_counted(stores):
    stores.collection("calculations").update(
        [
            calculation(2, configuration_id="small-2"),
            calculation(3, "audit failed", configuration_id="small-3"),
            calculation(4, relation="moved", configuration_id="small-4"),
        ]
    )
    left_out = ["small-1", "small-3", "small-4", "small-5"]
    full, half = fraction_overviews(stores, "small", left_out)
    assert (full.fraction, full.total) == (1.0, 1)  # x = 0 is gone with its only configuration
    assert (half.total, half.states, half.relations, half.missing) == (2, {"completed": 1}, {"kept": 1}, 1)
    assert len(finished_among(stores, left_out)) == 2
    assert finished_among(stores, []) == set()


def test_lost_orderings_are_told_from_those_that_are_as_they_were_meant(stores):
    relations = ["kept", "equivalent", "measured", "moved", "delocalised"]
    stores.collection("calculations").update([calculation(n, relation=r) for n, r in enumerate(relations)])
    half = next(row for row in fraction_overviews(stores, "small") if row.fraction == 0.5)
    assert (half.as_meant, half.lost) == (3, 2)
