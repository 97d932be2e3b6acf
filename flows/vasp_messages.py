"""What VASP said that custodian passed over, and what custodian did about the rest: nothing that was said is silent.

The messages are those that custodian knows (VaspErrorHandler, StdErrHandler), whether its handlers act on them or not:
some are warnings to custodian too, others are left out because its correction would leave the protocol (`custody`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from custodian.vasp.handlers import StdErrHandler, VaspErrorHandler

from ..stores.documents import Finding
from .failures import custodian_corrections

MESSAGES: dict[str, list[str]] = {
    **StdErrHandler.error_msgs,
    **VaspErrorHandler.error_msgs,
    # Two that custodian has in the code of other handlers.
    "mesh_symmetry": ["Reciprocal lattice and k-lattice belong to different class of lattices"],
    "psmaxn": ["PSMAXN for non-local potential too small"],
}
"""custodian's key -> texts by which it knows the message."""

HARMLESS = frozenset({"auto_nbands", "symprec_noise", "mesh_symmetry", "algo_tet", "elf_ncl"})
"""About empty bands, and about symmetry, tetrahedra and spinors, of which the protocols use none."""

_FILES = ("vasp.out", "std_err.txt")


def message_findings(folder: Path) -> list[Finding]:
    """Messages of the run that came to its end, each once, and the corrections that led to it.

    Parameters
    ----------
    folder : run folder, before its files are compressed.
    """
    findings = []
    for key, line in _said(folder).items():
        severity = "info" if key in HARMLESS else "warning"
        findings.append(Finding(code="vasp message", severity=severity, message=f"VASP said ({key}): {line}"))
    names = Counter(correction.partition(": ")[0] for correction in custodian_corrections(folder))
    if names:
        told = ", ".join(name if times == 1 else f"{name} ({times} times)" for name, times in names.items())
        findings.append(Finding(code="corrections", severity="info", message=f"custodian acted on: {told}"))
    return findings


def _said(folder: Path) -> dict[str, str]:
    """Key -> the line that holds it, in the order in which VASP printed them."""
    said: dict[str, str] = {}
    for line in _lines(folder):
        for key, texts in MESSAGES.items():
            if key not in said and any(text in line for text in texts):
                said[key] = line.strip(" |\n")[:200]
    return said


def _lines(folder: Path) -> Iterator[str]:
    for name in _FILES:
        if (folder / name).exists():
            with (folder / name).open(encoding="utf-8", errors="replace") as handle:
                yield from handle
