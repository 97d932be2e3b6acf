"""From a campaign file to its configurations: which orderings, how many, and who they are."""

from collections import Counter

import numpy as np
import pytest
from pymatgen.analysis.ewald import EwaldSummation
from pymatgen.io.cif import CifWriter
from valenceflow.flows.campaign_file import read_campaign
from valenceflow.flows.idealised import occupied_structure
from valenceflow.flows.plan import plan_configurations
from valenceflow.inputs.orderings.group import ordering_group

ENGINE = "rehearsal:springs"


@pytest.fixture
def plan(tmp_path, write_campaign):
    """Function that plans a campaign of changed fields."""

    def make(engine=ENGINE, **changes):
        return plan_configurations(read_campaign(write_campaign(tmp_path, **changes)), engine)

    return make


def sodium(fraction, **orderings):
    return {"Na": {"fraction": fraction, "orderings": orderings or {"all": True}}}


def keys(configurations):
    return [c.joint_key for c in configurations]


def ids(configurations):
    return [c.configuration_id for c in configurations]


def test_the_28_atom_cell_has_sixteen_distinct_configurations(plan):
    configurations = plan(working_ion=sodium(["1/4", "1/2", "3/4"]))
    counts = Counter(c.fraction for c in configurations)
    assert counts == {1.0: 1, 0.75: 2, 0.5: 10, 0.25: 2, 0.0: 1}
    assert len(set(ids(configurations))) == 16


def test_a_space_that_nobody_can_plan_is_refused_at_once_with_its_size(plan):
    with pytest.raises(ValueError, match=r"asks for 11,269,366,602 configurations .* use \{sample: N, seed: S\}"):
        plan(supercell=[1, 3, 2], working_ion=sodium("2/3"))
    with pytest.raises(ValueError, match="charge: all at one Na ordering asks for"):
        plan(supercell=[1, 3, 2], working_ion=sodium("2/3", sample=1))
    with pytest.raises(ValueError, match="charge asks for 60,000 configurations"):
        plan(supercell=[1, 3, 2], working_ion=sodium("2/3", sample=1, seed=1), charge={"sample": 60_000, "seed": 1})


def test_multiplicities_add_up_to_every_arrangement(plan):
    """4 choose 2 sodium times 4 choose 2 holes."""
    at_half = [c for c in plan() if c.fraction == 0.5]
    assert sum(c.multiplicity * c.working_multiplicity for c in at_half) == 36


def test_end_members_come_first_and_can_be_left_out(plan):
    assert [c.fraction for c in plan()][:3] == [1.0, 0.0, 0.5]
    assert {c.fraction for c in plan(end_members=False)} == {0.5}
    assert [c.stratum for c in plan()][:3] == ["end member", "end member", "all"]


def test_end_members_asked_for_twice_are_there_once(plan):
    configurations = plan(working_ion=sodium(["0", "1", "1/2", "1"]))
    assert Counter(c.fraction for c in configurations) == {1.0: 1, 0.0: 1, 0.5: 10}


def test_two_fractions_that_are_the_same_number_are_planned_once(plan):
    assert len(plan(working_ion=sodium([0.5, "1/2", "2/4"]))) == len(plan())


def test_fractions_can_have_orderings_of_their_own(plan):
    half = {"fraction": "1/2", "orderings": {"all": True}}
    quarters = {"fraction": ["1/4", "3/4"], "orderings": {"lowest": 1}}
    together = plan(working_ion={"Na": [half, quarters]}, end_members=False)
    apart = [plan(working_ion={"Na": choice}, end_members=False) for choice in (half, quarters)]
    assert ids(together) == ids(apart[0]) + ids(apart[1])
    assert Counter(c.fraction for c in together) == {0.5: 10, 0.25: 2, 0.75: 2}


@pytest.mark.parametrize(
    ("choices", "said"),
    [
        ([], "give its fractions and orderings"),
        (
            [{"fraction": f, "orderings": {"all": True}} for f in ("1/2", ["1/4", 0.5])],
            "fraction 0.5 has two choices of orderings",
        ),
    ],
)
def test_choices_that_are_none_or_of_one_fraction_are_refused(plan, choices, said):
    with pytest.raises(ValueError, match=said):
        plan(working_ion={"Na": choices})


