"""Redox couples: the shipped ones against electron counts and ionic radii, user files, neutrality."""

import copy
from fractions import Fraction

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pymatgen.core import Element, Species
from valenceflow.inputs.charge_states import get_couple, parse_couples, shipped_couples
from valenceflow.inputs.hosts import get_host
from valenceflow.inputs.supercells import HostSupercell

ARGON_CORE = 18
LARGEST_RADIUS_DIFFERENCE = 0.06  # A: a surrogate that strains its site would choose another ordering's cell

FE = {
    "element": "Fe",
    "low": {"oxidation_state": 2, "magmom": 4.0},
    "high": {"oxidation_state": 3, "magmom": 5.0},
    "surrogate": {"element": "Ga", "oxidation_state": 3},
    "windows": {"vasp": {"low_max": 3.8, "high_min": 4.25, "source": "somewhere"}},
}


def couples_of(**changes):
    """The Fe couple with some fields replaced (`low__magmom=3` reaches into `low`), read as a user's file."""
    fields = copy.deepcopy(FE)
    for path, value in changes.items():
        *parents, last = path.split("__")
        target = fields
        for parent in parents:
            target = target[parent]
        target[last] = value
    return parse_couples(yaml.safe_dump({"mine": fields}), "mine.yaml")


def high_spin_moment(element, oxidation_state):
    """Unpaired electrons of a free 3d ion by Hund's first rule."""
    n_d = Element(element).Z - ARGON_CORE - oxidation_state
    return n_d if n_d <= 5 else 10 - n_d


@pytest.fixture(params=sorted(shipped_couples()))
def couple(request):
    return shipped_couples()[request.param]


def test_the_couples_of_the_paper_and_of_vanadium_are_shipped():
    assert list(shipped_couples()) == ["Fe2+/Fe3+", "Mn2+/Mn3+", "Co2+/Co3+", "Ni2+/Ni3+", "V3+/V4+"]


def test_a_shipped_couple_is_named_by_its_element_and_charges(couple):
    low, high = couple.low.oxidation_state, couple.high.oxidation_state
    assert couple.name == f"{couple.element}{low}+/{couple.element}{high}+"


def test_initial_moments_are_those_of_the_high_spin_ions(couple):
    for state in (couple.low, couple.high):
        assert state.magmom == high_spin_moment(couple.element, state.oxidation_state)


def test_surrogates_are_closed_shell_ions_with_the_charge_and_about_the_size_of_the_high_state(couple):
    ion = couple.surrogate
    assert ion.oxidation_state == couple.high.oxidation_state
    assert Element(ion.element).Z - ion.oxidation_state == ARGON_CORE + 10
    radius = Species(ion.element, ion.oxidation_state).get_shannon_radius("VI")
    # Six-fold V4+ has one tabulated radius, the others a high-spin one.
    spin = "" if couple.element == "V" else "High Spin"
    replaced = Species(couple.element, couple.high.oxidation_state).get_shannon_radius("VI", spin=spin)
    assert abs(radius - replaced) < LARGEST_RADIUS_DIFFERENCE


def test_windows_name_their_source_and_lie_between_the_states(couple):
    if couple.windows == "fit":
        return
    for window in couple.windows.values():
        assert len(window.source) > 10
        assert min(couple.low.magmom, couple.high.magmom) - 0.3 <= window.low_max
        assert window.high_min <= max(couple.low.magmom, couple.high.magmom)


def test_iron_has_the_published_window_and_the_others_are_fitted():
    vasp = shipped_couples()["Fe2+/Fe3+"].window("vasp")
    assert (vasp.low_max, vasp.high_min) == (3.80, 4.25)
    others = [couple for name, couple in shipped_couples().items() if name != "Fe2+/Fe3+"]
    assert all(couple.window("vasp") is None for couple in others)


def test_an_engine_without_a_window_of_its_own_borrows_none():
    assert shipped_couples()["Fe2+/Fe3+"].window("another engine") is None


def test_the_high_state_has_the_smaller_moment_in_manganese_and_vanadium():
    larger = {couple.element: couple.high_moment_is_larger for couple in shipped_couples().values()}
    assert larger == {"Fe": True, "Co": True, "Ni": True, "Mn": False, "V": False}


def test_state_gives_the_state_asked_for(couple):
    assert couple.state(True) is couple.high
    assert couple.state(False) is couple.low


def test_the_content_hash_covers_what_changes_energies_and_nothing_else():
    base = couples_of()["mine"].content_hash
    assert couples_of(windows="fit")["mine"].content_hash == base
    assert couples_of(high__magmom=1.0)["mine"].content_hash != base
    assert couples_of(surrogate__element="Al")["mine"].content_hash != base


def test_a_user_file_adds_couples_and_goes_before_the_shipped_ones(tmp_path):
    path = tmp_path / "couples.yaml"
    low_spin = copy.deepcopy(FE) | {"element": "Co", "high": {"oxidation_state": 3, "magmom": 0.0}}
    path.write_text(yaml.safe_dump({"Co2+/Co3+": low_spin, "own": FE}), encoding="utf-8")
    assert get_couple("Co2+/Co3+").high.magmom == 4.0
    assert get_couple("Co2+/Co3+", path).high.magmom == 0.0
    assert get_couple("own", path).element == "Fe"
    assert get_couple("Ni2+/Ni3+", path) == shipped_couples()["Ni2+/Ni3+"]
    assert "own" not in shipped_couples()


