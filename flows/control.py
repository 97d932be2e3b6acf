"""Pausing and cancelling a campaign from another terminal, and giving up a hopeless one.

Requests are files in the campaign's folder that the launcher looks at once a second; a new `run` takes them away.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Request = Literal["pause", "cancel"]
_FILES: dict[Request, str] = {"pause": "pause-requested", "cancel": "cancel-requested"}


def request(folder: Path, what: Request) -> None:
    """Ask the launcher of a campaign to pause or to cancel."""
    (folder / _FILES[what]).touch()


def requested(folder: Path) -> Request | None:
    """What was asked for; cancelling wins."""
    for what in ("cancel", "pause"):
        if (folder / _FILES[what]).exists():
            return what
    return None


def clear_requests(folder: Path) -> None:
    """Take requests away: a new run begins."""
    for name in _FILES.values():
        (folder / name).unlink(missing_ok=True)


@dataclass
class Quorum:
    """Whether a campaign can still reach what it accepts.

    Attributes
    ----------
    failed_at_most : share of all configurations that may fail.
    total : configurations of the campaign.
    failed : those that failed so far (or did not pass their audit).
    """

    failed_at_most: float
    total: int
    failed: int = 0

    @property
    def is_lost(self) -> bool:
        """More have failed than the whole campaign may lose, so it cannot be reached any more."""
        return self.failed > self.failed_at_most * self.total + 1e-9

    @property
    def reason(self) -> str:
        """Why it was given up, in words."""
        return (
            f"{self.failed} of {self.total} configurations failed, more than accept.failed_at_most = "
            f"{self.failed_at_most:g} allows; look at `valenceflow status`, mend the cause, then retry and run"
        )
