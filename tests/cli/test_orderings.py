"""`valenceflow orderings`: the numbers of the literature, files that come back, and one line for every mistake."""

import csv
import json

import numpy as np
import pytest
from pymatgen.core import Structure

OLIVINE = "olivine-NaFePO4"
SMALL = (OLIVINE, "--fraction", "1/2")
PAPER = (OLIVINE, "--supercell", "1,3,2")


@pytest.fixture
def answer(call):
    """Function that runs `valenceflow orderings` and returns what it printed; with json=True, as values."""

    def run(*arguments, as_json=False):
        found = call("orderings", *arguments, *(["--json"] if as_json else []))
        assert found.code == 0, found
        return json.loads(found.out) if as_json else found.out

    return run


@pytest.fixture
def refusal(refused):
    """Function that runs `valenceflow orderings`, which must refuse in one line; returns the line."""

    def run(*arguments):
        return refused("orderings", *arguments)

    return run


def keys(found):
    return [row["key"] for row in found["rows"]]


# count
def test_counts_of_the_papers_cell_at_every_sodium_content(answer):
    counts = {round(c["fraction"] * 24): c for c in answer("count", *PAPER, as_json=True)}
    assert len(counts) == 25
    assert counts[16]["joint_distinct"] == 11_269_366_602
    assert counts[16]["joint_raw"] == 540_917_591_841
    assert (counts[16]["working_raw"], counts[16]["working_distinct"]) == (735_471, 15_622)
    assert sum(c["working_distinct"] for c in counts.values()) == 353_049


@pytest.mark.parametrize("columns", [200, 80, 60, 20])
def test_keys_and_energies_are_whole_however_narrow_the_terminal(columns, answer, monkeypatch):
    arguments = ("sample", *PAPER, "--fraction", "23/24", "--at", "lowest", "-n", "2")  # keys as long as any
    rows = answer(*arguments, as_json=True)["rows"]
    monkeypatch.setenv("COLUMNS", str(columns))
    printed = answer(*arguments)
    assert "…" not in printed
    for row in rows:
        assert row["key"] in printed
        assert f"{row['energy']:.4f}" in printed


