"""Was the manifest edited by hand? What it says of a configuration must be what the campaign file plans.

A uuid that is another job's would give a configuration another one's result, and changed bits would run another
ordering under its name; both are refused before anything is written.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..stores.documents import ConfigurationDoc
from .plan import step_uuid

_IDENTITY = ("campaign", "host_hash", "supercell", "joint_key", "working_bits", "charge_bits", "n_high", "engine")
"""What a configuration's id stands for; how it was chosen may change with the campaign file."""


def check_manifest(path: Path, known: Sequence[ConfigurationDoc], planned: Sequence[ConfigurationDoc]) -> None:
    """Hold what is known of configurations against what is planned.

    Parameters
    ----------
    path : of the manifest, for the message.
    known : its configurations; those that are not planned any more are held against themselves.
    planned : from the campaign file.

    Raises
    ------
    ValueError
        With the first entry that was changed.
    """
    by_id = {c.configuration_id: c for c in planned}
    for entry in known:
        wrong = _wrong(entry, by_id.get(entry.configuration_id, entry))
        if wrong:
            raise ValueError(
                f"{path}: {wrong} of configuration {entry.joint_key} ({entry.configuration_id[:8]}) is not what this "
                "campaign wrote: put the file back as it was, or delete it (attempts and jobs are then taken from the "
                "store)"
            )


def _wrong(entry: ConfigurationDoc, plan: ConfigurationDoc) -> str:
    """Name of the first field that was changed, empty where none was."""
    for name in _IDENTITY:
        if getattr(entry, name) != getattr(plan, name):
            return name
    if list(entry.job_uuids) != list(plan.job_uuids):
        return "job_uuids"
    for number, (step, uuid) in enumerate(entry.job_uuids.items(), start=1):
        # A step that passed keeps the uuid of its attempt; the last step is always run anew (`retry`).
        first = entry.attempt if number == len(entry.job_uuids) else 1
        attempts = range(first, entry.attempt + 1)
        if uuid not in [step_uuid(entry.campaign, entry.configuration_id, step, n) for n in attempts]:
            return f"job_uuids[{step}]"
    return ""
