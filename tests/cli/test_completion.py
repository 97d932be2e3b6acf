"""What a shell completes, and help that fits a terminal of 80 columns."""

import os
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest
from valenceflow.cli import completion, query
from valenceflow.cli.commands import COMMANDS, built
from valenceflow.cli.wording import SHORT_NAMES
from valenceflow.flows.engines import ENGINES
from valenceflow.flows.rehearsal.faults import make_fault
from valenceflow.inputs.charge_states import shipped_couples
from valenceflow.inputs.hosts import host_names
from valenceflow.stores.documents import ChargeOrderedCalculationDoc, FailureReason
from valenceflow.stores.relations import LOST


@pytest.fixture
def folder(tmp_path, write_campaign, monkeypatch):
    """A folder with a campaign, another YAML file, a CIF, and folders with and without campaigns."""
    monkeypatch.chdir(tmp_path)
    write_campaign(tmp_path, "mine.yaml")
    (tmp_path / "more" / "inner").mkdir(parents=True)
    (tmp_path / ".hidden").mkdir()
    write_campaign(tmp_path / "more", "theirs.yml")
    (tmp_path / "my_store.yaml").write_text("JOB_STORE: {}\n")
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "own.cif").write_text("data_own\n")
    return tmp_path


def test_models_and_data_sets_are_completed_by_what_lies_in_their_folders(folder):
    for name, file in (("trained", "model.json"), ("set", "manifest.json")):
        (folder / name).mkdir()
        (folder / name / file).write_text("{}")
    assert completion.complete_model("") == ["pretrained-chgnet", "more/", "set/", "trained"]
    assert completion.complete_model("p") == ["pretrained-chgnet"]
    assert completion.complete_data_set("") == ["more/", "set", "trained/"]
    assert completion.complete_data_set("more/") == ["more/inner/"]


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("", ["mine.yaml", "more/"]),
        ("m", ["mine.yaml", "more/"]),
        ("mi", ["mine.yaml"]),
        ("./mi", ["./mine.yaml"]),
        ("more/", ["more/inner/", "more/theirs.yml"]),
        ("more/t", ["more/theirs.yml"]),
        (".h", [".hidden/"]),
        ("nowhere/", []),
    ],
)
def test_campaigns_and_the_folders_on_the_way_are_completed(typed, found, folder):
    assert completion.complete_campaign(typed) == found


def test_paths_from_the_root_are_completed_too(folder):
    assert completion.complete_campaign(f"{folder}/mi") == [f"{folder}/mine.yaml"]


def test_hosts_and_crystals_are_completed(folder):
    assert completion.complete_crystal("o") == [*host_names(), "own.cif"]


def test_words_are_those_that_the_commands_know():
    assert completion.complete_engine("") == sorted([*ENGINES, "rehearsal"])
    assert completion.complete_reason("") == [*get_args(FailureReason), "failed", "audit failed", "lost", *LOST]
    assert completion.complete_couple("Mn") == [name for name in shipped_couples() if name.startswith("Mn")]
    assert completion.complete_ordering("de") == ["delocalised"]
    assert completion.complete_state("f") == ["failed"]
    assert all(make_fault(name) for name, _ in completion.complete_fault("") if name not in ("message",))


def test_columns_are_completed_after_commas_and_behind_a_minus():
    assert completion.complete_columns("fraction,magmoms") == ["fraction,magmoms_redox"]
    assert set(completion.complete_columns("")) == {*SHORT_NAMES, *ChargeOrderedCalculationDoc.model_fields}
    assert completion.complete_sort("-max_f") == ["-max_force"]
    assert set(query.DEFAULT_COLUMNS.split(",")) <= set(completion.complete_columns(""))


def test_bash_is_told_what_completes(folder):
    script = Path(sys.executable).with_name("valenceflow")
    asked = {"_VALENCEFLOW_COMPLETE": "complete_bash", "COMP_WORDS": "valenceflow run mi", "COMP_CWORD": "2"}
    done = subprocess.run([script], env={**os.environ, **asked}, capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["mine.yaml"]


def test_every_command_is_described_on_one_line_of_80_columns(call, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    text = call("--help").out
    assert all(command in text for command in COMMANDS)
    assert "..." not in text.replace("[ARGS]...", "")


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_h_is_short_for_help_everywhere(command, call, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    words = [command] if command else []
    short, full = call(*words, "-h"), call(*words, "--help")
    assert short.code == full.code == 0
    assert short.out == full.out
    assert short.out.startswith("Usage: ")
    assert max(map(len, short.out.splitlines())) <= 80


@pytest.mark.parametrize("command", COMMANDS)
def test_the_list_of_commands_says_what_their_own_help_begins_with(command):
    # The line ends before a full stop, as it does in a list.
    assert built(command).get_short_help_str(200).rstrip(".") == COMMANDS[command].line.rstrip(".")
