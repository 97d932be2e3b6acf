"""`valenceflow report`: a file that is whole or not there, what is missing on the screen too, one line for mistakes."""

import json

import pytest
from valenceflow.cli.completion import complete_report

from ..analysis.made_up import four_scores, scores
from ..analysis.report.made_up_store import failed, lost, olivine_calculations, write_store

REHEARSAL = "REHEARSAL, not DFT: rehearsal:springs"


@pytest.fixture
def store(olivine, tmp_path):
    """Function that writes calculations into a store.sqlite and returns its path."""

    def write(calculations):
        write_store(tmp_path / "store.sqlite", olivine, calculations).close()
        return tmp_path / "store.sqlite"

    return write


@pytest.fixture
def score_files(tmp_path):
    files = []
    for made in four_scores()[:2]:
        files.append(tmp_path / "scores" / made.model / "scores.json")
        files[-1].parent.mkdir(parents=True)
        files[-1].write_text(made.model_dump_json())
    return files


def test_a_campaign_is_reported_beside_its_store_with_the_words_of_status(call, olivine, tmp_path, write_campaign):
    path = write_campaign(tmp_path)
    (tmp_path / "small").mkdir()
    made = [*olivine_calculations(olivine), lost(olivine, "3", "c"), failed(olivine)]
    write_store(tmp_path / "small" / "store.sqlite", olivine, [c | {"campaign": "small"} for c in made]).close()
    answer = call("report", path)
    assert answer.code == 0, answer
    assert answer.out.splitlines()[0] == REHEARSAL
    text = (tmp_path / "small" / "report.html").read_text()
    told = call("status", path).out
    options = f"{path} --engine rehearsal:springs"
    retry, query = f"valenceflow retry {options} --reason killed", f"valenceflow query {options} --ordering lost"
    for words in ("1 failed: it broke", "to do: mend it", retry, query):
        assert words in text
        assert words in told
    assert not list((tmp_path / "small").glob(".report*"))


def test_a_store_models_and_a_json_answer_go_together(call, store, olivine, score_files, tmp_path):
    path = store(olivine_calculations(olivine))
    answer = call("report", *score_files, "--store", path, "--out", tmp_path / "all.html", "--json")
    said = json.loads(answer.out)
    assert (said["calculations"], said["models"], said["structures"], said["missing"]) == (6, 2, 6, [])
    assert said["bytes"] == (tmp_path / "all.html").stat().st_size


def test_models_alone_are_reported_from_the_folder_that_evaluate_made(call, score_files, tmp_path):
    answer = call("report", tmp_path / "scores")
    assert answer.out.splitlines()[0] == REHEARSAL
    assert "2 models: " in answer.out
    assert "chgnet-states" in (tmp_path / "scores" / "report.html").read_text()


def test_the_same_command_writes_the_same_bytes(call, store, olivine, tmp_path):
    path = store(olivine_calculations(olivine))
    files = [tmp_path / name for name in ("a.html", "b.html")]
    for file in files:
        call("report", "--store", path, "--out", file)
    assert files[0].read_bytes() == files[1].read_bytes()


def test_what_is_missing_is_said_on_the_screen_with_its_remedy(call, store, olivine):
    path = store([c for c in olivine_calculations(olivine) if c["fraction"] > 0])
    answer = call("report", "--store", path)
    assert "end member x = 0 is missing" in answer.out
    assert "  to do: say `end_members: true` in the campaign file, then run: valenceflow run" in answer.out


def test_of_several_engines_one_can_be_chosen(call, store, olivine, tmp_path):
    ours = olivine_calculations(olivine)
    path = store([*ours, *(c | {"engine": "vasp", "calculation_id": f"v-{c['calculation_id']}"} for c in ours)])
    answer = call("report", "--store", path)
    assert "engines are mixed" in answer.out
    assert "to do: choose one with --engine" in answer.out
    chosen = call("report", "--store", path, "--engine", "vasp")
    assert "mixed" not in chosen.out
    assert "REHEARSAL" not in (tmp_path / "report.html").read_text()


def test_a_data_set_that_the_models_do_not_know_is_said(call, score_files, tmp_path):
    folder = tmp_path / "set"
    folder.mkdir()
    (folder / "manifest.json").write_text(json.dumps({"title": "my set", "engine": "rehearsal:springs"}))
    (folder / "README.md").write_text("# my set\n")
    answer = call("report", *score_files, "--dataset", folder)
    assert "the models were not scored on the data set my set" in answer.out
    assert "<h1>my set</h1>" in (score_files[0].parent / "report.html").read_text()


