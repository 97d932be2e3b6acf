"""What a look at a queue manager found, and the questions that are the same for all of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ...stores.connect import Stores
from ...stores.secrets import database_words, redacted


@dataclass(frozen=True)
class QueueFinding:
    """One thing that was looked at; the remedy is empty where all is well.

    What is `optional` may be missing.
    """

    name: str
    ok: bool
    found: str
    remedy: str = ""
    optional: bool = False


def tried(name: str, ask: Callable[[], str], remedy: str) -> QueueFinding:
    """Ask for something that may raise whatever its library raises; what it says is shown without passwords.

    Parameters
    ----------
    name : of the finding.
    ask : returns what is found where all is well.
    remedy : where it is not.
    """
    try:
        return QueueFinding(name, True, redacted(ask()))
    except Exception as error:  # drivers, ssh and schedulers raise many kinds; each is a finding
        return QueueFinding(name, False, database_words(error)[:400], remedy)


def store_finding(stores: Stores) -> QueueFinding:
    """Whether the campaign's documents can be reached from here."""

    def ask() -> str:
        number = stores.docs().count({})
        return f"{stores.place} answers; {number} documents of jobs"

    return tried("store", ask, "start the database, or correct `store:` of the campaign file")
