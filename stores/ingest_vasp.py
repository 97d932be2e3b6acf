"""VASP folders from anywhere: their files found, vasprun.xml and OUTCAR read, custodian's archives before them.

A run that was cut off is salvaged up to its last complete ionic step whose SCF converged, and says so. Double
relaxations (`vasprun.xml.relax1.gz`, `.relax2.gz`) are several runs of one lineage.
"""

from __future__ import annotations

import hashlib
import json
import re
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from .bader import net_charges
from .frame_arrays import FloatArray
from .frames import RunDoc
from .ingest_elements import refuse_what_cannot_be_labelled
from .ingest_files import archives, checksum, existing, unpack_outputs
from .ingest_options import IngestOptions
from .ingest_pair import OutputPair
from .ingest_reasons import FrameReason, PassOver
from .ingest_run import RunFacts, Sink, StepFrame, atomic_numbers, parts_of, reduced_formula
from .ingest_settings import RunSettings, changed, protocol_drift, run_settings
from .outcar import IonicStepRecord
from .provenance import engine_of
from .vasprun_steps import KBAR_TO_EV_PER_A3, IonicStep, scf_converged

_TAG = r"([._-](?!(?:gz|bz2|xz|xml)$)[A-Za-z0-9][A-Za-z0-9_-]*)?"
_OUTPUT = re.compile(rf"(?:vasprun\.xml{_TAG}|vasprun{_TAG}\.xml|OUTCAR{_TAG})(?:\.gz|\.bz2|\.xz)?")
_MOST_WAITING = 256


@dataclass(frozen=True)
class VaspFiles:
    """Files of one VASP run.

    Attributes
    ----------
    vasprun, outcar : plain or compressed; None where there is none.
    archived : custodian's archives with their numbers, oldest first.
    bader : ACF.dat of a Bader analysis, or None.
    """

    vasprun: Path | None
    outcar: Path | None
    archived: tuple[tuple[int, Path], ...] = ()
    bader: Path | None = None

    @classmethod
    def find(cls, folder: Path, root: Path, suffix: str = "") -> VaspFiles:
        """Look for the files of a run.

        Parameters
        ----------
        folder : where they are.
        root : the folder that was named; nothing outside it is opened.
        suffix : of the file names of one of several runs: `.relax1` of `vasprun.xml.relax1.gz` and `OUTCAR.relax1.gz`,
            `_02` of `vasprun_02.xml` and `OUTCAR_02`.

        Raises
        ------
        PassOver
            If one leads outside, is no plain file or is empty, or there is no vasprun.xml.
        """
        vasprun = existing(folder, f"vasprun.xml{suffix}", root) or existing(folder, f"vasprun{suffix}.xml", root)
        outcar = existing(folder, f"OUTCAR{suffix}", root)
        archived = () if suffix else tuple(archives(folder, root))
        if vasprun is None and not archived:
            raise PassOver("no vasprun.xml", f"OUTCAR{suffix} alone: energies and forces are read from vasprun.xml")
        return cls(vasprun, outcar, archived, None if suffix else existing(folder, "ACF.dat", root))

    @cached_property
    def checksum(self) -> str:
        """SHA-256 over all of them as they lie there."""
        named = [self.vasprun, self.outcar, self.bader, *(path for _, path in self.archived)]
        return checksum([path for path in named if path is not None])

    def take(self, options: IngestOptions, place: str, group: str | None, sink: Sink) -> RunDoc:
        """Read the run; see `take_vasp_run`."""
        return take_vasp_run(self, options, place, group, sink)


def run_suffixes(names: Iterable[str]) -> list[str]:
    """Suffixes of the VASP runs that files of these names are of, in order; empty where there is none."""
    matches = (_OUTPUT.fullmatch(name) for name in names)
    return sorted({next((tag for tag in match.groups() if tag), "") for match in matches if match is not None})


@dataclass
class _Tally:
    """What became of the frames."""

    taken: int = 0
    left_out: Counter[FrameReason] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)


