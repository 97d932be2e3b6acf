"""`valenceflow export`: a data set for training, with splits, checksums and a card."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

import typer

from .places import CampaignArgument, JsonOption, Place, StoreOption, find_place
from .wording import NO_CAMPAIGN, rehearsal_note, shell_words

if TYPE_CHECKING:
    from ..stores.frame_filters import FrameFilters
    from ..stores.splits import SplitPolicy

SWITCHES = ("unconverged", "failed-audit", "drifted", "salvaged", "ambiguous", "transition-states", "lost")
"""What --keep and --leave-out take: fields of `FrameFilters`."""

_FORMAT = "mace, chgnet, cpainn, parquet, aselmdb; several with commas or by repeating it."
_SWITCHED = f"Frames of one of: {', '.join(SWITCHES)}; repeat it."


def export(
    campaign: CampaignArgument = None,
    store: StoreOption = None,
    to: Annotated[Path | None, typer.Option(help="Folder to make.", show_default=False)] = None,
    formats: Annotated[list[str] | None, typer.Option("--format", help=_FORMAT, show_default=False)] = None,
    charge_states: Annotated[
        bool, typer.Option("--charge-states/--no-charge-states", help="Give charge states model species of their own.")
    ] = True,
    species_map: Annotated[
        str, typer.Option(help="Map of charge states: charge-states, paper, or a YAML of yours.")
    ] = "charge-states",
    engine: Annotated[str | None, typer.Option(help="Only frames of this engine.")] = None,
    protocol_hash: Annotated[str | None, typer.Option(help="Only frames of this protocol.")] = None,
    formula: Annotated[
        list[str] | None, typer.Option(help="Only this reduced formula; repeat it.", show_default=False)
    ] = None,
    elements: Annotated[
        str | None, typer.Option(help="Only frames of these elements, e.g. Na,Fe,P,Si,S,O; or: paper.")
    ] = None,
    keep: Annotated[
        list[str] | None, typer.Option(help=f"Take what is left out: {_SWITCHED}", show_default=False)
    ] = None,
    leave_out: Annotated[list[str] | None, typer.Option(help=_SWITCHED, show_default="all but salvaged, lost")] = None,
    least_confidence: Annotated[float, typer.Option(help="Smallest confidence of labels, 0 to 1.")] = 0.0,
    surrogate: Annotated[str, typer.Option(help="Frames of the surrogate step: exclude, or only these.")] = "exclude",
    every: Annotated[int, typer.Option(min=1, help="Every n-th frame of a run, its first and its last.")] = 1,
    energy_step: Annotated[float, typer.Option(help="Only frames so far apart in energy, eV/atom.")] = 0.0,
    force_step: Annotated[float, typer.Option(help="Only frames so far apart in largest force, eV/A.")] = 0.0,
    split_by: Annotated[
        str, typer.Option(help="No split cuts a lineage, nor a: 'working ordering', composition, host.")
    ] = "lineage",
    fractions: Annotated[str, typer.Option(help="Of train, valid and test.")] = "0.8,0.1,0.1",
    seed: Annotated[int, typer.Option(help="Of the split.")] = 0,
    stratify: Annotated[str, typer.Option(help="composition, host, step or none.")] = "composition",
    hold_out: Annotated[
        list[str] | None,
        typer.Option(
            help="Id, campaign, key (of working ions too) or formula to be held out as a benchmark; repeat it.",
            show_default=False,
        ),
    ] = None,
    title: Annotated[str, typer.Option(help="Of the card.", show_default=False)] = "",
    licence: Annotated[str, typer.Option(help="Of the set, e.g. CC-BY-4.0.", show_default=False)] = "",
    citation: Annotated[str, typer.Option(help="How to cite the set.", show_default=False)] = "",
    check: Annotated[bool, typer.Option(help="Read every format back through its trainer's loader.")] = True,
    replace: Annotated[bool, typer.Option(help="Replace a set that is there.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Make a data set for training, with splits and a card."""
    from ..potentials.reading_back import read_back  # noqa: PLC0415 - start-up
    from ..stores.export.data_set import ExportOptions, export_set  # noqa: PLC0415 - pymatgen, ASE
    from ..stores.export.files import checked_formats  # noqa: PLC0415
    from ..stores.thinning import Thinning  # noqa: PLC0415

    if to is None:
        raise ValueError("say where to: --to FOLDER")
    options = ExportOptions(
        formats=checked_formats(formats or []),
        filters=_filters(
            keep or [],
            leave_out or [],
            engine=engine,
            protocol_hash=protocol_hash,
            formulas=_formulas(formula),
            elements=_elements(elements),
            least_confidence=least_confidence,
        ),
        thinning=Thinning(every, energy_step, force_step),
        surrogate=cast(Literal["exclude", "only"], surrogate),
        split=_split(split_by, fractions, seed, stratify, hold_out or []),
        species=_species(species_map if charge_states else "elements"),
        title=title,
        licence=licence,
        citation=citation,
    )
    place = find_place(campaign, store)
    _refuse_without_frames(place, campaign, store)
    with ended_as_by_ctrl_c(), ProgressLine(shown=not as_json) as bar:
        done = export_set(place.stores, to, options, read_back if check else None, bar.moved, replace)
    place.stores.close()
    if as_json:
        typer.echo(json.dumps(done.manifest, indent=1))
        return
    for line in report(done.manifest, to):
        typer.echo(line)


