"""What a report cannot show, and what to do about it: in the report and on the command line alike."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ..ways_out import CommandText, retry_options
from .calculations import Part, Row


@dataclass(frozen=True)
class Note:
    """Something that is missing.

    Attributes
    ----------
    text : what, and what follows from it.
    remedy : what to do, in words.
    command : to type; empty where none helps.
    """

    text: str
    remedy: str = ""
    command: str = ""


def notes_of(parts: Sequence[Part], command: CommandText) -> Iterator[Note]:
    """What the parts of a campaign lack.

    Parameters
    ----------
    parts : all of them.
    command : makes the commands.
    """
    if len(parts) > 1:
        yield _several(parts, command)
    for part in parts:
        yield from _ends(part, command)
        yield from _one_composition(part)
        yield from _no_numbers(part.without_energy, part.group.engine, command)


def _several(parts: Sequence[Part], command: CommandText) -> Note:
    names = "; ".join(f"{p.group.host}, {p.group.engine}, protocol {p.group.protocol}" for p in parts)
    engines = list(dict.fromkeys(part.group.engine for part in parts))
    what = "engines" if len(engines) > 1 else "protocols or hosts"
    return Note(
        f"{what} are mixed ({names}): energies of one cannot be held against another's, so each has a part of its own",
        "choose one with --engine" if len(engines) > 1 else "give each a store of its own to report them apart",
        command("report", engines[0]) if len(engines) > 1 else "",
    )


def _ends(part: Part, command: CommandText) -> Iterator[Note]:
    engine = part.group.engine
    for x in part.missing_ends:
        tried = [row for row in part.rows if row.fraction == x]
        instead = "relative energies and the hull are left out, energies are above the lowest of each composition"
        text = f"{engine}: end member x = {x:g} is missing"
        if tried:
            row = tried[0]
            yield Note(
                f"{text} ({row.outcome}): {instead}",
                "try it again, then run",
                command("retry", engine, *retry_options([row.member])),
            )
        else:
            yield Note(
                f"{text}: {instead}", "say `end_members: true` in the campaign file, then run", command("run", engine)
            )


def _one_composition(part: Part) -> Iterator[Note]:
    fractions = {row.fraction for row in part.rows}
    if len(fractions) == 1:
        yield Note(
            f"{part.group.engine}: only one composition, x = {fractions.pop():g}: there is no hull",
            "add fractions and `end_members: true` to the campaign file",
        )


def _no_numbers(rows: Sequence[Row], engine: str, command: CommandText) -> Iterator[Note]:
    if rows:
        keys = ", ".join(f"x = {row.fraction:g} {row.member['intended_key']}" for row in rows[:3])
        more = f" and {len(rows) - 3} more" if len(rows) > 3 else ""
        yield Note(
            f"{engine}: {len(rows)} finished without an energy that is a number ({keys}{more}): in the table, in no "
            "chart and in no hull",
            "look at their OUTCAR, then run them again",
            command("retry", engine, *retry_options([row.member for row in rows])),
        )
