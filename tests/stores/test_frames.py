"""Frames in the store: every number comes back exactly, streams stay small, filters and side of the surrogate step."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from pymatgen.core import Lattice
from valenceflow.stores.connect import COLLECTIONS, sqlite_stores
from valenceflow.stores.frame_arrays import BLOCK_BYTES, FrameArrays, FrameBlock, block_of, frames_per_block
from valenceflow.stores.frame_filters import NEEDED, NOTHING_LEFT_OUT, PAPER_SUBSET, FrameFilters, exclusions
from valenceflow.stores.frame_writer import FrameWriter
from valenceflow.stores.frames import RunDoc, iter_frame_docs, iter_frames, oxidation_states
from valenceflow.stores.ingest_run import RunFacts, StepFrame, atomic_numbers, parts_of
from valenceflow.stores.sqlite_json import decode, encode

SYMBOLS = ["Na", "Fe", "Fe", "P", "O", "O", "O", "O"]


def step_frame(number, n_sites=8, **changes):
    generator = np.random.default_rng(number)
    lattice = np.eye(3) * 7 + np.round(generator.normal(size=(3, 3)) * 0.1, 8)
    scaled = np.round(generator.random((n_sites, 3)), 8)
    fields = {
        "lattice": lattice, "scaled_positions": scaled, "positions": scaled @ lattice, "energy": -50.0 - number,
        "forces": np.round(generator.normal(size=(n_sites, 3)), 8), "stress": generator.normal(size=(3, 3)) / 100,
        "magmoms": np.round(generator.normal(size=n_sites), 3),
    }  # fmt: skip
    return StepFrame(**{**fields, **changes})


def facts(run_id="run", **changes):
    fields = {
        "run_id": run_id, "source": "vasp folder", "lineage": run_id, "numbers": atomic_numbers(SYMBOLS),
        "engine": "vasp", "protocol_hash": "p", "step": "relax",
    }  # fmt: skip
    return RunFacts(**{**fields, **changes})


def run_doc(run_id="run"):
    return RunDoc(run_id=run_id, source="vasp folder", place=f"here:{run_id}", checksum="c", state="taken")


@pytest.fixture
def stores(tmp_path):
    opened = sqlite_stores(tmp_path / "store.sqlite")
    yield opened
    opened.close()


def put(stores, frames, **changes):
    made = facts(**changes)
    with FrameWriter(stores) as writer:
        writer.add(run_doc(made.run_id), parts_of(made, frames, {}))


numbers = st.one_of(st.floats(-1e3, 1e3), st.integers(-(10**10), 10**10).map(lambda n: n / 1e8))


@settings(deadline=None)
@given(arrays.arrays(float, (3, 2, 3), elements=numbers), arrays.arrays(float, (3, 2), elements=numbers))
def test_every_number_survives_json_and_binary_exactly(forces, magmoms):
    frames = [
        FrameArrays(np.array([26, 8], dtype=np.uint8), np.eye(3), forces[n], forces[n], magmoms=magmoms[n])
        for n in range(3)
    ]
    block = FrameBlock.from_document(decode(encode(block_of("run", 0, frames).as_document())))
    for number in range(3):
        found = block.frame(number)
        assert np.array_equal(found.forces, forces[number])
        assert np.array_equal(found.positions, forces[number])
        assert np.array_equal(found.magmoms, magmoms[number])
        assert found.stress is None


def test_numbers_as_vasp_prints_them_take_half_the_room():
    printed = np.round(np.random.default_rng(0).normal(size=(500, 3)), 8)
    frame = FrameArrays(np.full(500, 8, dtype=np.uint8), np.eye(3), printed, printed)
    document = block_of("run", 0, [frame]).as_document()
    assert document["forces"]["kind"] == "<i4"
    longer = FrameArrays(np.full(500, 8, dtype=np.uint8), np.eye(3), printed / 3, printed / 3)
    assert block_of("run", 0, [longer]).as_document()["forces"]["kind"] == "<f8"


def test_blocks_are_small_and_hold_at_least_one_frame():
    assert frames_per_block(160) * 160 * 8 * 8 < BLOCK_BYTES
    assert frames_per_block(160) > 10
    assert frames_per_block(10**6) == 1


def test_fractional_coordinates_are_those_of_pymatgen(stores):
    put(stores, [step_frame(1, scaled_positions=None)])
    (frame,) = iter_frames(stores)
    expected = Lattice(frame.arrays.lattice).get_fractional_coords(frame.arrays.positions)
    assert np.allclose(frame.arrays.frac_coords, expected, atol=1e-12)


def test_frames_come_back_in_order_with_what_each_of_them_has(stores):
    made = [
        step_frame(n, stress=None if n % 2 else np.eye(3) * n, magmoms=None if n == 3 else np.arange(8.0))
        for n in range(70)
    ]
    put(stores, made, initial_magmoms=np.full(8, 5.0), intended_states=np.arange(8, dtype=np.int8))
    found = list(iter_frames(stores, batch=7))
    assert [frame.doc["number"] for frame in found] == list(range(70))
    for frame, original in zip(found, made, strict=True):
        assert np.array_equal(frame.arrays.positions, original.positions)
        assert (frame.arrays.stress is None) == (original.stress is None)
        assert (frame.arrays.magmoms is None) == (original.magmoms is None)
        assert frame.doc["has_stress"] == (original.stress is not None)
        assert frame.arrays.intended_states.tolist() == list(range(8))
    assert [frame.doc["is_last"] for frame in found] == [False] * 69 + [True]


def test_a_filter_and_a_choice_of_fields(stores):
    put(stores, [step_frame(n) for n in range(5)], run_id="a")
    put(stores, [step_frame(n + 10) for n in range(3)], run_id="b", engine="other")
    found = list(iter_frames(stores, {"engine": "other"}, properties=["energy"]))
    assert [frame.doc["energy"] for frame in found] == [-60.0, -61.0, -62.0]
    assert set(found[0].doc) == {"energy", "frame_id", "block_id", "row"}
    assert found[0].arrays.forces.shape == (8, 3)


def test_a_longer_stream_needs_no_more_memory(stores):
    put(stores, [step_frame(n, n_sites=64) for n in range(1200)], numbers=np.full(64, 8, dtype=np.uint8))

    def peak(criteria):
        tracemalloc.start()
        count = sum(1 for _ in iter_frames(stores, criteria, batch=100))
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return count, found

    peak({"number": {"$lt": 10}})  # what is imported and cached on the way is not what is measured
    short, long = peak({"number": {"$lt": 300}}), peak({})
    assert (short[0], long[0]) == (300, 1200)
    assert long[1] < 1.3 * short[1]


def test_frames_of_several_cells_in_one_run_are_kept_apart(stores):
    made = [step_frame(n, n_sites=m, numbers=np.full(m, 8, dtype=np.uint8)) for n, m in enumerate((2, 2, 3, 2))]
    put(stores, made)
    assert [len(frame.arrays.numbers) for frame in iter_frames(stores)] == [2, 2, 3, 2]
    assert [frame.doc["n_sites"] for frame in iter_frames(stores)] == [2, 2, 3, 2]


def test_bytes_that_are_too_few_are_said(stores):
    put(stores, [step_frame(1)])
    arrays_of = stores.collection("frame_arrays")
    block = next(arrays_of.query({}))
    arrays_of.update([{**block, "n_sites": 9}])
    with pytest.raises(ValueError, match="is not 1 frames of 9 sites"):
        next(iter_frames(stores))


LABEL = {
    "verdict": "resolved", "source": "moments", "couples": [], "redox_elements": ["Fe"], "states": [2, 3],
    "confidences": [1.0, 0.7], "fixed": {"Na": 1, "P": 5, "O": -2}, "charge": 3, "n_high": 1, "confidence": 0.7,
    "as_intended": None, "bader_agrees": None, "transition": False, "labelling_id": "l", "reason": "",
}  # fmt: skip


@pytest.fixture
def labelled(stores):
    """Ten frames; the first is as it should be, each of the others has one thing wrong."""
    put(stores, [step_frame(n) for n in range(10)], run_id="a")
    put(stores, [step_frame(20)], run_id="ga", has_surrogate=True, step="surrogate relax")
    frames = stores.collection("frames")
    changes = [
        {}, {"scf_converged": False}, {"drift": ["ENCUT"], "drifted": True}, {"label": None},
        {"label": {**LABEL, "verdict": "ambiguous"}}, {"label": {**LABEL, "transition": True}}, {"path_image": True},
        {"audit_passed": False}, {"run_finished": False}, {"label": {**LABEL, "as_intended": False}},
    ]  # fmt: skip
    documents = list(iter_frame_docs(stores))
    frames.update([{**d, "label": LABEL, **change} for d, change in zip(documents, changes, strict=True)])
    return stores


SWITCHES = {"salvaged": True, "lost": True, "elements": PAPER_SUBSET, "engine": "vasp", "least_confidence": 0.5}


@pytest.mark.parametrize(
    "filters",
    [
        FrameFilters(), FrameFilters(**SWITCHES), NOTHING_LEFT_OUT, FrameFilters(least_confidence=0.9),
        FrameFilters(engine="gpaw"), FrameFilters(formulas=frozenset({"NaFe2PO4"})), FrameFilters(protocol_hash="q"),
    ],
)  # fmt: skip
def test_what_a_filter_keeps_and_what_it_names_a_reason_for_are_one_whole(labelled, filters):
    kept = {document["frame_id"] for document in iter_frame_docs(labelled, filters.criteria())}
    reasons = {d["frame_id"]: filters.reason_against(d) for d in iter_frame_docs(labelled, properties=NEEDED)}
    assert kept == {name for name, reason in reasons.items() if reason is None}
    counted = exclusions(labelled, filters)
    assert sum(counted.values()) == 11 - len(kept)
    assert counted["surrogate step"] == 1


def test_each_switch_has_its_own_reason(labelled):
    counted = exclusions(labelled, FrameFilters(**SWITCHES))
    assert counted == {
        "SCF not converged": 1, "drifted inputs": 1, "not labelled": 1, "charge states: ambiguous": 1,
        "transition state": 2, "audit not passed": 1, "run was cut off": 1, "ordering lost": 1, "surrogate step": 1,
    }  # fmt: skip
    only_iron = FrameFilters(elements=frozenset({"Fe", "O"}))
    assert exclusions(labelled, only_iron)["outside the chemical subset"] == 10


def test_oxidation_states_are_there_only_where_they_are_resolved(labelled):
    frames = list(iter_frames(labelled))
    assert oxidation_states(frames[0]).tolist() == [1, 2, 3, 5, -2, -2, -2, -2]
    assert oxidation_states(frames[3]) is None
    assert oxidation_states(frames[4]) is None


def test_frames_lie_beside_the_data_store_unless_that_one_is_a_blob_store(tmp_path):
    spec = sqlite_stores(tmp_path / "docs.sqlite")
    data = sqlite_stores(tmp_path / "data.sqlite")
    apart = type(spec)(spec.docs_spec, data.data_spec)
    assert apart.collection("frames").path == str(tmp_path / "data.sqlite")
    assert apart.collection("calculations").path == str(tmp_path / "docs.sqlite")
    blobs = type(spec)(spec.docs_spec, {"@module": "maggma.stores", "@class": "GridFSStore", "collection_name": "fs"})
    assert blobs._spec_beside("frames") == spec.docs_spec
    assert {"runs", "frames", "frame_arrays", "labellings"} <= set(COLLECTIONS)
    apart.close()
