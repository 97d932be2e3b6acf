"""Whether a store is whole: the file itself, and whether what its documents point to is there.

Reads indexed fields and small parts of documents, so that thousands of calculations take seconds. Used by `doctor`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from .connect import Stores
from .documents import ConfigurationDoc
from .inbox import DAMAGED, PARTIAL
from .sharing import by_ids, documents_of
from .sqlite_collection import SQLiteCollection

_POINTERS = ("frames", "task")
_BATCH = 50
REBUILD = "`valenceflow rebuild CAMPAIGN.yaml` fills in what the run folders have"


@dataclass(frozen=True)
class Problem:
    """Something that is not as it should be.

    Attributes
    ----------
    what : in words, with the number.
    example : one of them.
    remedy : what to do; empty where nothing needs to be done.
    """

    what: str
    example: str
    remedy: str = ""


def file_problems(stores: Stores) -> Iterator[Problem]:
    """What SQLite's own integrity check finds in the store's file (nothing for other stores)."""
    opened = (stores.docs(), stores.data())
    ours = {collection.path: collection for collection in opened if isinstance(collection, SQLiteCollection)}
    for path, collection in ours.items():
        found = collection.damage()
        if found:
            move = f"move it away with what belongs to it (mkdir damaged; mv {path}* damaged/), then {REBUILD}"
            yield Problem(f"{path} is damaged", " ".join(found[0].split()), move)


def document_problems(stores: Stores, campaign: str, configurations: Sequence[ConfigurationDoc]) -> Iterator[Problem]:
    """Documents that are missing, doubled or point to nothing.

    Parameters
    ----------
    stores : of the campaign.
    campaign : its name.
    configurations : those of its manifest.
    """
    calculations = _calculations(stores, campaign)
    jobs = _jobs(stores, campaign, calculations)
    blobs = Counter(_blobs(stores))
    yield from _configuration_problems(stores, configurations)
    yield from _calculation_problems(calculations, jobs)
    yield from _job_problems(jobs, blobs)
    yield from _orphans(configurations, calculations, jobs, blobs)
    yield from _inbox_problems(stores)


def _jobs(stores: Stores, campaign: str, calculations: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The runs of this campaign, and those of others that its calculations were made from (`stores.sharing`)."""
    found = list(_runs(stores, {"metadata.campaign": campaign}))
    others = sorted({uuid for c in calculations for uuid in c["uuids"]} - {job["uuid"] for job in found})
    for start in range(0, len(others), _BATCH):
        found += _runs(stores, {"uuid": {"$in": others[start : start + _BATCH]}})
    return found


