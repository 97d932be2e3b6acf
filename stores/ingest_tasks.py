"""atomate2's TaskDocs as sources of frames: JSON files, or documents of another JobStore.

A TaskDoc keeps moments of the last ionic step only (facts T8), so that the steps before it have none: they serve
models without charge states, and `--keep-unlabelled` takes them. The run folder, where it still is, says more.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from .frame_arrays import FloatArray
from .frames import RunDoc
from .ingest_elements import refuse_strangers
from .ingest_files import checksum, open_bytes, plain_file
from .ingest_options import IngestOptions
from .ingest_reasons import FrameReason, PassOver
from .ingest_run import RunFacts, Sink, StepFrame, atomic_numbers, parts_of, reduced_formula
from .ingest_settings import RunSettings, protocol_drift, run_settings
from .provenance import engine_of
from .vasprun_steps import KBAR_TO_EV_PER_A3, extrapolated_energy, without_pressure

_NO_STEPS = "its TaskDoc holds no ionic step with energy, forces and structure"


@dataclass(frozen=True)
class TaskFile:
    """A JSON file with one TaskDoc, a list of them, or one a line; gzipped or not."""

    path: Path
    root: Path

    @cached_property
    def checksum(self) -> str:
        """SHA-256 of the file."""
        return checksum([plain_file(self.path, self.root)])

    def documents(self) -> Iterator[TaskSource]:
        """Task documents of the file; jobflow's envelopes are opened.

        Raises
        ------
        PassOver
            If it is no JSON, or holds none.
        """
        with open_bytes(plain_file(self.path, self.root)) as handle:
            content = _parsed(handle.read())
        listed = content if isinstance(content, list) else [content]
        tasks = [task for document in listed if (task := task_in(document)) is not None]
        if not tasks:
            raise PassOver("not a task document", f"{self.path.name} holds no TaskDoc (no `calcs_reversed`)")
        yield from (TaskSource(task, self.checksum) for task in tasks)


def _parsed(text: bytes) -> Any:
    if not text.strip():
        raise PassOver("empty file", "it holds nothing but blanks")
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        pass  # Python's own NaN, or one document a line
    try:
        return json.loads(text)
    except RecursionError as err:
        raise PassOver("not JSON", "it is nested too deeply") from err
    except ValueError as err:
        try:
            return [orjson.loads(line) for line in text.splitlines() if line.strip()]
        except orjson.JSONDecodeError:
            raise PassOver("not JSON", str(err)) from err


def task_in(document: Any) -> Mapping[str, Any] | None:
    """A TaskDoc, bare or as the output of a job; None where there is none."""
    if not isinstance(document, Mapping):
        return None
    if isinstance(document.get("calcs_reversed"), list):
        return document
    return task_in(document.get("output"))


@dataclass(frozen=True)
class TaskSource:
    """One TaskDoc as a dict.

    Attributes
    ----------
    task : the document.
    checksum : of the file that it came from, or of itself.
    """

    task: Mapping[str, Any]
    checksum: str

    def take(self, options: IngestOptions, place: str, group: str | None, sink: Sink) -> RunDoc:
        """Read it; its documents go into `sink`. Parameters as in `ingest_vasp.take_vasp_run`.

        Raises
        ------
        PassOver
            If it has no frame that can be taken.
        """
        left_out: Counter[FrameReason] = Counter()
        calculations = [c for c in reversed(self.task["calcs_reversed"]) if isinstance(c, Mapping)]
        frames = [frame for c in calculations for frame in _frames_of(c, left_out)] if calculations else []
        if not frames:
            frames = list(_final_frame(self.task, left_out))
        if not frames:
            raise PassOver("no complete ionic step", _NO_STEPS)
        symbols, last = frames[-1][0], calculations[-1] if calculations else {}
        refuse_strangers(symbols, options)
        facts, settings, drift = _facts(symbols, frames[0][1], last, self.task, options, group)
        _refuse_without_moments(symbols, settings, frames, options, left_out)
        stream = _usable(frames, symbols, options, drift, left_out)
        taken = 0
        for part in parts_of(facts, stream, left_out):
            taken += len(part.frames)
            sink(part)
        if not taken:
            shown = ", ".join(f"{count} {reason}" for reason, count in left_out.items())
            raise PassOver("no SCF-converged step" if left_out["SCF not converged"] else "no frame", shown)
        finished = _has_completed(last)
        return RunDoc(
            run_id=facts.run_id,
            source="task document",
            place=place,
            checksum=self.checksum,
            state="taken" if finished else "salvaged",
            reason="" if finished else "interrupted",
            detail="" if finished else f"{taken} frames kept: the TaskDoc says that VASP did not complete",
            n_frames=taken,
            left_out={str(reason): count for reason, count in left_out.items()},
            engine=facts.engine,
            formula=reduced_formula(facts.numbers),
            options_hash=options.hash,
            protocol_hash=facts.protocol_hash,
            tags=settings.tags,
            element_settings=settings.elements,
        )


_SiteFrame = tuple[list[str], StepFrame]


def _frames_of(calculation: Mapping[str, Any], left_out: Counter[FrameReason]) -> Iterator[_SiteFrame]:
    output = calculation.get("output") or {}
    steps = output.get("ionic_steps") or []
    nelm = _parameters(calculation).get("NELM")
    found: list[_SiteFrame] = []
    for step in steps:
        try:
            found.append(_frame(step, nelm, _pressure(calculation)))
        except PassOver as reason:
            left_out["partial occupancy" if reason.reason == "partial occupancy" else "not readable"] += 1
        except _NoEnergyError:
            left_out["no energy"] += 1
        except (KeyError, TypeError, ValueError, IndexError):
            left_out["not readable"] += 1
    if found:
        last = found[-1][1]
        last.magmoms = _moments(output, len(last.positions))
        last.bader_charges = _bader(calculation, len(last.positions))
    yield from found


def _parameters(calculation: Mapping[str, Any]) -> Mapping[str, Any]:
    return (calculation.get("input") or {}).get("parameters") or {}


def _pressure(calculation: Mapping[str, Any]) -> float:
    """PSTRESS, eV/A^3: energies of a TaskDoc hold it times volume, as those of vasprun.xml do."""
    return -KBAR_TO_EV_PER_A3 * float(_parameters(calculation).get("PSTRESS") or 0.0)


class _NoEnergyError(Exception):
    """An ionic step without the numbers that its extrapolated energy is made of."""


def _frame(step: Mapping[str, Any], nelm: int | None, pressure: float) -> _SiteFrame:
    scf = step.get("electronic_steps") or []
    last = scf[-1] if scf else {}
    energies = [step.get("e_fr_energy"), last.get("e_fr_energy"), last.get("e_0_energy")]
    if any(not isinstance(energy, int | float) for energy in energies):
        raise _NoEnergyError
    symbols, lattice, scaled = _geometry(step["structure"])
    energy = extrapolated_energy(*(float(energy) for energy in energies if energy is not None))
    stress = step.get("stress")
    return symbols, StepFrame(
        lattice=lattice,
        positions=scaled @ lattice,
        scaled_positions=scaled,
        forces=np.array(step["forces"], dtype=float).reshape(-1, 3),
        energy=without_pressure(energy, pressure, lattice),
        stress=None if stress is None else np.array(stress, dtype=float).reshape(3, 3) * KBAR_TO_EV_PER_A3,
        scf_converged=nelm is None or len(scf) < int(nelm),
    )


def _final_frame(task: Mapping[str, Any], left_out: Counter[FrameReason]) -> Iterator[_SiteFrame]:
    """The last step alone, for documents whose trajectory is kept elsewhere."""
    output = task.get("output") or {}
    try:
        symbols, lattice, scaled = _geometry(output["structure"])
        forces = np.array(output["forces"], dtype=float).reshape(-1, 3)
        energy, stress = float(output["energy"]), output.get("stress")
    except PassOver:
        left_out["partial occupancy"] += 1
        return
    except (KeyError, TypeError, ValueError):
        return
    calculation = (task.get("calcs_reversed") or [{}])[0]
    energy = without_pressure(energy, _pressure(calculation), lattice)
    frame = StepFrame(lattice, scaled @ lattice, forces, energy, scaled_positions=scaled)
    if stress is not None:
        frame.stress = np.array(stress, dtype=float).reshape(3, 3) * KBAR_TO_EV_PER_A3
    frame.magmoms = _moments(calculation.get("output") or {}, len(symbols))
    frame.bader_charges = _bader(calculation, len(symbols))
    yield symbols, frame


def _geometry(structure: Mapping[str, Any]) -> tuple[list[str], FloatArray, FloatArray]:
    """Elements, cell and fractional coordinates of a structure's dict."""
    symbols = []
    for site in structure["sites"]:
        species = site["species"]
        if len(species) != 1 or species[0].get("occu", 1) != 1:
            raise PassOver("partial occupancy", "a site is shared by elements or vacancies")
        symbols.append(str(species[0]["element"]))
    lattice = np.array(structure["lattice"]["matrix"], dtype=float).reshape(3, 3)
    return symbols, lattice, np.array([site["abc"] for site in structure["sites"]], dtype=float).reshape(-1, 3)


