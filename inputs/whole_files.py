"""Files and folders that appear under their name when they are whole, or not at all."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """A name beside the path to write to, which becomes the path only when everything is written.

    For one writer at a time: what an interrupted writing left under that name is swept away. Errors as in
    `refuse_within_a_file`.
    """
    refuse_within_a_file(path)
    partial = path.with_name(f".{path.name}.partial")
    _remove(partial)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        if path.is_dir():
            path.rmdir()  # it is empty: whoever called has looked
        partial.replace(path)
    finally:
        _remove(partial)


def refuse_within_a_file(path: Path) -> None:
    """Refuse a path one of whose folders is a file; for commands that work long before they write.

    Raises
    ------
    ValueError
        With that file.
    """
    there = next((parent for parent in path.parents if parent.exists() or parent.is_symlink()), None)
    if there is not None and not there.is_dir():
        raise ValueError(f"{there} is a file and no folder, so {path} cannot be written; name another place")


def write_whole(path: Path, text: str) -> None:
    """Write a text file by atomic rename.

    Raises
    ------
    OSError
        If it cannot be written; what was there stays.
    """
    with written_whole(path) as partial:
        partial.write_text(text, encoding="utf-8")


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