def test_a_file_of_one_choice_is_not_looked_for_in_another(plan, reference):
    path, key = reference
    file = {"fraction": "1/2", "orderings": {"file": path}}
    found = plan(working_ion={"Na": [{"fraction": "1/4", "orderings": {"all": True}}, file]}, end_members=False)
    assert {c.working_key for c in found if c.fraction == 0.5} == {key.partition(".")[0]}
    with pytest.raises(ValueError, match="holds 2 Na where the fraction asks for 1"):
        plan(working_ion={"Na": [{**file, "fraction": "1/4"}, {"fraction": "1/2", "orderings": {"all": True}}]})


@pytest.mark.parametrize(("fraction", "n_high", "n_atoms"), [(1.0, 0, 28), (0.5, 2, 26), (0.0, 4, 24)])
def test_neutrality_gives_the_number_of_high_states(plan, fraction, n_high, n_atoms):
    found = {(c.n_high, c.n_atoms) for c in plan() if c.fraction == fraction}
    assert found == {(n_high, n_atoms)}


def test_the_full_host_has_one_step_and_the_others_two(plan):
    steps = {c.fraction: list(c.job_uuids) for c in plan()}
    assert steps == {1.0: ["relax"], 0.0: ["surrogate relax", "relax"], 0.5: ["surrogate relax", "relax"]}


def test_every_key_is_canonical_and_that_of_the_bits_that_are_run(plan, olivine):
    group = ordering_group(olivine)
    for c in plan():
        assert str(group.key(c.working_bits, c.charge_bits)) == c.joint_key


def test_a_sample_grows_without_changing_its_earlier_members(plan):
    def sampled(n):
        return keys(plan(charge={"sample": n, "seed": 7}, end_members=False, working_ion=sodium("1/2", sample=1)))

    everything = sampled(2)
    assert sampled(1) == everything[:1]
    many = [keys(plan(working_ion=sodium("1/2", sample=n, seed=3), end_members=False)) for n in (1, 2, 3)]
    assert set(many[0]) < set(many[1]) < set(many[2])


def test_another_seed_gives_another_sample(plan):
    samples = {
        tuple(keys(plan(charge={"sample": 1, "seed": seed}, end_members=False, working_ion=sodium("1/2"))))
        for seed in range(6)
    }
    assert len(samples) > 1


def test_a_sample_larger_than_what_exists_is_refused_with_both_numbers(plan):
    with pytest.raises(ValueError, match=r"charge.sample = 9 but only \d+ orderings of 2 Fe high states are distinct"):
        plan(charge={"sample": 9})
    with pytest.raises(ValueError, match=r"orderings.sample = 9 but only 3 orderings of 2 Na are distinct"):
        plan(working_ion=sodium("1/2", sample=9))


def test_a_free_charge_order_is_one_configuration_per_sodium_ordering(plan):
    configurations = plan(charge="free")
    free = [c for c in configurations if c.fraction == 0.5]
    assert len(free) == 3
    assert all(c.charge_bits is None and c.n_high == 2 and list(c.job_uuids) == ["free relax"] for c in free)
    assert all(c.joint_key.endswith(".free") for c in free)


# Who a configuration is.
CHANGES = {
    "engine": {"engine": "vasp"},
    "protocol": {"protocol": "dtu-polyanion"},
    "supercell": {"supercell": [1, 1, 2]},
}


@pytest.mark.parametrize("what", CHANGES)
def test_identity_depends_on(what, plan):
    fields = {"working_ion": sodium("1/2", sample=1), "charge": {"sample": 1}}
    assert not set(ids(plan(**fields))) & set(ids(plan(**fields, **CHANGES[what])))


def test_identity_does_not_depend_on_names_or_on_how_an_ordering_was_chosen(plan):
    everything = dict(zip(keys(plan()), ids(plan()), strict=True))
    renamed = plan(name="another", launch={"workers": 7}, charge={"sample": 1, "seed": 5}, end_members=False)
    assert renamed
    assert all(everything[c.joint_key] == c.configuration_id for c in renamed)


