"""The initial density as a superposition of the intended ions: the cure for SCFs that converge to another charge order.

GPAW starts from neutral atoms with the initial moments. The first diagonalisation then throws minority electrons onto
the sites that were meant to be in the high state, and the mixer lets holes slosh. Starting from Na+, P5+, O2-, Fe3+ d5
and Fe2+ d6 keeps the intended order. GPAW has no public way to do this: one method of its setups is replaced, which is
tested for the versions in `TESTED_VERSIONS`.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import floor
from typing import Any

import numpy as np

TESTED_VERSIONS = ("22.8.0",)
_METHOD = "calculate_initial_occupation_numbers"
_PARAMETERS = ["self", "magmom", "hund", "charge", "nspins", "f_j"]
_D = 2

IonKey = tuple[str, float]
"""Element and size of the initial moment, muB: what tells the ions of one element apart."""


@dataclass(frozen=True)
class Shell:
    """One bound state of a PAW setup: principal and angular quantum number, electrons in the neutral atom."""

    n: int
    l: int  # noqa: E741 - the quantum number's name
    electrons: float

    @property
    def capacity(self) -> int:
        """Electrons of both spins that it can hold."""
        return 2 * (2 * self.l + 1)


@dataclass
class IonicStart:
    """Ions that the density starts from.

    Attributes
    ----------
    charges : formal charge of each ion, e, by element and initial moment.
    orbital : None spreads the electrons of an open d shell over its orbitals; else they go into whole orbitals from
        this one on, counted by energy in the crystal field.
    screening, covalency : how far the ions' charges are screened, and how, see `screened`.
    used : ions that GPAW asked for.
    """

    charges: Mapping[IonKey, float]
    orbital: int | None = None
    screening: float = 0.0
    covalency: float = 0.0
    used: set[IonKey] = field(default_factory=set)


def ion_key(symbol: str, magmom: float) -> IonKey:
    """Key of an ion."""
    return symbol, round(abs(float(magmom)), 4)


def ion_shells(shells: Sequence[Shell], charge: float) -> list[float]:
    """Electrons in each shell of an ion.

    Cations lose their outermost electrons first (highest n, then highest l), anions fill their open shell.

    Raises
    ------
    ValueError
        If the setup has too few electrons, or too little room, for the charge.
    """
    filling = [shell.electrons for shell in shells]
    left = float(charge)
    outermost = sorted(range(len(shells)), key=lambda j: (-shells[j].n, -shells[j].l))
    innermost = sorted(
        range(len(shells)), key=lambda j: (not 0 < shells[j].electrons < shells[j].capacity, shells[j].n, shells[j].l)
    )
    for j in outermost if left > 0 else innermost:
        room = filling[j] if left > 0 else filling[j] - shells[j].capacity
        change = min(left, room) if left > 0 else max(left, room)
        filling[j] -= change
        left -= change
    if abs(left) > 1e-9:
        raise ValueError(f"no ion of charge {charge:+g}: its setup has {sum(s.electrons for s in shells):g} electrons")
    return filling


def screened(shells: Sequence[Shell], ionic: Sequence[float], screening: float, covalency: float) -> list[float]:
    """Electrons in each shell of an ion that its neighbours' electrons screen.

    Bare formal charges (P5+, say) make a potential that the first diagonalisation drowns in electrons, and the order
    with them. So every shell stands between ion (0) and neutral atom (1), by `screening`, but for an open d shell, by
    `covalency`: sites of both charge states hold nearly the same number of d electrons in a crystal. The outermost
    shells make up the ion's number of electrons.
    """
    found, left = [], sum((1 - screening) * f + screening * s.electrons for f, s in zip(ionic, shells, strict=True))
    open_d = [shell.l >= _D and 0 < f < shell.capacity for shell, f in zip(shells, ionic, strict=True)]
    for shell, f, is_open in zip(shells, ionic, open_d, strict=True):
        share = covalency if is_open else screening
        found.append((1 - share) * f + share * shell.electrons)
    left -= sum(found)
    # Outer shells first; an open d shell only where they cannot: `covalency` asks for more than the ion has.
    for j in sorted(range(len(shells)), key=lambda j: (open_d[j], -shells[j].n, shells[j].l)):
        change = max(-found[j], min(left, shells[j].capacity - found[j]))
        found[j] += change
        left -= change
    return found


def spin_fillings(
    shells: Sequence[Shell], ionic: Sequence[float], filling: Sequence[float], magmom: float
) -> list[tuple[float, float]]:
    """Majority and minority electrons in each shell: the ion's moment in those of highest l, what screens it below.

    Parameters
    ----------
    shells, ionic : shells and the electrons of the bare ion in each, which carry the moment.
    filling : electrons in each shell of the screened ion.
    magmom : muB.

    Raises
    ------
    ValueError
        If the open shells cannot carry the moment.
    """
    left, found = abs(magmom), [(f / 2, f / 2) for f in filling]
    for j in sorted(range(len(shells)), key=lambda j: -shells[j].l):
        own = min(left, ionic[j], shells[j].capacity - ionic[j])
        if own > 0:
            up = min((ionic[j] + own) / 2, shells[j].capacity / 2)
            found[j] = (up, filling[j] - up)
        left -= own
    if left > 1e-6:
        raise ValueError(f"a moment of {magmom:g} muB does not fit an ion with {list(ionic)} electrons in its shells")
    return found


def orbital_fillings(electrons: float, whole: float, orbital: int) -> list[float]:
    """Electrons of one spin in each of the five orbitals of a d shell.

    Parameters
    ----------
    electrons : of this spin.
    whole : those among them that are the bare ion's, put into whole orbitals from `orbital` on; others are spread.
    orbital : 0 is the lowest.
    """
    number = 2 * _D + 1
    if electrons >= number - 1e-9:
        return [electrons / number] * number
    whole = min(whole, electrons)
    found, full = [0.0] * number, floor(whole + 1e-9)
    for step in range(full):
        found[(orbital + step) % number] = 1.0
    found[(orbital + full) % number] += whole - full
    room = sum(1 - f for f in found)
    return [f + (1 - f) * (electrons - whole) / room for f in found]


def missing_in(setup_class: type) -> str:
    """Why the ionic start cannot be had from this GPAW; empty if it can."""
    method = getattr(setup_class, _METHOD, None)
    if method is None:
        return f"its setups have no {_METHOD}"
    found = list(inspect.signature(method).parameters)
    return "" if found == _PARAMETERS else f"{_METHOD} takes {', '.join(found)}"


@contextmanager
def starting_from(start: IonicStart, setup_class: Any) -> Iterator[None]:
    """Within this block, densities that `setup_class` (GPAW's BaseSetup) initialises are those of the ions."""
    original = getattr(setup_class, _METHOD)

    def of_ion(
        self: Any, magmom: float, hund: bool, charge: float, nspins: int, f_j: Any = None
    ) -> np.ndarray[Any, Any]:
        key = ion_key(self.symbol, magmom)
        if key not in start.charges:
            raise ValueError(f"no ionic charge is known for {key[0]} with {key[1]:g} muB")
        start.used.add(key)
        return occupations(self, start.charges[key], magmom, nspins, start)

    setattr(setup_class, _METHOD, of_ion)
    try:
        yield
    finally:
        setattr(setup_class, _METHOD, original)


def shells_of(setup: Any) -> list[Shell]:
    """Bound states of a PAW setup, in its order."""
    bound = [j for j, n in enumerate(setup.n_j) if n > 0]
    return [Shell(int(setup.n_j[j]), int(setup.l_j[j]), float(setup.f_j[j])) for j in bound]


def ion_spins(setup: Any, charge: float, magmom: float, start: IonicStart) -> list[tuple[float, float]]:
    """Majority and minority electrons in each shell of a screened ion."""
    shells = shells_of(setup)
    ionic = ion_shells(shells, charge)
    return spin_fillings(shells, ionic, screened(shells, ionic, start.screening, start.covalency), magmom)


def occupations(setup: Any, charge: float, magmom: float, nspins: int, start: IonicStart) -> np.ndarray[Any, Any]:
    """Occupation of each basis function of a setup, (nspins, n_functions), as GPAW wants it; shells are spherical."""
    shells, by_spin = shells_of(setup), ion_spins(setup, charge, magmom, start)
    waiting: dict[int, list[int]] = {}
    for k, shell in enumerate(shells):
        waiting.setdefault(shell.l, []).append(k)
    columns: list[tuple[float, float]] = []
    for function in _basis_functions(setup):
        l = int(function.get_angular_momentum_number())  # noqa: E741
        number = 2 * l + 1
        # A basis function without a bound state of its own only polarises.
        up, down = by_spin[waiting[l].pop(0)] if waiting.get(l) else (0.0, 0.0)
        columns += [(up / number, down / number)] * number
    lost = sum(up + down for ks in waiting.values() for up, down in (by_spin[k] for k in ks))
    if lost > 1e-9:
        raise ValueError(f"the basis of {setup.symbol} has no function for {lost:g} electrons of its ion")
    filled = np.array(columns).T
    return filled.sum(axis=0)[None, :] if nspins == 1 else filled


def open_d_fillings(
    setup: Any, charge: float, magmom: float, start: IonicStart
) -> tuple[int, list[list[float]]] | None:
    """Which partial wave is an ion's open d shell, and electrons of each spin in its orbitals, lowest first.

    None where nothing is to be chosen: the ion has no open d shell, or the start spreads its electrons.
    """
    if start.orbital is None:
        return None
    shells = shells_of(setup)
    bare = spin_fillings(shells, ion_shells(shells, charge), ion_shells(shells, charge), magmom)
    full = ion_spins(setup, charge, magmom, start)
    bound = [j for j, n in enumerate(setup.n_j) if n > 0]
    for k, shell in enumerate(shells):
        if shell.l == _D and 0 < sum(bare[k]) < shell.capacity:
            fillings = [
                orbital_fillings(electrons, whole, start.orbital)
                for electrons, whole in zip(full[k], bare[k], strict=True)
            ]
            return bound[k], fillings
    return None


def _basis_functions(setup: Any) -> Any:
    """The setup's basis functions, under the name that this GPAW gives them."""
    return setup.phit_j if hasattr(setup, "phit_j") else setup.basis_functions_J
