"""Splits: groups are never cut, what leaks is counted, and a random split of frames leaks where ours does not."""

import numpy as np
import pytest
from ase import Atoms
from ase.neighborlist import neighbor_list
from hypothesis import given, settings
from hypothesis import strategies as st
from valenceflow.stores.coverage import frames_by_side, untrained
from valenceflow.stores.export.data_set import clean_split
from valenceflow.stores.export.selection import select_frames
from valenceflow.stores.frame_arrays import FrameArrays
from valenceflow.stores.frame_entries import FrameEntry
from valenceflow.stores.frame_filters import FrameFilters
from valenceflow.stores.frames import Frame, iter_frames
from valenceflow.stores.leakage import fingerprints, leakage_report, neighbour_fingerprint
from valenceflow.stores.splits import SPLITS, Split, SplitPolicy, random_frame_split, split_frames
from valenceflow.stores.thinning import Thinning

from .export.conftest import put, relaxation, stores, twelve  # noqa: F401 - fixtures


def entry(number, lineage, **changes):
    fields = {
        "frame_id": f"{lineage}-{number:06d}", "run_id": lineage, "number": number, "block_id": "b", "row": 0,
        "lineage": lineage, "configuration_id": None, "calculation_id": None, "campaign": None, "host": None,
        "fraction": None, "working_key": None, "intended_key": None, "formula": "NaFePO4",
        "chemsys": "Fe-Na-O-P", "step": "relax", "is_last": False, "n_sites": 28, "energy": -1.0,
        "energy_per_atom": -1.0 + 1e-3 * number, "max_force": 0.1,
        "volume": 300.0, "has_stress": True, "has_magmoms": True, "has_bader": False, "source": "campaign",
        "engine": "vasp", "engine_version": None, "protocol": None, "protocol_hash": "p",
    }  # fmt: skip
    return FrameEntry(**{**fields, **changes})


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.integers(1, 9), st.sampled_from("ABC")), min_size=3, max_size=40), st.integers(0, 9))
def test_lineages_and_orderings_are_never_cut_and_order_does_not_matter(sizes, seed):
    entries = [
        entry(n, f"lineage{k}", formula=formula, host="h", intended_key=f"{formula}{k // 2}")
        for k, (size, formula) in enumerate(sizes)
        for n in range(size)
    ]
    policy = SplitPolicy(seed=seed)
    split = split_frames(entries, policy)
    for field in ("lineage", "ordering"):
        sides = {}
        for e in entries:
            sides.setdefault(getattr(e, field), set()).add(split.places[e.frame_id])
        assert all(len(found) == 1 for found in sides.values())
    assert split_frames(entries[::-1], policy).places == split.places
    assert set(split.places) == {e.frame_id for e in entries}


def test_proportions_are_kept_in_every_stratum():
    entries = [entry(n, f"{f}{k}", formula=f) for f in ("A", "B") for k in range(200) for n in range(5)]
    split = split_frames(entries, SplitPolicy())
    for formula in ("A", "B"):
        counts = [sum(split.places[e.frame_id] == side for e in entries if e.formula == formula) for side in SPLITS]
        assert np.allclose(np.array(counts) / 1000, (0.8, 0.1, 0.1), atol=0.01)


@pytest.mark.parametrize(
    ("by", "field"), [("working ordering", "working_key"), ("composition", "formula"), ("host", "host")]
)
def test_coarser_groups_are_not_cut_either(by, field):
    entries = [entry(0, f"lineage{k}", **{"host": "h", field: f"g{k % 12}"}) for k in range(60)]
    split = split_frames(entries, SplitPolicy(by=by, stratify="none"))
    sides = {}
    for e in entries:
        sides.setdefault(getattr(e, field), set()).add(split.places[e.frame_id])
    assert all(len(found) == 1 for found in sides.values())
    assert set(split.places.values()) == set(SPLITS)


def test_another_seed_is_another_draw():
    entries = [entry(0, f"lineage{k}") for k in range(40)]
    assert split_frames(entries, SplitPolicy(seed=1)).places != split_frames(entries, SplitPolicy(seed=2)).places


