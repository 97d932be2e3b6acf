"""Hull and statistics: against pymatgen's CompoundPhaseDiagram, and what stays out of which number."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pymatgen.analysis.phase_diagram import CompoundPhaseDiagram, PDEntry
from pymatgen.core import Composition
from valenceflow.analysis.hull import CompositionBuilder, composed, ordering_statistics
from valenceflow.stores.building import run_builder
from valenceflow.stores.connect import sqlite_stores
from valenceflow.stores.relative_energy import hull_energies

FULL, EMPTY = -46.6835, -42.0  # eV per formula unit
ATOMS = {1.0: 7.0, 0.0: 6.0}


def calculation(name, fraction, energy_mev, **changes):
    """A calculation `energy_mev` above the line between the end members, as `calculations` and `configurations` say."""
    energy = fraction * FULL + (1 - fraction) * EMPTY + energy_mev / 1000
    fields = {
        "calculation_id": f"{name}-1", "configuration_id": name, "campaign": "c", "host": "olivine-NaFePO4",
        "host_hash": "h", "engine": "vasp", "protocol": "paper-2026", "protocol_hash": "p", "fraction": fraction,
        "working_key": "w", "energy_per_fu": energy, "multiplicity": 1, "state": "completed", "counts": True,
        "latest": True, "in_statistics": True, "sample_weight": "arrangements", "n_atoms": round(24 * (6 + fraction)),
        "formula_units": 24, "working_ion": "Na",
    }  # fmt: skip
    return {**fields, **changes}


ENDS = [calculation("full", 1.0, 0.0), calculation("empty", 0.0, 0.0)]


def pymatgen_heights(calculations, normalised):
    entries = [
        PDEntry(
            Composition({"Na": c["fraction"], "Fe": 1, "P": 1, "O": 4}),
            c["energy_per_fu"],
            attribute=c["calculation_id"],
        )
        for c in calculations
    ]
    ends = [Composition("NaFePO4"), Composition("FePO4")]
    diagram = CompoundPhaseDiagram(entries, ends, normalize_terminal_compositions=normalised)
    heights = {}
    for entry in diagram.all_entries:
        heights[entry.original_entry.attribute] = diagram.get_e_above_hull(entry)
    return heights


fractions = st.sampled_from([0.125, 0.25, 1 / 3, 0.5, 2 / 3, 0.75, 0.875])


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(fractions, st.floats(-80, 120)), min_size=1, max_size=12))
def test_heights_above_the_hull_are_those_of_pymatgen(points):
    assume(len({round(e, 6) for _, e in points}) == len(points))
    members = [*ENDS, *(calculation(f"m{n}", x, e) for n, (x, e) in enumerate(points))]
    found = composed({"members": members})["energies"]
    per_fu = pymatgen_heights(members, normalised=False)
    per_atom = pymatgen_heights(members, normalised=True)
    for name, values in found.items():
        assert values["energy_above_hull_mev_per_fu"] == pytest.approx(1000 * per_fu[name], abs=1e-6)
        assert values["energy_above_hull"] == pytest.approx(per_atom[name], abs=1e-9)


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(-50, 50)), max_size=20))
def test_no_point_lies_below_its_hull_and_the_hull_is_convex(points):
    x = np.array([0.0, 1.0, *(p[0] for p in points)])
    energies = np.array([0.0, 0.0, *(p[1] for p in points)])
    hull = hull_energies(x, energies)
    assert np.all(hull <= energies + 1e-9)
    order = np.argsort(x)
    grid = np.linspace(0, 1, 11)
    on_grid = np.interp(grid, x[order], hull[order])
    assert np.all(on_grid[:-2] + on_grid[2:] - 2 * on_grid[1:-1] >= -1e-9)


@pytest.mark.parametrize("points", [([], []), ([0.0, np.nan], [1.0, 2.0])])
def test_a_hull_of_nothing_is_refused(points):
    with pytest.raises(ValueError, match="needs finite points"):
        hull_energies(*points)


def test_relative_energies_are_those_of_equation_one():
    members = [*ENDS, calculation("half", 0.5, -58.2), calculation("higher", 0.5, 12.5)]
    found = composed({"members": members})["energies"]
    assert found["half-1"]["relative_energy_mev_per_fu"] == pytest.approx(-58.2)
    assert found["higher-1"]["energy_above_hull_mev_per_fu"] == pytest.approx(70.7)
    assert found["higher-1"]["energy_above_hull"] == pytest.approx(0.0707 / 6.5)
    assert found["full-1"]["energy_above_hull"] == 0.0


def test_what_was_lost_is_no_corner_of_the_hull():
    members = [*ENDS, calculation("lost", 0.5, -90.0, counts=False), calculation("kept", 0.5, -50.0)]
    made = composed({"members": members})
    assert made["energies"]["kept-1"]["energy_above_hull_mev_per_fu"] == 0.0
    assert made["energies"]["lost-1"]["energy_above_hull_mev_per_fu"] == pytest.approx(-40.0)
    half = next(s for s in made["summaries"] if s["fraction"] == 0.5)
    assert (half["lowest"]["calculation_id"], half["n_calculations"], half["n_counting"]) == ("kept-1", 2, 1)
    assert half["on_hull"] is True


def test_without_an_end_member_nothing_is_relative():
    made = composed({"members": [ENDS[0], calculation("half", 0.5, -10.0)]})
    assert made["energies"] == {}
    assert [summary["on_hull"] for summary in made["summaries"]] == [False, False]


def test_references_and_picked_orderings_stay_out_of_the_statistics():
    sample = [calculation(f"s{n}", 2 / 3, energy) for n, energy in enumerate((10.0, 20.0, 60.0))]
    reference = calculation("reference", 2 / 3, -250.0, in_statistics=False)
    made = composed({"members": [*ENDS, *sample, reference]})
    (summary,) = (s for s in made["summaries"] if 0 < s["fraction"] < 1)
    statistics = summary["statistics"]
    assert statistics["n"] == 3
    assert statistics["mean"] == pytest.approx(30.0)
    assert statistics["standard_deviation"] == pytest.approx(np.std([10, 20, 60], ddof=1))
    assert summary["n_left_out_of_statistics"] == 1
    assert summary["lowest"]["calculation_id"] == "reference-1"
    assert summary["by_working_key"] == {"w": pytest.approx(statistics)}


def test_distinct_orderings_stand_for_their_images():
    found = ordering_statistics([0.0, 30.0], [2, 1])
    assert found["mean"] == pytest.approx(10.0)
    members = [*ENDS, *(calculation(f"a{n}", 0.5, 30.0 * n, multiplicity=2 - n, sample_weight=None) for n in range(2))]
    (summary,) = (s for s in composed({"members": members})["summaries"] if s["fraction"] == 0.5)
    assert summary["statistics"]["mean"] == pytest.approx(10.0)
    assert ordering_statistics([], []) is None


@pytest.fixture
def stores(tmp_path):
    opened = sqlite_stores(tmp_path / "store.sqlite")
    members = [*ENDS, calculation("half", 0.5, -40.0), calculation("other", 0.5, -99.0, engine="gpaw")]
    opened.collection("calculations").update([{**m, "steps": {"relax": {"large": True}}} for m in members])
    opened.collection("configurations").update(members)
    yield opened
    opened.close()


def build(stores):
    return list(run_builder(CompositionBuilder.of(stores), composed))


def test_the_builder_writes_summaries_and_heights_and_keeps_the_rest(stores):
    build(stores)
    half = stores.collection("calculations").query_one({"calculation_id": "half-1"})
    assert half["relative_energy_mev_per_fu"] == pytest.approx(-40.0)
    assert half["steps"] == {"relax": {"large": True}}
    summaries = {(s["engine"], s["fraction"]): s for s in stores.collection("compositions").query({})}
    assert set(summaries) == {("vasp", 1.0), ("vasp", 0.5), ("vasp", 0.0), ("gpaw", 0.5)}
    assert summaries["gpaw", 0.5]["lowest"]["relative_energy_mev_per_fu"] is None


def test_the_builder_writes_nothing_where_nothing_changed(stores, monkeypatch):
    build(stores)
    for name in ("calculations", "compositions"):
        monkeypatch.setattr(stores.collection(name), "update", lambda *a, **k: pytest.fail("written again"))
    build(stores)


def test_a_new_calculation_moves_the_hull_of_all(stores):
    build(stores)
    new = calculation("quarter", 0.25, -80.0)
    stores.collection("calculations").update([new])
    stores.collection("configurations").update([new])
    build(stores)
    half = stores.collection("calculations").query_one({"calculation_id": "half-1"})
    assert half["energy_above_hull_mev_per_fu"] == pytest.approx(80 * 2 / 3 - 40)
