"""The stand-in as a process: under custodian, stopped, killed, and with faults."""

from __future__ import annotations

import json
import re
import shlex
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from atomate2.vasp.run import run_vasp
from emmet.core.tasks import TaskDoc
from pymatgen.io.vasp.inputs import Poscar
from pymatgen.io.vasp.outputs import Outcar, Vasprun
from valenceflow.flows.follow_up import geometry_left
from valenceflow.flows.rehearsal.command import rehearsal_command
from valenceflow.flows.rehearsal.executable import main

from .conftest import iron_moments, olivine
from .test_outputs import moment_tables

pytestmark = [
    # Stub POTCARs are no potentials that pymatgen knows, and it is right to say so.
    pytest.mark.filterwarnings("ignore::pymatgen.io.vasp.inputs.UnknownPotcarWarning"),
]

PATIENCE_S = 120
"""A loaded machine takes its time; a test that passes never waits for it."""

QUICK = {"polling_time_step": 0.1, "monitor_freq": 1}


def test_the_command_names_this_python_and_refuses_an_unknown_engine():
    words = shlex.split(rehearsal_command("springs", fault="spin-flip:3", steps=2))
    assert words[:3] == [sys.executable, "-m", "valenceflow.flows.rehearsal.executable"]
    assert words[3:] == ["--engine", "springs", "--fault", "spin-flip:3", "--steps", "2"]
    with pytest.raises(ValueError, match="unknown rehearsal engine 'vasp'"):
        rehearsal_command("vasp")


def test_a_run_goes_through_custodian_and_emmet_unmodified(half_sodium, monkeypatch):
    monkeypatch.chdir(half_sodium)
    command = rehearsal_command("springs")
    run_vasp(vasp_cmd=command, vasp_gamma_cmd=command, custodian_kwargs=QUICK)
    record = json.loads((half_sodium / "custodian.json").read_text())
    assert record[0]["corrections"] == []
    doc = TaskDoc.from_directory(half_sodium)
    assert doc.state.value == "successful"
    assert doc.vasp_version == "6.4.0-rehearsal-springs"
    assert doc.orig_inputs.incar["MAGMOM"][:6] == [0, 0, 5, 5, 4, 4]
    assert doc.custodian is not None


# pymatgen finds labels, not POTCARs, beside the outputs and says so.
@pytest.mark.filterwarnings("ignore:No POTCAR file with matching TITEL")
def test_a_run_with_potcar_spec_goes_through_custodian(half_sodium, monkeypatch):
    (half_sodium / "POTCAR").unlink()
    (half_sodium / "POTCAR.spec").write_text("Na_pv\nFe_pv\nP\nO")
    monkeypatch.chdir(half_sodium)
    run_vasp(vasp_cmd=rehearsal_command("springs"), custodian_kwargs=QUICK, vasp_job_kwargs={"backup": False})
    assert TaskDoc.from_directory(half_sodium).state.value == "successful"


def test_the_engine_comes_from_the_environment_where_the_command_names_none(half_sodium, monkeypatch, capfd):
    monkeypatch.chdir(half_sodium)
    monkeypatch.setenv("VALENCEFLOW_REHEARSAL_ENGINE", "springs")
    assert main(["--steps", "1"]) == 0
    assert "vasp.6.4.0-rehearsal-springs" in capfd.readouterr().out
    monkeypatch.setenv("VALENCEFLOW_REHEARSAL_ENGINE", "typewriter")
    with pytest.raises(SystemExit, match="2"):
        main(["--steps", "1"])
    assert "VALENCEFLOW_REHEARSAL_ENGINE='typewriter' is no engine" in capfd.readouterr().err


