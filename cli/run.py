"""`valenceflow run` and `valenceflow retry`: a campaign's configurations, run here by worker processes."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .completion import complete_fault, complete_reason
from .places import CampaignPath, EngineOption

if TYPE_CHECKING:
    from rich.console import Console

    from ..flows.campaign_file import Campaign
    from ..flows.runner import Prepared


@dataclass(frozen=True)
class RunOptions:
    """How `run` was asked to run."""

    workers: int
    limit: int | None
    only: tuple[str, ...]
    stop_after_min: float | None
    fault: str | None


def run(
    campaign: CampaignPath,
    engine: EngineOption = "vasp",
    workers: Annotated[int | None, typer.Option(min=1, help="Processes; default: launch.workers of the file.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Run at most this many configurations.")] = None,
    only: Annotated[list[str] | None, typer.Option(help="Run this key or configuration id (repeatable).")] = None,
    dry_run: Annotated[Path | None, typer.Option(help="Write every input file here and run nothing.")] = None,
    stop_after: Annotated[
        float | None, typer.Option(min=0, help="Start no further configuration after so many minutes.")
    ] = None,
    fault: Annotated[
        str | None, typer.Option(help="Inject a fault into a rehearsal, e.g. spin-flip.", autocompletion=complete_fault)
    ] = None,
) -> None:
    """Run a campaign; a second run does only what is missing."""
    from rich.console import Console  # noqa: PLC0415 - start-up

    from ..flows.campaign_file import read_campaign  # noqa: PLC0415 - pymatgen
    from ..flows.engines import engine_name  # noqa: PLC0415

    console = Console()
    full_engine = engine_name(engine)
    described = read_campaign(campaign)
    if dry_run is not None:
        _dry_run(console, described, full_engine, dry_run, only or [], limit)
        return
    options = RunOptions(workers or described.file.launch.workers, limit, tuple(only or ()), stop_after, fault)
    failed = _run_here(console, described, full_engine, options)
    raise typer.Exit(1 if failed else 0)


def retry(
    campaign: CampaignPath,
    engine: EngineOption = "vasp",
    reason: Annotated[
        str | None, typer.Option(help="Only failures of this reason (see status).", autocompletion=complete_reason)
    ] = None,
    only: Annotated[list[str] | None, typer.Option(help="Only this key or configuration id (repeatable).")] = None,
) -> None:
    """Mark failed configurations for another attempt.

    `run` then does them, with what is good of the last attempt.
    """
    from ..flows.campaign_file import read_campaign  # noqa: PLC0415 - pymatgen
    from ..flows.engines import engine_name  # noqa: PLC0415
    from ..flows.retry import mark_for_retry  # noqa: PLC0415

    marked = mark_for_retry(read_campaign(campaign), engine_name(engine), reason, only or [])
    typer.echo(f"{len(marked)} configurations marked; `valenceflow run {campaign} --engine {engine}` runs them")


def _dry_run(
    console: Console, campaign: Campaign, engine: str, folder: Path, only: list[str], limit: int | None
) -> None:
    from ..flows.dry_run import write_inputs  # noqa: PLC0415 - atomate2

    written = write_inputs(campaign, engine, folder, only, limit)
    console.print(f"{written} sets of input files under {folder}; nothing was run")


def _run_here(
    console: Console,
    campaign: Campaign,
    engine: str,
    options: RunOptions,
) -> int:
    from ..flows.lock import campaign_lock  # noqa: PLC0415 - start-up
    from ..flows.preflight import check_engine, worker_environment  # noqa: PLC0415 - pymatgen's and atomate2's settings
    from ..flows.runner import make_folder, plan, prepare  # noqa: PLC0415

    planned = plan(campaign, engine, options.only)
    check_engine(campaign, engine, options.fault)
    make_folder(campaign.folder)
    with campaign_lock(campaign.folder):
        prepared = prepare(campaign, engine, planned, options.only, options.limit)
        console.print(_first_lines(prepared, options.workers), highlight=False, soft_wrap=True)
        if prepared.todo:
            _watch(console, prepared, options, worker_environment(campaign, engine, options.fault))
    return _report(console, prepared)


def _first_lines(prepared: Prepared, workers: int) -> str:
    campaign = prepared.campaign
    by_fraction: dict[float, set[str]] = {}
    for c in prepared.configurations:
        by_fraction.setdefault(c.fraction, set()).add(c.working_key)
    parts = []
    for fraction, keys in by_fraction.items():
        total = sum(c.fraction == fraction for c in prepared.configurations)
        parts.append(f"x = {fraction:g}: {total} ({len(keys)} {campaign.file.ion} orderings)")
    mesh = " ".join(str(n) for n in campaign.protocol.kpoints(campaign.cell.structure.lattice))
    note = "  REHEARSAL: these numbers are not DFT\n" if prepared.engine.startswith("rehearsal") else ""
    return (
        f"{campaign.file.name}: {len(prepared.configurations)} configurations; {'; '.join(parts)}\n"
        f"  {campaign.cell.structure.composition.reduced_formula} x {campaign.cell.formula_units} formula units, "
        f"protocol {campaign.protocol.name}, k-mesh {mesh}, engine {prepared.engine}\n{note}"
        f"  {len(prepared.todo)} to run with {min(workers, max(1, len(prepared.todo)))} workers; log: "
        f"{campaign.folder / 'run.log'}"
    )


def _watch(console: Console, prepared: Prepared, options: RunOptions, environment: dict[str, str]) -> None:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn  # noqa: PLC0415

    from ..flows.launch import Finished  # noqa: PLC0415
    from ..flows.runner import run_prepared  # noqa: PLC0415

    columns = (MofNCompleteColumn(), BarColumn(bar_width=None), TimeElapsedColumn(), TextColumn("{task.description}"))
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
            task = progress.add_task("starting", total=len(prepared.todo))
            stop_after_s = None if options.stop_after_min is None else 60 * options.stop_after_min
            for event in run_prepared(prepared, options.workers, environment, stop_after_s):
                if isinstance(event, Finished):
                    progress.advance(task)
                    if not console.is_terminal:
                        console.print(_outcome_line(prepared, event.configuration.calculation_id), highlight=False)
                else:
                    progress.update(task, description=event.configuration.joint_key)
        if prepared.ended:
            console.print(f"ended early: {prepared.ended}", highlight=False, markup=False)
    except KeyboardInterrupt:
        console.print("stopped; finished configurations are kept, and `valenceflow run` goes on from here")
        raise
    finally:
        signal.signal(signal.SIGTERM, before)


def _interrupt(signum: int, frame: Any) -> None:
    raise KeyboardInterrupt


def _outcome_line(prepared: Prepared, calculation_id: str) -> str:
    found = prepared.stores.collection("calculations").query_one({"calculation_id": calculation_id}) or {}
    energy = found.get("energy_per_fu")
    shown = "" if energy is None else f" {energy:.4f} eV/f.u."
    start = f"x = {found.get('fraction', 0):.3f} {found.get('intended_key')}"
    return f"{start} {found.get('state')}, ordering {found.get('relation')}{shown}"


def _report(console: Console, prepared: Prepared) -> int:
    """Table of all calculations of this engine; returns how many failed."""
    from .results import calculation_table, calculations_of, summary_line  # noqa: PLC0415

    calculations = calculations_of(prepared.stores, prepared.campaign.file.name, prepared.engine)
    if calculations:
        console.print(calculation_table(calculations, prepared.engine, console.width))
    console.print(summary_line(calculations, len(prepared.configurations)), highlight=False)
    return sum(c["state"] != "completed" for c in calculations)
