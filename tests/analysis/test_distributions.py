"""Distribution of charge orderings: against numpy and scipy, the published Fig. 4, and what stays out of it."""

import numpy as np
import pytest
from scipy.stats import kstest, kurtosis, norm, skew
from valenceflow.analysis.distributions import distribution_of, energy_distribution

RANDOM = np.random.default_rng(171)
PAPER_MEAN, PAPER_DEVIATION = 1.564, 0.331  # eV above the reference (paper, Fig. 4)


def calculation(energy, **changes):
    fields = {
        "energy": energy, "counts": True, "engine": "vasp", "protocol_hash": "p", "working_key": "w.free",
        "strata": ["sample"], "multiplicity": 1, "sample_weight": "arrangements",
    }  # fmt: skip
    return {**fields, **changes}


@pytest.fixture(scope="module")
def like_the_paper():
    """170 normal energies with the published mean and deviation, and the reference at -1164.2 eV."""
    drawn = norm.ppf((np.arange(170) + 0.5) / 170)
    drawn = PAPER_MEAN + PAPER_DEVIATION * (drawn - drawn.mean()) / drawn.std(ddof=1)
    sample = [calculation(e - 1164.2) for e in drawn]
    return [*sample, calculation(-1164.2, strata=["reference", "sample"])]


def test_numbers_of_the_published_figure_come_back(like_the_paper):
    found = distribution_of(like_the_paper)
    assert (len(found.energies), found.n_left_out) == (170, 1)
    assert found.mean == pytest.approx(PAPER_MEAN)
    assert found.standard_deviation == pytest.approx(PAPER_DEVIATION)
    assert found.reference_in_deviations == pytest.approx(-PAPER_MEAN / PAPER_DEVIATION)
    assert found.n_below_reference == 0
    assert found.zero == -1164.2
    assert found.normal == "compatible"


def test_moments_and_the_distance_from_normal_are_scipys():
    values = RANDOM.gamma(3.0, size=200)
    found = energy_distribution(values, np.full(200, 2.0), "orbits")
    assert found.mean + found.zero == pytest.approx(values.mean())
    assert found.standard_deviation == pytest.approx(values.std(ddof=1))
    scale = (values.std() / values.std(ddof=1)) ** np.array([3, 4])
    assert found.skewness == pytest.approx(scale[0] * skew(values))
    assert found.excess_kurtosis == pytest.approx(scale[1] * kurtosis(values, fisher=False) - 3)
    assert found.normal_distance == pytest.approx(kstest(values, norm(values.mean(), values.std(ddof=1)).cdf).statistic)
    assert found.n_effective == pytest.approx(200)
    assert found.normal == "rejected at 5 %"


def test_about_five_percent_of_normal_samples_are_rejected():
    rejected = [
        energy_distribution(RANDOM.normal(size=100), np.ones(100), "orbits").normal != "compatible" for _ in range(400)
    ]
    assert 4 <= sum(rejected) <= 40


def test_a_weight_is_so_many_copies():
    values, copies = RANDOM.normal(size=12), RANDOM.integers(1, 9, size=12)
    weighted = energy_distribution(values, copies, "arrangements")
    copied = energy_distribution(np.repeat(values, copies), np.ones(copies.sum()), "arrangements")
    assert weighted.mean == pytest.approx(copied.mean)
    assert weighted.n_effective == pytest.approx(copies.sum() ** 2 / (copies**2).sum())
    assert weighted.n_effective < 12


def test_multiplicities_count_by_how_a_sample_was_drawn():
    """A whole list counts each ordering by its arrangements; a sample of arrangements has done so already."""
    listed = [calculation(e, strata=["all"], sample_weight=None, multiplicity=m) for e, m in ((0.0, 3), (4.0, 1))]
    sampled = [{**c, "strata": ["sample"], "sample_weight": "arrangements"} for c in listed]
    assert distribution_of(listed).mean == pytest.approx(1.0)
    assert distribution_of(listed, "orbits").mean == pytest.approx(2.0)
    assert distribution_of(sampled).mean == pytest.approx(2.0)
    assert distribution_of(sampled, "orbits").mean == pytest.approx(3.0)  # weights 1/3 and 1
    assert distribution_of(sampled, "orbits").per == "orbits"


def test_what_was_picked_on_purpose_or_lost_stays_out():
    calculations = [calculation(e) for e in (1.0, 2.0, 3.0)]
    others = [calculation(-9.0, strata=["lowest"]), calculation(-8.0, counts=False), calculation(None)]
    found = distribution_of([*calculations, *others])
    assert found.mean + found.zero == pytest.approx(2.0)
    assert found.n_left_out == 1
    assert found.reference_in_deviations is None
    assert found.normal == "not told"


def test_equal_energies_have_no_normal_fit():
    found = energy_distribution([1.0, 1.0], [1, 1], "orbits", reference=0.0)
    assert (found.standard_deviation, found.reference_in_deviations) == (0.0, None)


@pytest.mark.parametrize(
    ("calculations", "said"),
    [
        ([calculation(1.0), calculation(2.0, engine="gpaw")], "one engine, got gpaw, vasp"),
        ([calculation(1.0), calculation(2.0, protocol_hash="q")], "one protocol hash, got p, q"),
        ([calculation(1.0), calculation(2.0, working_key="v.free")], "one working key, got v.free, w.free"),
        ([calculation(1.0), calculation(2.0, strata=["reference"])], "1 of 2 calculations count in statistics"),
        ([], "0 of 0 calculations"),
    ],
)
def test_mixed_or_missing_calculations_are_refused(calculations, said):
    with pytest.raises(ValueError, match=said):
        distribution_of(calculations)


@pytest.mark.parametrize(
    ("energies", "weights", "said"),
    [([1.0], [1.0], "at least two"), ([1.0, 2.0], [1.0], "at least two"), ([1.0, np.inf], [1, 1], "finite"),
     ([1.0, 2.0], [1, -1], "positive")],
)  # fmt: skip
def test_numbers_that_have_no_distribution_are_refused(energies, weights, said):
    with pytest.raises(ValueError, match=said):
        energy_distribution(energies, weights, "orbits")
