"""`valenceflow orderings fit` and what takes its file: rank, optimum, sample."""

import csv
import json

import pytest

OLIVINE = "olivine-NaFePO4"
SMALL = (OLIVINE, "-x", "1/2")


@pytest.fixture
def answer(call):
    """Function that runs `valenceflow orderings` and returns what it printed; with as_json=True, as values."""

    def run(*arguments, as_json=False):
        found = call("orderings", *arguments, *(["--json"] if as_json else []))
        assert found.code == 0, found
        return json.loads(found.out) if as_json else found.out

    return run


@pytest.fixture
def table(answer, tmp_path):
    """The ten orderings of the small cell with energies of their own: formal charges turned upside down."""
    answer("rank", *SMALL, "-n", 10, "-o", tmp_path / "ranked.csv")
    with (tmp_path / "ranked.csv").open() as file:
        rows = list(csv.DictReader(file))
    path = tmp_path / "energies.csv"
    path.write_text("key,energy\n" + "".join(f"{row['key']},{-float(row['energy']) / 50}\n" for row in rows))
    return path


def test_energies_from_a_table_rank_by_what_was_learned(answer, table, tmp_path):
    model = tmp_path / "model.json"
    said = answer("fit", OLIVINE, table, "-o", model)
    assert f"10 energies of 10 distinct orderings ({table})" in said
    assert f"use it as --model {model}" in said
    formal = [row["key"] for row in answer("rank", *SMALL, "-n", 10, as_json=True)["rows"]]
    learned = answer("rank", *SMALL, "-n", 10, "--model", model, as_json=True)
    assert [row["key"] for row in learned["rows"]] == formal[::-1]
    assert (learned["model"], learned["model_file"], learned["source"]) == ("expansion", str(model), str(table))
    assert learned["cv_error"] < 0.1 * learned["spread"]
    assert "dielectric" not in learned
    best = answer("optimum", *SMALL, "--model", model, as_json=True)
    assert best["rows"][0]["key"] == formal[-1]
    (sampled,) = answer("sample", *SMALL, "-n", 0, "--lowest", 1, "--model", model, as_json=True)["rows"]
    assert sampled["key"] == formal[-1]
    at_lowest = answer("rank", *SMALL, "-n", 1, "--at", "lowest", "--model", model, as_json=True)
    assert at_lowest["rows"][0]["key"] == formal[-1]
    assert f"expansion {model} of {table}: error" in answer("rank", *SMALL, "--model", model)


def test_a_fit_says_how_good_it_is_in_json_too(answer, table, tmp_path):
    found = answer("fit", OLIVINE, table, "-o", tmp_path / "m.json", as_json=True)
    assert (found["n_orderings"], found["n_distinct"], found["folds"], found["left_out"]) == (10, 10, 10, {})
    assert found["file"] == str(tmp_path / "m.json")


def test_an_expansion_of_noise_says_that_it_has_learned_nothing(answer, table, tmp_path):
    lines = table.read_text().splitlines()
    keys = [line.split(",")[0] for line in lines[1:]]
    noise = [0.3, -0.1, 0.4, -0.1, 0.5, -0.9, 0.2, -0.6, 0.5, -0.3]
    table.write_text("key,energy\n" + "".join(f"{key},{value}\n" for key, value in zip(keys, noise, strict=True)))
    assert "it has learned next to nothing" in answer("fit", OLIVINE, table, "-o", tmp_path / "m.json")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("fit", OLIVINE, "-o", "m.json"), "say whose energies: a CSV with key and energy, or a campaign's YAML"),
        (("fit", OLIVINE, "none.csv", "-o", "m.json"), "none.csv: no such file"),
        (("fit", OLIVINE, "energies.csv", "-o", "m.pkl"), "m.pkl: name a file .json"),
        (("fit", OLIVINE, "energies.csv", "-o", "m.json", "--engine", "vasp"), "--engine is for a campaign's store"),
        (("fit", OLIVINE, "energies.csv", "-o", "m.json", "--folds", "1"), "10 distinct orderings and 1 folds"),
        (
            ("fit", OLIVINE, "energies.csv", "-o", "m.json", "--pair-cutoff", "0"),
            "pair_cutoff = 0.0 A",
        ),
        (("fit", OLIVINE, "energies.csv", "-s", "1,2,1", "-o", "m.json"), "does not describe 8 sites"),
        (("fit", OLIVINE, "energies.csv", "-o", "energies.csv/m.json"), "energies.csv"),
        (("rank", *SMALL, "--model", "none.json"), "none.json: no such file; `valenceflow orderings fit` writes one"),
        (("rank", *SMALL, "--model", "energies.csv"), "energies.csv: not readable as a cluster expansion"),
        (("rank", *SMALL, "--model", "m.json", "--dielectric", "5"), "--dielectric is for formal charges"),
    ],
    ids=str,
)
def test_a_mistake_is_one_line(refused, table, arguments, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert said in refused("orderings", *arguments)
    assert not (tmp_path / "m.json").exists()


def test_a_model_of_another_supercell_is_refused_with_both(answer, refused, table, tmp_path):
    answer("fit", OLIVINE, table, "-o", tmp_path / "m.json")
    said = refused("orderings", "rank", OLIVINE, "-s", "1,2,1", "-x", "1/2", "--model", tmp_path / "m.json")
    assert "was fitted for supercell [[1, 0, 0], [0, 1, 0], [0, 0, 1]]" in said
    assert "not for [[1, 0, 0], [0, 2, 0], [0, 0, 1]]" in said


def test_a_campaign_that_was_not_started_has_nothing_to_fit(refused, write_campaign, tmp_path):
    path = write_campaign(tmp_path)
    assert "has not been started" in refused("orderings", "fit", path, "-o", tmp_path / "m.json")
