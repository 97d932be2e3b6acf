"""What a VASP run writes down when it starts, so that one that was killed can be gone on from.

Runs of one configuration are told apart by a number that each takes from its forerunners, not by dates: the clocks of
two machines need not agree.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

START_FILE = "valenceflow-start.json"
"""Who runs in a folder, written before VASP starts."""


def write_start_file(folder: Path, content: dict[str, Any]) -> None:
    """Say who starts in this folder, whole or not at all.

    Parameters
    ----------
    folder : run folder; its neighbours are the other runs of the same attempt.
    content : who; its place in the order is added.
    """
    numbers = [_number(read_start_file(path.parent)) for path in folder.parent.glob(f"*/{START_FILE}")]
    partial = folder / f"{START_FILE}.partial"
    partial.write_text(json.dumps({**content, "order": 1 + max(numbers, default=0)}), encoding="utf-8")
    partial.replace(folder / START_FILE)


def read_start_file(folder: Path) -> dict[str, Any]:
    """What a run wrote down when it started; empty where that is missing or damaged."""
    try:
        content = json.loads((folder / START_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def started_runs(folders: Iterable[Path]) -> list[tuple[Path, dict[str, Any]]]:
    """Run folders anywhere under some folders and what was written down there, in the order they were started."""
    found = [(path.parent, read_start_file(path.parent)) for folder in folders for path in folder.rglob(START_FILE)]
    return sorted(found, key=lambda run: start_rank(*run))


def start_rank(folder: Path, content: dict[str, Any]) -> tuple[int, int, int, int, str]:
    """Place of a run among those of the same step: by attempt, by job index, then by what came before it.

    The folder's name (jobflow begins it with a date) decides only where nothing of this was written down.
    """
    tried = (content.get("history") or {}).get("tried") or ()
    return _number(content, "attempt"), _number(content, "index"), _number(content, "order"), len(tried), folder.name


def _number(content: dict[str, Any], name: str = "order") -> int:
    number = content.get(name)
    return number if isinstance(number, int) else 0
