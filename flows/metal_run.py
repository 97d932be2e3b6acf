"""Run the metal reference of a campaign on this machine, by one worker process of the local launcher."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ..stores.documents import MetalReferenceDoc
from .control import clear_requests, requested
from .launch import Workers
from .metal import MetalPlan, find_reference, next_attempt
from .progress import write_log
from .runner import Prepared, StopWorkersError


def run_metal_reference(
    prepared: Prepared, plan: MetalPlan, environment: Mapping[str, str], is_over: Callable[[], bool] = lambda: False
) -> MetalReferenceDoc:
    """Run the reference unless it is there; what failed before is tried again.

    Parameters
    ----------
    prepared : the campaign, ready to run; the caller holds its lock.
    plan : from `metal.plan_metal`.
    environment : for the worker.
    is_over : whether the time of the run is over; asked about once a second.

    Returns
    -------
    The reference; its `counts` says whether it is one.

    Raises
    ------
    StopWorkersError
        If the run was cancelled or its time is over.
    ValueError
        If the job vanished without a document.
    """
    known = find_reference(prepared.stores, prepared.campaign, plan)
    if known is not None and known.counts:
        return known
    folder, attempt = prepared.campaign.folder, next_attempt(known)
    clear_requests(folder)

    def stop_where_asked() -> None:
        if requested(folder) == "cancel" or is_over():
            raise StopWorkersError("the metal reference was stopped; the next run begins it anew")

    request = {
        "metal": {"engine": plan.engine, "attempt": attempt},
        "folder": str(plan.folder(folder, attempt)),
    }
    write_log(folder, f"metal reference: {plan.protocol.name}, attempt {attempt}, by {plan.engine}")
    with Workers(prepared.campaign, prepared.stores, 1, environment) as pool:
        error = pool.ask("the metal reference", request, stop_where_asked)
    prepared.stores.take_in()
    found = find_reference(prepared.stores, prepared.campaign, plan)
    if found is None or found.attempt != attempt:
        raise ValueError(
            f"the metal reference left no document ({error or 'the flow ended'}); see {folder / 'run.log'}"
        )
    return found
