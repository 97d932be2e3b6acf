"""Structures with their charge states and vacancies, as figures draw them (paper Figs. 1, 3 and 7).

From calculations of a campaign, and from what potentials reached; species are named as `Fe2+`, vacancies `vacancy`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..inputs.charge_states import state_names
from ..potentials.evaluation.scores import ModelScores, ReachedOrdering
from ..stores.relative_energy import EV_TO_MEV
from .campaign_results import CampaignResults
from .ways_out import refuse_no_numbers

VACANCY = "vacancy"
MOST = 11
"""Structures of Fig. 3: the ten lowest and the reference."""

_FINAL_STEPS = ("relax", "free relax")
Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class OrderedStructure:
    """One structure to draw.

    Attributes
    ----------
    name : joint key, or what made it.
    note : composition and energy, in words.
    x : working-ion fraction; None where it is not told.
    lattice : (3, 3) rows are vectors, A.
    species : (n_sites,) element, for redox sites with charge (`Fe3+`), or `vacancy`.
    frac_coords : (n_sites, 3).
    energy_mev_per_fu : relative energy (Eq. 1) or as `note` says; None without one.
    """

    name: str
    note: str
    x: float | None
    lattice: Floats
    species: tuple[str, ...]
    frac_coords: Floats
    energy_mev_per_fu: float | None = None

    def rows(self) -> list[dict[str, Any]]:
        """One plain row per site."""
        coordinates = zip(self.species, self.frac_coords.tolist(), strict=True)
        return [
            {"structure": self.name, "x": self.x, "energy_mev_per_fu": self.energy_mev_per_fu, "site": site,
             "species": species, "a": a, "b": b, "c": c}
            for site, (species, (a, b, c)) in enumerate(coordinates)
        ]  # fmt: skip


def stable_structures(results: CampaignResults) -> list[OrderedStructure]:
    """The lowest structure of every composition on the hull, the full host first (Fig. 1).

    Raises
    ------
    ValueError
        As in `CampaignResults.hull`.
    """
    hull = results.hull()
    by_name = dict(zip(hull.names, hull.energies, strict=True))
    stable = set(hull.stable)
    found: dict[float, OrderedStructure] = {}
    for c in results.counting:
        key = str(c["achieved_key"] or c["intended_key"])
        if key in stable:
            energy = float(by_name[key])
            note = f"x = {c['fraction']:.3g}, {energy:z.1f} meV/f.u."
            found.setdefault(c["fraction"], ordered_structure(results, c, note, energy))
    return [found[x] for x in sorted(found, reverse=True)]


def lowest_structures(
    results: CampaignResults, fraction: float | None = None, most: int = MOST
) -> list[OrderedStructure]:
    """The lowest structures of one composition, energies relative to the reference or else the lowest (Fig. 3).

    Parameters
    ----------
    results : the campaign.
    fraction : None: the composition between the end members that has most calculations.
    most : so many structures at most; a reference is among them, and comes last.

    Raises
    ------
    ValueError
        If no calculation between the end members counts, or an energy is no number.
    """
    between = results.between()
    if not between:
        raise ValueError(f"no calculation between the end members counts; {results.run} computes what is missing")
    chosen = fraction if fraction is not None else Counter(c["fraction"] for c in between).most_common(1)[0][0]
    unsorted = [c for c in between if abs(c["fraction"] - chosen) < 1e-9]
    if not unsorted:
        raise ValueError(f"no calculation at x = {chosen:g} counts")
    refuse_no_numbers(unsorted, results.source, results.ways)
    here = sorted(unsorted, key=lambda c: float(c["energy"]))
    reference = next((c for c in here if "reference" in c["strata"]), None)
    others = [c for c in here if c is not reference][: most - 1 if reference else most]
    zero = float((reference or here[0])["energy_per_fu"])
    drawn = []
    for number, c in enumerate([*others, *([reference] if reference else [])], 1):
        name = "Reference" if c is reference else f"Structure {number}"
        energy = EV_TO_MEV * (float(c["energy_per_fu"]) - zero)
        drawn.append(ordered_structure(results, c, f"{name}: {energy:+.1f} meV/f.u.", energy))
    return drawn


def ordered_structure(
    results: CampaignResults, calculation: Mapping[str, Any], note: str, energy: float | None = None
) -> OrderedStructure:
    """A relaxed structure with the charge states read from its moments, and its vacancies on the host's sites."""
    step = next(calculation["steps"][name] for name in _FINAL_STEPS if name in calculation["steps"])
    sites = step["structure"]["sites"]
    species = [str(site["species"][0]["element"]) for site in sites]
    place = {parent: here for here, parent in enumerate(step["site_order"])}
    bits, names = step["achieved"]["is_high"], state_names(results.couple)
    for rank, parent in enumerate(step["redox_sites"]):
        if bits is not None:
            species[place[parent]] = names[bool(bits[rank])]
    empty = results.cell.working_sites[~np.asarray(calculation["working_bits"], dtype=bool)]
    vacant = np.asarray(results.cell.structure.frac_coords, dtype=float)[empty]
    return OrderedStructure(
        name=str(calculation["achieved_key"] or calculation["intended_key"]),
        note=note,
        x=float(calculation["fraction"]),
        lattice=np.asarray(step["structure"]["lattice"]["matrix"], dtype=float),
        species=(*species, *([VACANCY] * len(vacant))),
        frac_coords=np.vstack([np.array([site["abc"] for site in sites], dtype=float), vacant.reshape(-1, 3)]),
        energy_mev_per_fu=energy,
    )


def reached_structures(scores: Sequence[ModelScores]) -> list[OrderedStructure]:
    """The reference's ordering first, then what each potential reached from the same structure (Fig. 7).

    Raises
    ------
    ValueError
        If no score has it, or they are of different data sets or structures.
    """
    found = [(s, next(iter(s.reached), None)) for s in scores]
    known = [(s, r) for s, r in found if r is not None]
    if not known:
        raise ValueError(
            "no scores say which ordering a relaxation reached; evaluate again with structures: `valenceflow evaluate`"
        )
    if len({(s.data_set_checksum, r.structure) for s, r in known}) > 1:
        raise ValueError("the scores are of different data sets or structures; evaluate the models together")
    first, engine = known[0][1], known[0][0].engine
    told = OrderedStructure(
        "reference", f"reference ({engine})", None, np.array(first.reference_lattice),
        _labelled(first.reference_symbols, first.reference_redox_atoms, first.told, first.states),
        np.array(first.reference_frac_coords),
    )  # fmt: skip
    return [told, *(_reached_structure(s.model, r) for s, r in known)]


def _reached_structure(model: str, r: ReachedOrdering) -> OrderedStructure:
    how = {"kept": "as the reference", "equivalent": "a symmetry image", "moved": "another ordering"}
    return OrderedStructure(
        model, f"{model}: {how.get(r.relation, 'not read')} (by {r.judge})", None, np.array(r.lattice),
        _labelled(r.symbols, r.redox_atoms, r.high, r.states), np.array(r.frac_coords),
    )  # fmt: skip


def _labelled(
    symbols: Sequence[str], redox: Sequence[int], high: Sequence[bool] | None, states: Sequence[str]
) -> tuple[str, ...]:
    species = list(symbols)
    if high is not None:
        for site, bit in zip(redox, high, strict=True):
            species[site] = states[bit]
    return tuple(species)
