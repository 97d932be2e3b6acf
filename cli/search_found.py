"""What the folders of searches hold, together: rows for tables, JSON and selections. Opens no potential."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from ..inputs.supercells import supercell_text
from ..search.record import SETTINGS, read_evaluations, read_settings
from ..search.results import FoundOrdering, found_orderings, missing_end_members
from .ordering_subject import Subject
from .search_subject import SUBJECT, WRITTEN_ANEW, SubjectOptions, read_subject_of
from .tables import plain_table
from .wording import searched, trained_on_rehearsals

_SAME = ("host_content", "supercell", "couple", "evaluator")
"""What searches have to have in common for their energies to be compared."""
_NEEDED = (*_SAME, "searcher", "orderings")


@dataclass(frozen=True)
class Found:
    """What was found.

    Attributes
    ----------
    options, subject : whose orderings, as it was told and looked up.
    settings : of the first search.
    rows : every distinct ordering with an energy, by composition and energy.
    counts : evaluations and failures.
    """

    options: SubjectOptions
    subject: Subject
    settings: dict[str, Any]
    rows: list[FoundOrdering]
    counts: dict[str, int]

    @property
    def marks(self) -> list[str]:
        """What has to be said wherever the energies are shown: a model that learned from rehearsals is no DFT."""
        return trained_on_rehearsals(self.settings["evaluator"].get("trained_on", []))

    def lines(self, best: int) -> Iterator[str]:
        """What to print: a head, a table, what is missing."""
        yield from self.marks
        cell = self.subject.cell
        how = searched(self.settings)
        yield (
            f"{cell.host.name} {supercell_text(cell.matrix)}, {how} under {self.settings['evaluator']['model']}: "
            f"{self.counts['evaluations']} evaluated, {self.counts['failed']} failed"
        )
        if not self.rows:
            yield "nothing has an energy yet; the command that made the search goes on with it"
            return
        yield from self._table(best)
        missing = missing_end_members(self.rows)
        if missing and len({row.fraction for row in self.rows}) > 1:
            yield f"no relative energies: the end member {' and '.join(missing)} has no energy here"

    def _table(self, best: int) -> Iterator[str]:
        console = Console()
        table = plain_table()
        relative = any(row.relative_mev_per_fu is not None for row in self.rows)
        names = ["x", "ordering", "eV per cell"] + (["meV/f.u.\nrelative", "meV/f.u.\nabove hull"] if relative else [])
        for name in names:
            # On a narrow terminal numbers break; a composition or key that is cut would be another one.
            whole = name in ("x", "ordering")
            table.add_column(name, justify="left" if name == "ordering" else "right", no_wrap=whole, overflow="fold")
        for fraction in sorted({row.fraction for row in self.rows}):
            for row in [one for one in self.rows if one.fraction == fraction][:best]:
                cells = [f"{fraction:.4g}", str(row.key), f"{row.energy:.4f}"]
                if relative:
                    cells += [f"{row.relative_mev_per_fu:.2f}", f"{row.above_hull_mev_per_fu:.2f}"]
                table.add_row(*cells)
        with console.capture() as captured:
            console.print(table)
        yield captured.get().rstrip("\n")
        yield "best found: nothing proves that there are no lower ones"


def found_in(folders: Sequence[Path]) -> Found:
    """Read searches and take their orderings together.

    Raises
    ------
    ValueError
        If a folder holds no search, or two searches are of other hosts or potentials (the difference is named).
    """
    settings = [_checked_settings(folder) for folder in folders]
    for folder, other in zip(folders, settings, strict=True):
        for name in _SAME:
            if other[name] != settings[0][name]:
                raise ValueError(
                    f"{folder} and {folders[0]} differ in {name} ({other[name]} and {settings[0][name]}): their "
                    "energies do not compare; take them one by one"
                )
    options, subject = read_subject_of(folders[0])
    _check_subject(folders[0], subject, settings[0])
    n_working, n_redox = len(subject.cell.working_sites), len(subject.cell.redox_sites)
    every = {str(one.key): one for folder in folders for one in read_evaluations(folder, n_working, n_redox)}
    rows = found_orderings(list(every.values()), subject.cell.formula_units)
    counts = {"evaluations": len(every), "failed": len(every) - len(rows)}
    return Found(options, subject, settings[0], rows, counts)


def _checked_settings(folder: Path) -> dict[str, Any]:
    settings = read_settings(folder)
    if missing := [name for name in _NEEDED if name not in settings]:
        raise ValueError(
            f"{folder / SETTINGS} lacks {', '.join(missing)} and is of no search; the energies beside it are of "
            "unknown settings: search into a new folder"
        )
    return settings


def _check_subject(folder: Path, subject: Subject, settings: dict[str, Any]) -> None:
    """Refuse energies of another crystal than the one that is named beside them."""
    cell = subject.cell
    for name, now in (("host_content", cell.host.content_hash), ("supercell", [list(row) for row in cell.matrix])):
        if now != settings[name]:
            raise ValueError(
                f"{folder / SUBJECT} names a host with {name} {now}, and the search was of {settings[name]}; "
                f"{WRITTEN_ANEW}"
            )
