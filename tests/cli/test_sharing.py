"""A second campaign in the store of the first: what both ask for is computed once and read by each."""

import json

import pytest

SPRINGS = ("--engine", "rehearsal:springs")
STORE = """JOB_STORE:
  docs_store: {type: SQLiteStore, path: store.sqlite, collection: jobs}
  additional_stores: {data: {type: SQLiteStore, path: store.sqlite, collection: data}}
"""


@pytest.fixture(scope="module")
def both(tmp_path_factory, write_campaign, shell):
    """Files of two finished campaigns that share their end members, and what the second run printed."""
    folder = tmp_path_factory.mktemp("shared")
    (folder / "store.yaml").write_text(STORE)
    files = []
    for name, seed in (("first", 1), ("second", 2)):
        sodium = {"Na": {"fraction": "1/2", "orderings": {"sample": 1, "seed": seed}}}
        fields = {"name": name, "working_ion": sodium, "charge": {"sample": 1}, "store": "store.yaml"}
        files.append(write_campaign(folder, f"{name}.yaml", **fields))
        answer = shell("run", files[-1], *SPRINGS)
        assert answer.code == 0, answer
    return *files, answer.out


def test_end_members_are_not_computed_again_and_both_campaigns_have_a_hull(both, call):
    first, second, printed = both
    assert "  1 to run with 1 worker" in printed
    assert "3 of 3 configurations done: 3 as meant" in printed
    for path in (first, second):
        rows = json.loads(call("query", path, "--json").out)
        assert sorted(row["fraction"] for row in rows) == [0.0, 0.5, 1.0]
        (status,) = json.loads(call("status", path, "--json").out).values()
        assert [row["states"] for row in status["fractions"]] == [{"completed": 1}] * 3
        hull = json.loads(call("hull", path, "--json").out)
        assert hull["campaign"] == path.stem
        assert {0.0, 1.0} <= {one["x"] for one in hull["compositions"]}
        checks = [check for check in json.loads(call("doctor", path, "--json").out) if check["name"] == "integrity"]
        assert [check["ok"] for check in checks] == [True]
    assert len(json.loads(call("query", "--store", first.parent / "store.yaml", "--json").out)) == 4


def test_figures_and_report_of_the_second_have_what_the_first_computed(both, call, tmp_path):
    _, second, _ = both
    assert call("figures", second, "--only", "fig2c", "--to", tmp_path / "figures").code == 0
    table = (tmp_path / "figures" / "fig2c.csv").read_text()
    assert "0.5" in table
    answer = call("report", second, "--out", tmp_path / "report.html")
    assert answer.code == 0, answer
    assert "3 calculations" in answer.out


def test_a_campaign_that_was_not_run_is_no_empty_result_of_the_common_store(both, refused, write_campaign):
    third = write_campaign(both[0].parent, "third.yaml", name="third", store="store.yaml")
    for command in ("status", "query"):
        assert "campaign third has not been started; start it with `valenceflow run" in refused(command, third)
