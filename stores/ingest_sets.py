"""ASE-readable data sets: extxyz (plain or compressed), ASE trajectories and databases, frame by frame.

Published sets state neither the unit of their stresses nor the sign of their Bader charges in the file: both are found
from the numbers (`ingest_units`) or asked for. A frame that cannot be read is left out and counted, the rest is taken.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from itertools import islice, pairwise
from pathlib import Path
from typing import Any, get_args

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from .frame_arrays import FloatArray, IntArray
from .frames import FrameStep, RunDoc
from .ingest_exported import ExportedSet, exported_set
from .ingest_files import checksum, plain_file
from .ingest_keys import CONVERGED, STEP, RawFrame, raw_frame
from .ingest_options import STRESS_FACTORS, IngestOptions
from .ingest_reasons import FrameReason, PassOver
from .ingest_run import RunFacts, Sink, StepFrame, atomic_numbers, parts_of
from .ingest_set_frames import EndsEarlyError, atoms_of
from .ingest_units import WorkFrame, bader_sign, stress_factor

_LOOKED_AT = 400
_MOST_MOVED, _MOST_STRETCHED = 1.0, 0.5  # A: from one frame of a trajectory to the next


@dataclass(frozen=True)
class SetFile:
    """A file of a data set."""

    path: Path
    root: Path

    @cached_property
    def checksum(self) -> str:
        """SHA-256 of the file, and of what an exported set says of it."""
        papers = () if self._exported is None else self._exported.papers
        return checksum([plain_file(self.path, self.root), *papers])

    @cached_property
    def _exported(self) -> ExportedSet | None:
        return exported_set(self.path, self.root)

    def take(self, options: IngestOptions, place: str, group: str | None, sink: Sink) -> RunDoc:
        """Read it; its documents go into `sink`. Parameters as in `ingest_vasp.take_vasp_run`.

        Raises
        ------
        PassOver
            If a unit can neither be found nor was given, or no frame can be taken.
        """
        path = plain_file(self.path, self.root)
        if path.stat().st_size == 0:
            raise PassOver("empty file", f"{path.name} has 0 bytes")
        exported, options_hash = self._exported, options.hash
        if exported is not None:
            options = exported.laid_on(options)
        conventions = _conventions(path, options)
        run_id = self.checksum[:24]
        facts = RunFacts(
            run_id=run_id,
            source="ase set",
            lineage=group or run_id,
            numbers=np.zeros(0, dtype=np.uint8),
            engine=options.engine,
            protocol=options.protocol_name,
            protocol_hash=_protocol_hash(options, exported),
            engine_version=None if exported is None else exported.engine_version,
            step="other",
            surrogates=options.surrogates,
        )
        group_of = {} if exported is None else exported.group_of
        reading = _Reading(options, conventions, run_id, group, group_of)
        manifest = "" if exported is None else "an exported set: what its manifest says holds"
        taken = 0
        for part in parts_of(facts, reading.frames(path), reading.left_out):
            taken += len(part.frames)
            sink(part)
        if not taken:
            raise reading.nothing_taken()
        return RunDoc(
            run_id=run_id,
            source="ase set",
            place=place,
            checksum=self.checksum,
            state="salvaged" if reading.ended_early else "taken",
            reason="interrupted" if reading.ended_early else "",
            detail="; ".join(text for text in (reading.ended_early, manifest, conventions.said) if text)[:300],
            n_frames=taken,
            left_out={str(reason): count for reason, count in reading.left_out.items()},
            engine=options.engine,
            options_hash=options_hash,
            protocol_hash=facts.protocol_hash,
        )


def _protocol_hash(options: IngestOptions, exported: ExportedSet | None) -> str:
    """An exported set's own, or one that sets of the same words share."""
    if exported is not None and exported.agrees_with(options):
        return exported.protocol_hash
    return f"set-{options.engine}-{options.protocol_name or 'unstated'}"


@dataclass(frozen=True)
class Conventions:
    """What a file's numbers mean.

    Attributes
    ----------
    stress_factor : to eV/A^3 with ASE's sign; None leaves stresses out.
    bader_factor : 1 or -1; None leaves Bader charges out.
    said : one line on how they were found.
    """

    stress_factor: float | None
    bader_factor: float | None
    said: str


