"""Sets that `export` made, taken back in by what their papers say."""

import json
import shutil

import numpy as np
import pytest
from valenceflow.stores.connect import sqlite_stores
from valenceflow.stores.export.data_set import ExportOptions, export_set
from valenceflow.stores.frames import iter_frames
from valenceflow.stores.splits import SplitPolicy

from ..export.conftest import STATES, relaxation, write_run


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A set of two relaxations in three formats, and the frames that it was made from, in order of energy."""
    place = tmp_path_factory.mktemp("exported")
    source = sqlite_stores(place / "source.sqlite")
    for number in range(2):
        write_run(source, f"run{number}", relaxation(number), lineage=f"lineage{number}", protocol="mine")
    options = ExportOptions(["mace", "cpainn", "parquet"], split=SplitPolicy(fractions=(0.5, 0.5, 0.0)))
    export_set(source, place / "set", options)
    frames = sorted(iter_frames(source), key=lambda frame: frame.doc["energy"])
    source.close()
    return place / "set", frames


@pytest.fixture
def its_copy(exported, tmp_path):
    """A copy of the set that a test may spoil."""
    return shutil.copytree(exported[0], tmp_path / "set")


def same_frames(stores, originals):
    frames = sorted(iter_frames(stores), key=lambda frame: frame.doc["energy"])
    for frame, original in zip(frames, originals, strict=True):
        for name in ("numbers", "lattice", "positions", "forces", "stress", "magmoms"):
            assert np.array_equal(getattr(frame.arrays, name), getattr(original.arrays, name)), name
        for name in ("engine", "protocol", "protocol_hash", "lineage", "energy"):
            assert frame.doc[name] == original.doc[name], name
        assert frame.arrays.intended_states[2:6].tolist() == STATES
    return True


@pytest.mark.parametrize("part", ["", "mace", "cpainn"])
def test_an_exported_set_comes_back_as_it_was(exported, take, stores, part):
    folder, originals = exported
    summary = take(folder / part)
    assert (summary.taken, summary.frames, dict(summary.skipped)) == (2, 12, {})
    assert same_frames(stores, originals)
    assert take(folder / part).unchanged == 2


def test_a_single_file_of_an_exported_set_is_enough(exported, take, stores):
    assert take(exported[0] / "mace" / "train.xyz").taken == 1
    (frame, *_) = iter_frames(stores)
    assert frame.doc["engine"] == "vasp"
    assert np.array_equal(np.asarray(frame.arrays.numbers)[2:6], [26] * 4)


def test_what_a_person_says_goes_first(exported, take, stores):
    take(exported[0], engine="other", stress_unit="none")
    for frame in iter_frames(stores):
        assert (frame.doc["engine"], frame.doc["protocol_hash"]) == ("other", "set-other-mine")
        assert frame.arrays.stress is None


def test_a_set_in_other_formats_says_how_it_can_be_taken(its_copy, take):
    for name in ("mace", "cpainn"):
        shutil.rmtree(its_copy / name)
    summary = take(its_copy)
    assert summary.took_nothing
    assert "export it with --format mace too" in summary.examples["no frame"][0]


def test_a_damaged_species_map_is_a_reason(its_copy, take):
    (its_copy / "species.json").write_text('{"name": "x"}')
    summary = take(its_copy)
    assert summary.took_nothing
    assert "species.json or splits.csv is damaged" in summary.examples["not readable"][0]


@pytest.mark.parametrize("content", ["{", "[]", json.dumps({"document": "valenceflow data set"})])
def test_a_manifest_that_says_nothing_makes_no_exported_set(its_copy, take, content):
    (its_copy / "manifest.json").write_text(content)
    assert take(its_copy).skipped["unknown units"] == 4
