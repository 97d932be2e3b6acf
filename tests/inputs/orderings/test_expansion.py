"""The cluster expansion against plain sums, normal equations and energies that it can and cannot learn."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from valenceflow.inputs.orderings.clusters import Clusters
from valenceflow.inputs.orderings.energies import ordering_energies
from valenceflow.inputs.orderings.expansion import fit_expansion
from valenceflow.inputs.orderings.group import ordering_group
from valenceflow.inputs.orderings.optimum import joint_optimum

SEEDS = st.integers(0, 2**32 - 1)


def random_orderings(cell, couple, count, seed, contents):
    random = np.random.default_rng(seed)
    n_working, n_redox = len(cell.working_sites), len(cell.redox_sites)
    numbers = random.choice(contents, count)
    working = np.array([random.permutation(np.arange(n_working) < n) for n in numbers])
    charge = np.array([random.permutation(np.arange(n_redox) < cell.n_high(int(n), couple)) for n in numbers])
    return working, charge


@settings(deadline=None, max_examples=5)
@given(data=st.data())
def test_the_polynomial_of_an_expansion_has_the_energies_of_its_features(cell, data):
    random = np.random.default_rng(data.draw(SEEDS))
    clusters = Clusters(cell, pair_cutoff=data.draw(st.sampled_from([None, 4.0, 6.5])), triplet_cutoff=6.0)
    coefficients, means = random.normal(size=clusters.n_orbits), random.random(len(clusters.distances))
    means = means[ordering_group(cell).permutations].mean(axis=0)  # equivalent sites share a mean
    bits = random.random((6, len(means))) < 0.5
    expected = 2.5 + clusters.features(bits, means) @ coefficients
    assert clusters.polynomial(2.5, coefficients, means).energies(bits) == pytest.approx(expected, abs=1e-9)


def test_features_are_sums_over_clusters_within_the_cutoffs(small_cell):
    cell = small_cell("olivine 1x2x1")
    clusters = Clusters(cell, pair_cutoff=4.0, triplet_cutoff=5.0)
    sites = np.concatenate([cell.working_sites, cell.redox_sites])
    distances = cell.structure.distance_matrix[np.ix_(sites, sites)]
    pairs = [pair for pair in itertools.combinations(range(16), 2) if distances[pair] <= 4.0]
    triplets = [
        three
        for three in itertools.combinations(range(16), 3)
        if max(distances[pair] for pair in itertools.combinations(three, 2)) <= 5.0
    ]
    assert clusters.members[1].tolist() == [list(pair) for pair in pairs]
    assert clusters.members[2].tolist() == [list(three) for three in triplets]
    bits = np.random.default_rng(0).random(16) < 0.5
    features = clusters.features(bits[None], np.zeros(16))[0]
    kinds = [range(16), pairs, triplets]
    counted = [sum(bits[list(np.atleast_1d(cluster))].all() for cluster in kind) for kind in kinds]
    ends = np.cumsum([0] + [len(np.unique(orbits)) for orbits in clusters.orbits])
    assert [features[start:stop].sum() for start, stop in itertools.pairwise(ends)] == counted


def test_equivalent_orderings_have_the_same_features(cell):
    clusters, group = Clusters(cell, triplet_cutoff=6.0), ordering_group(cell)
    bits = np.random.default_rng(1).random(len(clusters.distances)) < 0.5
    features = clusters.features(bits[group.permutations], np.zeros(len(bits)))
    assert (features == features[0]).all()


def test_pair_energies_are_learned_from_few_orderings_of_several_compositions(paper_cell, electrostatics):
    model = electrostatics(paper_cell)
    working, charge = random_orderings(paper_cell, model.couple, 120, 0, [12, 14, 16, 18])
    energies = ordering_energies(model, working, charge)
    fitted = fit_expansion(paper_cell, model.couple, working, charge, energies)
    assert fitted.cv_error < 1e-3 * fitted.spread
    assert fitted.cv_spearman > 0.999
    unseen = random_orderings(paper_cell, model.couple, 50, 1, [12, 16])
    assert ordering_energies(fitted, *unseen) == pytest.approx(ordering_energies(model, *unseen), abs=0.01)


def test_the_optimum_of_a_learned_model_is_that_of_the_model_it_learned(small_cell, electrostatics):
    cell = small_cell("olivine {a+b, 3b, c}")
    model = electrostatics(cell)
    working, charge = random_orderings(cell, model.couple, 200, 2, [8])
    fitted = fit_expansion(cell, model.couple, working, charge, ordering_energies(model, working, charge))
    found, expected = joint_optimum(fitted, 8).orderings[0], joint_optimum(model, 8).orderings[0]
    assert found.key == expected.key
    assert found.energy == pytest.approx(expected.energy, abs=1e-4)


def test_triplets_learn_what_pairs_cannot(small_cell, made_up_model):
    cell = small_cell("olivine 1x2x1")
    model = made_up_model(cell, 5, triplets=True)
    working, charge = random_orderings(cell, model.couple, 600, 3, [4, 5])
    energies = ordering_energies(model, working, charge)
    pairs = fit_expansion(cell, model.couple, working, charge, energies)
    triplets = fit_expansion(cell, model.couple, working, charge, energies, triplet_cutoff=7.0)
    assert triplets.cv_error < 0.01 * pairs.cv_error
    assert pairs.cv_error < pairs.spread


def test_noise_is_not_learned_and_the_error_says_so(paper_cell, couple_of):
    couple = couple_of(paper_cell)
    working, charge = random_orderings(paper_cell, couple, 100, 4, [16])
    noise = np.random.default_rng(5).normal(size=100)
    fitted = fit_expansion(paper_cell, couple, working, charge, noise)
    assert fitted.cv_error > 0.9 * fitted.spread
    assert abs(fitted.cv_spearman) < 0.4


def test_equivalent_orderings_stay_together_in_the_cross_validation(small_cell, couple_of):
    # Noise, but the same for equivalent orderings: only who has seen the orbit could predict it.
    cell = small_cell("olivine {a+b, 3b, c}")
    couple, group = couple_of(cell), ordering_group(cell)
    working, charge = random_orderings(cell, couple, 30, 6, [8])
    noise = np.random.default_rng(7).normal(size=30)
    images = np.concatenate([working, charge], axis=1)[:, group.permutations].reshape(-1, 24)
    fitted = fit_expansion(cell, couple, images[:, :12], images[:, 12:], np.repeat(noise, group.order))
    assert fitted.n_orderings == 30 * group.order
    assert fitted.n_distinct == 30
    assert fitted.cv_error > 0.8 * fitted.spread


def test_coefficients_solve_the_normal_equations_of_the_ridge(paper_cell, electrostatics):
    model = electrostatics(paper_cell)
    working, charge = random_orderings(paper_cell, model.couple, 60, 8, [16])
    energies = ordering_energies(model, working, charge) + np.random.default_rng(9).normal(size=60)
    fitted = fit_expansion(paper_cell, model.couple, working, charge, energies)
    features = fitted.clusters.features(np.concatenate([working, charge], axis=1), fitted.means)
    centred = features - features.mean(axis=0)
    scale = centred.std(axis=0)
    kept = scale > 1e-9
    standard = centred[:, kept] / scale[kept]
    normal = standard.T @ standard + fitted.ridge * 60 * np.eye(kept.sum())
    expected = np.linalg.solve(normal, standard.T @ (energies - energies.mean())) / scale[kept]
    assert fitted.coefficients[kept] == pytest.approx(expected, abs=1e-8)
    assert not fitted.coefficients[~kept].any()


ENERGIES = np.arange(6.0)


@pytest.mark.parametrize(
    ("energies", "options", "said"),
    [
        (ENERGIES[:5], {}, r"energies have shape \(5,\), expected \(6,\)"),
        (np.where(ENERGIES == 3, np.nan, ENERGIES), {}, "energy 3 is not a number"),
        (ENERGIES, {"folds": 1}, "6 distinct orderings and 1 folds are too few"),
        (ENERGIES, {"pair_cutoff": -1.0}, r"pair_cutoff = -1.0 A must be positive"),
        (ENERGIES, {"triplet_cutoff": 0.0}, r"triplet_cutoff = 0.0 A must be positive"),
    ],
)
def test_what_cannot_be_fitted_is_refused(paper_cell, couple_of, energies, options, said):
    couple = couple_of(paper_cell)
    working, charge = random_orderings(paper_cell, couple, 6, 10, [16])
    with pytest.raises(ValueError, match=said):
        fit_expansion(paper_cell, couple, working, charge, energies, **options)


def test_copies_of_few_orderings_are_too_few(paper_cell, couple_of):
    couple = couple_of(paper_cell)
    working, charge = (np.repeat(bits, 5, axis=0) for bits in random_orderings(paper_cell, couple, 4, 11, [16]))
    with pytest.raises(ValueError, match="4 distinct orderings and 10 folds are too few"):
        fit_expansion(paper_cell, couple, working, charge, np.zeros(20))
