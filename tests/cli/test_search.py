"""`valenceflow search`: run, gone on with, shown; one line for every mistake."""

import json

import pytest

ONLY_COMPOSITIONS = [
    word for name in ("cut_and_splice=0", "permutation=0", "symmetric_permutation=0") for word in ("--set", name)
]
SMALL = ("olivine-NaFePO4", "--supercell", "1,2,1", "--model", "electrostatics")


@pytest.fixture
def searched(call):
    def run(*arguments):
        found = call("search", "run", *SMALL, *arguments)
        assert found.code == 0, found
        return found.out

    return run


def test_a_search_ends_with_the_best_found_and_is_shown_again(searched, call, tmp_path):
    out = searched("-x", "1/2", "--to", tmp_path / "s")
    assert "hybrid over ions under electrostatics: 10 evaluated, 0 failed" in out
    assert "best found: nothing proves that there are no lower ones" in out
    lowest = json.loads(call("orderings", "optimum", "olivine-NaFePO4", "-s", "1,2,1", "-x", "1/2", "--json").out)
    shown = json.loads(call("search", "show", tmp_path / "s", "--json").out)
    assert shown["orderings"][0]["key"] == lowest["rows"][0]["key"]
    assert shown["orderings"][0]["energy"] == pytest.approx(lowest["rows"][0]["energy"], abs=1e-9)


def test_a_search_goes_on_beyond_its_limit(searched, tmp_path):
    options = ("-x", "all", "--to", tmp_path / "s", "--searcher", "descent")
    out = searched(*options, "--at-most", "5")
    assert "5 evaluated" in out
    assert "with a larger --at-most goes on" in out
    searched(*options)
    keys = [json.loads(line)["key"] for line in (tmp_path / "s" / "evaluations.jsonl").read_text().splitlines()]
    assert len(set(keys)) == len(keys) > 5


@pytest.mark.parametrize("orderings", ["ions", "both"])
def test_the_papers_genetic_algorithm_has_relative_energies_of_every_composition(searched, orderings, tmp_path):
    small = ("--set", "population=20", "--set", "offspring=5", "--set", "generations=2")
    out = searched("-x", "all", "--to", tmp_path / "s", "--searcher", "paper-2026", "--orderings", orderings, *small)
    assert "above hull" in out
    ends = [line.split() for line in out.splitlines() if "00.ff" in line or "ff.00" in line]
    assert [line[3:] for line in ends] == [["0.00", "0.00"], ["0.00", "0.00"]]


def test_charges_are_searched_at_one_working_ion_ordering(searched, tmp_path):
    out = searched("--orderings", "charges", "--at", "lowest", "-x", "1/2", "--to", tmp_path / "s")
    assert "3c.33" in out


def test_charges_are_nested_in_a_hybrid_search_over_both(searched, tmp_path):
    assert "3c.33" in searched("--orderings", "both", "-x", "1/2", "--to", tmp_path / "s")
    assert json.loads((tmp_path / "s" / "settings.json").read_text())["nested"]["refined"] == 3


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("-x", "1/2"), "say where the search is kept: --to FOLDER"),
        (("-x", "1/2", "-x", "0", "--to", "s"), "x = 1 is not among them: add --fraction 1"),
        (
            ("-x", "1/2", "--to", "s", "--searcher", "annealing"),
            "searcher 'annealing' is unknown; choose",
        ),
        (("-x", "1/2", "--to", "s", "--set", "populaton=3"), "hybrid has no setting 'populaton'; it has"),
        (("-x", "1/2", "--to", "s", "--set", "start=many"), "write NAME=NUMBER"),
        (("-x", "all", "--to", "s", "--searcher", "paper-2026", "--set", "population=1"), "cut-and-splice pairs two"),
        (("-x", "all", "--to", "s", "--searcher", "paper-2026", "--set", "population=5"), "smaller than the 9 compos"),
        (("-x", "1/2", "--to", "s", "--orderings", "charges"), "say at which working-ion ordering"),
        (("-x", "1/2", "--to", "s", "--orderings", "spins"), "not 'spins'"),
        (("-x", "1/2", "--to", "s", "--charges", "formal"), "--charges 'formal': choose electrostatics or free"),
        (("-x", "1/2", "--to", "s", "--orderings", "both", "--charges", "free"), "with both charges are searched"),
        (("-x", "1/2", "-x", "1/4", "--to", "s", "--orderings", "charges", "--at", "lowest"), "not 1/2, 1/4"),
        (("-x", "1/2", "--to", "s", "--set", "start=2.5"), "start = 2.5 must be a whole number"),
        (("-x", "1/2", "--to", "s", "--set", "patience=-1"), "patience = -1 must be at least 0"),
        (
            ("-x", "1/2", "--to", "s", "--searcher", "paper-2026", *ONLY_COMPOSITIONS),
            "composition mutation is the only operator with a weight",
        ),
    ],
)
def test_a_mistake_is_one_line_and_leaves_nothing(refused, monkeypatch, tmp_path, arguments, line):
    monkeypatch.chdir(tmp_path)
    assert line in refused("search", "run", *SMALL, *arguments)
    assert list(tmp_path.iterdir()) == []


