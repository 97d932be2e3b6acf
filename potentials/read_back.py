"""Reads the files of a data set back through the loaders of those who train on them, and compares every number.

Run as a process of its own (`python -m valenceflow.potentials.read_back FOLDER FORMAT...`), because mace changes torch
for its whole process; `potentials.reading_back` starts it. Memory stays small: long files are read in parts. A line
`what done total` per part is progress; a difference ends it with exit code 2 and one line.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from ase.io import iread
from ase.stress import voigt_6_to_full_3x3_stress
from ase.units import GPa

from ..inputs.species import SpeciesMap
from ..stores.export.chgnet_json import vasp_stress
from ..stores.export.data_set import EXPECTED
from ..stores.export.expected import Expected, ReadBackError, compare, read_expected
from ..stores.export.unfinished import SPECIES

_PART = 200
_SINGLE = 3e-7
"""Relative precision of a float32, which CHGNet's loader makes of every number."""

Progress = Callable[[str, int], None]


def read_mace_back(path: Path, meant: Iterator[Expected], progress: Progress) -> int:
    """Through `mace.data.utils.load_from_xyz`, with MACE's default keys."""
    from mace.data.utils import KeySpecification, load_from_xyz  # noqa: PLC0415 - optional extra

    keys = KeySpecification.from_defaults()
    count = 0
    with tempfile.TemporaryDirectory() as folder:
        for part in _xyz_parts(path, Path(folder) / "part.xyz"):
            _, configurations = load_from_xyz(str(part), keys)
            for found in configurations:
                count += 1
                place, frame = f"{path.name}, frame {count}", _next(meant, path)
                compare(place, "species", frame.numbers, found.atomic_numbers)
                compare(place, "lattice", frame.lattice, found.cell)
                compare(place, "positions", frame.positions, found.positions)
                compare(place, "energy", frame.energy, found.properties["energy"])
                compare(place, "forces", frame.forces, found.properties["forces"])
                compare(place, "stress", frame.stress, _matrix(found.properties["stress"]))
            progress("mace", count)
    return count


def read_cpainn_back(path: Path, meant: Iterator[Expected], progress: Progress) -> int:
    """Through ASE and `potentials.cpainn.frames`."""
    from .cpainn.frames import frame_from_atoms  # noqa: PLC0415 - torch

    species = _species_of(path)
    count = 0
    for atoms in iread(path):
        count += 1
        place, frame = f"{path.name}, frame {count}", _next(meant, path)
        found = frame_from_atoms(atoms, species, place)
        compare(place, "species", frame.numbers, found.crystal.species)
        compare(place, "lattice", frame.lattice, found.crystal.cell)
        compare(place, "positions", frame.positions, found.crystal.positions)
        for name in ("energy", "forces", "stress"):
            compare(place, name, getattr(frame, name), getattr(found, name))
        compare(place, "magmoms", np.abs(frame.magmoms), found.magmoms)
        compare(place, "bader_charges", frame.bader_charges, found.charges)
        if count % _PART == 0:
            progress("cpainn", count)
    return count


def read_chgnet_back(path: Path, meant: Iterator[Expected], progress: Progress) -> int:
    """Through `chgnet.data.dataset.StructureJsonData`, file by file; of each file's first frame the graph too."""
    from chgnet.data.dataset import StructureJsonData  # noqa: PLC0415 - optional extra
    from chgnet.graph import CrystalGraphConverter  # noqa: PLC0415

    targets = _chgnet_targets(path)
    converter: Any = _structure_itself
    count = 0
    for file in sorted(path.glob("*.json")):
        # A converter that hands structures through: graphs of everything would take hours and say no more.
        data: Any = StructureJsonData(str(file), converter, targets=targets, shuffle=False)
        for index in range(len(data)):
            count += 1
            structure, found = data[index]
            place, frame = f"{path.name}/{file.name}, frame {index + 1}", _next(meant, path)
            _refuse_failed(place, data)
            _compare_chgnet(place, frame, structure, found)
        graphs = StructureJsonData(str(file), CrystalGraphConverter(), targets=targets, shuffle=False)
        graph, _ = graphs[0]
        _refuse_failed(f"{path.name}/{file.name}", graphs)
        compare(file.name, "species of a graph", data[0][0].atomic_numbers, graph.atomic_number.numpy())
        StructureJsonData.__getitem__.cache_clear()
        progress("chgnet", count)
    return count


def read_aselmdb_back(path: Path, meant: Iterator[Expected], progress: Progress) -> int:
    """Through MACE's copy of fairchem's `AseDBDataset`."""
    from mace.tools.fairchem_dataset import AseDBDataset  # noqa: PLC0415 - optional extra

    data = AseDBDataset(config={"src": [str(path)]})
    count = 0
    for number in data.ids:
        atoms = data.get_atoms(number)
        count += 1
        place, frame = f"{path.name}, row {count}", _next(meant, path)
        results = atoms.calc.results
        compare(place, "species", frame.numbers, atoms.numbers)
        compare(place, "lattice", frame.lattice, atoms.cell.array)
        compare(place, "positions", frame.positions, atoms.positions)
        compare(place, "energy", frame.energy, results["energy"])
        compare(place, "forces", frame.forces, results["forces"])
        # Voigt form keeps one of xy and yx, which differ in the last digits of some outputs.
        symmetric = (frame.stress + frame.stress.T) / 2
        compare(place, "stress", symmetric, _matrix(results.get("stress")), 1e-12)
        if count % _PART == 0:
            progress("aselmdb", count)
    return count


