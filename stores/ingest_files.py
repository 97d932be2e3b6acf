"""Opening files that nobody here wrote: plain files within the named folder, and never more of them than is likely.

A file may be a pipe that never answers, a link that leads elsewhere, or a few kilobytes that unpack to terabytes.
"""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import lzma
import os
import re
import stat
import tarfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, BinaryIO, TextIO, cast

from .ingest_reasons import PassOver

MOST_TIMES = 150
"""Outputs of VASP unpack to 5 to 20 times their size; what goes beyond this is no output."""

ALWAYS_ALLOWED = 1 << 26
"""Bytes that any file may unpack to."""

PACKED = (".gz", ".bz2", ".xz")
"""Endings of compressed files; how one is compressed is told from its first bytes."""

_OPENERS: dict[bytes, Callable[[IO[bytes]], Any]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ\x00": lzma.open,
}
_CHUNK = 1 << 20
_ARCHIVE = re.compile(r"error\.(\d+)\.tar\.gz")
_ARCHIVED = ("vasprun.xml", "OUTCAR")
_DAMAGED = (EOFError, OSError, zlib.error, tarfile.TarError)


class BoundedStream(io.RawIOBase):
    """Bytes of a stream up to a bound; one more is a `PassOver` (too large). Damage is an EOFError, however packed."""

    def __init__(self, source: IO[bytes], bound: int, name: str) -> None:
        super().__init__()
        self._source, self._left, self._bound, self._name = source, bound, bound, name

    def readable(self) -> bool:
        """Whether it can be read: always."""
        return True

    def readinto(self, buffer: bytearray | memoryview, /) -> int:  # type: ignore[override]  # narrower than Buffer
        """Fill a buffer."""
        try:
            content = self._source.read(len(buffer))
        except (zlib.error, lzma.LZMAError) as err:
            raise EOFError(str(err)) from err
        except OSError as err:
            if err.errno is not None:  # the disk's, not the decompressor's
                raise
            raise EOFError(str(err)) from err
        self._left -= len(content)
        if self._left < 0:
            raise PassOver(
                "too large", f"{self._name} unpacks to more than {self._bound / 1e6:.0f} MB, which no run does"
            )
        buffer[: len(content)] = content
        return len(content)


def plain_file(path: Path, root: Path) -> Path:
    """A path that is a plain file within a folder.

    Parameters
    ----------
    path : what is to be read.
    root : folder that was named; nothing outside it is opened.

    Raises
    ------
    PassOver
        If it is a link that leads outside, or no plain file (a pipe, a device).
    """
    try:
        real = path.resolve(strict=True)
        kind = real.stat().st_mode
    except OSError as err:
        raise PassOver("not readable", f"{path.name}: {err.strerror}") from err
    if not real.is_relative_to(root.resolve()):
        raise PassOver("leads outside", f"{path.name} is a link to {real}, outside the folder that was named")
    if not stat.S_ISREG(kind):
        raise PassOver("not a plain file", f"{path.name} is a pipe, a device or a folder")
    return real


def existing(folder: Path, name: str, root: Path) -> Path | None:
    """A file of a run, plain or compressed, or None.

    Raises
    ------
    PassOver
        As in `plain_file`; and where it is empty.
    """
    for candidate in (folder / name, *(folder / f"{name}{ending}" for ending in PACKED)):
        if candidate.is_symlink() or candidate.exists():
            path = plain_file(candidate, root)
            if path.stat().st_size == 0:
                raise PassOver("empty file", f"{candidate.name} has 0 bytes")
            return path
    return None


@contextmanager
def open_bytes(path: Path) -> Iterator[IO[bytes]]:
    """Unpacked bytes of a plain or compressed file, bounded."""
    bound = max(ALWAYS_ALLOWED, MOST_TIMES * path.stat().st_size)
    with path.open("rb") as raw:
        yield io.BufferedReader(BoundedStream(_unpacked(raw), bound, path.name), _CHUNK)


@contextmanager
def open_text(path: Path) -> Iterator[TextIO]:
    """The same as text."""
    with open_bytes(path) as handle:
        yield io.TextIOWrapper(cast("BinaryIO", handle), encoding="utf-8", errors="replace")


def _unpacked(raw: IO[bytes]) -> IO[bytes]:
    """A file's content as its first bytes say that it is packed; a name alone proves nothing."""
    head = raw.read(6)
    raw.seek(0)
    opener = next((opener for magic, opener in _OPENERS.items() if head.startswith(magic)), None)
    return raw if opener is None else cast("IO[bytes]", opener(raw))


def checksum(paths: list[Path]) -> str:
    """SHA-256 over the names and contents of files, as they lie there (compressed files compressed)."""
    digest = hashlib.sha256()
    for path in sorted(paths, key=lambda path: path.name):
        digest.update(path.name.encode(errors="surrogateescape") + b"\0")
        digest.update(str(path.stat().st_size).encode() + b"\0")
        with path.open("rb") as handle:
            while chunk := handle.read(_CHUNK):
                digest.update(chunk)
    return digest.hexdigest()


def archives(folder: Path, root: Path) -> list[tuple[int, Path]]:
    """Custodian's archives error.N.tar.gz of a folder, oldest first; those that may not be opened are left out."""
    found = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if (match := _ARCHIVE.fullmatch(entry.name)) is not None and entry.is_file():
                try:
                    found.append((int(match.group(1)), plain_file(Path(entry.path), root)))
                except PassOver:
                    continue
    return sorted(found)


def unpack_outputs(archive: Path, folder: Path) -> str:
    """VASP's outputs alone, under their own names: nothing in an archive can write elsewhere.

    Parameters
    ----------
    archive : error.N.tar.gz.
    folder : an empty one.

    Returns
    -------
    Why the archive could not be read to its end; empty if it could.
    """
    try:
        with open_bytes(archive) as packed, tarfile.open(fileobj=packed, mode="r|") as tar:
            for member in tar:
                name = Path(member.name).name
                plain = name.removesuffix(".gz")
                if plain not in _ARCHIVED or not member.isreg() or member.issparse():
                    continue
                source = tar.extractfile(member)
                if source is not None and not (folder / name).exists():
                    _copy(source, folder / name)
    except (*_DAMAGED, PassOver, ValueError) as err:
        return " ".join(str(err).split()) or type(err).__name__
    return ""


def _copy(source: IO[bytes], target: Path) -> None:
    with target.open("wb") as out:
        while chunk := source.read(_CHUNK):
            out.write(chunk)
