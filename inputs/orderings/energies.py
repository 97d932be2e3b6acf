"""What an energy model of orderings is: a polynomial of occupation bits that every search in this folder understands.

Models: `electrostatics` (formal charges) and `expansion` (fitted). All coefficients lie on one binary grid, fine enough
to be far below any accuracy and coarse enough that every partial sum is exact in double precision: the energy of an
ordering then does not depend on the order of summation, equivalent orderings have equal energies to the last bit, and
ties are real.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..charge_states import RedoxCouple
from ..supercells import HostSupercell
from .group import Bits, OrderingGroup, ordering_group

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class BitPolynomial:
    """Energy as a polynomial of bits, each term a product of one, two or three of them.

    Attributes
    ----------
    constant : eV.
    linear : (n_bits,) eV per bit that is set.
    pairs : (n_bits, n_bits) symmetric with zero diagonal, eV where both bits are set (each pair counts once).
    triplet_sites : (n_triplets, 3) ints, each row ascending and different from the others.
    triplets : (n_triplets,) eV where all three bits are set.
    resolution : eV, a power of two of which every coefficient is a whole multiple.
    """

    constant: float
    linear: Floats
    pairs: Floats
    triplet_sites: NDArray[np.int_]
    triplets: Floats
    resolution: float

    @classmethod
    def on_grid(
        cls,
        constant: float,
        linear: ArrayLike,
        pairs: ArrayLike,
        triplet_sites: ArrayLike | None = None,
        triplets: ArrayLike | None = None,
    ) -> BitPolynomial:
        """Round coefficients to the finest grid on which every partial sum of the energy is exact.

        Raises
        ------
        ValueError
            If the shapes do not fit, a coefficient is not finite, or the pairs are not symmetric with zero diagonal.
        """
        h, p = np.asarray(linear, dtype=float), np.asarray(pairs, dtype=float)
        sites = np.zeros((0, 3), dtype=int) if triplet_sites is None else np.asarray(triplet_sites, dtype=int)
        t = np.zeros(0) if triplets is None else np.asarray(triplets, dtype=float)
        if p.shape != (len(h), len(h)) or sites.shape != (len(t), 3):
            raise ValueError(
                f"coefficients of shapes {h.shape}, {p.shape}, {sites.shape}, {t.shape} do not describe one set of bits"
            )
        if not (np.isfinite(constant) and all(np.isfinite(part).all() for part in (h, p, t))):
            raise ValueError("an energy coefficient is not a finite number; are two atoms on one place?")
        if np.diagonal(p).any() or not np.array_equal(p, p.T):
            raise ValueError("pair energies must be symmetric with a zero diagonal")
        # Twice the sum of all pairs: neighbourhoods are added up from whole rows.
        largest = abs(constant) + np.abs(h).sum() + np.abs(p).sum() + np.abs(t).sum()
        step = 2.0 ** (np.ceil(np.log2(largest)) - 52) if largest else 2.0**-52

        def rounded(values: Floats) -> Floats:
            on_grid: Floats = np.round(values / step) * step
            return on_grid

        return cls(float(np.round(constant / step) * step), rounded(h), rounded(p), sites, rounded(t), float(step))

    @property
    def n_bits(self) -> int:
        """Number of bits."""
        return len(self.linear)

    def energies(self, bits: ArrayLike) -> Floats:
        """Energies of orderings.

        Parameters
        ----------
        bits : (..., n_bits) bool.

        Returns
        -------
        (...) eV per supercell.
        """
        x = np.asarray(bits, dtype=float)
        total = self.constant + x @ self.linear + 0.5 * ((x @ self.pairs) * x).sum(axis=-1)
        if len(self.triplets):
            total = total + x[..., self.triplet_sites].prod(axis=-1) @ self.triplets
        return np.asarray(total)

    def given(self, bits: ArrayLike) -> BitPolynomial:
        """Polynomial of the remaining bits once the first ones are set.

        Parameters
        ----------
        bits : (n_given,) bool, values of the first n_given bits.
        """
        x = np.asarray(bits, dtype=float)
        n = len(x)
        inner, linear, pairs = self.pairs[:n, :n], self.pairs[:n, n:], self.pairs[n:, n:]
        constant = self.constant + x @ self.linear[:n] + 0.5 * (x @ inner @ x)
        h = self.linear[n:] + x @ linear
        if not len(self.triplets):
            return BitPolynomial(float(constant), h, pairs, self.triplet_sites, self.triplets, self.resolution)
        h, pairs = h.copy(), pairs.copy()
        among = (self.triplet_sites < n).sum(axis=1)  # how many of the three bits are given; rows ascend
        for count in (1, 2, 3):
            sites, values = self.triplet_sites[among == count], self.triplets[among == count]
            values = values * x[sites[:, :count]].prod(axis=1)
            free = sites[:, count:] - n
            if count == 1:
                np.add.at(pairs, (free[:, 0], free[:, 1]), values)
                np.add.at(pairs, (free[:, 1], free[:, 0]), values)
            elif count == 2:
                np.add.at(h, free[:, 0], values)
            else:
                constant = constant + values.sum()
        kept = among == 0
        return BitPolynomial(
            float(constant), h, pairs, self.triplet_sites[kept] - n, self.triplets[kept], self.resolution
        )


class EnergyModel(Protocol):
    """An energy for every neutral ordering of one supercell, the same for equivalent orderings."""

    def __hash__(self) -> int:
        """Models are told apart by identity or content: what is worked out for one is kept."""
        ...

    @property
    def name(self) -> str:
        """What `by:` and the listings call it."""
        ...

    @property
    def cell(self) -> HostSupercell:
        """The supercell whose orderings it ranks."""
        ...

    @property
    def couple(self) -> RedoxCouple:
        """The redox couple; neutrality fixes the number of high-state sites."""
        ...

    @property
    def polynomial(self) -> BitPolynomial:
        """Energy of the joint bits (working ++ charge), eV per supercell."""
        ...


def group_of(model: EnergyModel) -> OrderingGroup:
    """Symmetry group of the model's supercell."""
    return ordering_group(model.cell)


