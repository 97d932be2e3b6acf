"""What a run says of itself: how far it is, how long it takes, how much room it needs."""

import pytest
from valenceflow.flows.progress import (
    LOG_FILE,
    MIN_FREE_BYTES,
    PROGRESS_FILE,
    WHILE_RUNNING,
    Busy,
    Progress,
    begin_progress,
    duration_text,
    folder_size,
    outcome_text,
    read_progress,
    size_text,
    write_log,
)

NOW = 1_000_000.0


def busy(since, folder="/nowhere", key="3.3"):
    return Busy(joint_key=key, fraction=0.5, since=since, folder=str(folder))


def test_nothing_is_said_of_the_time_before_a_configuration_is_finished():
    progress = Progress("vasp", workers=2, total=4, started=NOW)
    progress.start("a", busy(NOW))
    assert progress.seconds_left(NOW + 5) is None
    assert progress.left_text() == ""
    assert progress.room_needed == MIN_FREE_BYTES


@pytest.mark.parametrize(
    ("workers", "done", "running_for", "left"),
    [
        (1, 1, [], 300),  # three more, one after the other
        (3, 1, [], 100),  # three more at once
        (2, 2, [40.0, 90.0], 60),  # what runs is partly done
        (2, 2, [140.0, 90.0], 10),  # one takes longer than the mean: nothing is known of its end
        (8, 3, [0.0], 100),  # more workers than work
        (2, 4, [], None),
    ],
)
def test_the_time_left_is_what_the_rest_takes_if_it_is_like_what_is_finished(workers, done, running_for, left):
    progress = Progress("vasp", workers=workers, total=4, started=NOW, done=done, timed=5, seconds=500.0)
    for number, seconds in enumerate(running_for):
        progress.start(str(number), busy(NOW - seconds))
    assert progress.seconds_left(NOW) == (None if left is None else pytest.approx(left))


def test_of_a_last_one_that_takes_longer_than_usual_nothing_is_said():
    progress = Progress("vasp", workers=1, total=1, timed=1, seconds=60.0)
    progress.start("a", busy(progress.started - 3600))
    assert progress.left_text() == ""


def test_a_finished_configuration_is_timed_and_weighed(tmp_path):
    (tmp_path / "job").mkdir()
    (tmp_path / "job" / "OUTCAR").write_bytes(b"x" * 3_000_000)
    (tmp_path / "CONTCAR").write_bytes(b"x" * 7)
    progress = Progress("vasp", workers=4, total=2)
    progress.start("a", busy(progress.started - 60, tmp_path))
    seconds, size = progress.finish("a")
    assert seconds == pytest.approx(60, abs=5)
    assert size == folder_size(tmp_path) == 3_000_007
    assert (progress.done, progress.timed, progress.busy, progress.mean_size) == (1, 1, {}, size)
    assert progress.room_needed == WHILE_RUNNING * 4 * size


def test_what_is_written_is_read_and_what_a_run_took_is_remembered_by_the_next(tmp_path):
    assert read_progress(tmp_path) is None
    progress = Progress("vasp", workers=2, total=3, started=NOW, done=1, timed=1, seconds=60.0, size=10)
    progress.start("b", busy(NOW))
    progress.write(tmp_path)
    assert read_progress(tmp_path) == progress
    following = begin_progress(tmp_path, "vasp", workers=1, total=2)
    assert (following.timed, following.seconds, following.size) == (1, 60.0, 10)
    assert (following.done, following.busy) == (0, {})
    assert begin_progress(tmp_path, "rehearsal:springs", 1, 2).timed == 0  # another engine takes another time
    (tmp_path / PROGRESS_FILE).write_text("{")
    assert read_progress(tmp_path) is None


def test_a_folder_that_cannot_be_written_ends_no_run(tmp_path):
    Progress("vasp", 1, 1).write(tmp_path / "gone")
    write_log(tmp_path / "gone", "a line")
    assert not (tmp_path / "gone").exists()


def test_the_log_has_a_time_on_every_line(tmp_path):
    write_log(tmp_path, "one")
    write_log(tmp_path, "two")
    lines = (tmp_path / LOG_FILE).read_text().splitlines()
    assert [line[24:] for line in lines] == ["INFO launcher: one", "INFO launcher: two"]
    assert all(line[4] == line[7] == "-" and line[13] == line[16] == ":" for line in lines)


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0.4, "0 s"),
        (45, "45 s"),
        (89.4, "89 s"),
        (700, "12 min"),
        (3 * 3600 + 19 * 60, "3 h 20 min"),
        (47.9 * 3600, "47 h 50 min"),
        (12 * 86400 + 4.2 * 3600, "12 d 4 h"),
        (6 * 86400 + 23.8 * 3600, "7 d 0 h"),
    ],
)
def test_durations_are_for_people(seconds, shown):
    assert duration_text(seconds) == shown


def test_sizes_are_for_people():
    assert [size_text(size) for size in (7, 1500, 2.34e7, 8e10, 1.2e13)] == [
        "7 bytes", "1.5 kB", "23.4 MB", "80 GB", "12 TB",
    ]  # fmt: skip


def test_outcomes_are_told_in_the_words_of_status():
    kept = {"state": "completed", "relation": "kept", "counts": True, "energy_per_fu": -33.61}
    assert outcome_text(kept) == "as meant (kept), -33.6100 eV/f.u."
    assert outcome_text({**kept, "relation": "moved", "counts": False}) == "LOST (moved), -33.6100 eV/f.u."
    assert outcome_text({**kept, "state": "failed", "counts": False, "energy_per_fu": None}) == "failed"
    assert outcome_text({**kept, "state": "audit failed", "counts": False}) == "audit failed, -33.6100 eV/f.u."
    assert outcome_text(None) == "no document"
