"""A GPAW job that gave no result: why, in the same vocabulary as VASP's, and what to do about it."""

from __future__ import annotations

import socket
from errno import EDQUOT, ENOSPC
from pathlib import Path

from ...stores.documents import FailureDoc, FailureReason, StepIntent, StepKind
from ...stores.provenance import package_versions
from ..failures import remedy_for
from .command import INSTALL, SETTING, GpawNotFoundError
from .in_gpaw.files import ITERATIONS, JOB
from .outputs import GpawEndedError, NoResultError
from .process import ERRORS, OUTPUT, OverTimeError

_MEND: dict[FailureReason, str] = {
    "gpaw not found": INSTALL,
    "gpaw error": f"read the last lines, mend the cause ({SETTING} says which Python runs)",
    "not converged": (
        f"look at {ITERATIONS} and the starts tried; take more starts (gpaw: {{starts: [ionic, ionic d1, atoms]}}) or "
        "more iterations (limits: {scf: ...}) in a protocol of your own"
    ),
    "outputs unreadable": "GPAW left its outputs missing or cut off: read the last lines, mend the cause",
    "killed": "give the job more time or memory (it goes on from its last frame)",
}
_STATES: dict[str, FailureReason] = {
    "not converged": "not converged",
    "missing setup": "missing setup",
    "inputs refused": "inputs refused",
    "error": "gpaw error",
}
_SHELL_SIGNAL = 128  # a shell or mpiexec reports the end by signal N as the exit code 128 + N
_TAIL = 12


class GpawCrashedError(Exception):
    """GPAW's process ended with an error or by a signal and left no result."""

    def __init__(self, code: int) -> None:
        super().__init__(f"signal {-code}" if code < 0 else f"exit code {code}")
        self.code = code


def gpaw_failure_doc(error: Exception, step: StepKind, uuid: str, intent: StepIntent, folder: Path) -> FailureDoc:
    """Describe a failed GPAW job from its exception and what it left in its folder."""
    lines = last_lines(folder)
    reason = classify(error, folder, lines)
    text = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, GpawCrashedError):
        text = f"GPAW ended with {error}" + (f"; last line in {lines[-1]}" if lines else "")
    return FailureDoc(
        step=step,
        uuid=uuid,
        intent=intent,
        reason=reason,
        message=f"{step}: {reason}: {text[:400]}",
        remedy=remedy_for(reason, intent, _MEND.get(reason)),
        exception=f"{type(error).__name__}: {text[:2000]}",
        corrections=starts_tried(error),
        last_lines=lines,
        versions=package_versions(),
        folder=f"{socket.gethostname()}:{folder}",
    )


def classify(error: Exception, folder: Path, lines: list[str]) -> FailureReason:
    """Reason of a failure from the exception's type and what GPAW printed last."""
    if isinstance(error, OSError) and error.errno in (ENOSPC, EDQUOT):
        return "disk"
    if isinstance(error, GpawNotFoundError) or any("No module named 'gpaw'" in line for line in lines):
        return "gpaw not found"
    if isinstance(error, GpawEndedError):
        return "disk" if "No space left" in str(error) else _STATES.get(error.state, "gpaw error")
    if isinstance(error, OverTimeError):
        return "killed"
    if isinstance(error, GpawCrashedError):
        return "killed" if error.code < 0 or error.code > _SHELL_SIGNAL else "gpaw error"
    if isinstance(error, NoResultError):
        return "outputs unreadable"
    if not (folder / JOB).exists() and isinstance(error, (ValueError, TypeError, KeyError)):
        return "inputs refused"
    return "unexpected"


def starts_tried(error: Exception) -> list[str]:
    """SCF starts of a failed job, one line each."""
    if not isinstance(error, GpawEndedError):
        return []
    return [
        f"start {s['start']}: {s['iterations']} iterations, order changed {s['hops']} times, "
        + (s["error"] or "converged")
        for s in error.starts
        if "iterations" in s
    ]


def last_lines(folder: Path) -> list[str]:
    """Last lines of what GPAW's process printed."""
    lines = []
    for name in (OUTPUT, ERRORS):
        path = folder / name
        if path.exists():
            text = path.read_text(encoding="utf-8", errors="replace").splitlines()
            lines += [f"{name}: {line}" for line in text[-_TAIL:] if line.strip()]
    return lines
