"""The local launcher: worker processes that each run one configuration at a time.

Workers are processes of their own (jobflow changes the working directory, engines keep state); they get configurations
over a pipe. A finished configuration is in the store before its worker answers, so stopping at any moment loses at most
the VASP steps that were running.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from selectors import EVENT_READ, DefaultSelector
from time import monotonic
from typing import IO, Any

import yaml

from ..stores.connect import Stores
from ..stores.documents import ConfigurationDoc
from ..stores.secrets import secrets_of
from .campaign_file import Campaign
from .progress import LOG_FILE

STORE_YAML = "store.yaml"
WORKER_STORE_YAML = "store-workers.yaml"
RUNS_FOLDER = "runs"
STOP_S = 10.0
"""How long workers get to end their VASP runs before they are killed."""

MAX_IDLE_DEATHS = 3
"""Workers that may end before they take up work: more, and something is wrong with starting them at all."""


@dataclass(frozen=True)
class Started:
    """A worker took up a configuration."""

    configuration: ConfigurationDoc


@dataclass(frozen=True)
class Finished:
    """A worker is done with a configuration; `error` is set if its flow could not be run at all."""

    configuration: ConfigurationDoc
    error: str | None


def run_folder(campaign_folder: Path, configuration: ConfigurationDoc) -> Path:
    """Folder of one attempt of a configuration, readable by a person: x_KEY_id/attempt."""
    name = f"x{configuration.fraction:.3f}_{configuration.joint_key}_{configuration.configuration_id[:8]}"
    return campaign_folder / RUNS_FOLDER / name / f"attempt-{configuration.attempt}"


def write_store_yaml(folder: Path, stores: Stores, name: str = STORE_YAML) -> Path:
    """Write where the stores are, for workers and for users' own scripts (jobflow reads it as JOBFLOW_CONFIG_FILE).

    Where it holds a password, only its owner may read it.
    """
    content = {
        "JOB_STORE": {
            "@module": "jobflow.core.store",
            "@class": "JobStore",
            "docs_store": stores.docs_spec,
            "additional_stores": {"data": stores.data_spec},
        }
    }
    path = folder / name
    partial = path.with_suffix(".partial")
    partial.touch(mode=0o600 if secrets_of(content) else 0o666)
    partial.write_text(yaml.safe_dump(json.loads(json.dumps(content)), sort_keys=False), encoding="utf-8")
    partial.replace(path)
    return path


def write_store_yamls(folder: Path, stores: Stores) -> Path:
    """Write where the stores are; returns the file for workers, which is another one where they use an inbox."""
    everybody = write_store_yaml(folder, stores)
    workers = stores.for_workers()
    return everybody if workers is stores else write_store_yaml(folder, workers, WORKER_STORE_YAML)


class Workers:
    """A pool of worker processes; use as a context manager, so that no process is left behind."""

    def __init__(self, campaign: Campaign, stores: Stores, count: int, environment: Mapping[str, str]) -> None:
        self.campaign = campaign
        self._command = [
            sys.executable,
            "-m",
            "valenceflow.flows.worker",
            str(campaign.path),
            str(write_store_yamls(campaign.folder, stores)),
            str(os.getpid()),
        ]
        self._environment = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
        self._count = count
        self._log: IO[bytes] | None = None
        self._processes: list[subprocess.Popen[bytes]] = []
        self._idle_deaths = 0

    def __enter__(self) -> Workers:
        self._log = (self.campaign.folder / LOG_FILE).open("ab")
        for _ in range(self._count):
            self._processes.append(self._start())
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()
        if self._log is not None:
            self._log.close()

    def _start(self) -> subprocess.Popen[bytes]:
        # A session of its own: Ctrl-C reaches the launcher alone, which then stops the workers in order.
        return subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env=self._environment,
            start_new_session=True,
        )

    def run(
        self, configurations: Sequence[ConfigurationDoc], keep_starting: Callable[[], bool] = lambda: True
    ) -> Iterator[Started | Finished]:
        """Run configurations in the given order, yielding what happens.

        Parameters
        ----------
        configurations : what to run.
        keep_starting : asked about once a second; once it says no, those running are finished and no others started.
        """
        waiting = list(reversed(configurations))
        busy: dict[int, ConfigurationDoc] = {}
        deaths: set[str] = set()
        with DefaultSelector() as selector:
            for process in self._processes:
                selector.register(_pipe(process.stdout), EVENT_READ, process)
            while waiting or busy:
                if not selector.get_map():
                    raise RuntimeError(f"every worker ended; see {self.campaign.folder / LOG_FILE}")
                if not keep_starting():
                    waiting.clear()
                for key, _ in selector.select(timeout=1.0):
                    process = key.data
                    line = _pipe(process.stdout).readline()
                    finished = busy.pop(process.pid, None)
                    if finished is not None and not line and finished.configuration_id not in deaths:
                        # The worker died: once, its configuration goes on elsewhere from what it left.
                        deaths.add(finished.configuration_id)
                        waiting.append(finished)
                    elif finished is not None:
                        yield Finished(finished, _error_of(line, process, "this configuration"))
                    if not line:
                        selector.unregister(_pipe(process.stdout))
                        replacement = self._replace(process, finished is not None)
                        if replacement is not None:
                            selector.register(_pipe(replacement.stdout), EVENT_READ, replacement)
                    elif waiting:
                        configuration = waiting.pop()
                        busy[process.pid] = configuration
                        self._send(process, configuration)
                        yield Started(configuration)

    def ask(self, what: str, request: Mapping[str, Any], while_waiting: Callable[[], None]) -> str | None:
        """Hand one request to the first worker and wait; returns what went wrong, or None.

        Parameters
        ----------
        what : the request in words.
        request : as `worker.main` reads it.
        while_waiting : called about once a second; what it raises ends the waiting.
        """
        process = self._processes[0]
        with DefaultSelector() as selector:
            selector.register(_pipe(process.stdout), EVENT_READ)
            for is_reply in (False, True):  # the first line says that it is ready
                while not selector.select(timeout=1.0):
                    while_waiting()
                line = _pipe(process.stdout).readline()
                if is_reply or not line:
                    return _error_of(line, process, what)
                _write(process, request)
        return None

    def _replace(self, process: subprocess.Popen[bytes], was_busy: bool) -> subprocess.Popen[bytes] | None:
        """A new worker for one that ended; none once several ended without having taken up any work."""
        process.wait()
        self._processes.remove(process)
        if not was_busy:
            self._idle_deaths += 1
            if self._idle_deaths >= MAX_IDLE_DEATHS:
                return None
        fresh = self._start()
        self._processes.append(fresh)
        return fresh

    def _send(self, process: subprocess.Popen[bytes], configuration: ConfigurationDoc) -> None:
        request = {
            "configuration": configuration.model_dump(mode="json"),
            "folder": str(run_folder(self.campaign.folder, configuration)),
        }
        _write(process, request)

    def stop(self) -> None:
        """End every worker and the VASP runs that they started; interrupted (a second Ctrl-C), kill them at once."""
        for process in self._processes:
            if process.poll() is None:
                process.terminate()
        deadline = monotonic() + STOP_S
        try:
            for process in self._processes:
                with suppress(subprocess.TimeoutExpired):
                    process.wait(timeout=max(0.0, deadline - monotonic()))
        finally:
            for process in self._processes:
                process.kill()  # does nothing to one that has ended; VASP is on a leash and ends with its worker
                process.wait()
                for pipe in (process.stdin, process.stdout):
                    if pipe is not None:
                        pipe.close()
            self._processes.clear()


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    if pipe is None:
        raise RuntimeError("a worker was started without pipes")
    return pipe


def _write(process: subprocess.Popen[bytes], request: Mapping[str, Any]) -> None:
    pipe = _pipe(process.stdin)
    pipe.write((json.dumps(request) + "\n").encode())
    pipe.flush()


def _error_of(line: bytes, process: subprocess.Popen[bytes], what: str) -> str | None:
    if not line:
        return f"the worker ended with exit code {process.wait()} in the middle of {what}"
    reply: dict[str, Any] = json.loads(line)
    return reply.get("error")
