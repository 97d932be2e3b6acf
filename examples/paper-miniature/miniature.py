"""The paper in miniature by one command: calculations, data set, trainings, scores, searches, figures, results.

    python examples/paper-miniature/miniature.py [--scale smoke|miniature|paper] [--to FOLDER] [--until STAGE] [--list]

Can be stopped or killed at any moment: the same command goes on. Settings are in miniature.yaml, or in --settings.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path

from commands import StageError
from runner import Runner, Stage, one_at_a_time
from stages import stages_of
from valenceflow.inputs.yaml_files import parse_yaml, yaml_text

HERE = Path(__file__).resolve().parent


def main() -> int:
    """Run what is missing; 0: finished as far as asked, 1: a stage failed, 2: options that mean nothing."""
    options = _options()
    text = yaml_text(options.settings)
    settings = parse_yaml(text, str(options.settings))
    scale = options.scale or settings["scale"]
    if scale not in settings["scales"]:
        print(f"--scale {scale!r}: choose {', '.join(settings['scales'])}", file=sys.stderr)
        return 2
    folder = (options.to or Path("paper-miniature") / scale).resolve()
    told = settings["scales"][scale]
    runner = Runner(folder, stages_of(told), told["workers"])
    names = [stage.name for stage in runner.stages]
    if options.until not in (None, *names):
        print(f"--until {options.until!r}: choose {', '.join(names)}", file=sys.stderr)
        return 2
    if options.list:
        with suppress(BrokenPipeError):  # `| head` has read enough
            _list(runner)
            sys.stdout.flush()
        return 0
    folder.mkdir(parents=True, exist_ok=True)
    for number in (signal.SIGINT, signal.SIGTERM):  # shells have both ignored in what runs in the background
        signal.signal(number, signal.default_int_handler)
    try:
        with one_at_a_time(folder) as runner.commands.lock:
            runner.run(options.until)
    except StageError as err:
        print(f"{err}; mend it and type the same command again", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nstopped; the same command goes on", file=sys.stderr)
        return 130
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", help="smoke, miniature or paper; default: that of the settings")
    parser.add_argument("--to", type=Path, help="folder; default: paper-miniature/SCALE here")
    parser.add_argument("--until", help="end after this stage")
    parser.add_argument("--list", action="store_true", help="show the stages, what they took, and what is left")
    parser.add_argument("--settings", type=Path, default=HERE / "miniature.yaml")
    return parser.parse_args()


def _list(runner: Runner) -> None:
    """Stages with their state."""
    width = max(len(stage.name) for stage in runner.stages)
    lines = [f"{stage.name:{width}s}  {stage.title}: {_state(runner, stage)}" for stage in runner.stages]
    print("\n".join([*lines, runner.left() or "nothing left to do"]))


def _state(runner: Runner, stage: Stage) -> str:
    said = runner.record(stage)
    if runner.finished(stage):
        kills = f", killed {said['killed']} times" if said["killed"] else ""
        return f"done, {said['cpu_s']:.0f} CPU s{kills}"
    if said.get("finished"):
        return "to do again: its settings or inputs changed"
    return f"begun, {said['cpu_s']:.0f} CPU s so far" if said else "to do"


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    raise SystemExit(main())
