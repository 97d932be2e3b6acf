"""A campaign's store made anew from its manifest and run folders, or filled up where documents are missing.

Nothing in an existing store is overwritten: a document that differs from the one in a run folder stays and is named.
Exact: jobs, frames, calculations, failures, configurations. Not kept in run folders: the campaign's date, and TaskDocs
(step files leave them out), which can be read again from VASP's outputs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from atomate2.vasp.jobs.base import get_vasp_task_document
from emmet.core.tasks import TaskDoc
from monty.json import jsanitize

from ..stores.builders import build_calculations, pending, record_failure
from ..stores.connect import Stores
from ..stores.documents import ConfigurationDoc
from ..stores.sharing import (
    OF_JOBS,
    by_ids,
    documents_of,
    put_under_their_campaigns,
    registered_elsewhere,
    what_it_says,
)
from .campaign_file import Campaign
from .launch import run_folder
from .manifest import MANIFEST_FILE, read_manifest
from .manifest_check import check_manifest
from .registration import campaign_doc, raised
from .restore import Restored, restore
from .step_files import PassedOver, all_step_paths, attempts_of, job_step_files, launcher_failures
from .vasp_outputs import last_calculation


@dataclass
class Rebuilt:
    """What `rebuild` did.

    Attributes
    ----------
    configurations, calculations : documents added.
    jobs : what was done with step files of jobs.
    differing : configurations of the manifest that the store has otherwise; they stay.
    other_inputs : configurations planned with another host or supercell than the campaign file has now, left out.
    passed_over : files that were not used, by reason.
    """

    configurations: int = 0
    calculations: int = 0
    jobs: Restored = field(default_factory=Restored)
    differing: list[str] = field(default_factory=list)
    other_inputs: list[str] = field(default_factory=list)
    passed_over: PassedOver = field(default_factory=PassedOver)


def rebuild(campaign: Campaign, stores: Stores, with_tasks: bool = False) -> Rebuilt:
    """Put everything into the store that the manifest and the run folders know. The caller holds the campaign's lock.

    Parameters
    ----------
    campaign : whose store.
    stores : an empty one, or one that misses documents.
    with_tasks : read TaskDocs again from VASP's outputs (as slow as parsing them was).

    Raises
    ------
    ValueError
        If there is no readable manifest, or it was edited by hand.
    """
    known = read_manifest(campaign.folder)
    if not known:
        raise ValueError(
            f"{campaign.folder / MANIFEST_FILE} is missing or empty: it says which runs are whose; `valenceflow run` "
            "plans the campaign anew and takes in what finished"
        )
    check_manifest(campaign.folder / MANIFEST_FILE, known, known)
    done = Rebuilt()
    stores.take_in(alone=True)
    mine = [c for c in known if _is_described(campaign, c)]
    done.other_inputs = [c.joint_key for c in known if not _is_described(campaign, c)]
    _register(campaign, stores, mine, done)
    attempts = [attempt for c in mine for attempt in attempts_of(c)]
    _restore_jobs(campaign, stores, attempts, with_tasks, done)
    for number in sorted({attempt.attempt for attempt in attempts}):  # the builder knows one attempt of each at a time
        these = [attempt for attempt in attempts if attempt.attempt == number]
        done.calculations += build_calculations(stores, campaign.cell, these)
    done.calculations += _restore_failures(campaign, stores, attempts, done)
    _mark_latest(stores, mine)
    return done


def _is_described(campaign: Campaign, configuration: ConfigurationDoc) -> bool:
    cell = campaign.cell
    ours = (cell.host.content_hash, [list(row) for row in cell.matrix])
    return ours == (configuration.host_hash, configuration.supercell)


def _register(campaign: Campaign, stores: Stores, configurations: Sequence[ConfigurationDoc], done: Rebuilt) -> None:
    name, collection = campaign.file.name, stores.collection("configurations")
    ours = {c.configuration_id: c.model_dump(mode="json") for c in configurations}
    theirs = registered_elsewhere(stores, name, ours)
    if configurations:
        _register_campaign(campaign, stores, configurations, theirs)
    there = {c["configuration_id"]: c for c in documents_of(stores, "configurations", name, fields={"_id": 0})}
    missing = [document for identity, document in ours.items() if identity not in {*there, *theirs}]
    later = raised(theirs, configurations)
    if missing or later:
        collection.update([*missing, *later])
    put_under_their_campaigns(stores, ours.keys())
    done.configurations = len(missing)
    done.differing = [
        document["joint_key"]
        for identity, document in ours.items()
        if identity in there and identity not in theirs and _differs(there[identity], document)
    ]


def _differs(stored: Mapping[str, Any], ours: Mapping[str, Any]) -> bool:
    """Whether the store has a configuration otherwise than the manifest; a later attempt was another campaign's."""
    left_out = OF_JOBS if stored["attempt"] > ours["attempt"] else ()
    return any(stored.get(name) != value for name, value in ours.items() if name not in left_out)


