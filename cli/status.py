"""`valenceflow status`: how far a campaign is, what failed, and what to type next."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .metal import metal_line
from .places import CampaignArgument, JsonOption, Place, StoreOption, find_place, refuse_not_started
from .status_states import (
    as_plain,
    cost_line,
    disk_line,
    hopeless_lines,
    queue_lines,
    states_of,
    states_table,
    time_line,
    version_lines,
)
from .wording import AS_MEANT, AUDIT_FAILED, FAILED, LOST_ORDERING, MISSING, Exact, command, counted, rehearsal_note

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from ..flows.asked import Asked
    from ..flows.progress import Progress
    from ..flows.queues.overview import QueueOverview
    from ..stores.costs import Cost
    from ..stores.failure_groups import FailureGroup
    from ..stores.overview import FractionOverview


@dataclass
class Change:
    """How the campaign file differs from what was last run with an engine.

    Attributes
    ----------
    fields : fields and files that changed.
    new, left_out : configurations, counted where `--plan` was given.
    problem : why it cannot be planned.
    """

    fields: list[str]
    new: int | None = None
    left_out: int | None = None
    problem: str = ""


@dataclass
class Overview:
    """What `status` shows of one campaign.

    Attributes
    ----------
    name : of the campaign.
    rows, failures : counted in the store.
    running, starting : a run holds the campaign, or is on its way (it imports, or chooses orderings).
    progress : of the run that holds the campaign; None where none does.
    changes : engine -> how the campaign file changed since.
    left_out, left_out_done : configurations that it no longer asks for, and those of them with a calculation.
    disk : what the missing ones need, in words, where it is known.
    queues : engine -> the queue that has its jobs.
    costs : engine -> what its calculations cost.
    other_versions : how packages of jobs differ from the submitter's, in words -> calculations.
    """

    name: str
    rows: list[FractionOverview]
    failures: list[FailureGroup]
    running: bool = False
    progress: Progress | None = None
    changes: dict[str, Change] = field(default_factory=dict)
    left_out: int = 0
    left_out_done: int = 0
    disk: str = ""
    queues: dict[str, QueueOverview] = field(default_factory=dict)
    costs: dict[str, Cost] = field(default_factory=dict)
    metals: list[dict[str, Any]] = field(default_factory=list)
    starting: bool = False
    other_versions: dict[str, int] = field(default_factory=dict)

    def rows_of(self, engine: str) -> list[FractionOverview]:
        """Its rows."""
        return [row for row in self.rows if row.engine == engine]

    @property
    def states(self) -> dict[str, tuple[str, dict[str, int]]]:
        """Engine -> where it runs, and its configurations by state."""
        found: dict[str, tuple[str, dict[str, int]]] = {}
        for engine in dict.fromkeys(row.engine for row in self.rows):
            mine = self.progress if self.progress is not None and self.progress.engine == engine else None
            queue = self.queues.get(engine)
            where = "local" if queue is None or mine is not None else queue.launch.kind
            found[engine] = (where, states_of(self.rows_of(engine), mine, queue))
        return found

    def as_dict(self) -> dict[str, Any]:
        """Plain data for --json."""
        return {
            "running": self.running,
            "starting": self.starting,
            "progress": None if self.progress is None else self.progress.as_dict(),
            "fractions": [row.as_dict() for row in self.rows],
            "failures": [asdict(group) for group in self.failures],
            "changed": {engine: asdict(change) for engine, change in self.changes.items()},
            "states": {engine: {"where": where, **states} for engine, (where, states) in self.states.items()},
            "queues": {engine: as_plain(queue) for engine, queue in self.queues.items()},
            "cost": {engine: asdict(cost) for engine, cost in self.costs.items()},
            "metal_references": [{name: m[name] for name in _OF_METAL} for m in self.metals],
            "other_versions": self.other_versions,
            "no_longer_asked": {"configurations": self.left_out, "calculations": self.left_out_done},
        }


_OF_METAL = ("crystal", "engine", "protocol", "k_mesh", "energy_per_atom", "counts", "attempt")


def status(
    campaign: CampaignArgument = None,
    store: StoreOption = None,
    plan: Annotated[
        bool, typer.Option("--plan", help="Where the file changed since the run, plan it anew and count what is new.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Show how far a campaign is and what to type next."""
    place = find_place(campaign, store)
    refuse_not_started(place, campaign)
    queues = _ask_queues(place)
    running = _bring_up_to_date(campaign, place, queues)
    for queue in queues.values():
        queue.leave_out_finished(place.stores)
    names = [place.name] if place.name else sorted(place.stores.collection("campaigns").distinct("campaign"))
    if not names and not as_json:
        typer.echo(f"no campaign in {place.stores.place}")
    overviews = [_overview(place, name, campaign, running, plan) for name in names]
    for overview in overviews:
        overview.queues = queues
        overview.starting = not running and campaign is not None and _is_starting(campaign)
    if as_json:
        typer.echo(json.dumps({overview.name: overview.as_dict() for overview in overviews}, indent=1))
        return
    from rich.console import Console  # noqa: PLC0415 - start-up

    console = Console()
    for overview in overviews:
        _show(console, overview, campaign)