def test_what_energies_are_told_above_is_said(answer, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    assert "lowest of these" in answer("sample", *SMALL, "-n", "2")
    assert "lowest of these" not in answer("sample", *SMALL, "-n", "2", "--lowest", "1")
    assert answer("sample", *SMALL, "-n", "2", as_json=True)["energies_above"] == "lowest of these"


def test_counts_fit_a_narrow_terminal_without_cutting_a_number(answer, monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    shown = answer("count", *PAPER, "--fraction", "2/3")
    assert "11,269,366,602" in shown
    assert "15,622" in shown
    assert "48 operations" in shown


def test_counts_that_nobody_can_read_are_told_by_their_power_of_ten(answer, refusal):
    large = (OLIVINE, "--supercell", "4,4,4", "--fraction", "1/2")
    shown = answer("count", *large)
    assert "…" not in shown
    assert "6.50e148" in shown
    (count,) = answer("count", *large, as_json=True)
    assert str(count["joint_distinct"]).startswith("64994969963590588945975941396570481746")
    assert "6.50e148 distinct orderings of Na256" in refusal("list", *large)


def test_the_count_at_a_sodium_ordering_is_modulo_its_symmetry(answer):
    (count,) = answer("count", *PAPER, "--at", "3cf3dd", as_json=True)
    assert count["charge_distinct"] == 735_471
    (count,) = answer("count", OLIVINE, "--at", "6", as_json=True)
    assert (count["charge_raw"], count["charge_distinct"], count["working_distinct"]) == (6, 3, 3)


# list
def test_the_small_cell_has_ten_orderings_at_one_half(answer):
    found = answer("list", *SMALL, as_json=True)
    assert (found["arrangements"], found["distinct"], len(found["rows"])) == (36, 10, 10)
    assert sum(row["multiplicity"] * row["working_multiplicity"] for row in found["rows"]) == 36
    assert keys(found) == sorted(keys(found))
    assert "10 distinct" in answer("list", *SMALL)


def test_working_ions_are_listed_alone(answer):
    found = answer("list", *SMALL, "--ions-only", as_json=True)
    assert keys(found) == ["3.free", "5.free", "6.free"]


def test_a_listing_goes_to_csv_and_to_json_lines(answer, tmp_path):
    assert "10 written" in answer("list", *SMALL, "--output", tmp_path / "a.csv")
    answer("list", *SMALL, "--output", tmp_path / "a.jsonl")
    with (tmp_path / "a.csv").open() as file:
        rows = list(csv.DictReader(file))
    lines = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines()]
    assert [row["key"] for row in rows] == [line["key"] for line in lines] == keys(answer("list", *SMALL, as_json=True))
    assert [int(row["multiplicity"]) for row in rows] == [line["multiplicity"] for line in lines]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.csv", "a.jsonl"]


def test_a_long_table_says_how_to_see_the_rest(answer):
    shown = answer("list", OLIVINE, "-s", "1,2,1", "-x", "1/2", "--limit", "5")
    assert "5 of 344 shown; --output FILE.csv writes all" in shown


# rank, optimum, sample
def test_the_rank_of_everything_is_the_listing_by_energy(answer):
    listed, ranked = answer("list", *SMALL, as_json=True), answer("rank", *SMALL, "--best", 10, as_json=True)
    assert sorted(keys(ranked)) == keys(listed)
    energies = [row["energy"] for row in ranked["rows"]]
    assert energies == sorted(energies)
    assert ranked["proven"] is True
    assert ranked["rows"][0]["energy_mev_per_fu"] == 0


def test_a_dielectric_constant_scales_energies_and_changes_no_rank(answer):
    bare = answer("rank", *SMALL, as_json=True)
    screened = answer("rank", *SMALL, "--dielectric", 11.4, as_json=True)
    assert keys(bare) == keys(screened)
    for one, other in zip(bare["rows"], screened["rows"], strict=True):
        assert other["energy_mev_per_fu"] == pytest.approx(one["energy_mev_per_fu"] / 11.4, abs=1e-6)


def test_the_optimum_is_the_first_of_the_rank(answer, tmp_path):
    first = answer("rank", *SMALL, "--best", 1, as_json=True)
    found = answer("optimum", *SMALL, as_json=True)
    assert found["rows"] == first["rows"]
    assert found["proven"] is True
    assert "proven over 36 pairs" in answer("optimum", *SMALL, "-o", tmp_path / "best.cif")
    named = answer("key", OLIVINE, tmp_path / "best.cif", as_json=True)
    assert named[0]["key"] == first["rows"][0]["key"]


def test_a_space_too_large_to_visit_says_best_found_and_how_often(answer):
    large = (OLIVINE, "-s", "1,3,4", "--at", "ffffffff0000")
    shown = answer("optimum", *large)
    assert "2,254,848,913,647 arrangements" in shown
    assert "annealing starts ended here" in shown
    found = answer("rank", *large, "--best", 3, as_json=True)
    assert found["proven"] is False
    assert len(set(keys(found))) == 3
    assert "3 lowest, best found (too many to visit)" in answer("rank", *large, "--best", 3)


def test_a_space_too_large_to_list_is_sampled_all_the_same(answer):
    """Jointly: 48 sodium and 48 iron sites."""
    found = answer("sample", OLIVINE, "-n", 3, "-s", "1,3,4", "-x", "2/3", "--seed", 31, as_json=True)
    assert len(set(keys(found))) == 3
    assert all(row["strata"] == ["sample"] for row in found["rows"])


def test_a_sample_grows_and_leaves_its_reference_out_of_statistics(answer, tmp_path):
    where = (OLIVINE, "-s", "1,2,1", "-x", "1/2", "--at", "lowest", "--seed", 7)
    answer("optimum", *where[:-2], "-o", tmp_path / "best.cif")
    few = answer("sample", *where, "-n", 3, as_json=True)
    more = answer("sample", *where, "-n", 6, as_json=True)
    assert keys(more)[:3] == keys(few)
    found = answer("sample", *where, "-n", 6, "--reference", tmp_path / "best.cif", "--lowest", 2, as_json=True)
    flagged = [row for row in found["rows"] if "reference" in row["strata"]]
    assert [row["strata"] for row in flagged] == [["reference", "lowest"]]
    assert not flagged[0]["in_statistics"]
    assert sum(row["strata"] == ["sample"] for row in found["rows"]) == 6
    assert all(row["energy"] is not None for row in found["rows"])


def test_a_sample_written_as_cifs_comes_back_by_its_keys(answer, tmp_path):
    folder = tmp_path / "picked"
    answer("sample", OLIVINE, "-s", "1,2,1", "-x", "1/2", "-n", 5, "--seed", 1, "-o", folder)
    files = sorted(folder.glob("*.cif"))
    assert len(files) == 5
    assert (folder / "index.csv").exists()
    for row in answer("key", OLIVINE, *files, "--supercell", "1,2,1", as_json=True):
        assert f"-{row['key']}.cif" in row["file"]
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]
    structure = Structure.from_file(files[0])
    assert {str(specie) for specie in structure.species} == {"Na+", "Fe2+", "Fe3+", "P5+", "O2-"}


