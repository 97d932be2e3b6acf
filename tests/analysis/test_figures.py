"""The picture of energies over composition says where its numbers come from and which of them do not count."""

import io

import pytest
from valenceflow.analysis.figures import ordering_energies


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
