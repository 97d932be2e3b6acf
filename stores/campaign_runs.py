"""A run of a campaign as frames: from the documents that flows wrote, its intent kept beside every number.

Frames of the surrogate step hold real surrogate ions and say so; those of later steps hold the redox element.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..inputs.charge_states import RedoxCouple
from ..inputs.supercells import supercell_text
from .documents import FrameSeries
from .frame_arrays import FloatArray, IntArray
from .frames import FrameStep, RunDoc
from .ingest_run import RunFacts, StepFrame, atomic_numbers, reduced_formula

_STEPS: dict[str, FrameStep] = {
    "surrogate relax": "surrogate relax",
    "relax": "relax",
    "free relax": "relax",
    "static": "static",
    "rescue static": "static",
}
_FROM_CONFIGURATION = ("host", "fraction", "working_key")


@dataclass(frozen=True)
class CampaignRun:
    """One VASP run of a campaign.

    Attributes
    ----------
    step : fields of its VaspStepDoc.
    series : its frames.
    index : jobflow's; continuations of a step share its uuid.
    configuration : fields of its ConfigurationDoc; empty where that is not known.
    oxidation_states : charges of the host's other elements, e; empty where they are not known.
    max_force : force criterion of the protocol, eV/A, or None.
    """

    step: Mapping[str, Any]
    series: FrameSeries
    index: int = 1
    configuration: Mapping[str, Any] = field(default_factory=dict)
    oxidation_states: Mapping[str, int] = field(default_factory=dict)
    max_force: float | None = None

    @property
    def run_id(self) -> str:
        """Uuid and index of the job."""
        return f"{self.step['uuid']}-{self.index}"

    @property
    def calculation_id(self) -> str | None:
        """The calculation that the run was made for."""
        intent = self.step["intent"]
        return None if intent["configuration_id"] is None else f"{intent['configuration_id']}-{intent['attempt']}"

    def facts(self) -> RunFacts:
        """What its frames have in common."""
        step, intent = self.step, self.step["intent"]
        kind = step["step"]
        is_surrogate = kind == "surrogate relax"
        supercell = self.configuration.get("supercell")
        extra = {name: self.configuration.get(name) for name in _FROM_CONFIGURATION}
        return RunFacts(
            run_id=self.run_id,
            source="campaign",
            lineage=intent["configuration_id"] or self.run_id,
            numbers=atomic_numbers(self.series.symbols),
            engine=step["engine"]["name"],
            engine_version=step["engine"]["version"],
            protocol=step["protocol"],
            protocol_hash=step["protocol_hash"],
            step=_STEPS.get(kind, "other"),
            has_surrogate=is_surrogate,
            run_finished=not step.get("stopped", False),
            audit_passed=bool(step["audit"]["passed"]),
            max_force=self.max_force if kind in ("surrogate relax", "relax", "free relax") else None,
            initial_magmoms=np.array(step["initial_magmoms"], dtype=float),
            intended_states=self._intended_states(),
            extra={
                **extra,
                "campaign": self.configuration.get("campaign") or intent["campaign"],  # which registered it first
                "configuration_id": intent["configuration_id"],
                "calculation_id": self.calculation_id,
                "intended_key": self.configuration.get("joint_key"),
                "supercell": None if supercell is None else supercell_text(supercell),
            },
        )

    def frames(self) -> Iterator[StepFrame]:
        """Its ionic steps."""
        series, drift = self.series, tuple(self.step.get("protocol_drift") or ())
        n_frames = len(series.energies)
        origins = series.origins or ["final"] * n_frames
        for number in range(n_frames):
            lattice = np.array(series.lattices[number], dtype=float)
            scaled = np.array(series.frac_coords[number], dtype=float)
            moments = series.magmoms[number]
            yield StepFrame(
                lattice=lattice,
                positions=scaled @ lattice,
                scaled_positions=scaled,
                forces=np.array(series.forces[number], dtype=float),
                energy=series.energies[number],
                stress=np.array(series.stresses[number], dtype=float),
                magmoms=None if moments is None else np.array(moments, dtype=float),
                bader_charges=self._bader_charges() if number == n_frames - 1 else None,
                scf_converged=series.scf_converged[number],
                origin=origins[number],
                drift=drift,
            )

    def document(self, checksum: str) -> RunDoc:
        """The run's own document."""
        facts = self.facts()
        return RunDoc(
            run_id=facts.run_id,
            source="campaign",
            place=self.step["folder"],
            checksum=checksum,
            state="taken",
            n_frames=len(self.series.energies),
            engine=facts.engine,
            formula=reduced_formula(facts.numbers),
            protocol_hash=facts.protocol_hash,
            fixed_states=dict(self.oxidation_states),
            couples=[RedoxCouple.model_validate(self.step["couple"]).model_dump(mode="json")],
            calculation_id=self.calculation_id,
        )

    def _bader_charges(self) -> FloatArray | None:
        charges = self.step.get("bader_charges")
        return None if charges is None else np.array(charges, dtype=float)

    def _intended_states(self) -> IntArray | None:
        """Oxidation state of every site as it was meant; None for a free order, or where a charge is not known."""
        step = self.step
        if step["intended_is_high"] is None:
            return None
        couple = RedoxCouple.model_validate(step["couple"])
        by_parent = {
            site: couple.state(is_high).oxidation_state
            for site, is_high in zip(step["redox_sites"], step["intended_is_high"], strict=True)
        }
        states = []
        for symbol, parent in zip(self.series.symbols, step["site_order"], strict=True):
            state = by_parent.get(parent, self.oxidation_states.get(symbol))
            if state is None:
                return None
            states.append(state)
        return np.array(states, dtype=np.int8)
