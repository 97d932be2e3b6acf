"""Faults on request: where they strike, and the files they leave."""

from __future__ import annotations

import numpy as np
import pytest
from lxml import etree
from pymatgen.io.vasp.outputs import Oszicar, Outcar, Vasprun
from valenceflow.flows.rehearsal.command import rehearsal_command
from valenceflow.flows.rehearsal.fault_requests import (
    FAULT_VARIABLE,
    MARKER,
    SURROGATES,
    fault_names,
    parse_fault,
)
from valenceflow.flows.rehearsal.faults import make_fault
from valenceflow.flows.rehearsal.messages import MESSAGES
from valenceflow.inputs.charge_states import shipped_couples

from .conftest import iron_moments, olivine
from .test_inputs import set_tag
from .test_outputs import moment_tables

# Runs here end early, as asked.
pytestmark = pytest.mark.filterwarnings("ignore::pymatgen.io.vasp.outputs.UnconvergedVASPWarning")


def text_of(folder, name):
    return (folder / name).read_text()


def last_run(folder):
    return Vasprun(folder / "vasprun.xml", parse_potcar_file=False)


def test_every_fault_has_a_line_and_can_be_made(capfd, rehearse, half_sodium):
    for name, line in fault_names().items():
        assert make_fault(f"{name}:brmix" if name == "message" else name).request is not None
        assert line
    assert rehearse(half_sodium, "--fault", "list") == 0
    printed = capfd.readouterr().out
    assert all(f"\n{name} " in f"\n{printed}" for name in fault_names())
    assert all(key in printed for key in MESSAGES)
    assert not (half_sodium / "OUTCAR").exists()


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("coffee", "unknown fault 'coffee'; choose one of none, zbrent"),
        ("zbrent@twice", "unknown condition 'twice' of fault 'zbrent'; choose of once, match=TEXT"),
        ("zbrent@match=", "unknown condition 'match='"),
        ("message:tea", "fault message: unknown message 'tea'; choose one of algo_tet"),
        ("message:brmix:2:3", "cannot read 'brmix:2:3'; write KEY"),
        ("kill:soon", "fault kill: 'soon' is not a whole number from 0 up"),
        ("kill:-1", "'-1' is not a whole number"),
        ("truncated-vasprun:2", "2 is not a fraction of the file"),
        ("blow-up:nan", "nan is not a number from 0 up"),
        ("garbage-moments:tea", "unknown kind 'tea'; choose one of nan, stars, huge, rows"),
        ("missing-contcar:2", "fault missing-contcar: takes no argument, but got '2'"),
    ],
)
def test_a_request_that_cannot_be_read_is_refused(text, complaint):
    with pytest.raises(ValueError, match=complaint.replace("(", r"\(")):
        make_fault(text)


def test_the_command_refuses_a_fault_that_is_none():
    with pytest.raises(ValueError, match="unknown fault 'coffee'"):
        rehearsal_command("springs", fault="coffee")


def test_conditions_are_read_in_any_order():
    request = parse_fault("exit:2:3@surrogate,match=x0.500_3.3,once")
    assert (request.name, request.argument) == ("exit", "2:3")
    assert (request.once, request.match, request.step) == (True, "x0.500_3.3", "surrogate")


def test_the_environment_chooses_a_fault_unless_the_command_line_does(half_sodium, rehearse, monkeypatch):
    monkeypatch.setenv(FAULT_VARIABLE, "exit:7")
    assert rehearse(half_sodium) == 7
    assert rehearse(half_sodium, "--fault", "exit:8") == 8
    assert rehearse(half_sodium, "--fault", "none") == 0
    monkeypatch.setenv(FAULT_VARIABLE, "")
    assert rehearse(half_sodium) == 0


def test_once_is_the_first_start_in_a_folder(half_sodium, rehearse, capfd):
    assert rehearse(half_sodium, "--fault", "exit:7@once") == 7
    assert "the rehearsal injects the fault exit:7@once" in capfd.readouterr().out
    assert text_of(half_sodium, MARKER) == "exit:7@once\n"
    assert rehearse(half_sodium, "--fault", "exit:7@once") == 0
    assert "injects" not in capfd.readouterr().out
    assert rehearse(half_sodium, "--fault", "exit:8@once") == 8  # another fault


def test_a_fault_chooses_configurations_by_their_folder(half_sodium, rehearse):
    assert rehearse(half_sodium, "--fault", f"exit:7@match={half_sodium.name}") == 7
    assert rehearse(half_sodium, "--fault", "exit:7@match=another-configuration,once") == 0
    assert text_of(half_sodium, MARKER).count("\n") == 1


