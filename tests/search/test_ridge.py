"""The ridge against its closed form, and generalised cross-validation against its definition."""

import numpy as np
import pytest
from valenceflow.search.ridge import STRENGTHS, fit_ridge


def problem(n, orders, seed, noise=0.0):
    random = np.random.default_rng(seed)
    features = random.standard_normal((n, len(orders)))
    return random, features, noise * random.standard_normal(n)


def by_definition(features, energies, strength):
    """Predictions and generalised cross-validation error from the hat matrix of standardised features."""
    n = len(energies)
    standard = (features - features.mean(axis=0)) / features.std(axis=0)
    gram = standard.T @ standard + strength * n * np.eye(standard.shape[1])
    hat = standard @ np.linalg.solve(gram, standard.T) + np.ones((n, n)) / n
    left = energies - hat @ energies
    return hat @ energies, np.sqrt((left @ left / n) / (1 - np.trace(hat) / n) ** 2)


def test_the_fit_and_its_score_are_those_of_the_hat_matrix():
    orders = np.array([1, 2, 2, 2, 0])
    random, features, noise = problem(30, orders, 1, noise=0.3)
    energies = features @ random.standard_normal(5) + noise - 7000.0
    fit = fit_ridge(features, energies, orders)
    predicted, score = by_definition(features, energies, fit.strength)
    assert fit.predict(features) == pytest.approx(predicted, abs=1e-6)
    assert fit.gcv_error == pytest.approx(score, rel=1e-6)
    others = [by_definition(features, energies, strength)[1] for strength in STRENGTHS]
    assert score <= min(others) * (1 + 1e-6)


@pytest.mark.parametrize("order", [2, 4])
def test_clusters_are_as_large_as_the_landscape_needs(order):
    orders = np.repeat([1, 2, 3, 4], [1, 10, 20, 40])
    random, features, noise = problem(200, orders, 2, noise=0.01)
    energies = features @ (random.standard_normal(len(orders)) * (orders <= order)) + noise
    assert fit_ridge(features, energies, orders).order == order


def test_a_feature_that_never_changes_says_nothing():
    features = np.column_stack([np.full(8, 3.0), np.arange(8.0)])
    fit = fit_ridge(features, 2 * np.arange(8.0), np.array([2, 2]))
    assert fit.coefficients[0] == 0.0
    assert fit.predict(features) == pytest.approx(2 * np.arange(8.0), abs=1e-3)


def test_an_energy_that_is_no_number_is_refused():
    with pytest.raises(ValueError, match="at least two finite energies"):
        fit_ridge(np.ones((3, 1)), np.array([1.0, np.nan, 2.0]), np.array([2]))
