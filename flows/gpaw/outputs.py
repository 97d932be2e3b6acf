"""What GPAW's process left: frames, the last state, and how it came about (SCF starts, setups, versions)."""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pymatgen.core import Structure

from ...stores.documents import Engine, FrameSeries
from ..vasp_outputs import VaspOutputs
from .in_gpaw.files import FRAMES, ITERATIONS, JOB, RESULT

ENGINE = "gpaw"


class GpawEndedError(Exception):
    """GPAW's process said why it gave no result.

    Attributes
    ----------
    state : its word for it.
    starts : SCF starts that were tried, with what came out.
    """

    def __init__(self, state: str, message: str, starts: list[dict[str, Any]] | None = None) -> None:
        super().__init__(message)
        self.state, self.starts = state, starts or []


class NoResultError(Exception):
    """GPAW's process ended without a word, or what it left cannot be read."""


@dataclass
class GpawOutputs:
    """Outputs in the shape that VASP's have, and GPAW's own account of them."""

    outputs: VaspOutputs
    details: dict[str, Any] = field(default_factory=dict)


def read_outputs(folder: Path) -> GpawOutputs:
    """Read a finished run.

    Raises
    ------
    GpawEndedError
        If GPAW said that there is no result.
    NoResultError
        If it said nothing, or its files do not fit together.
    """
    result = _read_json(folder / RESULT)
    if result["state"] not in ("done", "stopped"):
        raise GpawEndedError(result["state"], result["message"], result.get("starts"))
    job = _read_json(folder / JOB)
    frames = read_frames(folder, "final")
    if frames is None or frames.symbols != job["symbols"]:
        raise NoResultError(f"{FRAMES} holds no whole frame of this structure")
    final = frames.magmoms[-1]
    outputs = VaspOutputs(
        frames=frames,
        task=None,
        structure=Structure(frames.lattices[-1], frames.symbols, frames.frac_coords[-1]),
        final_magmoms=final,
        engine=Engine(name=ENGINE, version=result["versions"]["gpaw"]),
        elapsed_s=result["elapsed_s"],
        stopped=result["state"] == "stopped",
        potcar_titles=setup_titles(result["setups"]),
        n_cores=result.get("ranks"),
    )
    kept = ("versions", "setups", "starts", "chosen", "notes", "ranks", "cpu_s", "max_memory_mb", "message")
    details = {name: result[name] for name in kept} | {"parameters": job["parameters"], "screening": job["screening"]}
    return GpawOutputs(outputs, details)


def setup_titles(setups: dict[str, dict[str, Any]]) -> list[str]:
    """One line per PAW setup, which stands where VASP's POTCAR titles do: GPAW, name, fingerprint."""
    return [f"GPAW {facts['name']} {facts['fingerprint']}" for _, facts in sorted(setups.items())]


def read_frames(folder: Path, origin: str) -> FrameSeries | None:
    """Whole frames of a run, finished or cut off; None if there is none.

    Parameters
    ----------
    folder : run folder.
    origin : what the frames will say of where they come from.
    """
    try:
        symbols = list(_read_json(folder / JOB)["symbols"])
    except (NoResultError, KeyError, TypeError):
        return None
    records = list(read_lines(folder / FRAMES))
    if not records:
        return None
    return FrameSeries(
        symbols=symbols,
        lattices=[r["cell"] for r in records],
        frac_coords=[r["frac_coords"] for r in records],
        energies=[r["energy"] for r in records],
        forces=[r["forces"] for r in records],
        stresses=[r["stress"] for r in records],
        magmoms=[r["magmoms"] for r in records],
        scf_converged=[r["scf_converged"] for r in records],
        origins=[origin] * len(records),
    )


def has_frames(folder: Path) -> bool:
    """Whether this is a run folder of GPAW with a stream of frames."""
    return any((folder / name).exists() for name in (FRAMES, f"{FRAMES}.gz"))


def pack(folder: Path) -> None:
    """Compress what only people will look at again."""
    for path in sorted([folder / FRAMES, folder / ITERATIONS, *folder.glob("*.gpaw.txt")]):
        if path.exists():
            packed = path.with_name(f"{path.name}.gz")
            partial = path.with_name(f"{path.name}.gz.partial")
            partial.write_bytes(gzip.compress(path.read_bytes(), 4))
            partial.replace(packed)
            path.unlink()


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Whole records of a stream; a line that was cut off ends it."""
    packed = path.with_name(f"{path.name}.gz")
    if path.exists():
        text = path.read_text(encoding="utf-8")
    elif packed.exists():
        text = gzip.decompress(packed.read_bytes()).decode()
    else:
        return []
    found = []
    for line in text.splitlines():
        try:
            found.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return found


def _read_json(path: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise NoResultError(f"GPAW left no {path.name}") from error
    except (OSError, ValueError) as error:
        raise NoResultError(f"{path.name} cannot be read: {error}") from error
    return found
