"""What the writing process does with a run that was read: is it new, whose place does it take, do settings agree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from .frame_writer import FrameWriter
from .frames import RunDoc
from .ingest_reasons import PassOver
from .ingest_run import Part
from .ingest_settings import conflicting
from .ingest_work import Taken, skipped_run, spooled_parts

if TYPE_CHECKING:
    from .connect import Stores

_BY_TAGS = "tags-"


class Keeper:
    """Writes runs into the store; use `with`.

    Attributes
    ----------
    notes : what should be known of the settings that were met.
    """

    def __init__(self, stores: Stores) -> None:
        self.notes: list[str] = []
        self._stores = stores
        self._writer = FrameWriter(stores)
        self._elements: dict[str, dict[str, str]] = {}

    def __enter__(self) -> Keeper:
        """The keeper itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        """Write what waits; after an error too, as every run that was kept is whole."""
        self._writer.flush()

    def runs_at(self, places: Sequence[str]) -> list[RunDoc]:
        """Documents of runs at places."""
        return [run_doc(run) for run in self._stores.collection("runs").query({"place": {"$in": list(places)}})]

    def keep(self, taken: Taken) -> RunDoc:
        """Write a run, unless another place has it as long or longer; what its place held before goes.

        Returns
        -------
        The document that was written.
        """
        run = taken.run
        for earlier in self.runs_at([run.place]):
            if earlier.run_id != run.run_id:
                self._writer.remove(earlier.run_id)
        if taken.spool is None:
            return self._writer.add(run, ())
        try:
            known = self._writer.run(run.run_id)
            if known is not None and known["place"] != run.place and known["n_frames"] >= run.n_frames:
                return self._writer.add(_doubled(run, f"the same run is at {known['place']}"), ())
            conflicts = self._conflicts(run)
            done = self._writer.add(run, (_finished(part, run, conflicts) for part in spooled_parts(taken.spool)))
        finally:
            taken.spool.unlink(missing_ok=True)
        if done.n_frames == 0:
            self._writer.remove(run.run_id)
            return self._writer.add(_doubled(run, "all its frames are in the store already"), ())
        return done

    def _conflicts(self, run: RunDoc) -> list[str]:
        """U and pseudopotentials that earlier runs with the same tags have otherwise, in words."""
        key = run.protocol_hash or ""
        if not key.startswith(_BY_TAGS):
            return []
        if key not in self._elements:
            earlier = self._stores.collection("runs").query({"protocol_hash": key}, ["element_settings", "run_id"])
            self._elements[key] = {}
            for document in sorted(earlier, key=lambda document: str(document["run_id"])):
                if document["run_id"] != run.run_id:
                    self._elements[key] = {**document["element_settings"], **self._elements[key]}
        found = conflicting(run.element_settings, self._elements[key])
        self._elements[key] = {**run.element_settings, **self._elements[key]}
        for words in found:
            note = f"{words}: such runs are marked as drifted"
            if note not in self.notes:
                self.notes.append(note)
        return found


def run_doc(document: Mapping[str, object]) -> RunDoc:
    """A run's document as it was stored."""
    return RunDoc.model_validate({name: document[name] for name in RunDoc.model_fields if name in document})


def _doubled(run: RunDoc, detail: str) -> RunDoc:
    return skipped_run(run.source, run.place, PassOver("duplicate run", detail), run.checksum, run.options_hash)


def _finished(part: Part, run: RunDoc, conflicts: Sequence[str]) -> Part:
    """What is known only when a run was read to its end."""
    for frame in part.frames:
        if run.state != "taken":
            frame["run_finished"], frame["relaxed"] = False, None
        if conflicts:
            frame["drift"], frame["drifted"] = [*frame["drift"], *conflicts], True
    return part