def test_benchmarks_are_held_out_with_their_groups():
    entries = [entry(n, f"lineage{k}", campaign=f"c{k}") for k in range(10) for n in range(3)]
    split = split_frames(entries, SplitPolicy(held_out=("c4", "lineage7-000001")))
    held = {e.lineage for e in entries if split.places[e.frame_id] == "benchmark"}
    assert held == {"lineage4", "lineage7"}
    whole = [entry(0, f"lineage{k}", working_key=f"{k // 2}") for k in range(10)]
    split = split_frames(whole, SplitPolicy(held_out=("3",)))
    assert {e.lineage for e in whole if split.places[e.frame_id] == "benchmark"} == {"lineage6", "lineage7"}
    with pytest.raises(ValueError, match="held out: nothing is no frame"):
        split_frames(entries, SplitPolicy(held_out=("nothing",)))


def test_a_key_of_several_cells_is_named_with_its_cell():
    entries = [
        entry(0, f"{host}{cell}{k}", host=host, supercell=cell, working_key=f"{k}", intended_key=f"{k}.1")
        for host, cell in (("a", "1x1x1"), ("a", "1x2x1"), ("b", "1x2x1"))
        for k in range(3)
    ]

    def held(*names):
        split = split_frames(entries, SplitPolicy(held_out=names))
        return {e.lineage for e in entries if split.places[e.frame_id] == "benchmark"}

    assert held("2@1x1x1") == held("2.1@1x1x1") == held("2@1x1x1@a") == {"a1x1x12"}
    assert held("2@1x2x1@b", "0@1x1x1") == {"b1x2x12", "a1x1x10"}
    with pytest.raises(
        ValueError, match=r"2 is a key of several cells; name those that you mean: 2@1x1x1@a, 2@1x2x1@a"
    ):
        held("2")
    with pytest.raises(ValueError, match=r"2@1x2x1 is a key of several cells; .* 2@1x2x1@a, 2@1x2x1@b"):
        held("2@1x2x1")


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.integers(1, 9), st.integers(2, 5)), min_size=2, max_size=8), st.integers(0, 9))
def test_every_composition_of_several_lineages_is_trained_on(compositions, seed):
    entries = [
        entry(n, f"lineage{f}-{k}", formula=f"F{f}")
        for f, (size, lineages) in enumerate(compositions)
        for k in range(lineages)
        for n in range(size)
    ]
    split = split_frames(entries, SplitPolicy(seed=seed))
    assert {e.formula for e in entries if split.places[e.frame_id] == "train"} == {e.formula for e in entries}
    assert untrained(frames_by_side(entries, split, {})) == {}


@pytest.mark.parametrize("seed", range(10))
def test_end_members_of_one_lineage_are_trained_on_and_other_sides_have_their_share_all_the_same(seed):
    entries = [entry(n, f"mixed{k}", formula="mixed") for k in range(40) for n in range(5)]
    entries += [entry(n, formula, formula=formula) for formula in ("charged", "discharged") for n in range(20)]
    split = split_frames(entries, SplitPolicy(seed=seed))
    assert {split.places[e.frame_id] for e in entries if e.formula != "mixed"} == {"train"}
    assert split.counts == pytest.approx({"train": 192, "valid": 24, "test": 24}, abs=5)


@pytest.mark.parametrize("seed", range(10))
def test_a_set_whose_compositions_have_one_lineage_each_has_all_sides(seed):
    entries = [entry(n, f"lineage{k}", formula=f"F{k}") for k in range(40) for n in range(5)]
    split = split_frames(entries, SplitPolicy(seed=seed))
    assert split.counts == pytest.approx({"train": 160, "valid": 20, "test": 20}, abs=5)


def test_compositions_and_states_without_a_training_frame_are_found():
    entries = [entry(0, f"lineage{k}", formula=f"F{k % 3}", host=f"h{k % 3}") for k in range(6)]
    split = Split({e.frame_id: "test" if e.formula == "F1" else "train" for e in entries}, {})
    counts = frames_by_side(entries, split, {"train": {"Fe2+": 4}, "test": {"Fe2+": 2, "Fe3+": 1}})
    assert counts["charge state"]["Fe2+"] == {"train": 4, "valid": 0, "test": 2}
    assert untrained(counts) == {"formula": ["F1"], "host": ["h1"], "charge state": ["Fe3+"]}


@pytest.mark.parametrize("fractions", [(0.8, 0.1), (0.9, 0.2, -0.1), (0.5, 0.1, 0.1), (float("nan"), 0.5, 0.5)])
def test_fractions_must_sum_to_one(fractions):
    with pytest.raises(ValueError, match="give three for train, valid and test"):
        SplitPolicy(fractions=fractions)


