"""Stages: skipped when nothing changed, set aside when it did, what is left by what was measured."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import typer
from valenceflow.cli.main import app
from valenceflow.flows.campaign_file import read_campaign
from valenceflow.inputs.yaml_files import parse_yaml

EXAMPLE = Path(__file__).parents[2] / "examples" / "paper-miniature"


@pytest.fixture
def example(monkeypatch):
    """The example's modules, which import each other by name."""
    monkeypatch.syspath_prepend(str(EXAMPLE))
    names = ("commands", "runner", "results", "stages", "miniature")
    yield lambda name: __import__(name)
    for name in names:
        sys.modules.pop(name, None)


def writing(name, text, times):
    def step(root):
        times.append(name)
        (root / name / "made.txt").write_text(text)

    return step


def two(runner, times, text="1", settings=None, size=1.0):
    first = runner.Stage("first", "first", (writing("first", text, times),), ("made.txt",), settings or {}, like="work")
    second = runner.Stage(
        "second", "second", (writing("second", "2", times),), ("made.txt",), {}, ("first",), like="work", size=size
    )
    return [first, second]


def test_what_is_finished_is_not_done_again(example, tmp_path):
    runner, times = example("runner"), []
    for _ in range(2):
        runner.Runner(tmp_path, two(runner, times)).run()
    assert times == ["first", "second"]
    assert runner.Runner(tmp_path, two(runner, times)).left() == ""


def test_changed_settings_do_a_stage_again_and_keep_what_was_there(example, tmp_path):
    runner, times = example("runner"), []
    runner.Runner(tmp_path, two(runner, times)).run()
    runner.Runner(tmp_path, two(runner, times, settings={"x": 1})).run()
    assert times == ["first", "second", "first"]  # the second has the same products before it
    runner.Runner(tmp_path, two(runner, times, text="other", settings={"x": 2})).run()
    assert times[3:] == ["first", "second"]
    assert len(list(tmp_path.glob("first.before-*"))) == 2
    assert len(list(tmp_path.glob("second.before-*"))) == 1


def test_a_stage_without_its_product_is_an_error_and_not_finished(example, tmp_path):
    runner = example("runner")
    stage = runner.Stage("empty", "empty", (lambda root: None,), ("made.txt",))
    with pytest.raises(runner.StageError, match=r"empty: left no made\.txt"):
        runner.Runner(tmp_path, [stage]).run()
    assert not runner.Runner(tmp_path, [stage]).finished(stage)


def test_time_left_is_by_the_size_of_work_of_one_kind(example, tmp_path):
    runner, times = example("runner"), []
    stages = two(runner, times, size=3.0)
    found = runner.Runner(tmp_path, stages)
    assert found.left() == "not measured yet: work"
    found.run(until="first")
    record = tmp_path / "first" / "stage.json"
    record.write_text(json.dumps({**json.loads(record.read_text()), "cpu_s": 100.0}))
    assert found.left() == "about 300 CPU s left"
    record.write_text(json.dumps({**json.loads(record.read_text()), "killed": 1}))  # a kill's CPU time is not known
    assert found.left() == "not measured yet: work"


def test_two_runs_do_not_share_a_folder(example, tmp_path, monkeypatch):
    runner = example("runner")
    monkeypatch.setattr(runner, "PATIENCE_S", 0.0)
    with (
        runner.one_at_a_time(tmp_path),
        pytest.raises(runner.StageError, match="held by another run"),
        runner.one_at_a_time(tmp_path),
    ):
        pass


def test_a_command_fails_with_its_exit_code_and_leaves_no_half_output(example, tmp_path):
    runner = example("runner")
    command = runner.Command(("query", "missing.yaml"), output="found.json")
    stage = runner.Stage("ask", "ask", (command,), ("found.json",))
    with pytest.raises(runner.StageError, match=r"`valenceflow query missing\.yaml` ended with exit code 2"):
        runner.Runner(tmp_path, [stage]).run()
    assert not (tmp_path / "found.json").exists()


def test_the_number_of_processes_changes_no_result(example):
    runner = example("runner")
    one, two = (runner.Command(("run", "a.yaml", "--workers", n, "--seed", "1")) for n in "12")
    assert one.meaning == two.meaning == ["run", "a.yaml", "--seed", "1"]


@pytest.fixture(params=["smoke", "miniature", "paper"])
def scale(request):
    return request.param


@pytest.fixture
def told(scale):
    """Settings of a scale."""
    text = (EXAMPLE / "miniature.yaml").read_text()
    return parse_yaml(text, "miniature.yaml")["scales"][scale]


def test_every_scale_has_its_stages_in_an_order_that_can_be_done(example, scale, told):
    made = example("stages").stages_of(told)
    names = [stage.name for stage in made]
    assert len(set(names)) == len(names)
    for place, stage in enumerate(made):
        assert set(stage.after) <= set(names[:place]), stage.name
    trained = [stage for stage in made if stage.name.startswith("train-")]
    assert all(stage.settings["training"]["learning_rate"] > 0 for stage in trained)
    assert len(trained) == len(told["models"]) * 2 * len(told["seeds"])
    if scale != "smoke":
        assert len(trained) == 18


