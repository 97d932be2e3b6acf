"""Input sets: the traps of the stock stack (T1, T2, T4 to T7), overrides, round trips."""

import json
import math

import atomate2
import numpy as np
import pytest
from atomate2.vasp.files import write_vasp_input_set
from atomate2.vasp.jobs.base import BaseVaspMaker
from atomate2.vasp.jobs.core import RelaxMaker
from atomate2.vasp.powerups import (
    update_user_incar_settings,
    update_user_kpoints_settings,
    update_user_potcar_settings,
    use_auto_ispin,
)
from atomate2.vasp.sets.core import RelaxSetGenerator
from jobflow import Flow, Job
from monty.json import MontyDecoder, MontyEncoder, jsanitize
from pymatgen.core import SETTINGS as PYMATGEN_SETTINGS
from pymatgen.core import Lattice, Structure
from pymatgen.io.vasp import Incar
from valenceflow.inputs.incar import protocol_incar
from valenceflow.inputs.protocol import Protocol, load_protocol
from valenceflow.inputs.vasp_sets import ChargeOrderedSetGenerator, relax_set, static_set

# pymatgen's own sets ask spglib in the old way; only the tests that show upstream's behaviour meet it.
SHOWS_UPSTREAM = pytest.mark.filterwarnings("ignore:Set OLD_ERROR_HANDLING:DeprecationWarning")
# A bare header is no POTCAR that pymatgen knows.
BARE_POTCAR = pytest.mark.filterwarnings("ignore:POTCAR data with symbol")

STEP_1 = ("Na", "Ga", "Fe", "P", "O", "O")
STEP_2 = ("Na", "Fe", "Fe", "P", "O", "O")
MOMENTS_1 = [0.0, 0.0, 4.0, 0.0, 0.0, 0.0]
MOMENTS_2 = [0.0, 5.0, 4.0, 0.0, 0.0, 0.0]
OXIDATION_STATES_2 = [1, 3, 2, 5, -2, -2]


def cell(elements, moments=None):
    coords = [[i / len(elements), 0.5, 0.25] for i in range(len(elements))]
    properties = {} if moments is None else {"magmom": moments}
    return Structure(Lattice(np.diag([12.0, 6.0, 5.0])), elements, coords, site_properties=properties)


@pytest.fixture
def step_1():
    return cell(STEP_1, MOMENTS_1)


@pytest.fixture
def step_2():
    return cell(STEP_2, MOMENTS_2)


@pytest.fixture
def relax():
    return relax_set("paper-2026", (3, 1, 3))


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path, monkeypatch):
    # atomate2 removes old inputs from the current folder.
    monkeypatch.chdir(tmp_path)


def files_of(generator, structure, folder):
    write_vasp_input_set(structure, generator, folder, potcar_spec=True)
    return {name: (folder / name).read_text() for name in ("INCAR", "KPOINTS", "POSCAR", "POTCAR.spec")}


def incar_of(generator, structure):
    return generator.get_input_set(structure, potcar_spec=True).incar


def with_settings(**settings):
    return ChargeOrderedSetGenerator(kpoints_mesh=(3, 1, 3), user_incar_settings=settings)


def one_line(caught):
    return "\n" not in str(caught.value)


# T1: atomate2's relax set is PBEsol at 680 eV, of another smearing and density, and writes AECCAR and LOCPOT.


@SHOWS_UPSTREAM
def test_atomate2_relaxes_with_another_functional_by_default(step_2):
    upstream = RelaxSetGenerator().get_input_set(step_2, potcar_spec=True)
    incar = upstream.incar
    assert (incar["GGA"], incar["ENCUT"], incar["EDIFFG"], incar["SIGMA"]) == ("Ps", 680, -0.02, 0.2)
    assert {"LAECHG", "LVTOT", "LMIXTAU"} <= set(incar)
    assert upstream.kpoints.kpts != [(3, 1, 3)]
    assert upstream["POTCAR.spec"].split()[1] == "Fe"


