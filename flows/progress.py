"""What a run is doing: written by the launcher at every change, read by `status` from another terminal. Light.

Also how much time and disk is left, told from the configurations that are finished, and the launcher's lines in the
log.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from time import time
from typing import Any

PROGRESS_FILE = "progress.json"
LOG_FILE = "run.log"
MIN_FREE_BYTES = 50_000_000
"""Below this no further configuration is started: a full disk would fail them one after the other."""

WHILE_RUNNING = 10
"""What a configuration takes while it runs, before its outputs are compressed, in multiples of what it leaves."""

_MINUTE, _HOUR, _DAY = 60.0, 3600.0, 86400.0
_UNITS = ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB"))


@dataclass(frozen=True)
class Busy:
    """A configuration that a worker runs: its key and fraction, since when (s since 1970), and its folder."""

    joint_key: str
    fraction: float
    since: float
    folder: str


@dataclass
class Progress:
    """How far a run is.

    Attributes
    ----------
    engine, workers, total : of the run; `total` configurations are its to do.
    started : s since 1970.
    done : configurations finished in this run.
    busy : configuration id -> what runs now.
    timed, seconds, size : configurations that were finished in this and earlier runs, the time they took one by one,
        and what they left on disk, bytes.
    """

    engine: str
    workers: int
    total: int
    started: float = field(default_factory=time)
    done: int = 0
    busy: dict[str, Busy] = field(default_factory=dict)
    timed: int = 0
    seconds: float = 0.0
    size: int = 0

    def start(self, identity: str, busy: Busy) -> None:
        """A worker takes up a configuration."""
        self.busy[identity] = busy

    def finish(self, identity: str) -> tuple[float, int]:
        """A worker is done with a configuration; returns seconds and bytes that it took."""
        busy = self.busy.pop(identity)
        seconds, size = time() - busy.since, folder_size(Path(busy.folder))
        self.done, self.timed = self.done + 1, self.timed + 1
        self.seconds, self.size = self.seconds + seconds, self.size + size
        return seconds, size

    @property
    def mean_size(self) -> float | None:
        """Bytes that a configuration leaves; None before one is finished."""
        return self.size / self.timed if self.timed else None

    @property
    def room_needed(self) -> float:
        """Bytes that must be free for the workers to go on."""
        return max(MIN_FREE_BYTES, WHILE_RUNNING * self.workers * (self.mean_size or 0.0))

    def seconds_left(self, now: float | None = None) -> float | None:
        """Time until everything is done if the rest takes as long as what is finished; None before one is."""
        left = self.total - self.done
        if not self.timed or left <= 0:
            return None
        now, mean = time() if now is None else now, self.seconds / self.timed
        running = [max(mean - (now - busy.since), 0.0) for busy in [*self.busy.values()]]
        work = sum(running) + mean * (left - len(running))
        return max([work / min(self.workers, left), *running])

    def left_text(self) -> str:
        """The time left in words; empty where nothing is known of it, as when the last ones take longer than usual."""
        left = self.seconds_left()
        return "" if left is None or left < 1 else f"about {duration_text(left)} left"

    def text(self) -> str:
        """How far it is, in words."""
        since = datetime.fromtimestamp(self.started).strftime("%Y-%m-%d %H:%M")
        workers = "1 worker" if self.workers == 1 else f"{self.workers} workers"
        return ", ".join(filter(None, [f"{self.done} of {self.total} done since {since}", workers, self.left_text()]))

    def busy_lines(self) -> list[str]:
        """What runs now, one line each: which configuration, since when, and where."""
        return [
            f"  x = {busy.fraction:.3f} {busy.joint_key} for {duration_text(time() - busy.since)}: {busy.folder}"
            for busy in self.busy.values()
        ]

    def as_dict(self) -> dict[str, Any]:
        """Plain data for --json."""
        return {**asdict(self), "seconds_left": self.seconds_left()}

    def write(self, folder: Path) -> None:
        """Leave it in the campaign's folder for others to read."""
        partial = folder / f"{PROGRESS_FILE}.partial"
        with suppress(OSError):  # a full disk must not end a run for what is shown of it
            partial.write_text(json.dumps(asdict(self)), encoding="utf-8")
            partial.replace(folder / PROGRESS_FILE)


def read_progress(folder: Path) -> Progress | None:
    """What the last run left; None where there is nothing readable."""
    try:
        content = json.loads((folder / PROGRESS_FILE).read_text(encoding="utf-8"))
        content["busy"] = {identity: Busy(**one) for identity, one in content["busy"].items()}
        return Progress(**content)
    except (OSError, json.JSONDecodeError, TypeError, KeyError, AttributeError):
        return None  # nothing was run yet, or the file is damaged: the next run writes it anew


def begin_progress(folder: Path, engine: str, workers: int, total: int) -> Progress:
    """Progress of a run that begins; what earlier runs of the same engine took is remembered."""
    progress, before = Progress(engine, workers, total), read_progress(folder)
    if before is not None and before.engine == engine:
        progress.timed, progress.seconds, progress.size = before.timed, before.seconds, before.size
    return progress


def write_log(folder: Path, text: str) -> None:
    """A line of the launcher in the log, between those of the workers."""
    stamp = datetime.now().strftime("%Y-%m-%d %H:%M:%S,%f")[:-3]  # local time, as `logging` writes it
    # A full disk must not end a run for a line of the log.
    with suppress(OSError), (folder / LOG_FILE).open("a", encoding="utf-8") as log:
        log.write(f"{stamp} INFO launcher: {text}\n")


def outcome_text(calculation: Mapping[str, Any] | None) -> str:
    """What became of a configuration, in the words of `status`."""
    if calculation is None:
        return "no document"
    energy, relation = calculation.get("energy_per_fu"), calculation["relation"]
    shown = "" if energy is None else f", {energy:.4f} eV/f.u."
    if calculation["state"] != "completed":
        return f"{calculation['state']}{shown}"
    return f"{'as meant' if calculation['counts'] else 'LOST'} ({relation}){shown}"


def folder_size(folder: Path) -> int:
    """Bytes that the files under a folder take."""
    found = (Path(place) / name for place, _, names in os.walk(folder) for name in names)
    total = 0
    for path in found:
        try:
            total += path.stat().st_size
        except FileNotFoundError:  # VASP and custodian rename and remove files meanwhile
            continue
    return total


def free_bytes(folder: Path) -> int:
    """Bytes that can still be written to a folder's disk."""
    return shutil.disk_usage(folder).free


def duration_text(seconds: float) -> str:
    """A duration for people, to two places: 45 s, 12 min, 3 h 20 min, 12 d 4 h."""
    if seconds < 1.5 * _MINUTE:
        return f"{seconds:.0f} s"
    if seconds < 1.5 * _HOUR:
        return f"{seconds / _MINUTE:.0f} min"
    if seconds < 2 * _DAY:
        minutes = round(seconds / _MINUTE / 10) * 10
        return f"{minutes // 60} h {minutes % 60:02d} min"
    hours = round(seconds / _HOUR)
    return f"{hours // 24} d {hours % 24} h"


def size_text(size: float) -> str:
    """A size on disk for people."""
    unit, name = next(((unit, name) for unit, name in _UNITS if size >= unit), (1.0, "bytes"))
    return f"{size / unit:.3g} {name}"
