"""Numbers alone: bond valences of measured crystals, rankings, errors, hulls."""

import numpy as np
import pytest
from ase.spacegroup import crystal
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.analysis.phase_diagram import CompoundPhaseDiagram, PDEntry
from pymatgen.core import Composition
from valenceflow.potentials.evaluation.errors import Predictions, atom_names, error_scores
from valenceflow.potentials.evaluation.hull import HullPoint, hull_score
from valenceflow.potentials.evaluation.orderings import VALENCE_GAP, bond_valences, read_by_valences
from valenceflow.potentials.evaluation.rankings import finds_lowest, rank_structures
from valenceflow.potentials.labelling import atoms_of_ordering


@pytest.fixture(scope="module")
def heterosite():
    """FePO4 as measured (Rousse et al., Chem. Mater. 15 (2003) 4082, doi:10.1021/cm0300462)."""
    return crystal(
        ["Fe", "P", "O", "O", "O"],
        basis=[
            (0.2753, 0.25, 0.9480),
            (0.0940, 0.25, 0.3958),
            (0.1215, 0.25, 0.7088),
            (0.4389, 0.25, 0.1599),
            (0.1659, 0.0437, 0.2504),
        ],
        spacegroup=62,
        cellpar=[9.8142, 5.7893, 4.7820, 90, 90, 90],
    )


def test_bond_valences_of_measured_crystals_are_their_iron_charges(heterosite, olivine):
    from valenceflow.inputs.charge_states import get_couple

    three = bond_valences(heterosite, np.flatnonzero(heterosite.numbers == 26))
    full = atoms_of_ordering(olivine, get_couple("Fe2+/Fe3+"), "f.0")  # Moreau et al. 2010
    two = bond_valences(full, np.flatnonzero(full.numbers == 26))
    assert np.allclose(three, 3, atol=0.25)
    assert np.allclose(two, 2, atol=0.4)  # pymatgen has one parameter for both states of Fe
    assert three.min() - two.max() > 0.5 > VALENCE_GAP


def test_sites_that_do_not_stand_apart_are_undecided():
    assert read_by_valences(np.array([2.0, 2.9, 2.1, 3.0]), 2).tolist() == [False, True, False, True]
    assert read_by_valences(np.array([2.0, 2.5, 2.45, 3.0]), 2) is None
    assert read_by_valences(np.array([2.0, 2.5]), 0).tolist() == [False, False]


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(-500, 500), min_size=3, max_size=8, unique=True), st.integers(-100, 100))
def test_a_ranking_does_not_depend_on_either_energy_zero(hundredths, shift):
    energies = [value / 128 for value in hundredths]  # exact in binary, shifted or not
    names = [str(place) for place in range(len(energies))]
    found = rank_structures("g", "ideal", names, energies, np.array(energies) + shift)
    assert found.with_reference.spearman == pytest.approx(1)
    assert found.with_reference.mae == pytest.approx(0, abs=1e-9)
    assert found.reference == names[int(np.argmin(energies))]
    assert found.reference_lowest


def test_a_ranking_without_ranks_says_none_and_broken_input_is_refused():
    flat = rank_structures("g", "ideal", ["a", "b", "c"], [0, 1, 2], [5, 5, 5])
    assert flat.with_reference.spearman is None
    assert flat.with_reference.mae == pytest.approx(1.5)
    assert flat.reference_lowest
    assert not finds_lowest(flat)  # a tie is no find
    with pytest.raises(ValueError, match="lengths must be equal"):
        rank_structures("g", "ideal", ["a"], [0, 1], [1, 2])
    with pytest.raises(ValueError, match="needs two structures or more"):
        rank_structures("g", "ideal", ["a", "b"], [0, np.nan], [1, 2])
    with pytest.raises(ValueError, match="the reference z is not among a, b"):
        rank_structures("g", "ideal", ["a", "b"], [0, 1], [1, 2], "z")


