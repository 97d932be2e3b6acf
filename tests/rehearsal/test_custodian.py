"""What the installed custodian, with atomate2's default handlers, does about each fault under our protocol's INCAR.

Regenerate a row by reading the assertion that fails. `|` parts the corrections of successive restarts, `-` is a restart
that custodian refused: it caught the error and knew no remedy. The faults here come back at every restart.
"""

from __future__ import annotations

import copy

import numpy as np
import pytest
from atomate2.vasp.run import DEFAULT_HANDLERS, run_vasp
from custodian.vasp.handlers import FrozenJobErrorHandler, StdErrHandler, VaspErrorHandler
from emmet.core.tasks import TaskDoc
from pymatgen.core import Structure
from pymatgen.io.vasp.inputs import Kpoints
from pymatgen.io.vasp.outputs import Vasprun
from valenceflow.flows.rehearsal.command import rehearsal_command
from valenceflow.flows.rehearsal.fault_requests import MARKER
from valenceflow.flows.rehearsal.messages import MESSAGES

from .custodian_runs import under_custodian
from .test_inputs import set_tag

pytestmark = [
    # Stub POTCARs are no potentials that pymatgen knows, and it is right to say so.
    pytest.mark.filterwarnings("ignore::pymatgen.io.vasp.inputs.UnknownPotcarWarning"),
    # Runs that were ended early, as asked.
    pytest.mark.filterwarnings("ignore::pymatgen.io.vasp.outputs.UnconvergedVASPWarning"),
]

BEYOND_VASP_ERROR_HANDLER = {"kpoints_trans", "out_of_memory", "mesh_symmetry", "psmaxn"}

# Caught, and given up at once: the protocol has no symmetry (ISYM 0), ALGO All, ISMEAR 0, a Gamma mesh.
NO_REMEDY = [
    "read_error", "spin_polarized_harris", "dfpt_ncore", "elf_kpar", "elf_ncl", "ksymm", "ibzkpt", "incorrect_shift",
    "rot_matrix", "point_group", "bravais", "hnform", "symprec_noise", "set_core_wf", "algo_tet", "kpoints_trans",
    "out_of_memory", "zheev", "eddiag",
]  # fmt: skip

# Seen by no handler: the first is only a warning to custodian, the others need ISYM > 0 or an unconverged run.
NOT_SEEN = ["auto_nbands", "mesh_symmetry", "psmaxn"]

LADDERS = {
    # inputs that decide energies: smearing, k-points, axes, projectors, accuracy
    "tet": "5 x INCAR ISMEAR=0 SIGMA=0.05",
    "tetirr": "5 x INCAR ISMEAR=0 SIGMA=0.05",
    "dentet": "KPOINTS generation_style=Gamma kpoints=[[3, 5, 6]] | KPOINTS generation_style=Gamma kpoints=[[3, 5, 7]]"
    " | 3 x INCAR ISMEAR=0 SIGMA=0.05",
    "brmix": "INCAR ISTART=1 | INCAR IMIX=1 | KPOINTS generation_style=Monkhorst, INCAR without IMIX"
    " | KPOINTS generation_style=Gamma | CHGCAR deleted, WAVECAR deleted",
    "triple_product": "5 x POSCAR changed",
    "real_optlay": "INCAR LREAL=False | -",
    "rspher": "INCAR LREAL=False | -",
    "nicht_konv": "INCAR LREAL=False | -",
    "subspacematrix": "INCAR LREAL=False | -",
    "zbrent": "CONTCAR -> POSCAR, INCAR EDIFF=1e-06 | CONTCAR -> POSCAR, INCAR EDIFF=1e-07, INCAR IBRION=1"
    " | CONTCAR -> POSCAR, INCAR EDIFF=1e-08 | 2 x CONTCAR -> POSCAR",
    # symmetry, which is off already
    "inv_rot_mat": "INCAR SYMPREC=1e-06 | INCAR SYMPREC=1e-05 | INCAR SYMPREC=0.0001 | -",
    "pricel": "INCAR SYMPREC=1e-08 ISYM=0 | -",
    "pricelv": "INCAR SYMPREC=1e-08 | INCAR SYMPREC=1e-06 | -",
    "posmap": "INCAR SYMPREC=1e-08 | INCAR SYMPREC=1e-06 | -",
    "rhosyg": "INCAR SYMPREC=0.0001 | 4 x INCAR ISYM=0",
    # how the minimum is looked for
    "coef": "5 x WAVECAR deleted",
    "amin": "INCAR AMIN=0.01 | -",
    "edddav": "5 x CONTCAR -> POSCAR, CHGCAR deleted",
    "eddrmm": "CONTCAR -> POSCAR, INCAR POTIM=0.25, CHGCAR deleted, WAVECAR deleted",
    "zpotrf": "INCAR POTIM=0.25 | INCAR POTIM=0.12 | INCAR POTIM=0.06 | INCAR POTIM=0.03 | INCAR POTIM=0.01",
    "pssyevx": "INCAR ALGO=Normal | -",
    "pdsyevx": "INCAR ALGO=Normal | -",
    "grad_not_orth": "INCAR ALGO=Fast | INCAR NBANDS=117 | -",
    "fexcf": "CONTCAR -> POSCAR | -",
    "too_few_bands": " | ".join(f"INCAR NBANDS={n}" for n in (117, 128, 140, 154, 169)),
    "brions": " | ".join(f"CONTCAR -> POSCAR, INCAR POTIM={x}" for x in (0.6, 0.7, 0.8, 0.9, 1.0)),
}
# Of these custodian sees the second run end well: the message came at the second step and there is none any more.
ENDS_WELL = ["eddrmm"]
# custodian 2026.10.21 takes OUTCAR's number of electrons for granted, and it is printed with the first electronic step.
CRASHES = {"nbands_not_sufficient": "TypeError"}


