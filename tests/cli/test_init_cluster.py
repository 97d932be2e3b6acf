"""`valenceflow init cluster`: from options, from questions, and never with a password on the command line."""

import os
import pty
import subprocess
import sys

import pytest
import yaml
from valenceflow.cli.init_cluster import PASSWORD_VARIABLE

PASSWORD = 'p"w: {x} @/'
WITH_MONGODB = ("--mongo-host", "db.example.org", "--mongo-user", "me")


def test_options_are_written_and_the_password_comes_from_the_environment(tmp_path, call, monkeypatch):
    monkeypatch.setenv(PASSWORD_VARIABLE, PASSWORD)
    answer = call("init", "cluster", tmp_path / "c", *WITH_MONGODB, "--ntasks", 8, "--vasp-cmd", "srun vasp_gam")
    assert answer.code == 0, answer.err
    project = yaml.safe_load((tmp_path / "c" / "jobflow-remote.yaml").read_text())
    assert project["queue"]["store"]["password"] == PASSWORD
    assert project["workers"]["cluster"]["resources"] == {"nodes": 1, "ntasks": 8, "time": "24:00:00"}
    assert "export ATOMATE2_VASP_CMD='srun vasp_gam'" in project["workers"]["cluster"]["pre_run"]
    assert PASSWORD not in answer.out + answer.err
    assert all(f"{path}: " in answer.out for path in (tmp_path / "c").iterdir())
    assert "--launch remote" in answer.out


def test_a_user_without_a_password_is_refused_and_nothing_is_written(tmp_path, refused, monkeypatch):
    monkeypatch.delenv(PASSWORD_VARIABLE, raising=False)
    assert f"put it into ${PASSWORD_VARIABLE}" in refused("init", "cluster", tmp_path / "c", *WITH_MONGODB)
    assert not (tmp_path / "c").exists()


def test_an_empty_password_is_no_password(tmp_path, refused, monkeypatch):
    monkeypatch.setenv(PASSWORD_VARIABLE, "")
    assert f"put it into ${PASSWORD_VARIABLE}" in refused("init", "cluster", tmp_path / "c", *WITH_MONGODB)


@pytest.mark.parametrize("below", [(), ("deeper",)])
def test_a_file_where_the_folder_belongs_is_said(below, tmp_path, refused):
    (tmp_path / "c").write_text("mine")
    folder = tmp_path.joinpath("c", *below)
    assert f"{folder} is no folder, or lies in none" in refused("init", "cluster", folder)
    assert (tmp_path / "c").read_text() == "mine"


def test_the_file_of_a_project_with_a_blank_in_its_name_is_quoted(tmp_path, call):
    assert "~/.jfremote/'my own.yaml'" in call("init", "cluster", tmp_path / "c", "--project", "my own").out


def test_without_mongodb_the_allocation_alone_is_written(tmp_path, call, refused):
    answer = call("init", "cluster", tmp_path / "c", "--mongo-host", "none")
    assert [path.name for path in (tmp_path / "c").iterdir()] == ["allocation.sbatch"]
    assert f"sbatch {tmp_path}/c/allocation.sbatch CAMPAIGN.yaml" in answer.out
    assert "allocation.sbatch; name another folder" in refused(
        "init", "cluster", tmp_path / "c", "--mongo-host", "none"
    )
    said = refused("init", "cluster", tmp_path / "pbs", "--mongo-host", "none", "--scheduler", "pbs")
    assert "--wall-time H:M:S" in said


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--scheduler", "lsf"), "scheduler 'lsf': choose one of slurm, pbs"),
        (("--time", "soon"), "wall time 'soon'"),
        (("--max-jobs", 0), "max_jobs 0: at least 1"),
        (("--nodes", 3), "tasks on 3 nodes"),
    ],
)
def test_answers_that_cannot_be_are_one_line(options, said, tmp_path, refused):
    assert said in refused("init", "cluster", tmp_path / "c", *options)
    assert not (tmp_path / "c").exists()


def test_on_a_terminal_what_no_option_says_is_asked_for(tmp_path):
    terminal, theirs = pty.openpty()
    command = [sys.executable, "-m", "valenceflow.cli.main", "init", "cluster", str(tmp_path / "c"), "--ntasks", "4"]
    answers = "\n".join(["", "ab-12", "", "2", "1:00:00", "srun vasp_gam", "", "", "none", "2"]) + "\n"
    with subprocess.Popen(command, stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as asking:
        os.close(theirs)
        os.write(terminal, answers.encode())
        out, err = asking.communicate(timeout=60)
    os.close(terminal)
    assert "Account to charge" in err
    assert "MPI ranks" not in err, "an option said it"
    assert asking.returncode == 0, out + err
    script = (tmp_path / "c" / "allocation.sbatch").read_text()
    assert "#SBATCH --account=ab-12\n" in script
    assert "#SBATCH --nodes=2\n#SBATCH --ntasks=4\n" in script
    assert "export ATOMATE2_VASP_CMD='srun --exclusive --ntasks=2 vasp_gam'" in script


def test_without_standard_input_nothing_is_asked(tmp_path, call, monkeypatch):
    monkeypatch.setattr("sys.stdin", None)
    assert call("init", "cluster", tmp_path / "c").code == 0


def test_init_without_a_word_writes_a_campaign(tmp_path, call, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert call("init", "mine.yaml").code == 0
    named = (tmp_path / "mine.yaml").rename(tmp_path / "first.yaml").read_text()
    assert call("init", "campaign", "mine.yaml").code == 0
    assert (tmp_path / "mine.yaml").read_text() == named