def _conventions(path: Path, options: IngestOptions) -> Conventions:
    """Look at the first frames of a file.

    Raises
    ------
    PassOver
        If the unit of stresses or the meaning of Bader charges can neither be told nor was given.
    """
    frames: list[tuple[Atoms, RawFrame]] = []
    with suppress(EndsEarlyError):  # what is there is enough to look at
        for atoms in islice(atoms_of(path), _LOOKED_AT):
            if atoms is not None:
                with suppress(ValueError):  # a frame whose arrays disagree is counted when it is read
                    frames.append((atoms, raw_frame(atoms)))
    stress, stress_said = _stress_convention(frames, options)
    bader, bader_said = _bader_convention(frames, options)
    return Conventions(stress, bader, "; ".join(text for text in (stress_said, bader_said) if text))


def _stress_convention(frames: list[tuple[Atoms, RawFrame]], options: IngestOptions) -> tuple[float | None, str]:
    if options.stress_unit is not None:
        return STRESS_FACTORS.get(options.stress_unit), f"stress in {options.stress_unit} as told"
    if all(raw.stress is None for _, raw in frames):
        return None, ""
    pairs = []
    for (one, first), (other, second) in pairwise(frames):
        if _goes_on(one, other) and _complete(first) and _complete(second):
            pairs.append((_work_frame(one, first), _work_frame(other, second)))
    unit, said = stress_factor(pairs)
    if unit is None:
        raise PassOver(
            "unknown units",
            f"stress: {said}; give --stress-unit eV/A3, kbar or GPa (with a leading - where positive means pressure, "
            "as VASP prints it), or none to leave stresses out",
        )
    return STRESS_FACTORS[unit], f"stress in {unit}, found: {said}"


def _complete(raw: RawFrame) -> bool:
    return raw.energy is not None and raw.forces is not None and raw.stress is not None


def _work_frame(atoms: Atoms, raw: RawFrame) -> WorkFrame:
    assert raw.energy is not None
    assert raw.forces is not None
    assert raw.stress is not None
    return WorkFrame(atoms.cell.array, atoms.get_scaled_positions(wrap=False), raw.energy, raw.forces, raw.stress)


def _bader_convention(frames: list[tuple[Atoms, RawFrame]], options: IngestOptions) -> tuple[float | None, str]:
    if options.bader is not None:
        return {"net": 1.0, "gained": -1.0, "none": None}[options.bader], f"Bader charges: {options.bader} as told"
    charged = [(atoms.numbers, raw.bader_charges) for atoms, raw in frames if raw.bader_charges is not None]
    if not charged:
        return None, ""
    sign, said = bader_sign([numbers for numbers, _ in charged], [charges for _, charges in charged])
    if sign is None:
        raise PassOver("unknown units", f"{said}; give --bader net, gained, or none to leave them out")
    return sign, f"Bader charges, found: {said}"


def _goes_on(one: Atoms, other: Atoms) -> bool:
    """Whether a frame is the next of the same trajectory: same sites, moved a little."""
    if not np.array_equal(one.numbers, other.numbers) or one.cell.rank < 3 or other.cell.rank < 3:
        return False
    if np.max(np.abs(one.cell.array - other.cell.array)) > _MOST_STRETCHED:
        return False
    moved = other.get_scaled_positions(wrap=False) - one.get_scaled_positions(wrap=False)
    distances = np.linalg.norm((moved - np.round(moved)) @ other.cell.array, axis=1)
    return bool(np.max(distances) < _MOST_MOVED)