def test_no_default_of_atomate2_reaches_our_incar(step_2, relax):
    inputs = relax.get_input_set(step_2, potcar_spec=True)
    own = set(relax.protocol.incar_tags("relax"))
    assert set(inputs.incar) == own | {"MAGMOM", "NUPDOWN", "LDAU", "LDAUTYPE", "LDAUU", "LDAUJ", "LDAUL"}
    assert inputs.incar["GGA"] == "Pe"
    assert inputs.kpoints.kpts == [(3, 1, 3)]
    assert inputs.kpoints.style.name == "Gamma"


def test_a_static_keeps_its_ibrion_and_loses_what_only_relaxes(step_2):
    """pymatgen strips IBRION from an INCAR with NSW 0, and parsers of the run may need it."""
    incar = incar_of(static_set("paper-2026", (3, 1, 3)), step_2)
    assert (incar["NSW"], incar["IBRION"], incar["LORBIT"]) == (0, -1, 12)
    assert not {"ISIF", "EDIFFG", "POTIM"} & set(incar)


# T2: oxidation-decorated Fe2+ and Fe3+ both start at 5 muB upstream.


@SHOWS_UPSTREAM
def test_pymatgen_gives_both_charge_states_one_moment():
    bare = cell(STEP_2)
    bare.add_oxidation_state_by_site(OXIDATION_STATES_2)
    assert incar_of(RelaxSetGenerator(), bare)["MAGMOM"][1:3] == [5, 5]


def test_moments_are_those_of_the_charge_states_decorated_or_not(step_2, relax, tmp_path):
    plain = files_of(relax, step_2, tmp_path)
    assert Incar.from_str(plain["INCAR"])["MAGMOM"] == MOMENTS_2
    assert Incar.from_str(plain["INCAR"])["NUPDOWN"] == 9
    decorated = step_2.copy()
    decorated.add_oxidation_state_by_site(OXIDATION_STATES_2)
    decorated.add_site_property("oxidation_state", OXIDATION_STATES_2)
    assert files_of(relax, decorated, tmp_path) == plain


def test_a_spin_on_the_species_does_not_count(step_2, relax):
    step_2.add_spin_by_element({"Fe": 1})
    assert incar_of(relax, step_2)["MAGMOM"] == MOMENTS_2


# T4: an element-level MAGMOM flattens 4/5 to one value, and 0 is ignored.


@SHOWS_UPSTREAM
def test_upstream_an_element_level_magmom_flattens_the_charge_states(step_2):
    assert incar_of(RelaxSetGenerator(user_incar_settings={"MAGMOM": {"Fe": 3}}), step_2)["MAGMOM"][1:3] == [
        3,
        3,
    ]
    assert incar_of(RelaxSetGenerator(user_incar_settings={"MAGMOM": {"Fe": 0}}), step_2)["MAGMOM"][1:3] == [
        5,
        4,
    ]


@pytest.mark.parametrize(
    ("tag", "asked", "own"),
    [
        ("MAGMOM", {"Fe": 5}, "MAGMOM = 1*0.0 1*5.0 1*4.0 3*0.0"),
        ("MAGMOM", {"Fe": 0}, "MAGMOM = 1*0.0 1*5.0"),
        ("MAGMOM", {"Fe3+": 5, "Fe2+": 4}, "MAGMOM = 1*0.0 1*5.0"),
        ("MAGMOM", {"P": 0.6}, "MAGMOM = 1*0.0 1*5.0"),
        ("MAGMOM", None, "MAGMOM = 1*0.0 1*5.0"),
        ("LDAUU", {"Fe": 4.0}, "LDAUU = 1*0.0 1*5.3 2*0.0"),
        ("LDAUU", {"O": {"Fe": 4.0}}, "LDAUU = 1*0.0 1*5.3 2*0.0"),
        ("LDAUU", {"P": 1.0}, "LDAUU = 1*0.0 1*5.3 2*0.0"),
        ("LDAUL", {"Fe": 3}, "LDAUL = 1*-1 1*2 2*-1"),
        ("LDAUJ", [0, 1, 0, 0], "LDAUJ = 4*0.0"),
        ("LDAU", False, "LDAU = True"),
        ("LDAUTYPE", 1, "LDAUTYPE = 2"),
        ("NUPDOWN", 8, "NUPDOWN = 9"),
        ("NUPDOWN", -1, "NUPDOWN = 9"),
        ("ISPIN", 1, "ISPIN = 2"),
    ],
)
def test_an_override_against_the_charge_states_is_refused(step_2, tag, asked, own):
    with pytest.raises(ValueError, match=f"override {tag} = .* contradicts the charge states") as caught:
        incar_of(with_settings(**{tag: asked}), step_2)
    assert own in str(caught.value)
    assert "protocol of your own" in str(caught.value)
    assert one_line(caught)


