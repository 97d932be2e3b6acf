"""Selection: the numbers asked for, each once, with every reason."""

import numpy as np
import pytest
from valenceflow.search.results import FoundOrdering
from valenceflow.search.selection import SelectionSettings, select_orderings


@pytest.fixture(scope="module")
def rows(half):
    """Thirty orderings of energy 0, 1, 2, ... whose deviations fall."""
    members = half.sample(8, 30, seed=1)
    return [
        FoundOrdering(half.key(one), half.key(one), 0.5, float(i), None, None, 1.0 / (1 + i))
        for i, one in enumerate(members)
    ]


def keys(selected, reason):
    return {str(one.key) for one in selected if reason in one.reasons}


def test_lowest_highest_and_extras_are_those_by_energy(half, rows):
    selected = select_orderings(rows, half.group, SelectionSettings(lowest=3, highest=2, extras={8: 4}))
    names = [str(row.key) for row in rows]
    assert keys(selected, "lowest") == set(names[:3])
    assert keys(selected, "highest") == set(names[-2:])
    assert keys(selected, "extra") == set(names[3:7])
    assert [one.found.energy for one in selected] == sorted(one.found.energy for one in selected)


def test_an_ordering_is_taken_once_with_every_reason(half, rows):
    selected = select_orderings(rows[:2], half.group, SelectionSettings(), references=[rows[0].key])
    assert [one.reasons for one in selected] == [("reference", "lowest", "highest"), ("lowest", "highest")]


def test_disputed_ones_are_those_of_largest_deviation(half, rows):
    selected = select_orderings(rows, half.group, SelectionSettings(lowest=0, highest=0, disputed=2))
    assert keys(selected, "disputed") == {str(row.key) for row in rows[:2]}
    undisputed = [FoundOrdering(r.key, r.achieved, r.fraction, r.energy, None, None, None) for r in rows]
    with pytest.raises(ValueError, match="search with several --model"):
        select_orderings(undisputed, half.group, SelectionSettings(disputed=1))


def test_diverse_ones_are_farther_apart_than_the_lowest(half, rows):
    from valenceflow.search.correlations import Correlations, masks_of

    def nearest(reason, **numbers):
        settings = SelectionSettings(**{"lowest": 0, "highest": 0, **numbers})
        chosen = [one for one in select_orderings(rows, half.group, settings) if reason in one.reasons]
        masks = masks_of(np.array([one.key.working for one in chosen]))
        vectors = Correlations(half.group.working_permutations, (1, 2)).of(masks).astype(float)
        distances = np.linalg.norm(vectors[:, None] - vectors[None], axis=2)
        return distances[np.triu_indices(len(chosen), 1)].min()

    assert nearest("diverse", diverse=5) > nearest("lowest", lowest=5)


def test_what_came_out_is_selected_and_not_what_was_meant(half, rows):
    moved = FoundOrdering(rows[5].key, rows[6].key, 0.5, -1.0, None, None, None)
    selected = select_orderings([*rows[:3], moved], half.group, SelectionSettings(lowest=1, highest=0))
    assert [one.key for one in selected] == [rows[6].key]


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"lowest": 0, "highest": 0}, "ask for something"), ({"extras": {7: 1}}, "extras with 7 working ions")],
)
def test_a_selection_of_nothing_is_refused(half, rows, settings, message):
    with pytest.raises(ValueError, match=message):
        select_orderings(rows, half.group, SelectionSettings(**settings))