# key
def test_structures_that_are_one_ordering_are_said_to_be(answer, half_filled, cif_with_charges, tmp_path):
    """(0, 1) and (2, 3) of the iron are images of each other at the sodium ordering 3."""
    names = []
    for name, high in (("a", (0, 1)), ("b", (2, 3)), ("c", (0, 2))):
        cif_with_charges(half_filled(high=high), tmp_path / f"{name}.cif")
        names.append(tmp_path / f"{name}.cif")
    found = answer("key", OLIVINE, *names, as_json=True)
    same = found[0]["key"] == found[1]["key"]
    assert (found[1]["same_as"] == str(names[0])) is same
    assert found[2]["key"] != found[0]["key"]
    assert found[0]["supercell"] == [[1, 0, 0], [0, 1, 0], [0, 0, 1]]
    assert found[0]["displacement"] == pytest.approx(0, abs=1e-3)


def test_a_host_from_a_cif_counts_as_the_shipped_one(answer, olivine, tmp_path):
    olivine.host.structure.copy().relabel_sites().to(filename=str(tmp_path / "own.cif"))
    own = (tmp_path / "own.cif", "--couple", "Fe2+/Fe3+", "--working-ion", "Na", "--oxidation-states", "Na=1,P=5,O=-2")
    shipped = answer("count", OLIVINE, as_json=True)
    assert answer("count", *own, as_json=True) == shipped
    assert answer("count", *own[:-1], "{Na: 1, P: 5, O: -2}", as_json=True) == shipped


def test_a_campaign_says_host_supercell_couple_and_fraction(answer, write_campaign, tmp_path):
    path = write_campaign(tmp_path)
    assert keys(answer("list", path, as_json=True)) == keys(answer("list", *SMALL, as_json=True))