def take_vasp_run(files: VaspFiles, options: IngestOptions, place: str, group: str | None, sink: Sink) -> RunDoc:
    """Read one run; its documents go into `sink` as they are made.

    Parameters
    ----------
    files : of the run.
    options : how it is read.
    place : host:path, for the document.
    group : lineage of its frames; None: one of their own.
    sink : takes the parts, in order.

    Returns
    -------
    The run's document, `taken` or `salvaged`.

    Raises
    ------
    PassOver
        If nothing of it can be taken; what went into the sink is void then.
    """
    tally = _Tally()
    with ExitStack() as stack:
        pairs = _archived_pairs(files, tally, stack)
        last = None
        if files.vasprun is not None:
            last = OutputPair.open(files.vasprun, files.outcar, "final", stack)
            pairs.append(last)
        readable = [pair for pair in pairs if pair.first is not None]
        if not readable:
            raise PassOver("no complete ionic step", _said(tally)) if last is None else last.nothing_read()
        main = readable[-1]
        facts, settings = _facts(main, options, group)
        frames = _trajectory(readable, main, settings, options, tally)
        for part in parts_of(facts, _with_bader(frames, net_charges(files.bader, main.found.valences)), tally.left_out):
            tally.taken += len(part.frames)
            sink(part)
        if last is None or last is not main:
            tally.problems.append("no vasprun.xml" if last is None else last.nothing_read().detail)
        elif last.problem:
            tally.problems.append(last.problem)
    if tally.taken == 0:
        raise _nothing_taken(tally)
    return RunDoc(
        run_id=facts.run_id,
        source=facts.source,
        place=place,
        checksum=files.checksum,
        state="salvaged" if tally.problems else "taken",
        reason="interrupted" if tally.problems else "",
        detail=f"{tally.taken} frames kept: {_said(tally)}" if tally.problems else "",
        n_frames=tally.taken,
        left_out={str(reason): count for reason, count in tally.left_out.items()},
        engine=facts.engine,
        formula=reduced_formula(facts.numbers),
        options_hash=options.hash,
        protocol_hash=facts.protocol_hash,
        tags=settings.tags,
        element_settings=settings.elements,
    )


def _said(tally: _Tally) -> str:
    return " ".join("; ".join(tally.problems).split())[:300] or "no file could be read"


def _nothing_taken(tally: _Tally) -> PassOver:
    counted = ", ".join(f"{count} {reason}" for reason, count in tally.left_out.items())
    if set(tally.left_out) == {"not finite"}:
        return PassOver("not finite", f"every frame holds NaN or stars ({counted})")
    said = f"{counted}; {_said(tally)}" if tally.problems else counted
    if tally.left_out.get("SCF not converged"):
        return PassOver("no SCF-converged step", said)
    return PassOver("no complete ionic step", said)


def _archived_pairs(files: VaspFiles, tally: _Tally, stack: ExitStack) -> list[OutputPair]:
    found = []
    for number, archive in files.archived:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="valenceflow-ingest-")))
        problem = unpack_outputs(archive, folder)
        vasprun = existing(folder, "vasprun.xml", folder)
        if vasprun is not None:
            found.append(OutputPair.open(vasprun, existing(folder, "OUTCAR", folder), f"error.{number}", stack))
        elif problem:
            tally.problems.append(f"{archive.name}: {problem}")
    return found


def _facts(main: OutputPair, options: IngestOptions, group: str | None) -> tuple[RunFacts, RunSettings]:
    found = main.found
    refuse_what_cannot_be_labelled(main, options)
    has_surrogate = not options.surrogates.isdisjoint(found.symbols)
    settings = run_settings(found.incar, found.parameters, found.potcars, has_surrogate)
    engine = engine_of(found.version or main.record.version or "")
    run_id = _run_id(main)
    facts = RunFacts(
        run_id=run_id,
        source="vasp folder",
        lineage=group or run_id,
        numbers=atomic_numbers(found.symbols),
        engine=engine.name,
        engine_version=engine.version or None,
        protocol=None if options.protocol is None else options.protocol.name,
        protocol_hash=settings.hash if options.protocol is None else options.protocol.hash,
        step=settings.step,
        has_surrogate=has_surrogate,
        path_image=settings.path_image,
        max_force=settings.max_force,
        initial_magmoms=_initial_magmoms(found.incar, len(found.symbols)),
    )
    return facts, settings