@pytest.mark.parametrize(
    ("tag", "asked", "own"),
    [
        ("ENCUT", 600, "ENCUT = 520.0"),
        ("encut", 600, "ENCUT = 520.0"),
        ("EDIFF", 1e-6, "EDIFF = 1e-05"),
        ("ALGO", "Normal", "ALGO = All"),
        ("GGA", "PS", "GGA = Pe"),
        ("LREAL", False, "LREAL = Auto"),
        ("SIGMA", None, "SIGMA = 0.01"),
        ("METAGGA", "R2scan", "no such tag"),
        ("IVDW", 11, "no such tag"),
        ("KSPACING", 0.2, "no such tag"),
        ("LORBIT", 0, "LORBIT = 12"),
    ],
)
def test_an_override_against_the_protocol_is_refused(step_2, tag, asked, own):
    with pytest.raises(ValueError, match=f"override {tag.upper()} = .*protocol paper-2026 .*hash") as caught:
        incar_of(with_settings(**{tag: asked}), step_2)
    assert own in str(caught.value)
    assert "extends: paper-2026" in str(caught.value)
    assert one_line(caught)


@pytest.mark.parametrize(
    "settings",
    [
        {"MAGMOM": MOMENTS_2},
        {"MAGMOM": {"Na": 0, "P": 0.0, "Mn": 5}},
        {"LDAUU": {"Fe": 5.3, "Mn": 3.9}, "LDAUL": {"Fe": 2}, "LDAUJ": {"Fe": 0}},
        {"LDAUU": {"O": {"Fe": 5.3}}},
        {"NUPDOWN": 9, "ISPIN": 2, "LDAU": True, "LDAUTYPE": 2},
        {"ENCUT": 520, "EDIFF": "1e-5", "GGA": "PE", "ALGO": "all", "IVDW": None},
    ],
)
def test_an_override_that_agrees_changes_nothing(step_2, relax, settings):
    assert dict(incar_of(with_settings(**settings), step_2)) == dict(incar_of(relax, step_2))


def test_what_moves_no_energy_may_be_set_per_launch(step_2, relax):
    settings = {
        "NCORE": 4,
        "KPAR": 2,
        "LPLANE": True,
        "NSIM": 8,
        "LAECHG": True,
        "LCHARG": True,
        "NELM": 500,
        "NSW": 40,
    }
    incar = incar_of(with_settings(**settings), step_2)
    assert {tag: incar[tag] for tag in settings} == settings
    assert {tag: value for tag, value in incar.items() if tag not in settings} == {
        tag: value for tag, value in incar_of(relax, step_2).items() if tag not in settings
    }


@pytest.mark.parametrize(("make", "nsw"), [(relax_set, 0), (relax_set, "many"), (static_set, 5)])
def test_a_limit_may_not_turn_one_calculation_into_another(step_2, make, nsw):
    generator = make("paper-2026", (3, 1, 3))
    generator.user_incar_settings["NSW"] = nsw
    with pytest.raises(ValueError, match=r"override NSW = .* must be"):
        incar_of(generator, step_2)


def test_powerups_of_atomate2_work_on_jobs_flows_and_makers(step_2, tmp_path):
    maker = BaseVaspMaker(input_set_generator=relax_set("paper-2026", (3, 1, 3)))
    for target in (maker, maker.make(step_2), Flow([maker.make(step_2)])):
        changed = update_user_incar_settings(target, {"NCORE": 4, "KPAR": 2})
        job = changed.jobs[0] if isinstance(changed, Flow) else changed
        generator = (job.function.__self__ if isinstance(job, Job) else job).input_set_generator
        assert isinstance(generator, ChargeOrderedSetGenerator)
        assert generator.protocol == load_protocol("paper-2026")
        text = files_of(generator, step_2, tmp_path)["INCAR"]
        assert "NCORE = 4\n" in text
        assert "MAGMOM = 1*0.0 1*5.0 1*4.0 3*0.0\n" in text