def _is_starting(campaign: Path) -> bool:
    from ..flows.lock import is_starting  # noqa: PLC0415 - start-up

    return is_starting(campaign)


def _overview(place: Place, name: str, campaign: Path | None, running: bool, plan: bool) -> Overview:
    from ..flows.asked import read_asked  # noqa: PLC0415 - start-up
    from ..flows.progress import read_progress  # noqa: PLC0415
    from ..stores.costs import costs  # noqa: PLC0415
    from ..stores.failure_groups import failure_groups  # noqa: PLC0415
    from ..stores.other_versions import other_versions  # noqa: PLC0415
    from ..stores.overview import finished_among, fraction_overviews  # noqa: PLC0415

    asked = {} if place.folder is None else read_asked(place.folder)
    left_out = [identity for record in asked.values() for identity in record.left_out]
    rows = fraction_overviews(place.stores, name, left_out)
    progress = None if place.folder is None else read_progress(place.folder)
    return Overview(
        name,
        rows,
        failure_groups(place.stores, name, left_out),
        running,
        progress if running else None,
        {} if campaign is None else dict(_changes(campaign, place, asked, plan)),
        len(left_out),
        len(finished_among(place.stores, left_out)),
        disk_line(place.folder, rows, progress),
        costs=costs(place.stores, name),
        other_versions=other_versions(place.stores, name),
        metals=list(place.stores.collection("references").query({"campaign": name}, sort={"engine": 1})),
    )


def _ask_queues(place: Place) -> dict[str, QueueOverview]:
    """Queue managers that have jobs of the campaign, by engine."""
    from ..flows.queues.launches import launches_of  # noqa: PLC0415 - start-up

    if place.folder is None or place.name is None:
        return {}
    launches = launches_of(place.folder)
    if not launches:
        return {}
    from ..flows.queues.overview import current_uuids, queue_overview  # noqa: PLC0415 - start-up

    return {
        engine: queue_overview(engine, launch, place.name, current_uuids(place.stores, place.name, engine))
        for engine, launch in launches.items()
    }


def _bring_up_to_date(campaign: Path | None, place: Place, queues: Mapping[str, QueueOverview]) -> bool:
    """Copy what finished since the last look, where something did; returns whether a run holds the campaign."""
    if campaign is None or place.folder is None or place.name is None:
        return False
    from ..flows.lock import CampaignBusyError, campaign_lock, is_running  # noqa: PLC0415 - start-up
    from ..flows.queues.overview import something_new  # noqa: PLC0415
    from ..stores.overview import fraction_overviews  # noqa: PLC0415

    if is_running(place.folder):
        return True
    missing = any(row.missing for row in fraction_overviews(place.stores, place.name))
    if place.folder.is_dir() and missing and something_new(place.stores, place.name, queues.values()):
        from ..flows.campaign_file import read_campaign  # noqa: PLC0415 - pymatgen, only where needed
        from ..flows.manifest import manifest_of  # noqa: PLC0415
        from ..flows.queues.submission import record_vanished  # noqa: PLC0415
        from ..stores.builders import build_calculations  # noqa: PLC0415

        try:
            with campaign_lock(place.folder):  # where one process alone may write, this is it
                place.stores.take_in(alone=True)
                described = read_campaign(campaign)
                configurations = manifest_of(described)
                build_calculations(place.stores, described.cell, configurations)
                for queue in queues.values():
                    record_vanished(place.stores, described.cell, configurations, queue.failed, queue.launch.place)
        except CampaignBusyError:
            return True
        except PermissionError:
            return False  # somebody else's campaign: it is shown as it stands
    return False


def _changes(campaign: Path, place: Place, asked: dict[str, Asked], plan: bool) -> Iterator[tuple[str, Change]]:
    """Engine and what changed in the campaign file since it was last run with it."""
    from ..flows.asked import asked_by  # noqa: PLC0415 - start-up

    path = campaign.resolve()
    now = asked_by(path.read_text(encoding="utf-8"), path)
    for engine, record in asked.items():
        names = record.changes(now)
        if names:
            yield engine, _counted_change(campaign, place, engine, names) if plan else Change(names)


def _counted_change(campaign: Path, place: Place, engine: str, names: list[str]) -> Change:
    from ..flows.campaign_file import read_campaign  # noqa: PLC0415 - pymatgen, on request
    from ..flows.manifest import plan_change  # noqa: PLC0415
    from ..flows.plan import plan_configurations  # noqa: PLC0415

    assert place.folder is not None  # as a campaign was given
    try:
        change = plan_change(place.folder, engine, plan_configurations(read_campaign(campaign), engine))
    except ValueError as err:  # what can be shown of the last run is shown all the same
        return Change(names, problem=" ".join(str(err).split()))
    return Change(names) if change is None else Change(names, change.new, change.left_out)


