"""Projects of jobflow-remote that are wrong: each is told with its file, and no password is."""

import pytest
import yaml
from valenceflow.flows.campaign_file import RemoteChoice
from valenceflow.flows.queues.remote import RemoteQueue, merged_exec_config, read_project

PASSWORD = "s3cret-word"
WORKER = {"type": "local", "scheduler_type": "slurm", "work_dir": "/scratch", "resources": {"nodes": 1}}
STORE = {"type": "MemoryStore", "collection_name": "jobs"}


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Function that writes the only project there is, its fields changed, or any text."""
    monkeypatch.setattr("jobflow_remote.SETTINGS.projects_folder", str(tmp_path))

    def write(text=None, **changes):
        content = {"name": "trial", "workers": {"here": WORKER}, "queue": {"store": STORE}, **changes}
        (tmp_path / "trial.yaml").write_text(yaml.safe_dump(content) if text is None else text)
        return tmp_path / "trial.yaml"

    return write


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("name: [broken\n  : {", "not readable as YAML"),
        ("", "got an empty file"),
        ("name_: trial", "KeyError: 'name'"),
        (f"name: trial\nqueue: {{store: {{type: NoStore, password: {PASSWORD}}}}}", "queue.store: KeyError: 'NoStore'"),
    ],
)
def test_a_project_that_cannot_be_read_is_named_with_what_is_wrong(text, told, project):
    path = project(text)
    with pytest.raises(ValueError, match="launch: remote: ") as refused:
        read_project(RemoteChoice(project="trial"))
    assert str(path) in str(refused.value)
    assert told in str(refused.value)
    assert "\n" not in str(refused.value)
    assert PASSWORD not in str(refused.value)


def test_a_scheduler_that_is_none_is_named(project):
    project(workers={"here": {**WORKER, "scheduler_type": "lsf"}})
    with pytest.raises(ValueError, match="Unknown scheduler type lsf"):
        read_project(RemoteChoice())


def test_a_queue_without_a_store_is_told(project):
    project(queue={})
    with pytest.raises(ValueError, match=r"a store of project trial cannot be made \(KeyError: 'type'\)"):
        RemoteQueue.open(RemoteChoice())


def test_names_that_the_scheduler_does_not_know_are_told_and_times_are_read_as_it_reads_them(project):
    project()
    with pytest.raises(ValueError, match="'nodes' or 'nodelist' instead of 'nodess'"):
        RemoteQueue.open(RemoteChoice(resources={"nodess": 2})).check_request("relax")
    queue = RemoteQueue.open(RemoteChoice(resources={"time": "UNLIMITED"}, steps={"relax": {"time": 90}}))
    queue.check_request("relax")
    assert (queue.wall_time_s("static"), queue.wall_time_s("relax")) == (None, 5400)
    assert RemoteQueue.open(RemoteChoice(resources={"walltime": 90})).wall_time_s("relax") == 90, "PBS counts seconds"


def test_an_exec_config_is_kept_with_what_a_rehearsal_needs_added_and_quoted(project):
    project(exec_config={"vasp6": {"modules": ["vasp/6.4"], "export": {"A": "1"}, "pre_run": "ulimit -s unlimited"}})
    made = merged_exec_config(read_project(RemoteChoice()), "vasp6", {"ATOMATE2_VASP_CMD": "stand in $HOME"})
    assert (made.modules, made.pre_run) == (["vasp/6.4"], "ulimit -s unlimited")
    assert made.export == {"A": "1", "ATOMATE2_VASP_CMD": "'stand in $HOME'"}
    with pytest.raises(ValueError, match="has no exec_config 'vasp5'; it has vasp6"):
        read_project(RemoteChoice(exec_config="vasp5"))
