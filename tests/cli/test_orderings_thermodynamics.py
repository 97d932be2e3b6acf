"""`valenceflow orderings thermodynamics`: tables, JSON, pictures, mistakes."""

import json
from xml.etree import ElementTree

import numpy as np
import pytest

OLIVINE = "olivine-NaFePO4"
SCREENED = ("--dielectric", "11.4")
K = 8.617333262e-5  # eV/K


@pytest.fixture
def answer(call):
    """Function that runs `valenceflow orderings thermodynamics` and returns what it printed."""

    def run(*arguments, as_json=False):
        found = call("orderings", "thermodynamics", *arguments, *(["--json"] if as_json else []))
        assert found.code == 0, found
        return json.loads(found.out) if as_json else found.out

    return run


def test_the_small_cell_at_one_half_is_summed_by_hand(answer, call):
    """36 joint arrangements, their energies from `rank` with multiplicities."""
    listed = json.loads(call("orderings", "rank", OLIVINE, "-x", "1/2", "-n", 10, *SCREENED, "--json").out)["rows"]
    energies = np.array([row["energy"] for row in listed])
    numbers = np.array([row["multiplicity"] * row["working_multiplicity"] for row in listed])
    found = answer(OLIVINE, "-x", "1/2", "-T", "100,1000", *SCREENED, as_json=True)
    (one,) = found["compositions"]
    assert (found["kind"], found["formula_units"], found["model"], found["sampling"]) == (
        "joint",
        4,
        "electrostatics",
        None,
    )
    assert (one["method"], one["n_lowest"], one["errors"]) == ("exact", numbers[energies == energies.min()].sum(), None)
    for place, kelvin in enumerate((100.0, 1000.0)):
        chance = numbers * np.exp(-(energies - energies.min()) / (K * kelvin))
        assert one["free_energy"][place] == pytest.approx(energies.min() - K * kelvin * np.log(chance.sum()), abs=1e-8)
        assert one["energy"][place] == pytest.approx(chance @ energies / chance.sum(), abs=1e-8)


def test_every_composition_has_a_row_and_a_place_against_the_hull(answer):
    found = answer(OLIVINE, "-T", "50:3000:5", *SCREENED, as_json=True)
    assert [one["fraction"] for one in found["compositions"]] == [0, 0.25, 0.5, 0.75, 1]
    mixing, hull = np.array(found["free_energy_of_mixing_ev_per_fu"]), np.array(found["hull_ev_per_fu"])
    assert mixing.shape == hull.shape == (5, 5)
    assert (mixing >= hull - 1e-12).all()
    shown = answer(OLIVINE, "-T", "50:3000:5", *SCREENED)
    assert "5 compositions" in shown
    assert "* on the hull" in shown


def test_charges_at_one_working_ion_ordering(answer):
    found = answer(OLIVINE, "-s", "1,2,1", "--at", "0f", "-T", "300", *SCREENED, as_json=True)
    assert (found["kind"], found["at"]) == ("charges", "0f")
    assert found["compositions"][0]["ln_arrangements"] == pytest.approx(np.log(70))


def test_what_is_sampled_has_errors_and_says_so(answer):
    exact, sampled = (
        answer(OLIVINE, "-x", "1/2", "-T", "300,900", *SCREENED, *more, as_json=True)
        for more in ((), ("--sampled", "--sweeps", "40"))
    )
    one, other = exact["compositions"][0], sampled["compositions"][0]
    assert sampled["sampling"] == {"sets": 8, "sweeps": 40, "seed": 0}
    assert other["method"] == "sampled"
    for place in range(2):
        assert abs(one["energy"][place] - other["energy"][place]) < 8 * other["errors"]["energy"][place]
    assert "±" in answer(OLIVINE, "-x", "1/2", "-T", "300,900", *SCREENED, "--sampled", "--sweeps", "40")


def test_unscreened_charges_say_that_their_temperatures_are_too_high(answer):
    assert "unscreened: temperatures are too high" in answer(OLIVINE, "-x", "1/2")
    assert "unscreened" not in answer(OLIVINE, "-x", "1/2", *SCREENED)


