"""Distribution of the energies of charge orderings at one working-ion ordering (paper section 2.2, Fig. 4).

Mean, deviation and a normal fit are over what says something about the space: a uniform sample, or the whole list. The
reference is left out of them, and its place is given in standard deviations. Means are over arrangements (an ordering
counts as often as the arrangements that it stands for) or over distinct orderings, and say which.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import norm

from ..inputs.orderings.sampling import Weight, checked_weight
from ..inputs.orderings.strata import statistical_weight
from ..inputs.orderings.stratum_names import in_statistics
from .hull import ordering_statistics

LILLIEFORS = 0.886
"""Over the root of n: distance from the fitted normal distribution that 5 % of normal samples of n > 30 exceed
(Lilliefors, J. Am. Stat. Assoc. 62 (1967) 399)."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class EnergyDistribution:
    """Energies of charge orderings and what they say about all of them.

    Attributes
    ----------
    energies : (n,) of those that count, eV per supercell, ascending, from `zero`.
    weights : (n,) of each in the means, summing to 1.
    zero : energy that the others are relative to, eV per supercell: the reference's, or else the lowest that counts.
    per : what the means are over.
    mean, standard_deviation : eV per supercell, from `zero`; they are those of the fitted normal distribution.
    skewness, excess_kurtosis : 0 for a normal distribution.
    n_effective : energies of equal weight that would say as much.
    normal_distance : largest distance between the cumulative distribution and that of the normal fit.
    n_left_out : energies that do not count: references, and what was picked on purpose.
    has_reference : whether `zero` is a reference's energy.
    """

    energies: Floats
    weights: Floats
    zero: float
    per: Weight
    mean: float
    standard_deviation: float
    skewness: float
    excess_kurtosis: float
    n_effective: float
    normal_distance: float
    n_left_out: int
    has_reference: bool

    @property
    def reference_in_deviations(self) -> float | None:
        """Place of the reference, in standard deviations from the mean (negative: below it)."""
        if not self.has_reference or not self.standard_deviation:
            return None
        return -self.mean / self.standard_deviation

    @property
    def n_below_reference(self) -> int | None:
        """Orderings that count and lie below the reference."""
        return int((self.energies < 0).sum()) if self.has_reference else None

    @property
    def normal(self) -> Literal["not told", "compatible", "rejected at 5 %"]:
        """Whether the normal fit can be kept; too few energies tell nothing."""
        if self.n_effective <= 30:
            return "not told"
        fits = self.normal_distance <= LILLIEFORS / np.sqrt(self.n_effective)
        return "compatible" if fits else "rejected at 5 %"


def energy_distribution(
    energies: ArrayLike, weights: ArrayLike, per: Weight, reference: float | None = None, n_left_out: int = 0
) -> EnergyDistribution:
    """Statistics of energies with weights.

    Parameters
    ----------
    energies : (n,) eV per supercell, of what counts in statistics.
    weights : (n,) positive: `statistical_weight` of each.
    per : what the weights make the mean over.
    reference : its energy, eV per supercell; not among `energies`.
    n_left_out : energies that were left out, the reference among them.

    Raises
    ------
    ValueError
        If there are fewer than two energies, one is not finite, or a weight is not positive.
    """
    values, parts = np.asarray(energies, dtype=float), np.asarray(weights, dtype=float)
    if len(values) < 2 or parts.shape != values.shape:
        raise ValueError(
            f"{len(values)} energies with {len(parts)} weights have no distribution; at least two have one"
        )
    if not (np.isfinite(values).all() and (parts > 0).all()):
        raise ValueError("energies must be finite and weights positive; leave out what has failed")
    zero = float(values.min()) if reference is None else float(reference)
    order = np.argsort(values, kind="stable")
    values, parts = values[order] - zero, parts[order] / parts.sum()
    found = ordering_statistics(values, parts)
    assert found is not None  # there are two
    mean, deviation = found["mean"], found["standard_deviation"]
    moments = [
        float(np.average(((values - mean) / deviation) ** k, weights=parts)) if deviation else 0.0 for k in (3, 4)
    ]
    return EnergyDistribution(
        energies=values,
        weights=parts,
        zero=zero,
        per=checked_weight(per),
        mean=mean,
        standard_deviation=deviation,
        skewness=moments[0],
        excess_kurtosis=moments[1] - 3.0 if deviation else 0.0,
        n_effective=float(1.0 / (parts**2).sum()),
        normal_distance=_distance(values, parts, mean, deviation),
        n_left_out=n_left_out,
        has_reference=reference is not None,
    )


def _distance(values: Floats, weights: Floats, mean: float, deviation: float) -> float:
    """Largest distance between the weighted cumulative distribution and the normal one (Kolmogorov-Smirnov)."""
    if not deviation:
        return 1.0
    model, above = norm.cdf(values, mean, deviation), np.cumsum(weights)
    return float(max((above - model).max(), (model - (above - weights)).max()))


def distribution_of(calculations: Sequence[Mapping[str, Any]], per: Weight = "arrangements") -> EnergyDistribution:
    """Distribution over finished calculations of one working-ion ordering.

    Parameters
    ----------
    calculations : ChargeOrderedCalculationDocs as dicts, of one engine, protocol and working-ion ordering; those that
        do not count are left out.
    per : `arrangements` or `orbits`.

    Raises
    ------
    ValueError
        If engines, protocols or working-ion orderings are mixed, or fewer than two calculations count.
    """
    good = [c for c in calculations if c["counts"] and c["energy"] is not None]
    for name in ("engine", "protocol_hash", "working_key"):
        if len(kinds := sorted({str(c[name]) for c in good})) > 1:
            raise ValueError(f"a distribution is of one {name.replace('_', ' ')}, got {', '.join(kinds)}; choose one")
    used = [c for c in good if in_statistics(c["strata"])]
    references = [c["energy"] for c in good if "reference" in c["strata"]]
    weights = [statistical_weight(c["multiplicity"], c.get("sample_weight"), checked_weight(per)) for c in used]
    if len(used) < 2:
        raise ValueError(
            f"{len(used)} of {len(calculations)} calculations count in statistics; a distribution needs a sample or "
            "the whole list, as `charge: {sample: N, seed: S}` or `{all: true}` make it"
        )
    reference = min(references, default=None)
    return energy_distribution([c["energy"] for c in used], weights, per, reference, len(good) - len(used))
