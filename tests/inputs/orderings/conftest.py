"""Cells of different symmetry, and their symmetry as pymatgen and spglib find it on the supercell itself."""

import warnings
from dataclasses import dataclass

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure
from pymatgen.symmetry.analyzer import SpacegroupAnalyzer
from scipy.spatial.transform import Rotation
from valenceflow.inputs.charge_states import ChargeState, RedoxCouple, Surrogate, shipped_couples
from valenceflow.inputs.hosts import get_host, host_from_fields
from valenceflow.inputs.orderings.clusters import Clusters
from valenceflow.inputs.orderings.electrostatics import ElectrostaticModel
from valenceflow.inputs.orderings.energies import BitPolynomial
from valenceflow.inputs.supercells import HostSupercell

FE = shipped_couples()["Fe2+/Fe3+"]
NOISE, STRAIN = 0.1, 0.03  # A; relative
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

# Three orderings at x = 2/3 on 1x3x2, derived by hand (none is the experimental one): vacancies and Fe3+ in fractions
# of the supercell.
DIAGONAL_FE3 = [
    (0.713, 1 / 12, 0.0069), (0.713, 1 / 12, 0.5069), (0.213, 1 / 12, 0.2432), (0.213, 1 / 12, 0.7432),
    (0.787, 7 / 12, 0.2569), (0.787, 7 / 12, 0.7569), (0.287, 7 / 12, 0.4931), (0.287, 7 / 12, 0.9931),
]  # fmt: skip
COLUMN = [(0, y, z) for y in (0, 1 / 2) for z in (0, 1 / 2)]
TWO_THIRDS = {
    "A": (
        [(0, 0, 0), (0, 1 / 2, 0), (1 / 2, 0, 1 / 4), (1 / 2, 1 / 2, 1 / 4),
         (0, 1 / 6, 1 / 2), (0, 2 / 3, 1 / 2), (1 / 2, 1 / 6, 3 / 4), (1 / 2, 2 / 3, 3 / 4)],
        DIAGONAL_FE3,
    ),
    "B": (COLUMN + [(1 / 2, y, z) for y in (1 / 6, 2 / 3) for z in (1 / 4, 3 / 4)], DIAGONAL_FE3),
    "C": (
        COLUMN + [(1 / 2, y, z) for y in (0, 1 / 2) for z in (1 / 4, 3 / 4)],
        [(x, y, z + half) for x, y, z in ((0.713, 1 / 12, 0.0069), (0.213, 5 / 12, 0.2432),
                                          (0.787, 7 / 12, 0.2569), (0.287, 11 / 12, 0.4932)) for half in (0, 1 / 2)],
    ),
}  # fmt: skip

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


def _nearest(positions, cell, sites):
    """(n_sites,) True at the site nearest to each position."""
    distances = cell.structure.lattice.get_all_distances(positions, cell.structure.frac_coords[sites])
    assert distances.min(axis=1).max() < 0.01
    chosen = np.zeros(len(sites), dtype=bool)
    chosen[distances.argmin(axis=1)] = True
    assert chosen.sum() == len(positions)
    return chosen


@pytest.fixture(scope="session")
def two_thirds(paper_cell):
    """Occupation and charge bits of the three orderings at x = 2/3, by name."""
    return {
        name: (
            ~_nearest(vacancies, paper_cell, paper_cell.working_sites),
            _nearest(fe3, paper_cell, paper_cell.redox_sites),
        )
        for name, (vacancies, fe3) in TWO_THIRDS.items()
    }


@pytest.fixture(scope="session")
def half_of_b():
    """Ordering B in the cell of half its volume: (olivine 1x3x1, occupation bits, charge bits)."""
    half, (vacancies, fe3) = HostSupercell.build(OLIVINE, [1, 3, 1]), TWO_THIRDS["B"]
    working = ~_nearest([(x, y, 2 * z) for x, y, z in vacancies if z < 0.5], half, half.working_sites)
    return half, working, _nearest([(x, y, 2 * z) for x, y, z in fe3 if z < 0.5], half, half.redox_sites)


