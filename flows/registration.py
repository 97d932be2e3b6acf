"""A campaign and its configurations as a store has them, where other campaigns may ask for the same ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..inputs.orderings.group import ordering_group
from ..stores.connect import Stores
from ..stores.documents import CampaignDoc, ConfigurationDoc
from ..stores.provenance import package_versions
from ..stores.sharing import (
    OF_JOBS,
    by_ids,
    put_under_their_campaigns,
    registered_elsewhere,
    sharing_of,
    what_it_says,
)
from .campaign_file import Campaign
from .plan import step_uuid


def put_campaign(campaign: Campaign, engine: str, configurations: Sequence[ConfigurationDoc], stores: Stores) -> None:
    """Put campaign and configurations into the store: its own, and the attempts of those that it shares.

    The campaign's document comes first: it says what is shared, without which a calculation would go by the wrong name.
    """
    name = campaign.file.name
    theirs = registered_elsewhere(stores, name, [c.configuration_id for c in configurations])
    said = {c.configuration_id: what_it_says(c) for c in configurations if c.configuration_id in theirs}
    shared = {**sharing_of(stores, name).shared, **said}  # those of other engines stay
    document = campaign_doc(campaign, engine, len(configurations)).model_copy(update={"shared": shared})
    stores.collection("campaigns").update([document.model_dump(mode="json")])
    own = [c.model_dump(mode="json") for c in configurations if c.configuration_id not in theirs]
    stores.collection("configurations").update([*own, *raised(theirs, configurations)])
    put_under_their_campaigns(stores, [c.configuration_id for c in configurations])


def raised(theirs: Mapping[str, Mapping[str, Any]], configurations: Sequence[ConfigurationDoc]) -> list[dict[str, Any]]:
    """Configurations of other campaigns that this one was told to try again: their documents at the later attempt."""
    return [
        _at_attempt(ConfigurationDoc.model_validate(theirs[c.configuration_id]), c.attempt).model_dump(mode="json")
        for c in configurations
        if c.configuration_id in theirs and c.attempt > theirs[c.configuration_id]["attempt"]
    ]


def campaign_doc(campaign: Campaign, engine: str, n_configurations: int) -> CampaignDoc:
    """The campaign as it is being started."""
    campaign = campaign.for_engine(engine)
    host = campaign.cell.host.model_dump(exclude={"structure"}, mode="json")
    return CampaignDoc(
        campaign=campaign.file.name,
        file=campaign.text,
        host={**host, "structure": campaign.cell.host.structure.as_dict()},
        supercell=[list(row) for row in campaign.cell.matrix],
        n_operations=ordering_group(campaign.cell).order,
        couple=campaign.couple,
        protocol=campaign.protocol.model_dump(mode="json"),
        protocol_hash=campaign.protocol.hash,
        engine=engine,
        n_configurations=n_configurations,
        versions=package_versions(),
    )


def at_their_attempts(configurations: Sequence[ConfigurationDoc], stores: Stores) -> list[ConfigurationDoc]:
    """Configurations at the attempt that the store knows, where it is later than the manifest's.

    Another campaign that shares one was told to retry, or a `retry` here was killed before it wrote the manifest.
    """
    ids = [c.configuration_id for c in configurations]
    found = by_ids(stores.collection("configurations"), ids, ["campaign", *OF_JOBS])
    there = {c["configuration_id"]: c for c in found}
    return [_at_its_attempt(c, there.get(c.configuration_id)) for c in configurations]


def _at_its_attempt(configuration: ConfigurationDoc, stored: Mapping[str, Any] | None) -> ConfigurationDoc:
    if stored is None or stored["attempt"] <= configuration.attempt:
        return configuration
    if stored["campaign"] == configuration.campaign:
        return configuration.model_copy(update={name: stored[name] for name in OF_JOBS})
    return _at_attempt(configuration, stored["attempt"])


def _at_attempt(configuration: ConfigurationDoc, attempt: int) -> ConfigurationDoc:
    name, identity = configuration.campaign, configuration.configuration_id
    uuids = {step: step_uuid(name, identity, step, attempt) for step in configuration.job_uuids}
    return configuration.model_copy(update={"attempt": attempt, "job_uuids": uuids})