def _moments(output: Mapping[str, Any], n_sites: int) -> FloatArray | None:
    table = (output.get("outcar") or {}).get("magnetization")
    if isinstance(table, Sequence) and len(table) == n_sites and all(isinstance(row, Mapping) for row in table):
        values = [row.get("tot") for row in table]
    else:
        sites = (output.get("structure") or {}).get("sites") or []
        values = [(site.get("properties") or {}).get("magmom") for site in sites]
    if len(values) != n_sites or any(not isinstance(value, int | float) for value in values):
        return None
    return np.array(values, dtype=float)


def _bader(calculation: Mapping[str, Any], n_sites: int) -> FloatArray | None:
    """The document keeps the electrons that each atom gained; ours is the charge, positive on cations."""
    gained = (calculation.get("bader") or {}).get("charge_transfer")
    return -np.array(gained, dtype=float) if isinstance(gained, Sequence) and len(gained) == n_sites else None


def _facts(
    symbols: list[str],
    first: StepFrame,
    calculation: Mapping[str, Any],
    task: Mapping[str, Any],
    options: IngestOptions,
    group: str | None,
) -> tuple[RunFacts, RunSettings, tuple[str, ...]]:
    given = calculation.get("input") or {}
    incar, parameters = _as_text(given.get("incar")), _as_text(given.get("parameters"))
    titles = [str(spec.get("titel") or "") for spec in given.get("potcar_spec") or [] if isinstance(spec, Mapping)]
    potcars = [(title.split()[1].split("_")[0], title) for title in titles if len(title.split()) > 1]
    has_surrogate = not options.surrogates.isdisjoint(symbols)
    settings = run_settings(incar, parameters, potcars, has_surrogate)
    drift = [] if options.protocol is None else protocol_drift(options.protocol, incar, parameters, potcars)
    version = str(calculation.get("vasp_version") or "")
    engine = engine_of(version)
    run_id = _run_id(symbols, first, incar, version, str(task.get("uuid") or task.get("dir_name") or ""))
    facts = RunFacts(
        run_id=run_id,
        source="task document",
        lineage=group or run_id,
        numbers=atomic_numbers(symbols),
        engine=engine.name,
        engine_version=version or None,
        protocol=None if options.protocol is None else options.protocol.name,
        protocol_hash=settings.hash if options.protocol is None else options.protocol.hash,
        step=settings.step,
        has_surrogate=has_surrogate,
        path_image=settings.path_image,
        max_force=settings.max_force,
    )
    return facts, settings, tuple(drift)


