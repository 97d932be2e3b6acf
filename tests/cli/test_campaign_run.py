"""A campaign through the command line on `springs`: run, look, run again, retry."""

import json
import re
import shutil

import pytest
from valenceflow.flows.progress import read_progress
from valenceflow.stores.connect import sqlite_stores

SPRINGS = ("--engine", "rehearsal:springs")
ONE_SODIUM_ORDERING = {"Na": {"fraction": "1/2", "orderings": {"sample": 1}}}


@pytest.fixture(scope="module")
def finished(tmp_path_factory, finished_campaign):
    """Both end members and two charge orderings of one sodium ordering, run by two workers."""
    original, printed = finished_campaign
    folder = tmp_path_factory.mktemp("campaign") / "copy"
    shutil.copytree(original.parent, folder)
    return folder / original.name, printed


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
    assert len(documents) == planned == 4
    assert len({d["calculation_id"] for d in documents}) == planned
    for document in documents:
        assert document["state"] in ("completed", "audit failed")
        assert document["engine"] == "rehearsal:springs"
        assert document["steps"]
        assert "frames" not in document["steps"].get("relax", {})


def test_half_filled_orderings_come_out_as_they_were_meant(path):
    half = [d for d in calculations(path) if d["fraction"] == 0.5]
    assert len(half) == 2
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


@pytest.mark.parametrize("x", ["1/2", "0.5", " 1 / 2 ", "1/2:1/2", "0.4:3/5"])
def test_a_fraction_is_asked_for_as_people_write_it(x, path, call):
    found = json.loads(call("query", path, "--json", "--x", x).out)
    assert len(found) == sum(d["fraction"] == 0.5 for d in calculations(path)) > 0


@pytest.mark.parametrize("x", ["1/0", "1:b", "half", "1e999999999"])
def test_what_is_no_fraction_is_refused(x, path, refused):
    assert "give a fraction such as 0.5 or 1/2" in refused("query", path, "--x", x)


def test_columns_are_asked_for_by_the_names_in_the_tables_and_by_their_fields(path, call):
    by_name = call("query", path, "--json", "--columns", "x,meant,achieved,ordering", "--sort", "-x").out
    fields = "fraction,intended_key,achieved_key,relation"
    assert json.loads(by_name) == json.loads(call("query", path, "--json", "--columns", fields, "--sort", "-x").out)
    assert list(json.loads(by_name)[0]) == fields.split(",")
    heads = [call("query", path, "--columns", columns).out.splitlines()[2] for columns in ("x,meant", "fraction,meant")]
    assert heads[0].split() == heads[1].split() == ["x", "meant"]


def test_orderings_as_meant_and_lost_are_all_there_are(path, call):
    found = [len(json.loads(call("query", path, "--json", "--ordering", o).out)) for o in ("as meant", "lost")]
    assert found == [sum(d["energy"] is not None for d in calculations(path)), 0]


def test_a_column_that_is_asked_for_is_there_also_where_all_rows_have_the_same(path, call):
    printed = call("query", path, "--columns", "meant,engine").out
    assert printed.count("rehearsal:springs") == len(calculations(path)) + 1  # and once in the line above
    assert "engine" in printed.splitlines()[2]


@pytest.mark.parametrize(("columns", "broken"), [(200, False), (64, True)])
def test_headers_are_broken_only_where_the_terminal_is_narrow(columns, broken, path, call, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(columns))
    printed = call("query", path).out
    assert ("energy_per_fu" not in printed) is broken
    assert all(f"{d['energy_per_fu']:.4f}" in printed for d in calculations(path) if d["energy_per_fu"])


def test_moments_are_shown_to_two_places(path, call):
    found = next(d for d in calculations(path) if d["fraction"] == 0.5)
    assert " ".join(f"{m:.2f}" for m in found["magmoms_redox"]) in call("query", path, "--columns", "magmoms_redox").out


def test_where_an_engine_has_nothing_the_others_are_named(path, call):
    printed = call("query", path, "--engine", "vasp").out
    assert "0 calculations" in printed
    assert f"none of engine vasp; there are {len(calculations(path))} of rehearsal:springs" in printed


def test_query_as_a_table_names_the_engine(path, call):
    printed = call("query", path, "--x", "1").out
    assert "1 calculation, engine rehearsal:springs" in printed


def test_the_log_says_what_the_launcher_did_and_has_no_warning_that_nobody_can_act_on(path):
    lines = (path.parent / "small" / "run.log").read_text().splitlines()
    assert all(re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} (INFO|WARNING) ", line) for line in lines)
    assert not any("POTCAR data with symbol" in line or "cd is deprecated" in line for line in lines)
    told = [line for line in lines if " INFO launcher: " in line]
    for document in calculations(path):
        name = f"x = {document['fraction']:.3f} {document['intended_key']} "
        assert any(f"{name}started in " in line for line in told)
        assert any(f"INFO {name.strip()}: " in line for line in lines)  # a line of its worker
        assert any(f"{name}{document['state'] if not document['counts'] else 'as meant'}" in line for line in told)
    assert told[-1].endswith("the run ends")


def test_what_a_run_took_is_left_for_the_next_one(path):
    progress = read_progress(path.parent / "small")
    assert progress.timed >= len(calculations(path))
    assert progress.seconds > 0
    assert progress.size > 1000 * len(calculations(path))
    assert progress.busy == {}


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


@pytest.mark.slow
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


@pytest.mark.slow
def test_a_changed_file_is_planned_on_request_and_its_run_says_what_is_new(shell, tmp_path, write_campaign, call):
    """Half of it is run; then x = 1/2 gives way to x = 3/4, and the end members are no longer asked for."""
    own = write_campaign(tmp_path, working_ion=ONE_SODIUM_ORDERING)
    assert shell("run", own, *SPRINGS, "--only", "f.0").code == 0
    total = sqlite_stores(tmp_path / "small" / "store.sqlite").collection("configurations").count({})
    write_campaign(tmp_path, working_ion={"Na": {"fraction": ["3/4"], "orderings": {"sample": 1}}}, end_members=False)
    new = json.loads(call("status", own, "--plan", "--json").out)["small"]["changed"]["rehearsal:springs"]
    assert (new["fields"], new["left_out"], new["problem"]) == (["working_ion", "end_members"], total, "")
    assert new["new"] >= 1
    said = call("status", own, "--plan").out
    assert f"{new['new']} configurations new, {total} no longer asked for" in said
    answer = shell("run", own, *SPRINGS, "--only", "7.1")
    assert f"since the last run: {new['new']} configurations new, {total} no longer asked for" in answer.out
    assert f"1 of {new['new']} configurations done" in answer.out
    assert "1 more in the store, which the campaign file no longer asks for" in answer.out
    content = json.loads(call("status", own, "--json").out)["small"]
    assert content["changed"] == {}
    assert content["no_longer_asked"] == {"configurations": total, "calculations": 1}
    assert {row["fraction"] for row in content["fractions"]} == {0.75}
    write_campaign(tmp_path, working_ion={"Na": {"fraction": "1/3", "orderings": {"all": True}}})
    assert "cannot be planned: " in call("status", own, "--plan").out
