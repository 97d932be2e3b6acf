"""Builders: calculations to frames to labels, incremental and restartable, and run by maggma itself too."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from maggma.core import Builder
from monty.json import MontyDecoder, jsanitize
from valenceflow.inputs.charge_states import LabelWindow, get_couple
from valenceflow.inputs.hosts import get_host
from valenceflow.inputs.supercells import HostSupercell
from valenceflow.stores.builders_frames import FramesBuilder, framed
from valenceflow.stores.builders_labels import LabelsBuilder, labelled
from valenceflow.stores.building import run_builder
from valenceflow.stores.connect import sqlite_stores
from valenceflow.stores.frame_writer import FrameWriter
from valenceflow.stores.frames import iter_frames, oxidation_states
from valenceflow.stores.labelling_choice import (
    choose_labelling,
    current_labelling,
    fit_labelling,
    published_labelling,
)
from valenceflow.stores.trajectories import step_trajectory

CELL = HostSupercell.build(get_host("olivine-NaFePO4"))
STEPS = ("surrogate relax", "relax")


@pytest.fixture(scope="module")
def campaign(half_filled, rehearse, tmp_path_factory):
    """A store with one configuration of a campaign, both steps run on the stand-in; returns its file and uuids."""
    from valenceflow.flows.two_step import TwoStepRelaxMaker

    done = rehearse(TwoStepRelaxMaker().make(half_filled(high=(1, 3))), tmp_path_factory.mktemp("campaign"))
    uuids = {step: done.documents[step].uuid for step in STEPS}
    stores = done.stores
    documents = stores.docs().query({"uuid": {"$in": list(uuids.values())}})
    intent = {"campaign": "small", "configuration_id": "conf", "attempt": 1, "tags": {}}
    stores.docs().update([{**d, "output": {**d["output"], "intent": intent}} for d in documents], key=["uuid", "index"])
    host = CELL.host.model_dump(exclude={"structure"}, mode="json")
    stores.collection("campaigns").update(
        [{"campaign": "small", "host": host, "protocol": {"relax": {"EDIFFG": -0.03}}, "couple": None}]
    )
    stores.collection("configurations").update(
        [
            {
                "configuration_id": "conf",
                "host": "olivine-NaFePO4",
                "fraction": 0.5,
                "working_key": "3",
                "supercell": [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
                "joint_key": "3.5",
            }
        ]
    )
    stores.collection("calculations").update(
        [{"calculation_id": "conf-1", "configuration_id": "conf", "campaign": "small", "latest": True,
          "steps": {step: {"uuid": uuid} for step, uuid in uuids.items()}}]
    )  # fmt: skip
    # Others still hold the file open, so that part of it lies in its log: copied as SQLite copies.
    path = tmp_path_factory.mktemp("copy") / "store.sqlite"
    with closing(sqlite3.connect(done.root / "store.sqlite")) as source, closing(sqlite3.connect(path)) as target:
        source.backup(target)
    return path, uuids


@pytest.fixture
def stores(campaign, tmp_path):
    """A copy of that store."""
    opened = sqlite_stores(shutil.copy(campaign[0], tmp_path / "store.sqlite"))
    yield opened
    opened.close()


def build_frames(stores):
    return list(run_builder(FramesBuilder.of(stores), framed))


def build_labels(stores, labelling=None, **options):
    labelling = labelling or _published(stores)
    return list(run_builder(LabelsBuilder.of(stores, labelling), labelled, **options))


def _published(stores):
    stores.collection("campaigns").remove_docs({})  # the fixture's campaign has no couple of its own
    return published_labelling(stores)


def every_frame(stores):
    return [*iter_frames(stores, surrogate="only"), *iter_frames(stores)]


def test_frames_are_the_trajectories_of_both_steps(campaign, stores):
    build_frames(stores)
    for step, side in zip(STEPS, ("only", "exclude"), strict=True):
        series = step_trajectory(stores, campaign[1][step])
        frames = list(iter_frames(stores, surrogate=side))
        assert [frame.doc["energy"] for frame in frames] == series.energies
        assert frames[-1].arrays.forces.tolist() == series.forces[-1]
        assert frames[-1].arrays.stress.tolist() == series.stresses[-1]
        assert frames[-1].arrays.magmoms.tolist() == series.magmoms[-1]
        assert frames[-1].arrays.frac_coords.tolist() == series.frac_coords[-1]
        assert {frame.doc["step"] for frame in frames} == {step}
        assert frames[-1].doc["relaxed"] is True
    doc = frames[-1].doc
    assert (doc["host"], doc["fraction"], doc["working_key"], doc["intended_key"]) == (
        "olivine-NaFePO4",
        0.5,
        "3",
        "3.5",
    )
    assert (doc["lineage"], doc["calculation_id"], doc["campaign"]) == ("conf", "conf-1", "small")
    assert doc["audit_passed"] is True
    assert doc["supercell"] == "1x1x1"


def test_intended_states_are_neutral_and_on_the_sites_that_were_meant(campaign, stores):
    build_frames(stores)
    build_labels(stores)
    for frame in every_frame(stores):
        intended = frame.arrays.intended_states
        assert int(intended.sum()) == 0
        states = oxidation_states(frame)
        assert states.tolist() == intended.tolist()
        assert frame.doc["label"]["as_intended"] is True
        for symbol, state in zip(frame.arrays.symbols, states, strict=True):
            assert state == 3 if symbol == "Ga" else True


def test_a_second_build_finds_nothing_to_do(stores):
    assert len(build_frames(stores)) == 1
    labelling = _published(stores)
    assert len(build_labels(stores, labelling)) == 2
    before = [frame.doc for frame in every_frame(stores)]
    assert build_frames(stores) == []
    assert build_labels(stores, labelling) == []
    assert [frame.doc for frame in every_frame(stores)] == before


def test_a_build_that_was_killed_goes_on(stores, monkeypatch):
    def killed(self):
        self._write_frames()
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(FrameWriter, "flush", killed)
        with pytest.raises(KeyboardInterrupt):
            build_frames(stores)
    assert stores.collection("runs").count({}) == 0
    build_frames(stores)
    numbers = [(frame.doc["run_id"], frame.doc["number"]) for frame in every_frame(stores)]
    assert len(numbers) == len(set(numbers)) == stores.collection("frames").count({})
    assert stores.collection("runs").count({"source": "campaign"}) == 2


def test_two_processes_label_as_one_does(campaign, stores, tmp_path):
    build_frames(stores)
    labelling = _published(stores)
    build_labels(stores, labelling, processes=2)
    other = sqlite_stores(shutil.copy(campaign[0], tmp_path / "other.sqlite"))
    build_frames(other)
    build_labels(other, labelling)
    assert [frame.doc for frame in every_frame(stores)] == [frame.doc for frame in every_frame(other)]
    other.close()


def test_other_windows_label_anew(stores):
    build_frames(stores)
    labelling = _published(stores)
    build_labels(stores, labelling)
    narrow = LabelWindow(low_max=3.0, high_min=4.9, source="a test")
    iron = get_couple("Fe2+/Fe3+").model_copy(update={"windows": {"rehearsal:springs": narrow}})
    other = published_labelling(stores, [iron])
    assert sum(item["verdicts"].get("ambiguous", 0) for item in build_labels(stores, other)) > 0
    assert {frame.doc["label"]["labelling_id"] for frame in every_frame(stores)} == {other.labelling_id}


def test_windows_fitted_to_the_store_label_as_the_published_ones_do(stores, monkeypatch):
    monkeypatch.setattr("valenceflow.stores.label_windows.FEWEST", 5)  # a few frames must do here
    build_frames(stores)
    labelling, histograms, lines = fit_labelling(stores, _published(stores))
    choose_labelling(stores, labelling, histograms, lines)
    assert current_labelling(stores).labelling_id == labelling.labelling_id
    (name,) = histograms
    assert name == "Fe2+/Fe3+, rehearsal:springs"
    window = histograms[name]["window"]
    assert window["source"].startswith("fitted to")
    assert 3.77 < window["low_max"] < window["high_min"] < 4.33
    assert sum(histograms[name]["counts"]) == histograms[name]["total"]
    build_labels(stores, labelling)
    assert {frame.doc["label"]["verdict"] for frame in every_frame(stores)} == {"resolved"}


def test_a_labelling_that_is_chosen_takes_the_place_of_the_one_before(stores):
    first = _published(stores)
    second = published_labelling(stores, fixed={"Ti": 4})
    for labelling in (first, second, first):
        choose_labelling(stores, labelling)
    assert stores.collection("labellings").count({}) == 2
    assert current_labelling(stores).labelling_id == first.labelling_id


def test_a_calculation_without_a_frame_is_noted_once(stores):
    stores.collection("calculations").update(
        [
            {
                "calculation_id": "none-1",
                "configuration_id": "none",
                "campaign": "small",
                "steps": {"relax": {"uuid": "x"}},
            }
        ]
    )
    build_frames(stores)
    run = stores.collection("runs").query_one({"calculation_id": "none-1"})
    assert (run["state"], run["reason"]) == ("skipped", "failed run")
    assert build_frames(stores) == []


def test_a_retry_does_not_frame_a_step_twice(campaign, stores):
    build_frames(stores)
    before = stores.collection("frames").count({})
    steps = {step: {"uuid": uuid} for step, uuid in campaign[1].items()}
    stores.collection("calculations").update(
        [{"calculation_id": "conf-2", "configuration_id": "conf", "campaign": "small", "latest": True, "steps": steps}]
    )
    assert len(build_frames(stores)) == 1
    assert stores.collection("frames").count({}) == before


def test_frames_that_cannot_be_read_are_said_and_do_not_stop_the_rest(stores):
    data = stores.data()
    blob = next(d for d in data.query({}) if isinstance(d.get("data"), dict) and "symbols" in d["data"])
    data.update([{**blob, "data": {**blob["data"], "energies": ["none"]}}])
    (item,) = build_frames(stores)
    assert len(item["problems"]) == 1
    assert stores.collection("runs").count({"source": "campaign"}) == 1


def test_maggma_runs_the_builders_and_can_send_them(stores):
    path = Path(stores.docs_spec["path"])
    FramesBuilder.of(stores).run()  # it closes its stores when it is done
    labels = LabelsBuilder.of(sqlite_stores(path), _published(sqlite_stores(path)))
    labels.run()
    labelled_by_maggma = every_frame(sqlite_stores(path))
    assert labelled_by_maggma
    assert all(frame.doc["label"] is not None for frame in labelled_by_maggma)
    again = MontyDecoder().process_decoded(jsanitize(labels.as_dict(), strict=True, enum_values=True))
    assert isinstance(again, Builder)
    assert again.labelling == labels.labelling
