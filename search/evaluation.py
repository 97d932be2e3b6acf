"""What evaluating an ordering gives, and the interface of whatever evaluates: a potential, or a known landscape.

An evaluation is costly (a full relaxation) and may fail; it says which ordering came out, which is what is learned.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from ..inputs.orderings.energies import EnergyModel
from ..inputs.orderings.group import JointKey, bits_from_hex


@dataclass(frozen=True)
class Evaluation:
    """One ordering with its energy.

    Attributes
    ----------
    key : the ordering that was meant.
    energy : eV per supercell; nan where it failed.
    achieved : the ordering that came out; None where it cannot be told (or the evaluation failed).
    failure : why there is no energy; empty where there is one.
    deviation : standard deviation of the energy over an ensemble of potentials, eV per supercell; None without one.
    """

    key: JointKey
    energy: float
    achieved: JointKey | None = None
    failure: str = ""
    deviation: float | None = None

    @property
    def counts(self) -> bool:
        """Whether there is an energy."""
        return bool(np.isfinite(self.energy))

    def as_dict(self) -> dict[str, Any]:
        """Plain values; `from_dict` reads them back."""
        return {
            "key": str(self.key),
            "energy": self.energy if self.counts else None,
            "achieved": None if self.achieved is None else str(self.achieved),
            "failure": self.failure,
            "deviation": self.deviation,
        }

    @classmethod
    def from_dict(cls, record: Mapping[str, Any], n_working: int, n_redox: int) -> Evaluation:
        """An evaluation from plain values.

        Parameters
        ----------
        record : as `as_dict` makes it.
        n_working, n_redox : sites of the supercell.

        Raises
        ------
        ValueError, KeyError, TypeError
            If it is no such record.
        """
        energy, achieved, deviation = (record[name] for name in ("energy", "achieved", "deviation"))
        return cls(
            key_from_text(record["key"], n_working, n_redox),
            float("nan") if energy is None else float(energy),
            None if achieved is None else key_from_text(achieved, n_working, n_redox),
            str(record["failure"]),
            None if deviation is None else float(deviation),
        )


def key_from_text(text: str, n_working: int, n_redox: int) -> JointKey:
    """A key from `WORKING.CHARGE`; errors as in `bits_from_hex`."""
    working, _, charge = text.partition(".")
    bits = None if charge == "free" else bits_from_hex(charge, n_redox)
    return JointKey(bits_from_hex(working, n_working), bits)


Tell = Callable[[Evaluation], None]


class Evaluator(Protocol):
    """Whatever gives orderings their energies."""

    @property
    def identity(self) -> Mapping[str, Any]:
        """What makes its energies comparable, in plain values: model, convergence, ... (not: the number of workers)."""
        ...

    def __call__(self, keys: Sequence[JointKey], tell: Tell) -> None:
        """Evaluate different orderings and tell each as soon as it is done, in any order; a failure is told too."""
        ...


@dataclass(frozen=True)
class ModelEvaluator:
    """Energies of an energy model of bits (electrostatics, an expansion): nothing relaxes, the ordering stays.

    Attributes
    ----------
    model : the energy model.
    """

    model: EnergyModel

    @property
    def identity(self) -> dict[str, Any]:
        """The model's name and its coefficients' sum."""
        polynomial = self.model.polynomial
        return {"model": self.model.name, "fingerprint": float(abs(polynomial.pairs).sum())}

    def __call__(self, keys: Sequence[JointKey], tell: Tell) -> None:
        """Evaluate orderings.

        Raises
        ------
        ValueError
            If one has no charges.
        """
        for key in keys:
            if key.charge is None:
                raise ValueError(
                    f"{self.model.name} gives no energy without charges: search with charges, or with a potential"
                )
            bits = np.concatenate([key.working, key.charge])
            tell(Evaluation(key, float(self.model.polynomial.energies(bits)), key))
