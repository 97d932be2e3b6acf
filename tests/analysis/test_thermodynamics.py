"""Thermodynamics of orderings: brute force, known limits, numerical derivatives, pymatgen's hull."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.analysis.phase_diagram import CompoundPhaseDiagram, PDEntry
from pymatgen.core import Composition
from scipy.special import logsumexp
from valenceflow.analysis.thermodynamics import (
    BOLTZMANN,
    EnergyLevels,
    charge_levels,
    free_energy_hull,
    highest_peak,
    is_summable,
    joint_levels,
    thermodynamics,
)
from valenceflow.inputs.charge_states import get_couple
from valenceflow.inputs.hosts import get_host
from valenceflow.inputs.orderings.catalogue import OrderingCatalogue
from valenceflow.inputs.orderings.electrostatics import ElectrostaticModel
from valenceflow.inputs.orderings.energies import ordering_energies
from valenceflow.inputs.supercells import HostSupercell

KELVIN = np.geomspace(20, 5000, 40)
FE = get_couple("Fe2+/Fe3+")


@pytest.fixture(scope="module")
def model(olivine):
    """Screened formal charges on the 28-atom cell: 36 joint arrangements at x = 1/2."""
    return ElectrostaticModel(olivine, FE, 11.4)


@pytest.fixture(scope="module")
def larger():
    """The same on 1x2x1: 70 x 70 joint arrangements at x = 1/2."""
    return ElectrostaticModel(HostSupercell.build(get_host("olivine-NaFePO4"), [1, 2, 1]), FE, 11.4)


def every_ordering(model, n_occupied):
    """(n, n_working), (n, n_redox): all neutral arrangements, from numbers counted up."""
    n = len(model.cell.working_sites)
    n_high = model.cell.n_high(n_occupied, FE)
    bits = np.array([[number >> i & 1 for i in range(n)] for number in range(2**n)], dtype=bool)
    ions, charges = bits[bits.sum(axis=1) == n_occupied], bits[bits.sum(axis=1) == n_high]
    return np.repeat(ions, len(charges), axis=0), np.tile(charges, (len(ions), 1))


# Levels.
@pytest.mark.parametrize("n_occupied", [0, 2, 3, 4])
def test_joint_levels_are_those_of_every_arrangement(model, n_occupied):
    energies = ordering_energies(model, *every_ordering(model, n_occupied))
    expected, counts = np.unique(energies, return_counts=True)
    found = joint_levels(model, n_occupied)
    assert np.array_equal(found.energies, expected)
    assert np.array_equal(found.arrangements, counts)


def test_joint_levels_of_a_larger_cell_are_those_of_its_listing(larger):
    """From the distinct orderings with their multiplicities."""
    catalogue = OrderingCatalogue(larger.cell, FE, 4, model=larger)
    rows = list(catalogue.list())
    energies = [float(larger.polynomial.energies(np.concatenate([r.key.working, r.key.charge]))) for r in rows]
    listed = EnergyLevels.of(energies, [r.multiplicity * r.working_multiplicity for r in rows])
    found = joint_levels(larger, 4)
    assert np.array_equal(found.energies, listed.energies)
    assert np.array_equal(found.arrangements, listed.arrangements)
    assert found.arrangements.sum() == 70 * 70


def test_progress_ends_with_every_working_ion_ordering(model):
    told = []
    joint_levels(model, 2, lambda done, total: told.append((done, total)))
    assert told[-1] == (3, 3)


def test_too_many_to_sum_is_refused_with_their_number():
    cell = HostSupercell.build(get_host("olivine-NaFePO4"), [1, 3, 2])
    space = OrderingCatalogue(cell, FE, 16).space
    assert not is_summable(space)
    assert is_summable(space.charges_at(np.arange(24) < 16))
    with pytest.raises(ValueError, match=r"11,489,527,962 energies of 16 Na .* sample them"):
        joint_levels(ElectrostaticModel(cell, FE), 16)


# Sums.
@settings(max_examples=40, deadline=None)
@given(
    levels=st.lists(st.tuples(st.floats(-5, 5), st.integers(1, 50)), min_size=1, max_size=40),
    kelvin=st.lists(st.floats(1, 1e5), min_size=1, max_size=5, unique=True),
)
def test_sums_are_those_written_out(levels, kelvin):
    """Against one exponential per arrangement, in scipy's log-sum-exp."""
    energies = np.repeat([e for e, _ in levels], [n for _, n in levels])
    found = thermodynamics(EnergyLevels.of(*zip(*levels, strict=True)), kelvin)
    for place, kt in enumerate(BOLTZMANN * found.temperatures):
        ln_z = logsumexp(-energies / kt)
        chance = np.exp(-energies / kt - ln_z)
        mean = chance @ energies
        assert found.free_energy[place] == pytest.approx(-kt * ln_z, rel=1e-10, abs=1e-10)
        assert found.energy[place] == pytest.approx(mean, rel=1e-10, abs=1e-10)
        spread = chance @ (energies - mean) ** 2
        assert found.heat_capacity[place] == pytest.approx(
            spread / (kt * found.temperatures[place]), rel=1e-6, abs=1e-9
        )
        assert found.entropy[place] >= -1e-12


def test_more_levels_than_a_block_are_all_summed():
    energies = np.random.default_rng(0).normal(0, 0.3, 5000)
    found = thermodynamics(EnergyLevels.of(energies), [30.0, 300.0, 30000.0])
    expected = [-BOLTZMANN * t * logsumexp(-energies / (BOLTZMANN * t)) for t in (30.0, 300.0, 30000.0)]
    assert found.free_energy == pytest.approx(expected, rel=1e-13)


