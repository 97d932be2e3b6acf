"""Label windows of a data set: the histogram of moments of each couple and engine, and a window fitted to it.

Two normal distributions, one per charge state, over an even background that takes up transition states and delocalised
holes, by expectation maximisation on the histogram: memory and time do not grow with the data. A fit that does not find
two groups that stand apart is none; then the couple's own window or the gap rule stays.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from ase.data import chemical_symbols

from ..inputs.charge_states import LabelWindow, RedoxCouple
from .frame_arrays import FloatArray
from .frames import Surrogate, iter_frame_docs, read_blocks
from .labels import Labelling

if TYPE_CHECKING:
    from .connect import Stores

BIN_WIDTH = 0.005
LARGEST = 8.0
"""muB: no ion of a couple has more; larger moments go into the last bin."""

FEWEST = 20
"""Moments that each of two groups must have."""

APART = 6.0
"""Distance of the means over the mean width below which two groups are one."""

_WIDTHS_AROUND = 4.0  # a window's bound: so many widths from the mean
_NARROWEST = BIN_WIDTH
_LARGEST_BACKGROUND = 0.3
_ROUNDS, _SETTLED = 500, 1e-9


@dataclass
class MomentHistogram:
    """Counts of |moment| in bins of `BIN_WIDTH` from 0.

    Attributes
    ----------
    counts : (n_bins,) moments per bin.
    """

    counts: FloatArray = field(default_factory=lambda: np.zeros(round(LARGEST / BIN_WIDTH)))

    def add(self, moments: FloatArray) -> None:
        """Count moments; those that are no number are passed over."""
        size = np.abs(moments[np.isfinite(moments)])
        bins = np.minimum((size / BIN_WIDTH).astype(int), len(self.counts) - 1)
        self.counts += np.bincount(bins, minlength=len(self.counts))

    @property
    def total(self) -> int:
        """Number of moments."""
        return int(self.counts.sum())

    @property
    def centres(self) -> FloatArray:
        """(n_bins,) middle of each bin, muB."""
        return np.asarray((np.arange(len(self.counts)) + 0.5) * BIN_WIDTH, dtype=np.float64)

    def as_dict(self, window: LabelWindow | None = None) -> dict[str, Any]:
        """Plain data: edges and counts from the first to the last bin that is not empty, and the window."""
        filled = np.flatnonzero(self.counts)
        first, last = (int(filled[0]), int(filled[-1])) if filled.size else (0, -1)
        return {
            "start": round(first * BIN_WIDTH, 6),
            "width": BIN_WIDTH,
            "counts": [int(count) for count in self.counts[first : last + 1]],
            "total": self.total,
            "window": None if window is None else window.model_dump(mode="json"),
        }


@dataclass(frozen=True)
class TwoGroups:
    """Two groups of moments.

    Attributes
    ----------
    means, widths, shares : of the smaller and the larger moments; muB, muB, parts of one.
    background : part of the moments that is in neither.
    """

    means: tuple[float, float]
    widths: tuple[float, float]
    shares: tuple[float, float]
    background: float


def fit_window(histogram: MomentHistogram) -> tuple[LabelWindow | None, str]:
    """Window between two groups of moments.

    Parameters
    ----------
    histogram : of the moments of one couple's sites by one engine.

    Returns
    -------
    The window, or None, and one line why.
    """
    groups = fit_groups(histogram)
    if groups is None:
        return None, f"{histogram.total} moments are too few or too alike for two groups"
    (small, large), (narrow, wide) = groups.means, groups.widths
    said = (
        f"{small:.2f} +- {narrow:.3f} muB ({100 * groups.shares[0]:.0f} %) and {large:.2f} +- {wide:.3f} muB "
        f"({100 * groups.shares[1]:.0f} %), {100 * groups.background:.1f} % in neither"
    )
    if min(groups.shares) * histogram.total < FEWEST:
        return None, f"one group has fewer than {FEWEST} of {histogram.total} moments: {said}"
    if large - small < APART * 0.5 * (narrow + wide) or groups.background > _LARGEST_BACKGROUND:
        return None, f"the two groups do not stand apart: {said}"
    distance = large - small
    low_max = min(small + max(_WIDTHS_AROUND * narrow, 2 * BIN_WIDTH), small + 0.4 * distance)
    high_min = max(large - max(_WIDTHS_AROUND * wide, 2 * BIN_WIDTH), large - 0.4 * distance)
    source = f"fitted to {histogram.total} moments of this data set: {said}"
    return LabelWindow(low_max=round(low_max, 3), high_min=round(high_min, 3), source=source), said


def fit_groups(histogram: MomentHistogram) -> TwoGroups | None:
    """Two normal distributions over an even background; None where there is nothing to divide."""
    weights, x = histogram.counts, histogram.centres
    filled = np.flatnonzero(weights)
    if histogram.total < 2 * FEWEST or filled.size < 2:
        return None
    weights, x = weights[filled], x[filled]
    even = 1.0 / (x[-1] - x[0] + BIN_WIDTH)
    upper = x > _dividing_value(x, weights)
    means = np.array([np.average(x[~upper], weights=weights[~upper]), np.average(x[upper], weights=weights[upper])])
    widths = np.full(2, max(_NARROWEST, 0.1 * (means[1] - means[0])))
    shares = np.array([0.45, 0.45, 0.1])
    before = -np.inf
    for _ in range(_ROUNDS):
        density = np.exp(-0.5 * ((x[:, None] - means) / widths) ** 2) / (widths * np.sqrt(2 * np.pi))
        parts = shares * np.column_stack([density, np.full(len(x), even)])
        total = parts.sum(axis=1)
        belongs = weights[:, None] * parts / total[:, None]
        amounts = belongs.sum(axis=0)
        shares = amounts / weights.sum()
        if min(amounts[:2]) < 1.0:
            return None
        means = (belongs[:, :2] * x[:, None]).sum(axis=0) / amounts[:2]
        spread = (belongs[:, :2] * (x[:, None] - means) ** 2).sum(axis=0) / amounts[:2]
        widths = np.maximum(np.sqrt(spread), _NARROWEST)
        likelihood = float(weights @ np.log(total)) / weights.sum()
        if likelihood - before < _SETTLED:
            break
        before = likelihood
    order = np.argsort(means)
    (a, b), (c, d), (e, f) = means[order].tolist(), widths[order].tolist(), shares[:2][order].tolist()
    return TwoGroups((a, b), (c, d), (e, f), float(shares[2]))


def _dividing_value(x: FloatArray, weights: FloatArray) -> float:
    """Otsu's threshold: the two sides differ most."""
    below, sums = np.cumsum(weights)[:-1], np.cumsum(weights * x)[:-1]
    above, rest = weights.sum() - below, float(weights @ x) - sums
    between = below * above * (sums / below - rest / above) ** 2
    return float(x[int(np.argmax(between))])