def _refuse_without_frames(place: Place, campaign: Path | None, store: Path | None) -> None:
    """Refuse a store whose frames were not made yet, with the command that makes them."""
    if not place.stores.collection("frames").count({}):
        whose = ["--store", store] if campaign is None and store is not None else [campaign or NO_CAMPAIGN]
        build = shell_words("valenceflow", "build", *whose)
        place.stores.close()
        raise ValueError(
            f"{place.stores.place}: no frames to export yet; `{build}` makes those of a campaign's calculations, "
            "`valenceflow ingest` takes others"
        )


def _filters(keep: Sequence[str], leave_out: Sequence[str], **others: Any) -> FrameFilters:
    from ..stores.frame_filters import FrameFilters  # noqa: PLC0415

    switches: dict[str, Any] = {}
    for names, value in ((keep, False), (leave_out, True)):
        for name in names:
            if name not in SWITCHES:
                raise ValueError(f"filter {name!r} is unknown; choose one of {', '.join(SWITCHES)}")
            if switches.setdefault(name.replace("-", "_"), value) is not value:
                raise ValueError(f"filter {name!r}: --keep or --leave-out, not both")
    return FrameFilters(**switches, **others)


def _formulas(given: Sequence[str] | None) -> frozenset[str] | None:
    from pymatgen.core import Composition  # noqa: PLC0415

    try:
        return None if not given else frozenset(Composition(text).reduced_formula for text in given)
    except ValueError as err:
        raise ValueError(f"--formula {', '.join(given or ())}: {err}") from err


def _elements(given: str | None) -> frozenset[str] | None:
    from ase.data import atomic_numbers  # noqa: PLC0415

    from ..stores.frame_filters import PAPER_SUBSET  # noqa: PLC0415

    if given is None or given == "paper":
        return None if given is None else PAPER_SUBSET
    found = frozenset(part.strip() for part in given.split(","))
    if unknown := sorted(name for name in found if name not in atomic_numbers):
        raise ValueError(f"--elements: {unknown[0]!r} is no element symbol; write them as Na,Fe,P,O")
    return found


def _split(by: str, fractions: str, seed: int, stratify: str, hold_out: Sequence[str]) -> SplitPolicy:
    from ..stores.splits import SplitPolicy  # noqa: PLC0415

    try:
        parts = tuple(float(part) for part in fractions.split(","))
    except ValueError as err:
        raise ValueError(f"--fractions {fractions!r}: give three numbers such as 0.8,0.1,0.1") from err
    names = {"by": cast(Any, by), "stratify": cast(Any, stratify)}
    return SplitPolicy(fractions=cast(Any, parts), seed=seed, held_out=tuple(hold_out), **names)


def _species(name: str) -> Any:
    from ..inputs.species import get_species_map  # noqa: PLC0415

    return get_species_map(name)


@contextmanager
def ended_as_by_ctrl_c() -> Iterator[None]:
    """SIGTERM, a scheduler's, ends a command as Ctrl-C does, so that nothing unfinished stays."""

    def interrupt(signum: int, frame: Any) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


class ProgressLine:
    """One line of progress on standard error, where that is a terminal."""

    def __init__(self, shown: bool) -> None:
        from rich.console import Console  # noqa: PLC0415 - start-up
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn  # noqa: PLC0415

        console = Console(stderr=True)
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self._progress = Progress(
            *columns, console=console, transient=True, disable=not (shown and console.is_terminal)
        )
        self._task = self._progress.add_task("", total=None)

    def __enter__(self) -> ProgressLine:
        self._progress.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._progress.stop()

    def moved(self, what: str, done: int, total: int) -> None:
        """Show what is being done."""
        self._progress.update(self._task, description=what, completed=done, total=total or None)


def report(manifest: dict[str, Any], folder: Path) -> list[str]:
    """What was made, one line each."""
    from ..stores.coverage import untrained_lines  # noqa: PLC0415 - the science stack
    from ..stores.splits import SPLITS  # noqa: PLC0415

    note = rehearsal_note(manifest["engine"])
    counts = ", ".join(f"{name} {number}" for name, number in manifest["counts"].items())
    lines = [f"{note}: {manifest['engine']}"] if note else []
    lines.append(f"{folder}: {manifest['n_frames']} frames in {manifest['n_groups']} groups: {counts}")
    lines += [f"left out: {number:8d}  {reason}" for reason, number in manifest["excluded"].items()]
    lines += [f"{name}: read back with {found['read_back_with']}" if found["read_back_with"] != "not read back"
              else f"{name}: NOT read back" for name, found in manifest["formats"].items()]  # fmt: skip
    wanted = dict(zip(SPLITS, manifest["split"]["fractions"], strict=True))
    empty = [name for name, number in manifest["counts"].items() if not number and wanted.get(name)]
    if empty:
        held = " that are not held out" if manifest["split"]["held_out"] else ""
        lines.append(f"nothing in {', '.join(empty)}: there are too few groups{held}, and none is ever cut "
                     f"({manifest['n_groups']} in all)")  # fmt: skip
    lines += untrained_lines(manifest)
    leaks = {name: number for name, number in manifest["leakage"].items() if number}
    told = ", ".join(f"{name.replace('_', ' ')} {number}" for name, number in leaks.items())
    lines.append(f"LEAKAGE between the sides: {told}; see README.md" if leaks else "leakage between the sides: none")
    return lines