def test_job_uuids_are_the_same_in_every_planning_and_differ_between_campaigns(plan):
    first, again, other = plan(), plan(), plan(name="another")
    assert [c.job_uuids for c in first] == [c.job_uuids for c in again]
    assert not {u for c in first for u in c.job_uuids.values()} & {u for c in other for u in c.job_uuids.values()}


def test_a_couple_of_one_s_own_with_another_surrogate_is_another_configuration(plan, tmp_path):
    (tmp_path / "mine.yaml").write_text(
        "Fe2+/Fe3+:\n  element: Fe\n  low: {oxidation_state: 2, magmom: 4}\n  high: {oxidation_state: 3, magmom: 5}\n"
        "  surrogate: {element: Al, oxidation_state: 3}\n  windows: fit\n"
    )
    assert not set(ids(plan())) & set(ids(plan(couples="mine.yaml")))


# Orderings from files.
@pytest.fixture
def reference(tmp_path, half_filled, cif_with_charges, olivine):
    """A CIF of one charge ordering at x = 1/2, and its joint key."""
    structure = half_filled(high=(0, 2), vacancies=(0, 3))
    cif_with_charges(structure, tmp_path / "reference.cif")
    working = [i not in (0, 3) for i in range(4)]
    return "reference.cif", str(ordering_group(olivine).key(working, [True, False, True, False]))


def test_moments_of_a_reference_are_read_in_the_window_of_the_engine(plan, reference, half_filled, tmp_path):
    """4.03 muB is Fe2+ by CHGNet, and between the windows of PBE+U."""
    structure = half_filled(high=(0, 2), vacancies=(0, 3))
    states = structure.site_properties["oxidation_state"]
    moments = {2: 4.03, 3: 4.30}
    by_site = zip(structure, states, strict=True)
    structure.add_site_property(
        "magmom", [moments[state] if site.specie.symbol == "Fe" else 0.0 for site, state in by_site]
    )
    structure.remove_site_property("oxidation_state")
    CifWriter(structure.relabel_sites(), write_magmoms=True).write_file(tmp_path / "magnetic.mcif")
    changes = {"charge": {"reference": "magnetic.mcif"}, "end_members": False}
    assert keys(plan(engine="rehearsal:chgnet", **changes)) == [reference[1]]
    with pytest.raises(
        ValueError, match=r"charge\.reference magnetic\.mcif: the moments do not tell the charge ordering"
    ):
        plan(engine="vasp", **changes)


def test_a_reference_is_among_the_sample_once_and_flagged(plan, reference):
    name, key = reference
    for wanted in (1, 2):
        configurations = plan(charge={"sample": wanted, "reference": name, "seed": 1}, end_members=False)
        flagged = [c for c in configurations if c.stratum == "reference"]
        assert keys(flagged) == [key]
        at_its_sodium = [c for c in configurations if c.working_key == flagged[0].working_key]
        assert len(at_its_sodium) == wanted
        assert keys(at_its_sodium).count(key) == 1


def test_several_references_are_all_flagged_and_count_in_the_sample(
    plan, reference, half_filled, tmp_path, cif_with_charges
):
    cif_with_charges(half_filled(high=(1, 3), vacancies=(0, 3)), tmp_path / "second.cif")
    names = [reference[0], "second.cif"]
    configurations = plan(charge={"sample": 3, "reference": names}, end_members=False, working_ion=sodium("1/2"))
    at_its_sodium = [c for c in configurations if c.working_key == reference[1].split(".")[0]]
    flagged = {c.joint_key for c in at_its_sodium if c.stratum == "reference"}
    assert reference[1] in flagged
    assert len(at_its_sodium) == 3