def _structure_itself(structure: Any, graph_id: str, mp_id: str) -> Any:
    return structure


def _refuse_failed(place: str, data: Any) -> None:
    """CHGNet's loader hands out another frame where one fails."""
    if data.failed_idx:
        raise ReadBackError(f"{place}: CHGNet's loader could not read it ({data.failed_graph_id})")


def _compare_chgnet(place: str, frame: Expected, structure: Any, found: dict[str, Any]) -> None:
    compare(place, "species", frame.numbers, structure.atomic_numbers)
    compare(place, "lattice", frame.lattice, structure.lattice.matrix)
    # The structure holds fractional coordinates: Cartesian ones come back to rounding.
    compare(place, "positions", frame.positions, structure.cart_coords, 1e-12)
    compare(place, "energy", frame.energy / len(frame.numbers), found["e"].numpy(), _SINGLE)
    compare(place, "forces", frame.forces, found["f"].numpy(), _SINGLE)
    if "s" in found:
        compare(place, "stress", frame.stress / GPa, found["s"].numpy(), _SINGLE)
        compare(place, "stress in kbar", vasp_stress(frame.stress), -10 * found["s"].numpy(), _SINGLE)
    magmoms = found.get("m")
    meant = np.abs(frame.magmoms)
    compare(place, "magmoms", meant, np.full(len(meant), np.nan) if magmoms is None else magmoms.numpy(), _SINGLE)


def _matrix(stress: Any) -> Any:
    if stress is None:
        return np.full((3, 3), np.nan)
    flat = np.asarray(stress, dtype=float)
    return voigt_6_to_full_3x3_stress(flat) if flat.size == 6 else flat.reshape(3, 3)


def _next(meant: Iterator[Expected], path: Path) -> Expected:
    found = next(meant, None)
    if found is None:
        raise ReadBackError(f"{path.name}: holds more frames than were written")
    return found


def _xyz_parts(path: Path, part: Path) -> Iterator[Path]:
    """An extended XYZ file in parts of bounded length, each in the same temporary file."""
    with path.open("rb") as source:
        while True:
            lines: list[bytes] = []
            for _ in range(_PART):
                count = source.readline()
                if not count.strip():
                    break
                lines += [count, *islice(source, int(count) + 1)]
            if not lines:
                return
            part.write_bytes(b"".join(lines))
            yield part


def _species_of(path: Path) -> SpeciesMap:
    content = json.loads((path.parents[1] / SPECIES).read_text(encoding="utf-8"))
    return SpeciesMap.model_validate(content)


def _chgnet_targets(path: Path) -> Any:
    first = next(iter(json.loads(next(iter(sorted(path.glob("*.json")))).read_text()).values()))
    return "efsm" if "stress" in next(iter(first.values())) else "efm"


READERS: dict[str, tuple[str, str, Callable[[Path, Iterator[Expected], Progress], int]]] = {
    "mace": (".xyz", "mace-torch", read_mace_back),
    "cpainn": (".xyz", "valenceflow", read_cpainn_back),
    "chgnet": ("", "chgnet", read_chgnet_back),
    "aselmdb": (".aselmdb", "mace-torch", read_aselmdb_back),
}
"""Format -> ending of its files, package of its loader, reader."""


def read_format_back(folder: Path, name: str, expected: Path, progress: Progress) -> str:
    """Read every side of a format back; returns the loader's package and version."""
    ending, package, reader = READERS[name]
    done = 0
    for side in sorted(expected.iterdir()):
        meant = read_expected(side)
        done += reader(
            folder / name / (side.name + ending),
            meant,
            lambda what, count, base=done: progress(what, base + count),  # type: ignore[misc]
        )
        if next(meant, None) is not None:
            raise ReadBackError(f"{name}/{side.name}: fewer frames were read back than were written")
    return f"{package} {version(package)}"


def main() -> int:
    """Read formats of a folder back; the last line printed is JSON: format -> loader."""
    folder, *names = sys.argv[1:]
    loaders = {}
    out = sys.stdout

    def progress(what: str, done: int) -> None:
        out.write(f"{what} {done}\n")
        out.flush()

    warnings.simplefilter("ignore")  # the loaders' own; what they read is compared number by number
    try:
        for name in names:
            importlib.import_module("mace" if name in ("mace", "aselmdb") else "torch")
            with contextlib.redirect_stdout(io.StringIO()):  # the loaders talk
                loaders[name] = read_format_back(Path(folder), name, Path(folder) / EXPECTED, progress)
    except ImportError as err:
        sys.stderr.write(f"{err.name} is not installed: pip install 'valenceflow[potentials]', or use --no-check\n")
        return 2
    except ValueError as err:
        sys.stderr.write(" ".join(str(err).split()) + "\n")
        return 2
    out.write(json.dumps(loaders) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
