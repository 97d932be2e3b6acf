"""`valenceflow ingest`: runs and data sets from anywhere into a store, with a reason for whatever is passed over."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from .places import JsonOption
from .wording import counted

if TYPE_CHECKING:
    from ..inputs.charge_states import RedoxCouple
    from ..stores.connect import Stores
    from ..stores.ingest import IngestSummary
    from ..stores.ingest_options import IngestOptions
    from ..stores.ingest_work import Item

_STRESS = "Unit of a data set's stresses: eV/A3, kbar or GPa, with a leading - where positive means pressure; or none."
_SQLITE = (".sqlite", ".db", ".sqlite3")


def ingest(
    paths: Annotated[
        list[Path] | None, typer.Argument(help="Folders to look through, or files.", show_default=False)
    ] = None,
    store: Annotated[
        Path | None,
        typer.Option(help="Where to: store.sqlite (made if missing), or a YAML with JOB_STORE.", show_default=False),
    ] = None,
    job_store: Annotated[
        Path | None,
        typer.Option(help="Also take the TaskDocs of another JobStore: a YAML as ~/.jobflow.yaml.", show_default=False),
    ] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes that read (default: one per core).")] = None,
    again: Annotated[bool, typer.Option(help="Read what is in the store already too.")] = False,
    couples: Annotated[Path | None, typer.Option(help="YAML with redox couples of your own.")] = None,
    fixed: Annotated[
        list[str] | None, typer.Option(help="Oxidation state of an element, e.g. Ti=4; repeat it.", show_default=False)
    ] = None,
    keep_unlabelled: Annotated[
        bool, typer.Option(help="Take runs whose charge states nothing tells; they get no labels.")
    ] = False,
    not_surrogate: Annotated[
        list[str] | None, typer.Option(help="An element (Ga, Ge) that is an ordinary one here.", show_default=False)
    ] = None,
    protocol: Annotated[str | None, typer.Option(help="Protocol that runs are held against.")] = None,
    group_levels: Annotated[
        int | None,
        typer.Option(min=0, help="Runs below the same folder so many levels up are one group for splits."),
    ] = None,
    engine: Annotated[str, typer.Option(help="What computed a data set, e.g. vasp: its label windows.")] = "unstated",
    protocol_name: Annotated[str | None, typer.Option(help="What a data set's protocol is called.")] = None,
    stress_unit: Annotated[str | None, typer.Option(help=_STRESS, show_default="found from the energies")] = None,
    bader: Annotated[
        str | None, typer.Option(help="A data set's Bader charges: net, gained (electrons) or none.")
    ] = None,
    encoded: Annotated[
        list[str] | None,
        typer.Option(help="An element that stands for a charge state in a data set, e.g. Ga=Fe3+.", show_default=False),
    ] = None,
    group_key: Annotated[str | None, typer.Option(help="Key of a data set's frames that names their group.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Take VASP folders, TaskDocs and data sets into a store.

    What did not change since the last time is left alone. Exit code 1: nothing could be taken.
    """
    from ..stores.ingest import find_items  # noqa: PLC0415 - pymatgen, ASE
    from ..stores.ingest import ingest as take_in  # noqa: PLC0415
    from ..stores.ingest_jobs import JobStoreItems  # noqa: PLC0415

    if not paths and job_store is None:
        raise ValueError("say what to ingest: folders or files, or --job-store STORE.yaml")
    stores = _open(store)
    options = _options(
        couples=couples,
        fixed=fixed or (),
        encoded=encoded or (),
        protocol=protocol,
        keep_unlabelled=keep_unlabelled,
        not_surrogates=frozenset(not_surrogate or ()),
        engine=engine,
        protocol_name=protocol_name,
        stress_unit=_one_of("--stress-unit", stress_unit, "StressUnit"),
        bader=_one_of("--bader", bader, "BaderMeaning"),
        group_key=group_key,
    )
    found = find_items(paths or [], group_levels)
    jobs = None if job_store is None else JobStoreItems(job_store)
    total = len(found) + (0 if jobs is None else len(jobs))
    if total == 0:
        named = ", ".join(str(path) for path in paths or [])
        raise ValueError(f"nothing to ingest below {named}: no vasprun.xml, no TaskDoc, no data set")
    assert store is not None
    with only_writer(stores, store.resolve().parent), _Bar(total, shown=not as_json) as bar:
        _remember_couples(stores, options, given=couples is not None)
        summary = take_in(stores, chain(found, jobs or ()), options, workers or cores(), again, bar.advance)
    stores.close()
    for line in [json.dumps(summary.as_dict(), indent=1)] if as_json else report(summary):
        typer.echo(line)
    if summary.took_nothing:
        raise typer.Exit(1)


