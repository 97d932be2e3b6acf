"""Runs of the stand-in on small olivine cells: inputs written by hand, outputs in a temporary folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby
from pathlib import Path

import pytest
from pymatgen.core import Lattice, Structure
from valenceflow.flows.rehearsal.executable import main
from valenceflow.flows.rehearsal.potcars import write_stub_potcars

LABELS = {"Na": "Na_pv", "Fe": "Fe_pv", "Ga": "Ga_d", "P": "P", "O": "O", "Mn": "Mn_pv"}

# The tags of the protocol paper-2026 that matter here.
TAGS = {
    "ALGO": "All", "EDIFF": "1e-05", "EDIFFG": "-0.03", "ENCUT": "520", "GGA": "Pe", "IBRION": "2", "ICHARG": "2",
    "ISIF": "3", "ISMEAR": "0", "ISPIN": "2", "ISTART": "0", "ISYM": "0", "LASPH": "True", "LCHARG": "False",
    "LMAXMIX": "4", "LORBIT": "12", "LREAL": "Auto", "LWAVE": "False", "NELM": "300", "NELMIN": "8", "NSW": "999",
    "PREC": "Accurate", "SIGMA": "0.01", "SYMPREC": "1e-07", "TIME": "0.05",
}  # fmt: skip


def olivine(sodium: Sequence[int] = (0, 1, 2, 3)) -> Structure:
    """NaFePO4 (Moreau et al. 2010) with the sodium sites named, in the order Na Fe P O."""
    cell = Structure.from_spacegroup(
        "Pnma",
        Lattice.orthorhombic(10.4063, 6.2187, 4.9469),
        ["Na", "Fe", "P", "O", "O", "O"],
        [
            [0, 0, 0], [0.2870, 0.75, 0.9863], [0.1083, 0.75, 0.4426],
            [0.1140, 0.75, 0.7524], [0.4685, 0.75, 0.1611], [0.1755, 0.9446, 0.3118],
        ],
    )  # fmt: skip
    cell.remove_sites([i for i in range(4) if i not in sodium])
    return cell


def iron_moments(structure: Structure, high: Sequence[int] = ()) -> list[float]:
    """5 on the iron sites numbered in `high` (counted among the iron sites), 4 on the others, 0 elsewhere."""
    iron = [i for i, site in enumerate(structure) if site.specie.symbol == "Fe"]
    return [0.0 if i not in iron else 5.0 if iron.index(i) in high else 4.0 for i in range(len(structure))]


@pytest.fixture(scope="session")
def potcars(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of stub POTCARs, as PMG_VASP_PSP_DIR names it."""
    return write_stub_potcars(tmp_path_factory.mktemp("potcars"))


@pytest.fixture
def write_inputs(potcars: Path, tmp_path: Path) -> Callable[..., Path]:
    """Write the four input files of a run into the test's folder; tags given as None are left out."""

    def write(structure: Structure, moments: Sequence[float] | None, **tags: str | None) -> Path:
        symbols = [symbol for symbol, _ in groupby(site.specie.symbol for site in structure)]
        merged: dict[str, str | None] = {**TAGS, **tags}
        if moments is not None:
            merged.setdefault("MAGMOM", " ".join(f"{m:g}" for m in moments))
            merged.setdefault("NUPDOWN", f"{sum(moments):g}")
        if "Fe" in symbols:
            merged.setdefault("LDAU", "True")
            merged.setdefault("LDAUL", " ".join("2" if s == "Fe" else "-1" for s in symbols))
            merged.setdefault("LDAUU", " ".join("5.3" if s == "Fe" else "0" for s in symbols))
            merged.setdefault("LDAUJ", " ".join("0" for _ in symbols))
        lines = [f"{tag} = {value}" for tag, value in merged.items() if value is not None]
        (tmp_path / "INCAR").write_text("\n".join(lines) + "\n")
        structure.to(filename=str(tmp_path / "POSCAR"), fmt="poscar")
        (tmp_path / "KPOINTS").write_text("comment\n0\nGamma\n3 1 3\n")
        place = potcars / "POT_GGA_PAW_PBE_54"
        (tmp_path / "POTCAR").write_text("".join((place / LABELS[s] / "POTCAR").read_text() for s in symbols))
        return tmp_path

    return write


@pytest.fixture
def rehearse(monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Run the stand-in in a folder, in this process, and return its exit status."""

    def run(folder: Path, *arguments: str) -> int:
        monkeypatch.chdir(folder)
        return main(["--engine", "springs", *arguments])

    return run


@pytest.fixture
def half_sodium(write_inputs: Callable[..., Path]) -> Path:
    """Inputs for Na2Fe4P4O16 with Fe3+ on the first two iron sites."""
    structure = olivine(sodium=(2, 3))
    return write_inputs(structure, iron_moments(structure, high=(0, 1)))
