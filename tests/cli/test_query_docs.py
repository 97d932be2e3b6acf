"""The ten questions of docs/data.md, typed as they stand there."""

import csv
import io
import json
import shlex
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from valenceflow.stores.query import Question, count, data_frame, find

from ..stores.export.conftest import label, put, relaxation, stores  # noqa: F401 - fixtures

PAGE = Path(__file__).resolve().parents[2] / "docs" / "data.md"
QUESTIONS = [
    line.strip() for line in PAGE.read_text().splitlines() if line.startswith("    valenceflow query campaign")
]


def calculation(number, **changes):
    fraction, relation = ((2 / 3, "kept"), (1 / 2, "moved"), (2 / 3, "equivalent"), (1.0, "measured"))[number % 4]
    fields = {
        "calculation_id": f"c{number}-1", "configuration_id": f"c{number}", "campaign": "small", "latest": True,
        "host": "olivine-NaFePO4", "fraction": fraction, "relation": relation, "state": "completed",
        "engine": "rehearsal:springs", "intended_key": f"k{number}", "achieved_key": f"k{number}",
        "energy_per_fu": -40.0 - number, "max_force": 0.01, "magmoms_redox": [4.3, 3.7],
        "energy_above_hull": 0.01 * number,
        "n_ionic_steps": {"relax": 10 * number}, "n_runs": {"relax": 1}, "audit": {"passed": True, "findings": []},
    }  # fmt: skip
    return {**fields, **changes}


@pytest.fixture
def small(stores, put, tmp_path):  # noqa: F811
    """Eight calculations, one of which failed, and three runs of frames."""
    made = [calculation(n) for n in range(7)]
    made.append(calculation(7, state="failed", relation="not read", energy_per_fu=None, energy_above_hull=None))
    stores.collection("calculations").update(made)
    cells = [{"configuration_id": f"c{n}", "formula": "Na4Fe8P8O32" if n % 4 == 1 else "Na8Fe8P8O32"} for n in range(8)]
    stores.collection("configurations").update(cells)
    put("a", relaxation(0), engine="rehearsal:springs")
    put(
        "b", relaxation(1), engine="rehearsal:springs", marked=label(verdict="ambiguous", reason="4.0 muB lies between")
    )
    put("c", relaxation(2), engine="rehearsal:springs", doc={"max_force": 3.0})
    return tmp_path / "store.sqlite"


ANSWERS = [
    lambda rows: [row["intended_key"] for row in rows] == ["k6"],
    lambda rows: [row["intended_key"] for row in rows] == ["k5", "k1"],
    lambda rows: [row["intended_key"] for row in rows] == ["k0", "k1"],
    lambda rows: [row["intended_key"] for row in rows] == ["k7"],
    lambda rows: {row["intended_key"] for row in rows} == {"k0", "k1", "k2", "k4", "k5", "k6"},
    lambda rows: {row["intended_key"] for row in rows} == {"k1", "k5"},
    lambda rows: {row["intended_key"] for row in rows} == {"k6", "k7"},
    lambda rows: len(rows) == 6 and {row["label.reason"] for row in rows} == {"4.0 muB lies between"},
    lambda rows: len(rows) == 12,
    lambda rows: len(rows) == 6 and {row["max_force"] for row in rows} == {3.0},
]