def test_a_powerup_against_the_charge_states_is_refused_when_inputs_are_made(step_2):
    maker = RelaxMaker(input_set_generator=relax_set("paper-2026", (3, 1, 3)))
    changed = update_user_incar_settings(maker, {"MAGMOM": {"Fe": 5}})
    with pytest.raises(ValueError, match="override MAGMOM"):
        incar_of(changed.input_set_generator, step_2)


def test_powerups_that_change_physics_by_other_ways_are_refused_at_once():
    maker = BaseVaspMaker(input_set_generator=relax_set("paper-2026", (3, 1, 3)))
    with pytest.raises(ValueError, match=r"auto_ispin = True would change what protocol paper-2026 says"):
        use_auto_ispin(maker)
    with pytest.raises(ValueError, match="give kpoints_mesh instead"):
        update_user_kpoints_settings(maker, {"reciprocal_density": 64})
    with pytest.raises(ValueError, match="POTCAR Fe for Fe is not in protocol paper-2026"):
        update_user_potcar_settings(maker, {"Fe": "Fe"})


@pytest.mark.parametrize(
    "switch",
    [
        {"vdw": "d3"},
        {"standardize": True},
        {"reduce_structure": "niggli"},
        {"use_structure_charge": True},
        {"inherit_incar": True},
        {"auto_ismear": True},
        {"auto_lreal": True},
        {"constrain_total_magmom": True},
    ],
)
def test_a_switch_of_pymatgen_that_would_change_the_physics_is_refused(switch):
    with pytest.raises(ValueError, match=rf"{next(iter(switch))} = .* would change what protocol paper-2026 says"):
        ChargeOrderedSetGenerator(**switch)


def test_another_potcar_release_or_config_is_refused():
    with pytest.raises(ValueError, match="POTCAR release PBE_64 is not protocol paper-2026's PBE_54"):
        ChargeOrderedSetGenerator(user_potcar_functional="PBE_64")
    with pytest.raises(ValueError, match="config_dict differs from protocol paper-2026"):
        ChargeOrderedSetGenerator(config_dict={"INCAR": {"ENCUT": 600}})


@pytest.fixture
def incar_updates_setting(monkeypatch):
    # What ATOMATE2_VASP_INCAR_UPDATES and ~/.atomate2.yaml fill.
    return lambda updates: monkeypatch.setattr(atomate2.SETTINGS, "VASP_INCAR_UPDATES", updates)


@SHOWS_UPSTREAM
def test_upstream_the_incar_updates_setting_writes_over_moments(step_2, incar_updates_setting, tmp_path):
    incar_updates_setting({"MAGMOM": {"Fe": 5}})
    write_vasp_input_set(step_2, RelaxSetGenerator(), tmp_path, potcar_spec=True)
    assert "MAGMOM = {'Fe': 5}" in (tmp_path / "INCAR").read_text()


@pytest.mark.parametrize(
    ("updates", "message"),
    [
        ({"MAGMOM": {"Fe": 5}}, "VASP_INCAR_UPDATES has MAGMOM = {'Fe': 5}"),
        ({"MAGMOM": [5, 5, 5, 5, 5, 5]}, "override MAGMOM = 6\\*5 contradicts the charge states"),
        ({"NUPDOWN": 0}, "override NUPDOWN = 0 contradicts the charge states"),
        ({"ENCUT": 600}, "override ENCUT = 600 contradicts protocol paper-2026"),
    ],
)
def test_the_incar_updates_setting_may_not_contradict_the_protocol(
    step_2, relax, incar_updates_setting, tmp_path, updates, message
):
    incar_updates_setting(updates)
    with pytest.raises(ValueError, match=message):
        files_of(relax, step_2, tmp_path)
    assert not (tmp_path / "INCAR").exists()


def test_the_incar_updates_setting_may_spread_the_work(step_2, relax, incar_updates_setting, tmp_path):
    incar_updates_setting({"NCORE": 8, "ENCUT": 520})
    assert "NCORE = 8\n" in files_of(relax, step_2, tmp_path)["INCAR"]


# T5, T6: upstream a list MAGMOM is an AttributeError, None among moments a TypeError when files are written.


