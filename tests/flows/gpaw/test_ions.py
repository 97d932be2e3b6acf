"""Ions that the density starts from: electron counts against chemistry, and what is conserved for any screening."""

from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from valenceflow.flows.gpaw.in_gpaw.ions import (
    IonicStart,
    Shell,
    ion_key,
    ion_shells,
    missing_in,
    occupations,
    open_d_fillings,
    screened,
    spin_fillings,
    starting_from,
)

# Shells of GPAW's default PBE setups (principal quantum number, l, electrons), as its output prints them.
IRON = (Shell(4, 0, 2), Shell(4, 1, 0), Shell(3, 2, 6))
OXYGEN = (Shell(2, 0, 2), Shell(2, 1, 4))
PHOSPHORUS = (Shell(3, 0, 2), Shell(3, 1, 3))
SODIUM = (Shell(3, 0, 1), Shell(2, 1, 6))
GALLIUM = (Shell(4, 0, 2), Shell(4, 1, 1), Shell(3, 2, 10))


@dataclass
class Function:
    """A basis function, as GPAW's splines are."""

    l: int  # noqa: E741

    def get_angular_momentum_number(self):
        return self.l


@dataclass
class Setup:
    """What the ionic start reads of a PAW setup; unbound states have n = -1."""

    symbol: str = "Fe"
    n_j: tuple = (4, 4, 3, -1, -1, -1)
    l_j: tuple = (0, 1, 2, 0, 1, 2)
    f_j: tuple = (2, 0, 6)
    phit_j: list = field(default_factory=lambda: [Function(0), Function(1), Function(2), Function(2)])

    def calculate_initial_occupation_numbers(self, magmom, hund, charge, nspins, f_j=None):
        return np.zeros((nspins, 14))


@pytest.mark.parametrize(
    ("shells", "charge", "expected"),
    [
        (IRON, 3, [0, 0, 5]),
        (IRON, 2, [0, 0, 6]),
        (IRON, 2.5, [0, 0, 5.5]),
        (OXYGEN, -2, [2, 6]),
        (PHOSPHORUS, 5, [0, 0]),
        (SODIUM, 1, [0, 6]),
        (GALLIUM, 3, [0, 0, 10]),
        (IRON, 0, [2, 0, 6]),
    ],
)
def test_ions_have_the_electrons_of_the_textbook(shells, charge, expected):
    assert ion_shells(shells, charge) == pytest.approx(expected)


def test_an_ion_that_cannot_be_is_refused():
    with pytest.raises(ValueError, match=r"no ion of charge \+6"):
        ion_shells(PHOSPHORUS, 6)
    with pytest.raises(ValueError, match="no ion of charge -3"):
        ion_shells(OXYGEN, -3)
    with pytest.raises(ValueError, match="moment of 5 muB does not fit"):
        spin_fillings(OXYGEN, [2, 6], [2, 6], 5)


@given(
    charge=st.floats(0, 4),
    screening=st.floats(0, 1),
    covalency=st.floats(0, 1),
    shells=st.sampled_from([IRON, GALLIUM]),
)
def test_screening_keeps_shells_within_their_room_and_adds_the_screening_charge(charge, screening, covalency, shells):
    ionic = ion_shells(shells, charge)
    found = screened(shells, ionic, screening, covalency)
    neutral = sum(shell.electrons for shell in shells)
    assert sum(found) == pytest.approx((1 - screening) * sum(ionic) + screening * neutral, abs=1e-9)
    assert all(-1e-9 <= f <= shell.capacity + 1e-9 for f, shell in zip(found, shells, strict=True))


def test_screened_ions_of_a_neutral_cell_are_a_neutral_cell():
    cell = [(IRON, 3), (IRON, 3), (IRON, 2), (IRON, 2), (SODIUM, 1), (SODIUM, 1)]
    cell += [(PHOSPHORUS, 5)] * 4 + [(OXYGEN, -2)] * 16
    electrons = sum(sum(screened(shells, ion_shells(shells, q), 0.7, 0.9)) for shells, q in cell)
    assert electrons == pytest.approx(sum(shell.electrons for shells, _ in cell for shell in shells))


@given(screening=st.floats(0, 1), covalency=st.floats(0, 1))
def test_majority_shells_of_iron_are_full_and_the_minority_holds_the_rest(screening, covalency):
    start = IonicStart({}, None, screening, covalency)
    for charge, moment, d_electrons in ((3, 5.0, 5 + min(covalency, 3 * screening)), (2, 4.0, 6.0)):
        up, down = occupations(Setup(), charge, moment, 2, start)
        assert np.allclose(up[4:9], 1)
        assert np.ptp(down[4:9]) < 1e-12  # a spherical ion
        assert up[4:9].sum() + down[4:9].sum() == pytest.approx(d_electrons)
        assert np.all(up[9:] == 0)  # the second d function polarises, it holds nothing
        assert np.all(down[9:] == 0)


def test_the_odd_electron_of_the_low_state_goes_into_one_orbital_counted_from_the_lowest():
    start = IonicStart({}, 0, 0.7, 0.9)
    assert open_d_fillings(Setup(), 2, 4.0, start) == (2, [[1] * 5, [1, 0, 0, 0, 0]])
    wave, (up, down) = open_d_fillings(Setup(), 2, 4.0, replace(start, orbital=2))
    assert (wave, up, down) == (2, [1] * 5, [0, 0, 1, 0, 0])
    _, (up, down) = open_d_fillings(Setup(), 3, 5.0, start)  # a half-filled shell is a sphere, screened evenly
    assert up == [1] * 5
    assert down == pytest.approx([0.18] * 5)
    assert open_d_fillings(Setup(), 2, 4.0, replace(start, orbital=None)) is None


def test_a_d4_ion_leaves_the_highest_orbital_of_its_majority_empty():
    manganese = Setup("Mn", (4, 4, 3), (0, 1, 2), (2, 0, 5))
    _, (up, _) = open_d_fillings(manganese, 3, 4.0, IonicStart({}, 0, 0.0, 0.0))
    assert up == pytest.approx([1, 1, 1, 1, 0])


def test_without_spin_both_spins_are_summed():
    paired = occupations(Setup("Ga", (4, 4, 3), (0, 1, 2), (2, 1, 10)), 3, 0.0, 1, IonicStart({}))
    assert paired.shape[0] == 1
    assert paired.sum() == pytest.approx(10)


def test_within_the_block_setups_give_ions_and_after_it_they_are_as_they_were():
    start = IonicStart({ion_key("Fe", 5): 3.0})
    before = Setup.calculate_initial_occupation_numbers
    with starting_from(start, Setup):
        found = Setup().calculate_initial_occupation_numbers(5.0, False, 0.0, 2)
        assert found.sum() == pytest.approx(5)
        with pytest.raises(ValueError, match="no ionic charge is known for Fe with 4 muB"):
            Setup().calculate_initial_occupation_numbers(4.0, False, 0.0, 2)
    assert Setup.calculate_initial_occupation_numbers is before
    assert start.used == {("Fe", 5.0)}


def test_a_gpaw_whose_setups_changed_is_told():
    class Changed:
        def calculate_initial_occupation_numbers(self, magmom, nspins):
            return None

    assert "takes self, magmom, nspins" in missing_in(Changed)
    assert "have no" in missing_in(object)
    assert missing_in(Setup) == ""
