"""One ionic step as the writers see it: geometry, values, and a made-up but consistent SCF convergence."""

from __future__ import annotations

from dataclasses import dataclass

from .crystal import Crystal
from .engines import Evaluation
from .settings import Settings

EV_PER_A3_IN_KBAR = 1602.1766208


@dataclass(frozen=True)
class Frame:
    """One ionic step.

    Parameters
    ----------
    index : 1 for the first.
    crystal : the geometry.
    evaluation : the engine's values, moments possibly changed by a fault.
    scf_energies : energy after each electronic step, eV; the last is the energy of the frame.
    scf_converged : whether the last change was below EDIFF within NELM steps.
    first_energy : energy of the first frame, eV.
    seconds : wall time that the frame took.
    entropy : electronic entropy term -TS, eV; the placeholder bands have none.
    """

    index: int
    crystal: Crystal
    evaluation: Evaluation
    scf_energies: tuple[float, ...]
    scf_converged: bool
    first_energy: float
    seconds: float
    entropy: float = 0.0

    @property
    def energy(self) -> float:
        """Energy of the frame, eV: where the electrons did not converge, what NELM steps left."""
        return self.scf_energies[-1]

    def magnetisation(self, settings: Settings) -> float:
        """Return the moment of the cell, muB: NUPDOWN where it is fixed, else the sum over sites."""
        if not settings.spin_polarised:
            return 0.0
        return settings.magnetisation if settings.magnetisation >= 0 else float(self.evaluation.moments.sum())


def scf_energies(energy: float, settings: Settings, *, first: bool) -> tuple[tuple[float, ...], bool]:
    """Return energies that fall onto `energy` by a factor of ten per electronic step, until EDIFF or NELM.

    Returns
    -------
    The energies, and whether they converged.
    """
    away = 10.0 if first else 0.1
    found = [energy + away]
    while len(found) < settings.max_scf_steps:
        away *= 0.1
        if away < settings.ediff and len(found) + 1 >= settings.min_scf_steps:
            return (*found, energy), True
        found.append(energy + away)
    return tuple(found), False
