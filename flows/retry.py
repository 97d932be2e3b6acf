"""Mark failed configurations for another attempt: a new attempt number, the old documents kept.

Steps that passed their audit keep their job uuid, so that they are not run again; the others get new ones.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, get_args

from ..stores.builders import build_calculations, supersede
from ..stores.documents import ConfigurationDoc, FailureReason
from ..stores.overview import engine_asked
from ..stores.relations import LOST, LOST_ORDERING
from .campaign_file import Campaign
from .lock import campaign_lock
from .manifest import MANIFEST_FILE, register_campaign, with_attempts
from .plan import step_uuid
from .runner import campaign_stores, matches, plan

RETRY_REASONS = (*get_args(FailureReason), "failed", "audit failed", LOST_ORDERING, *LOST)
"""What calculations can be marked by: why they failed, their state, or what became of their ordering."""


def mark_for_retry(
    campaign: Campaign, engine: str, reason: str | None = None, only: Sequence[str] = ()
) -> list[ConfigurationDoc]:
    """Raise the attempt of configurations whose latest calculation failed, did not pass its audit or has no energy.

    Parameters
    ----------
    campaign, engine : which configurations.
    reason : only failures of this reason; `audit failed` for those that failed the audit; `lost`, `moved`,
        `delocalised` or `ambiguous` for finished ones that lost their ordering.
    only : joint keys or beginnings of configuration ids.

    Raises
    ------
    ValueError
        If nothing matches, or the reason is none of `RETRY_REASONS`.
    """
    if reason is not None and reason not in RETRY_REASONS:
        raise ValueError(f"--reason {reason!r} is unknown; choose one of {', '.join(RETRY_REASONS)}")
    planned = plan(campaign, engine, only)
    if not (campaign.folder / MANIFEST_FILE).exists():
        raise ValueError(
            f"campaign {campaign.file.name} has not been started; start it with `valenceflow run {campaign.path}`"
        )
    with campaign_lock(campaign.folder):
        stores = campaign_stores(campaign)
        stores.take_in(alone=True)
        calculations = stores.collection("calculations")
        configurations = with_attempts(campaign, planned, stores)
        # A launcher that was killed may not have told of what failed last.
        build_calculations(stores, campaign.cell, configurations)
        marked = []
        for configuration in configurations:
            found = calculations.query_one({"calculation_id": configuration.calculation_id})
            if found is None or (only and not matches(configuration, only)):
                continue
            reasons = _reasons(found)
            if (reason in reasons) if reason is not None else _is_to_do_again(found):
                marked.append(next_attempt(configuration, found["steps"]))
        if not marked:
            wanted = f" of reason {reason!r}" if reason else ""
            raise ValueError(
                f"no failed configuration{wanted} of engine {engine}; `valenceflow status` lists what failed"
            )
        again = {c.configuration_id: c for c in marked}
        register_campaign(campaign, engine, [again.get(c.configuration_id, c) for c in configurations], stores)
        # After the manifest: were this cut short, the next attempt's calculation would do it (`builders`).
        supersede(stores, marked)
    return marked


def only_engine(campaign: Campaign) -> str | None:
    """The engine that a campaign was run with; None where there are several or none."""
    if not (campaign.folder / MANIFEST_FILE).exists():
        return None
    stores = campaign_stores(campaign)
    found = engine_asked(stores, campaign.file.name)
    stores.close()
    return found


def next_attempt(configuration: ConfigurationDoc, steps: Mapping[str, Any]) -> ConfigurationDoc:
    """The configuration with its attempt raised; the one given is not changed.

    Parameters
    ----------
    configuration : as it was run last.
    steps : step -> its document in the last calculation.
    """
    attempt, last = configuration.attempt + 1, list(configuration.job_uuids)[-1]
    uuids = {
        step: uuid
        if step != last and _passed(steps.get(step), uuid)
        else step_uuid(configuration.campaign, configuration.configuration_id, step, attempt)
        for step, uuid in configuration.job_uuids.items()
    }
    return configuration.model_copy(update={"attempt": attempt, "job_uuids": uuids})


def _is_to_do_again(calculation: Mapping[str, Any]) -> bool:
    """Whether it failed, did not pass its audit, or gave an energy that is no number."""
    energy = calculation["energy_per_fu"]
    return calculation["state"] != "completed" or not (isinstance(energy, int | float) and math.isfinite(energy))


def _passed(step: Mapping[str, Any] | None, uuid: str) -> bool:
    """Whether a step passed its audit under this uuid: another campaign that shares the configuration has others."""
    if step is None or step["document"] != "VaspStepDoc":
        return False
    return step["uuid"] == uuid and bool(step["audit"]["passed"])


def _reasons(calculation: Mapping[str, Any]) -> set[str]:
    """Every word by which a calculation can be asked for."""
    failures = {step["reason"] for step in calculation["steps"].values() if step["document"] == "FailureDoc"}
    if calculation["state"] != "completed":
        return failures | {calculation["state"]}
    return {LOST_ORDERING, calculation["relation"]} if calculation["relation"] in LOST else set()
