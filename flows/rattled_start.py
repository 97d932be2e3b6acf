"""Where a step starts under a protocol that rattles: displaced once, before the first run of the step."""

from __future__ import annotations

from pymatgen.core import Structure

from ..inputs.protocol import Protocol
from ..inputs.rattle import rattled
from ..stores.documents import StepIntent, StepKind

RATTLED_STEPS: tuple[StepKind, ...] = ("relax", "free relax")
"""Relaxations with the redox element: frames of the surrogate teach nothing, and statics are of the structure given."""


def rattled_start(structure: Structure, step: StepKind, protocol: Protocol, intent: StepIntent | None) -> Structure:
    """The geometry that a step's first run starts from.

    Every run of an attempt, on any machine, starts from the same one; another attempt from another.

    Parameters
    ----------
    structure : what the step is given.
    step, protocol : `protocol.rattle` displaces atoms in `RATTLED_STEPS` alone.
    intent : configuration and attempt that the run belongs to; None: its displacements go by the formula.
    """
    if protocol.rattle is None or step not in RATTLED_STEPS:
        return structure
    whose = intent or StepIntent()
    name = f"{whose.configuration_id or structure.formula}/{step}/{whose.attempt}"
    return rattled(structure, protocol.rattle, name)
