"""`valenceflow hull`: stable phases, voltages or why there are none, and how two hulls agree; figures from a store."""

import json
import sqlite3

import pytest
from valenceflow.stores.connect import sqlite_stores

from ..analysis.made_up import FE, METAL, calculation, campaign


@pytest.fixture(scope="module")
def store(tmp_path_factory, olivine):
    """A store with one campaign by two engines, the second 10 meV/f.u. higher at one ordering."""
    path = tmp_path_factory.mktemp("hull") / "store.sqlite"
    stores = sqlite_stores(path)
    host = {**olivine.host.model_dump(exclude={"structure"}, mode="json")}
    host["structure"] = olivine.host.structure.as_dict()
    about = {"campaign": "made-up", "host": host, "supercell": [[1, 0, 0], [0, 1, 0], [0, 0, 1]]}
    stores.collection("campaigns").update([{**about, "couple": FE.model_dump(mode="json")}])
    documents = campaign(olivine).calculations
    of_configuration = ("configuration_id", "campaign", "working_bits")
    stores.collection("configurations").update([{name: c[name] for name in of_configuration} for c in documents])
    stores.collection("calculations").update(documents)
    changed = {"3.3": 0.01}
    other = [
        {**c, "engine": "vasp", "calculation_id": f"v-{c['calculation_id']}",
         "energy_per_fu": c["energy_per_fu"] + changed.get(c["intended_key"], 0.0)}
        for c in documents
    ]  # fmt: skip
    stores.collection("calculations").update(other)
    stores.collection("references").update([METAL])
    stores.close()
    return path


@pytest.fixture
def small(tmp_path, olivine, write_campaign):
    """Function that writes calculations into the store of campaign small; returns the file and the store."""

    def write(calculations, engine="rehearsal:springs"):
        stores = sqlite_stores(tmp_path / "small" / "store.sqlite")
        host = {**olivine.host.model_dump(exclude={"structure"}, mode="json")}
        host["structure"] = olivine.host.structure.as_dict()
        about = {"campaign": "small", "host": host, "supercell": [[1, 0, 0], [0, 1, 0], [0, 0, 1]]}
        stores.collection("campaigns").update([{**about, "couple": FE.model_dump(mode="json")}])
        asked = [{"configuration_id": c["configuration_id"], "working_bits": c["working_bits"]} for c in calculations]
        asked = asked or [{"configuration_id": "3.5", "working_bits": [True] * 4}]
        stores.collection("configurations").update([{**c, "campaign": "small", "engine": engine} for c in asked])
        stores.collection("calculations").update([{**c, "campaign": "small"} for c in calculations])
        stores.close()
        return write_campaign(tmp_path, "my.yaml"), tmp_path / "small" / "store.sqlite"

    (tmp_path / "small").mkdir()
    return write


def test_stable_phases_and_voltages_are_shown(call, store):
    answer = call("hull", store, "--engine", "rehearsal:springs")
    assert answer.code == 0, answer
    assert "REHEARSAL, not DFT" in answer.out
    assert answer.out.count("stable") == 3
    assert "against bcc Na" in answer.out


def test_two_engines_agree_where_they_do_and_voltages_of_the_one_without_metal_are_refused(call, store):
    answer = call("hull", store, "--engine", "vasp", "--against-engine", "rehearsal:springs", "--json")
    about = json.loads(answer.out)
    assert about["against"]["mae"] == pytest.approx(10 / 4)
    assert about["against"]["largest"] == pytest.approx(10)
    assert about["against"]["stable_in_both"] == ["3.3"]
    assert "voltages need the metal Na by vasp" in about["voltages"]["refused"]
    assert "4 orderings that both have" in call("hull", store, "--engine", "vasp", "--against-engine", "vasp").out


def test_engines_are_never_mixed(refused, store):
    assert "which do not compare: say --engine" in refused("hull", store)
    assert "say --engine" in refused("figures", store, "--to", store.parent / "figs")


def test_figures_of_a_store_are_written(call, store, tmp_path):
    answer = call("figures", store, "--engine", "vasp", "--to", tmp_path, "--only", "fig1,fig2c")
    assert answer.code == 0, answer
    assert sorted(path.name for path in tmp_path.glob("*.csv")) == ["fig1.csv", "fig2c.csv"]


def test_what_is_missing_is_made_by_the_engine_that_made_the_rest(call, refused, small, olivine, tmp_path):
    path, store = small([c for c in campaign(olivine).calculations if c["fraction"] > 0])
    run = f"`valenceflow run {path} --engine rehearsal:springs` makes what is missing"
    assert run in refused("hull", path)
    assert run in call("figures", path, "--to", tmp_path / "figures", "--only", "fig2c").out
    assert f"`valenceflow run {path} --engine rehearsal:chgnet` computes" in refused(
        "hull", path, "--engine", "rehearsal"
    )
    assert f"`valenceflow run {path} --engine gpaw` computes" in refused("hull", path, "--engine", "gpaw")
    said = refused("hull", store)
    assert "`valenceflow run CAMPAIGN.yaml --engine rehearsal:springs` (with the file of campaign small) makes" in said