@pytest.mark.parametrize(("highest", "lowest"), [(2.5e-11, True), (2.5e-4, False)])
def test_noise_of_equal_structures_is_a_tie_and_no_ranking(highest, lowest):
    """Charge orderings of one sodium ordering are one structure to a model without charge states."""
    noise = [-3.75e-11, 0.0, -3.75e-11, highest, 0.0]
    found = rank_structures("g", "ideal", list("abcde"), [0.04, 0.05, 0.06, 0.0, 0.03], np.array(noise) - 391.2)
    assert found.with_reference.spearman is found.with_reference.kendall is None
    assert found.reference_lowest is lowest


def test_errors_leave_out_what_either_side_lacks():
    nothing = np.full((1, 6, 2), np.nan)
    found = Predictions(
        frame_ids=np.array(["a"]), formulas=np.array(["FeO"]), steps=np.array([""]), sizes=np.array([2]),
        species=np.array(["Fe2+", "O"]), energy=np.array([[1.0, 1.5]]),
        forces=np.array([[[0, 1.0]] * 3, [[0, -3.0]] * 3]), stress=nothing,
        magmoms=np.array([[4.0, 3.5], [np.nan, 0.1]]), charges=np.full((2, 2), np.nan),
        refused=np.array([], dtype=str),
    )  # fmt: skip
    by = {(score.target, score.group, score.value): score for score in error_scores(found)}
    assert by["energy", "all", ""].mae == 0.5
    assert by["forces", "species", "O"].mae == 3
    assert by["forces", "all", ""].rmse == pytest.approx(np.sqrt(5))
    assert by["magmoms", "all", ""].n == 1
    assert not {target for target, _, _ in by} & {"stress", "charges"}
    assert not any(group == "step" for _, group, _ in by)


def test_errors_stand_beside_those_of_constants():
    """Energy: mean of the composition; forces: zero; moments: mean of the species; where both sides have a value."""
    found = Predictions(
        frame_ids=np.array(["a", "b", "c"]), formulas=np.array(["FeO", "FeO", "NaO"]), steps=np.array([""] * 3),
        sizes=np.array([1, 1, 1]), species=np.array(["Fe2+", "Fe2+", "Na"]),
        energy=np.array([[1.0, 0], [2.0, 0], [9.0, 0]]),
        forces=np.array([[[1.0, 0]] * 3, [[-3.0, 0]] * 3, [[2.0, 0]] * 3]),
        stress=np.full((3, 6, 2), np.nan), magmoms=np.array([[3.0, 0], [4.0, 0], [1.0, np.nan]]),
        charges=np.full((3, 2), np.nan), refused=np.array([], dtype=str),
    )  # fmt: skip
    by = {(score.target, score.group, score.value): score.baseline for score in error_scores(found)}
    assert by["energy", "all", ""] == pytest.approx(1 / 3)
    assert by["energy", "composition", "FeO"] == 0.5
    assert by["energy", "composition", "NaO"] == 0
    assert by["forces", "all", ""] == 2
    assert by["magmoms", "all", ""] == 0.5


def test_species_are_named_with_their_charge_where_they_have_several():
    names = atom_names(np.array([26, 26, 8, 26]), np.array([3.0, 2.0, -2.0, np.nan]), {"Fe"})
    assert names == ["Fe3+", "Fe2+", "O", "Fe"]


def test_the_hull_is_pymatgens_and_residuals_leave_the_end_members_out():
    draw = np.random.default_rng(3)
    fractions = [0, 0.25, 0.5, 0.5, 0.75, 1]
    points = [HullPoint(str(n), x, *draw.normal(size=2)) for n, x in enumerate(fractions)]
    found = hull_score("ideal", points)
    ends = [Composition("FePO4"), Composition("NaFePO4")]
    entries = [PDEntry(Composition({"Na": p.fraction, "Fe": 1, "P": 1, "O": 4}), p.model, name=p.name) for p in points]
    diagram = CompoundPhaseDiagram(entries, ends, normalize_terminal_compositions=False)
    assert sorted(found.stable_model) == sorted(entry.original_entry.name for entry in diagram.stable_entries)
    assert found.n == 4
    residuals = np.abs(np.array(found.model) - found.reference)[1:-1]
    assert found.mae == pytest.approx(residuals.mean())
    assert found.largest == pytest.approx(residuals.max())
    assert hull_score("ideal", points[1:]) is None
    assert hull_score("ideal", [points[0], points[-1]]) is None
