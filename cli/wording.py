"""The words that `run`, `status` and `query` share, so that one thing has one name in all of them. Light."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from ..stores.relations import LOST_ORDERING as LOST_ORDERING
from ..stores.relations import ordering_text as ordering_text
from ..stores.relations import rehearsal_note as rehearsal_note

AS_MEANT, AUDIT_FAILED, FAILED, MISSING = "as meant", "audit failed", "failed", "missing"
"""What becomes of a configuration, beside `LOST_ORDERING`: completed with the ordering that was meant, ..."""

SHORT_NAMES = {"x": "fraction", "meant": "intended_key", "achieved": "achieved_key", "ordering": "relation"}
"""Column -> the field of a calculation that it shows."""

NO_CAMPAIGN = Path("CAMPAIGN.yaml")
"""Stands for the file in commands where a bare store is read."""


class Exact(str):
    """A line that is never broken by us, so that a path or command in it can be copied whole."""

    __slots__ = ()


def trained_on_rehearsals(engines: Iterable[str]) -> list[str]:
    """A line for each engine of a model's training that is no DFT."""
    return [
        f"{rehearsal_note(one)}: the model was trained on numbers of {one}" for one in engines if rehearsal_note(one)
    ]


def searched(settings: Mapping[str, Any]) -> str:
    """Searcher and what it searched over, from a search's settings."""
    nested = ", their charges nested" if settings.get("nested") else ""
    return f"{settings['searcher']} over {settings['orderings']}{nested}"


def searched_under(settings: Mapping[str, Any]) -> str:
    """The potential of a search, from its settings, with whose numbers it learned."""
    evaluator = settings["evaluator"]
    engines = ", ".join(evaluator.get("trained_on", []))
    return f"potential {evaluator['model']}" + (f", trained on {engines}" if engines else "")


def counted(number: int, what: str, plural: str | None = None) -> str:
    """A number with its noun: 1 worker, 2 workers.

    Parameters
    ----------
    number : how many.
    what : the noun for one.
    plural : for several, where it does not end in s.
    """
    return f"{number} {what if number == 1 else plural or f'{what}s'}"


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


def commands_on(campaign: Path | None) -> Callable[..., str]:
    """Function that makes commands on a campaign: verb, engine (None leaves it out), further words.

    Parameters
    ----------
    campaign : its file; None where a bare store is read: `NO_CAMPAIGN` stands for it.
    """
    return lambda verb, engine, *options: command(verb, campaign or NO_CAMPAIGN, engine, *options)


def shell_words(*words: str | Path) -> str:
    """Words quoted for the shell."""
    return shlex.join(str(word) for word in words)
