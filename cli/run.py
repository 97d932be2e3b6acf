"""`valenceflow run` and `valenceflow retry`: a campaign's configurations, run here by worker processes."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .completion import complete_engine, complete_fault, complete_launch, complete_reason
from .places import CampaignPath, EngineOption
from .wording import AUDIT_FAILED, command, counted

if TYPE_CHECKING:
    from rich.console import Console

    from ..flows.campaign_file import Campaign
    from ..flows.queues.launches import LaunchKind
    from ..flows.runner import Prepared
    from ..flows.time_limits import TimeLimits


LOCAL = "local"
FAILED = 1
OUT_OF_TIME = 75
"""Exit code of a run whose wall time was over with work left (EX_TEMPFAIL of sysexits.h): run it again."""


@dataclass(frozen=True)
class RunOptions:
    """How `run` was asked to run."""

    workers: int
    limit: int | None
    only: tuple[str, ...]
    limits: TimeLimits
    fault: str | None


def run(
    campaign: CampaignPath,
    engine: EngineOption = "vasp",
    workers: Annotated[int | None, typer.Option(min=1, help="Processes; default: launch.workers of the file.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Run at most this many configurations.")] = None,
    only: Annotated[list[str] | None, typer.Option(help="Run this key or configuration id (repeatable).")] = None,
    dry_run: Annotated[Path | None, typer.Option(help="Write every input file here and run nothing.")] = None,
    estimate: Annotated[
        bool, typer.Option("--estimate", help="Say what it will cost, from finished ones of similar size; run nothing.")
    ] = False,
    like: Annotated[
        list[Path] | None, typer.Option(help="For --estimate: another store to learn from (repeatable).")
    ] = None,
    launch: Annotated[
        str, typer.Option(help="local, or a queue: remote, fireworks.", autocompletion=complete_launch)
    ] = "local",
    stop_after: Annotated[
        float | None, typer.Option(min=0, help="Start no further configuration after so many minutes.")
    ] = None,
    wall_time: Annotated[
        str | None, typer.Option(metavar="H:M:S", help="The allocation's: stop before; exit 75 if work is left.")
    ] = None,
    fault: Annotated[
        str | None, typer.Option(help="Inject a fault into a rehearsal, e.g. spin-flip.", autocompletion=complete_fault)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="With --estimate: print JSON.")] = False,
) -> None:
    """Run a campaign; a second run does only what is missing."""
    from rich.console import Console  # noqa: PLC0415 - start-up

    from ..flows.engines import engine_name  # noqa: PLC0415
    from ..flows.lock import run_starts  # noqa: PLC0415
    from ..flows.queues.launches import queue_kind  # noqa: PLC0415

    console = Console()
    full_engine = engine_name(engine)
    kind = None if launch == LOCAL else queue_kind(launch)
    only_here = workers is not None or stop_after is not None or wall_time is not None
    _refuse(
        {
            "--json goes with --estimate": as_json and not estimate,
            "--like goes with --estimate": bool(like) and not estimate,
            "--estimate and --dry-run: choose one": estimate and dry_run is not None,
            f"--workers, --stop-after and --wall-time are for --launch {LOCAL}; the queue's own files and `launch:` of "
            "the campaign file say it for a queue": only_here and kind is not None,
        }
    )
    if estimate:
        from .estimate import show_estimate  # noqa: PLC0415 - start-up

        show_estimate(console, _read(campaign), full_engine, only or [], like or [], as_json)
        return
    if dry_run is not None:
        _dry_run(console, _read(campaign), full_engine, dry_run, only or [], limit)
        return
    limits = _time_limits(stop_after, wall_time)
    with ExitStack() as starting:
        starting.enter_context(run_starts(campaign))
        described = _read(campaign)
        if kind is not None:
            _hand_over(console, described, full_engine, kind, only or [], limit, fault)
            return
        options = RunOptions(workers or described.file.launch.workers, limit, tuple(only or ()), limits, fault)
        raise typer.Exit(_run_here(console, described, full_engine, options, starting))


def _refuse(contradictions: dict[str, bool]) -> None:
    """Refuse options that would be passed over; the first that is given is said."""
    for said, given in contradictions.items():
        if given:
            raise ValueError(said)


def _read(campaign: Path) -> Campaign:
    from ..flows.campaign_file import read_campaign  # noqa: PLC0415 - pymatgen

    return read_campaign(campaign)


def _time_limits(stop_after_min: float | None, wall_time: str | None) -> TimeLimits:
    from ..flows.time_limits import TimeLimits, process_began  # noqa: PLC0415 - start-up
    from ..flows.wall_time import time_limit_s  # noqa: PLC0415

    seconds = None if wall_time is None else time_limit_s(wall_time)
    return TimeLimits(None if stop_after_min is None else 60 * stop_after_min, seconds, process_began())


def _hand_over(
    console: Console,
    campaign: Campaign,
    engine: str,
    kind: LaunchKind,
    only: list[str],
    limit: int | None,
    fault: str | None,
) -> None:
    from .queueing import hand_over_campaign  # noqa: PLC0415 - start-up
    from .tables import print_lines  # noqa: PLC0415

    hand_over_campaign(console, campaign, engine, kind, tuple(only), limit, fault)
    if campaign.file.voltages:
        here = command("run", campaign.path, engine, "--only", "metal")
        print_lines(console, [f"the metal reference (one atom) is not handed over: {here}"])


def retry(
    campaign: CampaignPath,
    engine: Annotated[
        str | None,
        typer.Option(
            help="Engine whose configurations are meant.",
            autocompletion=complete_engine,
            show_default="the one that ran, or vasp",
        ),
    ] = None,
    reason: Annotated[
        str | None, typer.Option(help="Only failures of this reason (see status).", autocompletion=complete_reason)
    ] = None,
    only: Annotated[list[str] | None, typer.Option(help="Only this key or configuration id (repeatable).")] = None,
) -> None:
    """Mark failed configurations for another attempt.

    `run` then does them, with what is good of the last attempt.
    """
    from ..flows.engines import engine_name  # noqa: PLC0415
    from ..flows.queues.launches import launches_of  # noqa: PLC0415
    from ..flows.retry import mark_for_retry, only_engine  # noqa: PLC0415

    described = _read(campaign)
    whose = engine_name(engine) if engine is not None else only_engine(described) or "vasp"
    marked = mark_for_retry(described, whose, reason, only or [])
    launch = launches_of(described.folder).get(whose)
    again = command("run", campaign, whose, *(() if launch is None else ("--launch", launch.kind)))
    typer.echo(f"{counted(len(marked), 'configuration')} marked; to run: {again}")


def _dry_run(
    console: Console, campaign: Campaign, engine: str, folder: Path, only: list[str], limit: int | None
) -> None:
    from ..flows.dry_run import PLACEHOLDER_FILE, write_inputs  # noqa: PLC0415 - atomate2
    from .tables import print_lines  # noqa: PLC0415 - start-up

    written = write_inputs(campaign, engine, folder, only, limit)
    what = f"{counted(written.configurations, 'configuration')}, {counted(written.steps, 'step')}"
    lines = [f"{what} written to {folder}; nothing was run"]
    if written.placeholders:
        number = counted(written.placeholders, "placeholder")
        lines.append(
            f"{number} among the geometries, for what step 1 will relax: {PLACEHOLDER_FILE} beside them says so"
        )
    print_lines(console, lines)


def _run_here(
    console: Console,
    campaign: Campaign,
    engine: str,
    options: RunOptions,
    starting: ExitStack,
) -> int:
    """Run with worker processes and report; returns the command's exit code. `starting` ends where the run begins."""
    from ..flows.lock import campaign_lock  # noqa: PLC0415 - start-up
    from ..flows.preflight import (  # noqa: PLC0415 - pymatgen's and atomate2's settings
        check_engine,
        check_launch_settings,
        worker_environment,
    )
    from ..flows.queues.overview import refuse_queued  # noqa: PLC0415
    from ..flows.runner import make_folder, plan, prepare, reach_store  # noqa: PLC0415
    from .metal import metal_of, run_metal  # noqa: PLC0415
    from .progress import progress_bar  # noqa: PLC0415
    from .tables import print_lines  # noqa: PLC0415

    metal_plan, only = metal_of(campaign, engine, options.only)
    with progress_bar("choosing orderings") as tell:
        planned = plan(campaign, engine, only, tell)
    check_engine(campaign, engine, options.fault)
    check_launch_settings(campaign, engine, planned)
    reach_store(campaign)
    make_folder(campaign.folder)
    with campaign_lock(campaign.folder):
        starting.close()
        limit = 0 if options.only and not only else options.limit
        prepared = prepare(campaign, engine, planned, only, limit)
        refuse_queued(campaign.path, campaign.folder, engine, prepared.todo)
        print_lines(console, _first_lines(prepared, options.workers).splitlines())
        environment = worker_environment(campaign, engine, options.fault)
        metal = metal_plan is None or run_metal(console, prepared, metal_plan, environment, options.limits)
        if prepared.todo and not prepared.ended:
            from .watch import watch  # noqa: PLC0415 - start-up

            watch(console, prepared, options.workers, environment, options.limits)
    failed = _report(console, prepared)
    return OUT_OF_TIME if prepared.out_of_time else FAILED if failed or prepared.disk_full or not metal else 0


