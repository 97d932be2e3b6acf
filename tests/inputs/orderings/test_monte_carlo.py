"""Sampled free energies, energies and variances against sums over every arrangement."""

from dataclasses import replace

import numpy as np
import pytest
from valenceflow.inputs.orderings.monte_carlo import canonical_samples, jackknife, ladder
from valenceflow.inputs.orderings.ranking import charge_energies
from valenceflow.inputs.orderings.walkers import Sublattice

KT = np.array([0.3, 0.6, 1.2, 3.0])


@pytest.fixture(scope="module")
def landscape(small_cell, made_up_model):
    """(polynomial of 16 charge bits, energies of all 12,870 arrangements)."""
    cell = small_cell("olivine {a+b, 3b, c}")
    working = np.arange(len(cell.working_sites)) < len(cell.working_sites) // 2
    model = made_up_model(cell, 11)
    return model.polynomial.given(working), charge_energies(model, working)[1]


@pytest.fixture(scope="module")
def charges(landscape):
    """The sublattice of the landscape's bits, half of it in the high state."""
    return [Sublattice(landscape[0].n_bits, landscape[0].n_bits // 2)]


def exact(energies, kt):
    above = energies - energies.min()
    factors = np.exp(-above[None, :] / kt[:, None])
    z = factors.sum(axis=1)
    mean = factors @ above / z
    return np.log(z), mean, factors @ above**2 / z - mean**2


def test_samples_agree_with_the_sums_within_their_errors(landscape, charges):
    polynomial, energies = landscape
    samples = canonical_samples(polynomial, charges, KT, sets=10, sweeps=300, seed=3)
    assert samples.lowest == energies.min()
    assert samples.ln_arrangements == pytest.approx(np.log(len(energies)))
    found, errors = jackknife(10, lambda kept: np.array(samples.kept(kept).reweighted(KT)))
    expected = np.array(exact(energies, KT))
    assert (abs(found - expected) < 5 * errors + 1e-9).all()
    assert (errors < 0.1 * np.maximum(abs(expected), 1.0)).all()  # errors that say something
    assert samples.settled


def test_bennetts_ratios_agree_with_the_sums_on_every_rung(landscape, charges):
    polynomial, energies = landscape
    samples = canonical_samples(polynomial, charges, [0.3], sets=10, sweeps=300, seed=5)
    expected, _, _ = exact(energies, samples.temperatures[1:])
    found, errors = jackknife(10, lambda kept: samples.kept(kept).ln_partition)
    assert found[0] == samples.ln_arrangements
    assert (abs(found[1:] - expected) < 5 * errors[1:]).all()


def test_the_jackknife_of_a_mean_is_its_standard_error():
    drawn = np.random.default_rng(0).normal(size=12)
    found, error = jackknife(12, lambda kept: drawn[kept].mean(keepdims=True))
    assert found[0] == pytest.approx(drawn.mean())
    assert error[0] == pytest.approx(drawn.std(ddof=1) / np.sqrt(12))


def test_energies_that_drift_are_told(landscape, charges):
    samples = canonical_samples(landscape[0], charges, KT, sets=6, sweeps=100, seed=1)
    drifting = samples.above + np.linspace(2.0, 0.0, samples.above.shape[2])
    assert samples.settled
    assert not replace(samples, above=drifting).settled


def test_a_seed_gives_the_same_samples_again(landscape, charges):
    one, again, other = (canonical_samples(landscape[0], charges, KT, 2, 12, seed) for seed in (1, 1, 2))
    assert np.array_equal(one.above, again.above)
    assert not np.array_equal(one.above, other.above)


def test_one_arrangement_has_no_entropy(landscape):
    samples = canonical_samples(landscape[0], [Sublattice(landscape[0].n_bits, 0)], KT, 2, 12)
    ln_z, mean, variance = samples.reweighted(KT)
    assert ln_z == pytest.approx(0.0)
    assert not mean.any()
    assert not variance.any()


def test_a_ladder_goes_down_to_the_coldest_in_steps_that_overlap():
    rungs = ladder(0.01, 1.0, 9)
    assert rungs[0] == pytest.approx(2.0)
    assert rungs[-1] == 0.01
    steps = -np.diff(np.log(rungs))
    assert (steps > 0).all()
    assert steps.max() <= 0.5 + 1e-12
    assert steps[5:-1] == pytest.approx(1 / 3)
    assert ladder(5.0, 1.0, 9).tolist() == [5.0]


@pytest.mark.parametrize(
    ("temperatures", "options", "said"),
    [
        ([], {}, "must be positive"),
        ([0.0], {}, "must be positive"),
        ([np.inf], {}, "must be positive"),
        ([1.0], {"sets": 1}, "1 sets of 1000 sweeps give no error bars"),
        ([1.0], {"sweeps": 3}, "8 sets of 3 sweeps give no error bars"),
        ([1.0], {"sublattices": [Sublattice(3, 1)]}, "do not have the"),
    ],
)
def test_what_cannot_be_sampled_is_refused(landscape, charges, temperatures, options, said):
    arguments = {"sublattices": charges, "temperatures": temperatures} | options
    with pytest.raises(ValueError, match=said):
        canonical_samples(landscape[0], **arguments)
