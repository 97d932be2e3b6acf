"""`valenceflow figures` on the command line: what it reads, what it writes, what it refuses."""

import csv
import json

import pytest
from valenceflow.analysis.published import paper_tables


def test_the_papers_tables_are_written_with_their_numbers_and_the_rest_is_said(call, tmp_path):
    answer = call("figures", "published", "--to", tmp_path / "figs")
    assert answer.code == 0, answer
    assert "2 figures in" in answer.out
    assert "fig6      needs scores: `valenceflow evaluate" in answer.out
    assert "fig1      needs a campaign: give its CAMPAIGN.yaml" in answer.out
    assert sorted(path.name for path in (tmp_path / "figs").iterdir()) == [
        f"{table}.{suffix}" for table in ("table1", "table2") for suffix in ("csv", "json", "png")
    ]
    with (tmp_path / "figs" / "table2.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["MACE"]) for row in rows] == paper_tables()["after"]["MACE"]
    about = json.loads((tmp_path / "figs" / "table2.json").read_text())
    assert about["reference_structure"] == "Experimental"
    assert about["rows"][0]["reference"] == 0.72


def test_what_was_asked_for_and_is_lacking_is_exit_code_one_and_json_says_why(call, tmp_path):
    answer = call("figures", "published", "--to", tmp_path, "--only", "table1,fig5", "--format", "svg", "--json")
    assert answer.code == 1
    done = {entry["figure"]: entry for entry in json.loads(answer.out)}
    assert list(done) == ["table1", "fig5a", "fig5b", "fig5c", "fig5d"]
    assert done["table1"]["files"][0].endswith("table1.svg")
    assert "needs scores" in done["fig5c"]["reason"]


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["published"], "say where the figures go: --to DIR"),
        (["published", "--to", "f", "--only", "fig10"], "--only 'fig10': choose of fig1, fig2a"),
        (["published", "--to", "f", "--format", "gif"], "--format 'gif': choose png, svg, pdf"),
        (["nothing", "--to", "f"], "nothing: is no campaign file, scores.json"),
        (["missing.json", "--to", "f"], "missing.json: no such file; `valenceflow evaluate` writes"),
        (["other.json", "--to", "f"], "other.json: holds no scores of a model"),
        (["missing.yaml", "--to", "f"], "no such campaign file"),
        (["missing.sqlite", "--to", "f"], "no such store"),
        (["published", "--to", "other.json/x"], "other.json is a file and no folder, so other.json/x/fig1 cannot"),
    ],
)
def test_what_cannot_be_read_is_one_line(refused, tmp_path, monkeypatch, arguments, why):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "other.json").write_text("[]")
    assert why in refused("figures", *arguments)


def test_a_number_that_is_none_is_never_drawn_and_statistics_that_are_none_are_null(call, tmp_path, monkeypatch):
    from matplotlib.figure import Figure
    from valenceflow.analysis import paper_figures

    row = {"ordering": "3.5", "energy": float("nan")}
    made = paper_figures.MadeFigure(Figure(), [row], {"source": "s", "correlations": [float("nan")]})
    monkeypatch.setattr(paper_figures, "make_figure", lambda name, sources: made)
    arguments = ("figures", "published", "--to", tmp_path / "figs", "--only", "table1")
    answer = call(*arguments)
    assert answer.code == 1
    assert "table1    3.5: energy is nan, no number" in answer.out
    assert not (tmp_path / "figs").exists()
    row["energy"] = 1.0
    assert call(*arguments).code == 0
    written = json.loads((tmp_path / "figs" / "table1.json").read_text(), parse_constant=pytest.fail)
    assert written["correlations"] == [None]


def test_where_nothing_is_made_no_folder_is_named(call, tmp_path):
    answer = call("figures", "published", "--to", tmp_path / "figs", "--only", "fig6")
    assert answer.out.startswith("no figure could be made:")
    assert "figs" not in answer.out
