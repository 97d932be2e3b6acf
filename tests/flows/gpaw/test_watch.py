"""Looking on while an SCF runs: iterations are streamed, hopping orders are counted and given up."""

import pytest
from valenceflow.flows.gpaw.in_gpaw.watch import SETTLING, SloshingError, Watch


def watch(max_hops=3, high_is_larger=True):
    kept = []
    return Watch([1, 2, 3], 1, high_is_larger, max_hops, kept.append), kept


def feed(looking, *highest):
    """One iteration each, the largest moment on the named redox site."""
    for site in highest:
        looking.observe(-1.0, [0.0] + [4.4 if site == i else 3.7 for i in range(3)], 0.1)


def test_every_iteration_is_kept_with_its_start():
    looking, kept = watch()
    looking.start(start="ionic", step=0)
    feed(looking, 0, 0)
    assert [(r["start"], r["iteration"], r["magmoms"]) for r in kept] == [
        ("ionic", 1, [4.4, 3.7, 3.7]),
        ("ionic", 2, [4.4, 3.7, 3.7]),
    ]


def test_an_order_that_keeps_hopping_is_given_up_and_its_last_moments_are_said():
    looking, kept = watch(max_hops=3)
    looking.start()
    with pytest.raises(SloshingError, match=r"changed 4 times in 9 iterations; last moments 3\.70 4\.40 3\.70"):
        feed(looking, *[0] * SETTLING, 1, 0, 2, 1, 0)
    assert kept[-1]["hops"] == 4


def test_the_first_iterations_and_slow_changes_are_not_held_against_an_scf():
    looking, _ = watch(max_hops=2)
    looking.start()
    feed(looking, 0, 1, 2, 0, 1, 2, *[2] * 50, 0, *[0] * 50)
    assert looking.hops == 2


def test_zero_never_gives_up_and_a_new_scf_counts_anew():
    looking, _ = watch(max_hops=0)
    looking.start()
    feed(looking, *[0, 1] * 30)
    assert looking.hops > 20
    looking.start()
    assert (looking.hops, looking.iteration) == (0, 0)


def test_where_the_high_state_has_the_smaller_moment_the_smallest_is_read():
    looking, _ = watch(high_is_larger=False)
    assert looking.read([5.0, 3.9, 5.0]) == (1,)
    assert watch()[0].read([-4.4, 3.7, 3.8]) == (0,)
