"""The picture of energies over composition says where its numbers come from and which of them do not count."""

import io

import numpy as np
import pytest
from matplotlib.figure import Figure
from valenceflow.analysis.figures.energies import (
    MAX_SHIFT,
    STYLES,
    formula_text,
    mark_size,
    ordering_energies,
    side_by_side,
)


def calculation(fraction, energy, relation="kept", passed=True, engine="rehearsal:springs"):
    return {
        "fraction": fraction,
        "energy_per_fu": energy,
        "state": "completed" if passed else "audit failed",
        "relation": relation,
        "audit": {"passed": passed},
        "engine": engine,
        "protocol": "paper-2026",
        "protocol_hash": "a",
    }


ENDS = [calculation(1.0, -30.0), calculation(0.0, -28.0)]


def labels(figure):
    return {text.get_text() for text in figure.legends[0].get_texts()}


def test_a_rehearsal_says_so_in_its_title_and_vasp_does_not():
    title = ordering_energies(ENDS, "Na", "a title").axes[0].get_title()
    assert title == "a title\nREHEARSAL, not DFT: rehearsal:springs, protocol paper-2026"
    vasp = [{**c, "engine": "vasp"} for c in ENDS]
    assert "REHEARSAL" not in ordering_energies(vasp, "Na").axes[0].get_title()


def test_lost_orderings_and_failed_audits_have_marks_of_their_own():
    shown = [*ENDS, calculation(0.5, -29.1, "moved"), calculation(0.5, -29.2, "kept", passed=False)]
    figure = ordering_energies(shown, "Na")
    assert labels(figure) == {"kept (3)", "lost: moved (1)", "hollow: audit failed (1)"}
    ordering_energies(shown, "Na").savefig(io.BytesIO(), format="png")


def test_every_relation_with_an_energy_is_drawn():
    relations = ("kept", "equivalent", "measured", "moved", "delocalised", "ambiguous", "not read")
    shown = [*ENDS, *(calculation(0.5, -29.0, relation) for relation in relations)]
    points = sum(len(marks.get_offsets()) for marks in ordering_energies(shown, "Na").axes[0].collections)
    assert points == len(shown) - 1  # `not read` is a step 1, which has no energy of its own in practice


def test_engines_are_never_mixed():
    with pytest.raises(ValueError, match="cannot be compared"):
        ordering_energies([ENDS[0], calculation(0.0, -28.0, engine="vasp")], "Na")


def test_without_end_members_or_energies_there_is_no_picture():
    with pytest.raises(ValueError, match="need both end members"):
        ordering_energies([calculation(0.5, -29.0)], "Na")
    with pytest.raises(ValueError, match="no calculation has an energy yet"):
        ordering_energies([calculation(0.5, None)], "Na")


@pytest.mark.parametrize(
    ("formula", "text"),
    [
        ("NaxFePO4", "Na$_{x}$FePO$_{4}$"),
        ("Na0.667FePO4", "Na$_{0.667}$FePO$_{4}$"),
        ("Na3V2(PO4)3", "Na$_{3}$V$_{2}$(PO$_{4}$)$_{3}$"),
        ("Xe", "Xe"),
        ("LixMn2O4", "Li$_{x}$Mn$_{2}$O$_{4}$"),
    ],
)
def test_amounts_in_a_formula_are_subscripts(formula, text):
    assert formula_text(formula) == text


def axes_of(high=10.0):
    axes = Figure(figsize=(6, 4)).add_subplot()
    axes.set_xlim(-0.08, 1.08)
    axes.set_ylim(-1, high)
    return axes


def distances(axes, x, y):
    """Between every two marks, points."""
    places = axes.transData.transform(np.column_stack([x, y])) * 72 / axes.figure.dpi
    apart = np.linalg.norm(places[:, None] - places[None], axis=2)
    return apart[np.triu_indices(len(x), 1)]


def test_marks_of_one_energy_stand_side_by_side_and_near_their_composition():
    axes = axes_of()
    x, y = np.array([0.5] * 6 + [0.25] * 2 + [1.0]), np.array([3.0] * 5 + [9.0, 3.0, 3.05, 3.0])
    shifts = side_by_side(axes, x, y, 7.0)
    assert distances(axes, x + shifts, y).min() > 6
    assert np.abs(shifts).max() <= MAX_SHIFT
    assert shifts[5] == shifts[8] == 0  # alone at its energy, alone at its composition


def test_marks_of_a_crowd_are_smaller_and_none_leaves_its_composition():
    rng = np.random.default_rng(1)
    x, y = np.repeat([0.5, 0.55], [400, 3]), rng.uniform(0, 9, 403)
    assert mark_size(x) < mark_size([0.5] * 10) == 7.0
    shifts = side_by_side(axes_of(), x, y, mark_size(x))
    assert np.abs(shifts).max() <= 0.4 * 0.05 + 1e-12


def test_every_composition_says_how_many_orderings_it_has():
    shown = [*ENDS, *(calculation(0.5, -29.1) for _ in range(3))]
    assert {text.get_text() for text in ordering_energies(shown, "Na").axes[0].texts} == {"n = 1", "n = 3"}


def test_relations_are_told_apart_without_colours():
    assert len({marker for marker, _, _ in STYLES.values()}) == len(STYLES)
    figure = ordering_energies([*ENDS, calculation(0.5, -29.2, passed=False)], "Na")
    faces = [marks.get_facecolor()[0][:3].tolist() for marks in figure.axes[0].collections if len(marks.get_offsets())]
    assert [1.0, 1.0, 1.0] in faces  # white: the audit failed
