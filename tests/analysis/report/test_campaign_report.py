"""What a report says of calculations: energies and hull, structures as the viewer gets them, and what is missing."""

import math

import numpy as np
import plotly.graph_objects as go
import pytest
from pymatgen.analysis.phase_diagram import CompoundPhaseDiagram, PDEntry
from pymatgen.core import Composition, Lattice
from valenceflow.analysis.report.calculations import part_of
from valenceflow.analysis.report.campaign_charts import charts_of
from valenceflow.analysis.report.remedies import notes_of
from valenceflow.analysis.report.structures import GRID, chosen_rows, encoded

from ..made_up import bits
from .made_up_store import SPRINGS, document, failed, lost, olivine_calculations


def test_energies_and_corners_of_the_hull_are_those_of_pymatgen(parts_of, olivine):
    (part,) = parts_of(olivine_calculations(olivine))
    entries = [
        PDEntry(Composition({"Na": r.fraction, "Fe": 1, "P": 1, "O": 4}), r.energy, attribute=r.identity)
        for r in part.rows
    ]
    ends = [Composition("NaFePO4"), Composition("FePO4")]
    diagram = CompoundPhaseDiagram(entries, ends, normalize_terminal_compositions=False)
    height = {e.original_entry.attribute: 1000 * diagram.get_e_above_hull(e) for e in diagram.all_entries}
    assert {r.identity: r.above_hull for r in part.rows} == pytest.approx(height, abs=1e-6)
    assert [(x, round(e, 6)) for x, e in part.hull_line()] == [(0.0, 0.0), (0.5, -60.0), (1.0, 0.0)]


def test_what_was_lost_or_failed_is_in_the_table_and_no_corner_of_the_hull(parts_of, olivine):
    (part,) = parts_of([*olivine_calculations(olivine), lost(olivine, "3", "c"), failed(olivine)])
    outcomes = {row.member["intended_key"]: (row.outcome, row.kind) for row in part.rows}
    assert outcomes["3.c"] == ("lost: moved", "lost")
    assert outcomes["3.9"] == ("failed", "failed")
    assert part.hull_line()[1][1] == pytest.approx(-60.0)
    moved = next(row for row in part.rows if row.is_lost)
    assert moved.above_hull == pytest.approx(-10.0)
    assert not moved.is_on_hull


def test_plotly_itself_accepts_every_chart_and_each_says_whose_numbers_it_shows(parts_of, olivine):
    (part,) = parts_of([*olivine_calculations(olivine), lost(olivine, "3", "c")])
    charts = charts_of(part, "part-1")
    assert [chart.name for chart in charts] == ["part-1-energies", "part-1-ranked", "part-1-moments"]
    for chart in charts:
        figure = go.Figure({"data": chart.data, "layout": chart.layout})
        assert figure.layout.annotations[0].text == "REHEARSAL, not DFT: rehearsal:springs, protocol paper-2026"
    marked = {i for trace in charts[0].data for i in trace.get("customdata", ())}
    assert marked == {row.identity for row in part.rows}


def test_the_histogram_counts_every_site_once_under_the_state_that_was_meant(parts_of, olivine):
    (part,) = parts_of(olivine_calculations(olivine))
    chart = charts_of(part, "p")[-1]
    counts = {trace["name"]: sum(trace["y"]) for trace in chart.data}
    assert counts == {"meant as Fe2+ (13)": 13, "meant as Fe3+ (11)": 11}
    window = chart.layout["shapes"][0]
    assert (window["x0"], window["x1"]) == (3.9, 4.2)


def test_the_viewer_gets_every_ion_where_it_is_with_its_charge_and_the_vacancies(parts_of, olivine):
    (part,) = parts_of([document(olivine, "3", "5", seed=3)])
    (structure,) = encoded([part], part.rows).values()
    positions = np.array(structure["at"]).reshape(-1, 3) / GRID
    symbols = [symbol for symbol, n in structure["elements"] for _ in range(n)]
    lattice = Lattice(np.array(structure["cell"]).reshape(3, 3))
    found = positions[structure["redox"]]
    wanted = olivine.structure.frac_coords[olivine.redox_sites]
    assert np.diag(lattice.get_all_distances(found, wanted)).max() < 0.002
    assert [symbols[site] for site in structure["redox"]] == ["Fe"] * 4
    assert structure["achieved"] == structure["meant"] == [int(bit) for bit in bits("5")]
    assert structure["moments"] == [4.33 if bit else 3.77 for bit in bits("5")]
    assert structure["states"] == ["Fe2+", "Fe3+"]
    vacant = np.array(structure["vacant"]).reshape(-1, 3) / GRID
    empty = olivine.structure.frac_coords[olivine.working_sites[~np.array(bits("3"))]]
    assert np.diag(lattice.get_all_distances(vacant, empty)).max() < 0.002
    assert symbols.count("Na") == len(vacant) == 2


