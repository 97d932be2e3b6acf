"""The `springs` engine: a smooth toy of charged ions whose minimum depends on species and charge states.

Cation-anion: a Morse spring towards the sum of the ionic radii, first shell only. Anion-anion: an exponential
repulsion. Cation-cation: a screened Coulomb repulsion of the formal charges, which makes charge orderings
differ in energy. Cell: a bulk modulus about the volume that the ions take up. It is no model of a material.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np

from .engines import Engine, Evaluation
from .states import Ion, ion_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .crystal import Crystal

# Tuned together until relaxed olivines keep the reference cells in hosts.yaml (PBE+U for NaFePO4, pretrained CHGNet for
# FePO4): every ordering of the 28-atom cell, in both steps, within 3 % of the interpolated lengths and volume.
STIFFNESS = 1.8
"""Curvature of a cation-anion spring at its rest length per unit of cation charge, eV/angstrom^2."""
MORSE_WIDTH = 1.8
"""Inverse width of the springs, 1/angstrom."""
SHELL = 0.85, 1.34
"""Where a spring begins to fade and where it ends, in rest lengths: the first coordination shell."""
REPULSION = 0.18
"""Energy of two touching anions, eV."""
REPULSION_LENGTH = 0.19
"""Decay length of that repulsion, angstrom."""
COULOMB = 0.45
"""Strength of the cation-cation repulsion, eV angstrom / e^2 (14.4 in vacuum)."""
SCREENING = 1.8
"""Its screening length, angstrom."""
FADE = 4.5, 6.0
"""Where the two repulsions begin to fade and where they end, angstrom."""
BULK_MODULUS = 0.47
"""Stiffness of the cell against a change of volume, eV/angstrom^3 (75 GPa)."""
ANION_VOLUME, ION_VOLUME = 13.5, 14.0
"""Volume that an anion takes up, and a cation per cubed ionic radius, angstrom^3;
with the outward push of the repulsions this gives olivines about the volume they have."""
ON_SITE = 2.0
"""Binding energy of an ion per unit of charge, eV; sets a sane energy per atom and nothing else."""


class Springs(Engine):
    """The toy solid for one set of sites. See the module for its terms."""

    name: ClassVar[str] = "springs"

    def __init__(self, symbols: tuple[str, ...], initial_moments: NDArray[np.float64]) -> None:
        ions = [ion_of(symbol, moment) for symbol, moment in zip(symbols, initial_moments, strict=True)]
        charges = np.array([ion.charge for ion in ions], dtype=float)
        radii = np.array([ion.radius for ion in ions])
        self._moments = _reported_moments(ions, np.asarray(initial_moments, dtype=float))
        self._on_site = -ON_SITE * float(np.abs(charges).sum())
        cation = charges > 0
        self._volume = float(np.where(cation, ION_VOLUME * radii**3, ANION_VOLUME).sum())
        self._bonded = cation[:, None] != cation[None, :]
        self._anions = ~cation[:, None] & ~cation[None, :]
        self._stiffness = STIFFNESS * np.maximum(charges[:, None], charges[None, :])
        self._rest = radii[:, None] + radii[None, :]
        self._charge_products = np.where(cation[:, None] & cation[None, :], np.outer(charges, charges), 0.0)

    def evaluate(self, crystal: Crystal) -> Evaluation:
        """Return energy, forces and stress of all terms; the moments belong to the charge states."""
        i, j, vectors, r = _pairs(crystal)
        energy, slope = self._pair_terms(i, j, r)
        pulls = (slope / r)[:, None] * vectors  # on i, towards j where the energy rises with the distance
        forces = np.zeros((len(crystal.symbols), 3))
        np.add.at(forces, i, pulls)
        strain = np.log(crystal.volume / self._volume)
        cell_energy = 0.5 * BULK_MODULUS * self._volume * strain**2
        # Every pair is listed from both ends: half of it belongs to each.
        stress = 0.5 * np.einsum("pa,pb->ab", pulls, vectors) / crystal.volume
        stress += BULK_MODULUS * self._volume * strain / crystal.volume * np.eye(3)
        total = self._on_site + 0.5 * float(energy.sum()) + float(cell_energy)
        return Evaluation(total, forces, stress, self._moments)

    def _pair_terms(
        self, i: NDArray[np.intp], j: NDArray[np.intp], r: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        rest, bonded, anions = self._rest[i, j], self._bonded[i, j], self._anions[i, j]
        well = self._stiffness[i, j] / (2 * MORSE_WIDTH**2)
        decay = np.exp(-MORSE_WIDTH * (r - rest))
        touch = REPULSION * np.exp(-(r - rest) / REPULSION_LENGTH)
        coulomb = COULOMB * self._charge_products[i, j] * np.exp(-r / SCREENING) / r
        energy = np.where(bonded, well * (decay**2 - 2 * decay), np.where(anions, touch, coulomb))
        slope = np.where(
            bonded,
            2 * well * MORSE_WIDTH * (decay - decay**2),
            np.where(anions, -touch / REPULSION_LENGTH, -coulomb * (1 / SCREENING + 1 / r)),
        )
        on = np.where(bonded, SHELL[0] * rest, FADE[0])
        off = np.where(bonded, np.minimum(SHELL[1] * rest, FADE[1]), FADE[1])
        fade, fade_slope = _switch(r, on, off)
        return energy * fade, slope * fade + energy * fade_slope


def _reported_moments(ions: list[Ion], initial: NDArray[np.float64]) -> NDArray[np.float64]:
    sizes = np.array([ion.reported_moment for ion in ions])
    # A scatter as small as in real outputs (0.015 muB), the same in every run.
    scatter = np.sin(1.0 + 2.3 * np.arange(len(ions)))
    sizes = np.where(sizes > 0, sizes + 0.013 * scatter, 0.02 + 0.01 * scatter)
    return np.asarray(np.where(initial < 0, -sizes, sizes), dtype=np.float64)


def _switch(
    r: NDArray[np.float64], on: NDArray[np.float64], off: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """1 below `on`, 0 above `off`, with two continuous derivatives between (quintic); value and slope."""
    t = np.clip((r - on) / (off - on), 0.0, 1.0)
    return 1 - t**3 * (10 - 15 * t + 6 * t**2), -30 * t**2 * (1 - t) ** 2 / (off - on)


def _pairs(
    crystal: Crystal,
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float64], NDArray[np.float64]]:
    """All ordered pairs within the cutoff, images included: i, j, vector from i to j, distance."""
    cutoff = FADE[1]
    reach = np.ceil(cutoff * np.linalg.norm(crystal.reciprocal, axis=1)).astype(int)
    shifts = np.stack(np.meshgrid(*(np.arange(-n, n + 1) for n in reach), indexing="ij"), axis=-1).reshape(-1, 3)
    cartesian = (crystal.positions - np.floor(crystal.positions)) @ crystal.lattice
    first = cartesian[None, :, :] - cartesian[:, None, :]
    found = []
    for offset in shifts @ crystal.lattice:
        vectors = first + offset
        squares = np.einsum("ija,ija->ij", vectors, vectors)
        i, j = np.nonzero((squares < cutoff**2) & (squares > 1e-12))
        if i.size:
            found.append((i, j, vectors[i, j], np.sqrt(squares[i, j])))
    i, j, vectors, r = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return i, j, vectors, r