def test_a_random_split_of_frames_leaks_where_ours_does_not(twelve):  # noqa: F811
    entries = select_frames(twelve, FrameFilters()).entries
    ours = leakage_report(entries, split_frames(entries, SplitPolicy()), fingerprints(twelve))
    theirs = leakage_report(entries, random_frame_split(entries, SplitPolicy()), fingerprints(twelve))
    assert ours.is_clean
    assert theirs.lineages_cut >= 5
    assert theirs.near_duplicates >= 10


@pytest.mark.parametrize("spread", [1.0, 0.15])  # evenly, or in a corner, so that the next neighbours are far off
def test_neighbour_distances_are_those_of_ases_neighbour_list(spread):
    draw = np.random.default_rng(7)
    lattice = np.array([[8.0, 0.0, 0.0], [6.0, 5.0, 0.0], [2.0, 3.0, 6.0]])
    scaled = spread * draw.random((14, 3))
    numbers = np.array([8] * 10 + [26] * 4, dtype=np.uint8)
    arrays = FrameArrays(numbers, lattice, scaled @ lattice, np.zeros((14, 3)), scaled_positions=scaled)
    found = neighbour_fingerprint(Frame({}, arrays))
    atoms = Atoms(numbers, cell=lattice, scaled_positions=scaled, pbc=True)
    sites, distances = neighbor_list("id", atoms, 12.0)
    nearest = np.array([np.sort(distances[sites == site])[:8] for site in range(14)])
    expected = [np.sort(nearest[numbers == number], axis=0).ravel() for number in (8, 26)]
    assert np.allclose(found, np.concatenate(expected), atol=1e-9)


def test_a_symmetry_image_in_another_lineage_is_found(stores, put):  # noqa: F811
    frames = relaxation(0)
    put("one", frames, lineage="a")
    turned = []
    order = np.r_[1, 0, 2, 3, 4, 5, np.arange(6, 10)[::-1], np.arange(10, 26)[::-1]]
    rotation = np.linalg.qr(np.random.default_rng(3).normal(size=(3, 3)))[0]
    for frame in frames:
        scaled = (np.array(frame.scaled_positions) + 0.37)[order]
        lattice = np.array(frame.lattice) @ rotation
        changes = {"lattice": lattice, "scaled_positions": scaled, "positions": scaled @ lattice}
        turned.append(type(frame)(**{**{f: getattr(frame, f) for f in frame.__dataclass_fields__}, **changes}))
    put("two", turned, lineage="b")
    put("three", relaxation(9), lineage="c")
    one, two, three = (
        next(f for f in iter_frames(stores) if f.doc["run_id"] == name) for name in ("one", "two", "three")
    )
    assert np.allclose(neighbour_fingerprint(one), neighbour_fingerprint(two), atol=1e-9)
    assert not np.allclose(neighbour_fingerprint(one), neighbour_fingerprint(three), atol=0.05)
    entries = select_frames(stores, FrameFilters()).entries
    apart = Split({e.frame_id: "test" if e.lineage == "b" else "train" for e in entries}, {})
    report = leakage_report(entries, apart, fingerprints(stores))
    assert (report.lineages_cut, report.copies, report.near_duplicates) == (0, 0, 6)
    assert report.pairs == {("b", "a")}
    assert clean_split(stores, select_frames(stores, FrameFilters()), SplitPolicy(seed=4))[1].is_clean
    together = split_frames(entries, SplitPolicy(), [("a", "b")])
    assert leakage_report(entries, together, fingerprints(stores)).is_clean


def never(entry):
    raise AssertionError("frames that differ in formula are not compared")


def test_copies_by_key_are_counted_across_a_random_split():
    entries = [entry(0, f"lineage{k}", host="h", intended_key=f"k{k // 4}", formula=f"F{k}") for k in range(40)]
    assert leakage_report(entries, random_frame_split(entries, SplitPolicy()), never).copies > 0
    assert leakage_report(entries, split_frames(entries, SplitPolicy()), never).copies == 0


def test_thinning_keeps_the_ends_and_what_differs():
    run = [entry(n, "a", energy_per_atom=-float(n), max_force=1.0 / (n + 1)) for n in range(11)]
    assert [e.number for e in Thinning(every=4).kept(run)] == [0, 4, 8, 10]
    assert [e.number for e in Thinning(energy=2.5).kept(run)] == [0, 3, 6, 9, 10]
    assert [e.number for e in Thinning(force=0.45).kept(run)] == [0, 1, 10]
    assert list(Thinning().kept(run)) == run
    with pytest.raises(ValueError, match="every 0 frames; give 1 or more"):
        Thinning(every=0)
