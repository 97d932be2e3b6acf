"""The metal reference on the command line: `run` with `voltages: true`, `run --only metal`, and the line about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .wording import FAILED

if TYPE_CHECKING:
    from rich.console import Console

    from ..flows.campaign_file import Campaign
    from ..flows.metal import MetalPlan
    from ..flows.runner import Prepared
    from ..flows.time_limits import TimeLimits


def metal_of(campaign: Campaign, engine: str, only: Sequence[str]) -> tuple[MetalPlan | None, tuple[str, ...]]:
    """The metal reference that a run is to have, and what else `--only` names.

    Raises
    ------
    ValueError
        If it is asked for and the file does not have it, or the engine cannot do it.
    """
    from ..flows.metal import METAL, plan_metal  # noqa: PLC0415 - atomate2

    others = tuple(name for name in only if name != METAL)
    if METAL in only and not campaign.file.voltages:
        raise ValueError(f"--only {METAL}: add `voltages: true` to {campaign.path.name}")
    if not campaign.file.voltages or (only and METAL not in only):
        return None, others
    return plan_metal(campaign, engine), others


def run_metal(
    console: Console, prepared: Prepared, plan: MetalPlan, environment: dict[str, str], limits: TimeLimits
) -> bool:
    """Run the reference unless it is there and say what came of it; returns whether it counts."""
    from ..flows.metal_run import run_metal_reference  # noqa: PLC0415 - start-up
    from ..flows.runner import StopWorkersError  # noqa: PLC0415
    from .tables import print_lines  # noqa: PLC0415
    from .watch import orderly_end  # noqa: PLC0415

    clock = limits.started()
    try:
        with orderly_end(console):
            found = run_metal_reference(prepared, plan, environment, lambda: clock.is_over)
    except StopWorkersError as stopped:
        prepared.ended, prepared.out_of_time = str(stopped), clock.is_over
        print_lines(console, [f"ended early: {prepared.ended}"])
        return False
    print_lines(console, [metal_line(found.model_dump())])
    return found.counts


def metal_line(reference: Mapping[str, Any]) -> str:
    """What became of a metal reference (a MetalReferenceDoc as a dict)."""
    mesh = " ".join(str(n) for n in reference["k_mesh"])
    head = f"metal reference {reference['crystal']}, k-mesh {mesh}, {reference['engine']}"
    if not reference["counts"]:
        why = next((f["message"] for f in reference["audit"]["findings"] if f["severity"] == "failure"), "")
        return f"{head}: {FAILED}: {why}; the next run tries it again"
    return f"{head}: {reference['energy_per_atom']:.4f} eV per atom"
