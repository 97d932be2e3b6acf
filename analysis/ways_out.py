"""Ways out that messages name: commands on the campaign that is read, and what to retry of its calculations."""

from __future__ import annotations

import math
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from ..stores.relations import LOST_ORDERING, is_lost, outcome_text

_NAMED = 3
"""Calculations that a message names; of more, the number."""


class CommandText(Protocol):
    """Makes the text of a command on the campaign that is read."""

    def __call__(self, verb: str, engine: str | None, *options: str) -> str:
        """A command to type."""


def on_any_campaign(verb: str, engine: str | None, *options: str) -> str:
    """A command on a campaign whose file is not known."""
    return shlex.join(["valenceflow", verb, "CAMPAIGN.yaml", *(["--engine", engine] if engine else []), *options])


@dataclass(frozen=True)
class Ways:
    """Commands as a sentence quotes them.

    Attributes
    ----------
    command : makes them.
    whose : words after a command that tell which file it means, where that is not known.
    """

    command: CommandText = on_any_campaign
    whose: str = ""

    def __call__(self, verb: str, engine: str | None, *options: str) -> str:
        """A command in backquotes."""
        return f"`{self.command(verb, engine, *options)}`{self.whose}"


ANY_CAMPAIGN = Ways()


def is_number(value: Any) -> bool:
    """Whether a value of a document is a finite number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def outcome_of(calculation: Mapping[str, Any]) -> str:
    """What became of a calculation, in the words of `status` and `query`."""
    return outcome_text(str(calculation["state"]), str(calculation["relation"]))


def retry_options(calculations: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """Options of `retry` that mark these calculations, at most three; of what was lost they give the reason."""
    shown = calculations[:_NAMED]
    reason = ("--reason", LOST_ORDERING) if all(is_lost(c["state"], c["relation"]) for c in shown) else ()
    return (*reason, *(word for c in shown for word in ("--only", str(c["intended_key"]))))


def counted_outcomes(calculations: Sequence[Mapping[str, Any]]) -> str:
    """How many became what, the most frequent first."""
    return ", ".join(f"{number} {what}" for what, number in Counter(map(outcome_of, calculations)).most_common())


def refuse_no_numbers(calculations: Sequence[Mapping[str, Any]], source: str, ways: Ways) -> None:
    """Refuse calculations whose energy is no finite number.

    Parameters
    ----------
    calculations : that count, as dicts.
    source : engine and protocol, for the message.
    ways : commands on the campaign.

    Raises
    ------
    ValueError
        With the orderings, what stands for the energy, and the command that marks them for another attempt.
    """
    wrong = [(c, name) for c in calculations for name in ("energy_per_fu", "energy") if not is_number(c.get(name, 0))]
    if not wrong:
        return
    first, field = wrong[0]
    those = list({str(c["intended_key"]): c for c, _ in wrong}.values())
    names = ", ".join(str(c["intended_key"]) for c in those[:_NAMED])
    more = f" and {len(those) - _NAMED} more" if len(those) > _NAMED else ""
    raise ValueError(
        f"{source}: the energy of {names}{more} is no number ({field} {first[field]!r}); look at the OUTCAR, then "
        f"{ways('retry', first['engine'], *retry_options(those))} and run again"
    )
