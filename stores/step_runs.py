"""The VASP runs of one step of a configuration (first run, continuations, rescues) and which of them is its result.

They are jobs of one uuid with growing index; `builders` makes calculation documents from them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .collection import Collection
from .documents import RunStatistics

Document = Mapping[str, Any]


@dataclass(frozen=True)
class StepRuns:
    """Documents of one step's runs (VaspStepDocs and FailureDocs as stored), oldest first; at least one."""

    documents: tuple[Document, ...]

    @property
    def last(self) -> Document:
        """The newest run."""
        return self.documents[-1]

    @property
    def goes_on(self) -> bool:
        """Whether the newest run asked for another one that has left no document yet."""
        return self.last["document"] == "VaspStepDoc" and bool(self.last.get("continues"))

    @property
    def result(self) -> Document:
        """The run whose numbers are the step's: the newest relaxation, or the failure that ended it.

        A rescue of a lost ordering that failed or did not pass its audit leaves the relaxation before it as the result.
        """
        proper = [d for d in self.documents if d["document"] == "VaspStepDoc" and d["step"] != "rescue static"]
        in_rescue = len(self.documents) > 1 and (self.documents[-2].get("history") or {}).get("rescue", 0) > 0
        passed = [d for d in proper if d["audit"]["passed"]]
        if self.last["document"] == "FailureDoc":
            return passed[-1] if passed and (in_rescue or proper[-1] is passed[-1]) else self.last
        if passed and (self.last.get("history") or {}).get("rescue", 0) > 0:
            return passed[-1]
        return proper[-1] if proper else self.last

    @property
    def passed(self) -> bool:
        """Whether the result passed its audit."""
        return self.result["document"] == "VaspStepDoc" and bool(self.result["audit"]["passed"])

    @property
    def n_ionic_steps(self) -> int:
        """Ionic steps of all relaxations."""
        return sum(d["n_ionic_steps"] for d in self.documents if d["document"] == "VaspStepDoc")

    @property
    def statistics(self) -> RunStatistics | None:
        """What the runs cost together; None where none says its time."""
        timed = [d for d in self.documents if d.get("elapsed_s") is not None]
        if not timed:
            return None
        cores = [d.get("n_cores") for d in timed]
        hours = [d["elapsed_s"] * n / 3600 for d, n in zip(timed, cores, strict=True) if n is not None]
        return RunStatistics(
            elapsed_s=sum(d["elapsed_s"] for d in timed), core_hours=sum(hours) if None not in cores else None
        )

    @property
    def tried(self) -> list[str]:
        """What was tried beyond the first run, and how a rescue that is not the result ended."""
        notes = list((self.last.get("history") or {}).get("tried", ()))
        if self.last is not self.result:
            end = self.last.get("message") or _failure(self.last) or f"ordering {self.last['achieved']['relation']}"
            notes.append(f"the last try did not help: {end}")
        return notes


def _failure(document: Document) -> str:
    """The first failure of a document's audit, or nothing."""
    findings = document["audit"].get("findings", ())
    return next((finding["message"] for finding in findings if finding["severity"] == "failure"), "")


def step_runs(docs: Collection, uuids: Iterable[str]) -> dict[str, StepRuns]:
    """Runs of steps by their job uuid.

    Parameters
    ----------
    docs : jobflow's docs_store.
    uuids : job uuids; those without a document are left out.
    """
    found: dict[str, list[tuple[int, Document]]] = {}
    for envelope in docs.query({"uuid": {"$in": list(uuids)}}, properties=["uuid", "index", "output"]):
        found.setdefault(envelope["uuid"], []).append((envelope["index"], envelope["output"]))
    return {uuid: StepRuns(_in_order(runs)) for uuid, runs in found.items()}


def _in_order(runs: Sequence[tuple[int, Document]]) -> tuple[Document, ...]:
    return tuple(document for _, document in sorted(runs, key=lambda run: run[0]))
