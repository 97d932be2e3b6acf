"""Oxidation states of frames, read from moments in windows of a couple and an engine, and checked by neutrality.

Rules of `inputs.moments` (paper section 4.2; facts: windows alone misread a hole smeared over several sites). Bader
charges are a second source where there are any: they confirm the moments, or stand in for them where there are none.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from ase.data import chemical_symbols
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from ..inputs.charge_states import LabelWindow, RedoxCouple
from ..inputs.moments import MIN_GAP_FIT, read_states
from .frame_arrays import FloatArray, IntArray
from .frames import FrameLabel, LabelSource, Verdict

MIN_BADER_GAP = 0.1
"""e between the two groups of Bader charges, where they are all there is; a choice of ours, no source gives one."""

LEAST_OF_STATE = 0.5
"""Share of a state's initial moment below which a site is in neither state of the couple: low spin, say."""

_UNKNOWN: tuple[Verdict, ...] = ("no moments", "no couple")
_Bools = NDArray[np.bool_]


class Labelling(BaseModel):
    """Couples with their windows and the charges of every other element: what labels were made with."""

    model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=True, ignored_types=(cached_property,))
    couples: list[RedoxCouple] = Field(description="one per element; their windows are the ones that are used")
    fixed: dict[str, int] = Field(description="oxidation state of every other element, e")
    origin: Literal["published", "fitted"] = Field(description="whose windows: the couples' own, or of this data set")

    @cached_property
    def labelling_id(self) -> str:
        """First 16 hex digits of the SHA-256 of all of it."""
        content = self.model_dump(mode="json")
        content["couples"] = sorted(content["couples"], key=lambda couple: str(couple["name"]))
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]

    @cached_property
    def surrogates(self) -> dict[str, int]:
        """Oxidation states of surrogate ions, where no other charge is given for their element."""
        return {couple.surrogate.element: couple.surrogate.oxidation_state for couple in self.couples}


@dataclass(frozen=True)
class SiteNumbers:
    """What a frame's label is read from.

    Attributes
    ----------
    numbers : (n_sites,) atomic numbers.
    engine : whose moments these are.
    magmoms, bader_charges : (n_sites,) or None.
    intended : (n_sites,) oxidation states that were meant, or None.
    stated : the intended states are what a data set itself says of its frames.
    fixed : oxidation states that the run's host gives.
    """

    numbers: NDArray[np.uint8]
    engine: str
    magmoms: FloatArray | None
    bader_charges: FloatArray | None
    intended: IntArray | None
    stated: bool
    fixed: Mapping[str, int]


@dataclass(frozen=True)
class _Cell:
    """A cell's elements sorted out.

    Attributes
    ----------
    couples : those whose element is there.
    sites : (n_redox,) indices of the sites of all of them.
    of_couple : couple name -> (n_redox,) which of these are its own.
    fixed : oxidation state of every other element.
    charge : sum of those, e.
    strangers : elements of which nothing is known.
    """

    couples: tuple[RedoxCouple, ...]
    sites: NDArray[np.intp]
    of_couple: dict[str, _Bools]
    fixed: dict[str, int]
    charge: int
    strangers: tuple[str, ...]


@dataclass
class _Reading:
    verdict: Verdict
    source: LabelSource
    states: list[int | None]
    confidences: FloatArray
    reason: str = ""


