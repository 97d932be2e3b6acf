"""Heat-bath steps against the Boltzmann distribution worked out by hand, and against plain evaluation."""

from itertools import combinations

import numpy as np
import pytest
from scipy.stats import chisquare
from valenceflow.inputs.orderings.exchange import Exchange
from valenceflow.inputs.orderings.walkers import Sublattice, Walkers, random_arrangements

HALVES = [Sublattice(4, 2), Sublattice(4, 2)]
MOSTLY_FULL = [Sublattice(4, 3), Sublattice(4, 1)]


def boltzmann(polynomial, sublattices, temperature):
    """Every arrangement with its probability."""
    halves = [
        [np.isin(np.arange(part.sites), chosen) for chosen in combinations(range(part.sites), part.ones)]
        for part in sublattices
    ]
    rows = np.array([np.concatenate([one, other]) for one in halves[0] for other in halves[1]])
    factors = np.exp(-(polynomial.energies(rows) - polynomial.energies(rows).min()) / temperature)
    return rows, factors / factors.sum()


@pytest.mark.parametrize("triplets", [False, True])
@pytest.mark.parametrize("sublattices", [HALVES, MOSTLY_FULL])
def test_steps_meet_arrangements_as_often_as_boltzmann_says(small_cell, made_up_model, triplets, sublattices):
    """Where ions are rarer and where empty sites are; independent walkers, so that the counts are independent."""
    polynomial = made_up_model(small_cell("olivine"), 3, triplets=triplets).polynomial
    rows, expected = boltzmann(polynomial, sublattices, 2.0)
    walkers = Walkers(polynomial, sublattices, 4000, np.random.default_rng(1))
    for _ in range(12):
        walkers.sweep(2.0)
    names = {row.tobytes(): place for place, row in enumerate(rows)}
    met = np.bincount([names[row.tobytes()] for row in walkers.bits], minlength=len(rows))
    assert chisquare(met, 4000 * expected).pvalue > 1e-3


@pytest.mark.parametrize("triplets", [False, True])
def test_a_greedy_sweep_never_goes_up_and_keeps_the_numbers_of_ions(small_cell, made_up_model, triplets):
    polynomial = made_up_model(small_cell("olivine"), 5, triplets=triplets).polynomial
    walkers = Walkers(polynomial, HALVES, 50, np.random.default_rng(2))
    before = polynomial.energies(walkers.bits)
    for _ in range(3):
        walkers.sweep(0.0)
        after = polynomial.energies(walkers.bits)
        assert (after <= before + 1e-9).all()
        before = after
    assert (walkers.bits[:, :4].sum(axis=1) == 2).all()
    assert (walkers.bits[:, 4:].sum(axis=1) == 2).all()


def test_every_walker_has_a_temperature_of_its_own(small_cell, made_up_model):
    polynomial = made_up_model(small_cell("olivine"), 3).polynomial
    rows, cold = boltzmann(polynomial, HALVES, 1.0)
    walkers = Walkers(polynomial, HALVES, 4000, np.random.default_rng(4))
    temperatures = np.where(np.arange(4000) < 2000, 1.0, 100.0)
    for _ in range(12):
        walkers.sweep(temperatures)
    energies, of_rows = polynomial.energies(walkers.bits), polynomial.energies(rows)
    error = np.sqrt(cold @ (of_rows - cold @ of_rows) ** 2 / 2000)
    assert abs(energies[:2000].mean() - cold @ of_rows) < 5 * error
    assert energies[2000:].mean() > energies[:2000].mean() + 5 * error


def test_random_arrangements_are_uniform():
    bits = random_arrangements([Sublattice(3, 1), Sublattice(4, 2)], 6000, np.random.default_rng(0))
    _, counts = np.unique(bits, axis=0, return_counts=True)
    assert len(counts) == 18
    assert chisquare(counts).pvalue > 1e-3


def test_exchanges_keep_every_rung_in_equilibrium(small_cell, made_up_model):
    polynomial = made_up_model(small_cell("olivine"), 3).polynomial
    rungs = np.array([4.0, 2.0, 1.0])
    ladders = Exchange(polynomial, HALVES, rungs, 2000, np.random.default_rng(7))
    for _ in range(12):
        energies = ladders.sweep()
    for place, temperature in enumerate(rungs):
        rows, expected = boltzmann(polynomial, HALVES, temperature)
        of_rows = polynomial.energies(rows)
        mean = expected @ of_rows
        assert abs(energies[:, place].mean() - mean) < 4 * np.sqrt(expected @ (of_rows - mean) ** 2 / 2000)
    assert (polynomial.energies(ladders.bits(np.arange(2000), np.ones(2000, dtype=int))) == energies[:, 1]).all()