def test_a_fault_chooses_the_step_by_its_species(half_sodium, write_inputs, rehearse):
    assert rehearse(half_sodium, "--fault", "exit:7@surrogate") == 0
    assert rehearse(half_sodium, "--fault", "exit:7@redox") == 7
    structure = olivine(sodium=(2, 3))
    structure.replace(2, "Ga")
    folder = write_inputs(structure, iron_moments(structure))
    assert rehearse(folder, "--fault", "exit:7@surrogate") == 7
    assert rehearse(folder, "--fault", "exit:7@redox") == 0


def test_the_surrogates_are_those_of_the_couples():
    assert {couple.surrogate.element for couple in shipped_couples().values()} == set(SURROGATES)


@pytest.mark.parametrize("key", MESSAGES)
def test_a_message_is_printed_where_vasp_prints_it(half_sodium, rehearse, capfd, key):
    message = MESSAGES[key]
    status = rehearse(half_sodium, "--fault", f"message:{key}")
    printed = capfd.readouterr()
    assert message.text in (printed.err if message.on_stderr else printed.out)
    assert status == (1 if message.fatal else 0)
    if message.stage == "reading":
        assert (half_sodium / "vasprun.xml").exists() is not message.fatal
        return
    outcar = text_of(half_sodium, "OUTCAR")
    assert (message.text in outcar) is not message.on_stderr
    assert ("General timing" in outcar) is not message.fatal
    if message.fatal:
        whole = {"setup": 0, "scf": 1, "ionic": 2}[message.stage]
        assert outcar.count("LOOP+") == len(moment_tables(outcar)) == whole
        begun = whole + (message.stage == "scf")
        assert text_of(half_sodium, "vasprun.xml").count("<calculation>") == begun
        assert text_of(half_sodium, "OSZICAR").count("rms(c)") == begun
        assert bool(text_of(half_sodium, "CONTCAR")) is (whole > 0)


def test_a_message_may_come_at_another_step_and_let_the_run_go_on(half_sodium, rehearse, capfd):
    assert rehearse(half_sodium, "--fault", "message:brmix:4:continue") == 0
    printed = capfd.readouterr().out
    assert printed.partition("BRMIX")[0].count("F=") == 3
    assert last_run(half_sodium).converged
    assert rehearse(half_sodium, "--fault", "zbrent:5") == 1
    assert text_of(half_sodium, "OSZICAR").count("F=") == 5


@pytest.mark.parametrize(("which", "steps"), [("2", [2]), ("all", None), ("last", [-1])])
def test_electrons_that_do_not_converge_take_nelm_steps(half_sodium, rehearse, which, steps):
    set_tag(half_sodium, "NELM", "25")
    assert rehearse(half_sodium, "--fault", f"scf:{which}") == 0
    lengths = [len(step["electronic_steps"]) for step in last_run(half_sodium).ionic_steps]
    if steps is None:
        assert set(lengths) == {25}
    else:
        assert lengths[steps[0] - 1 if steps[0] > 0 else -1] == 25
        assert lengths[0] < 25
    assert last_run(half_sodium).converged_electronic is (which == "2")
    assert text_of(half_sodium, "OUTCAR").count("EDIFF was not reached") == lengths.count(25)
    assert max(len(step) for step in Oszicar(half_sodium / "OSZICAR").electronic_steps) == 25


def test_nsw_ends_a_run_unconverged(half_sodium, rehearse):
    assert rehearse(half_sodium, "--fault", "nsw:3") == 0
    run = last_run(half_sodium)
    assert len(run.ionic_steps) == 3
    assert run.converged_electronic
    assert not run.converged_ionic
    assert "reached required accuracy" not in text_of(half_sodium, "OUTCAR")


@pytest.mark.parametrize("steps", [1, 3])
def test_wall_time_ends_a_run_softly(half_sodium, rehearse, steps):
    assert rehearse(half_sodium, "--fault", f"wall-time:{steps}") == 0
    run, outcar = last_run(half_sodium), Outcar(half_sodium / "OUTCAR")
    assert len(run.ionic_steps) == steps
    assert outcar.is_stopped
    assert run.converged  # so says pymatgen
    assert np.linalg.norm(run.ionic_steps[-1]["forces"], axis=1).max() > 0.03
    assert not (half_sodium / "STOPCAR").exists()


def test_a_cut_vasprun_is_no_xml(half_sodium, rehearse):
    assert rehearse(half_sodium) == 0
    whole = len(text_of(half_sodium, "vasprun.xml"))
    assert rehearse(half_sodium, "--fault", "truncated-vasprun:0.8") == 0
    assert len(text_of(half_sodium, "vasprun.xml")) == pytest.approx(0.8 * whole, rel=0.01)
    with pytest.raises(etree.XMLSyntaxError):
        etree.parse(half_sodium / "vasprun.xml")
    assert "General timing" in text_of(half_sodium, "OUTCAR")