def test_two_levels_are_schottkys_anomaly():
    """Closed form: S and C of g0 = 1, g1 = 3 with a gap of 0.05 eV."""
    found = thermodynamics(EnergyLevels.of([-1.0, -0.95], [1, 3]), KELVIN)
    r = 0.05 / (BOLTZMANN * KELVIN)
    chance = 3 * np.exp(-r) / (1 + 3 * np.exp(-r))
    assert found.energy + 1 == pytest.approx(0.05 * chance, rel=1e-10)
    assert found.heat_capacity == pytest.approx(BOLTZMANN * r**2 * chance * (1 - chance), rel=1e-6, abs=1e-18)
    assert found.entropy == pytest.approx(BOLTZMANN * (np.log1p(3 * np.exp(-r)) + r * chance), rel=1e-9, abs=1e-18)


def test_the_entropy_is_ln_w_where_it_is_hot_and_ln_g_where_it_is_cold(model, larger):
    for levels in (joint_levels(model, 2), joint_levels(larger, 4), charge_levels(larger, np.arange(8) < 4)):
        cold, hot = thermodynamics(levels, [1.0, 1e9]).entropy / BOLTZMANN
        assert hot == pytest.approx(levels.ln_arrangements, rel=1e-6)
        assert cold == pytest.approx(np.log(levels.arrangements[0]), abs=1e-9)
    assert levels.ln_arrangements == pytest.approx(np.log(70))


def test_entropy_and_heat_capacity_are_derivatives(larger):
    kelvin = np.linspace(100, 3000, 4001)
    found = thermodynamics(joint_levels(larger, 4), kelvin)
    inner = slice(1, -1)
    assert found.entropy[inner] == pytest.approx(-np.gradient(found.free_energy, kelvin)[inner], rel=1e-3)
    slope = np.gradient(found.energy, kelvin)[inner]
    assert found.heat_capacity[inner] == pytest.approx(slope, rel=1e-3, abs=1e-3 * found.heat_capacity.max())
    assert found.free_energy == pytest.approx(found.energy - kelvin * found.entropy, rel=1e-12)


def test_the_order_disorder_temperature_is_the_highest_of_the_heat_capacity(larger):
    levels = joint_levels(larger, 4)
    coarse = thermodynamics(levels, np.geomspace(30, 5000, 60)).peak
    fine = thermodynamics(levels, np.geomspace(30, 5000, 6000))
    top = fine.temperatures[fine.heat_capacity.argmax()]
    assert coarse.temperature == pytest.approx(top, rel=2e-3)
    assert coarse.heat_capacity == pytest.approx(fine.heat_capacity.max(), rel=1e-3)
    assert coarse.error is None


def test_without_a_maximum_inside_there_is_no_order_disorder_temperature():
    assert highest_peak(np.array([1.0, 2.0, 3.0]), np.array([1.0, 2.0, 3.0])) is None
    assert highest_peak(np.array([1.0, 2.0]), np.array([1.0, 2.0])) is None
    assert highest_peak(np.array([1.0, 2.0, 4.0]), np.array([1.0, 2.0, 1.0])).temperature == pytest.approx(2.0)
    assert thermodynamics(EnergyLevels.of([3.0]), KELVIN).peak is None


# Hull.
def test_the_hull_at_temperature_is_pymatgens(model):
    compositions = {n / 4: thermodynamics(joint_levels(model, n), [50.0, 300.0, 3000.0]) for n in range(5)}
    mixing, hull = free_energy_hull(compositions, 4)
    for place in range(3):
        entries = [
            PDEntry(
                Composition({"Na": x, "Fe": 1, "P": 1, "O": 4}), float(found.free_energy[place]) / 4, attribute=x
            )
            for x, found in compositions.items()
        ]  # fmt: skip
        ends = [Composition("NaFePO4"), Composition("FePO4")]
        diagram = CompoundPhaseDiagram(entries, ends, normalize_terminal_compositions=False)
        heights = {e.original_entry.attribute: diagram.get_e_above_hull(e) for e in diagram.all_entries}
        assert (mixing - hull)[:, place] == pytest.approx([heights[x] for x in sorted(compositions)], abs=1e-8)
    assert not mixing[[0, -1]].any()
    # The entropy of mixing brings every composition down.
    assert (np.diff(mixing[1:-1], axis=1) < 0).all()


def test_a_hull_without_an_end_member_or_of_unequal_temperatures_is_refused(model):
    one, other = (thermodynamics(joint_levels(model, 2), [t]) for t in (10.0, 20.0))
    with pytest.raises(ValueError, match=r"the fractions 0 and 1, got \[0.5, 1.0\]"):
        free_energy_hull({0.5: one, 1.0: one}, 4)
    with pytest.raises(ValueError, match="same temperatures"):
        free_energy_hull({0.0: one, 1.0: other}, 4)


# Bad input.
@pytest.mark.parametrize("kelvin", [[], [0.0], [-5.0], [300.0, np.nan], [np.inf]])
def test_temperatures_that_are_none_are_refused(kelvin):
    with pytest.raises(ValueError, match="positive numbers of kelvin"):
        thermodynamics(EnergyLevels.of([0.0]), kelvin)


@pytest.mark.parametrize(
    ("energies", "multiplicities", "said"),
    [
        ([], None, "two equal, filled rows"),
        ([1.0, 2.0], [1], "two equal, filled rows"),
        ([1.0, np.nan], None, "finite"),
        ([1.0, 2.0], [1, 0], "positive"),
    ],
)
def test_levels_that_are_none_are_refused(energies, multiplicities, said):
    with pytest.raises(ValueError, match=said):
        EnergyLevels.of(energies, multiplicities)
