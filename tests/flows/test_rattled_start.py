"""Under a protocol that rattles, the redox element is relaxed from displaced atoms, once."""

import numpy as np
import pytest
from valenceflow.flows.rattled_start import rattled_start
from valenceflow.flows.two_step import TwoStepRelaxMaker
from valenceflow.inputs.protocol import load_protocol
from valenceflow.stores.documents import StepIntent
from valenceflow.stores.trajectories import step_trajectory

LARGEST = 0.05  # A
IONIC_STEPS = 6


@pytest.fixture(scope="module")
def protocol():
    limits = {"NELM": 200, "NSW": IONIC_STEPS}
    return load_protocol("paper-2026").model_copy(update={"rattle": LARGEST, "limits": limits})


@pytest.fixture(scope="module")
def done(half_filled, rehearse, protocol, tmp_path_factory):
    """Both steps by springs, each in several runs of few ionic steps."""
    made = TwoStepRelaxMaker.from_protocol(protocol)
    for step in (made.surrogate_relax_maker, made.relax_maker):
        step.run_vasp_kwargs["handlers"] = []  # custodian's own continuation is left out, so that ours is seen
        step.max_continuations = 20
    intent = StepIntent(configuration_id="some")
    return rehearse(made.make(half_filled(high=(1, 3)), intent=intent), tmp_path_factory.mktemp("rattled"))


def positions(document, series=None, number=0):
    """(n_sites, 3) Cartesian positions in parent order, of a document's structure or of a frame of its step."""
    structure = document.structure
    fractions = structure.frac_coords if series is None else np.array(series.frac_coords[number])
    found = np.empty_like(fractions)
    found[document.site_order] = fractions
    return found


def moved(document, one, other):
    """(n_sites,) distances between two lists of fractions in one cell, A."""
    difference = one - other
    return np.linalg.norm((difference - np.rint(difference)) @ document.structure.lattice.matrix, axis=1)


def test_the_second_step_starts_displaced_and_the_first_does_not(done, half_filled):
    first, second = done.documents["surrogate relax"], done.documents["relax"]
    series = {d.step: step_trajectory(done.stores, d.uuid) for d in (first, second)}
    far = moved(first, positions(second, series["relax"]), positions(first))
    assert far.max() <= LARGEST
    assert far.min() > 0
    assert 0.3 * LARGEST < far.mean() < 0.7 * LARGEST
    near = moved(first, positions(first, series["surrogate relax"]), half_filled(high=(1, 3)).frac_coords)
    assert near.max() < 1e-6
    assert second.achieved.relation == "kept"


def test_a_continuation_is_not_displaced_again(done):
    second = done.documents["relax"]
    series = step_trajectory(done.stores, second.uuid)
    assert len(series.energies) > IONIC_STEPS  # it went on from CONTCAR
    ended, went_on = (positions(second, series, number) for number in (IONIC_STEPS - 1, IONIC_STEPS))
    assert moved(second, ended, went_on).max() < LARGEST / 20
    assert series.energies[0] > series.energies[IONIC_STEPS - 1] >= series.energies[IONIC_STEPS]


def test_every_run_of_an_attempt_starts_alike_and_another_attempt_elsewhere(half_filled, protocol):
    structure = half_filled()

    def start(step="relax", rule=protocol, **intent):
        return rattled_start(structure, step, rule, StepIntent(**intent)).frac_coords.tolist()

    mine = start(configuration_id="a")
    assert start(configuration_id="a") == mine
    assert start(configuration_id="a", attempt=2) != mine
    assert start(configuration_id="b") != mine
    unmoved = structure.frac_coords.tolist()
    assert start("surrogate relax", configuration_id="a") == unmoved
    assert start("rescue static", configuration_id="a") == unmoved
    assert start(rule=load_protocol("paper-2026"), configuration_id="a") == unmoved
    assert rattled_start(structure, "relax", protocol, None).frac_coords.tolist() != unmoved