def test_where_there_is_room_for_few_structures_the_lowest_of_each_composition_is_kept(parts_of, olivine):
    parts = parts_of(olivine_calculations(olivine))
    rows, left_out = chosen_rows(parts, max_sites=4 * 28)
    assert [row.member["intended_key"] for row in rows] == ["f.0", "7.1", "3.3", "0.f"]
    assert left_out == 2


def test_a_missing_end_member_is_said_with_the_command_that_makes_it(parts_of, olivine, command):
    (part,) = parts_of([c for c in olivine_calculations(olivine) if c["fraction"] < 1])
    assert not part.has_hull
    assert part.missing_ends == [1.0]
    (note,) = notes_of([part], command)
    assert note.text.startswith("rehearsal:springs: end member x = 1 is missing: relative energies and the hull")
    assert "end_members: true" in note.remedy
    assert note.command == "valenceflow run c.yaml --engine rehearsal:springs"
    assert charts_of(part, "p")[0].title == "Energy above the lowest of each composition"


def test_an_end_member_that_failed_is_to_be_tried_again(parts_of, olivine, command):
    calculations = [c for c in olivine_calculations(olivine) if c["fraction"] > 0]
    (part,) = parts_of([*calculations, failed(olivine, "0", "f")])
    (note,) = notes_of([part], command)
    assert "end member x = 0 is missing (failed)" in note.text
    assert note.command == "valenceflow retry c.yaml --engine rehearsal:springs --only 0.f"


def test_an_end_member_that_was_lost_is_retried_by_the_reason_that_marks_it(parts_of, olivine, command):
    calculations = [c for c in olivine_calculations(olivine) if c["fraction"] > 0]
    (part,) = parts_of([*calculations, lost(olivine, "0", "f")])
    (note,) = notes_of([part], command)
    assert "end member x = 0 is missing (lost: moved)" in note.text
    assert note.command == "valenceflow retry c.yaml --engine rehearsal:springs --reason lost --only 0.f"


def test_one_composition_alone_is_said_to_have_no_hull(parts_of, olivine, command):
    (part,) = parts_of([document(olivine, "3", "5")])
    assert "only one composition, x = 0.5: there is no hull" in [*notes_of([part], command)][-1].text


def test_an_energy_that_is_no_number_is_said_and_stays_out_of_charts_and_hull(parts_of, olivine, command):
    (part,) = parts_of(olivine_calculations(olivine))
    row = next(row for row in part.rows if row.member["intended_key"] == "3.5")
    group = part.group
    group.members[group.members.index(row.member)] = {**row.member, "energy_per_fu": math.nan}
    again = part_of(group)
    (note,) = notes_of([again], command)
    assert "1 finished without an energy that is a number (x = 0.5 3.5)" in note.text
    assert note.command.endswith("--only 3.5")
    assert len(again.hull_line()) == 3
    shown = [i for trace in charts_of(again, "p")[0].data for i in trace.get("customdata", ())]
    assert len(shown) == len(again.rows) - 1


def test_engines_are_never_mixed_each_has_a_part_of_its_own(parts_of, olivine, command):
    ours = olivine_calculations(olivine)
    theirs = [
        {**c, "engine": "vasp", "calculation_id": f"v{c['calculation_id']}", "energy_per_fu": c["energy_per_fu"] - 5}
        for c in ours
    ]
    parts = parts_of(ours + theirs)
    assert [part.group.engine for part in parts] == [SPRINGS, "vasp"]
    assert [part.hull_line()[1][1] for part in parts] == pytest.approx([-60.0, -60.0])
    (note,) = notes_of(parts, command)
    assert note.text.startswith("engines are mixed")
    assert note.remedy == "choose one with --engine"
    assert [part.group.engine for part in parts_of(ours + theirs, engine="vasp")] == ["vasp"]
