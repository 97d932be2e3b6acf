"""Each finding of the audit and each relation of orderings, on frames and moments made by hand."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from valenceflow.flows.audit import AuditReference, achieved_ordering, audit_step
from valenceflow.inputs.charge_states import get_couple
from valenceflow.inputs.protocol import load_protocol
from valenceflow.inputs.substitution import ChargeSites
from valenceflow.stores.documents import AchievedOrdering, FrameSeries

PROTOCOL = load_protocol("paper-2026")  # forces 0.03 eV/A; volume and axes 8 %
KEPT = AchievedOrdering(relation="kept", is_high=[True, False])
INITIAL = [5.0, 4.0, 0.0]
MOMENTS = [4.33, 3.78, 0.02]
CUBE = AuditReference(lengths=(5.0, 5.0, 5.0), volume=125.0, source="a cube")
LOW, HIGH = 3.78, 4.33


def frames(force=0.01, energies=(-10.0, -11.0), edges=(5.0, 5.0, 5.0), stress=0.001, scf_converged=(True, True)):
    """Two ionic steps of three sites; the first one has large forces, which must not matter."""
    cell = [[edges[0], 0, 0], [0, edges[1], 0], [0, 0, edges[2]]]
    return FrameSeries(
        symbols=["Fe", "Fe", "O"],
        lattices=[cell, cell],
        frac_coords=[[[0, 0, 0], [0.5, 0.5, 0.5], [0.2, 0.2, 0.2]]] * 2,
        energies=list(energies),
        forces=[[[9.0, 0, 0]] * 3, [[0, 0, 0], [force, 0, 0], [0, 0, 0]]],
        stresses=[[[1.0, 0, 0]] * 3, [[0, 0, 0], [0, -stress, 0], [0, 0, 0]]],
        magmoms=[MOMENTS, MOMENTS],
        scf_converged=list(scf_converged),
    )


def audit(step="relax", magmoms=MOMENTS, achieved=KEPT, reference=CUBE, **changed):
    return audit_step(step, frames(**changed), magmoms, INITIAL, achieved, PROTOCOL, reference)


def failures(found):
    assert found.passed == all(finding.severity != "failure" for finding in found.findings)
    return [finding.code for finding in found.findings if finding.severity == "failure"]


def test_a_converged_run_in_its_cell_passes_without_a_finding():
    assert audit().findings == []


def test_only_the_last_forces_are_held_against_the_criterion():
    assert failures(audit(force=0.029)) == []
    found = audit(force=0.031)
    assert failures(found) == ["forces"]
    assert "0.031 eV/A after 2 ionic steps exceeds 0.03 eV/A" in found.findings[0].message


@pytest.mark.parametrize("force", [math.nan, math.inf])
def test_forces_that_are_not_finite_fail(force):
    assert failures(audit(force=force)) == ["forces"]


def test_a_static_may_have_forces():
    assert failures(audit(step="static", force=3.0)) == []


def test_a_strained_cell_is_flagged_and_still_counts():
    """5 kbar = 0.0031 eV/A^3."""
    assert audit(stress=0.0031).findings == []
    found = audit(stress=0.0032)
    assert found.passed
    assert [(finding.code, finding.severity) for finding in found.findings] == [("stress", "warning")]
    assert "5.1 kbar exceeds 5 kbar" in found.findings[0].message
    assert audit(step="static", stress=1.0).findings == []


def test_an_unconverged_last_electronic_loop_fails_and_an_earlier_one_does_not():
    assert failures(audit(scf_converged=(False, True))) == []
    assert failures(audit(scf_converged=(True, False))) == ["scf"]
    assert failures(audit(step="static", scf_converged=(True, False))) == ["scf"]


@pytest.mark.parametrize("energy", [math.nan, math.inf])
def test_an_energy_that_is_not_finite_fails_wherever_it_is(energy):
    found = audit(energies=(energy, -11.0))
    assert failures(found) == ["energies"]
    assert "[0]" in found.findings[0].message


@pytest.mark.parametrize(
    ("magmoms", "said"),
    [
        (None, "LORBIT"),
        (MOMENTS[:2], "2 moments for 3 sites"),
        ([4.33, math.nan, 0.0], "sites [1] are not finite"),
        ([4.33, math.inf, 0.0], "sites [1] are not finite"),
    ],
)
def test_moments_must_be_finite_and_as_many_as_sites(magmoms, said):
    found = audit(magmoms=magmoms)
    assert failures(found) == ["moments"]
    assert said in found.findings[0].message


def test_a_flipped_spin_breaks_the_ferromagnetic_order():
    found = audit(magmoms=[-4.33, 3.78, 0.02])
    assert failures(found) == ["spin order"]
    assert "[0]" in found.findings[0].message


def test_a_ligand_that_turns_against_the_order_is_no_flip():
    assert failures(audit(magmoms=[4.33, 3.78, -0.05])) == []


def test_a_blown_up_cell_fails_although_its_moments_are_fine():
    found = audit(edges=(5.2, 5.2, 5.2))  # +12.5 %, every axis +4 %
    assert failures(found) == ["volume"]
    assert "+12.5%" in found.findings[0].message
    assert failures(audit(edges=(4.8, 4.8, 4.8))) == ["volume"]


def test_an_axis_that_strays_fails_although_the_volume_is_kept():
    found = audit(edges=(5.5, 5.0, 5.0 / 1.1))
    assert failures(found) == ["axes", "axes"]
    assert "axis a = 5.500 A is +10.0%" in found.findings[0].message


def test_slack_widens_the_bounds_where_the_composition_s_cell_is_not_known():
    loose = CUBE.model_copy(update={"slack": 2.0})
    assert failures(audit(edges=(5.2, 5.2, 5.2), reference=loose)) == []
    assert failures(audit(edges=(5.4, 5.4, 5.4), reference=loose)) == ["volume"]


def test_without_a_reference_the_cell_is_not_judged():
    assert failures(audit(edges=(9.0, 9.0, 9.0), reference=None)) == []


@pytest.mark.parametrize("relation", ["moved", "delocalised", "ambiguous"])
def test_a_lost_ordering_is_a_warning_and_no_failure(relation):
    found = audit(achieved=AchievedOrdering(relation=relation, reason="because"))
    assert found.passed
    assert [(finding.code, finding.severity) for finding in found.findings] == [("ordering", "warning")]
    assert relation in found.findings[0].message


# Relations: four redox sites at parent indices 1, 2, 4, 5; the first two are meant to be high.
def sites(is_high=(True, True, False, False), couple="Fe2+/Fe3+", n_high=None):
    couple = get_couple(couple)
    symbols = ["O", couple.element, couple.element, "O", couple.element, couple.element]
    high = None if is_high is None else list(is_high)
    count = sum(is_high) if n_high is None else n_high
    return ChargeSites(couple=couple, elements=symbols, redox_sites=[1, 2, 4, 5], is_high=high, n_high=count)


def relation(redox_moments, intended=None, engine="vasp", equivalences=()):
    intended = intended or sites()
    by_parent = dict(zip(intended.redox_sites, redox_moments, strict=True))
    order = [5, 4, 3, 2, 1, 0]  # POSCAR order differs from the parent's
    moments = [by_parent.get(parent, 0.01) for parent in order]
    return achieved_ordering(moments, order, intended, engine, equivalences)


def test_an_ordering_that_came_out_as_meant_is_kept():
    found = relation([HIGH, HIGH, LOW, LOW])
    assert (found.relation, found.is_high) == ("kept", [True, True, False, False])
    assert found.gap == pytest.approx(HIGH - LOW)


def test_spins_pointing_down_carry_the_same_charges():
    assert relation([-HIGH, -HIGH, -LOW, -LOW]).relation == "kept"


def test_a_symmetry_image_is_equivalent_only_under_a_permutation_that_leads_there():
    image = [LOW, LOW, HIGH, HIGH]
    assert relation(image).relation == "moved"
    assert relation(image, equivalences=[[0, 1, 2, 3], [2, 3, 0, 1]]).relation == "equivalent"
    assert relation([HIGH, LOW, HIGH, LOW], equivalences=[[0, 1, 2, 3], [2, 3, 0, 1]]).relation == "moved"


def test_equivalence_rows_say_where_each_bit_comes_from():
    """Row g sends `bits` to `bits[g]`; a cycle of three tells the direction."""
    intended = sites((True, False, False, False))
    cycle = [[3, 0, 1, 2]]  # site 1 of the image has the bit of site 0
    assert relation([LOW, HIGH, LOW, LOW], intended, equivalences=cycle).relation == "equivalent"
    assert relation([LOW, LOW, LOW, HIGH], intended, equivalences=cycle).relation == "moved"


def test_a_hole_that_hopped_has_moved_and_is_named():
    found = relation([HIGH, LOW, HIGH, LOW])
    assert found.relation == "moved"
    assert found.is_high == [True, False, True, False]
    assert found.reason == "high states left redox sites [1] for [2]"


def test_a_hole_smeared_over_sites_is_delocalised():
    assert relation([HIGH, 4.03, 4.03, LOW]).relation == "delocalised"
    assert relation([HIGH, HIGH, HIGH, LOW]).relation == "delocalised"  # one hole too many


def test_a_moment_between_the_windows_beside_a_wide_gap_is_ambiguous():
    found = relation([HIGH, 4.15, LOW, LOW])
    assert (found.relation, found.is_high) == ("ambiguous", None)
    assert "4.15" in found.reason


def test_windows_belong_to_engines():
    moments = [4.40, 4.30, 3.95, 4.0]  # CHGNet reads Fe2+ at 3.9-4.02
    assert relation(moments, engine="rehearsal:chgnet").relation == "kept"
    assert relation(moments, engine="vasp").relation in ("ambiguous", "delocalised")


def test_manganese_reads_the_smaller_moment_as_the_high_state():
    assert relation([3.8, 3.8, 4.6, 4.6], sites(couple="Mn2+/Mn3+")).relation == "kept"
    assert relation([4.6, 4.6, 3.8, 3.8], sites(couple="Mn2+/Mn3+")).relation == "moved"


def test_a_free_order_is_measured():
    free = sites(is_high=None, n_high=2)
    assert relation([LOW, HIGH, LOW, HIGH], free).relation == "measured"
    assert relation([4.05, 4.05, 4.05, 4.05], free).relation == "delocalised"


def test_without_moments_nothing_is_claimed():
    intended = sites()
    assert achieved_ordering(None, range(6), intended, "vasp").relation == "ambiguous"
    found = relation([HIGH, math.nan, LOW, LOW])
    assert (found.relation, found.is_high) == ("ambiguous", None)


@given(st.permutations(range(6)), st.lists(st.booleans(), min_size=4, max_size=4))
def test_the_order_of_sites_in_poscar_never_matters(order, high):
    intended = sites(tuple(high))
    by_parent = dict(zip(intended.redox_sites, (HIGH if bit else LOW for bit in high), strict=True))
    found = achieved_ordering([by_parent.get(parent, 0.0) for parent in order], order, intended, "vasp")
    assert (found.relation, found.is_high) == ("kept", high)
