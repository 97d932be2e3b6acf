"""Faults in how a run ends: messages of VASP, stops, kills, and files that are missing or cut."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import InputError, Stopped
from .faults import Fault, number, register, whole
from .messages import MESSAGES

if TYPE_CHECKING:
    from .frames import Frame
    from .inputs import Inputs
    from .outputs import Outputs

STEPS = 2
"""After so many ionic steps a fault strikes that names none; short runs have four."""


@register("message", "zbrent", "edddav", "brmix")
class Complaint(Fault):
    """Print a message that custodian knows where VASP prints it, and stop with status 1 or go on as VASP does."""

    def __init__(self, argument: str | None) -> None:
        key, *rest = (argument or "").split(":")
        if key not in MESSAGES:
            raise ValueError(f"unknown message {key!r}; choose one of {', '.join(sorted(MESSAGES))}")
        self._message = MESSAGES[key]
        if rest and rest[-1] == "continue":
            rest.pop()
            self._message = replace(self._message, fatal=False)
        if len(rest) > 1:
            raise ValueError(f"cannot read {argument!r}; write KEY[:N][:continue]")
        self._step = whole(rest[0] if rest else None, STEPS)
        self._outputs: Outputs | None = None

    def at_inputs(self, inputs: Inputs) -> Inputs:
        """Refuse the inputs where VASP would complain while it reads."""
        if self._message.stage == "reading":
            if self._message.fatal:
                raise InputError(self._message.text)
            print(f" {self._message.text}")
        return inputs

    def at_setup(self, outputs: Outputs) -> None:
        """Complain before the first step."""
        self._outputs = outputs
        if self._message.stage == "setup":
            self._complain()

    def before_frame(self, frame: Frame) -> None:
        """Complain within an ionic step: its first electronic steps are printed and no result."""
        if self._message.stage == "scf" and frame.index == max(1, self._step):
            if self._outputs is not None and self._message.fatal:
                self._outputs.add_unfinished(frame)
            self._complain()

    def after_frame(self, index: int) -> None:
        """Complain when the ions should move."""
        if self._message.stage == "ionic" and index == max(1, self._step):
            self._complain()

    def _complain(self) -> None:
        if self._outputs is not None:
            self._outputs.say(f" {self._message.text}", on_stderr=self._message.on_stderr)
        if self._message.fatal:
            raise Stopped(1)


class _After(Fault):
    """Act after a number of ionic steps; 0 is before the first."""

    def __init__(self, argument: str | None) -> None:
        self._steps = whole(argument, STEPS)

    def at_setup(self, outputs: Outputs) -> None:
        if self._steps == 0:
            self._act()

    def after_frame(self, index: int) -> None:
        if index == self._steps:
            self._act()

    def _act(self) -> None:
        raise NotImplementedError


@register("hang")
class Hang(_After):
    """Sleep until the process is ended from outside."""

    def _act(self) -> None:
        while True:
            time.sleep(3600)


@register("kill")
class Kill(_After):
    """End as by an out-of-memory killer."""

    def _act(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


@register("exit")
class Exit(_After):
    """End with a status other than zero, after a complete run or at once after so many steps."""

    def __init__(self, argument: str | None) -> None:
        code, _, steps = (argument or "1").partition(":")
        super().__init__(steps or None)
        self._code, self._complete = whole(code, 1), not steps

    def _act(self) -> None:
        if not self._complete:
            raise Stopped(self._code)

    def at_end(self, folder: Path) -> None:
        """Exit after a complete run."""
        raise Stopped(self._code)


@register("wall-time")
class WallTime(Fault):
    """Put a STOPCAR into the folder as custodian's WalltimeHandler does, so that ionic step N is the last."""

    def __init__(self, argument: str | None) -> None:
        self._last = max(1, whole(argument, STEPS))
        self._stopcar: Path | None = None

    def at_setup(self, outputs: Outputs) -> None:
        """Remember the folder; stop in the first step if asked."""
        self._stopcar = outputs.folder / "STOPCAR"
        self.after_frame(0)

    def after_frame(self, index: int) -> None:
        """Ask for the stop one step ahead: STOPCAR is read when a step begins."""
        if index == self._last - 1 and self._stopcar is not None:
            self._stopcar.write_text("LSTOP = .TRUE.\n")


@register("nsw")
class FewSteps(Fault):
    """Run as if INCAR said NSW = N; the outputs say so too."""

    def __init__(self, argument: str | None) -> None:
        self._steps = max(1, whole(argument, STEPS))

    def at_inputs(self, inputs: Inputs) -> Inputs:
        """Change the tag in memory; the file stays as it is."""
        return replace(inputs, tags={**inputs.tags, "NSW": self._steps})


@register("truncated-vasprun")
class TruncatedVasprun(Fault):
    """Cut vasprun.xml after a complete run, as a full disk does."""

    def __init__(self, argument: str | None) -> None:
        self._fraction = number(argument, 0.6)
        if self._fraction > 1:
            raise ValueError(f"{argument} is not a fraction of the file, 0 to 1")

    def at_end(self, folder: Path) -> None:
        """Cut it."""
        path = folder / "vasprun.xml"
        os.truncate(path, int(self._fraction * path.stat().st_size))


@register("missing-contcar")
class MissingContcar(Fault):
    """Leave no CONTCAR."""

    def at_end(self, folder: Path) -> None:
        """Remove it."""
        (folder / "CONTCAR").unlink()


@register("empty-contcar")
class EmptyContcar(Fault):
    """Leave an empty CONTCAR, as a run that made no step does."""

    def at_end(self, folder: Path) -> None:
        """Empty it."""
        (folder / "CONTCAR").write_text("")
