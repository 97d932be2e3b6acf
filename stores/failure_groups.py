"""What failed in a campaign, grouped by engine and reason. Light: counts are in `overview`."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from .connect import Stores
from .overview import AUDIT_FAILED, OTHER_ENGINE, engines_asked
from .sharing import Sharing, sharing_of

SHOWN_OTHERS = 4
"""Of the failures of one reason, as many more are told in full: one reason may have several causes."""

_STEPS = ("surrogate relax", "relax", "free relax")


@dataclass
class FailureGroup:
    """Failures of one reason: how many, what to do, and one of them in full.

    Attributes
    ----------
    engine : that was asked.
    state : `failed` (VASP gave no result), or `audit failed`.
    reason : of the FailureDoc, or the code of the audit's first failure.
    count, message, remedy, folder : how many; the rest is of one of them.
    others : messages and folders of further ones that say something else, at most `SHOWN_OTHERS`.
    """

    reason: str
    count: int
    message: str
    remedy: str
    folder: str
    engine: str = ""
    state: str = "failed"
    others: list[tuple[str, str]] = field(default_factory=list)

    def add(self, other: FailureGroup) -> None:
        """Count one more of the same reason, and keep what it says where that is new."""
        self.count += other.count
        known = {self.message, *(message for message, _ in self.others)}
        if other.message not in known and len(self.others) < SHOWN_OTHERS:
            self.others.append((other.message, other.folder))


def failure_groups(stores: Stores, campaign: str, left_out: Collection[str] = ()) -> list[FailureGroup]:
    """Failures that still count (no later attempt), grouped by engine and reason, most frequent first.

    Parameters
    ----------
    stores, campaign, left_out : as for `fraction_overviews`.
    """
    groups: dict[tuple[str, str, str], FailureGroup] = {}
    sharing = sharing_of(stores, campaign)
    for failure in [*_failures(stores, sharing, set(left_out)), *_unfit(stores, sharing, set(left_out))]:
        same = groups.setdefault((failure.engine, failure.state, failure.reason), failure)
        if same is not failure:
            same.add(failure)
    return sorted(groups.values(), key=lambda group: (group.engine, -group.count))


def _failures(stores: Stores, sharing: Sharing, left_out: Collection[str]) -> Iterator[FailureGroup]:
    # Failures are few among many: one indexed field finds them, the rest is looked at here.
    wanted = ["campaign", "latest", "steps", "engine", "configuration_id"]
    for calculation in stores.collection("calculations").query({"state": "failed"}, wanted):
        if not _counts(calculation, sharing, left_out):
            continue
        for step in calculation["steps"].values():
            if step["document"] == "FailureDoc":
                shown = {name: step[name] for name in ("reason", "message", "remedy", "folder")}
                yield FailureGroup(count=1, engine=calculation["engine"], **shown)


def _unfit(stores: Stores, sharing: Sharing, left_out: Collection[str]) -> Iterator[FailureGroup]:
    """Calculations that did not pass their audit; the first failure that it found is their reason."""
    folders = [f"steps.{step}.folder" for step in _STEPS]
    wanted = ["campaign", "latest", "engine", "configuration_id", "audit", *folders]
    found = list(stores.collection("calculations").query({"state": AUDIT_FAILED}, wanted))
    mine = [calculation for calculation in found if _counts(calculation, sharing, left_out)]
    strangers = {c["configuration_id"] for c in mine if any(f["code"] == OTHER_ENGINE for f in c["audit"]["findings"])}
    asked = engines_asked(stores, strangers)
    for calculation in mine:
        failures = [one for one in calculation["audit"]["findings"] if one["severity"] == "failure"]
        first = next((one for one in failures if one["code"] == OTHER_ENGINE), failures[0])
        folder = [step["folder"] for step in calculation["steps"].values() if "folder" in step][-1:]
        yield FailureGroup(
            reason=first["code"],
            count=1,
            message=first["message"],
            remedy="",
            folder="".join(folder),
            engine=asked.get(calculation["configuration_id"], calculation["engine"]),
            state=AUDIT_FAILED,
        )


def _counts(calculation: Mapping[str, Any], sharing: Sharing, left_out: Collection[str]) -> bool:
    ours = sharing.has(calculation) and bool(calculation["latest"])
    return ours and calculation["configuration_id"] not in left_out
