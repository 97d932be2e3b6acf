"""Ingest as a whole: what is new is told by checksums, processes change nothing, kills cost nothing."""

import shutil

import pytest
from valenceflow.stores.frame_writer import FrameWriter
from valenceflow.stores.frames import iter_frame_docs, iter_frames, read_blocks
from valenceflow.stores.ingest import find_items, ingest
from valenceflow.stores.ingest_options import default_options
from valenceflow.stores.processes import in_processes


@pytest.fixture
def three_folders(plain_folders, tmp_path):
    """Three different runs: one of step 1, two of step 2 that are not the same."""
    root = tmp_path / "set"
    shutil.copytree(plain_folders["surrogate relax"], root / "a")
    for number, name in enumerate(("b", "c"), start=1):
        shutil.copytree(plain_folders["relax"], root / name)
        path = root / name / "vasprun.xml"
        text = path.read_text().replace('<i name="date" type="string">', f'<i name="date" type="string">{number}')
        # Shift one atom's printed coordinate a little, so that no frame is the other run's.
        path.write_text(text.replace("<v>       0.", f"<v>       {number - 1}."))
    return root


def contents(stores):
    both = [*iter_frames(stores), *iter_frames(stores, surrogate="only")]
    return [({k: v for k, v in f.doc.items() if k != "_id"}, f.arrays.forces.tolist()) for f in both]


def test_unchanged_folders_are_left_alone(three_folders, take, stores):
    first = take(three_folders)
    before = contents(stores)
    second = take(three_folders)
    assert (first.taken, second.taken, second.unchanged, second.frames) == (3, 0, 3, 0)
    assert contents(stores) == before


def test_reading_again_changes_nothing(three_folders, take, stores):
    take(three_folders)
    before = contents(stores)
    again = take(three_folders, again=True)
    assert (again.taken, again.read_again) == (3, 3)
    assert contents(stores) == before


def test_other_options_read_the_run_again(three_folders, take):
    first, second = take(three_folders), take(three_folders, keep_unlabelled=True)
    assert (first.taken, first.read_again) == (3, 0)
    assert (second.taken, second.read_again) == (3, 3)


def test_skipped_folders_are_told_again_without_being_read(relax_folder, take, stores):
    (relax_folder / "OUTCAR").unlink()
    first, second = take(relax_folder), take(relax_folder)
    assert first.skipped == second.skipped == {"no OUTCAR": 1}
    assert stores.collection("runs").count({}) == 1


def test_a_run_that_grew_takes_the_place_of_what_was_salvaged(relax_folder, take, stores):
    whole = (relax_folder / "vasprun.xml").read_text()
    (relax_folder / "vasprun.xml").write_text(whole[: int(len(whole) * 0.6)])
    assert take(relax_folder).salvaged == 1
    (relax_folder / "vasprun.xml").write_text(whole)
    assert take(relax_folder).taken == 1
    assert {document["run_finished"] for document in iter_frame_docs(stores)} == {True}
    assert stores.collection("runs").count({}) == 1
    assert [d["number"] for d in iter_frame_docs(stores)] == list(range(whole.count("</calculation>")))


def test_a_longer_copy_elsewhere_takes_the_place_of_a_shorter_one(relax_folder, take, stores):
    shutil.copytree(relax_folder, relax_folder.parent / "z-whole")
    path = relax_folder / "vasprun.xml"
    path.write_text(path.read_text()[: int(path.stat().st_size * 0.6)])
    take(relax_folder.parent)
    (run,) = stores.collection("runs").query({"state": {"$ne": "skipped"}})
    assert run["place"].endswith("z-whole")
    assert run["n_frames"] == stores.collection("frames").count({})


def test_another_run_in_the_same_folder_takes_its_place(plain_folders, relax_folder, take, stores):
    take(relax_folder)
    for name in ("vasprun.xml", "OUTCAR"):
        shutil.copy(plain_folders["surrogate relax"] / name, relax_folder / name)
    take(relax_folder)
    assert list(iter_frame_docs(stores)) == []
    assert stores.collection("runs").count({}) == 1
    blocks = {d["block_id"] for d in stores.collection("frame_arrays").query({}, ["block_id"])}
    assert blocks == {d["block_id"] for d in iter_frame_docs(stores, surrogate="only")}


def test_two_processes_give_the_same_store_as_one(three_folders, empty_store, tmp_path, take, stores):
    from valenceflow.stores.connect import sqlite_stores

    alone = take(three_folders)
    other = sqlite_stores(shutil.copy(empty_store, tmp_path / "other.sqlite"))
    seen = []
    together = ingest(other, find_items([three_folders]), default_options(), 2, on_done=seen.append)
    assert together.as_dict() == alone.as_dict()
    assert contents(other) == contents(stores)
    assert [item.path.name for item in seen] == ["a", "b", "c"]
    other.close()


def test_what_a_kill_left_is_put_right(three_folders, take, stores, monkeypatch):
    def killed(self):
        self._write_frames()
        raise KeyboardInterrupt  # after the frames, before the runs

    with monkeypatch.context() as patched:
        patched.setattr(FrameWriter, "flush", killed)
        with pytest.raises(KeyboardInterrupt):
            take(three_folders)
    assert stores.collection("runs").count({}) == 0
    assert stores.collection("frames").count({}) > 0
    assert take(three_folders).taken == 3
    after = contents(stores)
    take(three_folders, again=True)
    assert contents(stores) == after


def test_a_process_that_dies_costs_its_own_item_alone():
    items = ["0", "1", "__import__('os')._exit(9)", "9", "16"]
    done = dict(in_processes(eval, items, 2, lambda text: "lost"))
    assert list(done.values()) == [0, 1, "lost", 9, 16]


def test_paths_that_are_missing_or_of_no_known_kind_are_refused(tmp_path):
    with pytest.raises(ValueError, match="no such folder or file"):
        find_items([tmp_path / "nowhere"])
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(ValueError, match="not a kind of file that is known"):
        find_items([tmp_path / "notes.txt"])
    assert find_items([tmp_path]) == []


def test_records_in_run_folders_are_not_taken_for_task_documents(relax_folder):
    (relax_folder / "custodian.json").write_text("[]")
    (item,) = find_items([relax_folder.parent, relax_folder])
    assert item.kind == "vasp folder"


def test_a_missing_block_is_said_with_the_way_out(relax_folder, take, stores):
    take(relax_folder)
    stores.collection("frame_arrays").remove_docs({})
    with pytest.raises(ValueError, match="is missing: `valenceflow build` or"):
        next(iter_frames(stores))
    assert read_blocks(stores, ["nothing"]) == {}


def test_run_folders_of_this_program_are_read_from_their_documents(two_steps, take, stores):
    from valenceflow.flows.start_file import START_FILE
    from valenceflow.flows.step_document import STEP_FILE
    from valenceflow.stores import ingest_campaign

    assert (ingest_campaign.STEP_FILE, ingest_campaign.START_FILE) == (STEP_FILE, START_FILE)
    summary = take(two_steps.root)
    assert summary.taken == 2
    first, second = next(iter_frames(stores, surrogate="only")), next(iter_frames(stores))
    assert (first.doc["step"], second.doc["step"]) == ("surrogate relax", "relax")
    assert first.doc["lineage"] != ""
    assert second.doc["audit_passed"] is True
    assert sorted(second.arrays.intended_states.tolist()) == sorted([1, 1, 3, 3, 2, 2, *[5] * 4, *[-2] * 16])
    uuids = {document.uuid for document in two_steps.documents.values()}
    assert {run["run_id"] for run in stores.collection("runs").query({})} == {f"{uuid}-1" for uuid in uuids}
