"""Builder: frames -> labels. A run is labelled as a whole, as transition states are told from the frames around them.

Incremental by labelling: runs whose labels are of another one (other windows, other charges) are labelled again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from maggma.core import Builder, Store

from ..inputs.charge_states import RedoxCouple
from .frames import Frame, FrameLabel, NamedStores, Surrogate, iter_frames
from .labels import FrameLabeller, Labelling, SiteNumbers, mark_transitions

if TYPE_CHECKING:
    from .connect import Stores

_TARGETS = ("runs", "frames", "frame_arrays")


class LabelsBuilder(Builder):
    """Labels of every run that has none of this labelling.

    Parameters
    ----------
    runs, frames, frame_arrays : as `stores.frames` says.
    labelling : fields of a `stores.labels.Labelling`.
    chunk_size : runs between writes.
    """

    def __init__(
        self,
        runs: Store,
        frames: Store,
        frame_arrays: Store,
        labelling: Mapping[str, Any],
        chunk_size: int = 20,
    ) -> None:
        self.runs, self.frames, self.frame_arrays = runs, frames, frame_arrays
        self.labelling = dict(labelling)
        super().__init__(sources=[runs, frames, frame_arrays], targets=[frames, runs], chunk_size=chunk_size)

    @classmethod
    def of(cls, stores: Stores, labelling: Labelling) -> LabelsBuilder:
        """The builder of a campaign's or an ingested set's stores."""
        runs, frames, arrays = (stores.store(name) for name in _TARGETS)
        return cls(runs, frames, arrays, labelling.model_dump(mode="json"))

    def ensure_indexes(self) -> None:
        """Indexes that the builder looks things up by."""
        self.runs.ensure_index("labelling_id")
        self.frames.ensure_index("run_id")

    def pending(self) -> list[dict[str, Any]]:
        """Runs with frames whose labels are not of this labelling."""
        wanted = {"labelling_id": {"$ne": Labelling.model_validate(self.labelling).labelling_id}}
        found = self.runs.query(wanted, sort={"run_id": 1})
        return [run for run in found if run["n_frames"] and run["source"] != "calculation"]

    def get_items(self) -> Iterator[dict[str, Any]]:
        """One item per run: what its labels are read from."""
        self.ensure_indexes()
        stores = NamedStores({"frames": self.frames, "frame_arrays": self.frame_arrays})
        pending = self.pending()
        self.total = len(pending)
        sides: tuple[Surrogate, ...] = ("exclude", "only")
        for run in pending:
            # Labels are read frame by frame: both sides of the surrogate step may pass through one loop here.
            frames = [f for side in sides for f in iter_frames(stores, {"run_id": run["run_id"]}, surrogate=side)]
            yield {"run": run, "labelling": self.labelling, "frames": [_item(frame) for frame in frames]}

    def process_item(self, item: dict[str, Any]) -> dict[str, Any]:
        """Label a run; touches no store."""
        return labelled(item)

    def update_targets(self, items: Sequence[dict[str, Any]]) -> None:
        """Write frames first, so that a run that says its labelling has it."""
        self.frames.update([frame for item in items for frame in item["frames"]])
        self.runs.update([item["run"] for item in items])


def _item(frame: Frame) -> dict[str, Any]:
    arrays = frame.arrays
    return {
        "doc": {name: value for name, value in frame.doc.items() if name not in ("_id", "last_updated")},
        "numbers": arrays.numbers,
        "magmoms": arrays.magmoms,
        "bader_charges": arrays.bader_charges,
        "intended": arrays.intended_states,
    }


def labelled(item: Mapping[str, Any]) -> dict[str, Any]:
    """Frame documents of a run with their labels, made from an item of `LabelsBuilder`; pure."""
    labelling = Labelling.model_validate(item["labelling"])
    labeller = FrameLabeller(_of_run(labelling, item["run"]), labelling.labelling_id)
    run, frames = item["run"], sorted(item["frames"], key=lambda frame: int(frame["doc"]["number"]))
    labels = [labeller.label(_site_numbers(frame, run)) for frame in frames]
    mark_transitions(labels, [f["doc"]["lineage"] for f in frames], [f["doc"]["path_image"] for f in frames])
    documents = [
        {**frame["doc"], "label": label.model_dump(mode="json")} for frame, label in zip(frames, labels, strict=True)
    ]
    plain = {name: value for name, value in run.items() if name not in ("_id", "last_updated")}
    return {"frames": documents, "run": {**plain, "labelling_id": labelling.labelling_id}, "verdicts": _counts(labels)}


def _of_run(labelling: Labelling, run: Mapping[str, Any]) -> Labelling:
    """With the run's own couple where the labelling has another one of that element."""
    own = [RedoxCouple.model_validate(couple) for couple in run.get("couples") or ()]
    names = {couple.name for couple in labelling.couples}
    other = {couple.element: couple for couple in own if couple.name not in names}
    if not other:
        return labelling
    kept = [couple for couple in labelling.couples if couple.element not in other]
    return labelling.model_copy(update={"couples": [*kept, *other.values()]})


def _counts(labels: Sequence[FrameLabel]) -> dict[str, int]:
    return dict(Counter(str(label.verdict) for label in labels))


def _site_numbers(frame: Mapping[str, Any], run: Mapping[str, Any]) -> SiteNumbers:
    doc = frame["doc"]
    return SiteNumbers(
        numbers=np.asarray(frame["numbers"]),
        engine=doc["engine"],
        magmoms=frame["magmoms"],
        bader_charges=frame["bader_charges"],
        intended=frame["intended"],
        stated=doc["source"] == "ase set",
        fixed=run.get("fixed_states") or {},
    )
