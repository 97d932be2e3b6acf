"""Orderings as files: what is read back is what was written, and nothing half-written has the final name."""

import csv
import json

import numpy as np
import pytest
from valenceflow.inputs.charge_states import shipped_couples
from valenceflow.inputs.orderings.catalogue import OrderingCatalogue
from valenceflow.inputs.orderings.group import JointKey, ordering_group
from valenceflow.inputs.orderings.identity import key_of, read_structure
from valenceflow.inputs.orderings.rows import OrderingRow
from valenceflow.inputs.orderings.written import ordered_structure, record, write_cif, write_cifs, write_rows

FE = shipped_couples()["Fe2+/Fe3+"]


@pytest.fixture(scope="module")
def catalogue(small_cell):
    return OrderingCatalogue.at_fraction(small_cell("olivine"), FE, "1/2")


@pytest.fixture(scope="module")
def records(catalogue):
    rows, _ = catalogue.rank(10)
    return [record(row, catalogue.cell, rows[0].energy) for row in rows]


@pytest.mark.parametrize("name", ["olivine", "olivine {a+b, 3b, c}", "monoclinic 2x1x1", "triclinic 2x1x1"])
def test_an_ordering_comes_back_from_its_cif(small_cell, random_ordering, name, tmp_path):
    cell, rng = small_cell(name), np.random.default_rng(4)
    for case in range(5):
        key = ordering_group(cell).key(*random_ordering(cell, rng))
        write_cif(tmp_path / f"{case}.cif", OrderingRow(key, 1, 1), cell, FE)
        assert key_of(read_structure(tmp_path / f"{case}.cif"), cell, FE) == key


def test_an_ordering_without_charges_is_written_without_them(catalogue):
    key = JointKey(np.array([True, False, False, True]), None)
    structure = ordered_structure(catalogue.cell, FE, key)
    assert {str(specie) for specie in structure.species} == {"Na", "Fe", "P", "O"}
    assert key_of(structure, catalogue.cell, FE).charge is None


def test_records_come_back_from_csv_and_json_lines(records, tmp_path):
    assert write_rows(tmp_path / "a.csv", records) == write_rows(tmp_path / "a.jsonl", iter(records)) == 10
    assert [json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines()] == records
    with (tmp_path / "a.csv").open(newline="") as file:
        for row, written in zip(csv.DictReader(file), records, strict=True):
            assert (row["key"], float(row["energy"])) == (written["key"], written["energy"])


def test_energies_count_from_the_lowest_per_formula_unit(records, catalogue):
    first, second = records[:2]
    assert first["energy_mev_per_fu"] == 0
    per_fu = 1000 * (second["energy"] - first["energy"]) / catalogue.cell.formula_units
    assert second["energy_mev_per_fu"] == pytest.approx(per_fu)


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "folder"])
def test_an_interrupted_writing_leaves_what_was_there(catalogue, records, name, tmp_path):
    path = tmp_path / name

    def interrupted():
        yield records[0]
        raise KeyboardInterrupt

    def interrupted_rows():
        yield next(catalogue.list()), records[0]
        raise KeyboardInterrupt

    if name == "folder":
        with pytest.raises(KeyboardInterrupt):
            write_cifs(path, interrupted_rows(), catalogue.cell, FE)
        assert not list(tmp_path.iterdir())
        return
    path.write_text("before")
    with pytest.raises(KeyboardInterrupt):
        write_rows(path, interrupted())
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [(name, "before")]


def test_a_writing_that_was_killed_is_swept_away_by_the_next(catalogue, records, tmp_path):
    (tmp_path / ".folder.partial").mkdir()
    (tmp_path / ".folder.partial" / "00001-half.cif").write_text("half")
    rows = list(zip(catalogue.list(), records, strict=True))
    (tmp_path / "folder").mkdir()  # empty: it may be there
    assert write_cifs(tmp_path / "folder", rows, catalogue.cell, FE) == 10
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]
    assert len(list((tmp_path / "folder").glob("*.cif"))) == 10


def test_a_file_of_another_kind_is_refused(records, tmp_path):
    with pytest.raises(ValueError, match=r"name a file \.csv or \.jsonl, or a folder for CIFs"):
        write_rows(tmp_path / "a.xlsx", records)


def test_a_folder_in_use_is_refused(catalogue, tmp_path):
    (tmp_path / "folder").write_text("a file")
    with pytest.raises(ValueError, match="folder is not empty; name a new folder"):
        write_cifs(tmp_path / "folder", [], catalogue.cell, FE)
