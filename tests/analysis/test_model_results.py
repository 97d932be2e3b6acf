"""Scores side by side: models with and without charge states, tables, moments; the paper's own through the same."""

import pytest
from valenceflow.analysis.model_results import (
    embedded_sites,
    energy_table,
    model_hulls,
    published_table,
    same_data_set,
    shared_rankings,
)
from valenceflow.analysis.moment_comparison import model_moments, relaxation_moments, separation

from .made_up import campaign, four_scores, scores


def test_models_of_one_kind_stand_together_before_and_after():
    found = {one.kind: one for one in model_hulls(four_scores())}
    assert set(found) == {"chgnet", "mace"}
    assert found["chgnet"].agreements["before"].mae == pytest.approx((0 + 50 + 100 + 0) / 4)
    assert found["chgnet"].agreements["after"].mae == pytest.approx((0 + 10 + 20 + 0) / 4)
    assert found["mace"].before.source == "mace-plain"
    assert found["mace"].agreements["before"].only_in_second == ("c",)  # pulled down to the hull
    (row,) = [row for row in found["mace"].rows() if row["structure"] == "c"]
    assert row["before_mev_per_fu"] == pytest.approx(row["reference_mev_per_fu"] - 200)
    alone = model_hulls([scores("one", "", True)])
    assert (alone[0].kind, alone[0].before) == ("one", None)


def test_two_models_of_one_kind_and_sort_are_both_shown():
    found = model_hulls([scores("first", "mace", True), scores("second", "mace", True)])
    assert [one.kind for one in found] == ["mace", "second"]


def test_tables_hold_one_group_with_the_reference_last_and_scores_with_and_without_it():
    table = energy_table(four_scores(), charge_states=False)
    assert table.structures == ("b", "c", "a")
    assert table.reference_structure == "a"
    assert table.columns["chgnet-plain"] == pytest.approx((0.36, 0.7, 0.0))
    assert table.reference == pytest.approx((0.16, 0.3, 0.0))
    maes = {(s["model"], s["over"]): s["mae"] for s in table.statistics()}
    assert maes["chgnet-plain", "without the reference"] == pytest.approx(0.3)
    assert not next(s for s in table.statistics() if s["model"] == "mace-plain")["reference_lowest"]
    with pytest.raises(ValueError, match="no scores of a model with charge states"):
        energy_table(four_scores()[:1], charge_states=True)
    with pytest.raises(ValueError, match="no scores have a ranking"):
        shared_rankings([scores("m", "mace", True, rankings=[])], by_composition=True)


def test_the_papers_tables_have_its_statistics():
    found = {s["model"]: s for s in published_table("after").statistics() if s["over"] == "with the reference"}
    assert [round(found[m]["spearman"], 2) for m in ("cPaiNN", "MACE", "CHGNet")] == [0.89, 0.88, 0.87]
    assert [round(found[m]["mae"], 4) for m in ("cPaiNN", "MACE", "CHGNet")] == [0.183, 0.3332, 0.2303]
    assert published_table("before").structures[-1] == "Experimental"


def test_moments_of_models_and_of_relaxations_are_held_against_the_reference(olivine):
    (own,) = model_moments(four_scores(), "a")
    assert (own.x.tolist(), own.y.tolist()) == ([3.8, 4.3], [3.77, 4.33])
    before = model_moments(four_scores(), "b")
    assert [s.label for s in before] == ["chgnet-plain", "chgnet-states", "mace-plain", "mace-states"]
    assert before[0].x.tolist() == [3.8, 4.3]  # the reference's before relaxation
    assert model_moments(four_scores(), "d")[0].x.tolist() == [3.77, 4.33]
    assert separation(before[0])["smallest_high"] == 4.0
    with pytest.raises(ValueError, match="no scores have moments `relaxed`"):
        model_moments([scores("m", "mace", True, moments=[])], "c")
    relaxed = relaxation_moments(campaign(olivine))
    assert len(relaxed.x) == 16  # four structures of two charge states
    assert relaxed.y[[h is True for h in relaxed.high]] == pytest.approx(4.33)
    assert relaxed.x == pytest.approx(0.98 * relaxed.y)


def test_scores_of_two_data_sets_are_never_taken_together():
    mixed = [*four_scores(), scores("other", "mace", True, data_set_checksum="d")]
    for taken in (model_hulls, embedded_sites, same_data_set):
        with pytest.raises(ValueError, match="do not compare; evaluate the models on one set"):
            taken(mixed)
    with pytest.raises(ValueError, match="needs scores: `valenceflow evaluate"):
        same_data_set([])
