"""TaskDocs of atomate2: those that our own jobs made, read as JSON files and from another JobStore."""

import json

import numpy as np
import pytest
import yaml
from monty.json import jsanitize
from valenceflow.stores.connect import sqlite_stores
from valenceflow.stores.frames import iter_frame_docs, iter_frames
from valenceflow.stores.ingest import ingest
from valenceflow.stores.ingest_jobs import JobStoreItems
from valenceflow.stores.ingest_options import default_options


@pytest.fixture(scope="module")
def task(two_steps):
    """emmet's document of the second step, with its ionic steps, as a plain dict."""
    from atomate2.vasp.jobs.base import get_vasp_task_document

    document = get_vasp_task_document(two_steps.folders["relax"], store_additional_json=False)
    return jsanitize(document.model_dump(), strict=True, enum_values=True)


@pytest.fixture
def task_file(task, tmp_path):
    path = tmp_path / "task.json"
    path.write_text(json.dumps(task, default=str))
    return path


def test_the_last_frame_is_that_of_the_run_folder(task_file, plain_folders, take, stores, tmp_path):
    summary = take(task_file)
    (frame,) = iter_frames(stores)
    assert summary.left_out["no moments"] == len(_energies(plain_folders, tmp_path)) - 1
    assert frame.doc["source"] == "task document"
    assert frame.doc["engine"] == "rehearsal:springs"
    other = sqlite_stores(tmp_path / "folders.sqlite")
    last = list(iter_frames(other))[-1]
    assert frame.doc["energy"] == pytest.approx(last.doc["energy"], abs=1e-9)
    assert np.allclose(frame.arrays.forces, last.arrays.forces)
    assert np.allclose(frame.arrays.stress, last.arrays.stress)
    assert np.allclose(frame.arrays.magmoms, last.arrays.magmoms)
    assert frame.doc["protocol_hash"] == last.doc["protocol_hash"]
    assert frame.doc["content_hash"] == last.doc["content_hash"]
    other.close()


def _energies(plain_folders, tmp_path):
    from valenceflow.stores.ingest import find_items

    other = sqlite_stores(tmp_path / "folders.sqlite")
    ingest(other, find_items([plain_folders["relax"]]), default_options())
    energies = [document["energy"] for document in iter_frame_docs(other)]
    other.close()
    return energies


def test_steps_without_moments_can_be_kept(task_file, plain_folders, take, stores, tmp_path):
    take(task_file, keep_unlabelled=True)
    found = [document["energy"] for document in iter_frame_docs(stores)]
    assert found == pytest.approx(_energies(plain_folders, tmp_path), abs=1e-9)


def test_a_list_and_lines_of_documents_are_several_runs(task, tmp_path, take):
    other = json.loads(json.dumps(task, default=str))
    for step in other["calcs_reversed"][0]["output"]["ionic_steps"]:
        step["structure"]["sites"][0]["abc"][0] += 0.001
    other["dir_name"] = "elsewhere"
    (tmp_path / "list.json").write_text(json.dumps([{"output": task}, other], default=str))
    assert take(tmp_path / "list.json").taken == 2
    lines = "\n".join(json.dumps(document, default=str) for document in (task, other))
    (tmp_path / "lines.jsonl").write_text(lines)
    assert take(tmp_path / "lines.jsonl").skipped == {"duplicate run": 2}


def test_the_run_that_a_folder_gave_is_not_taken_again_from_its_document(task_file, plain_folders, take):
    take(plain_folders["relax"])
    assert take(task_file).skipped == {"duplicate run": 1}


def test_without_ionic_steps_the_final_frame_is_left(task, tmp_path, take, stores):
    final = {**task, "calcs_reversed": [{**task["calcs_reversed"][0]}]}
    final["calcs_reversed"][0]["output"] = {**task["calcs_reversed"][0]["output"], "ionic_steps": None}
    (tmp_path / "task.json").write_text(json.dumps(final, default=str))
    take(tmp_path / "task.json")
    (document,) = iter_frame_docs(stores)
    assert document["energy"] == pytest.approx(task["output"]["energy"])


def test_task_documents_of_another_job_store(task, tmp_path, stores):
    source = tmp_path / "other.sqlite"
    other = sqlite_stores(source)
    blob = {"blob_uuid": "b1", "job_uuid": "j1", "data": task["calcs_reversed"]}
    other.data().update([blob])
    reference = {"@class": "Blob", "blob_uuid": "b1", "store": "data"}
    other.docs().update([{"uuid": "j1", "index": 1, "name": "relax", "output": {**task, "calcs_reversed": reference}}])
    other.docs().update([{"uuid": "j2", "index": 1, "name": "add", "output": {"sum": 3}}])
    other.close()
    spec = {"type": "SQLiteStore", "path": str(source)}
    path = tmp_path / "jobs.yaml"
    additional = {"data": {**spec, "collection": "data"}}
    path.write_text(yaml.safe_dump({"docs_store": {**spec, "collection": "jobs"}, "additional_stores": additional}))
    assert len(JobStoreItems(path)) == 1
    assert ingest(stores, JobStoreItems(path), default_options()).taken == 1
    assert ingest(stores, JobStoreItems(path), default_options()).unchanged == 1
