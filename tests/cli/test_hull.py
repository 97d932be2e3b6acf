"""`valenceflow hull`: stable phases, voltages or why there are none, and how two hulls agree; figures from a store."""

import json

import pytest
from valenceflow.stores.connect import sqlite_stores

from ..analysis.made_up import FE, METAL, campaign


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
