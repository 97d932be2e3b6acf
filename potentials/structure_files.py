"""Structures to be relaxed, from files of any kind, and relaxed ones into extended XYZ, labels included."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import ase.io
from ase.io.formats import UnknownFileTypeError
from ase.io.trajectory import TrajectoryReader

from ..inputs.orderings.identity import read_structure
from ..inputs.whole_files import written_whole
from .labelling import atoms_from_structure
from .relax_many import RelaxJob
from .relaxation import Relaxation
from .species import OXIDATION_STATE

DECORATED = (".cif", ".mcif", ".vasp", ".json", ".yaml")
"""Read by pymatgen, which keeps decorated species; everything else by ASE, which keeps arrays."""


def read_jobs(paths: Sequence[Path]) -> list[RelaxJob]:
    """Every structure of every file.

    Parameters
    ----------
    paths : CIF, POSCAR, CONTCAR, pymatgen's JSON; extended XYZ (all its frames) and whatever else ASE reads.

    Raises
    ------
    ValueError
        If a file is missing, unreadable or empty.
    """
    jobs: list[RelaxJob] = []
    for path in paths:
        if not path.is_file():
            raise ValueError(f"{path}: {'is a folder' if path.is_dir() else 'no such file'}; name files of structures")
        jobs += _jobs_of(path)
    if not jobs:
        raise ValueError("no structure was given; name at least one file")
    return jobs


def _jobs_of(path: Path) -> list[RelaxJob]:
    if path.suffix.lower() in DECORATED or path.name.upper().startswith(("POSCAR", "CONTCAR")):
        return [RelaxJob(path.stem, atoms_from_structure(read_structure(path)))]
    try:
        found = ase.io.read(path, index=":")
    except (UnknownFileTypeError, OSError, ValueError, KeyError, IndexError, AssertionError) as err:
        raise ValueError(f"{path}: cannot be read as structures ({err or type(err).__name__})") from err
    images = list(found) if isinstance(found, (list, TrajectoryReader)) else [found]
    if not images:
        raise ValueError(f"{path}: holds no structure")
    several = len(images) > 1
    for atoms in images:
        atoms.calc = None
        states = atoms.arrays.get(OXIDATION_STATE)
        if states is not None and states.dtype.kind not in "biuf":
            raise ValueError(f"{path}: the array {OXIDATION_STATE} holds {str(states[0])!r}; give numbers, e.g. 3")
    return [RelaxJob(f"{path.stem}:{n}" if several else path.stem, atoms) for n, atoms in enumerate(images)]


def write_relaxed(path: Path, results: Iterable[Relaxation]) -> bool:
    """Relaxed structures as extended XYZ: energy, forces, stress, `oxidation_state`, name and state; appears whole.

    Returns
    -------
    Whether there was any with an energy; else no file is left.
    """
    relaxed = [result.atoms() for result in results if result.energy is not None]
    if not relaxed:
        path.unlink(missing_ok=True)
        return False
    with written_whole(path) as partial:
        ase.io.write(partial, relaxed, format="extxyz")
    return True
