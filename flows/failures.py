"""A VASP job that gave no result: why, in a fixed vocabulary, and what to do about it."""

from __future__ import annotations

import json
import os
import re
import socket
from errno import EACCES, EDQUOT, ENOENT, ENOEXEC, ENOSPC
from pathlib import Path

from custodian.custodian import CustodianError, ReturnCodeError, ValidationError

from ..stores.documents import FailureDoc, FailureReason, StepIntent, StepKind
from ..stores.provenance import package_versions
from .vasp_outputs import UnreadableOutputsError

_MEND: dict[FailureReason, str] = {
    "inputs refused": "nothing was run: correct what the message names",
    "missing potcar": "set PMG_VASP_PSP_DIR (`pmg config -p SOURCE TARGET`) to a folder that has this POTCAR",
    "vasp not found": "set ATOMATE2_VASP_CMD (or VASP_CMD in ~/.atomate2.yaml) to what starts VASP",
    "vasp error": "read the last lines and custodian's corrections, mend the cause",
    "gpaw not found": "install GPAW or name its Python (`valenceflow doctor` says how)",
    "missing setup": "`apt-get install gpaw-data`, `gpaw install-data`, or set GPAW_SETUP_PATH",
    "gpaw error": "read the last lines, mend the cause",
    "killed": "if the queue killed it, give the job more time or memory",
    "outputs unreadable": "VASP left its outputs missing or cut off: read the last lines, mend the cause",
    "not converged": "look at the forces in the step's document; raise NSW or start from the last structure",
    "disk": "free space (or quota) on the disk of the run folder",
    "vanished": "the process left no document: see run.log in the campaign's folder",
    "unexpected": "report this with the exception and the run folder; once it is mended",
}
_IN_A_CAMPAIGN = "then `valenceflow retry` and run the campaign again"
_ALONE = "then run the flow again"
REMEDIES: dict[FailureReason, str] = {reason: f"{mend}, {_IN_A_CAMPAIGN}" for reason, mend in _MEND.items()}
"""What to do about a failed configuration of a campaign."""

FLOW_REMEDIES: dict[FailureReason, str] = {reason: f"{mend}, {_ALONE}" for reason, mend in _MEND.items()}
"""What to do about a failed flow that belongs to no campaign (a maker's, on any jobflow manager)."""


def remedy_for(reason: FailureReason, intent: StepIntent, mend: str | None = None) -> str:
    """What to do about a failure, in a campaign or alone.

    Parameters
    ----------
    reason : of the failure.
    intent : whom the job worked for.
    mend : what an engine says to this reason, where it is not what VASP says.
    """
    return f"{mend or _MEND[reason]}, {_ALONE if intent.campaign is None else _IN_A_CAMPAIGN}"


_SHELL_SIGNAL = 128  # a shell or srun reports the end by signal N as the exit code 128 + N
_TAIL = 12
_OUTPUT_FILES = ("vasp.out", "std_err.txt")
_FULL = ("No space left on device", "Disk quota exceeded")  # what VASP's own writing says, whatever it exits with


def failure_doc(error: Exception, step: StepKind, uuid: str, intent: StepIntent, folder: Path) -> FailureDoc:
    """Describe a failed VASP job from its exception and what it left in its folder."""
    reason, lines = classify(error, folder), last_lines(folder)
    line = _one_line(error, reason, folder, lines)
    if isinstance(error, UnreadableOutputsError) and isinstance(error.__cause__, Exception):
        error = error.__cause__
    text = str(error).strip() or type(error).__name__
    return FailureDoc(
        step=step,
        uuid=uuid,
        intent=intent,
        reason=reason,
        message=f"{step}: {reason}: {line}",
        remedy=remedy_for(reason, intent),
        exception=f"{type(error).__name__}: {text[:2000]}",
        corrections=custodian_corrections(folder),
        last_lines=lines,
        versions=package_versions(),
        folder=f"{socket.gethostname()}:{folder}",
    )


def _one_line(error: Exception, reason: FailureReason, folder: Path, lines: list[str]) -> str:
    text = (str(error).strip() or type(error).__name__).splitlines()[0][:300]
    code = _return_code(error)
    if code is not None:
        end = f"signal {-code}" if code < 0 else f"exit code {code}"
        return f"VASP ended with {end}" + (f"; last line in {lines[-1]}"[:300] if lines else "")
    if reason == "outputs unreadable":
        missing = [name for name in ("vasprun.xml", "OUTCAR") if not any(folder.glob(f"{name}*"))]
        return f"VASP left no {' and no '.join(missing)}" if missing else text
    return text


def classify(error: Exception, folder: Path) -> FailureReason:
    """Reason of a failure from the exception's type and the state of the folder."""
    text = str(error)
    if isinstance(error, OSError) and error.errno in (ENOSPC, EDQUOT):
        return "disk"
    if "POTCAR" in text and ("PMG_VASP_PSP_DIR" in text or "not found" in text or "No POTCAR" in text):
        return "missing potcar"
    if not (folder / "INCAR").exists() and not (folder / "INCAR.gz").exists():
        return "inputs refused" if isinstance(error, (ValueError, TypeError, KeyError)) else "unexpected"
    if isinstance(error, OSError) and error.errno in (ENOENT, EACCES, ENOEXEC) and not _has_started(error, folder):
        return "vasp not found"
    if any(message in line for line in last_lines(folder) for message in _FULL):
        return "disk"
    code = _return_code(error)
    if code is not None:
        return "killed" if code < 0 or code > _SHELL_SIGNAL else "vasp error"
    if isinstance(error, CustodianError) and not isinstance(error, ValidationError):
        return "vasp error"
    # Inputs are there and VASP came to its end: what cannot be read is what it left, all else is our own mistake.
    return "outputs unreadable" if isinstance(error, UnreadableOutputsError) else "unexpected"


def _has_started(error: OSError, folder: Path) -> bool:
    """Whether an error about a file is not about the command: VASP wrote OUTCAR, or the file is in the run folder."""
    if any(folder.glob("OUTCAR*")):
        return True
    return error.filename is not None and Path(os.fsdecode(error.filename)).is_relative_to(folder)


def _return_code(error: Exception) -> int | None:
    """VASP's return code (negative: the signal that ended it), where custodian stopped because of it."""
    found = re.search(r"return code is (-?\d+)", str(error)) if isinstance(error, ReturnCodeError) else None
    return None if found is None else int(found.group(1))


def custodian_corrections(folder: Path) -> list[str]:
    """Corrections that custodian made, one line each, from custodian.json."""
    path = folder / "custodian.json"
    if not path.exists():
        return []
    try:
        log = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as err:
        return [f"custodian.json is not readable: {err}"]
    found = []
    for entry in log:
        for correction in entry.get("corrections", []):
            errors = ", ".join(str(e) for e in correction.get("errors", []))
            found.append(f"{errors}: {json.dumps(correction.get('actions'), default=str)}")
    return found


def last_lines(folder: Path) -> list[str]:
    """Last lines of what VASP printed."""
    lines = []
    for name in _OUTPUT_FILES:
        path = folder / name
        if path.exists():
            text = path.read_text(encoding="utf-8", errors="replace").splitlines()
            lines += [f"{name}: {line}" for line in text[-_TAIL:] if line.strip()]
    return lines
