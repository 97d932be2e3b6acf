"""The INCAR that a protocol and a structure with charge states make: every tag explicit, nothing inherited.

Moments come from the site property `magmom` (muB) and from nowhere else: pymatgen's own rules give Fe2+ and
Fe3+ the same moment. `vasp_sets` writes the files; an audit can compare finished runs with `protocol_incar`.
"""

from __future__ import annotations

from itertools import groupby
from math import isfinite
from numbers import Real

from pymatgen.core.structure import Structure
from pymatgen.io.vasp.inputs import Incar

from .protocol import Calculation, Protocol


def protocol_incar(protocol: Protocol, calculation: Calculation, structure: Structure) -> Incar:
    """Make the INCAR of one calculation.

    Without an element that carries U (x = 0 in step 1: the surrogate is on every redox site) there is no LDAU
    tag at all. Such a cell stays spin-polarised, with MAGMOM 0 and NUPDOWN 0: ISPIN 1 would be another
    protocol under the same hash.

    Parameters
    ----------
    protocol : the protocol.
    calculation : relax or static.
    structure : sites in POSCAR order, with `magmom` (muB) on every site.

    Raises
    ------
    ValueError
        If moments are missing, contradict the spin order, or do not add up to a whole number.
    """
    structure = poscar_structure(structure)
    moments = initial_moments(structure)
    tags = {
        **protocol.incar_tags(calculation),
        **_hubbard_tags(protocol, blocks(structure)),
        "MAGMOM": moments,
    }
    # In this order: measured moments, passed on by mistake, are negative on some anions too; their sum tells
    # better than a sign what they are.
    if protocol.nupdown == "sum of initial moments":
        tags["NUPDOWN"] = _total_moment(moments)
    _check_spin_order(protocol, structure, moments)
    return Incar(tags)


def initial_moments(structure: Structure) -> list[float]:
    """Read the initial moment of every site, muB, from the site property `magmom`.

    Raises
    ------
    ValueError
        If a site has none, or one that is no finite number; the sites are named.
    """
    values = [_moment(site.properties.get("magmom")) for site in structure]
    if wrong := [i for i, value in enumerate(values) if value is None]:
        given = [f"{structure[i].specie.symbol}[{i}]: {structure[i].properties.get('magmom')}" for i in wrong]
        more = f" and {len(wrong) - 4} more" if len(wrong) > 4 else ""
        raise ValueError(
            f"no finite initial moment on {len(wrong)} of {len(values)} sites, {', '.join(given[:4])}{more}; "
            "set the site property `magmom` of every site from its charge state, 0 where it is not magnetic"
        )
    return [value for value in values if value is not None]


def poscar_structure(structure: Structure) -> Structure:
    """Copy a structure as VASP sees it: elements without charges, the moments, and one block per element.

    Velocities and oxidation states are left behind, so that a decorated structure gives the same files.

    Raises
    ------
    ValueError
        For partly occupied or frozen sites, or an element whose sites are not in one block.
    """
    if not structure.is_ordered:
        raise ValueError(f"{structure.formula} has partly occupied sites; choose an ordering before making inputs")
    if any("selective_dynamics" in site.properties for site in structure):
        raise ValueError("selective_dynamics freezes sites, which no protocol records; remove that site property")
    symbols = [site.specie.symbol for site in structure]
    order = [symbol for symbol, _ in groupby(symbols)]
    if len(order) != len(set(order)):
        raise ValueError(
            f"{len(order)} POSCAR blocks for {len(set(order))} elements ({' '.join(order[:8])} ...); "
            "sort the sites by element first and keep the permutation"
        )
    # Asked site by site: Structure.site_properties warns where a site has none, and initial_moments names it.
    moments = [site.properties.get("magmom") for site in structure]
    return Structure(
        structure.lattice,
        symbols,
        structure.frac_coords,
        site_properties={"magmom": moments},
    )


def blocks(structure: Structure) -> list[str]:
    """Element of each POSCAR block, in order."""
    return [symbol for symbol, _ in groupby(site.specie.symbol for site in structure)]


def _hubbard_tags(protocol: Protocol, elements: list[str]) -> dict[str, object]:
    values = [protocol.hubbard_u.get(symbol, 0.0) for symbol in elements]
    if not any(values):
        return {}
    return {
        "LDAU": True,
        "LDAUTYPE": protocol.ldau_type,
        "LDAUL": [2 if u else -1 for u in values],
        "LDAUU": values,
        "LDAUJ": [0.0] * len(values),
    }


def _check_spin_order(protocol: Protocol, structure: Structure, moments: list[float]) -> None:
    if protocol.spin_order == "FM" and min(moments) < 0:
        i = moments.index(min(moments))
        raise ValueError(
            f"{structure[i].specie.symbol}[{i}] starts at {moments[i]} muB, but protocol {protocol.name} is "
            "ferromagnetic; use a protocol of your own with `spin_order: as given`"
        )


def _total_moment(moments: list[float]) -> int:
    total = sum(moments)
    if abs(total - round(total)) > 1e-6 or total < 0:
        raise ValueError(
            f"the initial moments add up to {total:.6g} muB, and NUPDOWN must be a whole number from 0 up; "
            "were measured moments passed on? Set `magmom` from the charge states again"
        )
    return round(total)


def _moment(value: object) -> float | None:
    """Return a moment as a float, or None for what is no finite number (vectors and True included)."""
    if isinstance(value, Real) and not isinstance(value, bool) and isfinite(value):
        return float(value)
    return None
