"""From what a reader found to documents: one `RunDoc`, its `FrameDoc`s and their blocks, made as frames arrive.

Every reader (`ingest_vasp`, `ingest_tasks`, `ingest_sets`) and the builder of campaigns hand over `RunFacts` and a
stream of `StepFrame`s; what a frame document holds is decided here alone.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from ase.data import chemical_symbols
from numpy.typing import NDArray
from pymatgen.core import Composition

from .frame_arrays import FloatArray, FrameArrays, IntArray, block_of, frames_per_block
from .frames import FrameDoc, FrameStep, Source, frame_id
from .ingest_reasons import FrameReason, PassOver

_NUMBERS = {symbol: number for number, symbol in enumerate(chemical_symbols)}
_HASH_PER_UNIT = 1e5
_FLAT = 1e-6  # A^3: a cell without volume


@dataclass
class RunFacts:
    """What all frames of a run have in common.

    Attributes
    ----------
    run_id, source, lineage, engine, engine_version, protocol, protocol_hash : as in `FrameDoc`.
    numbers : (n_sites,) atomic numbers; frames of a data set may have their own.
    has_surrogate, path_image, run_finished, audit_passed : as in `FrameDoc`.
    surrogates : elements that make a frame one of the surrogate step wherever they occur.
    max_force : criterion of a relaxation, eV/A, or None.
    initial_magmoms : (n_sites,) muB, or None.
    intended_states : (n_sites,) e, or None; frames of a data set may have their own.
    extra : further fields of `FrameDoc` (campaign, host, fraction, keys).
    """

    run_id: str
    source: Source
    lineage: str
    numbers: NDArray[np.uint8]
    engine: str
    protocol_hash: str
    step: FrameStep
    engine_version: str | None = None
    protocol: str | None = None
    has_surrogate: bool = False
    surrogates: frozenset[str] = frozenset()
    path_image: bool = False
    run_finished: bool = True
    audit_passed: bool | None = None
    max_force: float | None = None
    initial_magmoms: FloatArray | None = None
    intended_states: IntArray | None = None
    extra: dict[str, Any] = field(default_factory=dict)


@dataclass
class StepFrame:
    """One ionic step as a reader found it.

    Attributes
    ----------
    lattice : (3, 3) A.
    positions, forces : (n_sites, 3) A (Cartesian), eV/A.
    energy : eV.
    stress : (3, 3) eV/A^3, ASE sign, or None.
    magmoms, bader_charges : (n_sites,) muB, e, or None.
    scaled_positions : (n_sites, 3) where they were printed.
    scf_converged : EDIFF was reached.
    numbers, intended_states, origin, drift, lineage, extra : where they differ from the run's.
    """

    lattice: FloatArray
    positions: FloatArray
    forces: FloatArray
    energy: float
    stress: FloatArray | None = None
    magmoms: FloatArray | None = None
    bader_charges: FloatArray | None = None
    scaled_positions: FloatArray | None = None
    scf_converged: bool = True
    origin: str = "final"
    drift: tuple[str, ...] = ()
    lineage: str | None = None
    numbers: NDArray[np.uint8] | None = None
    intended_states: IntArray | None = None
    extra: dict[str, Any] = field(default_factory=dict)

    def is_finite(self) -> bool:
        """Whether every number is one."""
        present = (self.lattice, self.positions, self.forces, self.stress, self.magmoms, self.bader_charges)
        return bool(np.isfinite(self.energy)) and all(np.all(np.isfinite(a)) for a in present if a is not None)


@dataclass
class Part:
    """Documents of consecutive frames: those of `frames`, and the one of `frame_arrays`."""

    frames: list[dict[str, Any]]
    block: dict[str, Any]


Sink = Callable[[Part], None]
"""Takes the parts of a run, in order."""


def atomic_numbers(symbols: Iterable[str]) -> NDArray[np.uint8]:
    """Atomic numbers of elements.

    Raises
    ------
    PassOver
        If a name is no element.
    """
    try:
        return np.array([_NUMBERS[symbol] for symbol in symbols], dtype=np.uint8)
    except KeyError as err:
        raise PassOver("not readable", f"{err.args[0]!r} is no element") from err


def reduced_formula(numbers: NDArray[np.uint8]) -> str:
    """Reduced formula of a cell, as pymatgen writes it."""
    return str(Composition(Counter(chemical_symbols[number] for number in numbers)).reduced_formula)


def parts_of(facts: RunFacts, frames: Iterable[StepFrame], left_out: Counter[FrameReason]) -> Iterator[Part]:
    """Documents of a run, a block at a time; frames with a number that is none are left out and counted.

    Parameters
    ----------
    facts : what the frames have in common.
    frames : in the order they were computed.
    left_out : takes the count of frames that were left out.
    """
    finite = _finite(facts, frames, left_out)
    first, waiting, following = 0, [], next(finite, None)
    while following is not None:
        waiting.append(following)
        following = next(finite, None)
        full = len(waiting) >= frames_per_block(len(waiting[0].positions))
        if following is None or full or not _same_sites(waiting[0], following):
            yield _part(facts, first, waiting, ends=following is None)
            first, waiting = first + len(waiting), []


def _same_sites(one: StepFrame, other: StepFrame) -> bool:
    pairs = ((one.numbers, other.numbers), (one.intended_states, other.intended_states))
    return all(a is b or (a is not None and b is not None and np.array_equal(a, b)) for a, b in pairs)


def _finite(facts: RunFacts, frames: Iterable[StepFrame], left_out: Counter[FrameReason]) -> Iterator[StepFrame]:
    for frame in frames:
        n_sites = len(facts.numbers if frame.numbers is None else frame.numbers)
        per_site = (frame.positions, frame.forces, frame.magmoms, frame.bader_charges)
        if any(len(values) != n_sites for values in per_site if values is not None):
            left_out["site counts disagree"] += 1
        elif not frame.is_finite():
            left_out["not finite"] += 1
        elif abs(np.linalg.det(frame.lattice)) < _FLAT:
            left_out["no cell"] += 1
        else:
            yield frame


def _part(facts: RunFacts, first: int, frames: list[StepFrame], ends: bool) -> Part:
    head = frames[0]
    numbers = facts.numbers if head.numbers is None else head.numbers
    arrays = [
        FrameArrays(
            numbers=numbers,
            lattice=frame.lattice,
            positions=frame.positions,
            forces=frame.forces,
            stress=frame.stress,
            magmoms=frame.magmoms,
            bader_charges=frame.bader_charges,
            initial_magmoms=facts.initial_magmoms,
            intended_states=facts.intended_states if head.intended_states is None else head.intended_states,
            scaled_positions=frame.scaled_positions,
        )
        for frame in frames
    ]
    block = block_of(facts.run_id, first, arrays)
    shared = _shared_fields(facts, numbers)
    documents = [
        _frame_document(facts, shared, frame, numbers, (first + row, block.block_id, row), ends and frame is frames[-1])
        for row, frame in enumerate(frames)
    ]
    return Part(documents, block.as_document())


def _shared_fields(facts: RunFacts, numbers: NDArray[np.uint8]) -> dict[str, Any]:
    symbols = [chemical_symbols[number] for number in numbers]
    counts = Counter(symbols)
    return {
        "run_id": facts.run_id,
        "source": facts.source,
        "step": facts.step,
        "has_surrogate": facts.has_surrogate or not facts.surrogates.isdisjoint(counts),
        "path_image": facts.path_image,
        "formula": reduced_formula(numbers),
        "chemsys": "-".join(sorted(counts)),
        "composition": dict(sorted(counts.items())),
        "n_sites": len(symbols),
        "run_finished": facts.run_finished,
        "audit_passed": facts.audit_passed,
        "engine": facts.engine,
        "engine_version": facts.engine_version,
        "protocol": facts.protocol,
        "protocol_hash": facts.protocol_hash,
        **facts.extra,
    }


def _frame_document(
    facts: RunFacts,
    shared: dict[str, Any],
    frame: StepFrame,
    numbers: NDArray[np.uint8],
    place: tuple[int, str, int],
    is_last: bool,
) -> dict[str, Any]:
    """One `FrameDoc` as it is stored; `place` is its number, block and row."""
    number, block_id, row = place
    max_force = float(np.sqrt((frame.forces**2).sum(axis=1).max()))
    relaxes = is_last and facts.max_force is not None and facts.run_finished
    document = FrameDoc(
        frame_id=frame_id(facts.run_id, number),
        number=number,
        block_id=block_id,
        row=row,
        content_hash=content_hash(numbers, frame),
        origin=frame.origin,
        is_last=is_last,
        relaxed=max_force <= (facts.max_force or 0.0) if relaxes else None,
        lineage=frame.lineage or facts.lineage,
        energy=float(frame.energy),
        energy_per_atom=float(frame.energy) / len(numbers),
        max_force=max_force,
        volume=float(abs(np.linalg.det(frame.lattice))),
        has_stress=frame.stress is not None,
        has_magmoms=frame.magmoms is not None,
        has_bader=frame.bader_charges is not None,
        scf_converged=frame.scf_converged,
        drift=list(frame.drift),
        drifted=bool(frame.drift),
        **{**shared, **frame.extra},
    )
    return document.model_dump(mode="json")


def content_hash(numbers: NDArray[np.uint8], frame: StepFrame) -> str:
    """Hash of what a frame says, to 1e-5 A, eV and eV/A; the same in every format."""
    digest = hashlib.sha256(numbers.tobytes())
    for values in (frame.lattice, frame.positions, frame.forces, np.array([frame.energy])):
        digest.update(np.rint(np.asarray(values) * _HASH_PER_UNIT).astype("<i8").tobytes())
    return digest.hexdigest()[:24]
