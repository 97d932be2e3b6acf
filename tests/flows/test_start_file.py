"""The order of runs is what they wrote down, whatever the clocks of their machines said."""

import os

import pytest
from valenceflow.flows.start_file import START_FILE, read_start_file, started_runs, write_start_file

LONG_AGO, FAR_AHEAD = 86_400.0, 4_102_444_800.0


@pytest.fixture
def start(tmp_path):
    """Function that starts a run in a folder of an attempt, its clock wrong."""

    def write(attempt, name, when, index=1, **content):
        folder = tmp_path / f"attempt-{attempt}" / name
        folder.mkdir(parents=True)
        write_start_file(folder, {"attempt": attempt, "index": index, "step": "relax", **content})
        os.utime(folder / START_FILE, (when, when))
        return folder

    return write


def test_runs_come_in_the_order_they_were_started_whatever_the_clocks_say(start, tmp_path):
    runs = [
        start(1, "job_2040", FAR_AHEAD),
        start(1, "job_2001", LONG_AGO),
        start(1, "job_2039", FAR_AHEAD, index=2),
        start(2, "job_1970", LONG_AGO),
        start(2, "job_1969", LONG_AGO),
    ]
    assert [folder for folder, _ in started_runs([tmp_path])] == runs
    assert [content["order"] for _, content in started_runs([tmp_path])] == [1, 2, 3, 1, 2]


def test_where_a_queue_scatters_the_folders_what_a_run_goes_on_from_says_its_place(tmp_path):
    for name, tried in (("b", []), ("a", ["went on"]), ("c", ["went on", "went on"])):
        (tmp_path / name / "x").mkdir(parents=True)
        write_start_file(tmp_path / name / "x", {"attempt": 1, "index": 1, "history": {"tried": tried}})
    found = started_runs([tmp_path / "c", tmp_path / "a", tmp_path / "b"])
    assert [folder.parent.name for folder, _ in found] == ["b", "a", "c"]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"order": "first"}', '{"attempt": null, "history": null}'])
def test_a_damaged_start_file_comes_first_and_stops_nobody(start, tmp_path, text):
    damaged = start(1, "job_2", FAR_AHEAD)
    (damaged / START_FILE).write_text(text)
    sound = start(1, "job_1", LONG_AGO)
    assert [folder for folder, _ in started_runs([tmp_path])] == [damaged, sound]
    assert read_start_file(tmp_path / "nowhere") == {}
