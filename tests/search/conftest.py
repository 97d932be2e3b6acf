"""Small spaces whose every ordering can be evaluated: olivine cells of 8 and 16 sodium sites."""

from fractions import Fraction

import pytest
from valenceflow.inputs.charge_states import get_couple
from valenceflow.inputs.hosts import get_host
from valenceflow.inputs.supercells import HostSupercell
from valenceflow.search.landscapes import WorkingOrderings
from valenceflow.search.space import SearchSpace


@pytest.fixture(scope="session")
def iron():
    return get_couple("Fe2+/Fe3+")


@pytest.fixture(scope="session")
def small_cell():
    return HostSupercell.build(get_host("olivine-NaFePO4"), [1, 2, 1])


@pytest.fixture(scope="session")
def cell():
    return HostSupercell.build(get_host("olivine-NaFePO4"), [1, 2, 2])


@pytest.fixture(scope="session")
def half(cell, iron):
    """Sodium orderings of 8 on 16 sites."""
    return SearchSpace.of(cell, iron, "ions", [Fraction(1, 2)], charges="free")


@pytest.fixture(scope="session")
def every(small_cell, iron):
    """Sodium orderings of every composition of the small cell."""
    return SearchSpace.of(small_cell, iron, "ions", charges="free")


@pytest.fixture(scope="session")
def half_orderings(half):
    return WorkingOrderings.of(half)


@pytest.fixture(scope="session")
def every_ordering(every):
    return WorkingOrderings.of(every)
