"""Builder: calculations -> frames. Incremental by calculation id, restartable, pure in between (maggma's `mrun` too).

Calculations without a single frame (VASP never started, say) are noted as skipped, so that they are looked at once.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from maggma.core import Builder, Store

from ..inputs.fixed_states import shipped_fixed_states
from .campaign_runs import CampaignRun
from .documents import FrameSeries
from .frame_writer import FrameWriter
from .frames import NamedStores, RunDoc
from .ingest_reasons import FrameReason, PassOver
from .ingest_run import Part, parts_of

if TYPE_CHECKING:
    from .connect import Stores

SOURCES = ("calculations", "configurations", "campaigns")
TARGETS = ("runs", "frames", "frame_arrays")
_CALCULATIONS_AT_ONCE = 50
_BROKEN = (ValueError, TypeError, KeyError, IndexError)


class FramesBuilder(Builder):
    """Frames of every run of every calculation that has none yet.

    Parameters
    ----------
    jobs, data : jobflow's docs_store and its additional store `data`.
    calculations, configurations, campaigns : collections of a campaign.
    runs, frames, frame_arrays : where frames go.
    chunk_size : items between writes.
    """

    def __init__(
        self,
        jobs: Store,
        data: Store,
        calculations: Store,
        configurations: Store,
        campaigns: Store,
        runs: Store,
        frames: Store,
        frame_arrays: Store,
        chunk_size: int = 20,
    ) -> None:
        self.jobs, self.data = jobs, data
        self.calculations, self.configurations, self.campaigns = calculations, configurations, campaigns
        self.runs, self.frames, self.frame_arrays = runs, frames, frame_arrays
        super().__init__(
            sources=[jobs, data, calculations, configurations, campaigns],
            targets=[runs, frames, frame_arrays],
            chunk_size=chunk_size,
        )

    @classmethod
    def of(cls, stores: Stores) -> FramesBuilder:
        """The builder of a campaign's stores."""
        jobs, data = stores.store("jobs"), stores.store("data")
        calculations, configurations, campaigns = (stores.store(name) for name in SOURCES)
        runs, frames, arrays = (stores.store(name) for name in TARGETS)
        return cls(jobs, data, calculations, configurations, campaigns, runs, frames, arrays)

    def ensure_indexes(self) -> None:
        """Indexes that the builder looks things up by."""
        for store, keys in ((self.runs, ("run_id", "source")), (self.frames, ("frame_id", "content_hash"))):
            for key in keys:
                store.ensure_index(key)

    def pending(self) -> list[str]:
        """Ids of calculations without frames."""
        done = set(self.runs.distinct("calculation_id", {"source": "calculation"}))
        known = self.calculations.query({}, properties=["calculation_id"], sort={"calculation_id": 1})
        return [calculation["calculation_id"] for calculation in known if calculation["calculation_id"] not in done]

    def get_items(self) -> Iterator[dict[str, Any]]:
        """One item per calculation: its runs with their frames."""
        self.ensure_indexes()
        pending = self.pending()
        self.total = len(pending)
        campaigns: dict[str, Mapping[str, Any]] = {}
        for start in range(0, len(pending), _CALCULATIONS_AT_ONCE):
            wanted = {"calculation_id": {"$in": pending[start : start + _CALCULATIONS_AT_ONCE]}}
            for calculation in self.calculations.query(wanted, properties=list(_OF_CALCULATION)):
                name = calculation["campaign"]
                if name not in campaigns:
                    campaigns[name] = self.campaigns.query_one({"campaign": name}, ["host", "protocol"]) or {}
                yield self._item(calculation, campaigns[name])

    def _item(self, calculation: Mapping[str, Any], campaign: Mapping[str, Any]) -> dict[str, Any]:
        configuration = self.configurations.query_one({"configuration_id": calculation["configuration_id"]}) or {}
        uuids = [step["uuid"] for step in calculation["steps"].values() if step.get("uuid")]
        found = self.jobs.query({"uuid": {"$in": uuids}}, properties=["uuid", "index", "output"])
        runs = [
            {"step": _slim(job["output"]), "index": job["index"], "series": series}
            for job in sorted(found, key=lambda job: (uuids.index(job["uuid"]), job["index"]))
            if (series := self._series(job["output"])) is not None
        ]
        return {
            "calculation_id": calculation["calculation_id"],
            "configuration": {name: configuration.get(name) for name in _OF_CONFIGURATION},
            "oxidation_states": (campaign.get("host") or {}).get("oxidation_states") or {},
            "relax": (campaign.get("protocol") or {}).get("relax") or {},
            "runs": runs,
        }

    def _series(self, output: Mapping[str, Any]) -> dict[str, Any] | None:
        """Frames of a job, from the additional store or, without one, from the document itself."""
        frames = output.get("frames") if output.get("document") == "VaspStepDoc" else None
        if not isinstance(frames, Mapping):
            return None
        if "blob_uuid" in frames:
            blob = self.data.query_one({"blob_uuid": frames["blob_uuid"]})
            frames = None if blob is None else blob.get("data")
        if not isinstance(frames, Mapping) or "symbols" not in frames:
            return None
        return {name: frames[name] for name in FrameSeries.model_fields if name in frames}

    def process_item(self, item: dict[str, Any]) -> dict[str, Any]:
        """Documents of a calculation's runs; touches no store."""
        return framed(item)

    def update_targets(self, items: Sequence[dict[str, Any]]) -> None:
        """Write them, arrays first."""
        stores = NamedStores({"runs": self.runs, "frames": self.frames, "frame_arrays": self.frame_arrays})
        with FrameWriter(stores) as writer:
            for item in items:
                for run, parts in item["runs"]:
                    # A step that passed keeps its job over retries: its frames are there then.
                    if writer.run(run["run_id"]) is None:
                        writer.add(RunDoc.model_validate(run), (Part(**part) for part in parts))
                writer.add(_looked_at(item), ())