# Strata.
def test_the_reference_is_left_out_of_statistics_and_the_sample_is_not(plan, reference):
    configurations = plan(charge={"sample": 2, "reference": reference[0], "weight": "orbits"}, end_members=False)
    for c in configurations:
        assert c.in_statistics == (c.stratum == "sample")
        assert c.sample_weight == ("orbits" if "sample" in c.strata else None)
        assert c.working_strata == ["all"]
        assert c.stratum in c.strata
    assert {c.stratum for c in configurations} == {"reference", "sample"}


def test_end_members_are_no_statistics(plan):
    assert [c.in_statistics for c in plan()][:3] == [False, False, True]


def test_the_lowest_by_electrostatics_are_those_of_least_energy(plan, olivine):
    """The second implementation: every ordering of the cell by the energies of pymatgen's Ewald sums."""
    everything = [c for c in plan() if c.fraction == 0.5]
    energy = {c.joint_key: ewald_energy(olivine, c) for c in everything}
    for charge, working in (
        ({"lowest": 1}, {"all": True}),
        ({"lowest": 2}, {"lowest": 1}),
        ({"all": True}, {"lowest": 2}),
    ):
        found = plan(charge=charge, working_ion=sodium("1/2", **working), end_members=False)
        by_sodium = {}
        for c in everything:
            by_sodium.setdefault(c.working_key, []).append(energy[c.joint_key])
        sodiums = sorted(by_sodium, key=lambda key: min(by_sodium[key]))[: working.get("lowest")]
        assert sorted({c.working_key for c in found}) == sorted(sodiums)
        for key in sodiums:
            here = sorted(energy[c.joint_key] for c in found if c.working_key == key)
            assert here == pytest.approx(sorted(by_sodium[key])[: charge.get("lowest")], abs=1e-6)
        strata = {c.stratum for c in found}
        assert strata == ({"lowest"} if "lowest" in charge else {"all"})


def ewald_energy(cell, configuration):
    structure = occupied_structure(cell, configuration.working_bits)
    high = {int(site) for site, bit in zip(cell.redox_sites, configuration.charge_bits, strict=True) if bit}
    charges = {"Na": 1, "P": 5, "O": -2}
    structure.add_oxidation_state_by_site(
        [charges.get(site.specie.symbol, 3 if site.properties["host_site"] in high else 2) for site in structure]
    )
    return EwaldSummation(structure).total_energy


def test_a_pick_adds_up_its_strata(plan, reference):
    name, key = reference
    picked = [{"reference": name}, {"lowest": 1}, {"sample": 1}, {"seed": 3}]
    configurations = plan(charge={"pick": picked}, working_ion=sodium("1/2", file=name), end_members=False)
    assert keys(configurations)[0] == key
    assert [c.stratum for c in configurations] in (["reference", "lowest", "sample"], ["reference", "sample"])
    assert sum("lowest" in c.strata for c in configurations) == 1
    as_mapping = plan(
        charge={"pick": {"reference": name, "lowest": 1, "sample": 1, "seed": 3}},
        working_ion=sodium("1/2", file=name),
        end_members=False,
    )
    assert ids(as_mapping) == ids(configurations)


def test_a_pick_of_sodium_orderings_takes_a_file_and_the_lowest(plan, reference):
    configurations = plan(
        working_ion=sodium("1/2", pick=[{"file": reference[0]}, {"lowest": 1}]), charge={"sample": 1}, end_members=False
    )
    strata = {c.working_key: c.working_strata for c in configurations}
    assert strata.pop(reference[1].split(".")[0])[0] == "file"
    assert all(found == ["lowest"] for found in strata.values())


def test_charge_orderings_are_taken_from_files(plan, reference):
    name, key = reference
    configurations = plan(charge={"file": name}, working_ion=sodium("1/2", file=name), end_members=False)
    assert [(c.joint_key, c.stratum, c.in_statistics) for c in configurations] == [(key, "file", False)]


