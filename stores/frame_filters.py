"""The paper's filters (section 4.2) as named switches: which frames a set leaves out, and why, each frame counted once.

`criteria` asks the store for what stays; `reason_against` says of one document why it does not, so that every set can
list what it left out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .frames import Collections, Surrogate, iter_frame_docs

PAPER_SUBSET = frozenset({"Na", "Fe", "P", "Si", "S", "O"})
"""Elements of the paper's chemically restricted subset (section 4.2)."""

_LABEL = "label"


@dataclass(frozen=True)
class FrameFilters:
    """What is left out; True leaves it out.

    Attributes
    ----------
    unconverged : frames whose SCF did not converge.
    failed_audit : frames of campaign runs that did not pass their audit.
    drifted : frames of runs whose inputs differ from the protocol's, or from those of other runs of these settings.
    salvaged : frames of runs that were cut off.
    ambiguous : frames whose charge states are not resolved (not labelled, ambiguous, delocalised, not neutral).
    transition_states : frames at which the ordering changes, and images of paths.
    lost : frames whose charge states are not the ones that were meant.
    elements : chemical subset: frames with any other element are left out; None: every element.
    engine, protocol_hash : frames of any other are left out; None: every one (an export must name one).
    formulas : reduced formulas that are taken; None: every one.
    least_confidence : smallest label confidence that is taken, 0 to 1.
    """

    unconverged: bool = True
    failed_audit: bool = True
    drifted: bool = True
    salvaged: bool = False
    ambiguous: bool = True
    transition_states: bool = True
    lost: bool = False
    elements: frozenset[str] | None = None
    engine: str | None = None
    protocol_hash: str | None = None
    formulas: frozenset[str] | None = None
    least_confidence: float = 0.0

    def __post_init__(self) -> None:
        """Refuse a confidence that is none; NaN would filter nothing."""
        if not 0 <= self.least_confidence <= 1:
            raise ValueError(f"least confidence {self.least_confidence:g}: give a number from 0 to 1")

    def criteria(self) -> dict[str, Any]:
        """MongoDB filter over `FrameDoc` of what stays; elements are left to `reason_against`."""
        wanted: dict[str, Any] = {}
        if self.unconverged:
            wanted["scf_converged"] = True
        if self.failed_audit:
            wanted["audit_passed"] = {"$ne": False}
        if self.drifted:
            wanted["drifted"] = False
        if self.salvaged:
            wanted["run_finished"] = True
        if self.ambiguous:
            wanted["label.verdict"] = "resolved"
        if self.transition_states:
            wanted |= {"label.transition": {"$ne": True}, "path_image": {"$ne": True}}
        if self.lost:
            wanted["label.as_intended"] = {"$ne": False}
        if self.engine is not None:
            wanted["engine"] = self.engine
        if self.protocol_hash is not None:
            wanted["protocol_hash"] = self.protocol_hash
        if self.formulas is not None:
            wanted["formula"] = {"$in": sorted(self.formulas)}
        if self.least_confidence > 0:
            wanted["label.confidence"] = {"$gte": self.least_confidence}
        return wanted

    def reason_against(self, doc: Mapping[str, Any]) -> str | None:
        """Why a frame is left out, the first reason that holds; None if it stays.

        Parameters
        ----------
        doc : fields of a `FrameDoc`; `NEEDED` are looked at.
        """
        return self._reason_of_place(doc) or self._reason_of_run(doc) or self._reason_of_label(doc)

    def _reason_of_place(self, doc: Mapping[str, Any]) -> str | None:
        if self.engine is not None and doc["engine"] != self.engine:
            return "another engine"
        if self.protocol_hash is not None and doc["protocol_hash"] != self.protocol_hash:
            return "another protocol"
        if self.elements is not None and not set(doc["composition"]) <= self.elements:
            return "outside the chemical subset"
        if self.formulas is not None and doc["formula"] not in self.formulas:
            return "another composition"
        return None

    def _reason_of_run(self, doc: Mapping[str, Any]) -> str | None:
        if self.unconverged and not doc["scf_converged"]:
            return "SCF not converged"
        if self.failed_audit and doc.get("audit_passed") is False:
            return "audit not passed"
        if self.drifted and doc["drifted"]:
            return "drifted inputs"
        if self.salvaged and not doc["run_finished"]:
            return "run was cut off"
        return None

    def _reason_of_label(self, doc: Mapping[str, Any]) -> str | None:
        label = doc.get(_LABEL)
        if self.ambiguous and label is None:
            return "not labelled"
        if self.ambiguous and label is not None and label["verdict"] != "resolved":
            return f"charge states: {label['verdict']}"
        if self.transition_states and (doc["path_image"] or (label is not None and label["transition"])):
            return "transition state"
        if label is not None and self.lost and label["as_intended"] is False:
            return "ordering lost"
        if label is not None and label["confidence"] < self.least_confidence:
            return "label not sure enough"
        return None


NEEDED = (
    "engine",
    "protocol_hash",
    "composition",
    "formula",
    "scf_converged",
    "audit_passed",
    "drifted",
    "run_finished",
    "path_image",
    "label",
)
"""Fields of `FrameDoc` that `FrameFilters.reason_against` looks at."""

NOTHING_LEFT_OUT = FrameFilters(
    unconverged=False, failed_audit=False, drifted=False, ambiguous=False, transition_states=False
)
"""Every frame of one side of the surrogate step."""


def exclusions(
    stores: Collections,
    filters: FrameFilters,
    criteria: Mapping[str, Any] | None = None,
    surrogate: Surrogate = "exclude",
) -> Counter[str]:
    """How many frames each reason leaves out, those of the other side of the surrogate step included.

    Parameters
    ----------
    stores : with frames.
    filters : the switches.
    criteria : frames that are asked for at all.
    surrogate : side that is taken.
    """
    found: Counter[str] = Counter()
    for doc in iter_frame_docs(stores, criteria, surrogate=surrogate, properties=NEEDED):
        reason = filters.reason_against(doc)
        if reason is not None:
            found[reason] += 1
    other: Surrogate = "only" if surrogate == "exclude" else "exclude"
    beyond = sum(1 for _ in iter_frame_docs(stores, criteria, surrogate=other, properties=["engine"]))
    if beyond:
        found["surrogate step" if surrogate == "exclude" else "not of the surrogate step"] += beyond
    return found
