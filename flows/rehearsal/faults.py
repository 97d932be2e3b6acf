"""Faults that the stand-in puts into a run on request. To add one, subclass `Fault`, register it, and name it in
fault_requests.py. Those that change values are in faulty_values.py, those that end a run in faulty_ends.py.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from .fault_requests import FaultRequest, parse_fault

if TYPE_CHECKING:
    from .frames import Frame
    from .inputs import Inputs
    from .outputs import Outputs


class Fault:
    """Hooks into a run, in the order in which they are called. This one does nothing.

    Parameters
    ----------
    argument : what follows the name's colon on the command line.

    Raises
    ------
    ValueError
        If the argument cannot be read.
    """

    request: FaultRequest | None = None

    def __init__(self, argument: str | None = None) -> None:
        if argument is not None:
            raise ValueError(f"takes no argument, but got {argument!r}")

    def at_inputs(self, inputs: Inputs) -> Inputs:
        """Change or refuse (InputError) what was read."""
        return inputs

    def at_setup(self, outputs: Outputs) -> None:
        """Called when the heads of the output files are written, before the first step."""

    def on_frame(self, frame: Frame, symbols: tuple[str, ...], *, near_end: bool) -> Frame:
        """Change an ionic step before it is written; `near_end` is True once the forces are almost converged."""
        return frame

    def before_frame(self, frame: Frame) -> None:
        """Called when an ionic step is known and not yet written."""

    def after_frame(self, index: int) -> None:
        """Called with the number of every ionic step that was written, 1 for the first."""

    def at_end(self, folder: Path) -> None:
        """Called after the files were closed."""


FaultClass = TypeVar("FaultClass", bound=type[Fault])

_FAULTS: dict[str, type[Fault]] = {"none": Fault}


def register(*names: str) -> Callable[[FaultClass], FaultClass]:
    """Make a class the fault of these names."""

    def keep(cls: FaultClass) -> FaultClass:
        _FAULTS.update(dict.fromkeys(names, cls))
        return cls

    return keep


def make_fault(text: str | None) -> Fault:
    """Return the fault of a request, `NAME[:ARGUMENT][@CONDITION,...]`; without one, a fault that does nothing.

    Raises
    ------
    ValueError
        If there is no such fault or condition, or its argument cannot be read.
    """
    if text is None:
        return Fault()
    # Imported here: both modules register their classes in this one.
    from . import faulty_ends, faulty_values  # noqa: F401, PLC0415

    request = parse_fault(text)
    argument = request.argument
    if request.name in ("zbrent", "edddav", "brmix"):  # short for the message of that key
        argument = request.name if argument is None else f"{request.name}:{argument}"
    try:
        fault = _FAULTS[request.name](argument)
    except ValueError as err:
        raise ValueError(f"fault {request.name}: {err}") from err
    fault.request = request
    return fault


def number(argument: str | None, default: float) -> float:
    """Read a number that is not negative.

    Raises
    ------
    ValueError
        If it is none.
    """
    if argument is None:
        return default
    value = float(argument)
    if not 0 <= value < float("inf"):
        raise ValueError(f"{argument} is not a number from 0 up")
    return value


def whole(argument: str | None, default: int) -> int:
    """Read a whole number that is not negative.

    Raises
    ------
    ValueError
        If it is none.
    """
    if argument is None:
        return default
    if not argument.isdigit():
        raise ValueError(f"{argument!r} is not a whole number from 0 up")
    return int(argument)
