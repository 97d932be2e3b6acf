"""Energy polynomials against exact fractions: every sum is exact, in whatever order it is made."""

import itertools
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from valenceflow.inputs.orderings.energies import BitPolynomial, ordering_energies
from valenceflow.inputs.orderings.group import ordering_group

SEEDS = st.integers(0, 2**32 - 1)


def random_polynomial(seed, n_bits=9, n_triplets=12):
    random = np.random.default_rng(seed)
    scale = 10.0 ** random.integers(-6, 7)
    pairs = np.triu(random.normal(size=(n_bits, n_bits)) * scale, 1)
    triplets = np.array(list(itertools.combinations(range(n_bits), 3)))
    chosen = np.sort(random.permutation(len(triplets))[:n_triplets])
    return BitPolynomial.on_grid(
        random.normal() * 1e4,
        random.normal(size=n_bits) * 30,
        pairs + pairs.T,
        triplets[chosen],
        random.normal(size=n_triplets),
    )


def exact_energy(polynomial, bits):
    total = Fraction(polynomial.constant)
    ones = np.flatnonzero(bits).tolist()
    total += sum((Fraction(polynomial.linear[i]) for i in ones), Fraction(0))
    total += sum((Fraction(polynomial.pairs[i, j]) for i, j in itertools.combinations(ones, 2)), Fraction(0))
    for sites, value in zip(polynomial.triplet_sites.tolist(), polynomial.triplets.tolist(), strict=True):
        total += Fraction(value) * all(bits[i] for i in sites)
    return total


@given(seed=SEEDS)
def test_energies_are_exact_sums_of_the_coefficients(seed):
    polynomial = random_polynomial(seed)
    bits = np.random.default_rng(seed).random((5, 9)) < 0.5
    assert [Fraction(value) for value in polynomial.energies(bits)] == [exact_energy(polynomial, row) for row in bits]
    assert polynomial.energies(bits[0]) == polynomial.energies(bits)[0]


@given(seed=SEEDS, n_given=st.integers(0, 9))
def test_setting_the_first_bits_leaves_the_energy_of_the_others(seed, n_given):
    polynomial = random_polynomial(seed)
    bits = np.random.default_rng(seed).random(9) < 0.5
    remaining = polynomial.given(bits[:n_given])
    assert remaining.n_bits == 9 - n_given
    assert remaining.energies(bits[n_given:]) == polynomial.energies(bits)
    assert (remaining.triplet_sites < remaining.n_bits).all()


@given(seed=SEEDS)
def test_rounding_to_the_grid_is_far_below_any_accuracy(seed):
    random = np.random.default_rng(seed)
    linear = random.normal(size=48) * 50
    pairs = np.triu(random.normal(size=(48, 48)) * 2, 1)
    made = BitPolynomial.on_grid(-7000.0, linear, pairs + pairs.T)
    assert made.resolution < 1e-11
    assert np.log2(made.resolution) == round(np.log2(made.resolution))
    assert abs(made.linear - linear).max() <= made.resolution / 2
    assert not np.mod(made.pairs, made.resolution).any()


def test_an_energy_of_nothing_is_zero():
    assert BitPolynomial.on_grid(0.0, np.zeros(3), np.zeros((3, 3))).energies([True, True, False]) == 0


@pytest.mark.parametrize(
    ("linear", "pairs", "said"),
    [
        (np.zeros(2), np.zeros((3, 3)), r"shapes \(2,\), \(3, 3\).*do not describe one set of bits"),
        (np.array([0.0, np.nan]), np.zeros((2, 2)), "not a finite number"),
        (np.zeros(2), np.eye(2), "symmetric with a zero diagonal"),
        (np.zeros(2), np.array([[0.0, 1.0], [0.0, 0.0]]), "symmetric with a zero diagonal"),
    ],
)
def test_coefficients_that_are_no_energy_are_refused(linear, pairs, said):
    with pytest.raises(ValueError, match=said):
        BitPolynomial.on_grid(0.0, linear, pairs)


@settings(deadline=None, max_examples=20)
@given(data=st.data())
def test_equivalent_orderings_have_equal_energies_to_the_last_bit(cell, electrostatics, made_up_model, data):
    group = ordering_group(cell)
    n_occupied = data.draw(st.integers(0, group.n_working))
    random = np.random.default_rng(data.draw(SEEDS))
    for model in (electrostatics(cell), made_up_model(cell, data.draw(SEEDS), triplets=True)):
        working = random.permutation(np.arange(group.n_working) < n_occupied)
        charge = random.permutation(np.arange(group.n_redox) < cell.n_high(n_occupied, model.couple))
        images = np.concatenate([working, charge])[group.permutations]
        energies = ordering_energies(model, images[:, : group.n_working], images[:, group.n_working :])
        assert (energies == energies[0]).all()


def test_energies_take_any_leading_shape_and_one_ordering_for_many(small_cell, electrostatics):
    model = electrostatics(small_cell("olivine"))
    working = np.array([True, True, False, False])
    charges = np.array([row for row in itertools.product([False, True], repeat=4) if sum(row) == 2])
    energies = ordering_energies(model, working, charges.reshape(2, 3, 4))
    assert energies.shape == (2, 3)
    assert energies[1, 2] == ordering_energies(model, working, charges[5])


@pytest.mark.parametrize(
    ("working", "charge", "said"),
    [
        (
            [True, True, False, False],
            [True, False, False, False],
            "1 Fe high states with 2 Na are not neutral: the cell",
        ),
        ([True, False, False], [True, False, False, False], r"working-ion orderings have shape \(3,\), expected"),
        ([True, True, False, False], True, r"charge orderings have shape \(\), expected \(\.\.\., 4\)"),
    ],
)
def test_orderings_that_do_not_fit_the_cell_are_refused(small_cell, electrostatics, working, charge, said):
    with pytest.raises(ValueError, match=said):
        ordering_energies(electrostatics(small_cell("olivine")), working, charge)
