"""Reference energies: exact where compositions decide, tied over states, finite where neutrality leaves them open."""

import numpy as np
import pytest
from valenceflow.potentials.reference_energies import described, fit_reference_energies, mean_energy
from valenceflow.potentials.species import SpeciesMap

PAPER = SpeciesMap.shipped("paper")
TRUE = {11: -1.5, 26: -8.25, 8: -6.0, 15: -5.125}


def frames(rng, n=30):
    species = [rng.choice([11, 26, 31, 8, 15], size=rng.integers(5, 30)) for _ in range(n)]
    energies = [sum(TRUE[26 if z == 31 else z] for z in frame) for frame in species]
    return species, np.array(energies)


def test_references_are_found_where_compositions_decide_and_states_share_them():
    fit = fit_reference_energies(*frames(np.random.default_rng(0)), PAPER)
    assert fit.by_species == pytest.approx({**TRUE, 31: TRUE[26]}, abs=1e-9)
    assert np.abs(fit.residuals).max() < 1e-10


def test_neutral_olivines_leave_the_references_open_but_the_fit_is_good():
    # NaxFePO4 with charge states: Na + Fe3+ = Fe = P = O/4, so five species span two dimensions.
    rng = np.random.default_rng(1)
    species, energies = [], []
    for _ in range(40):
        n_sodium = rng.integers(0, 25)
        species.append([11] * n_sodium + [26] * n_sodium + [31] * (24 - n_sodium) + [15] * 24 + [8] * 96)
        energies.append(-1120.4 - 3.1 * (n_sodium - 24) + rng.normal(scale=0.01))
    fit = fit_reference_energies(species, energies, PAPER)
    assert np.abs(fit.residuals).mean() < 1e-4
    assert max(abs(energy) for energy in fit.by_species.values()) < 20
    assert fit.by_species[26] == fit.by_species[31]


def test_a_state_that_no_frame_holds_has_its_elements_reference():
    fit = fit_reference_energies([[26, 8], [26, 26, 8]], [-14.25, -22.5], PAPER)
    assert fit.by_species[31] == fit.by_species[26]
    assert "Ga" in described(fit)


def test_the_published_normalisation_is_the_mean_energy_per_atom():
    fit = mean_energy([[26, 8], [31, 8, 8, 8]], [-10.0, -28.0], PAPER)
    assert set(fit.by_species.values()) == {-6.0}
    assert fit.residuals.tolist() == [1.0, -1.0]


def test_a_broken_energy_is_named():
    with pytest.raises(ValueError, match="energy of frame 1 is nan"):
        fit_reference_energies([[26], [8]], [-1.0, float("nan")], PAPER)
    with pytest.raises(ValueError, match="at least 1"):
        fit_reference_energies([], [], PAPER)
