"""The manifest of a campaign: its configurations with job uuids fixed before anything runs, beside the store.

A second `run` reads it, so that finished work is found again; a changed campaign file adds configurations to it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from ..inputs.yaml_files import first_problem
from ..stores.connect import Stores
from ..stores.documents import SCHEMA_VERSION, ConfigurationDoc
from ..stores.sharing import documents_of
from .asked import asked_by, read_asked, record_asked
from .campaign_file import Campaign
from .manifest_check import check_manifest
from .registration import at_their_attempts, put_campaign

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
    return current if stores is None else at_their_attempts(current, stores)


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
