"""job.json: one structure with its intended ions and GPAW's parameters, as GPAW's process reads it (`in_gpaw.run`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from ...inputs.gpaw_settings import GpawSettings, cell_relaxes, gpaw_parameters
from ...inputs.protocol import Protocol
from ...inputs.substitution import ChargeSites, StepStructure

Calculation = Literal["relax", "static"]


def job_content(
    prepared: StepStructure,
    sites: ChargeSites,
    protocol: Protocol,
    mesh: tuple[int, int, int],
    calculation: Calculation,
    starts: Sequence[str] | None = None,
    stop_after_s: float | None = None,
) -> dict[str, Any]:
    """Everything that GPAW's process needs.

    Parameters
    ----------
    prepared : structure of the step with its initial moments and site order.
    sites : charge states in parent order.
    protocol : with its `gpaw` block.
    mesh : Gamma-centred k-mesh.
    calculation : relax or static.
    starts : SCF starts; None: the protocol's.
    stop_after_s : a relaxation ends itself before this wall time is over.

    Raises
    ------
    ValueError
        If an ion's charge is not known, the ions are not neutral, or the protocol asks for what GPAW cannot do.
    """
    settings = gpaw_settings(protocol)
    structure, starts = prepared.structure, tuple(starts or settings.starts)
    symbols = [site.specie.symbol for site in structure]
    ionic = any(start.startswith("ionic") for start in starts)
    here = [i for i, parent in enumerate(prepared.site_order) if _is_redox(symbols[i], parent, sites)]
    # In the surrogate step the high-state sites hold another element: no order is left to be read.
    n_high = sites.n_high if len(here) == len(sites.redox_sites) else 0
    return {
        "calculation": calculation,
        "symbols": symbols,
        "cell": structure.lattice.matrix.tolist(),
        "frac_coords": structure.frac_coords.tolist(),
        "magmoms": [float(moment) for moment in structure.site_properties["magmom"]],
        "charges": _ions(symbols, prepared.site_order, sites, settings) if ionic else [0.0] * len(symbols),
        "screening": [settings.screening, settings.covalency],
        "redox": {"sites": here, "n_high": n_high, "high_is_larger": sites.couple.high_moment_is_larger},
        "max_hops": settings.limits["hops"],
        "starts": list(starts),
        "parameters": gpaw_parameters(protocol, set(symbols), mesh),
        "relax": {
            "max_force": protocol.max_force,
            "max_steps": settings.limits["steps"],
            "cell": cell_relaxes(protocol),
            "stop_after_s": stop_after_s,
        },
    }


def gpaw_settings(protocol: Protocol) -> GpawSettings:
    """The protocol's block for GPAW.

    Raises
    ------
    ValueError
        If it has none.
    """
    if protocol.gpaw is None:
        raise ValueError(f"protocol {protocol.name} has no `gpaw` block; take protocol: gpaw or gpaw-quick")
    return protocol.gpaw


def _ions(symbols: Sequence[str], order: Sequence[int], sites: ChargeSites, settings: GpawSettings) -> list[float]:
    """Formal charge of every site, e.

    Raises
    ------
    ValueError
        If they do not sum to zero: GPAW's cell is neutral.
    """
    charges = [_ion(symbol, parent, sites, settings) for symbol, parent in zip(symbols, order, strict=True)]
    total = sum(charges)
    if abs(total) > 1e-6:
        raise ValueError(
            f"the ions of {_formula(symbols)} carry {total:+g} e, so that moments and charges cannot both be had "
            "from a neutral cell; correct the oxidation states, or the charges in the protocol's gpaw: {ions: ...}"
        )
    return charges


def _ion(symbol: str, parent: int, sites: ChargeSites, settings: GpawSettings) -> float:
    couple = sites.couple
    if _is_redox(symbol, parent, sites):
        if sites.is_high is None:
            share = sites.n_high / len(sites.redox_sites)
            return (1 - share) * couple.low.oxidation_state + share * couple.high.oxidation_state
        return float(couple.state(sites.is_high[sites.redox_sites.index(parent)]).oxidation_state)
    if parent in sites.redox_sites:
        return float(couple.surrogate.oxidation_state)
    return float(settings.ion(symbol))


def _is_redox(symbol: str, parent: int, sites: ChargeSites) -> bool:
    return parent in sites.redox_sites and symbol == sites.couple.element


def _formula(symbols: Sequence[str]) -> str:
    return "".join(f"{symbol}{symbols.count(symbol)}" for symbol in dict.fromkeys(symbols))
