"""Put documents from run folders into a store as jobflow would have: what is missing is added, nothing is replaced."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from jobflow import JobStore
from jobflow.core.schemas import JobStoreDocument
from monty.json import jsanitize

from ..stores.builders import is_finished
from ..stores.collection import Collection
from ..stores.documents import ConfigurationDoc, FailureDoc, VaspStepDoc
from ..stores.sqlite_json import as_stored
from ..stores.step_runs import step_runs
from .killed_run import CUT_OFF
from .launch import run_folder
from .start_file import read_start_file
from .step_files import PassedOver, StepFile, job_step_files, step_paths

_BULK = ("frames", "task")
_NOT_COMPARED = {*_BULK, "@module", "@class", "@version"}
_SAVE: Any = {"data": list(_BULK)}  # as the @job decorator of flows.vasp_job says

ReadTask = Callable[[Path, str], dict[str, Any] | None]
"""Reads a run folder's TaskDoc again (step files leave it out); None if that is not possible."""


@dataclass
class Restored:
    """What was done with step files.

    Attributes
    ----------
    added : documents that the store lacked.
    unchanged : documents that were there.
    mended : documents that were there without their frames or TaskDoc.
    differing : folders whose document is not the one in the store, which stays.
    """

    added: int = 0
    unchanged: int = 0
    mended: int = 0
    differing: list[Path] = field(default_factory=list)


def restore(job_store: JobStore, files: Iterable[StepFile], read_task: ReadTask | None = None) -> Restored:
    """Add what the store lacks.

    Parameters
    ----------
    job_store : connected.
    files : from `step_files.job_step_files`.
    read_task : reads TaskDocs again; None leaves them out of what is added.
    """
    done = Restored()
    seen: set[tuple[str, int]] = set()
    # Newest first: of two documents of one run the later one was stored last. Files come oldest first.
    for file in reversed(list(files)):
        here = (file.job.uuid, file.job.index)
        stored = job_store.docs_store.query_one({"uuid": here[0], "index": here[1]})
        if stored is None:
            job_store.update(_envelope(file, read_task), key=["uuid", "index"], save=_SAVE)
            done.added += 1
        elif _is_same(stored["output"], file):
            mended = _mend(job_store, stored, file, read_task)
            done.mended += mended
            done.unchanged += not mended
        elif here not in seen:
            done.differing.append(file.folder)
        seen.add(here)
    return done


def adopt(
    job_store: JobStore, campaign_folder: Path, configurations: Sequence[ConfigurationDoc]
) -> tuple[Restored, PassedOver]:
    """Take documents that jobs left in their folders but could not store any more, as when they were killed right then.

    Parameters
    ----------
    job_store : connected.
    campaign_folder : the campaign's.
    configurations : whose current attempt to look at.
    """
    passed_over = PassedOver()
    done = Restored()
    for configuration in configurations:
        paths = step_paths(run_folder(campaign_folder, configuration))
        unknown = _not_stored(job_store.docs_store, paths, configuration) if paths else []
        files = job_step_files(unknown, [configuration], passed_over)
        found = restore(job_store, (file for file in files if not _was_cut_off(file)))
        done.added += found.added
        done.mended += found.mended
    return done, passed_over


def is_done(configuration: ConfigurationDoc, docs: Collection) -> bool:
    """Whether nothing more is to be run for a configuration, by jobflow's docs_store."""
    runs = step_runs(docs, configuration.job_uuids.values())
    return is_finished(
        configuration, {step: runs[uuid] for step, uuid in configuration.job_uuids.items() if uuid in runs}
    )


def _not_stored(docs: Collection, paths: Sequence[Path], configuration: ConfigurationDoc) -> list[Path]:
    """Step files whose run the store does not know, told by the small files beside them."""
    uuids = list(configuration.job_uuids.values())
    known = {(e["uuid"], e["index"]) for e in docs.query({"uuid": {"$in": uuids}}, properties=["uuid", "index"])}
    starts = ((path, read_start_file(path.parent)) for path in paths)
    return [path for path, start in starts if (start.get("uuid"), start.get("index")) not in known]


def _was_cut_off(file: StepFile) -> bool:
    """Whether a run ended from outside and nobody was told: it is gone on with, as if it had left no document."""
    return isinstance(file.document, FailureDoc) and file.document.reason in CUT_OFF


def _envelope(file: StepFile, read_task: ReadTask | None) -> JobStoreDocument:
    """The document as jobflow's Job.run makes it."""
    output = file.document
    if isinstance(output, VaspStepDoc) and read_task is not None:
        output = output.model_copy(update={"task": read_task(file.folder, file.job.name)})
    return JobStoreDocument(
        uuid=file.job.uuid,
        index=file.job.index,
        output=_output(output),
        completed_at=_local_time(file.document.completed_at),
        metadata=file.job.metadata,
        hosts=file.job.hosts,
        name=file.job.name,
    )


def _output(document: Any) -> dict[str, Any]:
    output: dict[str, Any] = jsanitize(document, strict=True, enum_values=True, allow_bson=True)
    return output


def _local_time(when: datetime) -> str:
    """Jobflow notes local time without a zone."""
    return when.astimezone().replace(tzinfo=None).isoformat()


def _is_same(stored: Mapping[str, Any], file: StepFile) -> bool:
    ours = as_stored(_output(file.document))
    names = (set(stored) | set(ours)) - _NOT_COMPARED
    return all(stored.get(name) == ours.get(name) for name in names)


def _mend(job_store: JobStore, stored: dict[str, Any], file: StepFile, read_task: ReadTask | None) -> bool:
    """Add blobs that a stored document points to and that are not there; a TaskDoc that is lost is left out."""
    data: Collection = job_store.additional_stores["data"]  # type: ignore[has-type]  # jobflow leaves it untyped
    pointers = {name: stored["output"].get(name) for name in _BULK}
    wanted = {name: p for name, p in pointers.items() if isinstance(p, dict) and "blob_uuid" in p}
    there = set(data.distinct("blob_uuid", {"blob_uuid": {"$in": [p["blob_uuid"] for p in wanted.values()]}}))
    lost = {name: pointer for name, pointer in wanted.items() if pointer["blob_uuid"] not in there}
    for name, pointer in lost.items():
        content = _output(file.document).get("frames") if name == "frames" else _task_again(file, read_task)
        if content is None:
            stored["output"][name] = None
            job_store.docs_store.update([_without_id(stored)], key=["uuid", "index"])
            continue
        blob = {k: v for k, v in pointer.items() if k != "store"}
        blob |= {"data": content, "job_uuid": file.job.uuid, "job_index": file.job.index}
        data.update([blob], key="blob_uuid")
    return bool(lost)


def _task_again(file: StepFile, read_task: ReadTask | None) -> dict[str, Any] | None:
    return None if read_task is None else read_task(file.folder, file.job.name)


def _without_id(document: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in document.items() if name != "_id"}
