"""A store made anew from the run folders is the store that was lost."""

import gzip
import json
import shutil

import orjson
import pytest
from valenceflow.flows.plan import step_uuid
from valenceflow.flows.start_file import START_FILE
from valenceflow.flows.step_document import STEP_FILE
from valenceflow.stores.connect import COLLECTIONS, sqlite_stores

SPRINGS = ("--engine", "rehearsal:springs")
CLOCKS = {"last_updated", "created_at"}
ENVELOPE = ("uuid", "index", "name", "metadata", "hosts")


@pytest.fixture
def copied(finished_campaign, tmp_path):
    """The campaign in a folder of its own, with the contents of its store as they were."""
    original, _ = finished_campaign
    shutil.copytree(original.parent, tmp_path / "copy")
    path = tmp_path / "copy" / original.name
    return path, contents(path)


def store_file(path):
    return path.parent / "small" / "store.sqlite"


def contents(path):
    """Every collection by key, dates of writing left out, and every job's output with its frames."""
    stores = sqlite_stores(store_file(path))
    found = {}
    for name in COLLECTIONS:
        collection = stores.collection(name)
        found[name] = {d[collection.key]: {k: v for k, v in d.items() if k not in CLOCKS} for d in collection.query()}
    with stores.job_store() as job_store:
        envelopes = list(job_store.query())
        found["jobs"] = {e["uuid"]: {name: e[name] for name in ENVELOPE} for e in envelopes}
        found["outputs"] = {e["uuid"]: job_store.get_output(e["uuid"], load=True) for e in envelopes}
    found["blobs"] = sorted((b["job_uuid"], b["job_index"]) for b in stores.data().query({}, ["job_uuid", "job_index"]))
    stores.close()
    return found


def without_tasks(found):
    outputs = {uuid: {k: v for k, v in output.items() if k != "task"} for uuid, output in found["outputs"].items()}
    return {**found, "outputs": outputs, "blobs": sorted(set(found["blobs"]))}


def remove_store(path):
    for file in store_file(path).parent.glob("store.sqlite*"):
        file.unlink()


def step_files(path):
    return sorted((path.parent / "small" / "runs").glob(f"*/*/*/{STEP_FILE}"))


def test_a_deleted_store_comes_back_whole_and_nothing_is_run_again(copied, call):
    path, before = copied
    remove_store(path)
    said = json.loads(call("rebuild", path, "--json").out)
    assert (said["configurations"], said["jobs"]["added"], said["calculations"]) == (4, 7, 4)
    assert said["passed_over"]["by_reason"] == {}
    after = contents(path)
    assert without_tasks(after) == without_tasks(before)
    assert all(output["task"] is None for output in after["outputs"].values())
    runs = sorted((path.parent / "small" / "runs").glob("*/*/*"))
    assert " 0 to run with 1 worker;" in call("run", path, *SPRINGS).out
    assert sorted((path.parent / "small" / "runs").glob("*/*/*")) == runs


def test_task_documents_are_read_again_on_request(copied, call):
    path, before = copied
    remove_store(path)
    call("rebuild", path, "--tasks")
    after = contents(path)
    assert after["blobs"] == before["blobs"]
    for uuid, output in before["outputs"].items():
        again = after["outputs"][uuid]["task"]
        assert again["output"] == output["task"]["output"]
        assert again["input"]["incar"] == output["task"]["input"]["incar"]
        assert again["calcs_reversed"][0]["output"]["ionic_steps"] is None


def test_a_second_rebuild_changes_nothing(copied, call):
    path, before = copied
    assert (
        "added: 0 configurations, 0 job documents, 0 calculations; mended: 0; already there: 7"
        in call("rebuild", path).out
    )
    assert contents(path) == before


def test_what_is_missing_is_filled_in_and_what_differs_stays(copied, call):
    path, before = copied
    stores = sqlite_stores(store_file(path))
    jobs = sorted(before["jobs"])
    stores.docs().remove_docs({"uuid": jobs[0]})
    stores.data().remove_docs({"job_uuid": jobs[1]})
    changed = stores.docs().query_one({"uuid": jobs[2]})
    changed["output"]["energy"] = -1.0
    stores.docs().update(changed)
    stores.collection("calculations").remove_docs({"fraction": 1.0})
    stores.close()
    said = call("rebuild", path).out
    assert "added: 0 configurations, 1 job documents, 1 calculations; mended: 1; already there: 4" in said
    assert "1 run folders whose document differs from the store's, which stays" in said
    after = without_tasks(contents(path))
    assert after["outputs"].pop(jobs[2])["energy"] == -1.0
    expected = without_tasks(before)
    del expected["outputs"][jobs[2]]
    for found in (after, expected):
        del found["blobs"]  # the one that was removed with its document has a new name, and the old one is an orphan
    assert after == expected


