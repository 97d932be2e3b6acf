"""Errors per target, composition, step and species, from numbers that belong together. No torch here."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from ase.data import chemical_symbols
from numpy.typing import NDArray

from ...inputs.species import FloatArray
from ...inputs.whole_files import written_whole
from ..baseline import UNITS, about_group_means
from .scores import ErrorScore

Texts = NDArray[np.str_]


@dataclass(frozen=True)
class Predictions:
    """Reference and model side by side; what is missing on either side is NaN.

    Attributes
    ----------
    frame_ids, formulas, steps : (n_frames,).
    sizes : (n_frames,) atoms of each.
    species : (n_atoms,) of all frames end to end, e.g. Fe3+ or O.
    energy : (n_frames, 2) reference and model, eV/atom.
    forces : (n_atoms, 3, 2) eV/A.
    stress : (n_frames, 6, 2) eV/A^3, Voigt.
    magmoms, charges : (n_atoms, 2) muB (absolute) and e.
    refused : (n_refused,) why frames could not be evaluated.
    """

    frame_ids: Texts
    formulas: Texts
    steps: Texts
    sizes: NDArray[np.int64]
    species: Texts
    energy: FloatArray
    forces: FloatArray
    stress: FloatArray
    magmoms: FloatArray
    charges: FloatArray
    refused: Texts

    @classmethod
    def joined(cls, parts: list[Predictions]) -> Predictions:
        """Parts one after the other."""
        return cls(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(cls)))

    def write(self, path: Path) -> None:
        """Write a file of arrays, whole or not at all."""
        with written_whole(path) as partial, partial.open("wb") as file:
            np.savez(file, **{field.name: getattr(self, field.name) for field in fields(self)})

    @classmethod
    def read(cls, path: Path) -> Predictions:
        """Read such a file; it holds plain arrays only.

        Raises
        ------
        ValueError
            If it is damaged.
        """
        try:
            with np.load(path, allow_pickle=False) as found:
                return cls(*(found[field.name] for field in fields(cls)))
        except (OSError, KeyError, EOFError, ValueError) as err:
            raise ValueError(f"{path}: is damaged; remove it and run again") from err


def atom_names(numbers: NDArray[Any], states: FloatArray, redox: set[str]) -> list[str]:
    """Names of atoms: with the charge for redox elements of known state, e.g. Fe3+, else the element.

    Parameters
    ----------
    numbers, states : (n_atoms,) atomic numbers, and oxidation states (NaN where unknown).
    redox : elements with several states.
    """
    symbols = [chemical_symbols[number] for number in numbers]
    return [
        f"{symbol}{abs(int(state))}{'-' if state < 0 else '+'}" if symbol in redox and not np.isnan(state) else symbol
        for symbol, state in zip(symbols, states, strict=True)
    ]


def error_scores(found: Predictions) -> list[ErrorScore]:
    """Errors of every target over all, per composition, per step, and per species where atoms have values."""
    scores = [score for target in UNITS for score in _of_target(found, target)]
    return [score for score in scores if score is not None]


def _of_target(found: Predictions, target: str) -> Iterator[ErrorScore | None]:
    values: FloatArray = getattr(found, target)
    differences, constants = values[..., 1] - values[..., 0], _of_constants(found, target)

    def score(group: str, value: str, which: Any = slice(None)) -> ErrorScore | None:
        return _score(target, group, value, differences[which].ravel(), constants[which].ravel())

    per_atom = target in ("forces", "magmoms", "charges")
    yield score("all", "")
    for group, names in (("composition", found.formulas), ("step", found.steps)):
        spread = np.repeat(names, found.sizes) if per_atom else names
        yield from (score(group, str(name), spread == name) for name in np.unique(names) if name)
    if per_atom:
        yield from (score("species", str(name), found.species == name) for name in np.unique(found.species))


def _of_constants(found: Predictions, target: str) -> FloatArray:
    """What constants in the model's place are wrong by, shaped as the target's differences."""
    reference: FloatArray = getattr(found, target)[..., 0]
    if target in ("forces", "stress"):
        return reference
    return about_group_means(reference, found.formulas if target == "energy" else found.species)


def _score(target: str, group: str, value: str, difference: FloatArray, constants: FloatArray) -> ErrorScore | None:
    known = np.isfinite(difference)
    difference = difference[known]
    if not difference.size:
        return None
    return ErrorScore(
        target=target,
        group=group,
        value=value,
        n=len(difference),
        mae=float(np.abs(difference).mean()),
        rmse=float(np.sqrt((difference**2).mean())),
        unit=UNITS[target],
        baseline=float(np.abs(constants[known]).mean()),
    )