class FrameLabeller:
    """Labels frames; cells of the same sites are sorted out once.

    Parameters
    ----------
    labelling : couples, windows and charges.
    labelling_id : what labels say they are of (default: the labelling's own).
    """

    def __init__(self, labelling: Labelling, labelling_id: str | None = None) -> None:
        self._labelling = labelling
        self._labelling_id = labelling_id or labelling.labelling_id
        self._cells: dict[tuple[bytes, str], _Cell] = {}

    def label(self, frame: SiteNumbers) -> FrameLabel:
        """Oxidation states of one frame."""
        cell = self._cell(frame)
        reading = self._read(frame, cell)
        resolved = reading.verdict == "resolved"
        known = [state for state in reading.states if state is not None]
        whole = not cell.strangers and len(known) == len(reading.states)
        high = {couple.high.oxidation_state for couple in cell.couples}
        return FrameLabel(
            verdict=reading.verdict,
            source=reading.source,
            couples=[couple.name for couple in cell.couples],
            redox_elements=[couple.element for couple in cell.couples],
            states=reading.states,
            confidences=[round(float(value), 3) for value in reading.confidences],
            fixed=cell.fixed,
            charge=cell.charge + sum(known) if whole else None,
            n_high=_n_high(reading.states, cell) if resolved and high else (0 if resolved else None),
            confidence=round(float(reading.confidences.min(initial=1.0)), 3) if resolved else 0.0,
            as_intended=_as_intended(reading, frame, cell),
            bader_agrees=_bader_agrees(reading, frame, cell),
            labelling_id=self._labelling_id,
            reason=reading.reason,
        )

    def _cell(self, frame: SiteNumbers) -> _Cell:
        key = (frame.numbers.tobytes(), json.dumps(dict(frame.fixed), sort_keys=True))
        if key not in self._cells:
            if len(self._cells) > 1000:
                self._cells.clear()
            self._cells[key] = _sorted_out(frame.numbers, self._labelling, frame.fixed)
        return self._cells[key]

    def _read(self, frame: SiteNumbers, cell: _Cell) -> _Reading:
        unknown: list[int | None] = [None] * len(cell.sites)
        nothing = np.zeros(len(cell.sites))
        if cell.strangers:
            reason = f"nothing tells the oxidation state of {', '.join(cell.strangers)}"
            return _Reading("no couple", "none", unknown, nothing, reason)
        if not cell.couples:
            reason = "" if cell.charge == 0 else f"the ions carry {cell.charge:+d} e and none can change"
            return _Reading("resolved" if cell.charge == 0 else "unbalanced", "composition", [], nothing, reason)
        if frame.magmoms is not None:
            return _from_moments(np.abs(frame.magmoms[cell.sites]), cell, frame.engine)
        if frame.stated and frame.intended is not None:
            return _from_statement(frame.intended[cell.sites], cell)
        if frame.bader_charges is not None and len(cell.couples) == 1:
            return _from_bader(frame.bader_charges[cell.sites], cell)
        return _Reading("no moments", "none", unknown, nothing, "the frame has no moments of its sites")


def _sorted_out(numbers: NDArray[np.uint8], labelling: Labelling, own: Mapping[str, int]) -> _Cell:
    symbols = np.array([chemical_symbols[number] for number in numbers])
    counts = Counter(symbols.tolist())
    couples = tuple(couple for couple in labelling.couples if couple.element in counts)
    redox = {couple.element for couple in couples}
    charges = {**labelling.surrogates, **labelling.fixed, **own}
    fixed = {element: charges[element] for element in sorted(counts) if element not in redox and element in charges}
    sites = np.flatnonzero(np.isin(symbols, list(redox)))
    return _Cell(
        couples=couples,
        sites=sites,
        of_couple={couple.name: symbols[sites] == couple.element for couple in couples},
        fixed=fixed,
        charge=sum(state * counts[element] for element, state in fixed.items()),
        strangers=tuple(element for element in sorted(counts) if element not in redox and element not in fixed),
    )


def _from_moments(size: FloatArray, cell: _Cell, engine: str) -> _Reading:
    if not np.all(np.isfinite(size)):
        return _Reading("no moments", "none", [None] * len(size), np.zeros(len(size)), "a moment is no number")
    strange = _of_neither_state(size, cell)
    if strange:
        return _Reading("ambiguous", "moments", [None] * len(size), np.zeros(len(size)), strange)
    if len(cell.couples) > 1:
        return _several_couples(size, cell, engine)
    (couple,) = cell.couples
    try:
        n_high = couple.n_high(cell.charge, len(size))
    except ValueError as err:
        states, confidences = _by_sites(size, couple, couple.window(engine))
        return _Reading("unbalanced", "moments", states, confidences, str(err))
    reading = read_states(size, couple, engine, n_high)
    if reading.is_high is not None:
        states = [couple.state(bool(is_high)).oxidation_state for is_high in reading.is_high]
        return _Reading("resolved", "moments", states, _confidences(size, couple, engine, reading.is_high))
    states, confidences = _by_sites(size, couple, couple.window(engine))
    return _Reading(reading.verdict, "moments", states, confidences, reading.reason)