_OF_CALCULATION = ("calculation_id", "configuration_id", "campaign", "steps")
_OF_CONFIGURATION = ("campaign", "host", "fraction", "working_key", "joint_key", "supercell")
_BULK = ("forces", "stress", "structure", "frames", "task", "versions", "audit")


def _slim(output: Mapping[str, Any]) -> dict[str, Any]:
    passed = {"passed": (output.get("audit") or {}).get("passed", False)}
    return {**{name: value for name, value in output.items() if name not in _BULK}, "audit": passed}


def framed(item: Mapping[str, Any]) -> dict[str, Any]:
    """Documents of one calculation's runs, made from an item of `FramesBuilder`; pure."""
    criterion = item["relax"].get("EDIFFG")
    states = dict(item["oxidation_states"]) or shipped_fixed_states()
    runs: list[tuple[dict[str, Any], list[dict[str, Any]]]] = []
    problems: list[str] = []
    for given in item["runs"]:
        left_out: Counter[FrameReason] = Counter()
        try:
            run = CampaignRun(
                step=given["step"],
                series=FrameSeries.model_validate(given["series"]),
                index=given["index"],
                configuration=item["configuration"],
                oxidation_states=states,
                max_force=-float(criterion) if criterion is not None and float(criterion) < 0 else None,
            )
            parts = [{"frames": p.frames, "block": p.block} for p in parts_of(run.facts(), run.frames(), left_out)]
            document = run.document(_checksum(given["step"], given["index"]))
        except (*_BROKEN, PassOver) as err:
            problems.append(f"{given['step'].get('step')}: {err}")
            continue
        document.left_out = {str(reason): count for reason, count in left_out.items()}
        runs.append((document.model_dump(mode="json"), parts))
    return {"calculation_id": item["calculation_id"], "runs": runs, "problems": problems}


def _checksum(step: Mapping[str, Any], index: int) -> str:
    """Runs of a campaign are told apart by their jobs; a job's document never changes."""
    return hashlib.sha256(f"{step.get('uuid')}-{index}-{step.get('completed_at')}".encode()).hexdigest()


def _looked_at(item: Mapping[str, Any]) -> RunDoc:
    """Notes that a calculation was looked at, also where it gave no frame or its frames are another attempt's."""
    problems = "; ".join(item["problems"])[:300]
    return RunDoc(
        run_id=f"looked-at-{item['calculation_id']}",
        source="calculation",
        place=f"calculation {item['calculation_id']}",
        checksum="",
        state="skipped" if problems or not item["runs"] else "taken",
        reason="not readable" if problems else "" if item["runs"] else "failed run",
        detail=problems or ("" if item["runs"] else "no run of this calculation left a frame"),
        calculation_id=item["calculation_id"],
    )
