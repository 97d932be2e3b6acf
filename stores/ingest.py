"""Take in what was computed elsewhere: find it, read it in several processes, write it from one.

Idempotent: a checksum over each run's files, and the options it was read with, decide what is new. Every run has a
document, taken or not, and every reason is from `ingest_reasons`. A killed ingest is gone on with by the same command.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .frames import RunDoc
from .ingest_campaign import STEP_FILE
from .ingest_exported import export_folder, passed_by, unread_export
from .ingest_files import PACKED
from .ingest_keep import Keeper
from .ingest_options import IngestOptions
from .ingest_reasons import PassOver
from .ingest_set_frames import SETS
from .ingest_vasp import run_suffixes
from .ingest_work import Item, Order, Taken, skipped, work
from .processes import in_processes

if TYPE_CHECKING:
    from .connect import Stores

_TASK_NAMES = tuple(name + ending for ending in ("", *PACKED) for name in (".json", ".jsonl"))
_EXAMPLES = 3


@dataclass
class IngestSummary:
    """What was taken, skipped and why.

    Attributes
    ----------
    taken, salvaged : runs taken whole, and runs that were cut off.
    unchanged : runs that the store has already (taken or skipped then).
    read_again : of those taken or salvaged, runs that the store had: they, or how they are read, changed.
    frames : frames of the runs that were taken or salvaged.
    skipped : reason -> runs.
    left_out : reason -> frames of runs that were taken.
    examples : reason -> some of its places with details.
    notes : what else should be known.
    """

    taken: int = 0
    salvaged: int = 0
    unchanged: int = 0
    read_again: int = 0
    frames: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def count(self, run: RunDoc, unchanged: bool, was_there: bool = False) -> None:
        """Count one run.

        Parameters
        ----------
        run : as it is in the store now.
        unchanged : it was not read again.
        was_there : the store had frames from its place before.
        """
        if unchanged and run.state != "skipped":
            self.unchanged += 1
            return
        if run.state == "skipped":
            self.skipped[run.reason] += 1
        else:
            self.taken += run.state == "taken"
            self.salvaged += run.state == "salvaged"
            self.read_again += was_there
            self.frames += run.n_frames
            self.left_out.update(run.left_out)
        if run.reason:
            shown = self.examples.setdefault(run.reason, [])
            if len(shown) < _EXAMPLES:
                shown.append(f"{run.place}: {run.detail}")

    @property
    def took_nothing(self) -> bool:
        """Whether all there was has been passed over, and the store has none of it from before."""
        return bool(self.skipped) and not (self.taken or self.salvaged or self.unchanged)

    def as_dict(self) -> dict[str, Any]:
        """Plain data for --json."""
        return {
            "taken": self.taken,
            "salvaged": self.salvaged,
            "unchanged": self.unchanged,
            "read_again": self.read_again,
            "frames": self.frames,
            "skipped": dict(self.skipped),
            "left_out": dict(self.left_out),
            "examples": self.examples,
            "notes": self.notes,
        }


def find_items(paths: Sequence[Path], group_levels: int | None = None) -> list[Item]:
    """Look through folders for VASP runs, task documents and data sets.

    Links to folders are not followed: those that lead out of the named folder are items that are passed over.

    Parameters
    ----------
    paths : folders, or single files.
    group_levels : frames below the same ancestor so many levels up are one lineage (1: the parent folder); None: each
        run is one of its own.

    Raises
    ------
    ValueError
        If a path does not exist.
    """
    found: dict[tuple[Path, tuple[str, ...]], Item] = {}
    for path in paths:
        if not path.exists():
            raise ValueError(f"{path}: no such folder or file")
        root = path.resolve()
        items = _items_below(root, group_levels) if root.is_dir() else [_named_file(path.name, root)]
        for item in items:
            if item is not None:
                found.setdefault((item.path, item.suffixes), item)
    return list(found.values())


def _items_below(root: Path, group_levels: int | None) -> Iterator[Item | None]:
    unread: list[OSError] = []
    for name, folders, files in os.walk(root, onerror=unread.append, followlinks=False):
        folders.sort()
        folder = Path(name)
        if (reason := unread_export(folder, folders)) is not None:
            yield Item("ase set", folder, root, passed_over=reason)
        known = passed_by(folder, folders)
        folders[:] = [below for below in folders if below not in known]
        group = None if group_levels is None else _group(folder, root, group_levels)
        suffixes = run_suffixes(files)
        if suffixes or STEP_FILE in files:
            yield Item("vasp folder", folder, root, tuple(suffixes or [""]), group, has_step_file=STEP_FILE in files)
        for file in sorted(set(files) - known):
            if (suffixes or STEP_FILE in files) and file.endswith(_TASK_NAMES):
                continue  # a run folder's own records, read from its outputs
            yield _file_item(folder / file, root, group)
        yield from (_link_item(folder / below, root) for below in folders if (folder / below).is_symlink())
    for err in unread:
        reason = PassOver("not readable", f"the folder cannot be listed: {err.strerror}")
        yield Item("vasp folder", Path(err.filename), root, passed_over=reason)


def _link_item(link: Path, root: Path) -> Item | None:
    """A link to a folder elsewhere; one to a folder that is looked through anyway says nothing new."""
    target = link.resolve()
    if target.is_relative_to(root):
        return None
    reason = PassOver("leads outside", f"a link to the folder {target}: name that folder too")
    return Item("vasp folder", link, root, passed_over=reason)


def _group(folder: Path, root: Path, levels: int) -> str:
    parts = (root.name, *folder.relative_to(root).parts)
    return "/".join(parts[: max(1, len(parts) - levels)]).encode("utf-8", "backslashreplace").decode("utf-8")


def _file_item(path: Path, root: Path, group: str | None = None) -> Item | None:
    if path.name.endswith(SETS):
        exported = export_folder(path)
        if exported is not None and root.is_relative_to(exported):
            root = exported  # a part of a set was named: what is said of it lies beside it
        return Item("ase set", path, root, group=group)
    if path.name.endswith(_TASK_NAMES):
        return Item("task documents", path, root, group=group)
    return None


def _named_file(name: str, path: Path) -> Item:
    """A file that was named: a data set, task documents, or an output of a VASP run, which stands for the run."""
    item = _file_item(path, path.parent)
    if item is None and (suffixes := run_suffixes([path.name])):
        item = Item("vasp folder", path.parent, path.parent, tuple(suffixes))
    if item is None:
        raise ValueError(
            f"{name}: not a kind of file that is known; there are {', '.join((*SETS, *_TASK_NAMES))}, vasprun.xml, and "
            "folders with them"
        )
    return item


def ingest(
    stores: Stores,
    items: Iterable[Item],
    options: IngestOptions,
    processes: int = 1,
    again: bool = False,
    on_done: Callable[[Item], None] = lambda item: None,
) -> IngestSummary:
    """Read items and write what they hold into the store.

    Parameters
    ----------
    stores : where to.
    items : from `find_items` or `JobStoreItems`.
    options : how they are read.
    processes : that read; the calling one writes.
    again : read what is unchanged too.
    on_done : called after each item, for progress.
    """
    summary = IngestSummary()
    spool_folder = Path(tempfile.mkdtemp(prefix="valenceflow-ingest-"))
    try:
        with Keeper(stores) as keeper:
            orders = (_order(keeper, item, options, spool_folder, again) for item in items)
            for order, results in in_processes(work, orders, processes, _lost):
                for taken in results:
                    was_there = taken.run.place in order.had_frames
                    summary.count(taken.run if taken.unchanged else keeper.keep(taken), taken.unchanged, was_there)
                on_done(order.item)
    finally:
        shutil.rmtree(spool_folder, ignore_errors=True)
    summary.notes += keeper.notes
    return summary


def _order(keeper: Keeper, item: Item, options: IngestOptions, spool_folder: Path, again: bool) -> Order:
    there = {run.place: run for run in keeper.runs_at(item.places)}
    had_frames = frozenset(place for place, run in there.items() if run.state != "skipped")
    return Order(item, options, spool_folder, {} if again else there, had_frames)


def _lost(order: Order) -> list[Taken]:
    """What is said of an item whose process was lost twice."""
    reason = PassOver("unexpected", "the process that read it was killed (memory?); please look at this file")
    return [Taken(skipped(order, place, reason)) for place in order.item.places]