def _first_lines(prepared: Prepared, workers: int) -> str:
    from ..flows.plan_words import fraction_words  # noqa: PLC0415 - pymatgen

    campaign = prepared.campaign
    parts = fraction_words(prepared.configurations, campaign.file.ion)
    mesh = " ".join(str(n) for n in campaign.protocol.kpoints(campaign.cell.structure.lattice))
    note = "  REHEARSAL: these numbers are not DFT\n" if prepared.engine.startswith("rehearsal") else ""
    running = counted(min(workers, max(1, len(prepared.todo))), "worker")
    return (
        f"{campaign.file.name}: {counted(len(prepared.configurations), 'configuration')}; {'; '.join(parts)}\n"
        f"  {campaign.cell.structure.composition.reduced_formula} x {campaign.cell.formula_units} formula units, "
        f"protocol {campaign.protocol.name}, k-mesh {mesh}, engine {prepared.engine}\n{note}{_changed(prepared)}"
        f"  {len(prepared.todo)} to run with {running}; log: {campaign.folder / 'run.log'}"
    )


def _changed(prepared: Prepared) -> str:
    """What the campaign file asks for beyond, or no longer, since the last run."""
    change = prepared.change
    if change is None or not (change.new or change.left_out):
        return ""
    left_out = f", {change.left_out} no longer asked for (what is computed of them stays)" if change.left_out else ""
    return f"  since the last run: {counted(change.new, 'configuration')} new{left_out}\n"