def test_upstream_a_list_of_moments_fails(step_2):
    with pytest.raises(AttributeError):
        incar_of(RelaxSetGenerator(user_incar_settings={"MAGMOM": MOMENTS_2}), step_2)


def test_a_list_of_moments_that_differs_from_the_charge_states_is_refused(step_2):
    with pytest.raises(ValueError, match=r"override MAGMOM = 1\*0 2\*5 3\*0 contradicts"):
        incar_of(with_settings(MAGMOM=[0, 5, 5, 0, 0, 0]), step_2)
    with pytest.raises(ValueError, match="override MAGMOM"):
        incar_of(with_settings(MAGMOM=MOMENTS_2[:-1]), step_2)
    with pytest.raises(ValueError, match="override MAGMOM"):
        incar_of(with_settings(MAGMOM=[None, *MOMENTS_2[1:]]), step_2)


@SHOWS_UPSTREAM
@pytest.mark.filterwarnings("ignore:Not all sites have property magmom")  # the point of the test
def test_upstream_a_missing_moment_fails_only_when_files_are_written(tmp_path):
    holed = cell(STEP_2, [0.0, None, 4.0, 0.0, 0.0, 0.0])
    assert incar_of(RelaxSetGenerator(), holed)["MAGMOM"][1] is None
    with pytest.raises(TypeError):
        write_vasp_input_set(holed, RelaxSetGenerator(), tmp_path, potcar_spec=True)


@pytest.mark.parametrize("bad", [None, math.nan, math.inf, [0, 0, 5], "5", True])
def test_a_moment_that_is_no_finite_number_is_refused_with_its_site(relax, bad):
    moments = [0.0, bad, 4.0, 0.0, 0.0, 0.0]
    structure = cell(STEP_2)
    for site, moment in zip(structure, moments, strict=True):
        site.properties["magmom"] = moment
    message = r"no finite initial moment on 1 of 6 sites, Fe\[1\]: .*set the site property"
    with pytest.raises(ValueError, match=message) as caught:
        incar_of(relax, structure)
    assert one_line(caught)


def test_a_site_that_lost_its_moment_is_named(relax, step_2):
    del step_2[2].properties["magmom"]
    with pytest.raises(ValueError, match=r"no finite initial moment on 1 of 6 sites, Fe\[2\]: None;"):
        incar_of(relax, step_2)


def test_a_structure_without_moments_is_refused(relax):
    with pytest.raises(ValueError, match=r"on 6 of 6 sites, Na\[0\]: None, .* and 2 more; set the site property"):
        incar_of(relax, cell(STEP_2))


# T7: atomate2 0.1.5 does not sort, whatever sort_structure says.


@SHOWS_UPSTREAM
def test_upstream_an_unsorted_structure_gives_a_block_per_change_of_element():
    mixed = cell(("Na", "Fe", "Ga", "Fe", "Ga", "P", "O"), [0.0, 4.0, 0.0, 4.0, 0.0, 0.0, 0.0])
    inputs = RelaxSetGenerator(sort_structure=True).get_input_set(mixed, potcar_spec=True)
    assert inputs.poscar.site_symbols == ["Na", "Fe", "Ga", "Fe", "Ga", "P", "O"]
    assert len(inputs.incar["LDAUU"]) == 7


def test_an_element_in_two_blocks_is_refused(relax):
    mixed = cell(("Na", "Fe", "Ga", "Fe", "Ga", "P", "O"), [0.0, 4.0, 0.0, 4.0, 0.0, 0.0, 0.0])
    with pytest.raises(ValueError, match=r"7 POSCAR blocks for 5 elements \(Na Fe Ga Fe .*sort the sites") as caught:
        incar_of(relax, mixed)
    assert one_line(caught)


def test_site_order_is_kept_as_it_comes(relax):
    """Mn sorts before Ga, Fe after it: the caller's order counts, and the tags by block follow it."""
    inputs = relax.get_input_set(cell(("Ga", "Mn", "Na", "O"), [0.0, 5.0, 0.0, 0.0]), potcar_spec=True)
    assert inputs.poscar.site_symbols == ["Ga", "Mn", "Na", "O"]
    assert inputs["POTCAR.spec"].split() == ["Ga_d", "Mn_pv", "Na_pv", "O"]
    assert inputs.incar["LDAUU"] == [0.0, 3.9, 0.0, 0.0]
    assert inputs.incar["LDAUL"] == [-1, 2, -1, -1]
    assert inputs.incar["MAGMOM"] == [0.0, 5.0, 0.0, 0.0]