def test_drawn_figures_are_in_the_file_and_pdfs_are_said_not_to_be(call, refused, score_files, tmp_path):
    folder = tmp_path / "figures"
    folder.mkdir()
    assert "no figures as PNG or SVG" in refused("report", *score_files, "--figures", folder)
    for name, kind in (("fig4", "svg"), ("fig6", "pdf")):
        (folder / f"{name}.json").write_text(json.dumps({"title": f"<{name}>", "source": "rehearsal:chgnet, p"}))
        (folder / f"{name}.{kind}").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    answer = call("report", *score_files, "--figures", folder, "--out", tmp_path / "r.html")
    assert answer.out.splitlines()[0] == f"{REHEARSAL}, rehearsal:chgnet"
    assert f"fig6 in {folder}: PDF, which a page cannot hold" in answer.out
    text = (tmp_path / "r.html").read_text()
    assert "&lt;fig4&gt;" in text
    assert text.count("data:image/svg+xml;base64,") == 1


@pytest.mark.parametrize("kind", ["png", "svg"])
def test_a_picture_that_was_cut_short_is_refused(refused, score_files, tmp_path, kind):
    from matplotlib.figure import Figure

    folder = tmp_path / "figures"
    folder.mkdir()
    (folder / "fig4.json").write_text("{}")
    picture = folder / f"fig4.{kind}"
    figure = Figure()
    figure.add_subplot().plot([1, 2])
    figure.savefig(picture)
    for length in (0, 2000):
        picture.write_bytes(picture.read_bytes()[:length])
        said = refused("report", *score_files, "--figures", folder)
        assert f"{picture}: no whole {kind.upper()} ({length} bytes); draw the figures again" in said
        figure.savefig(picture)


def test_an_energy_that_is_a_text_is_said_with_its_ordering(call, store, olivine):
    found = olivine_calculations(olivine)
    found[3]["energy_per_fu"] = "-44.1"
    answer = call("report", "--store", store(found))
    assert answer.code == 0, answer
    assert "1 finished without an energy that is a number (x = 0.5 3.5)" in answer.out


def test_mistakes_are_one_line_with_the_way_out(refused, store, olivine, score_files, tmp_path, write_campaign):
    path = store(olivine_calculations(olivine))
    first, second = write_campaign(tmp_path, "a.yaml"), write_campaign(tmp_path, "b.yaml")
    assert "say what to report: a CAMPAIGN.yaml, --store PATH" in refused("report")
    assert "2 campaigns are given" in refused("report", first, second)
    assert "neither a campaign (.yaml) nor scores" in refused("report", tmp_path / "notes.txt")
    assert "no such file; `valenceflow evaluate` writes" in refused("report", tmp_path / "no.json")
    assert "is a folder; name a file, e.g. --out" in refused("report", "--store", path, "--out", tmp_path)
    assert "no data set" in refused("report", *score_files, "--dataset", tmp_path)
    (tmp_path / "afile").touch()
    inside = refused("report", "--store", path, "--out", tmp_path / "afile" / "r.html")
    assert f"{tmp_path / 'afile'} is a file and no folder" in inside
    assert "unknown engine 'foo'; choose" in refused("report", "--store", path, "--engine", "foo")
    short = refused("report", "--store", path, "--engine", "rehearsal")
    assert "no calculation of engine rehearsal:chgnet" in short
    said = refused("report", "--store", path, "--engine", "vasp")
    assert "no calculation of engine vasp" in said
    assert "there are some of rehearsal:springs" in said
    assert "has not been started" in refused("report", first)


def test_a_report_that_cannot_be_made_leaves_the_old_one(call, refused, score_files, tmp_path):
    call("report", *score_files, "--out", tmp_path / "r.html")
    before = (tmp_path / "r.html").read_bytes()
    score_files[1].write_text("{")
    refused("report", *score_files, "--out", tmp_path / "r.html")
    assert (tmp_path / "r.html").read_bytes() == before


def test_campaigns_and_scores_are_completed(tmp_path, monkeypatch, write_campaign):
    monkeypatch.chdir(tmp_path)
    write_campaign(tmp_path, "mine.yaml")
    (tmp_path / "ev").mkdir()
    (tmp_path / "ev" / "scores.json").write_text(scores("a", "mace", True).model_dump_json())
    assert complete_report("") == ["ev/", "mine.yaml"]
    assert complete_report("ev/") == ["ev/scores.json"]
