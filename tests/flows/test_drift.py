"""Inputs that changed while VASP ran: what is harmless, what is flagged, and what no longer counts."""

import pytest
from pymatgen.core import Lattice
from pymatgen.io.vasp import Incar, Kpoints
from valenceflow.flows.drift import WrittenInputs, input_drift

LATTICE = Lattice.orthorhombic(10.4, 6.2, 4.9)
TAGS = {"ALGO": "All", "ENCUT": 520, "EDIFF": 1e-5, "MAGMOM": [4.0, 5.0], "SIGMA": 0.01, "IBRION": 2}
TITLES = ["PAW_PBE Na_pv 19Sep2006", "PAW_PBE Fe_pv 02Aug2007"]


@pytest.fixture
def written(tmp_path):
    Incar(TAGS).write_file(tmp_path / "INCAR")
    Kpoints.gamma_automatic((3, 1, 3)).write_file(tmp_path / "KPOINTS")
    return WrittenInputs.read(tmp_path, LATTICE, ["Na_pv", "Fe_pv"])


def drift(written, folder, lattice=LATTICE, titles=TITLES, restarted=False):
    return input_drift(written, folder, lattice.matrix, titles, restarted)


def test_unchanged_inputs_are_no_drift(written, tmp_path):
    found = drift(written, tmp_path)
    assert found.changes == []
    assert found.findings == []


def test_how_a_minimum_is_looked_for_may_change(written, tmp_path):
    Incar({**TAGS, "ALGO": "Normal", "IBRION": 1, "POTIM": 0.1, "AMIX": 0.1}).write_file(tmp_path / "INCAR")
    assert drift(written, tmp_path).findings == []


@pytest.mark.parametrize(("tag", "value"), [("EDIFF", 1e-3), ("SIGMA", 0.2), ("PREC", "Normal")])
def test_a_looser_setting_is_flagged_with_both_values(written, tmp_path, tag, value):
    Incar({**TAGS, tag: value}).write_file(tmp_path / "INCAR")
    found = drift(written, tmp_path)
    (finding,) = found.findings
    assert finding.severity == "warning"
    assert f"{tag}: {TAGS.get(tag, 'absent')} -> {value}" in finding.message
    assert len(found.changes) == 1


@pytest.mark.parametrize(("tag", "value"), [("ENCUT", 400), ("MAGMOM", [4.0, 4.0]), ("LDAU", True), ("NUPDOWN", 8)])
def test_what_the_protocol_hash_says_may_not_change(written, tmp_path, tag, value):
    Incar({**TAGS, tag: value}).write_file(tmp_path / "INCAR")
    (finding,) = drift(written, tmp_path).findings
    assert finding.severity == "failure"
    assert tag in finding.message


def test_another_mesh_is_flagged(written, tmp_path):
    Kpoints.monkhorst_automatic((4, 2, 4)).write_file(tmp_path / "KPOINTS")
    (finding,) = drift(written, tmp_path).findings
    assert finding.severity == "warning"
    assert "Gamma 3 1 3" in finding.message
    assert "4 2 4" in finding.message


def test_swapped_axes_are_a_failure_because_the_mesh_belongs_to_the_others(written, tmp_path):
    swapped = Lattice.orthorhombic(6.2, 10.4, 4.9)
    (finding,) = drift(written, tmp_path, swapped).findings
    assert (finding.code, finding.severity) == ("axes changed", "failure")
    # Custodian's restart from CONTCAR begins with a relaxed cell; swapped axes are still told from that.
    relaxed = Lattice.orthorhombic(10.2, 6.1, 4.8)
    assert drift(written, tmp_path, relaxed, restarted=True).findings == []
    assert drift(written, tmp_path, swapped, restarted=True).findings


def test_another_potcar_than_the_protocols_is_a_failure(written, tmp_path):
    (finding,) = drift(written, tmp_path, titles=["PAW_PBE Na 08Apr2002", TITLES[1]]).findings
    assert (finding.code, finding.severity) == ("potcar", "failure")
    assert "Na Fe_pv where the protocol has Na_pv Fe_pv" in finding.message
    assert drift(written, tmp_path, titles=[]).findings == []
