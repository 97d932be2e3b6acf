"""The words that `run`, `status` and `query` share, so that one thing has one name in all of them. Light."""

from __future__ import annotations

import shlex
from pathlib import Path

from ..stores.relations import LOST

AS_MEANT, LOST_ORDERING, AUDIT_FAILED, FAILED, MISSING = "as meant", "lost", "audit failed", "failed", "missing"
"""What becomes of a configuration: completed with the ordering that was meant, completed with another one, ..."""

SHORT_NAMES = {"x": "fraction", "meant": "intended_key", "achieved": "achieved_key", "ordering": "relation"}
"""Column -> the field of a calculation that it shows."""


def counted(number: int, what: str, plural: str | None = None) -> str:
    """A number with its noun: 1 worker, 2 workers.

    Parameters
    ----------
    number : how many.
    what : the noun for one.
    plural : for several, where it does not end in s.
    """
    return f"{number} {what if number == 1 else plural or f'{what}s'}"


def ordering_text(relation: str) -> str:
    """What became of an ordering; the three ways of losing it say so."""
    return f"{LOST_ORDERING}: {relation}" if relation in LOST else relation


def command(verb: str, campaign: Path, engine: str | None = None, *options: str) -> str:
    """A command to type, quoted for the shell.

    Parameters
    ----------
    verb : run, retry, query, ...
    campaign : the campaign's file.
    engine : full engine name; None leaves --engine out.
    options : further words.
    """
    return shell_words("valenceflow", verb, campaign, *(["--engine", engine] if engine else []), *options)


def shell_words(*words: str | Path) -> str:
    """Words quoted for the shell."""
    return shlex.join(str(word) for word in words)


def rehearsal_note(engine: str) -> str:
    """A warning wherever numbers of a stand-in are shown; empty for real engines."""
    return "REHEARSAL, not DFT" if engine.startswith("rehearsal") else ""
