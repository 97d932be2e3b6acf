"""Orderings with energies from CSV and JSON lines."""

import numpy as np
import pytest
from valenceflow.inputs.orderings.catalogue import OrderingCatalogue
from valenceflow.inputs.orderings.energy_table import read_energies
from valenceflow.inputs.orderings.written import record, write_rows


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_what_rank_wrote_is_read_back(small_cell, couple_of, tmp_path, suffix):
    cell = small_cell("olivine")
    rows, _ = OrderingCatalogue(cell, couple_of(cell), 2).rank(10)
    write_rows(tmp_path / f"rows{suffix}", (record(row, cell) for row in rows))
    working, charge, energies = read_energies(tmp_path / f"rows{suffix}", cell)
    assert np.array_equal(working, [row.key.working for row in rows])
    assert np.array_equal(charge, [row.key.charge for row in rows])
    assert energies.tolist() == [row.energy for row in rows]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.csv", "key,energy\n6.5,-1.0\n6.55,2\n", "row 2: key '6.55': '55' does not describe 4 sites"),
        ("a.csv", "key,energy\n6.free,-1.0\n", "row 1: key '6.free': 'free' is no hexadecimal ordering"),
        ("a.csv", "key,energy\n6.5,\n", "row 1: energy '' is no number"),
        ("a.csv", "key,energy\n6.5\n", "row 1: energy None is no number"),
        ("a.csv", "key,energy\n6.5,nan\n", "row 1: energy 'nan' is not finite"),
        ("a.csv", "ordering,energy\n6.5,1\n", "row 1: key None"),
        ("a.csv", "key,energy\n", "holds no ordering"),
        ("a.csv", "", "holds no ordering"),
        ("a.jsonl", '{"key": "6.5", "energy": -1}\n6.5\n', "line 2: expected an object"),
        ("a.jsonl", "{", "line 1: no JSON"),
        ("a.txt", "", "read from a .csv or .jsonl file"),
    ],
)
def test_a_row_that_cannot_be_used_is_named(small_cell, tmp_path, name, text, said):
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=said):
        read_energies(tmp_path / name, small_cell("olivine"))


def test_a_missing_file_and_one_that_is_no_text_are_refused(small_cell, tmp_path):
    with pytest.raises(ValueError, match=r"nowhere.csv: no such file"):
        read_energies(tmp_path / "nowhere.csv", small_cell("olivine"))
    (tmp_path / "a.csv").write_bytes(b"key,energy\n\xff\xfe")
    with pytest.raises(ValueError, match="not readable as text"):
        read_energies(tmp_path / "a.csv", small_cell("olivine"))
