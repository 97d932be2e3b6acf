"""Average voltages of a campaign against its working ion's metal, between neighbouring stable phases.

V = -(E(x2) - E(x1) - (x2 - x1) n E_metal) / ((x2 - x1) n z), energies standing for free energies (Aydinol et al., Phys.
Rev. B 56 (1997) 1354, doi:10.1103/PhysRevB.56.1354): n working-ion sites per formula unit, z electrons per ion. A test
holds them against pymatgen's InsertionElectrode. Without the metal by the same engine and protocol they are refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from scipy.constants import physical_constants

from ..stores.relative_energy import EV_TO_MEV
from .campaign_results import CampaignResults
from .hull_agreement import Hull

if TYPE_CHECKING:
    from ..stores.connect import Stores

FARADAY_MAH = physical_constants["Faraday constant"][0] / 3.6
"""mAh per mol."""


@dataclass(frozen=True)
class VoltageStep:
    """One plateau: the two-phase region between neighbouring corners of the hull.

    Attributes
    ----------
    x_low, x_high : working-ion fractions of the phases.
    voltage : V against the metal.
    capacity : mAh per g of the full host, of this plateau.
    """

    x_low: float
    x_high: float
    voltage: float
    capacity: float


@dataclass(frozen=True)
class Voltages:
    """Voltages of a campaign.

    Attributes
    ----------
    steps : plateaus, from the empty host to the full.
    average : V over the whole range.
    metal : crystal of the reference, e.g. bcc Na.
    source : engine and protocol.
    working_ion : its symbol.
    """

    steps: tuple[VoltageStep, ...]
    average: float
    metal: str
    source: str
    working_ion: str

    def rows(self) -> list[dict[str, Any]]:
        """One plain row per plateau."""
        return [
            {"x_low": s.x_low, "x_high": s.x_high, "voltage_V": s.voltage, "capacity_mAh_per_g": s.capacity}
            for s in self.steps
        ]


def voltage_steps(
    x: Sequence[float], energies_per_fu: Sequence[float], metal: float, ions: float, electrons: int, mass: float
) -> tuple[VoltageStep, ...]:
    """Voltages between stable phases.

    Parameters
    ----------
    x : (n,) working-ion fractions of the corners of the hull, ascending, at least two.
    energies_per_fu : (n,) their total energies, eV per formula unit.
    metal : energy of the working ion's metal, eV per atom.
    ions : working-ion sites per formula unit.
    electrons : that one ion carries, its charge in e.
    mass : of the full host, g per mol of formula units.
    """
    steps = []
    for (x_low, e_low), (x_high, e_high) in pairwise(zip(x, energies_per_fu, strict=True)):
        moved = (x_high - x_low) * ions
        voltage = -(e_high - e_low - moved * metal) / (moved * electrons)
        steps.append(VoltageStep(x_low, x_high, voltage, moved * electrons * FARADAY_MAH / mass))
    return tuple(steps)


def campaign_voltages(results: CampaignResults, metal: Mapping[str, Any] | None) -> Voltages:
    """Voltages of a campaign.

    Parameters
    ----------
    results : the campaign's.
    metal : MetalReferenceDoc as a dict, from `metal_reference`; None: there is none.

    Raises
    ------
    ValueError
        If the reference is missing (with the line to type), or there is no hull.
    """
    host = results.cell.host
    ion = host.working_ion
    if metal is None:
        raise ValueError(
            f"voltages need the metal {ion} by {results.source}, which is not there: add `voltages: true` to the "
            f"campaign file, then {results.ways('run', results.engine, '--only', 'metal')}"
        )
    hull = results.hull()
    x, energies = _corners(hull, results)
    electrons = int(host.oxidation_states[ion])
    composition = host.structure.composition
    units = host.formula_units
    steps = voltage_steps(
        x, energies, float(metal["energy_per_atom"]), composition[ion] / units, electrons, composition.weight / units
    )
    moved = sum(s.x_high - s.x_low for s in steps)
    average = sum((s.x_high - s.x_low) * s.voltage for s in steps) / moved
    return Voltages(steps, average, str(metal["crystal"]), results.source, ion)


def _corners(hull: Hull, results: CampaignResults) -> tuple[list[float], list[float]]:
    """Fractions and total energies of the hull's corners, eV per formula unit."""
    x, relative = hull.vertices
    lowest = {end: min(c["energy_per_fu"] for c in results.counting if c["fraction"] == end) for end in (0.0, 1.0)}
    totals = [
        float(value) / EV_TO_MEV + fraction * lowest[1.0] + (1 - fraction) * lowest[0.0]
        for fraction, value in zip(x.tolist(), relative.tolist(), strict=True)
    ]
    return x.tolist(), totals


def metal_reference(stores: Stores, results: CampaignResults) -> dict[str, Any] | None:
    """The metal by the engine and protocol of a campaign's energies; None where none counts."""
    criteria = {
        "element": results.cell.host.working_ion,
        "engine": results.engine,
        "of_protocol_hash": results.calculations[0]["protocol_hash"],
        "counts": True,
    }
    found = stores.collection("references").query_one(criteria)
    return None if found is None else dict(found)
