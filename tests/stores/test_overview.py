"""How far a campaign is, counted in the store."""

import pytest
from valenceflow.stores.connect import sqlite_stores
from valenceflow.stores.failure_groups import failure_groups
from valenceflow.stores.overview import fraction_overviews

ENGINE = "rehearsal:springs"


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