# Moments, U and NUPDOWN


def test_step_1_has_u_on_the_low_state_only(step_1, relax):
    incar = incar_of(relax, step_1)
    assert incar["LDAUU"] == [0.0, 0.0, 5.3, 0.0, 0.0]
    assert incar["NUPDOWN"] == 4


def test_a_cell_without_a_redox_element_has_no_u_and_stays_spin_polarised(relax):
    incar = incar_of(relax, cell(("Ga", "P", "O", "O"), [0.0] * 4))
    assert not [tag for tag in incar if tag.startswith("LDA")]
    assert (incar["ISPIN"], incar["NUPDOWN"], incar["MAGMOM"]) == (2, 0, [0.0] * 4)
    # One powerup serves a whole campaign, this cell included.
    settings = with_settings(LDAUU={"Fe": 5.3}, MAGMOM={"P": 0})
    assert dict(incar_of(settings, cell(("Ga", "P", "O", "O"), [0.0] * 4))) == dict(incar)


def test_measured_moments_passed_on_are_noticed(relax):
    with pytest.raises(ValueError, match=r"add up to 8\.07 muB, .*measured moments"):
        incar_of(relax, cell(STEP_2, [0.0, 4.33, 3.77, 0.01, 0.0, -0.04]))


def test_a_previous_run_is_refused(step_2, relax):
    with pytest.raises(ValueError, match=r"prev_dir = '\.': a calculation starts from its charge states"):
        relax.get_input_set(step_2, prev_dir=".")


def test_free_nupdown_and_other_spin_orders_are_protocols_of_their_own(step_2):
    own = Protocol.model_validate(
        load_protocol("paper-2026").model_dump() | {"nupdown": "free", "spin_order": "as given", "name": "afm"}
    )
    flipped = cell(STEP_2, [0.0, 5.0, -4.0, 0.0, 0.0, 0.0])
    incar = protocol_incar(own, "relax", flipped)
    assert "NUPDOWN" not in incar
    assert incar["MAGMOM"] == [0.0, 5.0, -4.0, 0.0, 0.0, 0.0]
    with pytest.raises(ValueError, match=r"Fe\[2\] starts at -4.0 muB, but protocol paper-2026 is ferromagnetic"):
        protocol_incar(load_protocol("paper-2026"), "relax", flipped)


def test_frozen_or_partly_occupied_sites_are_refused(step_2, relax):
    frozen = step_2.copy(site_properties={"selective_dynamics": [[True] * 3] * 6})
    with pytest.raises(ValueError, match="selective_dynamics freezes sites"):
        incar_of(relax, frozen)
    partly = step_2.copy()
    partly.replace(0, {"Na": 0.5})
    with pytest.raises(ValueError, match="partly occupied sites"):
        incar_of(relax, partly)


# k-points and POTCARs


def test_a_given_mesh_outlives_a_relaxed_cell(step_2):
    swollen = step_2.copy()
    swollen.scale_lattice(step_2.volume * 1.5)
    given, ruled = relax_set("paper-2026", (3, 5, 6)), relax_set("paper-2026")
    assert given.get_input_set(step_2, potcar_spec=True).kpoints.kpts == [(3, 5, 6)]
    assert given.get_input_set(swollen, potcar_spec=True).kpoints.kpts == [(3, 5, 6)]
    assert ruled.get_input_set(step_2, potcar_spec=True).kpoints.kpts == [(2, 5, 6)]
    assert ruled.get_input_set(swollen, potcar_spec=True).kpoints.kpts == [(2, 4, 5)]


@pytest.mark.parametrize("mesh", [(3, 1), (3, 1, 0), (3, 1, 2.5), (3, 1, 3, 1)])
def test_a_mesh_that_is_none_is_refused(mesh):
    with pytest.raises(ValueError, match=r"kpoints_mesh = .* three whole numbers"):
        relax_set("paper-2026", mesh)