# Mistakes.
@pytest.mark.parametrize(
    ("arguments", "wrong", "way_out"),
    [
        (("list", OLIVINE), "say --fraction", "4 Na sites"),
        (("list", OLIVINE, "-x", "1/3"), "fraction 1/3 of 4 Na sites is 1.333", "1/4 and 1/2"),
        (("list", OLIVINE, "-x", "half"), "'half'", "0.5 or 2/3"),
        (("list", *PAPER, "-x", "2/3"), "11,269,366,602 distinct orderings", "rank the lowest"),
        (("list", OLIVINE, "-s", "1,3,4", "-x", "2/3", "--ions-only"), "too many to list", "sample them"),
        (("list", OLIVINE, "-x", "1/2", "--at", "6", "--ions-only"), "its charge orderings are meant", ""),
        (("list", OLIVINE, "-x", "1/4", "--at", "6"), "has 2 Na where fraction 1/4 asks for 1", "leave the fraction"),
        (("list", OLIVINE, "--at", "zz"), "'zz' is no hexadecimal ordering", "orderings list"),
        (("list", OLIVINE, "--at", "ffff"), "does not describe 4 sites", "another supercell"),
        (("list", OLIVINE, "--at", "nowhere.cif"), "nowhere.cif: no such file", ""),
        (("list", *SMALL, "-s", "1,2"), "supercell must be", "3x3 matrix"),
        (("list", *SMALL, "-s", "a,b,c"), "--supercell 'a,b,c'", "1,1,0;0,3,0;0,0,1"),
        (("list", *SMALL, "--couple", "Mn2+/Mn3+"), "not of olivine-NaFePO4", "take a CIF"),
        (("list", *SMALL, "--working-ion", "Na"), "--working-ion is fixed by the shipped host", "leave it out"),
        (("list", *SMALL, "-o", "in-the-way/a.csv"), "in-the-way", ""),
        (("count", "perovskite"), "unknown host 'perovskite'", "give the path of a CIF"),
        (("count", "nowhere.cif"), "say --couple", "--working-ion"),
        (("sample", *SMALL, "-n", 99), "sample = 99 but only 10", "{all: true}"),
        (("sample", *SMALL, "-n", 2, "--weight", "energy"), "weight = 'energy'", "arrangements, orbits"),
        (("rank", *SMALL, "--dielectric", 0), "dielectric = 0", "positive"),
        (("key", OLIVINE, "nowhere.cif"), "nowhere.cif: no such file", ""),
    ],
    ids=str,
)  # fmt: skip
def test_a_mistake_is_one_line_with_its_value_and_the_way_out(
    arguments, wrong, way_out, refusal, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in-the-way").write_text("no folder")
    said = refusal(*arguments)
    assert wrong in said
    assert way_out in said


def test_a_structure_of_another_crystal_is_refused_with_its_file(refusal, olivine, tmp_path):
    other = olivine.structure.copy().remove_site_property("host_site").replace_species({"P": "V"}).relabel_sites()
    other.to(filename=str(tmp_path / "other.cif"))
    said = refusal("key", OLIVINE, tmp_path / "other.cif")
    assert "other.cif: Na4 V4 Fe4 O16 is no ordering of olivine-NaFePO4" in said


def test_a_structure_that_fills_no_supercell_is_refused_with_both_lattices(refusal, olivine, tmp_path):
    odd = olivine.structure.copy().remove_site_property("host_site").relabel_sites()
    odd.apply_strain([0, 0.3, 0]).to(filename=str(tmp_path / "odd.cif"))
    said = refusal("key", OLIVINE, tmp_path / "odd.cif")
    assert "10.41 8.08 4.95" in said
    assert "10.41 6.22 4.95" in said


def test_moments_of_a_shared_hole_are_refused(refusal, half_filled, tmp_path):
    structure = half_filled()
    structure.remove_site_property("oxidation_state")
    structure.add_site_property("magmom", [3.95 if site.specie.symbol == "Fe" else 0.0 for site in structure])
    (tmp_path / "shared.json").write_text(structure.to_json())
    said = refusal("key", OLIVINE, tmp_path / "shared.json")
    assert "shared.json: the moments do not tell the charge ordering" in said
    assert "write oxidation states instead" in said


def test_unbalanced_charges_are_refused(refusal, half_filled, cif_with_charges, tmp_path):
    cif_with_charges(half_filled(high=(0, 1, 2)), tmp_path / "unbalanced.cif")
    said = refusal("key", OLIVINE, tmp_path / "unbalanced.cif")
    assert "3 of 4 Fe sites are Fe3+ where neutrality asks for 2" in said


def test_a_cif_whose_charges_nobody_confirmed_is_refused_with_the_option(refusal, olivine, tmp_path):
    olivine.host.structure.copy().relabel_sites().to(filename=str(tmp_path / "own.cif"))
    said = refusal("count", tmp_path / "own.cif", "--couple", "Fe2+/Fe3+", "--working-ion", "Na")
    assert "{Na: 1, P: 5, O: -2}" in said
    assert "--oxidation-states" in said


OWN = ("--couple", "Fe2+/Fe3+", "--working-ion", "Na", "--oxidation-states")


def test_a_cif_that_lost_its_symmetry_says_how_many_operations_there_are(refusal, answer, olivine, tmp_path):
    noise = np.random.default_rng(3).uniform(-0.02, 0.02, (28, 3))  # A
    ideal, path = olivine.host.structure, tmp_path / "own.cif"
    noisy = Structure(ideal.lattice, ideal.species, ideal.cart_coords + noise, coords_are_cartesian=True)
    noisy.relabel_sites().to(filename=str(path))
    said = refusal("count", path, *OWN, "Na=1,P=5,O=-2")
    assert "1 symmetry operations at 0.01 A but 8 at 0.1 A" in said
    assert "8 operations" in answer("count", path, *OWN, "Na=1,P=5,O=-2", "--symprec", "0.1")


@pytest.mark.filterwarnings("ignore:Site labels are not unique")  # of the two elements on one site, by pymatgen
def test_a_site_that_mixes_elements_is_refused(refusal, olivine, tmp_path):
    mixed = olivine.host.structure.copy()
    mixed[int(olivine.redox_sites[0])] = {"Fe": 0.5, "Mn": 0.5}
    mixed.relabel_sites().to(filename=str(tmp_path / "own.cif"))
    said = refusal("count", tmp_path / "own.cif", *OWN, "Na=1,P=5,O=-2")
    assert "mixes" in said
    assert "order it first" in said


def test_charges_that_cannot_balance_are_refused(refusal, olivine, tmp_path):
    """Phosphorus as 4+: four more holes than sites."""
    olivine.host.structure.copy().relabel_sites().to(filename=str(tmp_path / "own.cif"))
    said = refusal("list", tmp_path / "own.cif", *OWN, "Na=1,P=4,O=-2", "-x", "1/2")
    assert "neutrality asks for" in said
    assert "on 4 sites" in said


def test_a_folder_that_holds_something_is_not_written_into(refusal, tmp_path):
    (tmp_path / "picked").mkdir()
    (tmp_path / "picked" / "mine.txt").write_text("mine")
    assert "is not empty" in refusal("list", *SMALL, "-o", tmp_path / "picked")
    assert [path.name for path in (tmp_path / "picked").iterdir()] == ["mine.txt"]


def test_hosts_and_couples_complete():
    from valenceflow.cli.ordering_subject import complete_couple, complete_host

    assert OLIVINE in complete_host("oli")
    assert complete_couple("Fe") == ["Fe2+/Fe3+"]
