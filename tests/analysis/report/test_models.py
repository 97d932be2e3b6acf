"""Models side by side: what is best of a row, what may not stand in one table, and what plotly makes of the charts."""

import math

import plotly.graph_objects as go
import pytest
from valenceflow.analysis.report.model_charts import charts_of_models
from valenceflow.analysis.report.models import Scored, comparisons, notes_of_models, read_models
from valenceflow.potentials.evaluation.scores import Achieved, ErrorScore

from ..made_up import four_scores, scores


def error(mae, target="energy", group="all", value=""):
    return ErrorScore(target=target, group=group, value=value, n=3, mae=mae, rmse=mae, unit="eV/atom")


def achieved(number):
    return [Achieved(start="ideal", judge="moments", n=10, achieved=number, undecided=0, unconverged=0)]


def compared(*models):
    (found,) = comparisons([Scored(s, s.model) for s in models])
    return found


def best(comparison, title):
    cells = dict([*comparison.rows, *comparison.errors])[title]
    return [model.name for model, (_, is_best) in zip(comparison.models, cells, strict=True) if is_best]


def test_the_smallest_error_and_the_largest_share_are_best():
    found = compared(
        scores("a", "mace", True, errors=[error(0.2), error(0.1, "magmoms", "species", "Fe3+")], achieved=achieved(9)),
        scores("b", "mace", False, errors=[error(0.1), error(0.3, "magmoms", "species", "Fe3+")], achieved=achieved(7)),
    )
    assert best(found, "energy MAE, meV/atom") == ["b"]
    assert best(found, "orderings achieved by moments, ideal start") == ["a"]
    assert best(found, "magmoms MAE, species Fe3+, eV/atom") == ["a"]


def test_equal_scores_and_lone_ones_are_not_called_best():
    assert best(compared(scores("a", "mace", True), scores("b", "mace", True)), "hull MAE, meV/f.u., ideal start") == []
    assert best(compared(scores("a", "mace", True)), "hull MAE, meV/f.u., ideal start") == []


def test_scores_of_other_data_sets_stand_apart_and_it_is_said():
    models = [scores("a", "mace", True), scores("b", "mace", True, data_set_checksum="other")]
    found = comparisons([Scored(s, s.model) for s in models])
    assert [len(c.models) for c in found] == [1, 1]
    (note,) = notes_of_models(found)
    assert note.text.startswith("scores of 2 data sets, sides or settings do not compare (a on set, all; b on set, all")
    assert "valenceflow evaluate" in note.command


def test_an_error_that_is_no_number_is_said():
    found = [compared(scores("a", "mace", True, errors=[error(math.nan)]), scores("b", "mace", True))]
    assert [note.text for note in notes_of_models(found)] == ["energy MAE, meV/atom: no number for a"]


def test_plotly_itself_accepts_every_chart():
    charts = charts_of_models(compared(*four_scores()), "m")
    assert [chart.title for chart in charts[:2]] == [
        "Hull under each model, ideal start", "Ranking of orderings, ideal start",
    ]  # fmt: skip
    for chart in charts:
        go.Figure({"data": chart.data, "layout": chart.layout})
    drawn = next(t for t in charts[0].data if t["name"].startswith("chgnet-plain"))
    assert drawn["y"] == pytest.approx(four_scores()[0].hull[0].model)


def test_scores_are_found_in_folders_with_their_parity_plots(tmp_path):
    for model in four_scores()[:2]:
        (tmp_path / model.model).mkdir()
        (tmp_path / model.model / "scores.json").write_text(model.model_dump_json())
    (tmp_path / "chgnet-states" / "parity.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    found = read_models([tmp_path])
    assert [(m.name, bool(m.picture)) for m in found] == [("chgnet-plain", False), ("chgnet-states", True)]
    again = read_models([tmp_path / "chgnet-plain", tmp_path / "chgnet-states" / "scores.json"])
    assert again == found


def test_parity_plots_that_were_cut_short_are_refused(tmp_path):
    (tmp_path / "scores.json").write_text(scores("a", "mace", True).model_dump_json())
    (tmp_path / "parity.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'><path d='M 0")
    with pytest.raises(ValueError, match=r"parity\.svg: no whole SVG \(\d+ bytes\); draw the figures again"):
        read_models([tmp_path])


def test_models_of_one_title_are_told_apart_by_their_fingerprints(tmp_path):
    for number in ("111111aa", "222222bb"):
        path = tmp_path / f"{number}.json"
        path.write_text(scores("same", "mace", True, model_fingerprint=number).model_dump_json())
    found = read_models([tmp_path / "111111aa.json", tmp_path / "222222bb.json"])
    assert [model.name for model in found] == ["same (111111)", "same (222222)"]


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "no such file"), ("{", "holds no scores"), ('{"document": "other"}', "holds no scores of a model")],
)
def test_a_file_that_holds_no_scores_is_refused_by_name(tmp_path, content, said):
    path = tmp_path / "scores.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ValueError, match=f"{path}: {said}"):
        read_models([path])


def test_scores_given_twice_and_folders_without_any_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"no scores\.json in it"):
        read_models([tmp_path])
    path = tmp_path / "scores.json"
    path.write_text(scores("a", "mace", True).model_dump_json())
    with pytest.raises(ValueError, match="is given twice"):
        read_models([path, tmp_path])