def _report(console: Console, prepared: Prepared) -> int:
    """Table of all planned calculations of this engine; returns how many failed."""
    from .results import calculations_of, fitting_table, notes, summary_line  # noqa: PLC0415
    from .tables import print_lines  # noqa: PLC0415

    name, planned = prepared.campaign.file.name, {c.configuration_id for c in prepared.configurations}
    found = calculations_of(prepared.stores, name, prepared.engine)
    calculations = [c for c in found if c["configuration_id"] in planned]
    others = _run_by_others(prepared)
    if calculations:
        console.print(fitting_table(calculations, prepared.engine, console))
        print_lines(console, notes(calculations))
    lines = [summary_line([*calculations, *others], planned)]
    if others:
        names = ", ".join(sorted({c["engine"] for c in others}))
        lines.append(f"{len(others)} of them were run by {names}, not by {prepared.engine}: they do not count")
    if len(found) > len(calculations):
        lines.append(f"{len(found) - len(calculations)} more in the store, which the campaign file no longer asks for")
    print_lines(console, lines)
    return sum(c["state"] != "completed" for c in [*calculations, *others])


def _run_by_others(prepared: Prepared) -> list[dict[str, Any]]:
    """Calculations of planned configurations whose output another engine wrote; their audit has failed for that."""
    planned = {c.calculation_id for c in prepared.configurations}
    criteria = {"state": AUDIT_FAILED, "engine": {"$ne": prepared.engine}}
    wanted = ["calculation_id", "configuration_id", "engine", "state", "relation"]
    found = prepared.stores.collection("calculations").query(criteria, properties=wanted)
    return [c for c in found if c["calculation_id"] in planned]
