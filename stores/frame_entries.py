"""What is remembered of a frame while a set is put together: enough to thin, to split and to look for copies.

Some hundred bytes each, so that 100,000 frames stay far below a gigabyte; arrays are read when they are needed.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any


@dataclass(frozen=True, slots=True)
class FrameEntry:
    """One frame of a set; fields as in `FrameDoc`.

    Attributes
    ----------
    n_high, verdict, couples : of the label; `not labelled` without one.
    """

    frame_id: str
    run_id: str
    number: int
    block_id: str
    row: int
    lineage: str
    configuration_id: str | None
    calculation_id: str | None
    campaign: str | None
    host: str | None
    fraction: float | None
    working_key: str | None
    intended_key: str | None
    formula: str
    chemsys: str
    step: str
    is_last: bool
    n_sites: int
    energy: float
    energy_per_atom: float
    max_force: float
    volume: float
    has_stress: bool
    has_magmoms: bool
    has_bader: bool
    source: str
    engine: str
    engine_version: str | None
    protocol: str | None
    protocol_hash: str
    supercell: str | None = None
    n_high: int | None = None
    verdict: str = "not labelled"
    couples: tuple[str, ...] = ()

    @classmethod
    def of(cls, doc: Mapping[str, Any]) -> FrameEntry:
        """Of a frame's document that holds at least `ENTRY_FIELDS`."""
        label = doc.get("label") or {"n_high": None, "verdict": "not labelled", "couples": ()}
        # Frames of a run share most of their words: each is held once.
        own = {name: _shared(doc.get(name)) for name in _OWN}
        couples = tuple(_shared(couple) for couple in label["couples"])
        return cls(**own, n_high=label["n_high"], verdict=_shared(label["verdict"]), couples=couples)

    @property
    def elements(self) -> list[str]:
        """Elements in it, in alphabetical order."""
        return self.chemsys.split("-")

    @property
    def species(self) -> tuple[str, int, int | None]:
        """What the frame is made of: reduced formula, sites, high sites."""
        return self.formula, self.n_sites, self.n_high

    @property
    def ordering(self) -> tuple[str, int, str | None, str] | None:
        """Canonical ordering on its host, the same for symmetry-equivalent ones; None where none was meant.

        Free charge orders share one key whatever came out, so they count by their working-ion ordering.
        """
        if self.host is None or self.intended_key is None:
            return None
        return self.host, self.n_sites, self.supercell, self.intended_key


def _shared(value: Any) -> Any:
    return sys.intern(value) if isinstance(value, str) else value


_OF_LABEL = ("n_high", "verdict", "couples")
_OWN = tuple(field.name for field in fields(FrameEntry) if field.name not in _OF_LABEL)
ENTRY_FIELDS = (*_OWN, "label")
"""Fields of `FrameDoc` that an entry is made of."""
