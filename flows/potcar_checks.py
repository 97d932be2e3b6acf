"""pymatgen's check of POTCARs, made once per POTCAR instead of some sixty times per VASP job.

Whenever a POTCAR is read (by input sets, by every error handler of custodian that looks at vasprun.xml or OUTCAR, by
emmet), pymatgen parses all numbers of each block and compares them with its table of known ones. The answer depends on
the text alone, so it is kept by the text's checksum. A third of a job's overhead (``benchmarks/job_overhead.py``).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from typing import Any

from pymatgen.io.vasp.inputs import PotcarSingle

_CHECK = PotcarSingle.is_valid
_KNOWN: dict[bytes, tuple[bool, dict[str, Any]]] = {}


@contextmanager
def potcars_checked_once() -> Iterator[None]:
    """While it lasts, a POTCAR block that was checked before in this process is not checked again.

    What pymatgen warns of, and the statistics that go into documents, are the same.
    """
    PotcarSingle.is_valid = property(_remembered)  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        PotcarSingle.is_valid = _CHECK  # type: ignore[method-assign]


def _remembered(potcar: PotcarSingle) -> bool:
    key = sha256(potcar.data.encode()).digest()
    if key not in _KNOWN:
        is_valid = bool(_CHECK.__get__(potcar))  # the check leaves its statistics on the object
        _KNOWN[key] = (is_valid, potcar._summary_stats)
    is_valid, potcar._summary_stats = _KNOWN[key]
    return is_valid