def test_contcar_may_be_missing_or_empty(half_sodium, rehearse):
    assert rehearse(half_sodium, "--fault", "empty-contcar") == 0
    assert text_of(half_sodium, "CONTCAR") == ""
    assert rehearse(half_sodium, "--fault", "missing-contcar") == 0
    assert not (half_sodium / "CONTCAR").exists()


@pytest.mark.parametrize(("kind", "cell"), [("nan", "NaN"), ("stars", "*" * 8), ("huge", "4321.000")])
def test_garbage_moments_are_printed_as_fortran_would(half_sodium, rehearse, kind, cell):
    set_tag(half_sodium, "NUPDOWN", "-1")
    assert rehearse(half_sodium, "--fault", f"garbage-moments:{kind}") == 0
    table = text_of(half_sodium, "OUTCAR").rpartition("magnetization (x)")[2]
    row = next(line for line in table.splitlines() if line.startswith("    3 "))
    assert row.endswith(cell)
    assert len(row) == 10 + 4 * 8
    assert ("mag=        NaN" in text_of(half_sodium, "OSZICAR")) is (kind == "nan")


def test_moments_may_lack_rows(half_sodium, rehearse):
    assert rehearse(half_sodium, "--fault", "garbage-moments:rows") == 0
    assert {len(table) for table in moment_tables(text_of(half_sodium, "OUTCAR"))} == {19}


def test_a_blown_up_cell_keeps_its_moments(half_sodium, rehearse):
    assert rehearse(half_sodium) == 0
    sane, moments = last_run(half_sodium), moment_tables(text_of(half_sodium, "OUTCAR"))[-1]
    assert rehearse(half_sodium, "--fault", "blow-up") == 0
    blown = last_run(half_sodium)
    assert blown.final_structure.volume == pytest.approx(1.2 * sane.final_structure.volume)
    assert blown.ionic_steps[0]["structure"].volume == pytest.approx(sane.ionic_steps[0]["structure"].volume)
    assert blown.converged
    assert moment_tables(text_of(half_sodium, "OUTCAR"))[-1] == moments


def test_energies_may_be_positive_or_jump(half_sodium, rehearse):
    assert rehearse(half_sodium, "--fault", "positive-energy") == 0
    steps = Oszicar(half_sodium / "OSZICAR").ionic_steps
    assert all(step["F"] > 0 for step in steps)
    assert all(step["dE"] <= 0 for step in steps)
    assert rehearse(half_sodium, "--fault", "energy-jump:3") == 0
    steps = Oszicar(half_sodium / "OSZICAR").ionic_steps
    assert steps[1]["F"] - steps[0]["F"] == pytest.approx(3 * 26, abs=5)


def test_wavecar_is_a_stub_that_the_next_run_starts_from(half_sodium, rehearse, capfd):
    set_tag(half_sodium, "ISTART", "1")
    assert rehearse(half_sodium) == 0
    assert "ISTART = 1 but there is no WAVECAR; starting from scratch" in capfd.readouterr().out
    assert not (half_sodium / "WAVECAR").exists()
    assert last_run(half_sodium).parameters["ISTART"] == 0
    set_tag(half_sodium, "LWAVE", ".TRUE.")
    assert rehearse(half_sodium) == 0
    assert text_of(half_sodium, "WAVECAR").startswith("stub WAVECAR of the rehearsal stand-in")
    assert "there is no WAVECAR" in capfd.readouterr().out
    assert rehearse(half_sodium) == 0
    assert "WAVECAR file was read successfully" in capfd.readouterr().out
    assert last_run(half_sodium).parameters["ISTART"] == 1
    assert "ISTART =      1" in text_of(half_sodium, "OUTCAR")


def test_a_wavecar_of_another_program_is_refused(half_sodium, rehearse, capfd):
    set_tag(half_sodium, "ISTART", "1")
    (half_sodium / "WAVECAR").write_bytes(b"\x00\x01\xff")
    assert rehearse(half_sodium) == 1
    assert "while reading WAVECAR, plane wave coefficients changed" in capfd.readouterr().out
    set_tag(half_sodium, "ISTART", "0")
    assert rehearse(half_sodium) == 0


def test_mixing_tags_are_accepted(half_sodium, rehearse, capfd):
    tags = "AMIX=0.1 BMIX=0.01 AMIN=0.01 AMIX_MAG=0.8 BMIX_MAG=0.001 IMIX=1 NELMDL=-6 ISEARCH=1 MAXMIX=40 SMASS=0.75"
    for tag, value in (word.split("=") for word in tags.split()):
        set_tag(half_sodium, tag, value)
    assert rehearse(half_sodium, "--steps", "1") == 0
    assert "unknown" not in capfd.readouterr().out