def _open(store: Path | None) -> Stores:
    from ..stores.connect import sqlite_stores, stores_from_yaml  # noqa: PLC0415 - start-up

    if store is None:
        raise ValueError("say where to: --store store.sqlite (made if missing), or a YAML with JOB_STORE")
    if store.suffix in (".yaml", ".yml"):
        return stores_from_yaml(store)
    if store.suffix not in _SQLITE:
        raise ValueError(f"--store {store}: name a .sqlite file, or a .yaml with JOB_STORE")
    if not store.resolve().parent.is_dir():
        raise ValueError(f"--store {store}: the folder {store.resolve().parent} does not exist; make it first")
    return sqlite_stores(store.resolve())


@contextmanager
def only_writer(stores: Stores, folder: Path | None) -> Iterator[None]:
    """Where one process alone may write, that is whoever holds the campaign's lock; elsewhere nobody need wait."""
    if folder is None or not stores.has_inbox:
        yield
        return
    from ..flows.lock import campaign_lock  # noqa: PLC0415

    with campaign_lock(folder):
        stores.take_in(alone=True)
        yield


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _one_of(option: str, value: str | None, kind: str) -> str | None:
    from ..stores import ingest_options  # noqa: PLC0415

    known = get_args(getattr(ingest_options, kind))
    if value is not None and value not in known:
        raise ValueError(f"{option} {value!r} is unknown; choose one of {', '.join(known)}")
    return value


def _options(
    couples: Path | None, fixed: Sequence[str], encoded: Sequence[str], protocol: str | None, **rest: Any
) -> IngestOptions:
    from ..inputs.fixed_states import parse_fixed_states, shipped_fixed_states  # noqa: PLC0415
    from ..inputs.protocol import load_protocol  # noqa: PLC0415
    from ..stores.ingest_options import couples_with, default_options, parse_encoded  # noqa: PLC0415

    return default_options(
        couples=couples_with(own_couples(couples)),
        fixed={**shipped_fixed_states(), **parse_fixed_states(fixed)},
        encoded=parse_encoded(encoded),
        protocol=None if protocol is None else load_protocol(protocol),
        **rest,
    )


def own_couples(path: Path | None) -> list[RedoxCouple]:
    """Couples of a user's YAML; none without a file.

    Raises
    ------
    ValueError
        If it cannot be read.
    """
    from ..inputs.charge_states import parse_couples  # noqa: PLC0415 - pymatgen

    if path is None:
        return []
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as err:
        raise ValueError(f"--couples {path}: not readable: {err}") from err
    return list(parse_couples(text, str(path)).values())


def _remember_couples(stores: Stores, options: IngestOptions, given: bool) -> None:
    """`build` labels with the couples that ingest was given, unless it is told otherwise."""
    if not given:
        return
    from ..stores.labelling_choice import choose_labelling  # noqa: PLC0415
    from ..stores.labels import Labelling  # noqa: PLC0415

    labelling = Labelling(couples=list(options.couples), fixed=options.fixed, origin="published")
    choose_labelling(stores, labelling, lines=["couples given to ingest"])


class _Bar:
    """A progress bar on standard error, where that is a terminal."""

    def __init__(self, total: int, shown: bool) -> None:
        from rich.console import Console  # noqa: PLC0415 - start-up
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn  # noqa: PLC0415

        console = Console(stderr=True)
        columns = (TextColumn("reading"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self._progress = Progress(*columns, console=console, disable=not (shown and console.is_terminal))
        self._task = self._progress.add_task("reading", total=total)

    def __enter__(self) -> _Bar:
        self._progress.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._progress.stop()

    def advance(self, item: Item) -> None:
        """One more item is done."""
        self._progress.advance(self._task)


def report(summary: IngestSummary) -> list[str]:
    """What was taken, skipped and why, one line each; the first examples of every reason are named."""
    n_skipped = sum(summary.skipped.values())
    again = f" ({summary.read_again} of them read again: they, or how they are read, changed)"
    lines = [
        f"taken: {counted(summary.taken, 'run')}, salvaged: {summary.salvaged}{again if summary.read_again else ''}, "
        f"already there: {summary.unchanged}, skipped: {n_skipped}; {summary.frames} frames written"
    ]
    reasons = dict(summary.skipped)
    if summary.salvaged:
        reasons = {"interrupted": summary.salvaged, **reasons}
    for reason, count in sorted(reasons.items(), key=lambda pair: -pair[1]):
        lines.append(f"  {count:6d}  {reason}")
        lines += [f"          {example}" for example in summary.examples.get(reason, [])]
    if summary.left_out:
        lines.append("frames left out of runs that were taken:")
        lines += [f"  {count:6d}  {reason}" for reason, count in summary.left_out.most_common()]
    lines += [f"note: {note}" for note in summary.notes]
    if summary.taken or summary.salvaged:
        lines.append("label them with `valenceflow build --store STORE`")
    return lines
