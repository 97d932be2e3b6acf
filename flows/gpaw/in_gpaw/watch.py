"""Looking on while an SCF runs: energy and moments of every iteration streamed, and a hopeless SCF stopped.

Holes that hop between sites in iteration after iteration seldom come to rest, and where they do, often in another
order. One wrong reading says nothing: orders have come right again after dozens of iterations.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

SETTLING = 5
"""Iterations at the start of an SCF that are not judged: moments are far from anything there."""


class SloshingError(Exception):
    """The charge order kept hopping while the SCF ran."""


@dataclass
class Watch:
    """Record every iteration and count how often the charge order that the moments show changes.

    Attributes
    ----------
    redox_sites : (n_redox,) indices of the redox sites in the structure of the run.
    n_high : high-state sites that neutrality asks for.
    high_is_larger : whether the high state has the larger moment.
    max_hops : an SCF whose order changes more often than this is given up; 0 never gives up.
    keep : takes each iteration's record.
    """

    redox_sites: Sequence[int]
    n_high: int
    high_is_larger: bool
    max_hops: int
    keep: Callable[[dict[str, Any]], None]
    label: dict[str, Any] = field(default_factory=dict)
    iteration: int = 0
    hops: int = 0
    _order: tuple[int, ...] | None = None

    def start(self, **label: Any) -> None:
        """A new SCF begins; `label` says which."""
        self.label, self.iteration, self.hops, self._order = label, 0, 0, None

    def observe(self, energy: float, magmoms: Sequence[float], density_error: float | None) -> None:
        """One iteration is done.

        Parameters
        ----------
        energy : eV, extrapolated to zero smearing.
        magmoms : (n_sites,) muB.
        density_error : electrons.

        Raises
        ------
        SloshingError
            If the order changed more than `max_hops` times.
        """
        self.iteration += 1
        moments = [float(magmoms[i]) for i in self.redox_sites]
        order = self.read(moments)
        if self.iteration > SETTLING and self._order is not None and order != self._order:
            self.hops += 1
        self._order = order
        self.keep(
            {
                **self.label,
                "iteration": self.iteration,
                "energy": energy,
                "density_error": density_error,
                "magmoms": [round(m, 4) for m in moments],
                "hops": self.hops,
            }
        )
        if 0 < self.max_hops < self.hops:
            raise SloshingError(
                f"the charge order changed {self.hops} times in {self.iteration} iterations; last moments "
                f"{' '.join(f'{m:.2f}' for m in moments)} muB"
            )

    def read(self, moments: Sequence[float]) -> tuple[int, ...]:
        """The n_high redox sites that are furthest towards the high state."""
        sign = -1 if self.high_is_larger else 1
        ranked = sorted(range(len(moments)), key=lambda i: sign * abs(moments[i]))
        return tuple(sorted(ranked[: self.n_high]))
