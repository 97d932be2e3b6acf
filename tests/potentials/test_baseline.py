"""Errors of constants: what is subtracted, and over which frames."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("torch", reason="frames to learn from are torch's")

from valenceflow.potentials.baseline import about_group_means, baseline_of_frames, no_better_than_a_constant
from valenceflow.potentials.cpainn.frames import frame_from_atoms
from valenceflow.potentials.species import SpeciesMap
from valenceflow.stores.model_documents import TargetScore


@given(st.lists(st.tuples(st.sampled_from("abc"), st.one_of(st.floats(-1e3, 1e3), st.just(np.nan))), min_size=1))
def test_differences_sum_to_zero_in_each_group_and_leave_gaps(pairs):
    groups, values = np.array([pair[0] for pair in pairs]), np.array([pair[1] for pair in pairs])
    found = about_group_means(values, groups)
    assert (np.isnan(found) == np.isnan(values)).all()
    for group in set(groups):
        mine = found[groups == group]
        assert np.nansum(mine) == pytest.approx(0, abs=1e-6)


def test_what_was_not_learned_is_named():
    scores = {
        name: TargetScore(mae=mae, unit="x") for name, mae in {"energy": 2.0, "forces": 1.0, "stress": 1.0}.items()
    }
    constants = {name: TargetScore(mae=1.5, unit="x") for name in ("energy", "forces")}
    assert no_better_than_a_constant(scores, constants) == ["energy"]
    assert no_better_than_a_constant(constants, constants) == ["energy", "forces"]
    assert no_better_than_a_constant(scores, {}) == []


def labelled(atoms, energy, force, moments):
    atoms = atoms.copy()
    atoms.info["REF_energy"] = energy
    atoms.arrays["REF_forces"] = np.full((len(atoms), 3), force)
    atoms.arrays["REF_magmoms"] = np.array(moments, dtype=float)
    return atoms


@pytest.mark.parametrize("name", ["charge-states", "elements"])
def test_orderings_and_supercells_of_one_composition_share_their_mean_energy(rock_salt, name):
    species_map = SpeciesMap.shipped(name)
    cells = [
        labelled(rock_salt(high=0), -80.0, 0.1, [0, 4.5, 3.5, 3.5, 0, 0, 0, 0]),
        labelled(rock_salt(high=2), -72.0, -0.3, [0, 3.7, 3.7, 4.3, 0, 0, 0, 0]),
        labelled(rock_salt(high=1).repeat((2, 1, 1)), -152.0, 0.0, [0, 3.6, 4.4, 3.6, 0, 0, 0, 0] * 2),
    ]
    frames = [frame_from_atoms(atoms, species_map, str(place)) for place, atoms in enumerate(cells)]
    found = baseline_of_frames(frames, species_map)
    assert set(found) == {"energy", "forces", "magmoms"}
    assert found["energy"].mae == pytest.approx(np.mean([0.5, 0.5, 0.0]))
    assert found["forces"].mae == pytest.approx((0.1 * 8 + 0.3 * 8) / 32)
    assert found["forces"].rmse == pytest.approx(np.sqrt((0.01 * 8 + 0.09 * 8) / 32))
    high, low = [4.5, 4.3, 4.4, 4.4], [3.5, 3.5, 3.7, 3.7, 3.6, 3.6, 3.6, 3.6]
    if species_map.knows_charge_states:
        away = [*(np.array(high) - np.mean(high)), *(np.array(low) - np.mean(low))]
    else:
        away = np.array(high + low) - np.mean(high + low)
    assert found["magmoms"].mae == pytest.approx(np.abs(away).sum() / 32)
