"""The record of a search: every evaluation is a line of a file as soon as it is done, so that nothing is done twice.

A search is deterministic in its settings and the energies it is told. One that was killed starts again from its first
step; what the record knows is answered from there at once, until it goes on where it was.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

from ..flows.lock import LOCK_FILE, CampaignBusyError, campaign_lock
from ..inputs.orderings.group import JointKey
from ..inputs.whole_files import write_whole
from .evaluation import Evaluation, Evaluator, Tell

EVALUATIONS = "evaluations.jsonl"
SETTINGS = "settings.json"
RELAXATIONS = "relaxations"


class SearchRecord:
    """Evaluations by key, in memory and (with a folder) on disk.

    Nothing is written before the first evaluation is asked for: a search that is refused leaves no folder behind.

    Parameters
    ----------
    evaluator : what evaluates.
    n_working, n_redox : sites of the supercell.
    folder : where the lines are; None: nowhere.
    settings : what the search was asked, in plain values; kept beside the lines, and compared.
    begin : called with the folder once it is made: writes what else belongs there.

    Raises
    ------
    ValueError
        If the folder holds a search with other settings (the differences are named) or something that is no search, or
        a line is damaged.
    """

    def __init__(
        self,
        evaluator: Evaluator,
        n_working: int,
        n_redox: int,
        folder: Path | None = None,
        settings: Mapping[str, Any] | None = None,
        begin: Callable[[Path], None] | None = None,
    ) -> None:
        self._evaluator, self._sizes = evaluator, (n_working, n_redox)
        self._known: dict[str, Evaluation] = {}
        self._folder, self._begin = folder, begin
        self._settings = dict(settings or {})
        self._file: BinaryIO | None = None
        self.n_asked = 0
        if folder is not None and _holds_search(folder):
            self._open(folder)

    def _open(self, folder: Path) -> None:
        """Take the folder for this process, and go on after what is there."""
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = _lock(folder)
        self._lock.__enter__()
        try:
            _keep_settings(folder, {**self._settings, "evaluator": dict(self._evaluator.identity)})
            if self._begin is not None:
                self._begin(folder)
            self._file = self._opened(folder / EVALUATIONS)
        except BaseException:
            self._lock.__exit__(None, None, None)
            raise

    def __enter__(self) -> SearchRecord:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
            self._lock.__exit__(None, None, None)

    def __len__(self) -> int:
        return len(self._known)

    def __contains__(self, key: JointKey) -> bool:
        return str(key) in self._known

    @property
    def evaluations(self) -> list[Evaluation]:
        """Every evaluation, in the order in which they were done."""
        return list(self._known.values())

    def evaluate(self, keys: Sequence[JointKey], told: Tell | None = None) -> list[Evaluation]:
        """Evaluate orderings; each only once, however often and in whatever company it is asked.

        Parameters
        ----------
        keys : canonical keys.
        told : called after each evaluation that was really done.

        Returns
        -------
        One evaluation per key, in their order.
        """
        self.n_asked += len(keys)
        if self._folder is not None and self._file is None:
            self._open(self._folder)
        new = list(dict.fromkeys(key for key in keys if key not in self))
        if new:

            def done(evaluation: Evaluation) -> None:
                self._keep(evaluation)
                if told is not None:
                    told(evaluation)

            self._evaluator(new, done)
        return [self._known[str(key)] for key in keys]

    def _keep(self, evaluation: Evaluation) -> None:
        self._known[str(evaluation.key)] = evaluation
        if self._file is not None:
            line = json.dumps(evaluation.as_dict()).encode() + b"\n"
            self._file.write(line)
            self._file.flush()
            os.fsync(self._file.fileno())

    def _opened(self, path: Path) -> BinaryIO:
        """Read what is there and go on after it; half a line at the end is that of a killed writer."""
        self._known = {str(one.key): one for one in _read_lines(path, *self._sizes)}
        file = path.open("r+b" if path.exists() else "w+b")
        file.truncate(_whole_length(file.read()))
        file.seek(0, os.SEEK_END)
        return file


def _holds_search(folder: Path) -> bool:
    """Whether a folder holds a search already; refuses one that holds something else."""
    if (folder / SETTINGS).exists() or (folder / EVALUATIONS).exists():
        return True
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder} is a file; name the folder of the search")
    others = sorted(one.name for one in folder.iterdir()) if folder.exists() else []
    if others := [name for name in others if name not in (LOCK_FILE, RELAXATIONS) and not name.startswith(".")]:
        raise ValueError(f"{folder} holds {others[0]} and no search; name a folder of its own")
    return False


@contextmanager
def _lock(folder: Path) -> Iterator[None]:
    """One search in a folder at a time, by the lock that campaigns use."""
    try:
        with campaign_lock(folder):
            yield
    except CampaignBusyError as err:
        raise ValueError(f"the search in {folder} is being run by another process; wait for it, or stop it") from err


def _whole_length(content: bytes) -> int:
    """Bytes up to the last line that is whole: half a line is that of a killed writer."""
    return content.rfind(b"\n") + 1


def _read_lines(path: Path, n_working: int, n_redox: int) -> list[Evaluation]:
    content = path.read_bytes() if path.exists() else b""
    found = []
    for number, line in enumerate(content[: _whole_length(content)].splitlines(), 1):
        try:
            found.append(Evaluation.from_dict(json.loads(line), n_working, n_redox))
        except (ValueError, KeyError, TypeError) as err:
            raise ValueError(f"{path} line {number} is damaged ({err}); remove that line and search again") from err
    return found


def read_evaluations(folder: Path, n_working: int, n_redox: int) -> list[Evaluation]:
    """Evaluations of the search in a folder, in the order in which they were done.

    Parameters
    ----------
    folder : of the search, which may be running.
    n_working, n_redox : sites of the supercell.

    Raises
    ------
    ValueError
        If there is no search, or a line is damaged.
    """
    read_settings(folder)
    return _read_lines(folder / EVALUATIONS, n_working, n_redox)


def read_settings(folder: Path) -> dict[str, Any]:
    """Settings of the search in a folder.

    Raises
    ------
    ValueError
        If there is no search, or its settings cannot be read.
    """
    return read_object(folder / SETTINGS, "search into a new folder")


def read_object(path: Path, way_out: str) -> dict[str, Any]:
    """One of the JSON objects in a search's folder.

    Parameters
    ----------
    path : of the file.
    way_out : what to do where it is damaged.

    Raises
    ------
    ValueError
        If there is no search, or the file holds no JSON object.
    """
    if not path.exists():
        raise ValueError(f"{path.parent} holds no search; `valenceflow search run HOST --to {path.parent}` makes one")
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as err:
        raise ValueError(f"{path} cannot be read ({err}); {way_out}") from err
    if not isinstance(found, dict):
        raise ValueError(f"{path} holds a {type(found).__name__} where an object belongs; {way_out}")
    return found


def _keep_settings(folder: Path, settings: Mapping[str, Any]) -> None:
    """Write the settings, or compare them with those that are there."""
    path = folder / SETTINGS
    plain: dict[str, Any] = json.loads(json.dumps(settings))
    if not path.exists():
        if (folder / EVALUATIONS).exists():
            raise ValueError(f"{path} is gone: the evaluations beside it are of unknown settings; name another folder")
        write_whole(path, json.dumps(plain, indent=1))
        return
    before = read_settings(folder)
    if differences := list(_differences(before, plain)):
        raise ValueError(
            f"{folder} holds a search with other settings ({'; '.join(differences)}); use those, or name another folder"
        )


def _differences(before: Mapping[str, Any], now: Mapping[str, Any], of: str = "") -> Iterator[str]:
    """Values that differ, inside of nested settings too."""
    for name in sorted({*before, *now}):
        old, new = before.get(name, "absent"), now.get(name, "absent")
        if isinstance(old, dict) and isinstance(new, dict):
            yield from _differences(old, new, f"{of}{name}.")
        elif old != new:
            yield f"{of}{name} {old!r} -> {new!r}"
