"""Commands of valenceflow as processes: on a leash, with what they spend noted while they run.

A run that is killed ends its commands too, in order, and knows what they had spent.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from valenceflow.flows import leash

NOTED_EVERY_S = 5.0
"""How often the CPU time of what runs is noted, so that a kill takes no more than this from the account."""


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


class Commands:
    """Commands of valenceflow on a leash: they end with this process, and all at once where `stop` is called.

    Parameters
    ----------
    root : folder that they run in.
    """

    def __init__(self, root: Path) -> None:
        self.root, self.lock = root, -1
        self._running: set[subprocess.Popen[bytes]] = set()
        self._guard, self._stopped = threading.Lock(), False

    def run(
        self,
        command: Command,
        spent: Callable[[float], None],
        spent_so_far: Callable[[float], None],
        log: Path | None = None,
    ) -> int:
        """Run one and return its exit code.

        Parameters
        ----------
        command : what to run.
        spent : is told the CPU seconds of it and of all that it waited for, however it ended.
        spent_so_far : is told them every few seconds while it runs.
        log : file to add what it says to; None: the terminal.
        """
        partial = self.root / f"{command.output}.partial"
        output = partial.open("wb") if command.output else log.open("ab") if log else None
        try:
            process = self._start(command, output, log is not None)
            try:
                with _watched(process.pid, spent_so_far):
                    _wait_for_the_end(process)
            finally:
                code = self._ended(process, spent)
        finally:
            if output is not None:
                output.close()
        if command.output and code in command.accepted:
            partial.replace(self.root / command.output)
        return code

    def stop(self) -> None:
        """End what runs, in order; nothing is started any more."""
        with self._guard:
            self._stopped = True
            for process in self._running:
                os.kill(process.pid, signal.SIGTERM)  # Popen.terminate would take the exit status from who waits for it

    def _arguments(self, command: Command) -> list[str]:
        return [sys.executable, "-m", "valenceflow.cli.main", *command.arguments]

    def _start(self, command: Command, output: Any, logged: bool) -> subprocess.Popen[bytes]:
        held = () if self.lock < 0 else (self.lock,)  # the lock is free once the command, too, has ended
        with self._guard:
            if self._stopped:
                raise StageError(f"`valenceflow {command.arguments[0]}` was not started: another stage ended before")
            process = subprocess.Popen(
                [sys.executable, "-I", leash.__file__, *self._arguments(command)],
                cwd=self.root, stdout=output, stderr=subprocess.STDOUT if logged else None, pass_fds=held,
            )  # fmt: skip
            self._running.add(process)
        return process

    def _ended(self, process: subprocess.Popen[bytes], spent: Callable[[float], None]) -> int:
        """Take the exit code of what has ended, or was told to end."""
        with self._guard:  # from here on nobody may signal it: its number can be another's
            _, status, usage = os.wait4(process.pid, 0)
            self._running.discard(process)
        process.returncode = os.waitstatus_to_exitcode(status)
        spent(usage.ru_utime + usage.ru_stime)
        return process.returncode


def _wait_for_the_end(process: subprocess.Popen[bytes]) -> None:
    """Wait, and where Ctrl-C comes meanwhile tell it to end; its exit status stays for who takes it."""
    try:
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    except KeyboardInterrupt:
        os.kill(process.pid, signal.SIGTERM)
        raise


@contextmanager
def _watched(pid: int, tell: Callable[[float], None]) -> Iterator[None]:
    """Tell every few seconds what a process and all that it started have spent, in CPU seconds."""
    ended = threading.Event()

    def watch() -> None:
        most = 0.0
        while not ended.wait(NOTED_EVERY_S):
            most = max(most, _spent_by(pid))  # less where something ended that nobody has waited for yet
            tell(most)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _spent_by(pid: int) -> float:
    """CPU seconds of a process, of its descendants, and of those of theirs that have ended."""
    total = 0.0
    with suppress(psutil.NoSuchProcess):
        top = psutil.Process(pid)
        for process in (top, *top.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                total += times.user + times.system + times.children_user + times.children_system
    return total
