"""What an engine of the stand-in offers, and where each is. An engine is the physics; all else is shared."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, ClassVar

from .command import ENGINES

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from .crystal import Crystal


@dataclass(frozen=True)
class Evaluation:
    """One point of an energy surface.

    Parameters
    ----------
    energy : eV per cell.
    forces : (n_sites, 3) eV/angstrom.
    stress : (3, 3) eV/angstrom^3, positive under tension (ASE's sign; the writers turn it into VASP's kB).
    moments : (n_sites,) muB.
    """

    energy: float
    forces: NDArray[np.float64]
    stress: NDArray[np.float64]
    moments: NDArray[np.float64]


class Engine(ABC):
    """One energy surface for the sites of one POSCAR.

    Parameters
    ----------
    symbols : element of every site.
    initial_moments : (n_sites,) MAGMOM, muB.
    """

    name: ClassVar[str]

    @abstractmethod
    def __init__(self, symbols: tuple[str, ...], initial_moments: NDArray[np.float64]) -> None: ...

    @abstractmethod
    def evaluate(self, crystal: Crystal) -> Evaluation:
        """Return energy, forces, stress and moments of one geometry, all from one call."""


_CLASSES = {
    "springs": (".springs", "Springs"),
    "chgnet": (".pretrained", "Pretrained"),
    "chgnet-states": (".pretrained", "PretrainedStates"),
}


def engine_class(name: str) -> Callable[[tuple[str, ...], NDArray[np.float64]], Engine]:
    """Return an engine by its name; only its own module is imported (torch stays out of `springs`).

    Raises
    ------
    ValueError
        If there is no such engine.
    """
    if name not in ENGINES:
        raise ValueError(f"unknown engine {name!r}; choose one of {', '.join(ENGINES)}")
    module, attribute = _CLASSES[name]
    found: Callable[[tuple[str, ...], NDArray[np.float64]], Engine] = getattr(
        import_module(module, __package__), attribute
    )
    return found
