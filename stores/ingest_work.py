"""What one process does with one thing to ingest: read it, keep its documents in a spool file, say what came out.

A spool file (BSON) keeps memory constant whatever a run's length; the process that owns the store reads it back.
"""

from __future__ import annotations

import hashlib
import socket
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal, Protocol

import bson

from .frames import RunDoc, Source
from .ingest_campaign import StepFolder
from .ingest_options import IngestOptions
from .ingest_reasons import PassOver
from .ingest_run import Part, Sink
from .ingest_sets import SetFile
from .ingest_tasks import TaskFile, TaskSource
from .ingest_vasp import VaspFiles

Kind = Literal["vasp folder", "task documents", "ase set"]
_SOURCES: dict[Kind, Source] = {
    "vasp folder": "vasp folder",
    "task documents": "task document",
    "ase set": "ase set",
}
_MALFORMED = (ValueError, TypeError, KeyError, IndexError, AttributeError, ArithmeticError)


class Readable(Protocol):
    """One run that can be read: files of a VASP run, a task document, a data set."""

    @property
    def checksum(self) -> str:
        """SHA-256 of what would be read."""
        ...

    def take(self, options: IngestOptions, place: str, group: str | None, sink: Sink) -> RunDoc:
        """Read it."""
        ...


@dataclass(frozen=True)
class Item:
    """One thing to ingest.

    Attributes
    ----------
    kind : what it is taken for.
    path : of a folder or file.
    root : the folder that was named; nothing outside it is opened.
    suffixes : of the VASP runs in a folder.
    group : lineage that its frames get, or None.
    task : a task document that is at hand already (another JobStore's).
    has_step_file : the folder holds a document of this program's own.
    passed_over : why it is not looked into, where that is known already.
    """

    kind: Kind
    path: Path
    root: Path
    suffixes: tuple[str, ...] = ("",)
    group: str | None = None
    task: TaskSource | None = None
    has_step_file: bool = False
    passed_over: PassOver | None = None

    def place(self, suffix: str = "") -> str:
        """host:path of a run; letters that are none in UTF-8 are escaped."""
        text = str(self.path) if self.task is not None else f"{socket.gethostname()}:{self.path}"
        return f"{text}{suffix}".encode("utf-8", "backslashreplace").decode("utf-8")

    @property
    def places(self) -> list[str]:
        """Those of all its runs that are known beforehand."""
        return [self.place(suffix) for suffix in self.suffixes]


@dataclass
class Taken:
    """What came of one run.

    Attributes
    ----------
    run : its document.
    spool : file with its parts, or None where it has none.
    unchanged : it is in the store already, read with the same options.
    """

    run: RunDoc
    spool: Path | None = None
    unchanged: bool = False


@dataclass
class Order:
    """What a process is to do: the item, the options, where spool files go, what is known of its places, and which of
    these the store has frames of.
    """

    item: Item
    options: IngestOptions
    spool_folder: Path
    known: dict[str, RunDoc] = field(default_factory=dict)
    had_frames: frozenset[str] = frozenset()


def work(order: Order) -> list[Taken]:
    """Read one item. Never raises for what is in it: whatever is wrong becomes a reason."""
    item = order.item
    if item.passed_over is not None:
        return [Taken(skipped(order, item.place(), item.passed_over))]
    if item.kind == "vasp folder":
        return _vasp_folder(order)
    if item.task is not None:
        return [_guarded(order, item.place(), partial(_same, item.task), item.group)]
    if item.kind == "task documents":
        return _task_documents(order)
    return [_guarded(order, item.place(), partial(SetFile, item.path, item.root), item.group)]


def _same(source: Readable) -> Readable:
    return source


def _vasp_folder(order: Order) -> list[Taken]:
    item, done = order.item, list[Taken]()
    if item.has_step_file:
        return [_guarded(order, item.place(), partial(StepFolder, item.path, item.root), item.group)]
    group = item.group
    for suffix in item.suffixes:
        source = partial(VaspFiles.find, item.path, item.root, suffix)
        done.append(_guarded(order, item.place(suffix), source, group))
        if group is None and done[-1].run.state != "skipped":
            group = done[-1].run.run_id  # later runs of a folder go on from the first: one lineage
    return done


def _task_documents(order: Order) -> list[Taken]:
    """Documents of one file; it is read once, and again only where it or the options changed."""
    item, place = order.item, order.item.place()
    try:
        file = TaskFile(item.path, item.root)
        known = order.known.get(place)
        if known is not None and _is_same(known, file.checksum, order.options):
            return [Taken(known, unchanged=True)]
        sources = list(file.documents())
    except PassOver as reason:
        return [Taken(skipped(order, place, reason))]
    except EOFError as err:
        return [Taken(skipped(order, place, PassOver("not JSON", f"{item.path.name} is cut off or damaged: {err}")))]
    except OSError as err:
        return [Taken(skipped(order, place, PassOver("not readable", f"{err.strerror or err}")))]
    places = [place, *(f"{place}#{number}" for number in range(1, len(sources)))]
    return [_guarded(order, p, partial(_same, s), item.group) for p, s in zip(places, sources, strict=True)]


def _is_same(known: RunDoc, checksum: str, options: IngestOptions) -> bool:
    return bool(checksum) and (known.checksum, known.options_hash) == (checksum, options.hash)


def _guarded(order: Order, place: str, source: Callable[[], Readable], group: str | None) -> Taken:
    """Read one run."""
    spool = order.spool_folder / f"{uuid.uuid4().hex}.bson"
    checksum = ""
    try:
        readable = source()
        checksum = readable.checksum
        known = order.known.get(place)
        if known is not None and _is_same(known, checksum, order.options):
            return Taken(known, unchanged=True)
        with spool.open("wb") as out:
            run = readable.take(order.options, place, group, partial(_write, out))
        run.fixed_states = order.options.own_charges
        return Taken(run, spool)
    except PassOver as reason:
        passed = reason
    except MemoryError:
        passed = PassOver("too large", "it does not fit into memory")
    except OSError as err:
        passed = PassOver("not readable", f"{err.strerror or err}")
    except _MALFORMED as err:
        passed = PassOver("not readable", f"{type(err).__name__}: {err}")
    except Exception as err:  # one strange file must not end the whole
        passed = PassOver("unexpected", f"{type(err).__name__}: {err}; please report this file")
    spool.unlink(missing_ok=True)
    return Taken(skipped(order, place, passed, checksum))


def skipped(order: Order, place: str, reason: PassOver, checksum: str = "") -> RunDoc:
    """Document of a run of an item that was not taken."""
    return skipped_run(_SOURCES[order.item.kind], place, reason, checksum, order.options.hash)


def skipped_run(source: Source, place: str, reason: PassOver, checksum: str, options_hash: str) -> RunDoc:
    """Document of a run that was not taken; its id is that of its place."""
    return RunDoc(
        run_id="skipped-" + hashlib.sha256(place.encode()).hexdigest()[:24],
        source=source,
        place=place,
        checksum=checksum,
        state="skipped",
        reason=reason.reason,
        detail=reason.detail,
        options_hash=options_hash,
    )


def _write(out: Any, part: Part) -> None:
    out.write(bson.encode({"frames": part.frames, "block": part.block}))


def spooled_parts(spool: Path) -> Iterator[Part]:
    """Parts of a spool file, in order."""
    with spool.open("rb") as handle:
        for document in bson.decode_file_iter(handle):
            yield Part(document["frames"], document["block"])