@pytest.fixture(scope="session")
def ordered():
    """Function that makes the idealised structure of an ordering, oxidation states as a site property."""

    def make(cell, working, charge):
        structure = cell.structure.copy()
        charges = {"Fe": 2} | cell.host.oxidation_states
        states = np.array([charges[site.specie.symbol] for site in structure])
        states[cell.redox_sites] += np.asarray(charge, dtype=int)
        structure.remove_site_property("host_site")
        structure.add_site_property("oxidation_state", states.tolist())
        structure.remove_sites(cell.working_sites[~np.asarray(working)].tolist())
        return structure

    return make


@pytest.fixture(scope="session")
def random_ordering():
    """Function that draws a neutral ordering of random composition."""

    def draw(cell, rng):
        working = rng.random(len(cell.working_sites)) < rng.random()
        charge = np.zeros(len(cell.redox_sites), dtype=bool)
        charge[rng.permutation(len(charge))[: cell.n_high(int(working.sum()), FE)]] = True
        return working, charge

    return draw


@pytest.fixture(scope="session")
def disguised():
    """Function that makes the same crystal relaxed, strained, turned, shifted, renumbered, and in another setting."""

    def disguise(structure, rng):
        setting = np.eye(3, dtype=int)[rng.permutation(3)] * rng.choice([-1, 1], 3)[:, None]
        to, by = rng.permutation(3)[:2]
        setting[to] += rng.integers(-1, 2) * setting[by]
        stretch = rng.uniform(-STRAIN, STRAIN, (3, 3))
        turn = Rotation.random(rng=rng).as_matrix()
        lattice = Lattice(setting @ structure.lattice.matrix @ (np.eye(3) + (stretch + stretch.T) / 2) @ turn)
        directions = rng.normal(size=(len(structure), 3))
        noise = NOISE * directions / np.linalg.norm(directions, axis=1)[:, None]
        positions = structure.frac_coords @ np.linalg.inv(setting) + rng.random(3)
        order = rng.permutation(len(structure))
        states = structure.site_properties["oxidation_state"]
        return Structure(
            lattice,
            [structure[int(i)].specie for i in order],
            (positions + lattice.get_fractional_coords(noise))[order],
            to_unit_cell=True,
            site_properties={"oxidation_state": [states[int(i)] for i in order]},
        )

    return disguise


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


LAYERED_FE = RedoxCouple(  # sodium that leaves NaFeO2 leaves Fe4+ behind
    name="Fe3+/Fe4+",
    element="Fe",
    low=ChargeState(oxidation_state=3, magmom=5.0),
    high=ChargeState(oxidation_state=4, magmom=4.0),
    surrogate=Surrogate(element="Ge", oxidation_state=4),
    windows="fit",
)


@dataclass(frozen=True, eq=False)
class MadeUpModel:
    """Any energies that the symmetry allows, as an `EnergyModel`."""

    cell: HostSupercell
    couple: RedoxCouple
    polynomial: BitPolynomial
    name: str = "made up"


@pytest.fixture(scope="session")
def couple_of():
    """The couple with which a cell can be neutral at every fraction."""
    return lambda cell: LAYERED_FE if cell.host is LAYERED else FE


@pytest.fixture(scope="session")
def electrostatics(couple_of):
    """Electrostatic model of a cell, made once."""
    made = {}

    def model(cell):
        if cell not in made:
            made[cell] = ElectrostaticModel(cell, couple_of(cell))
        return made[cell]

    return model


@pytest.fixture(scope="session")
def made_up_model(couple_of):
    """A model of random energies; with few values they tie often."""

    def model(cell, seed, triplets=False, values=None):
        clusters = Clusters(cell, triplet_cutoff=7.0 if triplets else None)
        random = np.random.default_rng(seed)
        drawn = random.normal(size=clusters.n_orbits) if values is None else random.choice(values, clusters.n_orbits)
        means = np.zeros(len(clusters.distances))
        return MadeUpModel(cell, couple_of(cell), clusters.polynomial(1.0, drawn.astype(float), means))

    return model
