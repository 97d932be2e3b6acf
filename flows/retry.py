"""Mark failed configurations for another attempt: a new attempt number, new job uuids, the old documents kept."""

from __future__ import annotations

from collections.abc import Sequence

from ..stores.documents import ConfigurationDoc
from .campaign_file import Campaign
from .lock import campaign_lock
from .manifest import MANIFEST_FILE, register_campaign, with_attempts
from .plan import step_uuid
from .runner import campaign_stores, matches, plan


def mark_for_retry(
    campaign: Campaign, engine: str, reason: str | None = None, only: Sequence[str] = ()
) -> list[ConfigurationDoc]:
    """Raise the attempt of configurations whose latest calculation failed or did not pass its audit.

    Parameters
    ----------
    campaign, engine : which configurations.
    reason : only failures of this reason (`audit failed` for those that failed the audit).
    only : joint keys or beginnings of configuration ids.

    Raises
    ------
    ValueError
        If nothing matches.
    """
    planned = plan(campaign, engine, only)
    if not (campaign.folder / MANIFEST_FILE).exists():
        raise ValueError(f"campaign {campaign.file.name} has not been started; start it with `valenceflow run`")
    with campaign_lock(campaign.folder):
        stores = campaign_stores(campaign)
        calculations = stores.collection("calculations")
        configurations = with_attempts(campaign, planned)
        marked = []
        for configuration in configurations:
            found = calculations.query_one({"calculation_id": configuration.calculation_id})
            if found is None or found["state"] == "completed" or (only and not matches(configuration, only)):
                continue
            if reason is not None and reason not in _reasons(found):
                continue
            calculations.update([{**found, "latest": False}])
            marked.append(next_attempt(configuration))
        if not marked:
            wanted = f" of reason {reason!r}" if reason else ""
            raise ValueError(
                f"no failed configuration{wanted} of engine {engine}; `valenceflow status` lists what failed"
            )
        again = {c.configuration_id: c for c in marked}
        register_campaign(campaign, engine, [again.get(c.configuration_id, c) for c in configurations], stores)
    return marked


def next_attempt(configuration: ConfigurationDoc) -> ConfigurationDoc:
    """The configuration with its attempt raised and new job uuids; the one given is not changed."""
    attempt = configuration.attempt + 1
    uuids = {
        step: step_uuid(configuration.campaign, configuration.configuration_id, step, attempt)
        for step in configuration.job_uuids
    }
    return configuration.model_copy(update={"attempt": attempt, "job_uuids": uuids})


def _reasons(calculation: dict[str, object]) -> set[str]:
    steps = calculation["steps"]
    assert isinstance(steps, dict)
    failures = {step["reason"] for step in steps.values() if step["document"] == "FailureDoc"}
    return failures or {str(calculation["state"])}