def test_an_element_without_a_label_is_refused_not_guessed(relax):
    with pytest.raises(ValueError, match="no POTCAR label for Zr"):
        relax.get_input_set(cell(("Zr", "O"), [0.0, 0.0]), potcar_spec=True)


@pytest.fixture
def potcar_folder(tmp_path, monkeypatch):
    """A folder of POTCAR headers: no data of a pseudopotential, enough for their names and dates."""
    monkeypatch.setitem(PYMATGEN_SETTINGS, "PMG_VASP_PSP_DIR", str(tmp_path))

    def write(element, title):
        folder = tmp_path / "POT_GGA_PAW_PBE_54" / title.split()[1]
        folder.mkdir(parents=True)
        header = f" {title}\n 8.0\n parameters from PSCTR are:\n   VRHFIN ={element}: d\n   LEXCH  = PE\n"
        (folder / "POTCAR").write_text(
            f"{header}   TITEL  = {title}\n   ZVAL   =   8.000\n END of PSCTR-controll parameters\n"
            " local part\n 1.0 2.0 3.0\n"
        )

    return write


@BARE_POTCAR
def test_a_potcar_of_another_date_is_refused(potcar_folder, relax):
    potcar_folder("Fe", "PAW_PBE Fe_pv 06Sep2000")
    with pytest.raises(
        ValueError, match=r"POTCAR Fe_pv is 'PAW_PBE Fe_pv 06Sep2000', not of 02Aug2007 .*install PBE_54"
    ):
        relax.get_input_set(cell(("Fe",), [4.0]))


@BARE_POTCAR
def test_a_potcar_of_the_date_named_passes(potcar_folder, relax):
    potcar_folder("Fe", "PAW_PBE Fe_pv 02Aug2007")
    assert relax.get_input_set(cell(("Fe",), [4.0]))["POTCAR"].symbols == ["Fe_pv"]


# Round trips


@pytest.mark.parametrize("calculation", ["relax", "static"])
def test_a_set_survives_json_and_jsanitize(step_2, calculation, tmp_path):
    made = ChargeOrderedSetGenerator(
        protocol="dtu-polyanion",
        calculation=calculation,
        kpoints_mesh=(3, 1, 3),
        user_incar_settings={"NCORE": 4},
    )
    expected = files_of(made, step_2, tmp_path)
    made.structure = None
    through_json = json.loads(json.dumps(made, cls=MontyEncoder), cls=MontyDecoder)
    sanitized = MontyDecoder().process_decoded(jsanitize(made, strict=True, enum_values=True))
    for again in (through_json, sanitized):
        assert again == made
        assert again.protocol.hash == load_protocol("dtu-polyanion").hash
        assert files_of(again, step_2, tmp_path) == expected


def test_a_stored_job_makes_the_same_inputs(step_2, relax, tmp_path):
    job = BaseVaspMaker(input_set_generator=relax).make(step_2)
    stored = json.loads(json.dumps(job, cls=MontyEncoder), cls=MontyDecoder)
    structure = stored.function_args[0]
    generator = stored.function.__self__.input_set_generator
    assert files_of(generator, structure, tmp_path) == files_of(relax, step_2, tmp_path)


def test_a_stored_set_names_our_module_only(relax):
    text = json.dumps(relax, cls=MontyEncoder)
    modules = {part.split('"')[0] for part in text.split('"@module": "')[1:]}
    assert {module.split(".")[0] for module in modules} == {"valenceflow"}


def test_making_inputs_leaves_the_callers_structure_alone(step_2, relax):
    step_2.add_oxidation_state_by_site(OXIDATION_STATES_2)
    before = step_2.as_dict()
    relax.get_input_set(step_2, potcar_spec=True)
    assert step_2.as_dict() == before


def test_an_unknown_calculation_is_refused():
    with pytest.raises(ValueError, match="calculation = 'md' must be 'relax' or 'static'"):
        ChargeOrderedSetGenerator(calculation="md")


def test_a_set_without_a_structure_says_so(relax):
    with pytest.raises(ValueError, match="no structure"):
        relax.get_input_set(potcar_spec=True)
    with pytest.raises(ValueError, match="no structure"):
        _ = relax.incar
