"""What readers of VASP make of the stand-in's outputs: pymatgen, emmet, and parsers of moments per step."""

from __future__ import annotations

import gzip
import re
import shutil

import numpy as np
import pytest
from emmet.core.tasks import TaskDoc
from pymatgen.io.vasp.inputs import Poscar
from pymatgen.io.vasp.outputs import Oszicar, Outcar, Vasprun, Xdatcar

pytestmark = [
    # Stub POTCARs are no potentials that pymatgen knows, and it is right to say so.
    pytest.mark.filterwarnings("ignore::pymatgen.io.vasp.inputs.UnknownPotcarWarning"),
]


@pytest.fixture
def finished(half_sodium, rehearse):
    assert rehearse(half_sodium) == 0
    return half_sodium


def moment_tables(outcar: str) -> list[list[float]]:
    """The last column of every magnetization table, in order."""
    tables = []
    for block in outcar.split(" magnetization (x)")[1:]:
        rows = re.findall(r"^ +\d+ +[-\d.]+ +[-\d.]+ +[-\d.]+ +([-\d.]+)$", block.split("\ntot")[0], flags=re.M)
        tables.append([float(moment) for moment in rows])
    return tables


def test_vasprun_holds_a_converged_relaxation_under_its_own_version(finished):
    run = Vasprun(finished / "vasprun.xml")
    assert run.vasp_version == "6.4.0-rehearsal-springs"
    assert run.converged
    assert run.run_type == "PBE+U"
    assert run.hubbards["Fe"] == 5.3
    assert 10 <= len(run.ionic_steps) <= 30
    assert run.parameters["NELM"] == 300
    assert run.parameters["EDIFFG"] == -0.03
    assert run.parameters["LORBIT"] == 12
    assert run.parameters["NUPDOWN"] == 18
    assert run.incar["MAGMOM"][:6] == [0, 0, 5, 5, 4, 4]
    last = run.ionic_steps[-1]
    assert np.linalg.norm(last["forces"], axis=1).max() < 0.03
    assert abs(np.array(last["stress"])).max() < 5.0


# pymatgen's Xdatcar leaves its file open.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")
def test_the_outputs_agree_with_each_other(finished):
    run, outcar = Vasprun(finished / "vasprun.xml"), Outcar(finished / "OUTCAR")
    oszicar, xdatcar = Oszicar(finished / "OSZICAR"), Xdatcar(finished / "XDATCAR")
    n_steps = len(run.ionic_steps)
    assert len(oszicar.ionic_steps) == len(xdatcar.structures) == n_steps
    assert outcar.final_energy == pytest.approx(float(run.final_energy), abs=1e-6)
    assert oszicar.ionic_steps[-1]["E0"] == pytest.approx(float(run.final_energy), abs=1e-3)
    assert oszicar.ionic_steps[-1]["mag"] == outcar.total_mag == 18.0
    assert [len(step) for step in oszicar.electronic_steps] == [len(s["electronic_steps"]) for s in run.ionic_steps]
    final = Poscar.from_file(finished / "CONTCAR").structure
    assert np.allclose(final.lattice.matrix, run.final_structure.lattice.matrix, atol=1e-7)
    assert np.allclose(final.frac_coords, run.final_structure.frac_coords, atol=1e-7)
    assert np.allclose(xdatcar.structures[-1].frac_coords, final.frac_coords, atol=1e-7)
    assert outcar.nelect == 186
    assert outcar.drift[-1] == pytest.approx([0, 0, 0], abs=1e-5)
    assert outcar.run_stats["cores"] == 1
    assert outcar.is_stopped is False


def test_moments_tell_the_charge_states_and_are_printed_per_ionic_step_and_once_more(finished):
    n_steps = len(Oszicar(finished / "OSZICAR").ionic_steps)
    text = (finished / "OUTCAR").read_text()
    tables = moment_tables(text)
    # As from VASP with LORBIT >= 10: one per step, and the last one again after the last LOOP+.
    assert len(tables) == n_steps + 1
    assert tables[-1] == tables[-2]
    assert text.count("LOOP+") == n_steps
    assert moment_tables(text.rpartition("LOOP+")[0]) == tables[:-1]
    for table in tables:
        assert len(table) == 26
        assert all(4.32 <= m <= 4.35 for m in table[2:4])
        assert all(3.76 <= m <= 3.79 for m in table[4:6])
        assert all(abs(m) < 0.05 for m in table[:2] + table[6:])
    assert [site["tot"] for site in Outcar(finished / "OUTCAR").magnetization] == tables[-1]


def test_stress_has_the_sign_of_vasp(half_sodium, rehearse):
    # Squeezed by 3 % in every direction, the cell wants to expand: VASP prints a positive pressure.
    lines = (half_sodium / "POSCAR").read_text().splitlines()
    lines[1] = "0.97"
    (half_sodium / "POSCAR").write_text("\n".join(lines) + "\n")
    assert rehearse(half_sodium, "--steps", "1") == 0
    run = Vasprun(half_sodium / "vasprun.xml")
    assert np.trace(run.ionic_steps[0]["stress"]) > 100
    printed = re.search(r"external pressure = +([-\d.]+) kB", (half_sodium / "OUTCAR").read_text())
    assert float(printed[1]) == pytest.approx(np.trace(run.ionic_steps[0]["stress"]) / 3, abs=0.01)


