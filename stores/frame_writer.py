"""Writing runs with their frames: arrays first, then frames, then the run's own document, so that a run that has one is
whole. A process killed in between leaves frames that the next attempt replaces, as ids follow from content.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from .frames import Collections, RunDoc
from .ingest_run import Part

_FULL = 400
"""Frames that are written at once: few transactions, little memory."""


class FrameWriter:
    """Puts runs into the store, several at once; close it (or use `with`), or the last ones are lost.

    Parameters
    ----------
    stores : where to.
    """

    def __init__(self, stores: Collections) -> None:
        self._stores = stores
        self._runs: dict[str, dict[str, Any]] = {}
        self._blocks: list[dict[str, Any]] = []
        self._frames: list[dict[str, Any]] = []
        self._pending: set[str] = set()

    def __enter__(self) -> FrameWriter:
        """The writer itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        """Write what is waiting, unless an error ended the block."""
        if kind is None:
            self.flush()

    def run(self, run_id: str) -> Mapping[str, Any] | None:
        """Document of a run, also one that waits to be written."""
        return self._runs.get(run_id) or self._stores.collection("runs").query_one({"run_id": run_id})

    def add(self, run: RunDoc, parts: Iterable[Part]) -> RunDoc:
        """Take a run in, without frames that another run has already.

        Parameters
        ----------
        run : its document; the count of its frames is set here.
        parts : its documents, in order.

        Returns
        -------
        The run's document with what was left out.
        """
        self.remove(run.run_id)
        doubled, taken = 0, 0
        seen: set[str] = set()
        for part in parts:
            known = self._known_hashes(part, run.run_id) | seen
            frames = [frame for frame in part.frames if frame["content_hash"] not in known]
            frames = list({frame["content_hash"]: frame for frame in reversed(frames)}.values())[::-1]
            seen |= {frame["content_hash"] for frame in frames}
            doubled += len(part.frames) - len(frames)
            taken += len(frames)
            if frames:
                self._blocks.append(part.block)
                self._frames += frames
                self._pending |= {frame["content_hash"] for frame in frames}
            if len(self._frames) >= _FULL:
                self._write_frames()
        left_out = Counter(run.left_out)
        if doubled:
            left_out["duplicate frame"] += doubled
        run = run.model_copy(update={"n_frames": taken, "left_out": dict(left_out)})
        self._runs[run.run_id] = run.model_dump(mode="json")
        if len(self._runs) >= _FULL:
            self.flush()
        return run

    def remove(self, run_id: str) -> None:
        """Take a run out with all its frames."""
        if run_id in self._runs:
            self.flush()
        runs = self._stores.collection("runs")
        if runs.query_one({"run_id": run_id}, ["run_id"]) is not None:
            # The run's document goes first: without it, what a kill leaves of the rest is replaced later.
            runs.remove_docs({"run_id": run_id})
        for name in ("frames", "frame_arrays"):
            collection = self._stores.collection(name)
            if collection.query_one({"run_id": run_id}, ["run_id"]) is not None:
                collection.remove_docs({"run_id": run_id})

    def flush(self) -> None:
        """Write everything that waits."""
        self._write_frames()
        if self._runs:
            self._stores.collection("runs").update(list(self._runs.values()))
            self._runs.clear()

    def _write_frames(self) -> None:
        if self._blocks:
            self._stores.collection("frame_arrays").update(self._blocks)
        if self._frames:
            self._stores.collection("frames").update(self._frames)
        self._blocks, self._frames = [], []
        self._pending.clear()

    def _known_hashes(self, part: Part, run_id: str) -> set[str]:
        """Content hashes of a part that frames of other runs have."""
        hashes = [frame["content_hash"] for frame in part.frames]
        found = self._stores.collection("frames").query({"content_hash": {"$in": hashes}}, ["content_hash", "run_id"])
        known = {frame["content_hash"] for frame in found if frame["run_id"] != run_id}
        return known | self._pending.intersection(hashes)