@pytest.mark.parametrize(
    ("charge", "said"),
    [
        ({"pick": []}, "an empty pick"),
        ({"pick": [{"lowest": 1}, {"lowest": 2}]}, "`lowest` is given twice"),
        ({"pick": [{"lowest": 1}], "sample": 3}, "got sample and pick"),
        ({"pick": [{"sample": 3}], "seed": 3}, "put `seed` into the pick"),
        ({"pick": [{"sample": 1}], "reference": "x.cif"}, "put `reference` into the pick"),
        ({"pick": [{"free": True}]}, "free"),
        ({"pick": "lowest"}, "pick"),
        ({"lowest": 0}, "charge.lowest"),
        ({"lowest": 3, "by": "magic"}, "charge.by"),
        ({"lowest": 99}, r"charge\.lowest = 99 but only \d+ orderings of 2 Fe high states are distinct"),
        ({"sample": 2_000_000}, r"charge\.sample = 2000000 but only \d+ orderings of 2 Fe high states are distinct"),
    ],
    ids=str,
)
def test_a_choice_that_makes_no_sense_is_refused(plan, charge, said):
    with pytest.raises(ValueError, match=said):
        plan(charge=charge)


def test_a_reference_alone_gives_the_reference_alone(plan, reference):
    name, key = reference
    assert keys(plan(charge={"reference": name}, end_members=False)) == [key]


def test_a_reference_beside_all_changes_only_its_flag(plan, reference):
    name, key = reference
    with_it, without = plan(charge={"all": True, "reference": name}), plan()
    assert sorted(ids(with_it)) == sorted(ids(without))
    assert [c.joint_key for c in with_it if c.stratum == "reference"] == [key]


def test_a_sodium_ordering_is_taken_from_a_file(plan, reference):
    name, key = reference
    configurations = plan(working_ion=sodium("1/2", file=name), end_members=False)
    assert {c.working_key for c in configurations} == {key.split(".")[0]}
    assert key in keys(configurations)


def test_a_file_with_another_number_of_ions_than_the_fraction_is_refused(plan, reference):
    with pytest.raises(ValueError, match="holds 2 Na where the fraction asks for 1"):
        plan(working_ion=sodium("1/4", file=reference[0]))


def test_a_reference_without_charges_is_refused(plan, half_filled, tmp_path):
    half_filled().remove_site_property("oxidation_state").to(filename=str(tmp_path / "plain.cif"))
    with pytest.raises(ValueError, match="carries neither oxidation states nor moments"):
        plan(charge={"sample": 1, "reference": "plain.cif"})


def test_a_file_for_each_fraction_is_needed(plan, reference):
    with pytest.raises(ValueError, match=r"no file .* holds 1 Na"):
        plan(working_ion=sodium(["1/4", "1/2"], file=[reference[0]]))


def test_a_reference_with_partial_occupancies_is_refused(plan, half_filled, tmp_path):
    structure = half_filled().remove_site_property("oxidation_state").relabel_sites()
    structure[0] = {"Na": 0.5}
    structure.to(filename=str(tmp_path / "partial.cif"))
    with pytest.raises(ValueError, match="partly occupied"):
        plan(working_ion=sodium("1/2", file="partial.cif"))


def test_a_reference_that_no_sodium_ordering_of_the_campaign_has_is_refused(
    plan, reference, half_filled, tmp_path, cif_with_charges
):
    cif_with_charges(half_filled(vacancies=(0, 1)), tmp_path / "other.cif")
    with pytest.raises(ValueError, match=r"reference\.cif has the Na ordering 6, which is not among"):
        plan(working_ion=sodium("1/2", file="other.cif"), charge={"sample": 1, "reference": reference[0]})


def test_a_supercell_given_by_a_matrix_holds_the_orderings_of_its_lattice(plan):
    """Rows (1,0,1) and (-1,0,1): two host cells; the lattice keeps only the operations that map it onto itself."""
    configurations = plan(
        supercell=[[1, 0, 1], [0, 1, 0], [-1, 0, 1]], working_ion=sodium("1/2", sample=1), charge={"sample": 3}
    )
    assert {c.n_atoms for c in configurations} == {56, 52, 48}
    assert {c.formula_units for c in configurations} == {8}


def test_a_diagonal_matrix_is_the_same_supercell_as_its_short_form(plan):
    assert ids(plan(supercell=np.eye(3, dtype=int).tolist())) == ids(plan())
