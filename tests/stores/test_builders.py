"""From the documents of jobs to one document per configuration: state, ordering, audit, and what is still to come."""

import pytest
from valenceflow.inputs.hosts import get_host
from valenceflow.inputs.orderings.group import ordering_group
from valenceflow.inputs.supercells import HostSupercell
from valenceflow.stores.builders import build_calculations, calculation_doc, is_finished, pending, record_failure
from valenceflow.stores.connect import sqlite_stores
from valenceflow.stores.documents import ConfigurationDoc, FailureDoc, StepIntent
from valenceflow.stores.other_versions import other_versions
from valenceflow.stores.step_runs import StepRuns

CELL = HostSupercell.build(get_host("olivine-NaFePO4"))
FIRST, SECOND = "surrogate relax", "relax"
ENGINE = "rehearsal:springs"
WORKING, HIGH = [False, True, True, False], [True, False, True, False]
LOW_M, HIGH_M = 3.78, 4.33


def configuration(name="one", attempt=1, **changes):
    key = str(ordering_group(CELL).key(WORKING, HIGH))
    fields = {
        "configuration_id": name, "campaign": "small", "host": "olivine-NaFePO4", "host_hash": "h",
        "supercell": [[1, 0, 0], [0, 1, 0], [0, 0, 1]], "joint_key": key, "working_key": key.split(".")[0],
        "working_bits": WORKING, "charge_bits": HIGH, "fraction": 0.5, "n_high": 2, "multiplicity": 1,
        "working_multiplicity": 2, "stratum": "all", "couple": "Fe2+/Fe3+", "working_ion": "Na", "formula": "f",
        "n_atoms": 26, "formula_units": 4, "protocol": "paper-2026", "protocol_hash": "p", "engine": ENGINE,
        "attempt": attempt, "job_uuids": {FIRST: f"{name}-1-{attempt}", SECOND: f"{name}-2-{attempt}"},
    }  # fmt: skip
    return ConfigurationDoc(**{**fields, **changes})


def step(kind=SECOND, passed=True, high=HIGH, relation="kept", engine=ENGINE, **changes):
    """A VaspStepDoc as stored; redox sites are the parent's 0..3, in POSCAR order 3 2 1 0."""
    moments = [HIGH_M if bit else LOW_M for bit in high or HIGH]
    unread = {"relation": "not read", "is_high": None}
    findings = [] if passed else [{"code": "forces", "severity": "failure", "message": "too large"}]
    return {
        "document": "VaspStepDoc", "step": kind, "energy": -120.0, "forces": [[0.0, 0.02, 0.0]] * 4,
        "structure": {"lattice": {"volume": 320.0}}, "magmoms": moments[::-1], "site_order": [3, 2, 1, 0],
        "redox_sites": [0, 1, 2, 3], "n_ionic_steps": 7, "engine": {"name": engine, "version": "6.4.0"},
        "achieved": {"relation": relation, "is_high": high} if kind == SECOND else unread,
        "audit": {"passed": passed, "findings": findings}, "frames": {"blob_uuid": "x"}, "task": {"blob_uuid": "y"},
    } | changes  # fmt: skip


def failure(kind=FIRST, reason="killed", name="one"):
    return FailureDoc(
        step=kind, uuid=f"{name}-1-1", intent=StepIntent(campaign="small"), reason=reason, message=f"{kind}: {reason}",
        remedy="r", exception="e", folder="f",
    )  # fmt: skip


def runs(*documents):
    return StepRuns(tuple(documents))


def built(**steps):
    named = {{"first": FIRST, "second": SECOND}[name]: runs(document) for name, document in steps.items()}
    return calculation_doc(configuration(), CELL, named, {"pymatgen": "2026.10.24", "jobflow": "0.4.0"})


def test_both_steps_done_is_a_completed_calculation():
    made = built(first=step(FIRST), second=step())
    assert (made.state, made.relation, made.counts) == ("completed", "kept", True)
    assert made.achieved_key == made.intended_key
    assert (made.energy, made.energy_per_fu) == (-120.0, -30.0)
    assert made.magmoms_redox == [HIGH_M, LOW_M, HIGH_M, LOW_M]  # back in host order
    assert made.max_force == pytest.approx(0.02)
    assert made.volume_per_fu == 80.0
    assert made.n_ionic_steps == {FIRST: 7, SECOND: 7}