def test_a_campaign_without_a_calculation_is_run_by_the_engine_that_was_asked(refused, small):
    path, _ = small([])
    run = f"`valenceflow run {path} --engine rehearsal:springs`"
    assert run in refused("hull", path)
    assert run in refused("report", path)


def test_a_lost_end_member_is_retried_as_lost(refused, small, olivine):
    lost = {"counts": False, "relation": "moved"}
    found = [{**c, **lost} if c["fraction"] == 0 else c for c in campaign(olivine).calculations]
    path, _ = small(found)
    said = refused("hull", path)
    assert "x = 0 was computed and does not count (lost: moved)" in said
    assert f"`valenceflow retry {path} --engine rehearsal:springs --reason lost --only 0.f`" in said


def test_a_failed_end_member_is_known_though_it_has_no_energy(refused, small, olivine):
    failed = {"counts": False, "state": "failed", "relation": "not read", "energy_per_fu": None, "energy": None}
    path, _ = small([{**c, **failed} if c["fraction"] == 1 else c for c in campaign(olivine).calculations])
    assert (
        f"(failed), so there is no hull; `valenceflow retry {path} --engine rehearsal:springs --only f.0`"
        in refused("hull", path)
    )


def test_an_energy_that_is_a_text_is_one_line_with_store_and_ordering(refused, call, small, olivine, tmp_path):
    path, store = small([*campaign(olivine).calculations, calculation(olivine, "3", "9", 1.0, energy_per_fu="-44.1")])
    for command in (("hull",), ("figures", "--to", tmp_path / "figures")):
        said = refused(command[0], path, *command[1:])
        assert f"{store}: rehearsal:springs, protocol paper-2026: the energy of 3.9 is no number" in said
        assert "(energy_per_fu '-44.1')" in said
        assert "--only 3.9`" in said


def test_a_document_that_is_no_json_is_named(refused, small, olivine):
    path, store = small(campaign(olivine).calculations)
    with sqlite3.connect(store) as connection:
        connection.execute("UPDATE calculations SET doc = replace(doc, '-43.985', '-1e999') WHERE doc LIKE '%\"3.6\"%'")
    connection.close()
    said = refused("hull", path)
    assert f"{store}: the document of calculation_id 3.6-1, intended_key 3.6 in calculations cannot be read" in said
    assert "valenceflow rebuild" in said


def test_hulls_without_a_common_ordering_are_told_by_their_files(refused, store, small, olivine):
    apart = [c for c in campaign(olivine).calculations if c["fraction"] in (0, 1)]
    _, other = small([*apart, calculation(olivine, "5", "5", -30.0)])
    said = refused("hull", store, "--engine", "rehearsal:springs", "--against", other)
    assert f"{other} (rehearsal:springs, protocol paper-2026) and {store} (rehearsal" in said
    assert "run the orderings of one in the other too" in said


@pytest.mark.parametrize("columns", [40, 60, 80])
def test_no_terminal_is_too_narrow_for_the_compositions(call, store, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    shown = call("hull", store, "--engine", "vasp").out
    for x in ("1.000", "0.750", "0.500", "0.000"):
        assert f" {x} " in shown
    assert "…" not in shown


def test_a_figure_of_an_energy_that_is_none_is_not_made(call, small, olivine, tmp_path):
    wrong = calculation(olivine, "3", "9", float("nan"))
    path, _ = small([*campaign(olivine).calculations, wrong])
    answer = call("figures", path, "--to", tmp_path / "figures")
    for name in ("fig1", "fig2c", "fig3", "fig4"):
        line = next(line for line in answer.out.splitlines() if line.strip().startswith(name))
        assert "the energy of 3.9 is no number (energy_per_fu nan)" in line
        assert f"`valenceflow retry {path} --engine rehearsal:springs --only 3.9`" in line
    assert not list((tmp_path / "figures").glob("fig[1-4]*"))


def test_a_moment_that_is_none_is_not_drawn_and_numbers_are_json(call, small, olivine, tmp_path):
    found = campaign(olivine).calculations
    path, _ = small(found)
    assert call("figures", path, "--to", tmp_path / "whole", "--only", "fig5a").code == 0
    json.loads((tmp_path / "whole" / "fig5a.json").read_text(), parse_constant=pytest.fail)
    step = found[2]["steps"]["relax"]
    step["first_magmoms"] = [float("nan")] * len(step["first_magmoms"])
    path, _ = small(found)
    answer = call("figures", path, "--to", tmp_path / "figures", "--only", "fig5a")
    assert answer.code == 1
    assert "a moment of 3.3 is no number" in answer.out
    assert "no figure could be made" in answer.out
    assert not (tmp_path / "figures").exists()


def test_figures_of_what_lies_between_say_why_nothing_there_counts(call, small, olivine, tmp_path):
    lost = {"counts": False, "relation": "moved"}
    path, _ = small([{**c, **lost} if 0 < c["fraction"] < 1 else c for c in campaign(olivine).calculations])
    answer = call("figures", path, "--to", tmp_path / "figures")
    for name in ("fig2c", "fig3", "fig4"):
        line = next(line for line in answer.out.splitlines() if line.strip().startswith(name))
        assert "4 computed there are left out (4 lost: moved)" in line
        assert f"`valenceflow retry {path} --engine rehearsal:springs --reason lost`" in line