def test_electrostatics_without_charges_says_what_to_take(refused, tmp_path):
    free = ("-x", "1/2", "--to", tmp_path / "s", "--charges", "free")
    assert "search with charges, or with a potential" in refused("search", "run", *SMALL, *free)


@pytest.mark.parametrize("option", ["--seed=-1", f"--seed={2**32}", "--fmax=inf"])
def test_a_number_out_of_range_is_refused_by_its_option(call, option, tmp_path):
    answer = call("search", "run", *SMALL, "-x", "1/2", "--to", tmp_path / "s", option)
    assert answer.code == 2
    assert f"Invalid value for '{option.partition('=')[0]}'" in answer.err


@pytest.mark.parametrize(
    ("file", "content", "line"),
    [
        ("settings.json", "{}", "lacks host_content"),
        ("settings.json", "[]", "holds a list where an object belongs"),
        ("subject.json", "{}", "does not name a host"),
        ("subject.json", '{"host": "olivine', "cannot be read"),
        ("subject.json", '{"host": "olivine-NaFePO4", "supercell": "2,1,1"}', "names a host with supercell"),
    ],
)
def test_a_damaged_search_is_one_line(searched, refused, tmp_path, file, content, line):
    searched("-x", "1/2", "--to", tmp_path / "s")
    (tmp_path / "s" / file).write_text(content)
    for command in (("show", tmp_path / "s"), ("select", tmp_path / "s", "--to", tmp_path / "n.yaml")):
        said = refused("search", *command)
        assert line in said
        assert file in said
    assert not (tmp_path / "n.yaml").exists()


def test_a_narrow_terminal_shows_compositions_and_keys_whole(searched, call, monkeypatch, tmp_path):
    few = ("--searcher", "descent", "--at-most", "30")
    searched("-x", "all", "--to", tmp_path / "s", *few)
    monkeypatch.setenv("COLUMNS", "40")
    shown = call("search", "show", tmp_path / "s", "-n", "1").out
    rows = json.loads(call("search", "show", tmp_path / "s", "--json").out)["orderings"]
    for fraction in {row["fraction"] for row in rows}:
        assert any(line.split()[:1] == [f"{fraction:.4g}"] for line in shown.splitlines()), shown


def test_a_search_with_other_settings_is_refused_with_the_difference(searched, refused, tmp_path):
    searched("-x", "1/2", "--to", tmp_path / "s")
    line = refused("search", "run", *SMALL, "-x", "1/2", "--to", tmp_path / "s", "--seed", "3")
    assert "other settings (seed 0 -> 3)" in line
    assert "holds no search" in refused("search", "show", tmp_path)


def test_searches_that_do_not_compare_are_not_shown_together(searched, call, refused, tmp_path):
    searched("-x", "1/2", "--to", tmp_path / "a")
    searched("-x", "3/4", "--to", tmp_path / "b")
    assert "11 evaluated" not in call("search", "show", tmp_path / "a").out
    both = json.loads(call("search", "show", tmp_path / "a", tmp_path / "b", "--json").out)
    assert {row["fraction"] for row in both["orderings"]} == {0.5, 0.75}
    assert (
        call("search", "run", "olivine-NaFePO4", "-m", "electrostatics", "-x", "1/2", "--to", tmp_path / "c").code == 0
    )
    assert "differ in supercell" in refused("search", "show", tmp_path / "a", tmp_path / "c")


@pytest.mark.parametrize("kind", ["ions", "both"])
def test_a_selection_is_a_campaign_that_runs(searched, call, kind, tmp_path):
    searched("-x", "1/2", "--to", tmp_path / "s", "--orderings", kind)
    reference = tmp_path / "reference.cif"
    assert call("orderings", "list", "olivine-NaFePO4", "-s", "1,2,1", "--at", "3c", "-o", tmp_path / "cifs").code == 0
    sorted((tmp_path / "cifs").glob("*.cif"))[-1].rename(reference)
    campaign = tmp_path / "next.yaml"
    options = ("--lowest", "2", "--highest", "1", "--extra", "1/2=1", "--diverse", "1", "--reference", reference)
    found = call("search", "select", tmp_path / "s", "--to", campaign, *options)
    assert found.code == 0, found
    assert found.out.startswith("6 orderings (")
    dry = call("run", campaign, "--dry-run", tmp_path / "inputs")
    assert dry.code == 0, dry
    assert "8 configurations" in dry.out
    assert "there already" in call("search", "select", tmp_path / "s", "--to", campaign).err


def test_a_selection_without_a_campaign_file_is_refused(searched, refused, tmp_path):
    searched("-x", "1/2", "--to", tmp_path / "s")
    assert "--to NAME.yaml" in refused("search", "select", tmp_path / "s")
    assert "write FRACTION=NUMBER" in refused("search", "select", tmp_path / "s", "--to", "a.yaml", "--extra", "2/3")