def _as_text(tags: Any) -> dict[str, str]:
    """INCAR tags as a vasprun.xml prints them."""
    found = {}
    for tag, value in (tags if isinstance(tags, Mapping) else {}).items():
        if isinstance(value, bool):
            found[str(tag)] = "T" if value else "F"
        elif isinstance(value, list):
            found[str(tag)] = " ".join(str(item) for item in value)
        elif isinstance(value, int | float | str):
            found[str(tag)] = str(value)
    return found


def _run_id(symbols: list[str], first: StepFrame, incar: Mapping[str, str], version: str, origin: str) -> str:
    digest = hashlib.sha256(json.dumps([symbols, sorted(incar.items()), version, origin]).encode())
    for values in (first.lattice, first.positions, first.forces, np.array([first.energy])):
        digest.update(np.ascontiguousarray(values, dtype="<f8").tobytes())
    return digest.hexdigest()[:24]


def _refuse_without_moments(
    symbols: list[str],
    settings: RunSettings,
    frames: Sequence[_SiteFrame],
    options: IngestOptions,
    left_out: Counter[FrameReason],
) -> None:
    if options.keep_unlabelled or options.redox_elements.isdisjoint(symbols):
        return
    remedy = "; --keep-unlabelled takes such runs without labels"
    if not settings.spin_polarised:
        raise PassOver("not spin-polarised", f"ISPIN is not 2{remedy}")
    if all(frame.magmoms is None for _, frame in frames):
        raise PassOver("no site moments", f"the TaskDoc keeps no moments of sites{remedy}")


def _usable(
    frames: Sequence[_SiteFrame],
    symbols: list[str],
    options: IngestOptions,
    drift: tuple[str, ...],
    left_out: Counter[FrameReason],
) -> Iterator[StepFrame]:
    needs_moments = not options.keep_unlabelled and not options.redox_elements.isdisjoint(symbols)
    for names, frame in frames:
        if names != symbols:
            left_out["site counts disagree"] += 1
        elif needs_moments and frame.magmoms is None:
            left_out["no moments"] += 1
        else:
            frame.drift = drift
            yield frame


def _has_completed(calculation: Mapping[str, Any]) -> bool:
    said = calculation.get("has_vasp_completed", True)
    return said is True or str(said).lower().endswith("successful")