def test_springs_start_without_torch_pymatgen_ase_or_scipy(half_sodium):
    script = (
        "import sys\nfrom valenceflow.flows.rehearsal.executable import main\n"
        "main(['--engine', 'springs', '--steps', '1'])\n"
        "sys.exit(' '.join({'torch', 'pymatgen', 'ase', 'scipy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=half_sodium, capture_output=True, text=True, check=False)
    assert done.stderr.strip() == ""


def test_steps_are_exact(half_sodium, rehearse):
    assert rehearse(half_sodium, "--steps", "40") == 0
    assert len(Vasprun(half_sodium / "vasprun.xml").ionic_steps) == 40


@pytest.mark.parametrize(("tag", "kind"), [("LSTOP", "soft"), ("LABORT", "hard")])
# The run ends before it has converged, as asked.
@pytest.mark.filterwarnings("ignore::pymatgen.io.vasp.outputs.UnconvergedVASPWarning")
def test_stopcar_ends_a_run(half_sodium, tag, kind):
    process = start(half_sodium, "--steps", "100000")
    wait_for_steps(process, half_sodium, 3)
    (half_sodium / "STOPCAR").write_text(f"{tag} = .TRUE.\n")
    assert process.wait(timeout=PATIENCE_S) == 0
    run, outcar = Vasprun(half_sodium / "vasprun.xml"), Outcar(half_sodium / "OUTCAR")
    assert 3 <= len(run.ionic_steps) < 100000
    assert f"{kind} stop encountered!  aborting job" in (half_sodium / "OUTCAR").read_text()
    assert outcar.is_stopped is (kind == "soft")
    assert "General timing" in (half_sodium / "OUTCAR").read_text()
    assert not (half_sodium / "STOPCAR").exists()


def test_a_read_only_stopcar_stays(half_sodium, rehearse):
    (half_sodium / "STOPCAR").write_text("LSTOP = .TRUE.\n")
    (half_sodium / "STOPCAR").chmod(0o444)
    assert rehearse(half_sodium) == 0
    assert len(Vasprun(half_sodium / "vasprun.xml").ionic_steps) == 1
    assert (half_sodium / "STOPCAR").exists()


# The file ends in the middle, which pymatgen remarks when asked to read it all the same.
@pytest.mark.filterwarnings("ignore:XML is malformed", "ignore::pymatgen.io.vasp.outputs.UnconvergedVASPWarning")
def test_a_kill_leaves_every_finished_step_on_disk(half_sodium):
    process = start(half_sodium, "--steps", "100000")
    wait_for_steps(process, half_sodium, 5)
    process.send_signal(signal.SIGKILL)
    assert process.wait(timeout=PATIENCE_S) == -signal.SIGKILL
    n_steps = (half_sodium / "OSZICAR").read_text().count("F=")
    assert n_steps >= 5
    text = (half_sodium / "OUTCAR").read_text()
    assert "General timing" not in text
    assert abs(len(moment_tables(text)) - n_steps) <= 1
    assert abs(text.count("LOOP+") - n_steps) <= 1
    with pytest.raises(SyntaxError):
        Vasprun(half_sodium / "vasprun.xml")
    salvaged = Vasprun(half_sodium / "vasprun.xml", exception_on_bad_xml=False, parse_potcar_file=False)
    assert abs(len(salvaged.ionic_steps) - n_steps) <= 1
    assert all(np.shape(step["forces"]) == (26, 3) for step in salvaged.ionic_steps)
    # VASP rewrites CONTCAR in place, so a kill in that moment leaves it empty; the geometry is never lost.
    structure, source = geometry_left(half_sodium, symbols_of(half_sodium))
    assert len(structure) == 26
    assert source == ("CONTCAR" if (half_sodium / "CONTCAR").read_text() else "last complete frame")


def test_a_spin_flip_moves_the_hole_in_the_last_steps(half_sodium, rehearse):
    assert rehearse(half_sodium, "--fault", "spin-flip") == 0
    tables = moment_tables((half_sodium / "OUTCAR").read_text())
    high = [[i for i, m in enumerate(table) if m > 4.2] for table in tables]
    assert high[0] == [2, 3]
    assert high[-1] == [3, 4]
    turn = high.index([3, 4])
    assert 0 < turn < len(high) - 1
    assert high[turn:] == [[3, 4]] * (len(high) - turn)


def test_a_spin_flip_of_one_site_changes_the_number_of_holes(half_sodium, rehearse):
    assert rehearse(half_sodium, "--fault", "spin-flip:4") == 0
    last = moment_tables((half_sodium / "OUTCAR").read_text())[-1]
    assert [i for i, m in enumerate(last) if m > 4.2] == [2, 3, 4]


def test_a_spin_flip_leaves_a_single_charge_state_alone(write_inputs, rehearse):
    structure = olivine()
    folder = write_inputs(structure, iron_moments(structure))
    assert rehearse(folder, "--fault", "spin-flip") == 0
    last = moment_tables((folder / "OUTCAR").read_text())[-1]
    assert all(3.7 < m < 3.8 for m in last[4:8])


def test_a_fault_that_cannot_be_is_refused_in_one_line(half_sodium, rehearse, capfd):
    with pytest.raises(SystemExit, match="2"):
        rehearse(half_sodium, "--fault", "coffee")
    assert "unknown fault 'coffee'; choose one of none, zbrent" in capfd.readouterr().err
    assert rehearse(half_sodium, "--fault", "spin-flip:99") == 1
    assert "spin-flip:99, but the sites are numbered 0 to 25" in capfd.readouterr().err
    assert not (half_sodium / "vasprun.xml").exists()


def test_custodian_takes_an_input_error_for_what_it_is(half_sodium, monkeypatch):
    text = (half_sodium / "INCAR").read_text()
    (half_sodium / "INCAR").write_text(re.sub(r"MAGMOM = .*", "MAGMOM = 3*5", text))
    monkeypatch.chdir(half_sodium)
    with pytest.raises(RuntimeError, match="Unrecoverable"), pytest.warns(UserWarning, match="typo in the INCAR"):
        run_vasp(vasp_cmd=rehearsal_command("springs"), custodian_kwargs=QUICK)
    corrections = json.loads((half_sodium / "custodian.json").read_text())[0]["corrections"]
    assert corrections[-1]["errors"] == ["read_error"]


def symbols_of(folder):
    return [site.specie.symbol for site in Poscar.from_file(folder / "POSCAR").structure]


def start(folder, *arguments):
    command = [*shlex.split(rehearsal_command("springs")), *arguments]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def wait_for_steps(process, folder, n_steps):
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        oszicar = folder / "OSZICAR"
        if oszicar.exists() and oszicar.read_text().count("F=") >= n_steps:
            return
        assert process.poll() is None
        time.sleep(0.02)
    raise AssertionError(f"no {n_steps} ionic steps within {PATIENCE_S} s")
