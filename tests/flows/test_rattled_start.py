"""Under a protocol that rattles, the redox element is relaxed from displaced atoms, once."""

import numpy as np
import pytest
from pymatgen.io.vasp import Poscar
from valenceflow.flows.campaign import configuration_flow, unrelaxed
from valenceflow.flows.campaign_file import read_campaign
from valenceflow.flows.dry_run import write_inputs
from valenceflow.flows.makers import first_structure
from valenceflow.flows.plan import plan_configurations
from valenceflow.flows.rattled_start import rattled_start
from valenceflow.flows.two_step import TwoStepRelaxMaker
from valenceflow.inputs.protocol import load_protocol
from valenceflow.inputs.substitution import charge_sites
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


def test_what_goes_on_knows_where_its_step_began(done, protocol, half_filled):
    """A rescue after a resumed run starts where a live run's would."""
    first, second = done.documents["surrogate relax"], done.documents["relax"]
    maker = TwoStepRelaxMaker.from_protocol(protocol).relax_maker
    began = first_structure(maker, first.structure, StepIntent(configuration_id="some"))
    sites = charge_sites(half_filled(high=(1, 3)), second.couple)
    prepared = maker.prepare(began, sites, first.site_order)
    ran = step_trajectory(done.stores, second.uuid)
    assert prepared.site_order == second.site_order
    assert moved(second, prepared.structure.frac_coords, np.array(ran.frac_coords[0])).max() < 1e-6


def test_the_inputs_of_a_dry_run_are_those_of_the_run(tmp_path, write_campaign, rehearse):
    (tmp_path / "rattled.yaml").write_text("extends: paper-2026\nrattle: 0.05\n")
    sodium = {"Na": {"fraction": "1/2", "orderings": {"lowest": 1}}}
    charge = {"lowest": 1}
    path = write_campaign(tmp_path, working_ion=sodium, charge=charge, protocol="rattled.yaml", end_members=True)
    campaign = read_campaign(path)
    full = next(c for c in plan_configurations(campaign, "rehearsal:springs") if c.fraction == 1)
    write_inputs(campaign, "rehearsal:springs", tmp_path / "inputs", only=[full.joint_key])
    (written,) = (tmp_path / "inputs").glob("*/*/POSCAR")
    done = rehearse(configuration_flow(campaign, full, None), tmp_path)
    ran = Poscar.from_file(done.folders["relax"] / "POSCAR.gz", check_for_potcar=False).structure
    looked_at = Poscar.from_file(written, check_for_potcar=False).structure
    assert np.allclose(looked_at.frac_coords, ran.frac_coords, atol=1e-9)
    ideal = unrelaxed(campaign, full)[0]
    farthest = ideal.lattice.get_all_distances(ideal.frac_coords, ran.frac_coords).min(axis=1).max()
    assert 0.01 < farthest <= LARGEST
