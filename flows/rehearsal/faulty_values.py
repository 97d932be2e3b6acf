"""Faults in the values of a run: moments, energies, electronic convergence, the cell."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .errors import InputError
from .faults import Fault, number, register, whole
from .states import REDOX

if TYPE_CHECKING:
    from .frames import Frame
    from .inputs import Inputs
    from .outputs import Outputs

SMALLEST_GAP = 0.2
"""Moments of two charge states differ by at least this much, muB."""
NOISE = 0.05
"""How far the energies of electrons that do not converge swing, eV."""


@register("spin-flip")
class SpinFlip(Fault):
    """Lose the charge order in the moments of the last ionic steps, where two charge states are present.

    Without an argument one high and one low site of an element exchange their moments: the hole hopped.
    With a site index (0-based, POSCAR order) that site alone takes a moment of the other state: the number of
    holes is wrong.
    """

    def __init__(self, argument: str | None) -> None:
        self._index = None if argument is None else whole(argument, 0)
        self._started = False

    def at_inputs(self, inputs: Inputs) -> Inputs:
        """Refuse a site that is not there."""
        n_sites = len(inputs.crystal.symbols)
        if self._index is not None and self._index >= n_sites:
            raise InputError(f"ERROR: spin-flip:{self._index}, but the sites are numbered 0 to {n_sites - 1}")
        return inputs

    def on_frame(self, frame: Frame, symbols: tuple[str, ...], *, near_end: bool) -> Frame:
        """Flip from the first step near the end on."""
        self._started = self._started or near_end
        return (
            _with_moments(frame, _flipped(frame.evaluation.moments, symbols, self._index)) if self._started else frame
        )


@register("garbage-moments")
class GarbageMoments(Fault):
    """Print moments that cannot be: nan, stars (too large for its column), huge, or without the last rows."""

    _VALUES = {"nan": float("nan"), "stars": 1e9, "huge": 4321.0}  # noqa: RUF012 - never changed

    def __init__(self, argument: str | None) -> None:
        self._kind = argument or "nan"
        if self._kind != "rows" and self._kind not in self._VALUES:
            raise ValueError(f"unknown kind {argument!r}; choose one of {', '.join([*self._VALUES, 'rows'])}")

    def on_frame(self, frame: Frame, symbols: tuple[str, ...], *, near_end: bool) -> Frame:
        """Spoil the first redox site, or drop a quarter of the rows."""
        moments = frame.evaluation.moments.copy()
        if self._kind == "rows":
            return _with_moments(frame, moments[: 3 * len(moments) // 4])
        redox = [i for i, symbol in enumerate(symbols) if symbol in REDOX]
        moments[redox[0] if redox else 0] = self._VALUES[self._kind]
        return _with_moments(frame, moments)


@register("scf")
class UnconvergedElectrons(Fault):
    """Make NELM electronic steps that swing about the energy, in one ionic step, in all, or in the last."""

    def __init__(self, argument: str | None) -> None:
        self._which = argument if argument in ("all", "last") else whole(argument, 2)
        self._n_steps = 0

    def at_setup(self, outputs: Outputs) -> None:
        """Remember NELM."""
        self._n_steps = outputs.settings.max_scf_steps

    def on_frame(self, frame: Frame, symbols: tuple[str, ...], *, near_end: bool) -> Frame:
        """Replace the electronic steps."""
        here = near_end if self._which == "last" else self._which in ("all", frame.index)
        if not here:
            return frame
        swings = tuple(frame.evaluation.energy + NOISE * (-1) ** i for i in range(self._n_steps))
        return replace(frame, scf_energies=swings, scf_converged=False)


@register("blow-up")
class BlowUp(Fault):
    """Let the cell grow over five steps (at once near the end), as after a bad step; all else stays as it was."""

    def __init__(self, argument: str | None) -> None:
        self._growth = number(argument, 0.2)
        self._reached = 0.0

    def on_frame(self, frame: Frame, symbols: tuple[str, ...], *, near_end: bool) -> Frame:
        """Scale the lattice; the first step keeps the cell that was given."""
        if frame.index > 1:
            self._reached = max(self._reached, 1.0 if near_end else min(1.0, (frame.index - 1) / 5))
        scale = (1 + self._growth * self._reached) ** (1 / 3)
        return replace(frame, crystal=replace(frame.crystal, lattice=frame.crystal.lattice * scale))


@register("positive-energy")
class PositiveEnergy(Fault):
    """Shift all energies above zero."""

    def __init__(self, argument: str | None) -> None:
        super().__init__(argument)
        self._shift = 0.0

    def on_frame(self, frame: Frame, symbols: tuple[str, ...], *, near_end: bool) -> Frame:
        """Shift by twice the first energy."""
        if frame.index == 1:
            self._shift = 2 * abs(frame.evaluation.energy)
            frame = replace(frame, first_energy=frame.first_energy + self._shift)
        return _shifted(frame, self._shift)


@register("energy-jump")
class EnergyJump(Fault):
    """Raise the energy from the second step on, as too large a POTIM does."""

    def __init__(self, argument: str | None) -> None:
        self._per_site = number(argument, 2.0)

    def on_frame(self, frame: Frame, symbols: tuple[str, ...], *, near_end: bool) -> Frame:
        """Shift every step but the first."""
        return frame if frame.index == 1 else _shifted(frame, self._per_site * len(symbols))


@register("entropy")
class Entropy(Fault):
    """Print an electronic entropy as after too wide a smearing."""

    def __init__(self, argument: str | None) -> None:
        self._per_site = number(argument, 0.01)

    def on_frame(self, frame: Frame, symbols: tuple[str, ...], *, near_end: bool) -> Frame:
        """Set the entropy of the step."""
        return replace(frame, entropy=-self._per_site * len(symbols))


def _shifted(frame: Frame, shift: float) -> Frame:
    return replace(frame, scf_energies=tuple(energy + shift for energy in frame.scf_energies))


def _with_moments(frame: Frame, moments: NDArray[np.float64]) -> Frame:
    return replace(frame, evaluation=replace(frame.evaluation, moments=moments))


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
