"""Crystals of other structure types than olivine, from their published parameters."""

import pytest
from pymatgen.core import Lattice, Structure


@pytest.fixture(scope="session")
def nasicon():
    """Na3V2(PO4)3, R-3c, sodium spread over two partly occupied sites; Zatovsky, Acta Cryst. E66 (2010) i12."""
    lattice = Lattice.from_parameters(8.728, 8.728, 21.805, 90, 90, 120)
    species = [{"Na": 0.805}, {"Na": 0.731}, "V", "P", "O", "O"]
    positions = [[0, 0, 0], [0.6388, 0, 0.25], [0, 0, 0.1475], [0.2963, 0, 0.25], [0.1432, 0.4994, 0.0772]]
    return Structure.from_spacegroup("R-3c", lattice, species, [*positions, [0.5406, 0.8465, -0.0263]])


@pytest.fixture(scope="session")
def two_site_layers():
    """P2-NaxCoO2, P6_3/mmc: two sodium sites 1.64 A apart, of which one at a time is occupied."""
    lattice = Lattice.from_parameters(2.84, 2.84, 10.8, 90, 90, 120)
    species = [{"Na": 0.25}, {"Na": 0.45}, "Co", "O"]
    positions = [[0, 0, 0.25], [2 / 3, 1 / 3, 0.25], [0, 0, 0], [1 / 3, 2 / 3, 0.0908]]
    return Structure.from_spacegroup("P6_3/mmc", lattice, species, positions)
