"""The manifest of a campaign: its configurations with job uuids fixed before anything runs, beside the store.

A second `run` reads it, so that finished work is found again; a changed campaign file adds configurations to it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ..inputs.orderings.group import ordering_group
from ..inputs.yaml_files import first_problem
from ..stores.connect import Stores
from ..stores.documents import SCHEMA_VERSION, CampaignDoc, ConfigurationDoc
from ..stores.provenance import package_versions
from ..stores.sharing import OF_JOBS, by_ids, documents_of, registered_elsewhere, sharing_of, what_it_says
from .asked import asked_by, read_asked, record_asked
from .campaign_file import Campaign
from .manifest_check import check_manifest
from .plan import step_uuid

MANIFEST_FILE = "manifest.json"


def read_manifest(folder: Path) -> list[ConfigurationDoc]:
    """Configurations of a campaign that was started; empty where none was.

    Raises
    ------
    ValueError
        If the file is damaged or of a newer version.
    """
    path = folder / MANIFEST_FILE
    if not path.exists():
        return []
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        version = content["schema_version"]
        if version > SCHEMA_VERSION:
            raise ValueError(f"{path}: version {version} is newer than this valenceflow ({SCHEMA_VERSION}); update it")
        return [ConfigurationDoc.model_validate(entry) for entry in content["configurations"]]
    except ValidationError as err:
        raise ValueError(
            f"{path}: damaged: {first_problem(err)}; delete it: finished work is found again by its ids"
        ) from err
    except IsADirectoryError as err:
        raise ValueError(f"{path} is a folder: move it away; finished work is found again by its ids") from err
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError) as err:
        raise ValueError(f"{path}: damaged ({err}); delete it: finished work is found again by its ids") from err


def manifest_of(campaign: Campaign) -> list[ConfigurationDoc]:
    """Configurations of a campaign that was started, of the host and supercell that its file has now."""
    ours = (campaign.cell.host.content_hash, [list(row) for row in campaign.cell.matrix])
    return [c for c in read_manifest(campaign.folder) if (c.host_hash, c.supercell) == ours]


def write_manifest(folder: Path, campaign: str, configurations: Sequence[ConfigurationDoc]) -> None:
    """Write the manifest, whole or not at all."""
    content = {
        "schema_version": SCHEMA_VERSION,
        "campaign": campaign,
        "configurations": [c.model_dump(mode="json") for c in configurations],
    }
    partial = folder / f"{MANIFEST_FILE}.partial"
    partial.write_text(json.dumps(content, indent=1), encoding="utf-8")
    partial.replace(folder / MANIFEST_FILE)


def with_attempts(
    campaign: Campaign, planned: Sequence[ConfigurationDoc], stores: Stores | None = None
) -> list[ConfigurationDoc]:
    """Planned configurations with the attempts and job uuids of an earlier run kept.

    Parameters
    ----------
    campaign, planned : what is to be run.
    stores : the campaign's, which know attempts and uuids where the manifest was deleted.

    Raises
    ------
    ValueError
        If the folder belongs to another campaign, or the manifest was edited by hand.
    """
    known = read_manifest(campaign.folder)
    if stores is not None and not (campaign.folder / MANIFEST_FILE).exists():
        found = documents_of(stores, "configurations", campaign.file.name, fields={"_id": 0})
        known = [ConfigurationDoc.model_validate(c) for c in found]
    earlier = {c.configuration_id: c for c in known}
    strangers = {c.campaign for c in known} - {campaign.file.name}
    if strangers:
        raise ValueError(f"{campaign.folder} belongs to campaign {', '.join(sorted(strangers))}; choose another name")
    check_manifest(campaign.folder / MANIFEST_FILE, known, planned)
    current = [earlier.get(c.configuration_id, c) for c in planned]
    return current if stores is None else _at_their_attempts(current, stores)


def _at_their_attempts(configurations: Sequence[ConfigurationDoc], stores: Stores) -> list[ConfigurationDoc]:
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


def register_campaign(
    campaign: Campaign, engine: str, configurations: Sequence[ConfigurationDoc], stores: Stores
) -> None:
    """Put campaign and configurations into the store and the manifest (those of other engines stay).

    Configurations that another campaign of the store registered stay that one's (`stores.sharing`).
    """
    ids = {c.configuration_id for c in configurations}
    others = [c for c in read_manifest(campaign.folder) if c.configuration_id not in ids]
    put_campaign(campaign, engine, configurations, stores)
    write_manifest(campaign.folder, campaign.file.name, [*others, *configurations])
    left_out = [c.configuration_id for c in others if c.engine == engine]
    record_asked(campaign.folder, engine, asked_by(campaign.text, campaign.path, left_out))


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
    registered = [
        _at_attempt(ConfigurationDoc.model_validate(theirs[c.configuration_id]), c.attempt)
        for c in configurations
        if c.configuration_id in theirs and c.attempt > theirs[c.configuration_id]["attempt"]
    ]
    stores.collection("configurations").update([*own, *(c.model_dump(mode="json") for c in registered)])


@dataclass(frozen=True)
class PlanChange:
    """How a plan differs from the one of the last run with the same engine.

    Attributes
    ----------
    new : configurations that it adds.
    left_out : configurations that it no longer asks for; what was computed of them stays.
    """

    new: int
    left_out: int


def plan_change(folder: Path, engine: str, planned: Iterable[ConfigurationDoc]) -> PlanChange | None:
    """Hold a plan against what the last run with this engine asked for; None where none was run.

    Parameters
    ----------
    folder : the campaign's.
    engine : full engine name.
    planned : from `plan.plan_configurations`.
    """
    recorded = read_asked(folder).get(engine)
    before = {c.configuration_id for c in read_manifest(folder) if c.engine == engine}
    before -= set(recorded.left_out if recorded is not None else ())
    if not before:
        return None
    now = {c.configuration_id for c in planned}
    return PlanChange(new=len(now - before), left_out=len(before - now))


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