def _of_neither_state(size: FloatArray, cell: _Cell) -> str:
    """Windows have no outer bound, so moments far below both states' own are told here; empty where there is none."""
    for couple in cell.couples:
        least = LEAST_OF_STATE * min(couple.low.magmom, couple.high.magmom)
        mine = size[cell.of_couple[couple.name]]
        if np.any(mine < least):
            low = " ".join(f"{moment:.2f}" for moment in np.sort(mine[mine < least])[:4])
            return f"moments of {couple.element} ({low} muB) are below {least:g}: neither state of {couple.name}"
    return ""


def _several_couples(size: FloatArray, cell: _Cell, engine: str) -> _Reading:
    """Each couple's sites by its windows alone, as neutrality is one equation for all; it checks the sum."""
    states: list[int | None] = [None] * len(size)
    confidences = np.zeros(len(size))
    without = [couple.name for couple in cell.couples if couple.window(engine) is None]
    for couple in cell.couples:
        mine = np.flatnonzero(cell.of_couple[couple.name])
        found, sure = _by_sites(size[mine], couple, couple.window(engine))
        for place, state in zip(mine.tolist(), found, strict=True):
            states[place] = state
        confidences[mine] = sure
    if without:
        reason = f"several redox elements need windows, and {', '.join(without)} has none of {engine}: --fit-windows"
        return _Reading("ambiguous", "moments", states, confidences, reason)
    if any(state is None for state in states):
        reason = f"{states.count(None)} moments lie between the windows"
        return _Reading("ambiguous", "moments", states, confidences, reason)
    charge = cell.charge + sum(state for state in states if state is not None)
    if charge != 0:
        return _Reading("delocalised", "moments", states, confidences, f"the states sum to {charge:+d} e")
    return _Reading("resolved", "moments", states, confidences)


def _by_sites(size: FloatArray, couple: RedoxCouple, window: LabelWindow | None) -> tuple[list[int | None], FloatArray]:
    """State of each site by the window alone; None between its bounds, or without one."""
    if window is None:
        return [None] * len(size), np.zeros(len(size))
    larger = couple.state(couple.high_moment_is_larger).oxidation_state
    smaller = couple.state(not couple.high_moment_is_larger).oxidation_state
    states = [smaller if m <= window.low_max else larger if m >= window.high_min else None for m in size.tolist()]
    return states, _window_confidences(size, window)


def _confidences(size: FloatArray, couple: RedoxCouple, engine: str, is_high: _Bools) -> FloatArray:
    window = couple.window(engine)
    if window is not None:
        return _window_confidences(size, window)
    return _gap_confidences(size, is_high, MIN_GAP_FIT)


def _window_confidences(size: FloatArray, window: LabelWindow) -> FloatArray:
    middle, half = 0.5 * (window.low_max + window.high_min), 0.5 * (window.high_min - window.low_max)
    clipped: FloatArray = np.clip(np.abs(size - middle) / half, 0.0, 1.0)
    return clipped


def _gap_confidences(values: FloatArray, picked: _Bools, scale: float) -> FloatArray:
    """Distance to the middle of the gap over the smallest gap that counts; of one group, how narrow it is."""
    if picked.all() or not picked.any():
        spread = float(np.ptp(values))
        return np.full(len(values), min(1.0, scale / spread) if spread > 0 else 1.0)
    one, other = values[picked], values[~picked]
    middle = 0.5 * (one.min() + other.max()) if one.mean() > other.mean() else 0.5 * (one.max() + other.min())
    clipped: FloatArray = np.clip(np.abs(values - middle) / scale, 0.0, 1.0)
    return clipped