def test_a_range_without_a_peak_says_so(answer):
    assert "no peak of the heat capacity between 2000 and 2100 K" in answer(
        OLIVINE, "-x", "1/2", *SCREENED, "-T", "2000:2100:3"
    )
    assert "one arrangement only" in answer(OLIVINE, "-x", "1", *SCREENED, "--sampled", "--sweeps", "10")
    assert "order-disorder temperature of this supercell: 37 K" in answer(OLIVINE, "-x", "1/2", *SCREENED)


@pytest.mark.parametrize("suffix", [".svg", ".png", ".pdf"])
def test_the_picture_says_whose_energies_it_shows(answer, tmp_path, suffix):
    path = tmp_path / f"picture{suffix}"
    assert f"drawn in {path}" in answer(OLIVINE, *SCREENED, "--figure", path)
    content = path.read_bytes()
    assert content.startswith({".svg": b"<?xml", ".png": b"\x89PNG", ".pdf": b"%PDF"}[suffix])
    if suffix == ".svg":
        comments = [str(node.text) for node in ElementTree.fromstring(content).iter() if node.text]
        assert any("5 compositions, exact" in text for text in [*comments, content.decode()])
        assert "formal charges, relative permittivity 11.4: not DFT" in content.decode()
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("-T", "100:50:9"), "--temperatures '100:50:9': write LOW:HIGH:NUMBER in K"),
        (("-T", "0"), "all of 0.001 to 1000000 K"),
        (("-T", "1e300"), "all of 0.001 to 1000000 K"),
        (("-T", "1:1e7:5"), "all of 0.001 to 1000000 K"),
        (("-x", "1/2", "-x", "1/4"), "-x is given 2 times: give one composition, or none"),
        (("-T", "warm"), "--temperatures 'warm'"),
        (("-T", "1:2:3:4"), "--temperatures '1:2:3:4'"),
        (("-T", "1:2:2.5"), "--temperatures '1:2:2.5'"),
        (("-T", "1:2:99999"), "at most 2000"),
        (("-T", "nan"), "--temperatures 'nan'"),
        (("--figure", "picture.bmp"), "picture.bmp: name a file .svg, .png, .pdf"),
        (("-x", "1/3"), "fraction 1/3 of 4 Na sites is 1.333"),
        (("-x", "1", "--figure", "a.svg"), "one arrangement only: there is nothing to draw"),
        (("--model", "none.json"), "none.json: no such file"),
        (("--dielectric", "-1"), "dielectric = -1.0 must be a positive number"),
    ],
    ids=str,
)
def test_a_mistake_is_one_line(refused, arguments, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert said in refused("orderings", "thermodynamics", OLIVINE, *arguments)
    assert not list(tmp_path.iterdir())


def test_nothing_is_shown_as_minus_zero(answer):
    """Cold, the free energy lies below the lowest ordering by less than what is shown."""
    assert "-0.00" not in answer(OLIVINE, "-x", "1/2", "-T", "0.1,0.2", *SCREENED)


@pytest.mark.parametrize("columns", [40, 60, 80])
def test_no_terminal_is_too_narrow_for_the_compositions_or_the_temperatures(answer, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    shown = answer(OLIVINE, "-T", "50:3000:5", *SCREENED)
    assert "…" not in shown
    for x in ("0", "0.25", "0.5", "0.75", "1"):
        assert sum(line.split()[:1] == [x] for line in shown.splitlines()) == 2
    one = answer(OLIVINE, "-x", "1/2", "-T", "100,300", *SCREENED)
    assert "…" not in one
    assert any(line.split()[:1] == ["300"] for line in one.splitlines())


def test_a_picture_that_cannot_be_written_is_refused_before_the_work(refused, tmp_path, monkeypatch):
    (tmp_path / "afile").touch()
    monkeypatch.setattr("valenceflow.cli.orderings_thermodynamics.read_subject", pytest.fail)
    said = refused("orderings", "thermodynamics", OLIVINE, "--figure", tmp_path / "afile" / "x.svg")
    assert f"{tmp_path / 'afile'} is a file and no folder, so" in said


def test_a_negative_seed_is_told_by_its_option(call):
    answer = call("orderings", "thermodynamics", OLIVINE, "--sampled", "--seed", "-1")
    assert answer.code == 2
    assert "--seed" in answer.err