def test_frames_and_tasks_stay_in_the_data_store():
    made = built(first=step(FIRST), second=step())
    assert all(not {"frames", "task"} & set(document) for document in made.steps.values())


def test_an_ordering_that_moved_has_the_key_of_what_came_out_and_does_not_count():
    moved = [True, True, False, False]
    made = built(first=step(FIRST), second=step(high=moved, relation="moved"))
    assert (made.state, made.counts) == ("completed", False)
    assert made.achieved_key == str(ordering_group(CELL).key(WORKING, moved)) != made.intended_key


def test_an_ordering_that_was_not_resolved_has_no_key():
    made = built(first=step(FIRST), second=step(high=None, relation="delocalised"))
    assert (made.achieved_key, made.relation, made.counts) == (None, "delocalised", False)


def test_a_step_that_failed_its_audit_is_named_and_does_not_count():
    made = built(first=step(FIRST), second=step(passed=False))
    assert (made.state, made.counts) == ("audit failed", False)
    assert [(f.code, f.message) for f in made.audit.findings] == [("forces", "relax: too large")]
    only_first = built(first=step(FIRST, passed=False))
    assert (only_first.state, only_first.energy, only_first.relation) == ("audit failed", None, "not read")


def test_a_rescue_that_did_not_pass_its_audit_leaves_the_relaxation_before_it_as_the_result():
    lost = step(relation="moved")
    static = step(step="rescue static", history={"rescue": 1, "tried": ["rescue 1"]})
    unfit = step(passed=False, history={"rescue": 1, "tried": ["rescue 1"]})
    found = runs(lost, static, unfit)
    assert found.result == lost
    assert found.passed
    assert found.tried == ["rescue 1", "the last try did not help: too large"]
    helped = step(history={"rescue": 1, "tried": ["rescue 1"]})
    assert runs(lost, static, helped).result == helped
    # Without a rescue the newest run is the result, whatever came before it.
    assert not runs(step(), unfit | {"history": {"rescue": 0}}).passed


def test_a_failure_document_makes_a_failed_calculation():
    made = built(first=failure().model_dump(mode="json"))
    assert (made.state, made.counts, made.energy) == ("failed", False, None)
    assert [f.code for f in made.audit.findings] == ["killed"]


def test_an_output_of_another_engine_than_was_asked_for_never_counts():
    made = built(first=step(FIRST, engine="vasp"), second=step(engine="vasp"))
    assert (made.engine, made.counts) == ("vasp", False)
    assert "run as rehearsal:springs, but the output was written by vasp" in made.audit.findings[-1].message


@pytest.mark.parametrize(
    ("steps", "finished"),
    [
        ({}, False),
        ({FIRST: step(FIRST)}, False),
        ({FIRST: step(FIRST, passed=False)}, True),
        ({FIRST: failure().model_dump(mode="json")}, True),
        ({FIRST: step(FIRST), SECOND: step()}, True),
        ({FIRST: step(FIRST), SECOND: step(continues=True)}, False),
    ],
    ids=["nothing", "first", "first unfit", "first failed", "both", "goes on"],
)
def test_a_configuration_is_finished_when_nothing_more_will_come(steps, finished):
    assert is_finished(configuration(), {name: runs(document) for name, document in steps.items()}) is finished


@pytest.fixture
def stores(tmp_path):
    return sqlite_stores(tmp_path / "store.sqlite")


def put(stores, uuid, document, index=1):
    stores.docs().update([{"uuid": uuid, "index": index, "output": document}], key=["uuid", "index"])