@pytest.mark.parametrize(("question", "is_right"), list(zip(QUESTIONS, ANSWERS, strict=True)), ids=range(10))
def test_a_question_of_the_guide_is_answered(question, is_right, small, tmp_path, monkeypatch, call):
    monkeypatch.chdir(tmp_path)
    words = shlex.split(question.replace("campaign.yaml", f"--store {small}"))[1:]
    answer = call(*words)
    assert answer.code == 0, answer.err
    if "parquet" in words:
        assert is_right(pq.read_table(tmp_path / "frames.parquet").to_pylist())
        return
    if "csv" in words:
        header, *lines = csv.reader(io.StringIO(answer.out))
        rows = [dict(zip(header, line, strict=True)) for line in lines]
        assert is_right([{**row, "max_force": float(row["max_force"])} for row in rows])
        return
    assert is_right(json.loads(call(*words, "--json").out))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--where", "energie < 1"], "no field 'energie' in a calculation"),
        (["--where", "n_high <"], "expected a value"),
        (["--frames", "--where", "label.verdikt = resolved"], "did you mean label.verdict? there are label.as_"),
        (["--frames", "--where", "verdict = resolved"], "no field 'verdict' in a frame; did you mean label.verdict? "),
        (["--sort", "energy_per_fx"], "no field 'energy_per_fx' in a calculation; did you mean energy_per_fu"),
        (["--x", "-1"], "--x '-1': a fraction of filled working-ion sites lies between 0 and 1"),
        (["--x", "1/2:1.5"], "--x '1/2:1.5': a fraction"),
        (["--frames", "--state", "failed"], "--state is of calculations"),
        (["--mongo", "{"], "not readable as JSON"),
        (["--x", "3/4:1/4"], "the lower end comes first: 1/4:3/4"),
        (["--mongo", "[]"], "give an object"),
        (["--x", "1e400"], "--x '1e400': give a fraction"),
        (["--formula", "Nonsense!"], "formula 'Nonsense!'"),
        (["--format", "xlsx"], "--format 'xlsx' is unknown"),
        (["--format", "parquet"], "parquet goes into a file"),
        (["--output", "a.txt"], "--output is for json, csv and parquet"),
    ],
)
def test_what_cannot_be_asked_is_said_in_one_line(arguments, said, small, tmp_path, monkeypatch, refused):
    monkeypatch.chdir(tmp_path)
    assert said in refused("query", "--store", small, *arguments)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(["--x", "0.01"], "--x 0.01: none; there are "), (["--host", "spinel"], "--host spinel: none;")],
)
def test_an_empty_answer_says_what_there_is(arguments, said, small, call):
    assert said in call("query", "--store", small, *arguments).out


def test_a_limit_says_how_many_there_are(small, call):
    assert "3 of 18 frames" in call("query", "--store", small, "--frames", "--limit", 3).out
    assert "3 of 8 calculations" in call("query", "--store", small, "--limit", 3).out
    assert "\n8 calculations" in call("query", "--store", small, "--limit", 8).out
    assert len(json.loads(call("query", "--store", small, "--limit", 3, "--json").out)) == 3


def test_what_only_build_makes_is_said_to_be_missing(stores, put, tmp_path, call):  # noqa: F811
    hull = ("--where", "energy_above_hull < 0.02")
    store = ("--store", tmp_path / "store.sqlite")
    stores.collection("calculations").update([calculation(1, energy_above_hull=None)])
    said = f"nothing built yet: valenceflow build --store {tmp_path / 'store.sqlite'} makes the"
    assert call("query", *store, *hull).err.strip() == f"{said} energy_above_hull asked for"
    assert call("query", *store, "--frames").err.strip() == f"{said} frames asked for"
    assert call("query", *store).err == ""
    assert call("query", *store, *hull, "--json").err == ""
    put("a", relaxation(0))
    stores.collection("frames").update([{**frame, "label": None} for frame in stores.collection("frames").query({})])
    assert call("query", *store, "--frames", "--columns", "frame_id").err == ""
    assert call("query", *store, "--frames", "--ordering", "lost").err.strip() == f"{said} labels asked for"


def test_what_build_made_is_not_said_to_be_missing(small, call):
    for arguments in (["--where", "energy_above_hull > 9"], ["--frames", "--where", "label.verdict = ambiguous"]):
        assert call("query", "--store", small, *arguments).err == ""


def test_the_same_in_python(stores, small):  # noqa: F811
    question = Question(x="2/3", ordering="as meant", mongo={"energy_per_fu": {"$lt": -41}})
    assert next(find(stores, question, sort="energy_per_fu"))["intended_key"] == "k6"
    assert count(stores, question) == 3
    table = data_frame(stores, Question("frames"), ["formula", "energy", "label.verdict"], sort="-energy")
    assert list(table.columns) == ["formula", "energy", "label.verdict"]
    assert len(table) == 18
    assert table["energy"].is_monotonic_decreasing
    assert table["label.verdict"].value_counts().to_dict() == {"resolved": 12, "ambiguous": 6}