@pytest.fixture
def short_run(half_sodium):
    """A relaxation of a few steps: what custodian does is tested, not where the minimum is."""
    set_tag(half_sodium, "EDIFFG", "-0.5")
    set_tag(half_sodium, "NELM", "20")
    return half_sodium


def test_every_message_that_custodian_knows_can_be_printed():
    assert set(MESSAGES) == set(VaspErrorHandler.error_msgs) | BEYOND_VASP_ERROR_HANDLER
    known = {**StdErrHandler.error_msgs, **VaspErrorHandler.error_msgs}
    for key, message in MESSAGES.items():
        seen = {name for name, texts in known.items() if any(text in message.text for text in texts)}
        also = {"tet"} if key == "tetirr" else set()  # custodian lists TETIRR's complaint under both
        assert seen == ({key} & set(known)) | also


def test_every_message_has_its_row():
    assert sorted([*NO_REMEDY, *NOT_SEEN, *LADDERS, *CRASHES]) == sorted(MESSAGES)


@pytest.mark.parametrize("key", NO_REMEDY)
def test_custodian_gives_up_where_it_knows_no_remedy(short_run, monkeypatch, key):
    report = under_custodian(short_run, f"message:{key}", monkeypatch)
    assert (report.outcome, report.ending, report.ladder) == ("stopped", "NonRecoverableError", "-")
    assert report.errors == [[key]]


@pytest.mark.parametrize("key", NOT_SEEN)
def test_custodian_does_nothing_where_no_handler_looks(short_run, monkeypatch, key):
    report = under_custodian(short_run, f"message:{key}", monkeypatch)
    assert report.outcome == "nothing"
    assert MESSAGES[key].text in (short_run / "vasp.out").read_text()


@pytest.mark.parametrize("key", LADDERS)
def test_custodian_climbs_its_ladder(short_run, monkeypatch, key):
    report = under_custodian(short_run, f"message:{key}", monkeypatch)
    assert report.ladder == LADDERS[key]
    assert report.outcome == ("corrected" if key in ENDS_WELL else "stopped")
    assert all(key in errors for errors in report.errors)


@pytest.mark.parametrize(("key", "error"), CRASHES.items())
def test_custodian_itself_fails(short_run, monkeypatch, key, error):
    report = under_custodian(short_run, f"message:{key}", monkeypatch)
    assert (report.outcome, report.ending) == ("stopped", error)


MIXING = "INCAR ISTART=1 ALGO=Normal NELMDL=-6 BMIX=0.001 AMIX_MAG=0.8 BMIX_MAG=0.001"


