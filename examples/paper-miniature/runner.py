"""Stages that go on: each in its own folder, skipped when finished and nothing that it was made from has changed.

A stage is finished when its `stage.json` says so for the same settings and the same products of the stages before it.
Whatever was killed is started again; the commands themselves go on from what they kept.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from valenceflow.flows import leash
from valenceflow.inputs.whole_files import write_whole

RECORD, LOCK = "stage.json", "lock"
PATIENCE_S = 60.0
"""How long to wait for commands of a run that was killed: they get SIGTERM, and end in order."""


class StageError(RuntimeError):
    """A stage ended without its products."""


@dataclass(frozen=True)
class Command:
    """`valenceflow` with arguments, run in the folder of the miniature.

    Attributes
    ----------
    arguments : of the command; paths start from the folder of the miniature.
    accepted : exit codes that let the stage go on; `run` ends with 1 where configurations failed.
    output : file for what it prints; empty: the terminal.
    makes : file that says that it was done: such a command does not go on, nor is it done twice.
    leaves : folder that it leaves where it was killed before `makes`, to be removed.
    """

    arguments: tuple[str, ...]
    accepted: tuple[int, ...] = (0,)
    output: str = ""
    makes: str = ""
    leaves: str = ""

    @property
    def meaning(self) -> list[str]:
        """Arguments but for those that change no result."""
        told = list(self.arguments)
        if "--workers" in told:
            place = told.index("--workers")
            del told[place : place + 2]
        return told


Step = Command | Callable[[Path], None]


@dataclass(frozen=True)
class Stage:
    """One stage.

    Attributes
    ----------
    name : of its folder.
    title : for people.
    steps : done in order; functions get the folder of the miniature.
    settings : what its result depends on, beside the stages before it.
    after : names of the stages whose products it reads.
    products : files, from its folder, that it must leave; patterns.
    like : stages of one kind cost about the same per `size`.
    size : of the work, in a unit of that kind.
    grows : its folder is kept when settings change: the command adds to what is there.
    """

    name: str
    title: str
    steps: tuple[Step, ...]
    products: tuple[str, ...]
    settings: dict[str, Any] = field(default_factory=dict)
    after: tuple[str, ...] = ()
    like: str = ""
    size: float = 1.0
    grows: bool = False

    @property
    def kind(self) -> str:
        """Of work."""
        return self.like or self.name


class Runner:
    """Runs stages in a folder.

    Parameters
    ----------
    root : folder of the miniature.
    stages : in order.
    """

    def __init__(self, root: Path, stages: Sequence[Stage]) -> None:
        self.root, self.stages = root, list(stages)
        self.lock = -1

    def record(self, stage: Stage) -> dict[str, Any]:
        """What its stage.json says; empty without one."""
        try:
            found = json.loads((self.root / stage.name / RECORD).read_text(encoding="utf-8"))
        except (FileNotFoundError, json.JSONDecodeError):
            return {}
        return dict(found)

    def inputs(self, stage: Stage) -> str:
        """Hash of its settings and of what the stages before it left."""
        before = {name: self.record(self._named(name)).get("products", "") for name in stage.after}
        steps = [step.meaning for step in stage.steps if isinstance(step, Command)]
        content = json.dumps([stage.settings, before, steps], sort_keys=True, default=str)
        return hashlib.sha256(content.encode()).hexdigest()

    def finished(self, stage: Stage) -> bool:
        """Whether it is done for these inputs."""
        said = self.record(stage)
        return bool(said.get("finished")) and said.get("inputs") == self.inputs(stage)

    def run(self, until: str | None = None) -> None:
        """Do what is missing, as far as the stage `until`.

        Raises
        ------
        StageError
            If a command fails or a product is missing.
        """
        for number, stage in enumerate(self.stages, 1):
            head = f"[{number} of {len(self.stages)}] {stage.title}"
            if self.finished(stage):
                print(f"{head}: done, {self.record(stage)['cpu_s']:.0f} CPU s", flush=True)
            else:
                print(f"{head} ... {self.left()}", flush=True)
                cpu = self._do(stage)
                print(f"{head}: {cpu:.0f} CPU s", flush=True)
            if stage.name == until:
                return

    def left(self) -> str:
        """CPU time that the rest will take, from what was measured, and what is not measured yet."""
        known, unknown = 0.0, []
        costs = self._costs()
        for stage in self.stages:
            if not self.finished(stage):
                if stage.kind in costs:
                    known += costs[stage.kind] * stage.size
                elif stage.kind not in unknown:
                    unknown.append(stage.kind)
        said = [f"about {known:.0f} CPU s left"] if known else []
        said += [f"not measured yet: {', '.join(unknown)}"] if unknown else []
        return "; ".join(said)

    def _costs(self) -> dict[str, float]:
        """CPU seconds per size of every kind that was measured; what a kill took is not known."""
        found: dict[str, list[float]] = {}
        for stage in self.stages:
            said = self.record(stage)
            if said.get("finished") and not said.get("killed"):
                found.setdefault(stage.kind, []).append(said["cpu_s"] / stage.size)
        return {kind: sum(values) / len(values) for kind, values in found.items()}

    def _named(self, name: str) -> Stage:
        return next(stage for stage in self.stages if stage.name == name)

    def _do(self, stage: Stage) -> float:
        folder, inputs, said = self.root / stage.name, self.inputs(stage), self.record(stage)
        if said and said["inputs"] != inputs and not stage.grows:
            self._set_aside(folder, said)
            said = {}
        folder.mkdir(parents=True, exist_ok=True)
        spent, killed = said.get("cpu_s", 0.0), said.get("killed", 0) + bool(said.get("running"))
        said = {"inputs": inputs, "finished": False, "running": True, "cpu_s": spent, "killed": killed}
        write_whole(folder / RECORD, json.dumps(said, indent=1))
        began = _cpu_seconds()
        try:
            for step in stage.steps:
                self._step(step, stage)
            missing = [pattern for pattern in stage.products if not list(folder.glob(pattern))]
            if missing:
                raise StageError(f"{stage.name}: left no {', '.join(missing)} in {folder}")
            said |= {"finished": True, "products": _digest(folder, stage.products)}
        finally:
            said |= {"running": False, "cpu_s": spent + _cpu_seconds() - began}
            write_whole(folder / RECORD, json.dumps(said, indent=1))
        return float(said["cpu_s"])

    def _set_aside(self, folder: Path, said: dict[str, Any]) -> None:
        """Keep what was made from other settings or inputs under another name."""
        there = folder.with_name(f"{folder.name}.before-{said['inputs'][:8]}")
        number = 1
        while there.exists():
            number += 1
            there = there.with_name(f"{folder.name}.before-{said['inputs'][:8]}-{number}")
        folder.rename(there)
        print(f"    its settings or inputs changed: what was there is now {there.name}", flush=True)

    def _step(self, step: Step, stage: Stage) -> None:
        """Do one step."""
        if not isinstance(step, Command):
            step(self.root)
            return
        if step.makes and (self.root / step.makes).exists():
            return
        if step.leaves and (self.root / step.leaves).exists():
            shutil.rmtree(self.root / step.leaves)
        code = run_command(step, self.root, self.lock)
        if code not in step.accepted:
            raise StageError(f"{stage.name}: `valenceflow {' '.join(step.arguments)}` ended with exit code {code}")


def _cpu_seconds() -> float:
    """Of this process and of all processes that have ended below it."""
    own, below = os.times()[:2], os.times()[2:4]
    return sum(own) + sum(below)


def run_command(command: Command, root: Path, lock: int = -1) -> int:
    """Run a command of valenceflow on a leash: it ends with this process; returns its exit code."""
    arguments = [sys.executable, "-I", leash.__file__, sys.executable, "-m", "valenceflow.cli.main", *command.arguments]
    partial = root / f"{command.output}.partial"
    output = partial.open("wb") if command.output else None
    held = () if lock < 0 else (lock,)  # the lock is free once the command, too, has ended
    process = subprocess.Popen(arguments, cwd=root, stdout=output, pass_fds=held)
    try:
        process.wait()
    except KeyboardInterrupt:
        process.terminate()
        process.wait()
        raise
    finally:
        if output is not None:
            output.close()
    if command.output and process.returncode in command.accepted:
        partial.replace(root / command.output)
    return process.returncode


@contextmanager
def one_at_a_time(root: Path) -> Iterator[int]:
    """Hold the folder; yields the descriptor of its lock.

    Raises
    ------
    StageError
        If another run, or a command that one left behind, still holds it after a minute.
    """
    descriptor = os.open(root / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        until = time.monotonic() + PATIENCE_S
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > until:
                    raise StageError(f"{root} is held by another run; wait for it or stop it with Ctrl-C") from None
                time.sleep(0.2)
        yield descriptor
    finally:
        os.close(descriptor)


def _digest(folder: Path, patterns: Sequence[str]) -> str:
    """Hash of the products: of files their content, in the order of their names."""
    found = hashlib.sha256()
    for path in sorted({path for pattern in patterns for path in folder.glob(pattern) if path.is_file()}):
        found.update(f"{path.relative_to(folder)}\n".encode() + hashlib.sha256(path.read_bytes()).digest())
    return found.hexdigest()
