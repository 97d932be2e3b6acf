"""Sampled thermodynamics against exact sums, with error bars that mean what they say."""

import numpy as np
import pytest
from valenceflow.analysis.thermodynamic_sampling import sampled_charge_thermodynamics, sampled_joint_thermodynamics
from valenceflow.analysis.thermodynamics import charge_levels, joint_levels, thermodynamics
from valenceflow.inputs.charge_states import get_couple
from valenceflow.inputs.hosts import get_host
from valenceflow.inputs.orderings.electrostatics import ElectrostaticModel
from valenceflow.inputs.supercells import HostSupercell

KELVIN = np.geomspace(100, 3000, 5)
QUANTITIES = ("free_energy", "energy", "entropy", "heat_capacity")


@pytest.fixture(scope="module")
def model():
    """Screened formal charges on 1x2x1."""
    cell = HostSupercell.build(get_host("olivine-NaFePO4"), [1, 2, 1])
    return ElectrostaticModel(cell, get_couple("Fe2+/Fe3+"), 11.4)


def deviations(found, exact):
    """(4, n_temperatures) differences in standard errors."""
    return np.array([(getattr(found, q) - getattr(exact, q)) / getattr(found.errors, q) for q in QUANTITIES])


def test_ions_and_charges_together_agree_within_their_errors(model):
    """Of repetitions, so that errors too small or too large would show: z^2 of 7 degrees of freedom has mean 1.4."""
    exact = thermodynamics(joint_levels(model, 4), KELVIN)
    z = np.array(
        [
            deviations(sampled_joint_thermodynamics(model, 4, KELVIN, sweeps=60, seed=seed), exact)
            for seed in range(6)
        ]
    )  # fmt: skip
    assert abs(z).max() < 8
    assert 0.3 < (z**2).mean() < 4


def test_charges_alone_agree_within_their_errors(model):
    working = np.arange(8) < 4
    exact = thermodynamics(charge_levels(model, working), KELVIN)
    found = sampled_charge_thermodynamics(model, working, KELVIN, sweeps=100, seed=1)
    assert abs(deviations(found, exact)).max() < 8
    assert found.lowest == exact.lowest
    assert found.ln_arrangements == pytest.approx(exact.ln_arrangements)
    assert (found.method, exact.method) == ("sampled", "exact")
    assert found.n_lowest is None


def test_the_peak_has_an_error_that_covers_the_exact_one(model):
    kelvin = np.geomspace(30, 3000, 40)
    exact = thermodynamics(joint_levels(model, 4), kelvin).peak
    found = sampled_joint_thermodynamics(model, 4, kelvin, sweeps=100, seed=2).peak
    assert found.error > 0
    assert abs(found.temperature - exact.temperature) < 5 * found.error + 0.05 * exact.temperature


def test_more_sweeps_have_smaller_errors(model):
    few, many = (
        sampled_charge_thermodynamics(model, np.arange(8) < 4, KELVIN, sweeps=sweeps, seed=3) for sweeps in (20, 320)
    )
    for q in ("free_energy", "energy"):
        assert getattr(many.errors, q).mean() < 0.6 * getattr(few.errors, q).mean()


def test_a_space_that_nobody_can_sum_is_sampled():
    cell = HostSupercell.build(get_host("olivine-NaFePO4"), [1, 3, 2])
    model = ElectrostaticModel(cell, get_couple("Fe2+/Fe3+"), 11.4)
    told = []
    found = sampled_joint_thermodynamics(
        model, 16, [300.0, 1000.0], sets=2, sweeps=10, progress=lambda *done: told.append(done)
    )
    assert found.ln_arrangements == pytest.approx(np.log(540_917_591_841))
    assert told[-1] == (10, 10)
    assert (found.entropy < found.ln_arrangements * 8.6174e-5).all()


def test_an_ordering_of_another_length_is_refused(model):
    with pytest.raises(ValueError, match="working-ion ordering has shape"):
        sampled_charge_thermodynamics(model, [True], KELVIN)
