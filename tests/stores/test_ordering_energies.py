"""Energies of orderings from calculations: which count, in which supercell, and what is left out."""

import numpy as np
import pytest
from valenceflow.inputs.charge_states import get_couple
from valenceflow.inputs.hosts import get_host
from valenceflow.inputs.orderings.group import bits_from_hex
from valenceflow.inputs.supercells import HostSupercell
from valenceflow.stores.connect import sqlite_stores
from valenceflow.stores.ordering_energies import ordering_energies_of

FE = get_couple("Fe2+/Fe3+")


@pytest.fixture
def stores(tmp_path):
    """An empty store."""
    return sqlite_stores(tmp_path / "store.sqlite")


@pytest.fixture
def put(stores, olivine):
    """Function that puts a calculation with its configuration into the store."""

    def keep(name, key, energy, cell=olivine, **changes):
        configuration = {
            "configuration_id": name, "host_hash": cell.host.content_hash, "supercell": cell.matrix_array.tolist(),
            "couple": FE.name,
        }  # fmt: skip
        fields = {
            "calculation_id": f"{name}-1", "configuration_id": name, "campaign": "c", "intended_key": key,
            "achieved_key": key, "relation": "kept", "counts": True, "state": "completed", "energy": energy,
            "engine": "vasp", "protocol": "paper-2026", "protocol_hash": "0123456789", "latest": True,
        }  # fmt: skip
        stores.collection("configurations").update([configuration])
        stores.collection("calculations").update([{**fields, **changes}])

    return keep


def test_orderings_come_with_their_energies_and_whose_they_are(stores, put, olivine):
    put("a", "6.5", -10.0)
    put("b", "f.free", -12.0, relation="measured", achieved_key="f.0")
    put("c", "3.5", -11.0, relation="equivalent", achieved_key="c.a")
    found = ordering_energies_of(stores, olivine, FE)
    order = np.argsort(found.energies)
    assert found.energies[order].tolist() == [-12.0, -11.0, -10.0]
    keys = [("f", "0"), ("3", "5"), ("6", "5")]
    assert np.array_equal(found.working[order], [bits_from_hex(working, 4) for working, _ in keys])
    assert np.array_equal(found.charge[order], [bits_from_hex(charge, 4) for _, charge in keys])
    assert found.source == "vasp, protocol paper-2026"
    assert found.left_out == {}


def test_what_does_not_count_is_left_out_and_counted(stores, put, olivine):
    put("a", "6.5", -10.0)
    put("b", "6.6", -10.0, counts=False, relation="moved")
    put("c", "3.5", None, counts=False, state="failed")
    put("d", "5.5", None)
    put("e", "66.55", -20.0, cell=HostSupercell.build(get_host("olivine-NaFePO4"), [1, 2, 1]))
    put("f", "6.5", -9.0, latest=False)
    found = ordering_energies_of(stores, olivine, FE)
    assert found.energies.tolist() == [-10.0]
    assert found.left_out == {
        "with a lost ordering or a failed audit": 1,
        "failed": 1,
        "without an energy": 1,
        "of another supercell, host or couple": 1,
    }


def test_engines_and_protocols_are_never_mixed(stores, put, olivine):
    put("a", "6.5", -10.0)
    put("b", "6.6", -10.0, engine="gpaw", protocol="gpaw", protocol_hash="9876543210")
    with pytest.raises(ValueError, match=r"gpaw \(gpaw 98765432\) and vasp \(paper-2026 01234567\) cannot be fitted"):
        ordering_energies_of(stores, olivine, FE)
    assert ordering_energies_of(stores, olivine, FE, engine="gpaw").source == "gpaw, protocol gpaw"


def test_a_campaign_is_asked_for_by_its_name(stores, put, olivine):
    put("a", "6.5", -10.0)
    put("b", "6.6", -11.0, campaign="other")
    assert ordering_energies_of(stores, olivine, FE, campaign="other").energies.tolist() == [-11.0]


def test_nothing_to_fit_says_why(stores, put, olivine):
    with pytest.raises(ValueError, match="no calculation has an energy to fit: there is none"):
        ordering_energies_of(stores, olivine, FE)
    put("b", "6.6", -10.0, counts=False)
    with pytest.raises(ValueError, match="1 with a lost ordering or a failed audit"):
        ordering_energies_of(stores, olivine, FE)
