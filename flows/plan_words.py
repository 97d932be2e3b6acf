"""What a plan asks for, in words: how many configurations at each fraction, and by which strata they were chosen."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import get_args

from ..inputs.orderings.stratum_names import Stratum, main_stratum
from ..stores.documents import ConfigurationDoc

WORDS = {"sample": "sampled", "best found": "best found (annealed, not proven lowest)", "file": "from files"}
"""Where a stratum's own name would not read well after a number."""


def fraction_words(configurations: Sequence[ConfigurationDoc], ion: str) -> list[str]:
    """One text per fraction, in the plan's order.

    Parameters
    ----------
    configurations : of a campaign.
    ion : symbol of the working ion.

    Returns
    -------
    `x = 0.667: 171 (1 Na ordering: 1 lowest; 1 reference, 20 lowest, 150 sampled)`, say; strata are left out where all
    orderings are taken.
    """
    by_fraction: dict[float, list[ConfigurationDoc]] = {}
    for configuration in configurations:
        by_fraction.setdefault(configuration.fraction, []).append(configuration)
    return [f"x = {fraction:g}: {len(here)} ({_chosen(here, ion)})" for fraction, here in by_fraction.items()]


def _chosen(here: Sequence[ConfigurationDoc], ion: str) -> str:
    working = {c.working_key: _main(c.working_strata) for c in here}
    text = f"{len(working)} {ion} ordering{'' if len(working) == 1 else 's'}"
    ions, charges = _counts(working.values()), _counts(c.stratum for c in here)
    return text + (f": {ions}" if ions else "") + (f"; {charges}" if charges else "")


def _main(strata: Sequence[str]) -> str:
    known = [stratum for stratum in get_args(Stratum) if stratum in strata]
    return main_stratum(known) if known else "all"


def _counts(strata: Iterable[str]) -> str:
    """Numbers of each stratum, the telling one first; nothing where there was nothing to choose."""
    counts = Counter(strata)
    if not set(counts) - {"all", "end member"}:
        return ""
    return ", ".join(f"{counts[s]} {WORDS.get(s, s)}" for s in get_args(Stratum) if counts[s])
