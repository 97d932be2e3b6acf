"""`export` at the command line: a set from ingested folders, and one line where something must be changed."""

import json
import os
import signal
import time

import ase.io
import pytest
from valenceflow.potentials import reading_back
from valenceflow.stores.connect import sqlite_stores
from valenceflow.stores.export import files

from ..stores.export.conftest import label, put, relaxation, stores, twelve  # noqa: F401 - fixtures


@pytest.fixture
def store(twelve, tmp_path):  # noqa: F811
    """A store's file with twelve labelled runs."""
    return tmp_path / "store.sqlite"


def test_a_set_is_made_and_described(store, tmp_path, call):
    answer = call(
        "export", "--store", store, "--to", tmp_path / "set", "--format", "mace,parquet", "--no-check", "--every", 2,
        "--hold-out", "lineage3", "--licence", "CC-BY-4.0",
    )  # fmt: skip
    assert answer.code == 0, answer.err
    assert "48 frames in 6 groups" in answer.out
    assert "24  thinned" in answer.out
    assert "mace: NOT read back" in answer.out
    assert "leakage between the sides: none" in answer.out
    assert "Licence: CC-BY-4.0." in (tmp_path / "set" / "README.md").read_text()
    assert len(ase.io.read(tmp_path / "set" / "mace" / "benchmark.xyz", index=":")) == 8


def test_json_is_the_manifest(store, tmp_path, call):
    answer = call("export", "--store", store, "--to", tmp_path / "set", "--format", "parquet", "--json")
    assert json.loads(answer.out) == json.loads((tmp_path / "set" / "manifest.json").read_text())


def test_few_groups_and_a_rehearsal_are_said(put, tmp_path, call):  # noqa: F811
    put("a", relaxation(0), engine="rehearsal:springs")
    answer = call("export", "--store", tmp_path / "store.sqlite", "--to", tmp_path / "set", "--format", "parquet")
    assert answer.out.startswith("REHEARSAL, not DFT: rehearsal:springs")
    assert "nothing in valid, test: there are too few groups, and none is ever cut (1 in all)" in answer.out


def test_what_training_has_no_frame_of_is_said_on_the_screen_and_in_the_card(put, tmp_path, call):  # noqa: F811
    put("a", relaxation(0))
    put("b", relaxation(1), doc={"formula": "FePO4"}, marked=label(states=[3, 3, 3, 3]))
    put("c", relaxation(2), doc={"formula": "NaFePO4"}, marked=label(states=[2, 2, 2, 2]))
    where = ("--store", tmp_path / "store.sqlite", "--format", "parquet")
    answer = call("export", *where, "--to", tmp_path / "one", "--hold-out", "a", "--hold-out", "b")
    card = (tmp_path / "one" / "README.md").read_text()
    for said in (answer.out, card):
        assert "no training frame of formula FePO4: benchmark 6" in said
        assert "no training frame of charge state Fe3+: benchmark 12" in said
        assert "no training frame of formula NaFePO4" not in said
    assert "nothing in valid, test: there are too few groups that are not held out" in answer.out
    all_out = call("export", *where, "--to", tmp_path / "two", "--fractions", "0,0.5,0.5")
    assert "nothing in" not in all_out.out
    assert "no training frame" not in all_out.out


def test_a_store_in_the_place_of_a_campaign_is_known(store, tmp_path, refused):
    said = refused("export", store, "--to", tmp_path / "set", "--format", "mace")
    assert said.endswith(f"is a store and no campaign file: give it as --store {store}")


