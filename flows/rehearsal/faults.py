"""Faults that the stand-in puts into a run on request, by name. To add one, write a function and register it.

A fault is a `Fault` with hooks; every hook that a fault leaves alone does nothing. `spin-flip` is the first.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from .errors import InputError
from .frames import Frame
from .states import REDOX

SMALLEST_GAP = 0.2
"""Moments of two charge states differ by at least this much, muB."""


def _unchanged(frame: Frame, symbols: tuple[str, ...], *, near_end: bool) -> Frame:
    return frame


def _nothing() -> None: ...


def _accept(symbols: tuple[str, ...]) -> None: ...


@dataclass(frozen=True)
class Fault:
    """Hooks into a run.

    Parameters
    ----------
    at_start : called with the element of every site before the first ionic step; may refuse with an InputError.
    on_frame : changes a frame before it is written; `near_end` is True once the forces are almost converged.
    after_frame : called with the number of every ionic step that was written (to print, hang, die, truncate).
    at_end : called after the files were closed.
    """

    at_start: Callable[[tuple[str, ...]], None] = _accept
    on_frame: Callable[..., Frame] = _unchanged
    after_frame: Callable[[int], None] = field(default=lambda _: None)
    at_end: Callable[[], None] = _nothing


FAULTS: dict[str, Callable[[str | None], Fault]] = {}
"""Name -> function that makes the fault from what follows the colon on the command line."""


def _register(name: str) -> Callable[[Callable[[str | None], Fault]], Callable[[str | None], Fault]]:
    def keep(make: Callable[[str | None], Fault]) -> Callable[[str | None], Fault]:
        FAULTS[name] = make
        return make

    return keep


def make_fault(request: str | None) -> Fault:
    """Return the fault of a command line (`NAME` or `NAME:ARGUMENT`); without one, a fault that does nothing.

    Raises
    ------
    ValueError
        If there is no such fault or its argument cannot be read.
    """
    if request is None:
        return Fault()
    name, _, argument = request.partition(":")
    if name not in FAULTS:
        raise ValueError(f"unknown fault {name!r}; choose one of {', '.join(sorted(FAULTS))}")
    return FAULTS[name](argument or None)


@_register("spin-flip")
def spin_flip(argument: str | None) -> Fault:
    """Lose the charge order in the moments of the last ionic steps, where two charge states are present.

    Without an argument one high and one low site of an element exchange their moments: the hole hopped.
    With a site index (0-based, POSCAR order) that site alone takes a moment of the other state: the number of
    holes is wrong.
    """
    index = None if argument is None else int(argument)
    started = False

    def check(symbols: tuple[str, ...]) -> None:
        if index is not None and not 0 <= index < len(symbols):
            raise InputError(f"ERROR: spin-flip:{index}, but the sites are numbered 0 to {len(symbols) - 1}")

    def flip(frame: Frame, symbols: tuple[str, ...], *, near_end: bool) -> Frame:
        nonlocal started
        started = started or near_end
        if not started:
            return frame
        moments = _flipped(frame.evaluation.moments, symbols, index)
        return replace(frame, evaluation=replace(frame.evaluation, moments=moments))

    return Fault(at_start=check, on_frame=flip)


def _flipped(moments: NDArray[np.float64], symbols: tuple[str, ...], index: int | None) -> NDArray[np.float64]:
    for element in REDOX if index is None else [symbols[index]]:
        groups = _two_states(moments, [i for i, symbol in enumerate(symbols) if symbol == element])
        if groups is None:
            continue
        small, large = groups
        changed = moments.copy()
        if index is None:
            changed[[small[0], large[0]]] = moments[[large[0], small[0]]]
        else:
            changed[index] = moments[(large if index in small else small)[0]]
        return changed
    return moments


def _two_states(moments: NDArray[np.float64], sites: list[int]) -> tuple[list[int], list[int]] | None:
    """Split the sites of an element at the widest gap of their |moments|, if it is wide enough."""
    if len(sites) < 2:
        return None
    ordered = sorted(sites, key=lambda i: abs(moments[i]))
    gaps = np.diff(np.abs(moments[ordered]))
    at = int(gaps.argmax()) + 1
    if gaps[at - 1] < SMALLEST_GAP:
        return None
    return sorted(ordered[:at]), sorted(ordered[at:])
