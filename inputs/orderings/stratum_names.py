"""How an ordering came to be chosen, in the words that documents carry; nothing here needs a crystal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

Stratum = Literal["end member", "free", "reference", "file", "lowest", "best found", "sample", "all"]
"""How an ordering was chosen, the telling one first. `best found`: lowest of a space too large to visit."""

STATISTICAL: tuple[Stratum, ...] = ("sample", "all")


def main_stratum(strata: Sequence[Stratum]) -> Stratum:
    """The stratum that tells most about an ordering."""
    return min(strata, key=get_args(Stratum).index)


def in_statistics(strata: Sequence[str]) -> bool:
    """Whether an ordering counts in means and deviations: drawn uniformly or one of all, and not the reference."""
    return "reference" not in strata and any(stratum in STATISTICAL for stratum in strata)
