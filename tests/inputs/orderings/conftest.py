"""Cells of different symmetry, and their symmetry as pymatgen and spglib find it on the supercell itself."""

import warnings

import numpy as np
import pytest
from pymatgen.core import Structure
from pymatgen.symmetry.analyzer import SpacegroupAnalyzer
from valenceflow.inputs.hosts import get_host, host_from_fields
from valenceflow.inputs.supercells import HostSupercell

LAYERED = host_from_fields(
    "layered NaFeO2",  # made-up numbers in the alpha-NaFeO2 structure
    {
        "space_group": "R-3m",
        "lattice": [3.0, 3.0, 16.0, 90.0, 90.0, 120.0],
        "sites": [
            {"element": "Na", "position": [0.0, 0.0, 0.5]},
            {"element": "Fe", "position": [0.0, 0.0, 0.0]},
            {"element": "O", "position": [0.0, 0.0, 0.235]},
        ],
        "working_ion": "Na",
        "redox_element": "Fe",
        "oxidation_states": {"Na": 1, "O": -2},
        "operations": 36,
        "formula_units": 3,
        "source": "test",
    },
)
MONOCLINIC = host_from_fields(
    "monoclinic NaFeOF",  # made-up numbers: one general position each
    {
        "space_group": "P2_1/c",
        "lattice": [5.0, 9.0, 8.0, 90.0, 105.0, 90.0],
        "sites": [
            {"element": "Na", "position": [0.11, 0.07, 0.23]},
            {"element": "Fe", "position": [0.31, 0.42, 0.17]},
            {"element": "F", "position": [0.62, 0.15, 0.35]},
            {"element": "O", "position": [0.83, 0.29, 0.48]},
        ],
        "working_ion": "Na",
        "redox_element": "Fe",
        "oxidation_states": {"Na": 1, "F": -1, "O": -2},
        "operations": 4,
        "formula_units": 4,
        "source": "test",
    },
)
TRICLINIC = host_from_fields(
    "triclinic NaFeOF",  # made-up numbers: every element on two places that no operation connects
    {
        "space_group": "P-1",
        "lattice": [6.1, 7.3, 8.7, 81.0, 97.0, 104.0],
        "sites": [
            {"element": element, "position": position}
            for element, position in (
                ("Na", [0.11, 0.07, 0.23]), ("Na", [0.42, 0.61, 0.85]), ("Fe", [0.31, 0.42, 0.17]),
                ("Fe", [0.72, 0.13, 0.44]), ("O", [0.83, 0.29, 0.68]), ("O", [0.21, 0.77, 0.39]),
                ("F", [0.55, 0.33, 0.91]), ("F", [0.08, 0.34, 0.58]),
            )
        ],
        "working_ion": "Na",
        "redox_element": "Fe",
        "oxidation_states": {"Na": 1, "F": -1, "O": -2},
        "operations": 2,
        "formula_units": 4,
        "source": "test",
    },
)  # fmt: skip
OLIVINE = get_host("olivine-NaFePO4")

CELLS = {
    "olivine": HostSupercell.build(OLIVINE),
    "olivine 1x2x1": HostSupercell.build(OLIVINE, [1, 2, 1]),
    # The superlattice on which formal charges order best at x = 2/3 (Saracibar et al. 2016): it
    # keeps half of the host's operations only.
    "olivine {a+b, 3b, c}": HostSupercell.build(OLIVINE, [[1, 1, 0], [0, 3, 0], [0, 0, 1]]),
    "olivine {a+b, b-a, c}": HostSupercell.build(OLIVINE, [[1, 1, 0], [-1, 1, 0], [0, 0, 1]]),
    "layered 2x2x1": HostSupercell.build(LAYERED, [2, 2, 1]),
    "layered {a-b, a+2b, c}": HostSupercell.build(LAYERED, [[1, -1, 0], [1, 2, 0], [0, 0, 1]]),
    "triclinic 2x1x1": HostSupercell.build(TRICLINIC, [2, 1, 1]),
    "monoclinic 2x1x1": HostSupercell.build(MONOCLINIC, [2, 1, 1]),
}


@pytest.fixture(scope="session", params=list(CELLS))
def cell(request):
    """Each of the small cells in turn."""
    return CELLS[request.param]


@pytest.fixture(scope="session")
def small_cell():
    """Give one of the small cells by its name."""
    return CELLS.__getitem__


@pytest.fixture(scope="session")
def paper_cell():
    """Olivine 1x3x2: 168 atoms, 24 sodium, 24 iron."""
    return HostSupercell.build(OLIVINE, [1, 3, 2])


@pytest.fixture(scope="session")
def marked():
    """Write an ordering in elements: K on empty working-ion sites, Ga on high states."""

    def mark(cell, working, charge):
        symbols = [site.specie.symbol for site in cell.structure]
        for site, occupied in zip(cell.working_sites, working, strict=True):
            symbols[site] = cell.host.working_ion if occupied else "K"
        for site, high in zip(cell.redox_sites, charge, strict=True):
            symbols[site] = "Ga" if high else cell.host.redox_element
        return Structure(cell.structure.lattice, symbols, cell.structure.frac_coords)

    return mark


def _operations(structure):
    with warnings.catch_warnings():
        # pymatgen asks spglib in its old way.
        warnings.filterwarnings("ignore", message="Set OLD_ERROR_HANDLING", category=DeprecationWarning)
        return SpacegroupAnalyzer(structure, symprec=0.01).get_symmetry_operations()


@pytest.fixture(scope="session")
def spglib_operations():
    """Operations of a structure as pymatgen and spglib find them, in fractional coordinates."""
    return _operations


@pytest.fixture(scope="session")
def spglib_permutations():
    """(n_operations, n_working + n_redox) distinct permutations of the ordering sites, from the supercell itself."""

    def permutations(cell):
        sites = np.concatenate([cell.working_sites, cell.redox_sites])
        positions = cell.structure.frac_coords[sites]
        rows = set()
        for operation in _operations(cell.structure):
            images = positions @ operation.rotation_matrix.T + operation.translation_vector
            distances = cell.structure.lattice.get_all_distances(images, positions)
            assert distances.min(axis=1).max() < 0.01
            rows.add(tuple(distances.argmin(axis=1).tolist()))
        return np.array(sorted(rows))

    return permutations
