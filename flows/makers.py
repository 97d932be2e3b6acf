"""The maker of a step is VASP's or GPAW's; here is what either is asked for, so that flows and resuming need not know.

Which one a protocol gets is told by its `gpaw` block (`Protocol.for_engine`).
"""

from __future__ import annotations

from copy import deepcopy
from typing import TypeAlias

from jobflow import Job
from pymatgen.core import Structure

from ..inputs.protocol import Protocol, load_protocol
from ..inputs.vasp_sets import relax_set, static_set
from ..stores.documents import RunHistory, StepIntent, StepKind, VaspStepDoc
from .follow_up import StartingPoint, follow_up
from .gpaw.maker import GpawStepMaker
from .rattled_start import rattled_start
from .rescue import on_rung
from .step_document import StepContext
from .vasp_job import ChargeOrderedVaspMaker

StepMaker: TypeAlias = ChargeOrderedVaspMaker | GpawStepMaker


def relax_step_maker(step: StepKind, protocol: Protocol | str) -> StepMaker:
    """A relaxation of one step under a protocol, given itself or by name."""
    known = protocol if isinstance(protocol, Protocol) else load_protocol(protocol)
    if known.gpaw is not None:
        return GpawStepMaker(name=step, step=step, protocol=known)
    return ChargeOrderedVaspMaker(name=step, step=step, input_set_generator=relax_set(known))


def static_step_maker(protocol: Protocol | str) -> StepMaker:
    """A static calculation under a protocol, given itself or by name."""
    known = protocol if isinstance(protocol, Protocol) else load_protocol(protocol)
    if known.gpaw is not None:
        return GpawStepMaker(name="static", step="static", protocol=known)
    return ChargeOrderedVaspMaker(name="static", step="static", input_set_generator=static_set(known))


def meshed(maker: StepMaker, structure: Structure) -> StepMaker:
    """The maker with its k-mesh decided on this cell, so that no relaxed cell changes it later."""
    if isinstance(maker, GpawStepMaker):
        return maker.meshed(structure)
    if maker.input_set_generator.kpoints_mesh is not None:
        return maker
    decided = deepcopy(maker)
    decided.input_set_generator.kpoints_mesh = maker.input_set_generator.protocol.kpoints(structure.lattice)
    return decided


def next_job(
    maker: StepMaker, document: VaspStepDoc, context: StepContext, after: StartingPoint, origin: StartingPoint
) -> Job | None:
    """The job that follows a finished run, or None where its document is the last word; parameters as `follow_up`'s."""
    if isinstance(maker, GpawStepMaker):
        return maker.follow_up(document, context, after, origin)
    return follow_up(maker, document, context, after, origin)


def first_structure(maker: StepMaker, given: Structure, intent: StepIntent | None) -> Structure:
    """What the first run of a step starts from, where it is given a structure: the protocol may rattle it."""
    protocol = maker.protocol if isinstance(maker, GpawStepMaker) else maker.input_set_generator.protocol
    return rattled_start(given, maker.step, protocol, intent)


def as_before(maker: StepMaker, history: RunHistory) -> StepMaker:
    """The maker as the run was made that left this history: a resumed campaign makes its makers anew."""
    return maker if isinstance(maker, GpawStepMaker) else on_rung(maker, history)