def test_an_unknown_couple_is_answered_with_the_known_ones():
    with pytest.raises(ValueError, match=r"unknown redox couple 'Cr2\+/Cr3\+'; known: Fe2\+/Fe3\+, .*`couples:`$"):
        get_couple("Cr2+/Cr3+")


def test_a_missing_user_file_is_one_line_with_its_name(tmp_path):
    with pytest.raises(ValueError, match=r"nowhere\.yaml: no such file of couples; check `couples:`$"):
        get_couple("Fe2+/Fe3+", tmp_path / "nowhere.yaml")


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"element": "Xx"}, "'Xx' is no element symbol"),
        ({"surrogate__element": "Gq"}, "'Gq' is no element symbol"),
        ({"low__oxidation_state": 3}, "must carry the larger charge: swap `low` and `high`"),
        ({"low__oxidation_state": 4}, "must carry the larger charge: swap `low` and `high`"),
        ({"surrogate__oxidation_state": 2}, r"surrogate Ga2\+ must have the charge of the high state, 3\+"),
        ({"surrogate__element": "Fe"}, "the surrogate must be another element than Fe"),
        ({"high__magmom": 4.0}, "both states have the same moment"),
        ({"high__magmom": -5.0}, r"high\.magmom: .* greater than or equal to 0 \(got -5\.0\)"),
        ({"high__magmom": float("inf")}, r"high\.magmom: .*finite"),
        ({"high__magmom": "five"}, r"high\.magmom: .*valid number.* \(got 'five'\)"),
        ({"low__oxidation_state": 2.5}, r"low\.oxidation_state: .*integer.* \(got 2\.5\)"),
        ({"low__spin": "high"}, r"unknown field 'low\.spin'"),
        ({"windows__vasp__low_max": 4.5}, r"low_max = 4\.5 must lie below high_min = 4\.25"),
        ({"windows__vasp__low_max": -1.0}, r"low_max = -1\.0 must lie below"),
        ({"windows": "guess"}, r"windows.*'fit'"),
    ],
)
def test_a_couple_that_contradicts_itself_is_refused_in_one_line(changes, problem):
    with pytest.raises(ValueError, match=rf"^mine\.yaml: couple mine: .*{problem}") as caught:
        couples_of(**changes)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("field", sorted(FE))
def test_a_missing_field_is_named(field):
    fields = {name: value for name, value in FE.items() if name != field}
    with pytest.raises(ValueError, match=rf"^mine\.yaml: couple mine: {field}: Field required$"):
        parse_couples(yaml.safe_dump({"mine": fields}), "mine.yaml")


def test_a_couple_that_is_no_mapping_is_refused():
    with pytest.raises(ValueError, match=r"^mine\.yaml: mine: expected `field: value` lines, got 3$"):
        parse_couples("mine: 3", "mine.yaml")


def test_unreadable_yaml_names_file_and_line():
    with pytest.raises(ValueError, match=r"^mine\.yaml, line 2: not readable as YAML"):
        parse_couples("a: [1\nb: 2", "mine.yaml")


@given(
    n_redox=st.integers(1, 60),
    fixed_charge=st.integers(-300, 300),
    name=st.sampled_from(sorted(shipped_couples())),
)
def test_n_high_balances_the_cell_or_says_that_nothing_does(n_redox, fixed_charge, name):
    couple = shipped_couples()[name]
    low, high = couple.low.oxidation_state, couple.high.oxidation_state
    balancing = [n for n in range(n_redox + 1) if fixed_charge + n * high + (n_redox - n) * low == 0]
    if balancing:
        assert [couple.n_high(fixed_charge, n_redox)] == balancing
    else:
        with pytest.raises(ValueError, match="neutrality asks for"):
            couple.n_high(fixed_charge, n_redox)


def test_n_high_that_is_not_whole_is_refused_with_its_value():
    couple = couples_of(high__oxidation_state=4, surrogate__element="Ge", surrogate__oxidation_state=4)["mine"]
    assert couple.n_high(-10, 4) == 1
    with pytest.raises(ValueError, match=rf"asks for {Fraction(3, 2)} Fe4\+ on 4 sites .*carry -11 e.* that balance"):
        couple.n_high(-11, 4)


@pytest.mark.parametrize(("fixed_charge", "count"), [(-7, -1), (-13, 5)])
def test_n_high_out_of_range_is_refused_with_its_value(fixed_charge, count):
    with pytest.raises(ValueError, match=rf"neutrality asks for {count} Fe3\+ on 4 sites"):
        shipped_couples()["Fe2+/Fe3+"].n_high(fixed_charge, 4)


def test_every_sodium_content_of_a_cell_is_neutral_by_pymatgens_own_sum():
    cell = HostSupercell.build(get_host("olivine-NaFePO4"), [1, 2, 1])
    couple = shipped_couples()["Fe2+/Fe3+"]
    for n_working in range(9):
        structure, n_high = cell.structure, cell.n_high(n_working, couple)
        charges = [{"Na": 1, "P": 5, "O": -2, "Fe": 2}[site.specie.symbol] for site in structure]
        for site in cell.redox_sites[:n_high]:
            charges[site] = 3
        structure = structure.copy()
        structure.add_oxidation_state_by_site(charges)
        structure.remove_sites(cell.working_sites[n_working:].tolist())
        assert structure.charge == 0
        assert n_high == 8 - n_working
