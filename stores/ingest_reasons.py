"""Why something was not taken: one fixed vocabulary, so that reasons can be counted, filtered and tested.

Nothing is silently dropped: every folder, file or frame that ingest passes over has one of these.
"""

from __future__ import annotations

from typing import Literal, get_args

RunReason = Literal[
    # files
    "no vasprun.xml",
    "no OUTCAR",
    "empty file",
    "not readable",
    "not XML",
    "not JSON",
    "not extxyz",
    "not a task document",
    "no frame",
    "too large",
    "leads outside",
    "not a plain file",
    # runs
    "interrupted",
    "no complete ionic step",
    "no SCF-converged step",
    "not finite",
    "mixed-up folder",
    "site counts disagree",
    "not spin-polarised",
    "no site moments",
    "non-collinear",
    "element without a couple",
    "partial occupancy",
    "unknown units",
    "duplicate run",
    "of a campaign",
    "failed run",
    "unexpected",
]
"""Why a run (a folder, a file, a task document) was not taken, or not whole (`interrupted`)."""

FrameReason = Literal[
    "SCF not converged",
    "not finite",
    "OUTCAR ends before",
    "no moments",
    "site counts disagree",
    "no energy",
    "no forces",
    "machine-learned step",
    "unknown units",
    "duplicate frame",
    "element without a couple",
    "not readable",
    "no cell",
    "partial occupancy",
]
"""Why a frame of a run that was taken was left out."""

RUN_REASONS: tuple[str, ...] = get_args(RunReason)
FRAME_REASONS: tuple[str, ...] = get_args(FrameReason)


class PassOver(Exception):  # noqa: N818 - it is no error: ingest goes on with the next run
    """Raised where a run cannot be taken.

    Attributes
    ----------
    reason : from the vocabulary.
    detail : one line with the value.
    """

    def __init__(self, reason: RunReason, detail: str) -> None:
        super().__init__(reason, detail)  # both, so that other processes can be handed it
        self.reason: RunReason = reason
        self.detail = " ".join(detail.split())[:300]

    def __str__(self) -> str:
        """Reason and detail."""
        return f"{self.reason}: {self.detail}"