def test_every_scale_gives_commands_options_that_they_have(example, told):
    """Parsed as the command line parses them, and not run."""
    runner, number = example("runner"), 0
    for stage in example("stages").stages_of(told):
        for step in stage.steps:
            if isinstance(step, runner.Command):
                command, left = typer.main.get_command(app), list(step.arguments)
                context = command.make_context("valenceflow", [left[0]])
                while hasattr(command, "get_command"):
                    name = left.pop(0)
                    command = command.get_command(context, name)
                    assert command is not None, name
                command.make_context(name, left)
                number += 1
    assert number > 8


def test_every_scale_writes_campaigns_that_can_be_read(example, told, tmp_path):
    calculations = example("stages").stages_of(told)[0]
    (tmp_path / calculations.name).mkdir()
    calculations.steps[0](tmp_path)
    read = [read_campaign(tmp_path / calculations.name / f"{name}.yaml") for name in told["campaigns"]]
    assert [campaign.file.name for campaign in read] == list(told["campaigns"])
    for campaign, wanted in zip(read, told["campaigns"].values(), strict=True):
        assert campaign.cell.formula_units == 4 * np.prod(wanted["supercell"])


def test_a_stage_that_was_killed_says_so_and_one_that_was_stopped_keeps_its_time(example, tmp_path):
    runner, times = example("runner"), []
    stages = two(runner, times)
    found = runner.Runner(tmp_path, stages)

    def stopped(root):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        runner.Runner(tmp_path, [runner.Stage("first", "first", (stopped,), ("made.txt",))]).run()
    assert found.record(stages[0])["running"] is False
    record = tmp_path / "first" / "stage.json"
    said = {"inputs": found.inputs(stages[0]), "finished": False, "running": True, "cpu_s": 7.0, "killed": 0}
    record.write_text(json.dumps(said))
    found.run(until="first")
    assert found.record(stages[0])["killed"] == 1
    assert found.record(stages[0])["cpu_s"] >= 7.0


class Started:
    """Stages of one core that run a Python program each in place of valenceflow's commands."""

    def __init__(self, runner, root, monkeypatch):
        self.runner, self.root = runner, root
        monkeypatch.setattr(
            runner.Commands, "_arguments", lambda _, command: [sys.executable, "-c", *command.arguments]
        )

    def stage(self, name, program):
        return self.runner.Stage(name, name, (self.runner.Command((program,)),), ("made.txt",), one_core=True)

    def run(self, *programs, cores=2):
        stages = [self.stage(f"s{n}", program) for n, program in enumerate(programs)]
        found = self.runner.Runner(self.root, stages, cores)
        found.run()
        return [found.record(stage) for stage in stages]


@pytest.fixture
def started(example, tmp_path, monkeypatch):
    return Started(example("runner"), tmp_path, monkeypatch)


WAITS = "import pathlib, time\nwhile not pathlib.Path({!r}).exists(): time.sleep(0.01)\n"
MAKES = "import pathlib; pathlib.Path({!r}).write_text('')\n"


def test_stages_of_one_core_run_side_by_side_and_say_what_they_say_in_a_log(started):
    """Each waits for what the other makes first."""
    first = MAKES.format("s0/made.txt") + WAITS.format("s1/made.txt") + "print('first'); sum(range(10**6))"
    second = WAITS.format("s0/made.txt") + MAKES.format("s1/made.txt") + "print('second')"
    records = started.run(first, second)
    assert all(record["finished"] and record["cpu_s"] > 0.005 for record in records)
    assert [(started.root / name / "log.txt").read_text() for name in ("s0", "s1")] == ["first\n", "second\n"]


SPENDS = """
import json, pathlib, subprocess, sys, time
subprocess.run([sys.executable, "-c", "import time\\nwhile time.process_time() < 0.3: pass"])
for _ in range(3000):
    noted = json.loads(pathlib.Path("s0/stage.json").read_text())["cpu_s"]
    if noted > 0.3:
        break
    time.sleep(0.01)
pathlib.Path("s0/made.txt").write_text(str(noted))
"""


def test_what_a_stage_has_spent_is_noted_while_it_runs(started, monkeypatch):
    """What its processes have spent that ended, too, so that a kill takes a few seconds from the account at most."""
    monkeypatch.setattr(sys.modules["commands"], "NOTED_EVERY_S", 0.02)
    (record,) = started.run(SPENDS)
    noted = float((started.root / "s0" / "made.txt").read_text())
    assert 0.3 < noted <= record["cpu_s"]
    assert record["finished"]


def test_where_one_of_them_fails_the_others_are_stopped_and_the_rest_is_not_begun(started):
    fails = WAITS.format("s1/running") + "print('no room'); raise SystemExit(3)"
    waits = MAKES.format("s1/running") + "import time; time.sleep(60)"
    with pytest.raises(
        started.runner.StageError, match=r"(?s)s0: .* ended with exit code 3; its last words are in .*log\.txt"
    ):
        started.run(fails, waits, MAKES.format("s2/made.txt"))
    assert (started.root / "s0" / "log.txt").read_text() == "no room\n"
    said = json.loads((started.root / "s1" / "stage.json").read_text())
    assert (said["finished"], said["running"]) == (False, False)
    assert not (started.root / "s2" / "made.txt").exists()
