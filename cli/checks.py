"""One finding of `doctor`. Light."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Check:
    """One finding: `needed` says for what; the remedy is empty where all is well.

    What is `optional` may be missing: something else than was asked about needs it.
    """

    name: str
    ok: bool
    found: str
    needed: str
    remedy: str = ""
    optional: bool = False
