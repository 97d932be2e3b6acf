"""The folder that a set is made in, beside its place: one export a name, and what a killed one left goes.

An export holds the lock ``.NAME.lock`` while it lasts; the kernel lets go of it however the process ends. So whoever
has the lock knows that no other ``.NAME.partial-*`` is still being written, and clears them away.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..file_lock import holder, sign, tried

MANIFEST, CARD, SUMS = "manifest.json", "README.md", "SHA256SUMS"
SPLIT_FILE, SPECIES = "splits.csv", "species.json"
PAPERS = (MANIFEST, CARD, SUMS)
"""What a set says of itself, beside the files that its manifest lists."""
DOCUMENT = "valenceflow data set"
"""By which its manifest is known."""

_LMDB_LOCK = ".aselmdb-lock"  # readers leave it there
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
_PARTIAL, _OLD = "partial", "old"


@contextmanager
def unfinished_set(folder: Path, replace: bool) -> Iterator[Path]:
    """A folder beside the target, gone at the end whatever happens.

    Parameters
    ----------
    folder : where the set shall be.
    replace : a set that is there will give way.

    Raises
    ------
    ValueError
        If the target is taken, another process makes it, or the disk is full.
    """
    place = folder.resolve().parent
    if not place.is_dir():
        raise ValueError(f"{place} does not exist; make it first")
    _check(folder, replace)
    try:
        with _alone(folder) as is_alone:
            if is_alone:
                _clear(folder)
            _check(folder, replace)  # again: there may be one now
            partial = _beside(folder, _PARTIAL)
            try:
                yield partial
            finally:
                shutil.rmtree(partial, ignore_errors=True)
    except OSError as err:
        if err.errno not in _NO_ROOM:
            raise
        raise ValueError(
            f"no room left in {place}: the set was not made; free some, or name a folder on another disk"
        ) from err


def put_in_place(partial: Path, folder: Path, replace: bool) -> None:
    """Give a set its name; one that is there is gone only then.

    Parameters
    ----------
    partial : the whole set, from `unfinished_set`.
    folder : its place.
    replace : a set that is there gives way.

    Raises
    ------
    ValueError
        If something that may not give way came there meanwhile.
    """
    _check(folder, replace)
    for path in partial.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
    if not folder.exists():
        partial.rename(folder)
        return
    old = _beside(folder, _OLD)
    folder.rename(old / folder.name)
    partial.rename(folder)
    shutil.rmtree(old)


def _check(folder: Path, replace: bool) -> None:
    if not (folder.exists() or folder.is_symlink()):
        return
    if not replace:
        raise ValueError(f"{folder} exists already: name another folder, or use --replace")
    manifest = _manifest_of(folder)
    if manifest is None:
        raise ValueError(f"{folder} exists already: it is no data set of ours; name another folder")
    own = {*manifest["files"], *PAPERS}
    others = sorted(
        str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir() and path.suffix != _LMDB_LOCK
    )
    if beyond := [name for name in others if name not in own]:
        raise ValueError(f"{folder} holds what is no part of its set, {beyond[0]} ({len(beyond)} in all), and would go "
                         "with it: move that away, or name another folder")  # fmt: skip


def _manifest_of(folder: Path) -> dict[str, Any] | None:
    """Manifest of a data set; None where the folder is none: campaigns and models have manifests too."""
    try:
        content = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    is_set = isinstance(content, dict) and content.get("document") == DOCUMENT and not folder.is_symlink()
    return content if is_set and isinstance(content.get("files"), dict) else None


def _beside(folder: Path, kind: str) -> Path:
    made = Path(tempfile.mkdtemp(prefix=f".{folder.name}.{kind}-", dir=folder.resolve().parent))
    made.chmod(0o755)
    return made


@contextmanager
def _alone(folder: Path) -> Iterator[bool]:
    """Hold a set's name; False where the file system knows no locks, so that nobody can tell who else is at work."""
    path = folder.resolve().parent / f".{folder.name}.lock"
    descriptor, is_locked = _locked(path, folder)
    try:
        sign(descriptor)
        yield is_locked
    finally:
        path.unlink(missing_ok=True)
        os.close(descriptor)


def _locked(path: Path, folder: Path) -> tuple[int, bool]:
    """The lock's file, open, and whether it is locked."""
    while True:
        descriptor = _opened(path)
        try:
            if not tried(descriptor, fcntl.LOCK_EX):
                who = holder(descriptor)
                raise ValueError(f"{folder} is being made by {who}; wait for it, or name another folder")
            if path.exists() and os.path.samestat(os.fstat(descriptor), path.stat()):
                return descriptor, True
        except OSError as err:
            if err.errno in _NO_LOCKS:
                return descriptor, False
            os.close(descriptor)
            raise
        except ValueError:
            os.close(descriptor)
            raise
        os.close(descriptor)  # its holder took the file away just before we had it


def _opened(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as err:
        if err.errno in _NO_ROOM:
            raise
        raise ValueError(f"nothing can be written in {path.parent} ({err.strerror}): name another folder") from err


def _clear(folder: Path) -> None:
    """Take away what killed exports left; a set that was just giving way to another gets its name back."""
    ours = re.compile(rf"\.{re.escape(folder.name)}\.({_PARTIAL}|{_OLD})-[a-z0-9_]{{8}}")
    for path in list(folder.resolve().parent.iterdir()):
        left = ours.fullmatch(path.name)
        if left is None or path.is_symlink() or not path.is_dir():
            continue
        if left[1] == _OLD and (path / folder.name).is_dir() and not folder.exists():
            (path / folder.name).rename(folder)
        shutil.rmtree(path)
