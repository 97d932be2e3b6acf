"""Documents that runs left in their folders, read back as jobflow's envelopes held them.

    <campaign>/runs/<configuration>/attempt-N/job_*/valenceflow-step.json.gz   of a job
    <campaign>/runs/<configuration>/attempt-N/valenceflow-step.json.gz         of the launcher, where no job left one

Used by `rebuild` (everything) and before a configuration is run (what its jobs left but could not store any more).
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
from pydantic import ValidationError

from ..inputs.yaml_files import first_problem
from ..stores.documents import ConfigurationDoc, FailureDoc, VaspStepDoc
from .launch import RUNS_FOLDER
from .plan import step_uuid
from .start_file import read_start_file, start_rank
from .step_document import STEP_FILE

StepDocument = VaspStepDoc | FailureDoc


@dataclass(frozen=True)
class JobIdentity:
    """What jobflow knew of a job beside its output."""

    uuid: str
    index: int
    name: str
    metadata: dict[str, Any]
    hosts: list[str]


@dataclass(frozen=True)
class StepFile:
    """One run's document and whose it is."""

    folder: Path
    document: StepDocument
    configuration: ConfigurationDoc
    job: JobIdentity


@dataclass
class PassedOver:
    """Files that were not used, by reason."""

    by_reason: dict[str, list[Path]] = field(default_factory=dict)

    def note(self, reason: str, path: Path) -> None:
        """Count a file."""
        self.by_reason.setdefault(reason, []).append(path)


def attempts_of(configuration: ConfigurationDoc) -> list[ConfigurationDoc]:
    """The configuration at each of its attempts, oldest first.

    Job uuids follow from the attempt; a step that passed keeps the uuid of the attempt it passed in (`retry`).
    """
    return [_attempt(configuration, attempt) for attempt in range(1, configuration.attempt)] + [configuration]


def _attempt(configuration: ConfigurationDoc, attempt: int) -> ConfigurationDoc:
    def uuid_at(step: str, number: int) -> str:
        return step_uuid(configuration.campaign, configuration.configuration_id, step, number)

    uuids = {}
    for step, current in configuration.job_uuids.items():
        kept = any(uuid_at(step, number) == current for number in range(1, attempt + 1))
        uuids[step] = current if kept else uuid_at(step, attempt)
    return configuration.model_copy(update={"attempt": attempt, "job_uuids": uuids})


def read_step_file(path: Path) -> StepDocument:
    """The document that a run left.

    Raises
    ------
    ValueError
        If the file is cut off, damaged or of another format.
    OSError
        If it cannot be read.
    """
    try:
        with gzip.open(path, "rb") as handle:
            fields = orjson.loads(handle.read())
        kind: type[StepDocument] = FailureDoc if fields["document"] == "FailureDoc" else VaspStepDoc
        return kind.model_validate(fields)
    except ValidationError as err:
        raise ValueError(f"of another format: {first_problem(err)}") from err
    except (EOFError, gzip.BadGzipFile, zlib.error, orjson.JSONDecodeError, KeyError, TypeError) as err:
        raise ValueError("damaged") from err


def job_step_files(
    paths: Iterable[Path], configurations: Sequence[ConfigurationDoc], passed_over: PassedOver
) -> Iterator[StepFile]:
    """Step files of jobs with what jobflow knew of each, oldest first.

    Parameters
    ----------
    paths : of step files.
    configurations : whose files are wanted, each attempt by itself.
    passed_over : takes what is damaged or of nobody here.
    """
    owners = _owners(configurations)
    last_index: dict[str, int] = {}
    for path in in_order(paths):
        document = _readable(path, passed_over)
        if document is None:
            continue
        owner = owners.get((document.uuid, document.intent.attempt))
        if owner is None:
            passed_over.note(_stranger(document, configurations), path)
            continue
        job = _identity(path.parent, document, owner, last_index.get(document.uuid, 0) + 1)
        last_index[document.uuid] = max(job.index, last_index.get(document.uuid, 0))
        yield StepFile(path.parent, document, owner, job)


def launcher_failures(
    paths: Iterable[Path], configurations: Sequence[ConfigurationDoc], passed_over: PassedOver
) -> Iterator[tuple[ConfigurationDoc, FailureDoc]]:
    """Failures that the launcher wrote down for jobs that vanished."""
    owners = _owners(configurations)
    for path in sorted(paths):
        document = _readable(path, passed_over)
        owner = None if document is None else owners.get((document.uuid, document.intent.attempt))
        if isinstance(document, FailureDoc) and owner is not None:
            yield owner, document
        elif document is not None:
            passed_over.note(_stranger(document, configurations), path)


def _owners(configurations: Sequence[ConfigurationDoc]) -> dict[tuple[str, int], ConfigurationDoc]:
    """By job uuid and attempt: a step that passed keeps its uuid in later attempts."""
    return {(uuid, c.attempt): c for c in configurations for uuid in c.job_uuids.values()}


def _readable(path: Path, passed_over: PassedOver) -> StepDocument | None:
    try:
        return read_step_file(path)
    except ValueError as err:
        passed_over.note(str(err), path)
    except OSError as err:
        passed_over.note(f"not readable: {err.strerror}", path)
    return None


def _stranger(document: StepDocument, configurations: Sequence[ConfigurationDoc]) -> str:
    intent = document.intent
    campaigns = {c.campaign for c in configurations}
    if intent.campaign not in campaigns:
        return f"of another campaign ({intent.campaign})"
    if any(c.configuration_id == intent.configuration_id for c in configurations):
        return "of an attempt that manifest.json does not know"
    return "of a configuration that manifest.json does not know"


def _identity(folder: Path, document: StepDocument, owner: ConfigurationDoc, next_index: int) -> JobIdentity:
    """From the start file; a job that failed before it wrote one is the next of its step."""
    metadata = {
        "campaign": owner.campaign,
        "configuration_id": owner.configuration_id,
        "joint_key": owner.joint_key,
    }
    start = read_start_file(folder)
    if start.get("uuid") != document.uuid:
        start = {}
    index = start.get("index")
    return JobIdentity(
        uuid=document.uuid,
        index=index if isinstance(index, int) else next_index,
        name=str(start.get("name") or document.step),
        metadata=dict(start.get("metadata") or metadata),
        hosts=list(start.get("hosts") or []),
    )


def in_order(paths: Iterable[Path]) -> list[Path]:
    """Step files in the order in which their runs were started."""
    return sorted(paths, key=lambda path: start_rank(path.parent, read_start_file(path.parent)))


def step_paths(attempt_folder: Path) -> list[Path]:
    """Step files of the jobs of one attempt."""
    return sorted(attempt_folder.glob(f"*/{STEP_FILE}"))


def all_step_paths(campaign_folder: Path) -> tuple[list[Path], list[Path]]:
    """Step files of all jobs of a campaign, and those that the launcher left for jobs that vanished."""
    runs = campaign_folder / RUNS_FOLDER
    return sorted(runs.glob(f"*/*/*/{STEP_FILE}")), sorted(runs.glob(f"*/*/{STEP_FILE}"))