def ordering_energies(model: EnergyModel, working: ArrayLike, charge: ArrayLike) -> Floats:
    """Energies of complete orderings.

    Parameters
    ----------
    model : the energy model.
    working : (..., n_working) bool, True = occupied.
    charge : (..., n_redox) bool, True = high state; leading shapes must fit each other.

    Returns
    -------
    (...) eV per supercell.

    Raises
    ------
    ValueError
        If a shape is wrong or an ordering is not neutral.
    """
    w, c = checked_orderings(model.cell, model.couple, working, charge)
    return model.polynomial.energies(np.concatenate([w, c], axis=-1))


def checked_orderings(
    cell: HostSupercell, couple: RedoxCouple, working: ArrayLike, charge: ArrayLike
) -> tuple[Bits, Bits]:
    """Complete orderings as arrays of one leading shape; errors as in `ordering_energies`."""
    w = _of_length(working, len(cell.working_sites), "working-ion")
    c = _of_length(charge, len(cell.redox_sites), "charge")
    shape = np.broadcast_shapes(w.shape[:-1], c.shape[:-1])
    w, c = (np.broadcast_to(bits, (*shape, bits.shape[-1])) for bits in (w, c))
    pairs = zip(w.sum(axis=-1).ravel().tolist(), c.sum(axis=-1).ravel().tolist(), strict=True)
    for n_occupied, n_high in sorted(set(pairs)):
        expected = cell.n_high(n_occupied, couple)
        if n_high != expected:
            raise ValueError(
                f"{n_high} {couple.element} high states with {n_occupied} {cell.host.working_ion} are not neutral: the "
                f"cell needs {expected}"
            )
    return w, c


def _of_length(bits: ArrayLike, length: int, what: str) -> Bits:
    array = np.asarray(bits, dtype=bool)
    if array.ndim == 0 or array.shape[-1] != length:
        raise ValueError(f"{what} orderings have shape {array.shape}, expected (..., {length})")
    return array