def _from_statement(stated: IntArray, cell: _Cell) -> _Reading:
    states = [int(state) for state in stated]
    charge = cell.charge + sum(states)
    verdict: Verdict = "resolved" if charge == 0 else "unbalanced"
    reason = "" if charge == 0 else f"the states that the data set states sum to {charge:+d} e"
    return _Reading(verdict, "stated", list(states), np.ones(len(states)), reason)


def _from_bader(charges: FloatArray, cell: _Cell) -> _Reading:
    (couple,) = cell.couples
    unknown: list[int | None] = [None] * len(charges)
    try:
        n_high = couple.n_high(cell.charge, len(charges))
    except ValueError as err:
        return _Reading("unbalanced", "bader", unknown, np.zeros(len(charges)), str(err))
    picked = _most_positive(charges, n_high)
    if 0 < n_high < len(charges):
        gap = float(charges[picked].min() - charges[~picked].max())
        if gap < MIN_BADER_GAP:
            reason = f"the two groups of Bader charges are only {gap:.2f} e apart, and there are no moments"
            return _Reading("ambiguous", "bader", unknown, np.zeros(len(charges)), reason)
    states: list[int | None] = [couple.state(bool(is_high)).oxidation_state for is_high in picked]
    return _Reading("resolved", "bader", states, _gap_confidences(charges, picked, MIN_BADER_GAP))


def _most_positive(charges: FloatArray, count: int) -> _Bools:
    picked = np.zeros(len(charges), dtype=bool)
    picked[np.argsort(-charges, kind="stable")[:count]] = True
    return picked


def _is_high(states: Sequence[int | None], cell: _Cell, couple: RedoxCouple) -> _Bools:
    mine = np.flatnonzero(cell.of_couple[couple.name])
    return np.array([states[place] == couple.high.oxidation_state for place in mine.tolist()], dtype=bool)


def _n_high(states: Sequence[int | None], cell: _Cell) -> int:
    return int(sum(_is_high(states, cell, couple).sum() for couple in cell.couples))


def _as_intended(reading: _Reading, frame: SiteNumbers, cell: _Cell) -> bool | None:
    if frame.intended is None or reading.verdict != "resolved" or reading.source == "stated":
        return None
    return [int(state) for state in frame.intended[cell.sites]] == reading.states


def _bader_agrees(reading: _Reading, frame: SiteNumbers, cell: _Cell) -> bool | None:
    if frame.bader_charges is None or reading.verdict != "resolved" or reading.source == "bader" or not cell.couples:
        return None
    for couple in cell.couples:
        high = _is_high(reading.states, cell, couple)
        charges = frame.bader_charges[cell.sites][cell.of_couple[couple.name]]
        if not np.array_equal(_most_positive(charges, int(high.sum())), high):
            return False
    return True


def mark_transitions(labels: Sequence[FrameLabel], lineages: Sequence[str], path_images: Sequence[bool]) -> None:
    """Mark frames at which the ordering changes, and images of paths (the paper's transition states).

    A frame is one if the frame before or after it in the same trajectory has other states, or cannot be read where
    it can, or if it cannot be read and its neighbour can.

    Parameters
    ----------
    labels : of a run's frames, in order; changed in place.
    lineages : of each frame; frames of different trajectories are not compared.
    path_images : whether each is an image of a nudged elastic band.
    """
    for label, is_image in zip(labels, path_images, strict=True):
        label.transition = bool(is_image)
    for place in range(len(labels) - 1):
        one, other = labels[place], labels[place + 1]
        if lineages[place] != lineages[place + 1] or one.verdict in _UNKNOWN or other.verdict in _UNKNOWN:
            continue
        if (one.verdict == "resolved") != (other.verdict == "resolved") or (
            one.verdict == "resolved" and one.states != other.states
        ):
            one.transition = other.transition = True