def test_damaged_and_foreign_files_are_counted_with_reasons(copied, call):
    path, _ = copied
    remove_store(path)
    cut, empty, foreign, unknown, odd, *rest = step_files(path)
    cut.write_bytes(cut.read_bytes()[:2000])
    empty.write_bytes(b"")
    rewrite(foreign, intent={"campaign": "other", "configuration_id": "x"}, uuid="x")
    rewrite(unknown, intent={"campaign": "small", "configuration_id": "x"}, uuid="x")
    rewrite(odd, forces="none")
    said = json.loads(call("rebuild", path, "--json").out)
    reasons = {reason: len(paths) for reason, paths in said["passed_over"]["by_reason"].items()}
    odd_reason = next(reason for reason in reasons if reason.startswith("of another format: forces"))
    assert reasons == {
        "damaged": 2,
        "of another campaign (other)": 1,
        "of a configuration that manifest.json does not know": 1,
        odd_reason: 1,
    }
    assert said["jobs"]["added"] == len(rest) == 2
    printed = call("rebuild", path).out
    assert f"2 files passed over, damaged; the first: {min(cut, empty)}" in printed


def rewrite(path, **changes):
    fields = orjson.loads(gzip.decompress(path.read_bytes()))
    path.write_bytes(gzip.compress(orjson.dumps({**fields, **changes})))


def test_older_attempts_come_back_as_older_attempts(copied, call):
    """A retry by hand: the manifest names attempt 2, of which nothing was run."""
    path, before = copied
    manifest = path.parent / "small" / "manifest.json"
    content = json.loads(manifest.read_text())
    retried = next(c for c in content["configurations"] if c["fraction"] == 1.0)
    uuid = step_uuid(retried["campaign"], retried["configuration_id"], "relax", 2)
    retried.update(attempt=2, job_uuids={"relax": uuid})
    manifest.write_text(json.dumps(content))
    remove_store(path)
    call("rebuild", path)
    after = contents(path)["calculations"]
    old = f"{retried['configuration_id']}-1"
    assert after.pop(old) == {**before["calculations"].pop(old), "latest": False}
    assert after == before["calculations"]


def test_failures_that_the_launcher_wrote_down_come_back(finished_campaign, tmp_path, call):
    original, _ = finished_campaign
    from valenceflow.flows.campaign_file import read_campaign
    from valenceflow.flows.launch import Finished, run_folder
    from valenceflow.flows.manifest import read_manifest
    from valenceflow.flows.runner import Prepared, campaign_stores, keep

    shutil.copytree(original.parent, tmp_path / "copy")
    path = tmp_path / "copy" / original.name
    campaign = read_campaign(path)
    configuration = next(c for c in read_manifest(campaign.folder) if c.fraction == 1.0)
    shutil.rmtree(run_folder(campaign.folder, configuration))
    run_folder(campaign.folder, configuration).mkdir()
    remove_store(path)
    stores = campaign_stores(campaign)
    assert keep(Prepared(campaign, configuration.engine, stores, [configuration]), Finished(configuration, "no reason"))
    failure = stores.collection("failures").query_one({})
    stores.close()
    remove_store(path)
    call("rebuild", path)
    after = contents(path)
    assert list(after["failures"].values()) == [failure]
    assert after["calculations"][configuration.calculation_id]["state"] == "failed"


def test_a_missing_or_damaged_manifest_is_one_line(copied, refused):
    path, _ = copied
    manifest = path.parent / "small" / "manifest.json"
    manifest.write_text("{")
    assert "damaged" in refused("rebuild", path)
    manifest.unlink()
    assert "manifest.json is missing or empty" in refused("rebuild", path)


def test_a_campaign_that_was_never_started_is_one_line(tmp_path, write_campaign, refused):
    assert "campaign small has not been started" in refused("rebuild", write_campaign(tmp_path))


def test_a_finished_job_whose_document_was_never_stored_is_taken_from_its_folder(copied, call):
    """As after a SIGKILL between leaving the document in the folder and storing it: no VASP run is repeated."""
    path, before = copied
    stores = sqlite_stores(store_file(path))
    stores.docs().remove_docs({})
    stores.data().remove_docs({})
    stores.collection("calculations").remove_docs({})
    stores.close()
    assert " 0 to run with 1 worker;" in call("run", path, *SPRINGS).out
    assert without_tasks(contents(path)) == without_tasks(before)
    assert len(step_files(path)) == 7


