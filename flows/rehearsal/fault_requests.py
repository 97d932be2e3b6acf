"""Which fault, where and how often: reads the words after --fault. What faults do is in faults.py; no numpy here."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

from .messages import MESSAGES

FAULT_VARIABLE = "VALENCEFLOW_REHEARSAL_FAULT"
"""Environment variable that names the fault where the command line does not."""

MARKER = ".rehearsal-fault"
"""Left in a run folder: one line per process start that had a fault. No reader of VASP's files looks at it."""

SURROGATES = ("Ga", "Ge")
"""Elements that stand for a high state in step 1 (inputs/data/couples.yaml; a test holds the two together)."""

_NAMES = {
    "none": "no fault, whatever the environment asks for",
    "zbrent": "[:N] line minimisation fails after N ionic steps (2) and VASP stops",
    "edddav": "[:N] a diagonalisation fails in ionic step N (2) and VASP stops",
    "brmix": "[:N] the charge mixer fails in ionic step N (2) and VASP stops",
    "message": ":KEY[:N][:continue] a message that custodian knows, at step N, and what VASP does then: "
    + " ".join(sorted(MESSAGES)),
    "scf": "[:N|all|last] the electrons of ionic step N (2), of all or of the last steps do not converge in NELM steps",
    "nsw": "[:N] ends unconverged after N ionic steps (2), as if INCAR said NSW = N",
    "wall-time": "[:N] ends in ionic step N (2) as after LSTOP in STOPCAR: soft stop, complete files, large forces",
    "hang": "[:N] sleeps forever after N ionic steps (2)",
    "kill": "[:N] kills itself with SIGKILL after N ionic steps (2)",
    "exit": "[:CODE[:N]] exits with CODE (1) after a complete run, or at once after N ionic steps",
    "truncated-vasprun": "[:FRACTION] a complete run whose vasprun.xml is then cut at FRACTION (0.6)",
    "missing-contcar": "a complete run without CONTCAR",
    "empty-contcar": "a complete run with an empty CONTCAR",
    "spin-flip": "[:SITE] a hole hops in the last steps; with SITE, that site alone changes its charge state",
    "garbage-moments": "[:nan|stars|huge|rows] impossible moments: of the first redox site, or the last rows missing",
    "blow-up": "[:FRACTION] the volume grows by FRACTION (0.2), forces and moments as if nothing had happened",
    "positive-energy": "total energies above zero",
    "energy-jump": "[:EV] from the second step on the energy is EV per atom (2) higher",
    "entropy": "[:EV] smearing adds an entropy term of EV per atom (0.01)",
}


@dataclass(frozen=True)
class FaultRequest:
    """A fault and where it strikes.

    Parameters
    ----------
    text : the request as written.
    name, argument : the fault and what follows its colon.
    once : only the first process start in a run folder where the other conditions hold.
    match : only where this text occurs in the run folder's path.
    step : only where the POSCAR holds a surrogate, or only where it holds none.
    """

    text: str
    name: str
    argument: str | None = None
    once: bool = False
    match: str | None = None
    step: Literal["surrogate", "redox"] | None = None

    def applies(self, folder: Path, symbols: Sequence[str]) -> bool:
        """Whether the fault strikes a process that starts now.

        Parameters
        ----------
        folder : run folder.
        symbols : elements of the POSCAR.
        """
        substituted = any(symbol in SURROGATES for symbol in symbols)
        if self.step is not None and (self.step == "surrogate") is not substituted:
            return False
        if self.match is not None and self.match not in str(folder):
            return False
        return not (self.once and self.text in _struck(folder))

    def leave_mark(self, folder: Path) -> None:
        """Write into the run folder that the fault strikes."""
        with (folder / MARKER).open("a") as file:
            file.write(f"{self.text}\n")


def _struck(folder: Path) -> list[str]:
    marker = folder / MARKER
    return marker.read_text().splitlines() if marker.exists() else []


def parse_fault(text: str) -> FaultRequest:
    """Read `NAME[:ARGUMENT][@CONDITION,...]`; conditions: once, match=TEXT, surrogate, redox.

    Raises
    ------
    ValueError
        If there is no such fault or condition.

    Examples
    --------
    >>> parse_fault("kill:3@once,surrogate").step
    'surrogate'
    """
    what, _, conditions = text.partition("@")
    name, _, argument = what.partition(":")
    if name not in _NAMES:
        raise ValueError(f"unknown fault {name!r}; choose one of {', '.join(_NAMES)}")
    once, match, step = False, None, None
    for condition in filter(None, conditions.split(",")):
        word, _, value = condition.partition("=")
        if word == "match" and value:
            match = value
        elif condition in ("surrogate", "redox"):
            step = cast(Literal["surrogate", "redox"], condition)
        elif condition == "once":
            once = True
        else:
            choices = "once, match=TEXT, surrogate, redox"
            raise ValueError(f"unknown condition {condition!r} of fault {name!r}; choose of {choices}")
    return FaultRequest(text, name, argument or None, once, match, step)


def requested_fault(flag: str | None) -> str | None:
    """The fault that the command line or else the environment asks for."""
    return flag if flag is not None else os.environ.get(FAULT_VARIABLE) or None


def fault_names() -> dict[str, str]:
    """Every fault with one line: its argument, defaults in brackets, and what it does."""
    return dict(_NAMES)


def fault_list() -> str:
    """What `--fault list` prints."""
    lines = [f"{name:<18} {line}" for name, line in _NAMES.items()]
    lines.append("behind each: @once, @match=TEXT (in the run folder's path), @surrogate, @redox; joined by commas")
    return "\n".join(lines)
