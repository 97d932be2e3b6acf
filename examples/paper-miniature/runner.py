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
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

from commands import Command, Commands, StageError
from valenceflow.inputs.whole_files import write_whole

RECORD, LOCK, LOG = "stage.json", "lock", "log.txt"
PATIENCE_S = 60.0
"""How long to wait for commands of a run that was killed: they get SIGTERM, and end in order."""

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
    one_core : it is one process on one core; neighbours like it run side by side, and say what they say in a log.
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
    one_core: bool = False

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
    cores : how many stages of one core run side by side.
    """

    def __init__(self, root: Path, stages: Sequence[Stage], cores: int = 1) -> None:
        self.root, self.stages, self.cores = root, list(stages), cores
        self.commands = Commands(root)

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
        names = [stage.name for stage in self.stages]
        wanted = self.stages if until is None else self.stages[: names.index(until) + 1]
        for one_core, together in groupby(wanted, lambda stage: stage.one_core):
            if one_core and self.cores > 1:
                self._run_side_by_side(list(together))
            else:
                for stage in together:
                    self._run_one(stage)

    def _run_one(self, stage: Stage, log: bool = False) -> None:
        """Do a stage unless it is done."""
        head = f"[{self.stages.index(stage) + 1} of {len(self.stages)}] {stage.title}"
        if self.finished(stage):
            print(f"{head}: done, {self.record(stage)['cpu_s']:.0f} CPU s", flush=True)
            return
        where = f"; log: {self.root / stage.name / LOG}" if log else ""
        print(f"{head} ... {self.left()}{where}", flush=True)
        print(f"{head}: {self._do(stage, log):.0f} CPU s", flush=True)

    def _run_side_by_side(self, stages: list[Stage]) -> None:
        """Do stages that need nothing of each other, one to a core; where one fails, all are stopped."""
        failures: list[Exception] = []

        def run(stage: Stage) -> None:
            try:
                if not failures:
                    self._run_one(stage, log=True)
            except Exception as err:
                failures.append(err)  # what stopping does to the others comes after it
                self.commands.stop()

        with ThreadPoolExecutor(self.cores) as pool:
            try:
                wait([pool.submit(run, stage) for stage in stages])
            except KeyboardInterrupt:
                pool.shutdown(wait=False, cancel_futures=True)
                self.commands.stop()
                raise
        if failures:
            raise failures[0]

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
        """CPU seconds per size of every kind that was measured; what was killed did some of its work twice."""
        found: dict[str, list[float]] = {}
        for stage in self.stages:
            said = self.record(stage)
            if said.get("finished") and not said.get("killed"):
                found.setdefault(stage.kind, []).append(said["cpu_s"] / stage.size)
        return {kind: sum(values) / len(values) for kind, values in found.items()}

    def _named(self, name: str) -> Stage:
        return next(stage for stage in self.stages if stage.name == name)

    def _do(self, stage: Stage, log: bool = False) -> float:
        folder, inputs, said = self.root / stage.name, self.inputs(stage), self.record(stage)
        if said and said["inputs"] != inputs and not stage.grows:
            self._set_aside(folder, said)
            said = {}
        folder.mkdir(parents=True, exist_ok=True)
        spent, killed = said.get("cpu_s", 0.0), said.get("killed", 0) + bool(said.get("running"))
        said = {"inputs": inputs, "finished": False, "running": True, "cpu_s": spent, "killed": killed}
        write_whole(folder / RECORD, json.dumps(said, indent=1))
        try:
            for step in stage.steps:
                self._step(step, stage, said, folder / LOG if log else None)
            missing = [pattern for pattern in stage.products if not list(folder.glob(pattern))]
            if missing:
                raise StageError(f"{stage.name}: left no {', '.join(missing)} in {folder}")
            said |= {"finished": True, "products": _digest(folder, stage.products)}
        finally:
            said |= {"running": False}
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

    def _step(self, step: Step, stage: Stage, said: dict[str, Any], log: Path | None) -> None:
        """Do one step and add its CPU seconds to what is said of the stage."""

        def spent(cpu_s: float) -> None:
            said["cpu_s"] += cpu_s

        def spent_so_far(cpu_s: float) -> None:
            content = said | {"cpu_s": said["cpu_s"] + cpu_s}
            write_whole(self.root / stage.name / RECORD, json.dumps(content, indent=1))

        if not isinstance(step, Command):
            began = time.thread_time()
            step(self.root)
            spent(time.thread_time() - began)
            return
        if step.makes and (self.root / step.makes).exists():
            return
        if step.leaves and (self.root / step.leaves).exists():
            shutil.rmtree(self.root / step.leaves)
        code = self.commands.run(step, spent, spent_so_far, log)
        if code not in step.accepted:
            more = f"; its last words are in {log}" if log else ""
            raise StageError(
                f"{stage.name}: `valenceflow {' '.join(step.arguments)}` ended with exit code {code}{more}"
            )


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
