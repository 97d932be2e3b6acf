"""What GPAW's process leaves, whole or cut off: frames are read as far as they are whole."""

import json

import numpy as np
import pytest
from pymatgen.io.vasp import Poscar
from valenceflow.flows.follow_up import geometry_left
from valenceflow.flows.gpaw.in_gpaw.files import append_line, contcar_text, write_whole
from valenceflow.flows.gpaw.outputs import GpawEndedError, NoResultError, pack, read_frames, read_outputs
from valenceflow.flows.harvest import partial_frames

SYMBOLS = ["Na", "Fe", "Fe", "O"]
CELL = [[4.0, 0.0, 0.0], [0.1, 5.0, 0.0], [0.0, -0.2, 6.0]]


def frame(step):
    return {
        "cell": CELL,
        "frac_coords": [[0.0, 0.1 * step, -0.25], [0.5, 0.5, 0.0], [0.5, 0.0, 0.5], [0.25, 0.25, 1.5]],
        "energy": -20.0 - step,
        "forces": [[0.1, 0.0, 0.0]] * 4,
        "stress": np.eye(3).tolist(),
        "magmoms": [0.0, 4.4, 3.7, 0.1],
        "scf_converged": True,
    }


@pytest.fixture
def folder(tmp_path):
    write_whole(tmp_path / "job.json", json.dumps({"symbols": SYMBOLS}))
    for step in range(3):
        append_line(tmp_path / "frames.jsonl", frame(step), sync=True)
    return tmp_path


def test_frames_of_a_run_that_was_cut_off_are_kept_up_to_the_last_whole_one(folder):
    with (folder / "frames.jsonl").open("a") as stream:
        stream.write('{"cell": [[4.0, 0')
    found = partial_frames(folder, "killed")
    assert found.energies == [-20, -21, -22]
    assert found.origins == ["killed"] * 3
    assert found.symbols == SYMBOLS


def test_frames_are_the_same_once_packed(folder):
    before = read_frames(folder, "final")
    pack(folder)
    assert not (folder / "frames.jsonl").exists()
    assert read_frames(folder, "final") == before


def test_a_killed_relaxation_goes_on_from_its_last_frame(folder):
    last = frame(2)
    write_whole(folder / "CONTCAR", contcar_text(SYMBOLS, last["cell"], last["frac_coords"]))
    structure, source = geometry_left(folder, SYMBOLS)
    assert source == "CONTCAR"
    assert np.allclose(structure.frac_coords, last["frac_coords"], atol=1e-14)
    (folder / "CONTCAR").unlink()
    structure, source = geometry_left(folder, SYMBOLS)
    assert source == "last complete frame"
    assert np.allclose(structure.lattice.matrix, CELL)


def test_the_geometry_that_a_run_leaves_is_read_by_pymatgen():
    text = contcar_text(["Fe", "Na", "Na", "Fe"], CELL, frame(1)["frac_coords"])
    structure = Poscar.from_str(text).structure
    assert [site.specie.symbol for site in structure] == ["Fe", "Na", "Na", "Fe"]
    assert np.allclose(structure.lattice.matrix, CELL)
    assert np.allclose(structure.frac_coords, frame(1)["frac_coords"])


def test_a_run_without_a_word_is_told_from_one_that_said_why(folder):
    with pytest.raises(NoResultError, match=r"no result\.json"):
        read_outputs(folder)
    write_whole(folder / "result.json", '{"state": "not converged", "message": "why", "starts": []}')
    with pytest.raises(GpawEndedError, match="why") as ended:
        read_outputs(folder)
    assert ended.value.state == "not converged"
    (folder / "result.json").write_text("{")
    with pytest.raises(NoResultError, match="cannot be read"):
        read_outputs(folder)
