"""A VASP job that gave no result: why, in a fixed vocabulary, and what to do about it."""

from __future__ import annotations

import json
import shutil
import socket
from pathlib import Path

from custodian.custodian import CustodianError

from ..stores.documents import FailureDoc, FailureReason, StepIntent, StepKind

REMEDIES: dict[FailureReason, str] = {
    "inputs refused": "correct what the message names in the campaign file or the maker; nothing was run",
    "missing potcar": "set PMG_VASP_PSP_DIR (`pmg config -p SOURCE TARGET`) to a folder that has this POTCAR",
    "vasp not found": "set ATOMATE2_VASP_CMD (or VASP_CMD in ~/.atomate2.yaml) to a command that starts VASP",
    "vasp error": "read the last lines and custodian's corrections, mend the cause, run the campaign again",
    "killed": "run the campaign again; if the queue killed it, give the job more time or memory",
    "outputs unreadable": "VASP stopped while writing; run the campaign again",
    "not converged": "look at the forces in the step's document; raise NSW or start from the last structure",
    "disk": "free space (or quota) on the disk of the run folder, then run the campaign again",
    "vanished": "the process left no document; run the campaign again",
    "unexpected": "report this with the exception and the run folder; run the campaign again once it is mended",
}
_TAIL = 12
_OUTPUT_FILES = ("vasp.out", "std_err.txt")


def failure_doc(error: Exception, step: StepKind, uuid: str, intent: StepIntent, folder: Path) -> FailureDoc:
    """Describe a failed VASP job from its exception and what it left in its folder."""
    reason = classify(error, folder)
    text = str(error).strip() or type(error).__name__
    return FailureDoc(
        step=step,
        uuid=uuid,
        intent=intent,
        reason=reason,
        message=f"{step}: {reason}: {text.splitlines()[0][:300]}",
        remedy=REMEDIES[reason],
        exception=f"{type(error).__name__}: {text[:2000]}",
        corrections=custodian_corrections(folder),
        last_lines=last_lines(folder),
        folder=f"{socket.gethostname()}:{folder}",
    )


def classify(error: Exception, folder: Path) -> FailureReason:
    """Reason of a failure from the exception's type and the state of the folder."""
    text = str(error)
    if isinstance(error, OSError) and error.errno in (28, 122):  # ENOSPC, EDQUOT
        return "disk"
    if "POTCAR" in text and ("PMG_VASP_PSP_DIR" in text or "not found" in text or "No POTCAR" in text):
        return "missing potcar"
    if not (folder / "INCAR").exists() and not (folder / "INCAR.gz").exists():
        return "inputs refused" if isinstance(error, (ValueError, TypeError, KeyError)) else "unexpected"
    if isinstance(error, FileNotFoundError | PermissionError) or (
        shutil.which(_command_of(text)) is None and "No such file" in text
    ):
        return "vasp not found"
    if isinstance(error, CustodianError):
        return "killed" if "return code is -" in text else "vasp error"
    if (folder / "vasprun.xml").exists() or (folder / "vasprun.xml.gz").exists():
        return "outputs unreadable"
    return "unexpected"


def _command_of(text: str) -> str:
    return text.split("'")[1] if text.count("'") >= 2 else ""


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
