"""A model's predictions for the frames of a data set, kept part by part so that a killed evaluation goes on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from ase.stress import full_3x3_to_voigt_6_stress

from ...inputs.species import FloatArray
from ..calculator import ChargeStateCalculator
from ..labelling import states_in_array
from .errors import Predictions, atom_names
from .reference import ReferenceFrame, ReferenceSet

PART = 25
"""Frames of a part."""

Progress = Callable[[int, int], None]


def predict_frames(
    data: ReferenceSet,
    sides: Sequence[str],
    calculator: ChargeStateCalculator,
    folder: Path,
    redox: set[str],
    progress: Progress = lambda done, total: None,
    limit: int | None = None,
) -> tuple[Predictions, dict[str, int]]:
    """Evaluate frames; parts that the folder holds already are read.

    Parameters
    ----------
    data, sides : which frames.
    calculator : the model.
    folder : for the parts, of this model, set and side.
    redox : elements whose charge states are told apart in errors.
    progress : called with frames done and frames in all.
    limit : only so many frames, spread evenly over the sides.

    Returns
    -------
    Predictions, and why frames were left out: reason -> number.

    Raises
    ------
    ValueError
        If no frame can be evaluated.
    """
    folder.mkdir(parents=True, exist_ok=True)
    total = sum(int(data.manifest["counts"][side]) for side in sides)
    every = 1 if limit is None or limit >= total else total / limit
    parts: list[Predictions] = []
    done, wanted = 0, -(-total // every) if every > 1 else total
    for number, batch in enumerate(_batches(data, sides, every)):
        path = folder / f"part-{number:05d}.npz"
        if path.is_file():
            part = Predictions.read(path)
        else:
            part = _predicted(batch, calculator, redox)
            part.write(path)
        parts.append(part)
        done += len(batch)
        progress(done, int(wanted))
    found = Predictions.joined(parts)
    if not len(found.frame_ids):
        raise ValueError(f"{data.folder}: no frame can be evaluated: {'; '.join(np.unique(found.refused))}")
    return found, dict(Counter(found.refused.tolist()))


def _batches(data: ReferenceSet, sides: Sequence[str], every: float) -> Iterator[tuple[ReferenceFrame, ...]]:
    frames = (frame for side in sides for frame in data.frames(side))
    taken = (frame for place, frame in enumerate(frames) if int(place % every) == 0)
    while batch := tuple(islice(taken, PART)):
        yield batch


def _predicted(frames: Sequence[ReferenceFrame], calculator: ChargeStateCalculator, redox: set[str]) -> Predictions:
    rows: list[dict[str, Any]] = []
    refused: list[str] = []
    for frame in frames:
        atoms = frame.atoms.copy()
        atoms.calc = calculator
        try:
            atoms.get_potential_energy()
        except ValueError as err:
            # A frame without labels, or of a species the model does not know: told, not fatal.
            refused.append(str(err).partition(": ")[2] or str(err))
            continue
        rows.append(_row(frame, calculator.results, redox))
    return _joined(rows, refused)


def _row(frame: ReferenceFrame, results: dict[str, Any], redox: set[str]) -> dict[str, Any]:
    atoms, n = frame.atoms, len(frame.atoms)
    voigt = None if frame.stress is None else full_3x3_to_voigt_6_stress(frame.stress)
    moments = None if frame.magmoms is None else np.abs(frame.magmoms)
    return {
        "frame_ids": frame.frame_id,
        "formulas": frame.formula,
        "steps": frame.step,
        "sizes": n,
        "species": atom_names(atoms.numbers, states_in_array()(atoms), redox),
        "energy": np.array([frame.energy, results["energy"]]) / n,
        "forces": np.stack([frame.forces, results["forces"]], axis=-1),
        "stress": _pair(voigt, results.get("stress"), 6),
        "magmoms": _pair(moments, None if "magmoms" not in results else np.abs(results["magmoms"]), n),
        "charges": _pair(frame.charges, results.get("charges"), n),
    }


def _pair(reference: FloatArray | None, model: FloatArray | None, n: int) -> FloatArray:
    nothing = np.full(n, np.nan)
    return np.stack([nothing if reference is None else reference, nothing if model is None else model], axis=-1)


def _joined(rows: Sequence[dict[str, Any]], refused: Sequence[str]) -> Predictions:
    def per_frame(name: str, shape: tuple[int, ...], kind: type) -> Any:
        return np.array([row[name] for row in rows], dtype=kind).reshape(len(rows), *shape)

    def per_atom(name: str, shape: tuple[int, ...]) -> FloatArray:
        return np.concatenate([row[name] for row in rows] or [np.empty((0, *shape))])

    return Predictions(
        frame_ids=per_frame("frame_ids", (), str),
        formulas=per_frame("formulas", (), str),
        steps=per_frame("steps", (), str),
        sizes=per_frame("sizes", (), int),
        species=np.array([name for row in rows for name in row["species"]], dtype=str),
        energy=per_frame("energy", (2,), float),
        forces=per_atom("forces", (3, 2)),
        stress=per_frame("stress", (6, 2), float),
        magmoms=per_atom("magmoms", (2,)),
        charges=per_atom("charges", (2,)),
        refused=np.array(refused, dtype=str),
    )
