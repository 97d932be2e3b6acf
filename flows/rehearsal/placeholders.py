"""A placeholder electronic structure: parsers want bands, a DOS and site charges; these mean nothing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BAND_WIDTH = 4.0
"""Width of the placeholder valence and conduction bands, eV."""
GAP = 2.0
"""Gap between them, eV: a gap, so that no handler takes the run for a metal with the wrong smearing."""


@dataclass(frozen=True)
class Bands:
    """The same flat bands at every k-point and for every spin.

    Parameters
    ----------
    n_bands, n_points, n_spins : sizes.
    energies : (n_bands,) eV.
    occupations : (n_bands,) 1 or 0.
    dos_energies, dos, integrated_dos : (n_grid,) eV, 1/eV, electrons; per spin.
    fermi_energy : eV, in the middle of the gap.
    """

    n_bands: int
    n_points: int
    n_spins: int
    energies: NDArray[np.float64]
    occupations: NDArray[np.float64]
    dos_energies: NDArray[np.float64]
    dos: NDArray[np.float64]
    integrated_dos: NDArray[np.float64]
    fermi_energy: float


def placeholder_bands(n_electrons: float, n_sites: int, n_points: int, n_spins: int) -> Bands:
    """Return bands that hold the electrons, with VASP's default number of them.

    Parameters
    ----------
    n_electrons : NELECT.
    n_sites, n_points, n_spins : sites, k-points, spins.
    """
    filled = max(1, int(np.ceil(n_electrons / 2)))
    n_bands = filled + 1 + max(n_sites // 2, 3)
    below = np.linspace(-BAND_WIDTH, 0.0, filled)
    above = np.linspace(GAP, GAP + BAND_WIDTH, n_bands - filled)
    grid = np.linspace(-BAND_WIDTH - 1, GAP + BAND_WIDTH + 1, 301)
    dos = np.where((grid >= -BAND_WIDTH) & (grid <= 0), n_electrons / n_spins / BAND_WIDTH, 0.0)
    dos += np.where((grid >= GAP) & (grid <= GAP + BAND_WIDTH), (n_bands - filled) * 2 / n_spins / BAND_WIDTH, 0.0)
    return Bands(
        n_bands=n_bands,
        n_points=n_points,
        n_spins=n_spins,
        energies=np.concatenate([below, above]),
        occupations=np.repeat([1.0, 0.0], [filled, n_bands - filled]),
        dos_energies=grid,
        dos=dos,
        integrated_dos=np.cumsum(dos) * (grid[1] - grid[0]),
        fermi_energy=GAP / 2,
    )