def test_building_is_incremental_and_finds_work_by_identity(stores):
    one, two = configuration("one"), configuration("two")
    assert build_calculations(stores, CELL, [one, two]) == 0
    put(stores, "one-1-1", step(FIRST))
    assert build_calculations(stores, CELL, [one, two]) == 0
    put(stores, "one-2-1", step())
    assert [c.configuration_id for c in pending(stores, [one, two])] == ["one", "two"]
    assert build_calculations(stores, CELL, [one, two]) == 1
    assert build_calculations(stores, CELL, [one, two]) == 0
    assert [c.configuration_id for c in pending(stores, [one, two])] == ["two"]


def test_another_attempt_is_another_document(stores):
    put(stores, "one-1-1", failure().model_dump(mode="json"))
    assert build_calculations(stores, CELL, [configuration()]) == 1
    again = configuration(attempt=2)
    assert pending(stores, [again]) == [again]
    put(stores, "one-1-2", step(FIRST))
    put(stores, "one-2-2", step())
    assert build_calculations(stores, CELL, [again]) == 1
    states = {d["calculation_id"]: d["state"] for d in stores.collection("calculations").query({})}
    assert states == {"one-1": "failed", "one-2": "completed"}


def test_failures_are_a_collection_of_their_own(stores):
    put(stores, "one-1-1", failure(reason="vasp error").model_dump(mode="json"))
    build_calculations(stores, CELL, [configuration()])
    (kept,) = stores.collection("failures").query({"reason": "vasp error"})
    assert kept["uuid"] == "one-1-1"


def test_a_configuration_that_left_nothing_gets_the_failure_that_somebody_else_found(stores):
    put(stores, "one-1-1", step(FIRST))
    lost = failure(SECOND, "vanished").model_copy(update={"uuid": "one-2-1"})
    made = record_failure(stores, CELL, configuration(), lost)
    assert (made.state, set(made.steps)) == ("failed", {FIRST, SECOND})
    assert pending(stores, [configuration()]) == []
    assert stores.collection("failures").count({}) == 1


def test_many_configurations_are_built_in_batches(stores):
    many = [configuration(f"c{number}") for number in range(600)]
    for c in many[::3]:
        put(stores, f"{c.configuration_id}-1-1", failure(name=c.configuration_id).model_dump(mode="json"))
    assert build_calculations(stores, CELL, many) == 200
    assert len(pending(stores, many)) == 400


def test_jobs_that_ran_under_other_versions_than_were_submitted_with_are_told_and_counted(stores):
    submitted = {"pymatgen": "2026.10.24", "jobflow": "0.4.0", "chgnet": "0.4.2"}
    stores.collection("campaigns").update({"campaign": "small", "versions": submitted})
    same, older = {"pymatgen": "2026.10.24", "jobflow": "0.4.0"}, {"pymatgen": "2025.1.9", "jobflow": "0.4.0"}
    put(stores, "one-1-1", step(FIRST, versions=same))
    put(stores, "one-2-1", step(versions=same))
    put(stores, "two-1-1", step(FIRST, versions=same))
    put(stores, "two-2-1", step(versions=older))
    put(stores, "three-1-1", failure(name="three").model_copy(update={"versions": older}).model_dump(mode="json"))
    assert build_calculations(stores, CELL, [configuration(name) for name in ("one", "two", "three")]) == 3
    found = {c["configuration_id"]: c["other_versions"] for c in stores.collection("calculations").query({})}
    told = "pymatgen 2025.1.9 (submitted with 2026.10.24)"
    assert found == {"one": None, "two": told, "three": told}
    assert other_versions(stores, "small") == {told: 2}
    put(stores, "two-1-2", step(FIRST, versions=same))
    put(stores, "two-2-2", step(versions=same))
    build_calculations(stores, CELL, [configuration("two", attempt=2)])
    assert other_versions(stores, "small") == {told: 1}, "an attempt that no longer counts is left out"
    assert other_versions(stores, "large") == {}


def test_a_campaign_of_unknown_versions_has_none_that_differ(stores):
    put(stores, "one-1-1", step(FIRST, versions={"pymatgen": "2025.1.9"}))
    put(stores, "one-2-1", step())
    build_calculations(stores, CELL, [configuration()])
    assert other_versions(stores, "small") == {}
