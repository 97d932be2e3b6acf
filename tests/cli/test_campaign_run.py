"""A campaign through the command line on `springs`: run, look, run again, retry."""

import json
import re

import pytest
from valenceflow.stores.connect import sqlite_stores

SPRINGS = ("--engine", "rehearsal:springs")
ONE_SODIUM_ORDERING = {"Na": {"fraction": "1/2", "orderings": {"sample": 1}}}


@pytest.fixture(scope="module")
def finished(tmp_path_factory, write_campaign, shell):
    """Both end members and the charge orderings of one sodium ordering, run by two workers."""
    folder = tmp_path_factory.mktemp("campaign")
    path = write_campaign(folder, working_ion=ONE_SODIUM_ORDERING)
    answer = shell("run", path, *SPRINGS, "--workers", 2)
    assert answer.code in (0, 1), answer
    assert answer.err == ""
    return path, answer.out


@pytest.fixture
def path(finished):
    return finished[0]


def calculations(path):
    return list(sqlite_stores(path.parent / "small" / "store.sqlite").collection("calculations").query({}))


def run_folders(path):
    return sorted((path.parent / "small" / "runs").glob("*/*/*"))


def test_every_configuration_has_its_document(path):
    documents = calculations(path)
    planned = sqlite_stores(path.parent / "small" / "store.sqlite").collection("configurations").count({})
    assert len(documents) == planned >= 5
    assert len({d["calculation_id"] for d in documents}) == planned
    for document in documents:
        assert document["state"] in ("completed", "audit failed")
        assert document["engine"] == "rehearsal:springs"
        assert document["steps"]
        assert "frames" not in document["steps"].get("relax", {})


def test_half_filled_orderings_come_out_as_they_were_meant(path):
    half = [d for d in calculations(path) if d["fraction"] == 0.5]
    assert len(half) >= 3
    assert all(d["relation"] in ("kept", "equivalent") and d["achieved_key"] == d["intended_key"] for d in half)
    assert all(d["counts"] and d["energy_per_fu"] == pytest.approx(d["energy"] / 4) for d in half)
    assert all(sum(moment > 4.2 for moment in d["magmoms_redox"]) == d["n_high"] for d in half)


def test_the_table_shows_what_was_meant_what_came_out_and_that_it_is_a_rehearsal(finished):
    path, printed = finished
    assert "REHEARSAL" in printed
    for document in calculations(path):
        assert document["intended_key"] in printed
    assert re.search(r"0\.500 +6\.\w +6\.\w +kept", printed)
    assert f"{len(calculations(path))} of {len(calculations(path))} configurations done" in printed


def test_the_first_line_says_how_many_configurations_there_are(finished):
    path, printed = finished
    assert printed.splitlines()[0].startswith(f"small: {len(calculations(path))} configurations; x = 1: 1")


def test_a_second_run_does_nothing(path, call):
    before = run_folders(path)
    answer = call("run", path, *SPRINGS)
    assert " 0 to run with 1 worker;" in answer.out
    assert run_folders(path) == before


def test_status_as_json_counts_by_fraction(path, call):
    content = json.loads(call("status", path, "--json").out)["small"]
    assert content["running"] is False
    assert content["failures"] == []
    rows = {row["fraction"]: row for row in content["fractions"]}
    assert {fraction: row["total"] for fraction, row in rows.items()} == {
        1.0: 1,
        0.5: len(calculations(path)) - 2,
        0.0: 1,
    }
    assert all(row["missing"] == 0 and row["engine"] == "rehearsal:springs" for row in rows.values())
    assert rows[0.5]["relations"] == {"kept": rows[0.5]["total"]}


def test_status_and_query_by_store_show_the_same(path, call):
    store = path.parent / "small" / "store.sqlite"
    by_file, by_store = (json.loads(call("status", *where, "--json").out) for where in ((path,), ("--store", store)))
    assert by_file["small"]["fractions"] == by_store["small"]["fractions"]
    assert call("query", path, "--json").out == call("query", "--store", store, "--json").out
    assert (
        call("query", "--store", path.parent / "small" / "store.yaml", "--json").out
        == call("query", path, "--json").out
    )