def _register_campaign(
    campaign: Campaign,
    stores: Stores,
    configurations: Sequence[ConfigurationDoc],
    theirs: Mapping[str, Mapping[str, Any]],
) -> None:
    """Make the campaign's document where there is none, and add what it shares to the one that is there."""
    name, collection = campaign.file.name, stores.collection("campaigns")
    shared = {c.configuration_id: what_it_says(c) for c in configurations if c.configuration_id in theirs}
    there = collection.query_one({"campaign": name}, {"_id": 0})
    if there is None:
        engine = configurations[-1].engine
        number = sum(c.engine == engine for c in configurations)
        made = campaign_doc(campaign, engine, number).model_copy(update={"shared": shared})
        collection.update([made.model_dump(mode="json")])
    elif not shared.keys() <= (there.get("shared") or {}).keys():
        collection.update([{**there, "shared": {**(there.get("shared") or {}), **shared}}])


def _restore_jobs(
    campaign: Campaign, stores: Stores, attempts: Sequence[ConfigurationDoc], with_tasks: bool, done: Rebuilt
) -> None:
    """Configuration by configuration, so that memory holds the frames of one of them alone."""
    places = {run_folder(campaign.folder, attempt): attempt for attempt in attempts}
    by_place: dict[Path, list[Path]] = {}
    for path in all_step_paths(campaign.folder)[0]:
        by_place.setdefault(path.parent.parent, []).append(path)
    job_store = stores.job_store()
    job_store.connect()
    for place, paths in by_place.items():
        # A folder under another name is looked at with everybody in mind, to say whose its files are.
        owners = [places[place]] if place in places else attempts
        files = job_step_files(paths, owners, done.passed_over)
        found = restore(job_store, files, read_task if with_tasks else None)
        done.jobs.added += found.added
        done.jobs.unchanged += found.unchanged
        done.jobs.mended += found.mended
        done.jobs.differing += found.differing
    job_store.close()


def _restore_failures(campaign: Campaign, stores: Stores, attempts: Sequence[ConfigurationDoc], done: Rebuilt) -> int:
    written = 0
    paths = all_step_paths(campaign.folder)[1]
    for configuration, failure in launcher_failures(paths, attempts, done.passed_over):
        if pending(stores, [configuration]):
            record_failure(stores, campaign.cell, configuration, failure)
            written += 1
    return written


def _mark_latest(stores: Stores, configurations: Sequence[ConfigurationDoc]) -> None:
    """The calculation of a configuration's current attempt is its latest, whatever a killed `retry` left."""
    calculations = stores.collection("calculations")
    current = {c.configuration_id: c.attempt for c in configurations}
    for stored in by_ids(stores.collection("configurations"), list(current), ["attempt"]):
        current[stored["configuration_id"]] = max(current[stored["configuration_id"]], stored["attempt"])
    found = calculations.query({"configuration_id": {"$in": list(current)}})
    wrong = [c for c in found if c["latest"] != (c["attempt"] == current[c["configuration_id"]])]
    if wrong:
        calculations.update([{**c, "latest": not c["latest"]} for c in wrong])


def read_task(folder: Path, name: str) -> dict[str, Any] | None:
    """The TaskDoc of a run folder, without ionic steps as the job left it; None if its outputs cannot be read."""
    try:
        task = get_vasp_task_document(folder)
    except Exception:  # emmet and pymatgen raise anything on damaged outputs; the document lives without it
        return None
    if not isinstance(task, TaskDoc):
        return None
    task.task_label = name
    calculation = last_calculation(task)
    if calculation is not None and calculation.output is not None:
        calculation.output.ionic_steps = None
    content: dict[str, Any] = jsanitize(task, strict=True, enum_values=True, allow_bson=True)
    return content
