"""How far a campaign is in a queue: its configurations by state, and what its manager could not do. Light.

The manager's own database is read, as its file says where it is: neither jobflow nor jobflow-remote is imported.
"""

from __future__ import annotations

import shlex
import tomllib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...inputs.yaml_files import parse_yaml
from ...stores.connect import Stores
from ...stores.mongo_reader import is_plain_mongo, read_mongo
from ...stores.overview import finished_among
from ...stores.secrets import database_words, secrets_of
from ...stores.sharing import documents_of
from ...stores.store_specs import full_form, store_from
from .job_documents import CAMPAIGN, FIELDS, queued_job
from .jobs import (
    ALIVE,
    BROKEN,
    HELD,
    MENDED_BY_QUEUE,
    STOPPED,
    QueuedJob,
    by_configuration,
    configuration_state,
    of_state,
)
from .launches import LAUNCH_FILE, Launch, LaunchKind, launches_of

if TYPE_CHECKING:
    from ...stores.documents import ConfigurationDoc

Uuids = Mapping[str, set[str]]
"""Configuration id -> uuids of the jobs of the attempt that counts."""


@dataclass
class QueueOverview:
    """What a queue holds of one engine's configurations.

    Attributes
    ----------
    engine : whose configurations.
    launch : the queue manager.
    states : configuration id -> state, of those that are in it.
    held : configurations of which something is held back, and that were not stopped.
    errors : jobs that the manager could not carry there or back.
    failed : jobs that ended without success, by the manager's word.
    problem : why it cannot be asked; empty where it was.
    """

    engine: str
    launch: Launch
    states: dict[str, str] = field(default_factory=dict)
    held: set[str] = field(default_factory=set)
    errors: list[QueuedJob] = field(default_factory=list)
    failed: list[QueuedJob] = field(default_factory=list)
    problem: str = ""

    @property
    def goes_on(self) -> bool:
        """Whether something in it is to run, or runs."""
        return any(state in ALIVE - HELD for state in self.states.values())

    def leave_out_finished(self, stores: Stores) -> None:
        """Forget configurations that stand still and have a result: a failed step stops the one behind it for good."""
        standing = [identity for identity, state in self.states.items() if state in STOPPED | HELD]
        for identity in finished_among(stores, standing):
            del self.states[identity]
            self.held.discard(identity)

    def counts(self, among: Iterable[str]) -> Counter[str]:
        """Configurations by state, of some of them."""
        return Counter(self.states[each] for each in among if each in self.states)


def queue_overview(engine: str, launch: Launch, campaign: str, uuids: Uuids) -> QueueOverview:
    """Ask a queue manager; one that does not answer is said, not raised: what is in the store is shown all the same.

    Parameters
    ----------
    engine, launch : from `launches_of`.
    campaign : its name.
    uuids : of the engine's configurations.
    """
    overview = QueueOverview(engine, launch)
    try:
        jobs = read_jobs(launch, campaign)
    except Exception as error:  # a database's driver raises many kinds
        overview.problem = database_words(error)[:300]
        return overview
    for identity, mine in by_configuration(jobs).items():
        current = [job for job in mine if job.uuid in uuids.get(identity, ())]
        if current:
            state = overview.states[identity] = configuration_state(current)
            if state not in STOPPED and of_state(current, HELD):
                overview.held.add(identity)
            overview.errors += of_state(current, MENDED_BY_QUEUE)
            overview.failed += of_state(current, BROKEN - MENDED_BY_QUEUE)
    return overview


def refuse_queued(
    path: Path, folder: Path, engine: str, todo: Iterable[ConfigurationDoc], kind: LaunchKind | None = None
) -> None:
    """Refuse to run, or to hand over to another queue, what a queue is about to run: it would be computed twice.

    Parameters
    ----------
    path, folder : the campaign's file and folder.
    engine : full engine name.
    todo : configurations that are to be run.
    kind : the queue that they are to go to; None: they are to be run here.

    Raises
    ------
    ValueError
        If one of them is in another queue, or that queue cannot be asked.
    """
    launch, uuids = launches_of(folder).get(engine), {c.configuration_id: set(c.job_uuids.values()) for c in todo}
    if launch is None or launch.kind == kind or not uuids:
        return
    found, place = queue_overview(engine, launch, folder.name, uuids), launch.place or launch.kind
    if found.problem:
        raise ValueError(
            f"{place} has jobs of this campaign and cannot be asked what became of them ({found.problem}): mend that, "
            f"or delete {folder / LAUNCH_FILE} if they will not run any more"
        )
    states = [state for state in found.states.values() if state in ALIVE - HELD]
    if states:
        there = "1 configuration is" if len(states) == 1 else f"{len(states)} configurations are"
        name = shlex.quote(str(path))
        raise ValueError(
            f"{there} in {place} ({', '.join(sorted(set(states)))}) and would be computed twice: `valenceflow cancel "
            f"{name}` takes them out, or go on there with `valenceflow run {name} --engine {engine} --launch "
            f"{launch.kind}`"
        )


def something_new(stores: Stores, campaign: str, queues: Iterable[QueueOverview]) -> bool:
    """Whether a job of a configuration without a calculation left a document, or broke in a queue.

    Only then is there something to build, for which the campaign has to be read in full.
    """
    if stores.waiting():
        return True
    done = {
        c["configuration_id"] for c in stores.collection("calculations").query({"latest": True}, ["configuration_id"])
    }
    found = documents_of(stores, "configurations", campaign, fields=["job_uuids"])
    open_ones = {
        c["configuration_id"]: (c.get("job_uuids") or {}).values() for c in found if c["configuration_id"] not in done
    }
    if any(job.configuration_id in open_ones for queue in queues for job in queue.failed):
        return True
    written = set(stores.docs().distinct("uuid"))
    return any(uuid in written for uuids in open_ones.values() for uuid in uuids)


def current_uuids(stores: Stores, campaign: str, engine: str) -> dict[str, set[str]]:
    """Uuids of the jobs of every configuration of an engine."""
    found = documents_of(stores, "configurations", campaign, fields=["engine", "job_uuids"])
    return {c["configuration_id"]: set((c.get("job_uuids") or {}).values()) for c in found if c.get("engine") == engine}


def read_jobs(launch: Launch, campaign: str) -> Sequence[QueuedJob]:
    """Jobs of a campaign, straight from the manager's database."""
    if launch.kind == "fireworks":
        from .launchpad_jobs import launchpad_jobs, open_launchpad  # noqa: PLC0415 - half a second

        return launchpad_jobs(open_launchpad(launch.file), campaign)
    if launch.file is None:
        raise ValueError("it is not noted where its project's file is: `valenceflow run` with --launch remote notes it")
    queue_of = project_of(launch.file).get("queue")
    if not isinstance(queue_of, Mapping) or not isinstance(queue_of.get("store"), Mapping):
        raise ValueError(f"{launch.file} has no `queue: store:` with fields")
    spec = full_form(queue_of["store"], launch.file)
    try:
        if is_plain_mongo(spec):
            return [queued_job(document) for document in read_mongo(spec, {CAMPAIGN: campaign}, FIELDS)]
        with store_from(spec) as queue:
            return [queued_job(document) for document in queue.query({CAMPAIGN: campaign}, list(FIELDS))]
    except Exception as error:
        raise ConnectionError(database_words(error, secrets_of(spec))) from None


def project_of(path: Path) -> dict[str, Any]:
    """A project's file of jobflow-remote: YAML, JSON (which YAML reads) or TOML."""
    text = path.read_text(encoding="utf-8")
    return tomllib.loads(text) if path.suffix == ".toml" else parse_yaml(text, str(path))