def test_the_start_file_says_what_jobflow_knew(finished_campaign):
    original, _ = finished_campaign
    content = json.loads(step_files(original)[0].with_name(START_FILE).read_text())
    assert content["metadata"]["campaign"] == "small"
    assert content["name"] in ("relax", "surrogate relax")
    assert len(content["hosts"]) == 1


def findings(path, call):
    """What `doctor` says of the store's integrity: (fine or not, text, remedy)."""
    checks = json.loads(call("doctor", path, "--json").out)
    return [(c["ok"], c["found"], c["remedy"]) for c in checks if c["name"] in ("integrity", "store")][1:]


SOUND = (True, "the file is sound and every document has what it points to", "")


def lose_a_job(stores):
    stores.docs().remove_docs({"uuid": sorted(stores.docs().distinct("uuid"))[0]})


def lose_frames(stores):
    stores.data().remove_docs({"data.energies": {"$exists": True}})


def lose_a_configuration(stores):
    stores.collection("configurations").remove_docs({"fraction": 1.0})


def lose_what_is_latest(stores):
    calculation = stores.collection("calculations").query_one({"fraction": 1.0})
    stores.collection("calculations").update({**calculation, "calculation_id": "again"})


@pytest.mark.parametrize(
    ("break_it", "said"),
    [
        (lose_a_job, "1 calculations whose job documents are missing"),
        (lose_frames, "7 job documents whose frames or TaskDoc are missing"),
        (lose_a_configuration, "1 configurations of manifest.json are not in the store"),
        (lose_what_is_latest, "1 configurations with more than one latest calculation"),
    ],
)
def test_doctor_finds_what_is_missing_and_rebuild_mends_it(break_it, said, copied, call):
    path, _ = copied
    assert findings(path, call) == [SOUND]
    stores = sqlite_stores(store_file(path))
    break_it(stores)
    stores.close()
    broken = findings(path, call)
    assert [text for ok, text, _ in broken if not ok and text.startswith(said)], broken
    assert all(f"valenceflow rebuild {path}" in remedy for ok, _, remedy in broken if not ok)
    if break_it is lose_what_is_latest:
        return  # a document that no run has: doctor names it, a person decides
    call("rebuild", path)
    assert not [text for ok, text, _ in findings(path, call) if not ok]


def test_doctor_counts_what_nothing_points_to(copied, call):
    path, _ = copied
    stores = sqlite_stores(store_file(path))
    blob = stores.data().query_one({})
    stores.data().update({**blob, "blob_uuid": "unused"})
    stores.collection("calculations").update({**stores.collection("calculations").query_one({}), **STRANGER})
    stores.close()
    found = findings(path, call)
    assert found[-1] == SOUND
    assert [text.partition(";")[0] for ok, text, _ in found[:-1] if ok] == [
        "1 calculations of configurations that manifest.json does not have",
        "1 blobs that no job document points to (a job was killed while it stored them)",
    ]


STRANGER = {"calculation_id": "x-1", "configuration_id": "x"}


def test_doctor_finds_a_damaged_file_and_the_way_out_works(copied, call, refused, tmp_path):
    path, before = copied
    file = store_file(path)
    content = bytearray(file.read_bytes())
    for start in range(40_000, len(content) - 3000, 4096 * 7):
        content[start : start + 2000] = bytes(2000)
    file.write_bytes(content)
    checks = json.loads(call("doctor", path, "--json").out)
    (check,) = (c for c in checks if c["name"] in ("integrity", "store") and not c["ok"])
    assert "is damaged" in check["found"]
    assert "move it away" in check["remedy"]
    assert "valenceflow rebuild" in check["remedy"]
    (tmp_path / "damaged").mkdir()
    for part in file.parent.glob("store.sqlite*"):
        part.rename(tmp_path / "damaged" / part.name)
    call("rebuild", path)
    assert without_tasks(contents(path)) == without_tasks(before)
    remove_store(path)
    file.write_bytes(b"not a database, whatever its name says" * 100)
    assert "is not a SQLite file" in refused("status", path)
    assert "valenceflow rebuild" in refused("rebuild", path)
    assert file.read_bytes().startswith(b"not a database")  # nothing is overwritten
