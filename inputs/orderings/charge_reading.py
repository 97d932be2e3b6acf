"""The charge ordering that a mapped structure carries: from oxidation states, or else from magnetic moments."""

from __future__ import annotations

from typing import Any

import numpy as np
from pymatgen.core import Structure

from ..charge_states import RedoxCouple
from ..moments import read_states
from ..supercells import HostSupercell
from .group import Bits
from .mapping import SiteMap


def charge_bits(
    structure: Structure, site_map: SiteMap, cell: HostSupercell, couple: RedoxCouple, engine: str = "vasp"
) -> Bits | None:
    """Charge ordering that a mapped structure carries.

    Parameters
    ----------
    structure : oxidation states as decorated species or as the site property `oxidation_state`; else moments as the
        site property `magmom` (numbers, vectors, or as pymatgen reads a magnetic CIF) or as the species' spin.
    site_map : of the structure onto the cell.
    cell, couple : the host's supercell and the redox couple.
    engine : whose moments they are; label windows belong to engines.

    Returns
    -------
    (n_redox,) True = high state, host order; None where the structure says nothing.

    Raises
    ------
    ValueError
        If only some redox sites carry a state, the states are not neutral, or the moments cannot be read.
    """
    atoms = [structure[int(i)] for i in site_map.redox_atoms(cell)]
    states = [site.properties.get("oxidation_state", getattr(site.specie, "oxi_state", None)) for site in atoms]
    if all(state in (couple.low.oxidation_state, couple.high.oxidation_state) for state in states):
        bits = np.array([state == couple.high.oxidation_state for state in states], dtype=bool)
        _check_neutral(bits, site_map, cell, couple)
        return bits
    moments = [moment for site in atoms if (moment := _moment(site)) is not None]
    if len(moments) == len(atoms):
        reading = read_states(moments, couple, engine, cell.n_high(int(site_map.working.sum()), couple))
        if reading.is_high is None:
            raise ValueError(
                f"the moments do not tell the charge ordering: {reading.reason}; write oxidation states instead"
            )
        return reading.is_high
    if any(state is not None for state in states):
        raise ValueError(
            f"oxidation states {states} of the {couple.element} sites are not all of {couple.name}; give each of them "
            "one of the two, or none to take the working ions alone"
        )
    return None


def _moment(site: Any) -> float | None:
    """Size of a site's moment, muB."""
    moment = site.properties.get("magmom")
    if moment is None:
        moment = getattr(site.specie, "spin", None)
    if moment is None:
        return None
    vector = getattr(moment, "global_moment", moment)  # pymatgen's Magmom, of a magnetic CIF
    return float(np.linalg.norm(vector))


def _check_neutral(bits: Bits, site_map: SiteMap, cell: HostSupercell, couple: RedoxCouple) -> None:
    n_working = int(site_map.working.sum())
    n_high = cell.n_high(n_working, couple)
    if bits.sum() != n_high:
        raise ValueError(
            f"{int(bits.sum())} of {len(bits)} {couple.element} sites are {couple.element}"
            f"{couple.high.oxidation_state}+ where neutrality asks for {n_high} with {n_working} "
            f"{cell.host.working_ion}; correct the oxidation states"
        )
