"""KPOINTS: automatic meshes and explicit lists. Points are reduced by time reversal only."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .errors import InputError


@dataclass(frozen=True)
class Mesh:
    """The k-points of a run.

    Parameters
    ----------
    style : "Gamma", "Monkhorst-Pack" or "Reciprocal" (an explicit list).
    divisions : subdivisions of an automatic mesh, else (0, 0, 0).
    shift : its shift in units of a subdivision.
    points : (n_points, 3) fractional in the reciprocal cell.
    weights : (n_points,) summing to 1.
    comment : the first line of the file.
    """

    style: str
    divisions: tuple[int, int, int]
    shift: tuple[float, float, float]
    points: NDArray[np.float64]
    weights: NDArray[np.float64]
    comment: str


def read_kpoints(text: str, reciprocal: NDArray[np.float64]) -> Mesh:
    """Read a KPOINTS file.

    Parameters
    ----------
    text : the file.
    reciprocal : (3, 3) reciprocal vectors without 2 pi, for a fully automatic mesh.

    Raises
    ------
    InputError
        If it cannot be read, or is a line-mode file (no relaxation uses one).
    """
    lines = [line.split("!")[0].strip() for line in text.splitlines()]
    try:
        comment, n_points, style = lines[0], int(lines[1].split()[0]), lines[2][:1].lower()
        if n_points > 0:
            return _explicit(comment, lines[3 : 3 + n_points], n_points)
        if style == "a":
            lengths = 1 / np.linalg.norm(reciprocal, axis=1)
            divisions = np.maximum(1, np.round(float(lines[3].split()[0]) / lengths)).astype(int)
            return _automatic(comment, "g", (int(divisions[0]), int(divisions[1]), int(divisions[2])), (0.0, 0.0, 0.0))
        a, b, c = (int(word) for word in lines[3].split()[:3])
        words = [float(word) for word in (lines[4].split() if len(lines) > 4 else [])] + [0.0] * 3
    except (IndexError, ValueError) as err:
        raise InputError(f"ERROR: Error reading KPOINTS file: {err}") from err
    if style not in {"g", "m"} or min(a, b, c) < 1:
        raise InputError(f"ERROR: KPOINTS style {lines[2]!r} with divisions {lines[3]!r} is not rehearsed; use Gamma")
    return _automatic(comment, style, (a, b, c), (words[0], words[1], words[2]))


def mesh_from_spacing(spacing: float, reciprocal: NDArray[np.float64], *, gamma: bool) -> Mesh:
    """Return the mesh of a KSPACING tag (1/angstrom, with 2 pi)."""
    lengths = 2 * np.pi * np.linalg.norm(reciprocal, axis=1)
    a, b, c = (max(1, int(np.ceil(length / spacing))) for length in lengths)
    return _automatic("KSPACING", "g" if gamma else "m", (a, b, c), (0.0, 0.0, 0.0))


def _explicit(comment: str, lines: list[str], n_points: int) -> Mesh:
    rows = np.array([[float(word) for word in line.split()[:4]] for line in lines])
    if rows.shape != (n_points, 4):
        raise ValueError(f"{n_points} points promised, {len(rows)} with weights found")
    return Mesh("Reciprocal", (0, 0, 0), (0.0, 0.0, 0.0), rows[:, :3], rows[:, 3] / rows[:, 3].sum(), comment)


def _automatic(comment: str, style: str, divisions: tuple[int, int, int], shift: tuple[float, float, float]) -> Mesh:
    axes = []
    for n, s in zip(divisions, shift, strict=True):
        even_offset = 0.5 if style == "m" and n % 2 == 0 else 0.0
        k = (np.arange(n) + s + even_offset) / n
        axes.append(k - np.round(k - 1e-9))
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).transpose(2, 1, 0, 3).reshape(-1, 3)
    kept, weights = _by_time_reversal(points)
    name = "Monkhorst-Pack" if style == "m" else "Gamma"
    return Mesh(name, divisions, shift, kept, weights, comment)


def _by_time_reversal(points: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    # By whole millionths, so that dense meshes of metals do not take hours.
    keys = np.round((points - np.floor(points)) * _MILLIONTHS).astype(int) % _MILLIONTHS
    place: dict[tuple[int, ...], int] = {}
    kept: list[int] = []
    counts: list[int] = []
    for number, (key, opposite) in enumerate(zip(keys.tolist(), (-keys % _MILLIONTHS).tolist(), strict=True)):
        at = place.get(tuple(opposite))
        if at is not None:
            counts[at] += 1
            continue
        place[tuple(key)] = len(kept)
        kept.append(number)
        counts.append(1)
    return points[kept], np.array(counts) / len(points)


_MILLIONTHS = 1_000_000
