"""Expansions in files: the same energies to the last bit, and no use where they do not belong."""

import json

import numpy as np
import pytest
from valenceflow.inputs.orderings.catalogue import OrderingCatalogue
from valenceflow.inputs.orderings.expansion import fit_expansion
from valenceflow.inputs.orderings.expansion_file import load_expansion, save_expansion


@pytest.fixture(scope="module")
def fitted(small_cell, couple_of, electrostatics):
    """An expansion with triplets, and energies of one composition."""
    cell = small_cell("olivine 1x2x1")
    rng = np.random.default_rng(8)
    working = np.array([rng.permutation(np.arange(8) < 4) for _ in range(30)])
    charge = np.array([rng.permutation(np.arange(8) < 4) for _ in range(30)])
    energies = electrostatics(cell).polynomial.energies(np.hstack([working, charge]))
    noise = rng.normal(scale=0.1, size=30)
    return fit_expansion(
        cell, couple_of(cell), working, charge, energies + noise, triplet_cutoff=6.0, source="vasp, protocol paper-2026"
    )


@pytest.fixture
def file(fitted, tmp_path):
    """The expansion's file."""
    save_expansion(fitted, tmp_path / "expansion.json")
    return tmp_path / "expansion.json"


@pytest.fixture
def edited(file):
    """Function that changes fields of the file as an editor would."""

    def edit(**fields):
        content = json.loads(file.read_text())
        file.write_text(json.dumps({**content, **fields}))
        return file

    return edit


def test_an_expansion_comes_back_to_the_last_bit(fitted, file):
    again = load_expansion(file, fitted.cell, fitted.couple)
    for name in ("constant", "linear", "pairs", "triplet_sites", "triplets", "resolution"):
        assert np.array_equal(getattr(again.polynomial, name), getattr(fitted.polynomial, name)), name
    for name in ("cv_error", "cv_spearman", "fit_error", "spread", "ridge", "n_orderings", "n_distinct", "folds"):
        assert getattr(again, name) == getattr(fitted, name), name
    assert again.source == "vasp, protocol paper-2026"
    assert again.clusters.n_orbits == fitted.clusters.n_orbits


def test_it_ranks_as_the_expansion_that_was_saved(fitted, file):
    rows = [
        [(str(row.key), row.energy) for row in OrderingCatalogue(model.cell, model.couple, 4, model=model).rank(5)[0]]
        for model in (fitted, load_expansion(file, fitted.cell, fitted.couple))
    ]
    assert rows[0] == rows[1]


def test_a_rank_correlation_that_is_none_is_kept_as_none(small_cell, couple_of, tmp_path):
    cell = small_cell("olivine 1x2x1")
    working = np.array([np.random.default_rng(i).permutation(np.arange(8) < 4) for i in range(9)])
    flat = fit_expansion(cell, couple_of(cell), working, working, np.zeros(9))
    save_expansion(flat, tmp_path / "flat.json")
    assert np.isnan(load_expansion(tmp_path / "flat.json", cell, flat.couple).cv_spearman)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("olivine", r"\[0, 2, 0\], \[0, 0, 1\]\] of olivine-NaFePO4, not for \[\[1, 0, 0\], \[0, 1"),
        ("triclinic 2x1x1", "was fitted for host olivine-NaFePO4 .* not for triclinic NaFeOF"),
    ],
)  # fmt: skip
def test_another_host_or_supercell_is_refused_with_both_names(fitted, file, small_cell, name, said):
    with pytest.raises(ValueError, match=said):
        load_expansion(file, small_cell(name), fitted.couple)


def test_another_couple_is_refused(fitted, file):
    other = fitted.couple.model_copy(update={"name": "mine", "high": fitted.couple.low})
    with pytest.raises(ValueError, match=r"for the couple Fe2\+/Fe3\+ .*, not for mine"):
        load_expansion(file, fitted.cell, other)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"version": 2}, "version 2 of the format where this valenceflow reads 1"),
        ({"format": "model"}, "no cluster expansion; `valenceflow orderings fit` writes one"),
        ({"intercept": 0.0}, "damaged or edited"),
        ({"intercept": float("nan")}, "intercept"),
        ({"cv_error": "small"}, "cv_error"),
        ({"pickle": "x"}, "unknown field 'pickle'"),
        ({"orbits": []}, "damaged or edited"),
        ({"content_hash": ""}, "content_hash is missing"),
    ],
)
def test_a_damaged_or_foreign_file_is_refused(fitted, edited, fields, said):
    path = edited(**fields)
    with pytest.raises(ValueError, match=said) as refusal:
        load_expansion(path, fitted.cell, fitted.couple)
    assert str(path) in str(refusal.value)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[1]", b"null"])
def test_what_is_no_expansion_is_refused(fitted, tmp_path, content):
    (tmp_path / "x.json").write_bytes(content)
    with pytest.raises(ValueError, match=r"no cluster expansion|not readable as a cluster expansion"):
        load_expansion(tmp_path / "x.json", fitted.cell, fitted.couple)
    with pytest.raises(ValueError, match="no such file"):
        load_expansion(tmp_path / "nowhere.json", fitted.cell, fitted.couple)


def test_clusters_that_are_not_those_of_the_cell_are_refused(fitted, edited):
    """As after a change of the cell's site order: the hash is right, the sites are not."""
    from valenceflow.inputs.orderings.expansion_file import ExpansionFile

    content = json.loads(edited().read_text())
    content["orbits"][0]["members"] += 1
    content["content_hash"] = ""
    content["content_hash"] = ExpansionFile.model_validate(content).hash_of_content()
    with pytest.raises(ValueError, match="are not those of olivine-NaFePO4 any more"):
        load_expansion(edited(**content), fitted.cell, fitted.couple)
