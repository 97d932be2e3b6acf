"""The four input files of a run, read and held against each other as VASP does before it starts.

Stricter than VASP in three places, on purpose: POTCAR elements in another order than the POSCAR's (VASP warns
and overwrites them), too many values in MAGMOM or LDAU* (VASP ignores the rest), no KPOINTS without KSPACING.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .crystal import Crystal, read_poscar
from .errors import InputError, bad_item
from .incar import Tags, read_incar
from .kpoints import Mesh, mesh_from_spacing, read_kpoints
from .pseudopotentials import Pseudopotential, read_potcar, read_potcar_spec


@dataclass(frozen=True)
class Inputs:
    """Everything that decides a run.

    Parameters
    ----------
    tags : INCAR as written.
    unknown_tags : INCAR tags the stand-in ignores.
    incar_text : INCAR as it stands, for the echo in OUTCAR.
    crystal : the POSCAR.
    blocks : its species blocks (element, number of sites).
    mesh : k-points.
    potentials : one per block, in order.
    magmoms : (n_sites,) initial moments, muB; VASP's default of 1 where INCAR has none.
    """

    tags: Tags
    unknown_tags: list[str]
    incar_text: str
    crystal: Crystal
    blocks: list[tuple[str, int]]
    mesh: Mesh
    potentials: list[Pseudopotential]
    magmoms: NDArray[np.float64]

    @property
    def n_electrons(self) -> float:
        """NELECT of the INCAR, or the sum of the potentials' valences."""
        valence = sum(p.valence * n for p, (_, n) in zip(self.potentials, self.blocks, strict=True))
        return float(self.tags.get("NELECT", valence))


def read_inputs(folder: Path) -> Inputs:
    """Read and check INCAR, POSCAR, POTCAR (or POTCAR.spec) and KPOINTS.

    Raises
    ------
    InputError
        If a file is missing, cannot be read, or contradicts another.
    """
    incar_text = _read(folder / "INCAR")
    tags, unknown = read_incar(incar_text)
    potentials = _potentials(folder)
    crystal, blocks = read_poscar(_read(folder / "POSCAR"), tuple(p.element for p in potentials))
    _check_species(potentials, blocks)
    mesh = _mesh(folder, tags, crystal)
    magmoms = _magmoms(tags, len(crystal.symbols))
    if tags.get("LDAU"):
        for tag in ("LDAUL", "LDAUU", "LDAUJ"):
            _check_count(tag, tags, len(blocks))
    return Inputs(tags, unknown, incar_text, crystal, blocks, mesh, potentials, magmoms)


def _read(path: Path) -> str:
    try:
        text = path.read_text()
    except FileNotFoundError as err:
        raise InputError(f"ERROR: {path.name} file not found; VASP needs INCAR, POSCAR, POTCAR and KPOINTS") from err
    if not text.strip():
        raise InputError(f"ERROR: {path.name} is empty")
    return text


def _potentials(folder: Path) -> list[Pseudopotential]:
    spec = folder / "POTCAR.spec"
    if not (folder / "POTCAR").exists() and spec.exists():
        return read_potcar_spec(_read(spec))
    return read_potcar(_read(folder / "POTCAR"))


def _check_species(potentials: list[Pseudopotential], blocks: list[tuple[str, int]]) -> None:
    if len(potentials) != len(blocks):
        raise InputError(
            f"ERROR: number of potentials on File POTCAR incompatible with number of species:"
            f" {len(potentials)} potentials, {len(blocks)} species blocks in POSCAR"
        )
    in_potcar = [potential.element for potential in potentials]
    in_poscar = [symbol for symbol, _ in blocks]
    if in_potcar != in_poscar:
        raise InputError(
            "type information on POSCAR and POTCAR are incompatible\n"
            f"POTCAR: {' '.join(in_potcar)}\nPOSCAR: {' '.join(in_poscar)}\n"
            "VASP would overwrite the types of the POSCAR; the rehearsal stops instead"
        )


def _mesh(folder: Path, tags: Tags, crystal: Crystal) -> Mesh:
    if (folder / "KPOINTS").exists():
        return read_kpoints(_read(folder / "KPOINTS"), crystal.reciprocal)
    if "KSPACING" not in tags:
        raise InputError("ERROR: KPOINTS file not found and no KSPACING in INCAR")
    return mesh_from_spacing(tags["KSPACING"], crystal.reciprocal, gamma=tags.get("KGAMMA", True))


def _magmoms(tags: Tags, n_sites: int) -> NDArray[np.float64]:
    if tags.get("ISPIN", 1) == 1:
        return np.zeros(n_sites)
    if "MAGMOM" not in tags:
        return np.ones(n_sites)
    _check_count("MAGMOM", tags, n_sites)
    return np.array(tags["MAGMOM"], dtype=float)


def _check_count(tag: str, tags: Tags, expected: int) -> None:
    found = len(tags.get(tag, ()))
    if found != expected:
        raise InputError(f"{bad_item(tag, 0, found)}\nexpected {expected}: one per {_PER[tag]}")


_PER = {
    "MAGMOM": "site of the POSCAR",
    **dict.fromkeys(("LDAUL", "LDAUU", "LDAUJ"), "species block of the POSCAR"),
}