def _run_id(main: OutputPair) -> str:
    """The same for the same run wherever it lies and however it is packed, cut off or whole."""
    found, step = main.found, main.first
    assert step is not None
    head = [found.started, found.version, found.symbols, sorted(found.incar.items())]
    digest = hashlib.sha256(json.dumps(head).encode())
    for values in (step.lattice, step.frac_coords, step.forces, np.array([step.free_energy])):
        digest.update(np.ascontiguousarray(values, dtype="<f8").tobytes())
    return digest.hexdigest()[:24]


def _initial_magmoms(incar: dict[str, str], n_sites: int) -> FloatArray | None:
    values = incar.get("MAGMOM", "").split()
    if len(values) != n_sites:
        return None
    try:
        return np.array([float(value) for value in values])
    except ValueError:
        return None


def _trajectory(
    pairs: list[OutputPair], main: OutputPair, settings: RunSettings, options: IngestOptions, tally: _Tally
) -> Iterator[StepFrame]:
    """Frames of all parts of a run, oldest first; archives of other structures are left out."""
    for pair in pairs:
        if pair.found.symbols != main.found.symbols:
            tally.left_out["site counts disagree"] += sum(1 for _ in pair.read())
            continue
        drift, extra = _part_settings(pair, main, settings, options)
        yield from _converged_part(pair, pair is main, options, tally, drift, extra)


def _part_settings(
    pair: OutputPair, main: OutputPair, settings: RunSettings, options: IngestOptions
) -> tuple[tuple[str, ...], dict[str, Any]]:
    """Drift of a part, and its own hash where custodian changed more than how the minimum is looked for."""
    found = pair.found
    drift = []
    if options.protocol is not None:
        drift = protocol_drift(options.protocol, found.incar, found.parameters, found.potcars)
    if pair is main:
        return tuple(drift), {}
    own = run_settings(found.incar, found.parameters, found.potcars, has_surrogate=False)
    drift += [words for words in changed(list(found.incar.items()), main.found.incar) if words not in drift]
    return tuple(drift), {} if own.hash == settings.hash or options.protocol is not None else {
        "protocol_hash": own.hash
    }


def _converged_part(
    pair: OutputPair,
    is_main: bool,
    options: IngestOptions,
    tally: _Tally,
    drift: tuple[str, ...],
    extra: dict[str, Any],
) -> Iterator[StepFrame]:
    """Frames of one pair of files; of one that was cut off, up to the last step whose SCF converged."""
    needs_moments = not options.keep_unlabelled and not options.redox_elements.isdisjoint(pair.found.symbols)
    waiting: list[StepFrame] = []
    for step, record in pair.read():
        if pair.has_outcar and (record is None or not record.complete):
            tally.left_out["OUTCAR ends before"] += 1
            continue
        if needs_moments and (record is None or record.magmoms is None):
            tally.left_out["no moments"] += 1
            continue
        waiting.append(_step_frame(step, record, pair, drift, extra))
        if waiting[-1].scf_converged or len(waiting) >= _MOST_WAITING:
            yield from waiting
            waiting.clear()
    tally.left_out.update(pair.found.left_out)
    if is_main and not pair.problem:
        yield from waiting
    elif waiting:
        tally.left_out["SCF not converged"] += len(waiting)


def _step_frame(
    step: IonicStep, record: IonicStepRecord | None, pair: OutputPair, drift: tuple[str, ...], extra: dict[str, Any]
) -> StepFrame:
    # Of vectors OUTCAR's first table has one component alone.
    moments = None if record is None or not pair.is_collinear else record.magmoms
    return StepFrame(
        lattice=step.lattice,
        positions=step.frac_coords @ step.lattice,
        scaled_positions=step.frac_coords,
        forces=step.forces,
        energy=step.energy,
        stress=None if step.stress is None else step.stress * KBAR_TO_EV_PER_A3,
        magmoms=None if moments is None else np.array(moments),
        scf_converged=scf_converged(step, record, pair.found.nelm),
        origin=pair.origin,
        drift=drift,
        extra=extra,
    )


def _with_bader(frames: Iterator[StepFrame], charges: FloatArray | None) -> Iterator[StepFrame]:
    """Put the charges of a Bader analysis on the last frame: the density that was analysed is that one's."""
    before = next(frames, None)
    for frame in frames:
        assert before is not None
        yield before
        before = frame
    if before is not None:
        before.bader_charges = charges
        yield before