@pytest.mark.parametrize(
    ("fault", "outcome", "ladder"),
    [
        ("none", "nothing", ""),
        ("zbrent@once", "corrected", "CONTCAR -> POSCAR, INCAR EDIFF=1e-06"),
        ("edddav@once", "corrected", "CONTCAR -> POSCAR, CHGCAR deleted"),
        ("brmix@once", "corrected", "INCAR ISTART=1"),
        ("scf:2", "nothing", ""),
        ("scf:last@once", "corrected", MIXING),
        ("scf:last", "stopped", " | ".join([MIXING, "INCAR ALGO=All ISEARCH=1"] * 2 + [MIXING])),
        ("nsw@once", "corrected", "INCAR IBRION=1, CONTCAR -> POSCAR"),
        ("wall-time", "nothing", ""),
        ("spin-flip", "nothing", ""),
        ("garbage-moments:nan", "nothing", ""),
        ("garbage-moments:stars", "nothing", ""),
        ("garbage-moments:rows", "nothing", ""),
        ("blow-up", "nothing", ""),
        ("empty-contcar", "nothing", ""),
        ("exit", "stopped", ""),
        ("exit:3:2", "stopped", ""),
        ("truncated-vasprun", "stopped", ""),
        ("missing-contcar", "stopped", ""),
        ("positive-energy@once", "corrected", "INCAR ALGO=Normal"),
        ("energy-jump@once", "corrected", "INCAR POTIM=0.25"),
        ("entropy@once", "corrected", "INCAR SIGMA=0.002529822128134704"),
    ],
)
def test_what_custodian_does_about_other_faults(short_run, monkeypatch, fault, outcome, ladder):
    report = under_custodian(short_run, fault, monkeypatch)
    assert (report.outcome, report.ladder) == (outcome, ladder)


def test_electrons_that_never_converge_are_noticed_after_ten_steps(half_sodium, monkeypatch):
    set_tag(half_sodium, "NELM", "20")
    report = under_custodian(half_sodium, "scf:all@once", monkeypatch)
    assert report.outcome == "corrected"
    assert sorted(report.errors) == [["Non-converging job"], ["Unconverged"]]  # both handlers, on one run


def test_a_correction_may_swap_the_axes_under_a_mesh_that_stays(short_run, monkeypatch):
    before = Structure.from_file(short_run / "POSCAR").lattice.abc
    assert under_custodian(short_run, "message:triple_product@once", monkeypatch).outcome == "corrected"
    final = Vasprun(short_run / "vasprun.xml", parse_potcar_file=False)
    assert final.initial_structure.lattice.abc == pytest.approx((before[0], before[2], before[1]), abs=1e-6)
    assert Kpoints.from_file(short_run / "KPOINTS").kpts[0] == (3, 1, 3)


def test_the_counts_of_a_ladder_outlive_a_job_where_handlers_are_shared(short_run, monkeypatch):
    handlers = copy.deepcopy(DEFAULT_HANDLERS)
    ladders = []
    for _ in range(2):
        (short_run / MARKER).unlink(missing_ok=True)
        ladders.append(under_custodian(short_run, "brmix@once", monkeypatch, handlers=handlers).ladder)
    # The second job starts on the second rung: whoever runs several jobs in a process must hand each its own handlers.
    assert ladders == ["INCAR ISTART=1", "INCAR IMIX=1"]


def test_a_hang_ends_with_the_frozen_job_handler(short_run, monkeypatch):
    monkeypatch.chdir(short_run)
    run_vasp(
        vasp_cmd=rehearsal_command("springs", "hang:3@once"),
        handlers=[FrozenJobErrorHandler(timeout=8)],
        custodian_kwargs={"polling_time_step": 0.2, "monitor_freq": 1},
    )
    assert (short_run / "error.1.tar.gz").exists()
    assert TaskDoc.from_directory(short_run).state.value == "successful"


def test_a_kill_is_stopped_by_the_validators(short_run, monkeypatch):
    monkeypatch.chdir(short_run)
    with pytest.raises(RuntimeError, match="Validation failed"):
        run_vasp(vasp_cmd=rehearsal_command("springs", "kill:3"), custodian_kwargs={"polling_time_step": 0.1})
    assert (short_run / "OSZICAR").read_text().count("F=") == 3


def test_emmet_reads_a_folder_with_the_marker_of_a_fault(short_run, monkeypatch):
    under_custodian(short_run, "zbrent@once,redox", monkeypatch)
    assert (short_run / MARKER).read_text() == "zbrent@once,redox\n"
    assert TaskDoc.from_directory(short_run).state.value == "successful"


def test_a_wall_time_stop_looks_successful_to_emmet(short_run, rehearse):
    set_tag(short_run, "EDIFFG", "-0.03")
    assert rehearse(short_run, "--fault", "wall-time:1") == 0
    doc = TaskDoc.from_directory(short_run)
    assert doc.state.value == "successful"
    assert np.linalg.norm(doc.output.forces, axis=1).max() > 0.5
