"""Charge states that the `springs` engine knows: moments, charges and radii of the ions of its toy solid.

Radii: R. D. Shannon, Acta Cryst. A32 (1976) 751, high spin, six-fold unless said otherwise, O2- four-fold.
Initial moments are those of the couples (high spin: Fe2+/3+ 4/5, Mn2+/3+/4+ 5/4/3, Co2+/3+/4+ 3/4/5,
Ni2+/3+/4+ 2/3/4, V3+/4+ 2/1 muB); Ni4+ has the only radius tabulated, the low-spin one.
"""

from __future__ import annotations

from dataclasses import dataclass

from .errors import InputError


@dataclass(frozen=True)
class Ion:
    """One ion: charge (e), radius (angstrom), |moment| at the start of the run and as reported (muB)."""

    charge: int
    radius: float
    initial_moment: float = 0.0
    reported_moment: float = 0.0


# Fe as in published PBE+U outputs (3.76-3.79 and 4.32-4.35 muB); the others lose about 0.2 muB to ligands.
REDOX: dict[str, tuple[Ion, ...]] = {
    "Fe": (Ion(2, 0.780, 4.0, 3.775), Ion(3, 0.645, 5.0, 4.335)),
    "Mn": (Ion(2, 0.830, 5.0, 4.8), Ion(3, 0.645, 4.0, 3.8), Ion(4, 0.530, 3.0, 2.8)),
    "Co": (Ion(2, 0.745, 3.0, 2.8), Ion(3, 0.610, 4.0, 3.8), Ion(4, 0.530, 5.0, 4.8)),
    "Ni": (Ion(2, 0.690, 2.0, 1.8), Ion(3, 0.600, 3.0, 2.8), Ion(4, 0.480, 4.0, 3.8)),
    "V": (Ion(3, 0.640, 2.0, 1.8), Ion(4, 0.580, 1.0, 0.8)),
}
"""Element -> its charge states, lowest charge first."""

FIXED: dict[str, Ion] = {
    "H": Ion(1, 0.10), "Li": Ion(1, 0.76), "Na": Ion(1, 1.02), "K": Ion(1, 1.38),
    "Mg": Ion(2, 0.72), "Ca": Ion(2, 1.00), "Zn": Ion(2, 0.74),
    "Al": Ion(3, 0.535), "Ga": Ion(3, 0.62), "Sc": Ion(3, 0.745), "In": Ion(3, 0.80), "Cr": Ion(3, 0.615),
    "Ti": Ion(4, 0.605), "Zr": Ion(4, 0.72), "Ge": Ion(4, 0.53), "Sn": Ion(4, 0.69),
    "B": Ion(3, 0.11), "C": Ion(4, -0.08), "Si": Ion(4, 0.26), "P": Ion(5, 0.17), "S": Ion(6, 0.12),
    "Mo": Ion(6, 0.41), "W": Ion(6, 0.42),
    "O": Ion(-2, 1.38), "F": Ion(-1, 1.31), "Cl": Ion(-1, 1.81), "N": Ion(-3, 1.46),
}  # fmt: skip
"""Ions with one charge state; B, C, Si, P, S, Mo, W four-fold (C and B three-fold)."""


def ion_of(symbol: str, initial_moment: float) -> Ion:
    """Return the ion that a site becomes when its run starts from a moment, as MAGMOM decides in VASP.

    Parameters
    ----------
    symbol : element.
    initial_moment : MAGMOM of the site, muB; its sign is the direction of the spin.

    Returns
    -------
    The charge state whose initial moment is nearer to the one given. A redox site that starts from less than half
    of any (a moment that was lost on the way) stays quenched in the lowest charge state, with no moment.

    Raises
    ------
    InputError
        If the toy solid has no such ion.
    """
    if symbol in REDOX:
        states, size = REDOX[symbol], abs(initial_moment)
        if size < min(ion.initial_moment for ion in states) / 2:
            return Ion(states[0].charge, states[0].radius)
        return min(reversed(states), key=lambda ion: abs(ion.initial_moment - size))
    if symbol in FIXED:
        return FIXED[symbol]
    raise InputError(
        f"ERROR: the springs engine has no radius for {symbol}; use --engine chgnet, or one of "
        + " ".join(sorted({*REDOX, *FIXED}))
    )