def test_query_filters_sorts_and_picks_columns(path, call):
    def query(*options):
        return json.loads(call("query", path, "--json", *options).out)

    half = query(
        "--x", "0.4:0.6", "--columns", "intended_key,energy_per_fu,steps.relax.step", "--sort", "-energy_per_fu"
    )
    assert [row["energy_per_fu"] for row in half] == sorted((row["energy_per_fu"] for row in half), reverse=True)
    assert all(set(row) == {"intended_key", "energy_per_fu", "steps.relax.step"} for row in half)
    assert {row["steps.relax.step"] for row in half} == {"relax"}
    assert len(query("--x", "0.5", "--limit", 2)) == 2
    assert query("--ordering", "lost") == []
    assert {row["relation"] for row in query("--ordering", "kept")} == {"kept"}
    assert query("--engine", "vasp") == []
    assert query("--state", "failed") == []


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--ordering", "losst"), "--ordering 'losst' is unknown; choose one of lost"),
        (("--state", "done"), "--state 'done' is unknown; choose one of completed"),
        (("--engine", "vsp"), "--engine 'vsp' is unknown"),
        (("--columns", "fraction,nonsense"), "no field 'nonsense' in a calculation; there are"),
        (("--sort", "enregy"), "no field 'enregy'"),
    ],
)
def test_a_slip_in_a_query_is_said_and_not_taken_for_an_empty_answer(path, refused, options, said):
    assert said in refused("query", path, *options)


def test_query_as_a_table_names_the_engine(path, call):
    printed = call("query", path, "--x", "1").out
    assert "1 calculation, engine rehearsal:springs" in printed


@pytest.mark.parametrize("columns", [40, 25])
@pytest.mark.parametrize("command", ["run", "status", "query"])
def test_numbers_stay_whole_on_a_narrow_terminal(command, columns, path, call, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(columns))
    answer = call(command, path, *(SPRINGS if command == "run" else ()))
    assert answer.code in (0, 1)
    assert answer.err == ""
    if columns == 40:
        assert "…" not in answer.out
        assert "0.500" in answer.out
    if command == "query":
        assert all(f"{d['energy_per_fu']:.4f}" in answer.out for d in calculations(path) if d["energy_per_fu"])


def test_status_names_the_next_command(path, call):
    printed = call("status", path).out
    assert "small, rehearsal:springs (REHEARSAL, not DFT): not running" in printed
    failed = any(d["state"] != "completed" for d in calculations(path))
    assert ("valenceflow retry" in printed) == failed


def test_a_campaign_document_keeps_the_file_and_the_protocol(path):
    (document,) = sqlite_stores(path.parent / "small" / "store.sqlite").collection("campaigns").query({})
    assert document["file"] == path.read_text()
    assert document["protocol"]["name"] == "paper-2026"
    assert document["n_operations"] == 8


def test_jobflow_s_own_settings_read_the_store_file(path, monkeypatch):
    from jobflow.settings import JobflowSettings

    monkeypatch.setenv("JOBFLOW_CONFIG_FILE", str(path.parent / "small" / "store.yaml"))
    uuid = calculations(path)[0]["steps"]["relax"]["uuid"]
    with JobflowSettings().JOB_STORE as store:
        assert store.get_output(uuid, load=True)["frames"]["energies"]


def test_every_run_folder_holds_the_document_of_its_run(path):
    for folder in run_folders(path):
        assert (folder / "valenceflow-step.json.gz").exists()


def test_limit_and_only_choose_what_is_run(path, shell, tmp_path, write_campaign, call):
    """Another fraction is added to the file: earlier configurations stay, and of the new ones one is run."""
    grown = write_campaign(tmp_path, working_ion={"Na": {"fraction": ["1/2", "3/4"], "orderings": {"sample": 1}}})
    answer = shell("run", grown, *SPRINGS, "--only", "7.1", "--only", "f.0", "--limit", 1)
    assert " 1 to run with 1 worker;" in answer.out
    rows = json.loads(call("query", grown, "--json").out)
    assert [row["intended_key"] for row in rows] == ["f.0"]
    overview = json.loads(call("status", grown, "--json").out)["small"]["fractions"]
    assert sum(row["missing"] for row in overview) == sum(row["total"] for row in overview) - 1
    assert "missing: valenceflow run" in call("status", grown).out