Histograms = dict[tuple[str, str], MomentHistogram]


def moment_histograms(
    stores: Stores, couples: Sequence[RedoxCouple], criteria: Mapping[str, Any] | None = None
) -> Histograms:
    """Histogram of moments per (couple, engine), from frames whose SCF converged; the store is streamed.

    Parameters
    ----------
    stores : with frames.
    couples : whose elements' sites are looked at.
    criteria : further filter over `FrameDoc`.
    """
    wanted: dict[str, Any] = {"scf_converged": True, "has_magmoms": True, **(criteria or {})}
    found: Histograms = {}
    for engine, block_id, rows in _blocks_with_rows(stores, wanted):
        block = read_blocks(stores, [block_id]).get(block_id)
        if block is None or block.magmoms is None:
            continue
        symbols = np.array([chemical_symbols[number] for number in block.numbers])
        for couple in couples:
            sites = np.flatnonzero(symbols == couple.element)
            if sites.size:
                histogram = found.setdefault((couple.name, engine), MomentHistogram())
                histogram.add(block.magmoms[rows][:, sites])
    return found


def _blocks_with_rows(stores: Stores, criteria: Mapping[str, Any]) -> Iterator[tuple[str, str, list[int]]]:
    """Frames of both sides of the surrogate step, by block: moments are read one by one, no energies are mixed."""
    sides: tuple[Surrogate, ...] = ("exclude", "only")
    for side in sides:
        current: tuple[str, str] | None = None
        rows: list[int] = []
        for document in iter_frame_docs(stores, criteria, surrogate=side, properties=["engine"]):
            place = (str(document["engine"]), str(document["block_id"]))
            if place != current:
                if current is not None:
                    yield (*current, rows)
                current, rows = place, []
            rows.append(int(document["row"]))
        if current is not None:
            yield (*current, rows)


def fitted_labelling(labelling: Labelling, histograms: Histograms) -> tuple[Labelling, list[str]]:
    """Windows of a data set laid on those of the couples, where two groups stand apart.

    Returns
    -------
    The labelling, and one line per couple and engine on what was found.
    """
    lines, couples = [], []
    for couple in labelling.couples:
        windows: dict[str, LabelWindow] = {} if couple.windows == "fit" else dict(couple.windows)
        for (name, engine), histogram in sorted(histograms.items()):
            if name != couple.name:
                continue
            window, said = fit_window(histogram)
            if window is not None:
                windows[engine] = window
                lines.append(f"{name}, {engine}: up to {window.low_max} and from {window.high_min} muB; {said}")
            else:
                kept = "its published window" if engine in windows else "the gap rule"
                lines.append(f"{name}, {engine}: no window fitted, {kept} stays; {said}")
        couples.append(couple.model_copy(update={"windows": windows or "fit"}))
    return Labelling(couples=couples, fixed=labelling.fixed, origin="fitted"), lines