@pytest.mark.parametrize("compressed", [False, True])
def test_emmet_reads_the_folder_and_keeps_the_version(finished, compressed):
    if compressed:
        for path in [p for p in finished.iterdir() if p.is_file()]:
            with path.open("rb") as plain, gzip.open(f"{path}.gz", "wb") as packed:
                shutil.copyfileobj(plain, packed)
            path.unlink()
    doc = TaskDoc.from_directory(finished)
    assert doc.state.value == "successful"
    assert doc.vasp_version == doc.calcs_reversed[0].vasp_version == "6.4.0-rehearsal-springs"
    assert str(doc.run_type) == "PBE+U"
    assert doc.input.potcar == ["Na_pv", "Fe_pv", "P", "O"]
    assert all(spec.titel.endswith("STUB") for spec in doc.input.potcar_spec)
    assert [round(m, 1) for m in doc.structure.site_properties["magmom"][:6]] == [0.0, 0.0, 4.3, 4.3, 3.8, 3.8]
    assert len(doc.calcs_reversed[0].output.ionic_steps) == len(doc.calcs_reversed[0].output.num_electronic_steps)


def test_nothing_can_be_taken_for_vasp(finished):
    outcar = (finished / "OUTCAR").read_text()
    assert outcar.startswith(" vasp.6.4.0-rehearsal-springs (rehearsal stand-in of valenceflow: not VASP, not DFT)")
    assert '<i name="version" type="string">6.4.0-rehearsal-springs  </i>' in (finished / "vasprun.xml").read_text()


def test_a_static_run_makes_one_step(half_sodium, rehearse):
    text = (half_sodium / "INCAR").read_text().replace("IBRION = 2", "IBRION = -1").replace("NSW = 999", "NSW = 0")
    (half_sodium / "INCAR").write_text(text)
    assert rehearse(half_sodium) == 0
    run = Vasprun(half_sodium / "vasprun.xml")
    assert len(run.ionic_steps) == 1
    assert run.converged
    assert "stress" in run.ionic_steps[0]


def test_isif_2_keeps_the_cell(half_sodium, rehearse):
    (half_sodium / "INCAR").write_text((half_sodium / "INCAR").read_text().replace("ISIF = 3", "ISIF = 2"))
    assert rehearse(half_sodium) == 0
    run = Vasprun(half_sodium / "vasprun.xml")
    assert np.allclose(run.final_structure.lattice.matrix, run.initial_structure.lattice.matrix)
    assert np.linalg.norm(run.ionic_steps[-1]["forces"], axis=1).max() < 0.03


# pymatgen warns of a run that did not converge, which is the point here.
@pytest.mark.filterwarnings("ignore::pymatgen.io.vasp.outputs.UnconvergedVASPWarning")
def test_nsw_ends_a_relaxation_that_has_not_converged(half_sodium, rehearse):
    (half_sodium / "INCAR").write_text((half_sodium / "INCAR").read_text().replace("NSW = 999", "NSW = 4"))
    assert rehearse(half_sodium) == 0
    run = Vasprun(half_sodium / "vasprun.xml")
    assert len(run.ionic_steps) == 4
    assert not run.converged_ionic
    assert "reached required accuracy" not in (half_sodium / "OUTCAR").read_text()


# As above: the electrons do not converge, on purpose.
@pytest.mark.filterwarnings("ignore::pymatgen.io.vasp.outputs.UnconvergedVASPWarning")
def test_nelm_cuts_the_electronic_loop_short(half_sodium, rehearse):
    text = (half_sodium / "INCAR").read_text().replace("NELM = 300", "NELM = 4").replace("NELMIN = 8", "NELMIN = 2")
    (half_sodium / "INCAR").write_text(text)
    assert rehearse(half_sodium, "--steps", "2") == 0
    run = Vasprun(half_sodium / "vasprun.xml")
    assert not run.converged_electronic
    assert [len(step["electronic_steps"]) for step in run.ionic_steps] == [4, 4]
    assert (half_sodium / "OUTCAR").read_text().count("aborting loop EDIFF was not reached (unconverged)") == 2


def test_a_positive_ediffg_is_an_energy(half_sodium, rehearse):
    (half_sodium / "INCAR").write_text((half_sodium / "INCAR").read_text().replace("EDIFFG = -0.03", "EDIFFG = 0.05"))
    assert rehearse(half_sodium) == 0
    energies = [step["e_0_energy"] for step in Vasprun(half_sodium / "vasprun.xml").ionic_steps]
    changes = np.abs(np.diff(energies))
    assert changes[-1] < 0.05
    assert (changes[:-1] >= 0.05).all()


def test_a_run_without_spin_prints_no_moments(half_sodium, rehearse):
    (half_sodium / "INCAR").write_text((half_sodium / "INCAR").read_text().replace("ISPIN = 2", "ISPIN = 1"))
    assert rehearse(half_sodium, "--steps", "2") == 0
    assert "magnetization (x)" not in (half_sodium / "OUTCAR").read_text()
    assert Vasprun(half_sodium / "vasprun.xml").is_spin is False
    assert "mag=" not in (half_sodium / "OSZICAR").read_text()


def test_lorbit_decides_on_the_tables_of_the_sites(half_sodium, rehearse):
    (half_sodium / "INCAR").write_text((half_sodium / "INCAR").read_text().replace("LORBIT = 12", "LORBIT = 0"))
    assert rehearse(half_sodium, "--steps", "2") == 0
    assert "# of ion" not in (half_sodium / "OUTCAR").read_text()
