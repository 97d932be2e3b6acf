"""Files of `init cluster` against the loaders of those who will read them."""

from __future__ import annotations

import errno
import os
import shlex
import subprocess
from pathlib import Path

import pytest
import yaml
from fireworks import FWorker, LaunchPad
from fireworks.user_objects.queue_adapters.common_adapter import CommonAdapter
from hypothesis import given
from hypothesis import strategies as st
from jobflow_remote.config.base import Project
from qtoolkit.io import scheduler_mapping
from valenceflow.flows.queues.configuration import FILES, ClusterAnswers, cluster_file, write_cluster_files
from valenceflow.stores.connect import stores_from_yaml

HOSTILE = ClusterAnswers(
    work_dir="/scratch/a b'c",
    vasp_cmd="""srun --label='a "b"' $HOME/vasp_std""",
    potcars="/data/pot $(date)",
    mongo_password='p"w: {x} #\\ $y',
    mongo_user="me",
    account="ab-12",
    partition="long",
)


@pytest.fixture(params=["slurm", "pbs"])
def written(request, tmp_path):
    answers = ClusterAnswers(**{**vars(HOSTILE), "scheduler": request.param})
    write_cluster_files(tmp_path / "made here", answers)
    return tmp_path / "made here", answers


def test_the_project_is_one_of_jobflow_remote(written):
    folder, answers = written
    project = Project.model_validate(yaml.safe_load((folder / "jobflow-remote.yaml").read_text()))
    worker = project.workers["cluster"]
    assert str(worker.work_dir) == answers.work_dir
    assert project.queue.store["password"] == answers.mongo_password
    scheduler = scheduler_mapping[answers.scheduler]()
    script = scheduler.get_submission_script("jf run", options=worker.resources)
    assert "24:00:00" in script
    assert answers.account in script


def test_documents_come_back_to_the_store_that_the_campaign_names(written):
    folder, _ = written
    project = Project.model_validate(yaml.safe_load((folder / "jobflow-remote.yaml").read_text()))
    ours, theirs = stores_from_yaml(folder / "store.yaml").job_store(), project.get_jobstore()
    assert ours.docs_store.name == theirs.docs_store.name
    assert ours.additional_stores["data"].name == theirs.additional_stores["data"].name


def test_fireworks_reads_its_files(written):
    folder, answers = written
    launchpad = LaunchPad.from_file(str(folder / "my_launchpad.yaml"))
    assert launchpad.password == answers.mongo_password
    launchpad.connection.close()
    assert FWorker.from_file(str(folder / "my_fworker.yaml")).name == "cluster"
    adapter = CommonAdapter.from_file(str(folder / "my_qadapter.yaml"))
    script = adapter.get_script_str("/launch")
    assert "24:00:00" in script
    assert f"rlaunch -l '{folder}/my_launchpad.yaml'" in script


def test_files_with_passwords_are_their_owners_alone(written):
    folder, _ = written
    for path in folder.iterdir():
        holds = 'p\\"w' in path.read_text()
        assert (path.stat().st_mode & 0o077 == 0) == holds, path


def test_nothing_is_written_over(written):
    folder, answers = written
    (folder / "store.yaml").unlink()
    with pytest.raises(ValueError, match=r"has jobflow-remote\.yaml, my_launchpad\.yaml"):
        write_cluster_files(folder, answers)
    assert not (folder / "store.yaml").exists()


def test_on_a_disk_that_fills_up_midway_nothing_is_left(tmp_path, monkeypatch):
    write = Path.write_text

    def fill(path, text, **options):
        if path.name == "my_fworker.yaml":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(path, text, **options)

    monkeypatch.setattr(Path, "write_text", fill)
    with pytest.raises(ValueError, match=r"cannot be written \(No space left on device\)"):
        write_cluster_files(tmp_path / "c", HOSTILE)
    assert list((tmp_path / "c").iterdir()) == []


def test_a_link_to_nowhere_is_not_written_through(tmp_path):
    (tmp_path / "store.yaml").symlink_to(tmp_path / "elsewhere.yaml")
    with pytest.raises(ValueError, match=r"has store\.yaml"):
        write_cluster_files(tmp_path, HOSTILE)
    assert not (tmp_path / "elsewhere.yaml").exists()


@given(text=st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1))
def test_whatever_is_answered_stays_text(text, tmp_path_factory):
    folder = tmp_path_factory.getbasetemp()
    project = "p" + text.replace("/", "-")
    command = shlex.quote(text)
    answers = ClusterAnswers(
        vasp_cmd=command, potcars=f"/{text}", mongo_password=text, project=project, mongo_user=text
    )
    for name in FILES:
        content = cluster_file(name, folder, answers)
        if name.endswith(".yaml"):
            yaml.safe_load(content)
    script = cluster_file("allocation.sbatch", folder, answers)
    exported = next(line for line in script.splitlines() if line.startswith("export ATOMATE2_VASP_CMD="))
    assert shlex.split(exported)[1] == f"ATOMATE2_VASP_CMD={command}"


def test_the_allocations_script_is_bash(tmp_path):
    script = cluster_file("allocation.sbatch", tmp_path, HOSTILE)
    checked = subprocess.run(["bash", "-n"], input=script, text=True, capture_output=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, "")
    assert "#SBATCH --account=ab-12" in script


def test_workers_of_an_allocation_share_its_tasks(tmp_path):
    script = cluster_file("allocation.sbatch", tmp_path, ClusterAnswers(workers=4, ntasks=40))
    assert "'srun --exclusive --ntasks=10 vasp_std'" in script


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"scheduler": "lsf"}, "scheduler 'lsf': choose one of slurm, pbs"),
        ({"time": "soon"}, "wall time 'soon'"),
        ({"work_dir": "scratch"}, "not an absolute path"),
        ({"vasp_cmd": "a\nb"}, "vasp_cmd has a line break"),
        ({"nodes": 3}, "40 tasks on 3 nodes"),
        ({"workers": 41}, "workers 41 share 40 tasks"),
        ({"account": "a b"}, "account 'a b' has a blank"),
        ({"activate": "source 'here"}, "no shell command: No closing quotation"),
        ({"potcars": "potcars"}, "POTCAR folder 'potcars' is not an absolute path"),
    ],
)
def test_answers_that_cannot_be_are_refused(given, message):
    with pytest.raises(ValueError, match=message):
        ClusterAnswers(**given)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"mongo_port": 0}, "mongo_port 0: between 1 and 65535"),
        ({"mongo_port": 99999999}, "between 1 and 65535"),
        (
            {"mongo_host": "mongodb://me:hidden@db.example.org"},
            r"'mongodb://me:\*\*\*@db.example.org' is no host's name",
        ),
        ({"project": "../../mine"}, "no slashes"),
        ({"vasp_cmd": ""}, "vasp_cmd is empty"),
        ({"vasp_cmd": "  ", "workers": 2}, "vasp_cmd is empty"),
        ({"mongo_host": "me:hidden@db.example.org"}, r"'mongodb://me:\*\*\*@db.example.org' is no host's name"),
        ({"mongo_database": "a.b"}, "mongo_database 'a.b' is no database's name"),
        ({"mongo_database": ""}, "mongo_database '' is no database's name"),
    ],
)
def test_answers_that_no_cluster_could_use_are_refused(wrong, told):
    with pytest.raises(ValueError, match=told):
        ClusterAnswers(**wrong)
