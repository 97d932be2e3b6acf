"""Each fault of a VASP run that the stock stack passes over, or keeps no document of, is found and named here.

Those with more to test have tests of their own: custodian's restarts and wall time in test_custody, kills in
test_resume, missing outputs in test_failures, lost orderings in test_follow_up. benchmarks/reliability.py runs all.
"""

import pytest
from custodian.vasp.handlers import FrozenJobErrorHandler
from jobflow import Flow, run_locally
from pymatgen.io.vasp import Incar
from valenceflow.flows.idealised import audit_reference
from valenceflow.flows.rehearsal.command import rehearsal_command
from valenceflow.flows.two_step import relax_maker
from valenceflow.inputs.charge_states import get_couple
from valenceflow.inputs.substitution import charge_sites
from valenceflow.stores.connect import sqlite_stores
from valenceflow.stores.step_runs import step_runs


@pytest.fixture
def relaxed(tmp_path, stub_potcars, olivine, half_filled):
    """Function that runs step 2 with a fault in it and gives its runs."""
    structure = half_filled()
    sites = charge_sites(structure, get_couple("Fe2+/Fe3+"))

    def run(fault, **run_vasp):
        maker = relax_maker("relax")
        maker.max_continuations = 0
        command = rehearsal_command("springs", fault)
        maker.run_vasp_kwargs |= {"vasp_cmd": command, "vasp_gamma_cmd": command, **run_vasp}
        reference = audit_reference(olivine, [False, False, True, True])
        job = maker.make(structure, sites=sites, reference=reference)
        stores = sqlite_stores(tmp_path / "store.sqlite")
        run_locally(Flow([job]), store=stores.job_store(), create_folders=True, root_dir=tmp_path, log=False)
        return step_runs(stores.docs(), [job.uuid])[job.uuid]

    return run


def findings(runs):
    return {finding["code"]: finding for finding in runs.result["audit"]["findings"]}


@pytest.mark.parametrize(
    ("fault", "reason", "said"),
    [
        ("brmix@once", "vasp error", "exit code 1"),
        ("message:nbands_not_sufficient@once", "vasp error", "exit code 1"),
        ("garbage-moments:nan", "outputs unreadable", "moments that are not finite in ionic step 1"),
        ("garbage-moments:stars", "outputs unreadable", "no readable moments in ionic step 1"),
        ("garbage-moments:huge", "outputs unreadable", "no readable moments in ionic step 1"),
        ("garbage-moments:rows", "outputs unreadable", "19 moments for 26 sites in ionic step 1"),
        ("missing-contcar", "outputs unreadable", "VASP left no CONTCAR"),
        ("empty-contcar", "outputs unreadable", "CONTCAR is empty"),
        ("exit:3", "vasp error", "exit code 3"),
    ],
)
def test_a_run_without_a_result_is_a_failure_that_says_why(fault, reason, said, relaxed):
    failure = relaxed(fault).last
    assert (failure["document"], failure["reason"]) == ("FailureDoc", reason)
    assert said in failure["message"]
    assert failure["message"].count("\n") == 0
    assert failure["remedy"]
    assert failure["last_lines"]


def test_every_correction_of_a_run_that_failed_all_the_same_is_in_its_failure(relaxed):
    failure = relaxed("edddav").last
    corrections = failure["corrections"]
    assert (failure["reason"], len(corrections)) == ("vasp error", 5)
    assert "Max errors per job reached" in failure["message"]
    assert all(line.startswith("edddav: ") and "CHGCAR" in line for line in corrections)


def test_electrons_that_did_not_converge_on_the_way_are_flagged_and_their_frame_is_marked(relaxed):
    runs = relaxed("scf:2")
    assert runs.passed
    assert "ionic steps did not reach EDIFF" in findings(runs)["scf on the way"]["message"]
    assert findings(runs)["scf on the way"]["severity"] == "warning"


def test_a_cell_that_blew_up_does_not_count_although_its_forces_and_moments_are_fine(relaxed):
    runs = relaxed("blow-up")
    assert not runs.passed
    assert findings(runs).keys() >= {"volume"}
    assert runs.result["achieved"]["relation"] == "kept"


def test_a_hanging_vasp_is_ended_and_what_custodian_did_is_said(relaxed):
    runs = relaxed(
        "hang:2@once",
        handlers=[FrozenJobErrorHandler(timeout=2)],  # custodian's own patience is six hours
        custodian_kwargs={"polling_time_step": 0.2, "monitor_freq": 3},
    )
    assert runs.passed
    # A busy machine may take a slow start for a hang, too.
    assert findings(runs)["corrections"]["message"].startswith("custodian acted on: Frozen job")


def test_a_warning_that_custodian_passes_over_is_a_finding(relaxed):
    runs = relaxed("message:auto_nbands")
    assert runs.passed
    assert "VASP said (auto_nbands)" in findings(runs)["vasp message"]["message"]


def test_a_correction_of_what_decides_energies_is_named_as_drift(relaxed):
    runs = relaxed("message:real_optlay@once")
    folder = runs.result["folder"].partition(":")[2]
    written = Incar.from_file(f"{folder}/INCAR.orig.gz")
    assert (written["LREAL"], Incar.from_file(f"{folder}/INCAR.gz")["LREAL"]) == ("Auto", False)
    assert findings(runs).keys() >= {"drift", "corrections"}
    assert "LREAL: Auto -> False" in findings(runs)["drift"]["message"]
    assert runs.passed
    assert runs.result["protocol_drift"] == ["LREAL: Auto -> False"]


def test_a_run_that_nsw_ended_says_so_beside_its_forces(relaxed):
    runs = relaxed("nsw:2", handlers=[])
    assert not runs.passed
    assert findings(runs).keys() >= {"forces", "steps"}
    assert "NSW = 2" in findings(runs)["steps"]["message"]
