"""Reading whole and cut-off vasprun.xml files, against pymatgen on real VASP outputs."""

import gzip
import random
from pathlib import Path

import numpy as np
import pytest
from pymatgen.io.vasp import Vasprun
from valenceflow.stores.vasprun_steps import extrapolated_energy, read_vasprun_steps

REAL = Path(__file__).resolve().parents[3] / "shared" / "data" / "real-vasp"


@pytest.fixture(params=["fe2o2", "io"])
def real_vasprun(request):
    path = REAL / request.param / "vasprun.xml.gz"
    if not path.exists():
        pytest.skip(f"real VASP outputs are not at {REAL}")
    return path


# POTCARs are licensed and not beside these outputs; pymatgen says so.
@pytest.mark.filterwarnings("ignore:No POTCAR file with matching TITEL fields")
def test_steps_of_a_real_run_are_those_that_pymatgen_reads(real_vasprun):
    found = read_vasprun_steps(real_vasprun)
    reference = Vasprun(real_vasprun, parse_potcar_file=False, parse_dos=False, parse_eigen=False)
    assert found.complete
    assert found.problem == ""
    assert found.symbols == [str(symbol) for symbol in reference.atomic_symbols]
    assert found.version == reference.vasp_version
    assert len(found.steps) == len(reference.ionic_steps)
    for step, expected in zip(found.steps, reference.ionic_steps, strict=True):
        assert np.allclose(step.lattice, expected["structure"].lattice.matrix)
        assert np.allclose(step.frac_coords, expected["structure"].frac_coords)
        assert np.allclose(step.forces, expected["forces"])
        assert np.allclose(step.stress, expected["stress"])
        assert step.n_electronic_steps == len(expected["electronic_steps"])
    # pymatgen repairs VASP's wrong e_0_energy for the last step alone; ours must agree with it there.
    assert found.steps[-1].energy == pytest.approx(float(reference.final_energy), abs=1e-7)


def test_the_extrapolated_energy_does_not_trust_the_value_beside_the_forces():
    # VASP 5.3.5 wrote e_0_energy = 0 there; the last electronic step had -28.21851457 for both.
    assert extrapolated_energy(-28.21851457, -28.21851457, -28.21851457) == pytest.approx(-28.21851457)
    assert extrapolated_energy(-10.84147289, -10.84147289, -10.84147246) == pytest.approx(-10.84147246)


def test_a_file_cut_anywhere_gives_its_complete_steps_and_a_reason(real_vasprun, tmp_path):
    whole = gzip.decompress(real_vasprun.read_bytes())
    expected = [step.energy for step in read_vasprun_steps(real_vasprun).steps]
    generator = random.Random(5)
    cut = tmp_path / "vasprun.xml"
    for _ in range(60):
        length = generator.randrange(len(whole) - len(b"</modeling>\n"))
        cut.write_bytes(whole[:length])
        found = read_vasprun_steps(cut)
        assert not found.complete
        assert "vasprun.xml is cut off or damaged" in found.problem
        energies = [step.energy for step in found.steps]
        assert energies == expected[: len(energies)]
        assert len(energies) == whole[:length].count(b"</calculation>")


def test_a_gzip_file_cut_in_the_middle_keeps_what_can_be_unpacked(real_vasprun, tmp_path):
    cut = tmp_path / "vasprun.xml.gz"
    packed = real_vasprun.read_bytes()
    cut.write_bytes(packed[: len(packed) // 2])
    found = read_vasprun_steps(cut)
    assert not found.complete
    assert found.problem


@pytest.mark.parametrize("content", [b"", b"no xml at all", b"<?xml version='1.0'?><a>", b"\x00\xff\x00"])
def test_what_is_no_vasprun_gives_no_step_and_a_reason(tmp_path, content):
    path = tmp_path / "vasprun.xml"
    path.write_bytes(content)
    found = read_vasprun_steps(path)
    assert found.steps == []
    assert found.problem


def test_entities_are_refused_before_they_are_expanded(tmp_path):
    path = tmp_path / "vasprun.xml"
    levels = "".join(f'<!ENTITY l{i} "{f"&l{i - 1};" * 10}">' for i in range(1, 10))
    path.write_text(f'<!DOCTYPE b [<!ENTITY l0 "lol">{levels}]><modeling><generator>&l9;</generator></modeling>')
    found = read_vasprun_steps(path)
    assert found.steps == []
    assert "document type" in found.problem
