"""How the tests of this room call the command line: in this process where no worker is needed, else as a process."""

import os
import subprocess
import sys
from dataclasses import dataclass

import pytest
from filelock import FileLock

SPRINGS = ("--engine", "rehearsal:springs")


@dataclass(frozen=True)
class Answer:
    """What a command answered."""

    code: int
    out: str
    err: str


@pytest.fixture
def call(monkeypatch, capsys):
    """Function that runs a command in this process; what it raises beyond SystemExit is a traceback and a failure."""

    def run(*arguments):
        from valenceflow.cli.main import main

        monkeypatch.setattr(sys, "argv", ["valenceflow", *map(str, arguments)])
        code = 0
        try:
            main()
        except SystemExit as end:
            code = end.code or 0
        captured = capsys.readouterr()
        return Answer(code, captured.out, captured.err)

    return run


@pytest.fixture
def refused(call):
    """Function that runs a command which must be refused: one line, exit code 2; returns the line."""

    def run(*arguments):
        answer = call(*arguments)
        assert answer.code == 2, answer
        assert answer.err.startswith("valenceflow: "), answer.err
        assert answer.err.count("\n") == 1, answer.err
        assert "Traceback" not in answer.out + answer.err
        return answer.err.strip()

    return run


@pytest.fixture(scope="session")
def command_line():
    """Function that makes the arguments and environment of a command as a process of its own."""

    def make(*arguments, columns=120):
        environment = {**os.environ, "COLUMNS": str(columns), "TERM": "dumb"}
        return [sys.executable, "-m", "valenceflow.cli.main", *map(str, arguments)], environment

    return make


@pytest.fixture(scope="session")
def shell(command_line):
    """Function that runs a command as a process and returns its answer."""

    def run(*arguments, columns=120):
        command, environment = command_line(*arguments, columns=columns)
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
        return Answer(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture(scope="session")
def campaign_run_once(tmp_path_factory, worker_id, write_campaign, shell):
    """Function that writes a campaign and runs it, once for all processes of a test run; gives its file and what `run`
    printed. Only to be copied.
    """
    own = tmp_path_factory.getbasetemp()
    shared = (own if worker_id == "master" else own.parent) / "campaigns"
    shared.mkdir(exist_ok=True)

    def run(name, *options, **fields):
        folder, printed = shared / name, shared / f"{name}.txt"
        with FileLock(shared / f"{name}.lock"):
            if not printed.exists():
                folder.mkdir(exist_ok=True)  # of a process that failed here: the next one shows why, too
                answer = shell("run", write_campaign(folder, **fields), "--engine", "rehearsal:springs", *options)
                assert answer.code in (0, 1), answer
                assert answer.err == ""
                printed.write_text(answer.out)
        return folder / "campaign.yaml", printed.read_text()

    return run


SODIUM = {"Na": {"fraction": "1/2", "orderings": {"sample": 1}}}


@pytest.fixture(scope="session")
def finished_campaign(campaign_run_once):
    """A finished campaign (file and what `run` printed) of four configurations, seven VASP runs."""
    return campaign_run_once("finished", "--workers", 2, working_ion=SODIUM, charge={"sample": 2})


@pytest.fixture(scope="session")
def campaign_begun(campaign_run_once):
    """File of a campaign of two configurations, of which one is finished and one was not run yet."""
    fields = {"working_ion": SODIUM, "charge": {"sample": 2}, "end_members": False}
    return campaign_run_once("begun", "--limit", 1, **fields)[0]