def _show(console: Console, overview: Overview, campaign: Path | None) -> None:
    from .next_steps import elsewhere_lines, failure_lines, next_commands  # noqa: PLC0415 - start-up
    from .tables import first_that_fits, print_lines  # noqa: PLC0415

    for engine in dict.fromkeys(row.engine for row in overview.rows):
        mine = overview.rows_of(engine)
        print_lines(console, _title(overview, engine))
        layouts = [_table(mine, layout) for layout in ("full", "narrow", "short")]
        console.print(first_that_fits(layouts, console) or layouts[-1])
    if overview.queues or overview.progress is not None:
        console.print(states_table(overview.states))
    print_lines(console, [metal_line(reference) for reference in overview.metals])
    changes = [] if campaign is None else _change_lines(overview, campaign)
    print_lines(console, [*elsewhere_lines(overview.rows), *_left_out_lines(overview), *changes])
    for group in overview.failures:
        print_lines(console, failure_lines(group, campaign))
    print_lines(console, version_lines(overview.other_versions))
    for queue in overview.queues.values():
        print_lines(console, queue_lines(overview.name, queue, campaign))
        print_lines(console, hopeless_lines(overview.rows_of(queue.engine), queue, campaign))
    if campaign is not None:
        running = None if overview.progress is None else overview.progress.engine
        print_lines(console, next_commands(overview.rows, running, campaign, overview.queues))
    print_lines(console, filter(None, [*_cost_lines(overview), overview.disk]))


def _cost_lines(overview: Overview) -> Iterator[str]:
    """Time left in queues, and core-hours spent."""
    for engine, queue in overview.queues.items():
        yield time_line(overview.rows_of(engine), queue, overview.costs.get(engine))
    for engine, cost in overview.costs.items():
        yield cost_line(engine, cost)


def _title(overview: Overview, engine: str) -> list[str]:
    """Campaign, engine and what runs now."""
    note = rehearsal_note(engine)
    head = f"{overview.name}, {engine}{f' ({note})' if note else ''}"
    progress = overview.progress
    if overview.starting:
        return [f"{head}: a run is on its way"]
    if not overview.running or (progress is not None and progress.engine != engine):
        queue = overview.queues.get(engine)
        return [f"{head}: {'not running' if queue is None or not queue.goes_on else f'in {queue.launch.place}'}"]
    if progress is None:
        return [f"{head}: running"]
    return [f"{head}: running, {progress.text()}", *progress.busy_lines()]


def _table(rows: Sequence[FractionOverview], layout: str) -> Table:
    """Counts by fraction; the short layout adds both kinds of failure up."""
    from .tables import broken, plain_table  # noqa: PLC0415 - start-up

    unfit = ["failed\n+ audit"] if layout == "short" else [AUDIT_FAILED, FAILED]
    headers = ["x", "all", AS_MEANT, LOST_ORDERING, *unfit, MISSING]
    table = plain_table(gap=1 if layout == "full" else 0)
    for header in headers:
        table.add_column(header if layout == "full" else broken(header), justify="right", no_wrap=True)
    for row in rows:
        numbers = [row.states.get(AUDIT_FAILED, 0), row.states.get(FAILED, 0)]
        cells = [row.total, row.as_meant, row.lost, *([sum(numbers)] if layout == "short" else numbers), row.missing]
        table.add_row(f"{row.fraction:.3f}", *(str(cell) for cell in cells))
    return table


def _left_out_lines(overview: Overview) -> Iterator[str]:
    if overview.left_out:
        done = f"; the {counted(overview.left_out_done, 'calculation')} of them" if overview.left_out_done else ""
        stay = f"{done} stay in the store, and `valenceflow query` shows them" if done else ""
        yield f"{counted(overview.left_out, 'configuration')} no longer asked for by the campaign file{stay}"


def _change_lines(overview: Overview, campaign: Path) -> Iterator[str]:
    for engine, change in overview.changes.items():
        what = f"{campaign.name} changed since the last run with {engine} ({', '.join(change.fields)})"
        if change.problem:
            yield f"{what} and cannot be planned: {change.problem}"
        elif change.new is None:
            yield what
            yield Exact(f"  to count what is new: {command('status', campaign, None, '--plan')}")
            yield Exact(f"  to run it: {command('run', campaign, engine)}")
        elif not change.new and not change.left_out:
            yield f"{what}, and asks for the same configurations"
        else:
            yield (
                f"{what}: {counted(change.new, 'configuration')} new, {change.left_out} no longer asked for (what is "
                "computed of them stays)"
            )
            yield Exact(f"  to run it: {command('run', campaign, engine)}")