class _Reading:
    """Frames of one file as they are read, and the count of those that were left out."""

    def __init__(
        self,
        options: IngestOptions,
        conventions: Conventions,
        run_id: str,
        group: str | None,
        group_of: Mapping[str, str],
    ) -> None:
        self.left_out: Counter[FrameReason] = Counter()
        self.ended_early = ""
        self._options, self._conventions, self._run_id, self._group = options, conventions, run_id, group
        self._group_of = group_of
        self._before: Atoms | None = None
        self._trajectory = -1
        self._strangers: set[str] = set()

    def frames(self, path: Path) -> Iterator[StepFrame]:
        """Frames that can be taken."""
        try:
            for atoms in atoms_of(path):
                frame = None if atoms is None else self._frame(atoms)
                if atoms is None:
                    self.left_out["not readable"] += 1
                if frame is not None:
                    yield frame
        except EndsEarlyError as err:
            self.ended_early = " ".join(str(err).split())

    def nothing_taken(self) -> PassOver:
        """Why no frame was taken."""
        counted = ", ".join(f"{count} {reason}" for reason, count in self.left_out.items())
        if self._strangers and set(self.left_out) == {"element without a couple"}:
            first = min(self._strangers)
            remedy = f"give a couple (--couples FILE) or a charge (--fixed {first}=N), or --keep-unlabelled"
            return PassOver("element without a couple", f"{', '.join(sorted(self._strangers))}: {remedy}")
        return PassOver("no frame", "; ".join(text for text in (self.ended_early, counted) if text) or "it holds none")

    def _frame(self, atoms: Atoms) -> StepFrame | None:
        try:
            raw = raw_frame(atoms)
        except ValueError:
            self.left_out["site counts disagree"] += 1
            return None
        reason = self._reason_against(atoms, raw)
        if reason is not None:
            self.left_out[reason] += 1
            return None
        lineage = self._lineage(atoms, raw.info)
        numbers, states = _decoded(atoms, raw, self._options)
        assert raw.energy is not None
        assert raw.forces is not None
        return StepFrame(
            lattice=np.array(atoms.cell.array, dtype=float),
            positions=np.array(atoms.positions, dtype=float),
            forces=raw.forces,
            energy=raw.energy,
            stress=self._stress(atoms, raw),
            magmoms=raw.magmoms,
            bader_charges=self._bader(raw),
            scf_converged=_converged(raw.info),
            lineage=lineage,
            numbers=numbers,
            intended_states=states,
            extra={"step": _step(raw.info)},
        )

    def _reason_against(self, atoms: Atoms, raw: RawFrame) -> FrameReason | None:
        if raw.energy is None:
            return "no energy"
        if raw.forces is None:
            return "no forces"
        if atoms.cell.rank < 3:
            return "no cell"
        symbols = set(atoms.get_chemical_symbols())
        real = {self._options.encoded.get(symbol, (symbol, 0))[0] for symbol in symbols}
        strangers = real - self._options.redox_elements - set(self._options.fixed)
        if strangers and not self._options.keep_unlabelled:
            self._strangers |= strangers
            return "element without a couple"
        told = raw.magmoms is not None or raw.states is not None or bool(symbols & set(self._options.encoded))
        if not told and not self._options.keep_unlabelled and real & self._options.redox_elements:
            return "no moments"
        return None

    def _lineage(self, atoms: Atoms, info: Mapping[str, Any]) -> str | None:
        """Named by the file's own key or its set's split, or the trajectory that consecutive frames are of."""
        key = self._options.group_key
        if key is not None and key in info:
            return f"{self._run_id}:{info[key]}"[:200]
        if self._group is not None:
            return self._group
        if (stated := self._group_of.get(str(info.get("frame_id")))) is not None:
            return stated
        if self._before is None or not _goes_on(self._before, atoms):
            self._trajectory += 1
        self._before = atoms
        return f"{self._run_id}-t{self._trajectory:06d}"

    def _stress(self, atoms: Atoms, raw: RawFrame) -> FloatArray | None:
        if self._options.stress_unit == "none":
            return None
        factor = self._conventions.stress_factor
        if raw.stress is not None and factor is not None:
            return raw.stress * factor
        # A virial is minus stress times volume, in eV, wherever the word is used.
        return None if raw.virial is None else -raw.virial / abs(np.linalg.det(atoms.cell.array))

    def _bader(self, raw: RawFrame) -> FloatArray | None:
        factor = self._conventions.bader_factor
        return None if raw.bader_charges is None or factor is None else raw.bader_charges * factor


def _decoded(atoms: Atoms, raw: RawFrame, options: IngestOptions) -> tuple[NDArray[np.uint8], IntArray | None]:
    """Real elements, and the oxidation states that the set itself states.

    In an encoded set the sites written as another element are of the state that stands for, and the others of that
    element are of the couple's low state.
    """
    symbols = atoms.get_chemical_symbols()
    real = [options.encoded.get(symbol, (symbol, 0))[0] for symbol in symbols]
    numbers = atomic_numbers(real)
    if raw.states is not None:
        whole = np.round(raw.states)
        return numbers, whole.astype(np.int8) if np.allclose(whole, raw.states) else None
    if not set(symbols) & set(options.encoded):
        return numbers, None
    low = {couple.element: couple.low.oxidation_state for couple in options.couples}
    known = {**options.fixed, **low}
    if not set(real) <= set(known):
        return numbers, None
    states = [options.encoded[s][1] if s in options.encoded else known[s] for s in symbols]
    return numbers, np.array(states, dtype=np.int8)


def _converged(info: Mapping[str, Any]) -> bool:
    """What the frame says; a set that says nothing holds converged frames."""
    return all(bool(info[name]) for name in CONVERGED if isinstance(info.get(name), bool | np.bool_))


def _step(info: Mapping[str, Any]) -> FrameStep:
    names: dict[str, FrameStep] = {name.lower(): name for name in get_args(FrameStep)}
    for key in STEP:
        if isinstance(info.get(key), str) and info[key].lower() in names:
            return names[info[key].lower()]
    return "other"