def test_a_store_without_frames_is_told_the_build_that_makes_them(tmp_path, refused, write_campaign):
    (tmp_path / "small").mkdir()
    begun = sqlite_stores(tmp_path / "small" / "store.sqlite")
    begun.collection("campaigns").update([{"campaign": "small"}])
    begun.close()
    path, arguments = write_campaign(tmp_path), ("--to", tmp_path / "set", "--format", "mace")
    assert f"no frames to export yet; `valenceflow build {path}` makes" in refused("export", path, *arguments)
    store = tmp_path / "small" / "store.sqlite"
    assert f"`valenceflow build --store {store}` makes" in refused("export", "--store", store, *arguments)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--format", "mace"], "say where to: --to FOLDER"),
        (["--to", "set"], "say which format"),
        (["--to", "set", "--format", "xyz"], "format 'xyz' is unknown"),
        (["--to", "set", "--format", "mace", "--keep", "all"], "filter 'all' is unknown"),
        (["--to", "set", "--format", "mace", "--keep", "drifted", "--leave-out", "drifted"], "not both"),
        (["--to", "set", "--format", "mace", "--fractions", "1"], "give three for train"),
        (["--to", "set", "--format", "mace", "--fractions", "a,b"], "give three numbers"),
        (["--to", "set", "--format", "mace", "--fractions", "nan,0.5,0.5"], "give three for train"),
        (["--to", "set", "--format", "mace", "--split-by", "frame"], "grouping 'frame' is unknown"),
        (["--to", "set", "--format", "mace", "--stratify", "x"], "stratification 'x' is unknown"),
        (["--to", "set", "--format", "mace", "--species-map", "mine"], "unknown species map 'mine'"),
        (["--to", "set", "--format", "mace", "--elements", "Na,Xx"], "'Xx' is no element symbol"),
        (["--to", "set", "--format", "mace", "--engine", "gpaw"], "another engine (72)"),
        (["--to", "set", "--format", "mace", "--formula", "LiFePO4"], "another composition (72)"),
        (["--to", "set", "--format", "mace", "--surrogate", "both"], "choose exclude or only"),
        (["--to", "set", "--format", "mace", "--hold-out", "nobody"], "held out: nobody"),
        (["--to", "set", "--format", "mace", "--energy-step", "nan"], "energy step nan eV/atom; give a finite number"),
        (["--to", "set", "--format", "mace", "--force-step", "inf"], "force step inf eV/A; give a finite number"),
        (["--to", "set", "--format", "mace", "--least-confidence", "nan"], "least confidence nan: give a number"),
        (["--to", "no/where/set", "--format", "mace"], "does not exist; make it first"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(arguments, said, store, tmp_path, monkeypatch, refused):
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.iterdir())
    assert said in refused("export", "--store", store, *arguments)
    assert sorted(tmp_path.iterdir()) == before


def test_a_set_that_a_scheduler_ends_leaves_nothing(store, tmp_path, call, monkeypatch):
    def ended(frame, of_model):
        assert sorted(path.name[:13] for path in tmp_path.glob(".set*")) == [".set.lock", ".set.partial-"]
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(5)

    monkeypatch.setattr(files, "extxyz_frame", ended)
    before, handler = sorted(tmp_path.iterdir()), signal.getsignal(signal.SIGTERM)
    answer = call("export", "--store", store, "--to", tmp_path / "set", "--format", "mace")
    assert answer.code == 130
    assert sorted(tmp_path.iterdir()) == before
    assert signal.getsignal(signal.SIGTERM) == handler


def test_reading_back_ends_with_who_asked_for_it(tmp_path, monkeypatch):
    loader = tmp_path / "loader"
    loader.write_text(f"#!/bin/sh\necho $$ > {tmp_path}/pid\necho mace 1\nexec sleep 60\n")
    loader.chmod(0o755)
    monkeypatch.setattr(reading_back.sys, "executable", str(loader))

    def interrupt(*said):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        reading_back.read_back(tmp_path, ["mace"], interrupt)
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


@pytest.mark.slow
def test_a_set_is_read_back_through_the_trainers_loaders(store, tmp_path, call):
    answer = call(
        "export", "--store", store, "--to", tmp_path / "set", "--format", "mace,chgnet,cpainn,parquet,aselmdb"
    )
    assert answer.code == 0, answer.err
    for line in ("mace: read back with mace-torch", "chgnet: read back with chgnet", "aselmdb: read back with mace"):
        assert line in answer.out