def _runs(stores: Stores, criteria: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Of each run: uuid, index, configuration and the blobs its document points to."""
    fields = ["uuid", "index", "metadata", "output.frames", "output.task"]
    for envelope in stores.docs().query(criteria, properties=fields):
        output = envelope.get("output") or {}
        pointers = {name: output.get(name) for name in _POINTERS}
        yield {
            "uuid": envelope["uuid"],
            "index": envelope["index"],
            "configuration_id": (envelope.get("metadata") or {}).get("configuration_id"),
            "blobs": [p["blob_uuid"] for p in pointers.values() if isinstance(p, dict) and "blob_uuid" in p],
        }


def _calculations(stores: Stores, campaign: str) -> list[dict[str, Any]]:
    fields = ["calculation_id", "configuration_id", "attempt", "latest", "steps"]
    found = documents_of(stores, "calculations", campaign, fields=fields)
    return [
        {
            **{name: value for name, value in calculation.items() if name != "steps"},
            "uuids": {s["uuid"] for s in calculation["steps"].values() if s["document"] == "VaspStepDoc"},
        }
        for calculation in found
    ]


def _blobs(stores: Stores) -> Iterator[tuple[str, str]]:
    for blob in stores.data().query({}, properties=["blob_uuid", "job_uuid"]):
        yield blob["blob_uuid"], blob.get("job_uuid", "")


def _configuration_problems(stores: Stores, configurations: Sequence[ConfigurationDoc]) -> Iterator[Problem]:
    ids = [c.configuration_id for c in configurations]
    there = by_ids(stores.collection("configurations"), ids, ["attempt"])
    stored = {c["configuration_id"]: c for c in there}
    missing = [c.joint_key for c in configurations if c.configuration_id not in stored]
    yield from _listed(missing, "configurations of manifest.json are not in the store", REBUILD)
    other = [
        c.joint_key
        for c in configurations
        if c.configuration_id in stored and stored[c.configuration_id]["attempt"] < c.attempt  # a later one: `retry`
    ]
    yield from _listed(
        other, "configurations are at an earlier attempt than in manifest.json", "`valenceflow run` writes them anew"
    )


def _calculation_problems(calculations: Sequence[dict[str, Any]], jobs: Sequence[dict[str, Any]]) -> Iterator[Problem]:
    uuids = {job["uuid"] for job in jobs}
    lost = [c["calculation_id"] for c in calculations if not c["uuids"] <= uuids]
    yield from _listed(lost, "calculations whose job documents are missing", REBUILD)
    yield from _listed(_doubled(c["calculation_id"] for c in calculations), "calculations are there twice", _DOUBLED)
    newest = Counter(c["configuration_id"] for c in calculations if c["latest"])
    unsure = [identity for identity in {c["configuration_id"] for c in calculations} if newest[identity] > 1]
    yield from _listed(sorted(unsure), "configurations with more than one latest calculation", REBUILD)


_DOUBLED = "another program wrote to the store; move it away and make it anew with `valenceflow rebuild CAMPAIGN.yaml`"


def _job_problems(jobs: Sequence[dict[str, Any]], blobs: Counter[tuple[str, str]]) -> Iterator[Problem]:
    there = {blob for blob, _ in blobs}
    lost = [job["uuid"] for job in jobs if not there.issuperset(job["blobs"])]
    yield from _listed(lost, "job documents whose frames or TaskDoc are missing", REBUILD)
    yield from _listed(_doubled((j["uuid"], j["index"]) for j in jobs), "job documents are there twice", _DOUBLED)
    yield from _listed([blob for (blob, _), number in blobs.items() if number > 1], "blobs are there twice", _DOUBLED)


def _orphans(
    configurations: Sequence[ConfigurationDoc],
    calculations: Sequence[dict[str, Any]],
    jobs: Sequence[dict[str, Any]],
    blobs: Counter[tuple[str, str]],
) -> Iterator[Problem]:
    """What nothing points to: harmless, and a sign of work that was cut off or of configurations taken out."""
    known = {c.configuration_id for c in configurations}
    strangers = [c["calculation_id"] for c in calculations if c["configuration_id"] not in known]
    yield from _listed(strangers, "calculations of configurations that manifest.json does not have")
    homeless = [job["uuid"] for job in jobs if job["configuration_id"] not in known]
    yield from _listed(homeless, "job documents of configurations that manifest.json does not have")
    mine = {job["uuid"] for job in jobs}
    used = {blob for job in jobs for blob in job["blobs"]}
    unused = [blob for blob, job in blobs if job in mine and blob not in used]
    yield from _listed(unused, "blobs that no job document points to (a job was killed while it stored them)")


def _inbox_problems(stores: Stores) -> Iterator[Problem]:
    for folder in stores.inboxes():
        names = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
        damaged = [name for name in names if name.endswith(DAMAGED)]
        partial = [name for name in names if name.endswith(PARTIAL)]
        waiting = [name for name in names if name not in {*damaged, *partial}]
        yield from _listed(damaged, f"damaged files in {folder}", f"{REBUILD}; then remove them")
        yield from _listed(waiting, f"updates wait in {folder}", "`valenceflow run` takes them in")
        yield from _listed(partial, f"files in {folder} of workers that were killed while writing them")


def _doubled(names: Iterable[Any]) -> list[Any]:
    return [name for name, number in Counter(names).items() if number > 1]


def _listed(found: Sequence[Any], what: str, remedy: str = "") -> Iterator[Problem]:
    if found:
        yield Problem(f"{len(found)} {what}", str(found[0]), remedy)
