"""Going on from CONTCAR and rescuing lost orderings, run for real on the stand-in."""

import gzip
import shutil
import tarfile
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from atomate2.vasp.powerups import update_user_incar_settings
from jobflow import run_locally
from pymatgen.io.vasp import Incar
from valenceflow.flows.follow_up import StartingPoint, follow_up, goes_on, read_contcar
from valenceflow.flows.harvest import archived_frames, partial_frames
from valenceflow.flows.rehearsal.command import rehearsal_command
from valenceflow.flows.rescue import LADDER, drop_wavecar, take_wavecar
from valenceflow.flows.two_step import TwoStepRelaxMaker
from valenceflow.inputs.charge_states import get_couple
from valenceflow.inputs.substitution import charge_sites
from valenceflow.stores.connect import sqlite_stores
from valenceflow.stores.documents import AchievedOrdering, Audit, Finding, RunHistory, VaspStepDoc
from valenceflow.stores.step_runs import step_runs
from valenceflow.stores.trajectories import step_trajectory


@pytest.fixture
def run(tmp_path, stub_potcars):
    """Function that runs a flow and gives its runs by step name, and the store."""
    return partial(run_in, tmp_path)


def run_in(folder, flow):
    stores = sqlite_stores(folder / "store.sqlite")
    job_store = stores.job_store()
    run_locally(flow, store=job_store, create_folders=True, root_dir=folder, log=False)
    runs = step_runs(stores.docs(), flow.job_uuids)
    names = {job.uuid: job.name for job in flow.jobs}
    return {names[uuid]: found for uuid, found in runs.items()}, job_store


@pytest.fixture(scope="module")
def lost(tmp_path_factory, stub_potcars, half_filled):
    """Runs of a relaxation that loses its ordering at every try."""
    command = rehearsal_command("springs", fault="spin-flip:3")
    flow = maker(command, on_lost_ordering="retry").make(half_filled())
    return run_in(tmp_path_factory.mktemp("lost"), flow)[0]["relax"]


def maker(command=None, **relax):
    made = TwoStepRelaxMaker()
    for step in (made.surrogate_relax_maker, made.relax_maker):
        # Custodian's own continuation (UnconvergedErrorHandler) is left out, so that ours is seen.
        step.run_vasp_kwargs["handlers"] = []
        if command is not None:
            step.run_vasp_kwargs |= {"vasp_cmd": command, "vasp_gamma_cmd": command}
    for name, value in relax.items():
        setattr(made.relax_maker, name, value)
    return made


def test_an_unconverged_relaxation_goes_on_until_it_converges(run, half_filled, tmp_path):
    flow = update_user_incar_settings(maker().make(half_filled()), {"NSW": 9})
    runs, _ = run(flow)
    surrogate = runs["surrogate relax"]
    assert surrogate.last["document"] == "VaspStepDoc", surrogate.last["exception"]
    assert len(surrogate.documents) > 1
    assert [d["continues"] for d in surrogate.documents] == [True] * (len(surrogate.documents) - 1) + [False]
    assert surrogate.passed
    assert surrogate.result["history"]["continuation"] == len(surrogate.documents) - 1
    whole = step_trajectory(sqlite_stores(tmp_path / "store.sqlite"), surrogate.result["uuid"])
    assert surrogate.n_ionic_steps == len(whole.energies) == len(whole.magmoms)
    assert all(len(moments) == len(whole.symbols) for moments in whole.magmoms)
    assert whole.energies[-1] == surrogate.result["energy"]
    assert sorted(whole.energies, reverse=True)[0] == whole.energies[0]
    # Each run begins one step beyond where the one before ended, and no energy jumps up between them.
    energies = [d["energy"] for d in surrogate.documents]
    assert energies == sorted(energies, reverse=True)
    assert runs["relax"].passed
    assert runs["relax"].result["achieved"]["relation"] == "kept"


def test_a_relaxation_that_never_converges_ends_at_its_limit_and_stops_step_two(run, half_filled):
    made = maker()
    made.surrogate_relax_maker.max_continuations = 2
    flow = update_user_incar_settings(made.make(half_filled()), {"NSW": 2})
    runs, _ = run(flow)
    assert len(runs["surrogate relax"].documents) == 3
    assert not runs["surrogate relax"].passed
    assert not runs["surrogate relax"].goes_on
    assert "relax" not in runs


def test_moments_are_asserted_anew_in_every_continuation(run, half_filled, tmp_path):
    flow = update_user_incar_settings(maker().make(half_filled()), {"NSW": 9})
    runs, _ = run(flow)
    folders = [d["folder"].split(":", maxsplit=1)[1] for d in runs["surrogate relax"].documents]
    assert len(folders) > 1
    moments = [incar_of(folder)["MAGMOM"] for folder in folders]
    assert all(m == moments[0] for m in moments)
    assert set(moments[0]) == {0.0, 4.0}


def test_a_lost_ordering_is_tried_again_and_what_did_not_help_is_said(lost):
    relax = lost
    steps = [d["step"] for d in relax.documents]
    assert steps == ["relax", *["rescue static"] * len(LADDER)]
    assert relax.result is relax.documents[0]
    assert relax.result["achieved"]["relation"] == "delocalised"
    assert len(relax.tried) == len(LADDER) + 1
    assert relax.tried[-1].startswith("the last try did not help")
    assert "AMIX" in relax.tried[1]
    written = incar_of(relax.documents[-1]["folder"].split(":", maxsplit=1)[1])
    assert (written["NSW"], written["LWAVE"], written["AMIX"]) == (0, True, LADDER[1]["AMIX"])
    assert set(written["MAGMOM"]) == {0.0, 4.0, 5.0}


def test_a_rescue_that_helps_is_relaxed_from_its_wavecar(run, half_filled, tmp_path):
    # The stand-in loses the order in relaxations only: a wrapper leaves the fault out once a WAVECAR was made.
    lossy, plain = rehearsal_command("springs", fault="spin-flip:3"), rehearsal_command("springs")
    script = tmp_path / "vasp.sh"
    script.write_text(
        "#!/bin/sh\n"
        f'if grep -q "LWAVE = True" INCAR; then echo stub > WAVECAR; exec {plain}; fi\n'
        f'if grep -q "ISTART = 1" INCAR; then test -s WAVECAR || exit 3; exec {plain}; fi\n'
        f"exec {lossy}\n"
    )
    script.chmod(0o755)
    runs, _ = run(maker(str(script), on_lost_ordering="retry").make(half_filled()))
    relax = runs["relax"]
    assert [d["step"] for d in relax.documents] == ["relax", "rescue static", "relax"]
    assert relax.result is relax.documents[-1]
    assert relax.result["achieved"]["relation"] == "kept"
    static = relax.documents[1]["folder"].split(":", maxsplit=1)[1]
    last = relax.result["folder"].split(":", maxsplit=1)[1]
    for folder in (static, last):
        assert not read_names(folder) & {"WAVECAR", "WAVECAR.gz"}, "gigabytes, and no run starts from them any more"


def test_a_resumed_rescue_keeps_its_mixing_and_never_waits_for_a_wavecar_that_is_gone(lost, half_filled, tmp_path):
    """As after a restart of the campaign: the maker is made anew, the documents come from the store."""
    relax, _, second = (as_document(d) for d in lost.documents)
    kept = AchievedOrdering(relation="kept", is_high=relax.intended_is_high)
    static = second.model_copy(update={"achieved": kept, "audit": Audit(passed=True)})
    unfinished = Audit.of([Finding(code="forces", severity="failure", message="")])
    halfway = relax.model_copy(update={"history": second.history, "audit": unfinished})
    fresh = maker(on_lost_ordering="retry").relax_maker
    from_scratch = next_job(fresh, static, half_filled)
    (tmp_path / "static").mkdir()
    (tmp_path / "static" / "WAVECAR").write_text("stub")
    here = static.model_copy(update={"folder": f"host:{tmp_path}/static"})
    from_wavecar = next_job(fresh, here, half_filled)
    longer = next_job(from_wavecar.maker, halfway, half_filled)
    assert generator_of(from_wavecar).restart == "from wavecar"
    assert generator_of(from_scratch).restart == generator_of(longer).restart == "scratch"
    assert from_scratch.function_kwargs["history"].tried[-1] == "its WAVECAR is gone: relaxed from scratch"
    assert longer.function_kwargs["history"].continuation == 1
    for job in (from_wavecar, from_scratch, longer, next_job(fresh, halfway, half_filled)):
        assert generator_of(job).user_incar_settings.items() >= LADDER[1].items()
    assert "AMIX" not in fresh.input_set_generator.user_incar_settings


def as_document(fields):
    kept = {name: value for name, value in fields.items() if name in VaspStepDoc.model_fields}
    return VaspStepDoc.model_validate({**kept, "frames": None, "task": None})


def next_job(made, document, half_filled):
    sites = charge_sites(half_filled(), get_couple("Fe2+/Fe3+"))
    context = made.context(document.structure, sites, None, None, document.history)
    start = StartingPoint(structure=document.structure, site_order=document.site_order)
    return follow_up(made, document, context, start, start)


def generator_of(job):
    return job.maker.input_set_generator


def test_a_static_run_whose_electrons_do_not_converge_is_tried_again_with_stiffer_mixing(lost, half_filled):
    relax = as_document(lost.result)
    unconverged = Audit.of([Finding(code="scf", severity="failure", message="EDIFF was not reached")])
    static = relax.model_copy(
        update={"step": "rescue static", "audit": unconverged, "history": RunHistory(rescue=1, tried=["rescue 1"])}
    )
    job = next_job(maker(on_lost_ordering="retry").relax_maker, static, half_filled)
    assert job.name == "rescue static"
    assert generator_of(job).user_incar_settings.items() >= LADDER[1].items()
    assert job.function_kwargs["history"].tried[-1].startswith("EDIFF was not reached: rescue 2: static SCF")
    assert next_job(job.maker, static.model_copy(update={"history": RunHistory(rescue=2)}), half_filled) is None


@pytest.mark.parametrize(
    ("codes", "stopped", "goes"),
    [
        (["forces"], False, True),
        (["stopped", "volume", "axes"], True, True),
        (["stopped", "scf"], True, True),  # LABORT
        (["scf"], True, True),
        (["scf"], False, False),
        (["forces", "scf"], False, False),
        (["forces", "drift"], False, False),
        (["volume"], False, False),
        ([], True, False),
    ],
    ids=str,
)
def test_a_relaxation_goes_on_where_more_steps_mend_it_and_nowhere_else(codes, stopped, goes, lost):
    audit = Audit.of([Finding(code=code, severity="failure", message="") for code in codes])
    document = as_document(lost.documents[0]).model_copy(update={"audit": audit, "stopped": stopped})
    assert goes_on(document, limit=1) is goes
    assert not goes_on(document, limit=0)
    assert not goes_on(document.model_copy(update={"step": "static"}), limit=1)


def test_a_wavecar_stays_for_whoever_starts_from_it_and_goes_under_all_its_names(tmp_path):
    static, killed, relax, other = (tmp_path / name for name in ("static", "killed", "relax", "other"))
    for folder in (static, killed, relax, other):
        folder.mkdir()
    for folder in (static, other):
        (folder / "WAVECAR").write_text("stub")
    made = maker().relax_maker
    made.input_set_generator.restart = "from wavecar"
    take_wavecar(f"host:{static}", killed)  # killed in its first ionic step
    take_wavecar(f"host:{static}", relax)
    assert (relax / "WAVECAR").samefile(static / "WAVECAR")
    drop_wavecar(maker().relax_maker, relax, None)  # a run that is no rescue has nothing to drop
    assert (relax / "WAVECAR").exists()
    drop_wavecar(made, relax, None)
    assert [folder for folder in (static, killed, relax, other) if (folder / "WAVECAR").exists()] == [other]


def incar_of(folder):
    return Incar.from_str(gzip.decompress((Path(folder) / "INCAR.gz").read_bytes()).decode())


def read_names(folder):
    return {path.name for path in Path(folder).iterdir()}


def test_a_lost_ordering_can_be_a_failure(run, half_filled):
    command = rehearsal_command("springs", fault="spin-flip:3")
    runs, _ = run(maker(command, on_lost_ordering="fail").make(half_filled()))
    assert not runs["relax"].passed
    codes = [f["code"] for f in runs["relax"].result["audit"]["findings"] if f["severity"] == "failure"]
    assert codes == ["ordering"]


def test_custodians_archives_and_killed_runs_give_their_frames_back(run, half_filled, tmp_path):
    runs, job_store = run(maker().make(half_filled()))
    document = runs["relax"].result
    folder = tmp_path / document["folder"].split("/")[-1]
    whole = partial_frames(folder, "killed")
    assert len(whole.energies) == document["n_ionic_steps"]
    assert whole.energies[-1] == pytest.approx(document["energy"], abs=1e-7)
    assert whole.origins == ["killed"] * len(whole.energies)
    stored = job_store.get_output(document["uuid"], load=True)
    frames = stored["frames"] if isinstance(stored, dict) else stored.frames
    expected = frames["magmoms"] if isinstance(frames, dict) else frames.magmoms
    assert np.allclose(whole.magmoms, expected)
    # As custodian packs what it restarts from; a name that points elsewhere is left alone.
    inner = tmp_path / "error.1"
    inner.mkdir()
    for name in ("vasprun.xml.gz", "OUTCAR.gz"):
        shutil.copy(folder / name, inner / name)
    with tarfile.open(folder / "error.1.tar.gz", "w:gz") as tar:
        tar.add(inner, arcname="error.1")
        tar.add(inner / "OUTCAR.gz", arcname="../../OUTCAR.gz")
    (series,) = archived_frames(folder, whole.symbols)
    assert series.energies == whole.energies
    assert set(series.origins) == {"error.1"}
    assert archived_frames(folder, ["Na"]) == []


def test_a_contcar_of_other_sites_or_cut_off_is_not_gone_on_from(tmp_path, half_filled):
    structure = half_filled().get_sorted_structure()
    symbols = [site.specie.symbol for site in structure]
    assert read_contcar(tmp_path, symbols) is None
    structure.to(filename=str(tmp_path / "POSCAR"), fmt="poscar")
    text = (tmp_path / "POSCAR").read_text()
    (tmp_path / "CONTCAR").write_text(text)
    assert read_contcar(tmp_path, symbols) is not None
    assert read_contcar(tmp_path, symbols[::-1]) is None
    # Within the last number, the file still reads as a structure.
    for length in (0, 30, len(text) // 2, text.rstrip().rfind(" ") - 12):
        (tmp_path / "CONTCAR").write_text(text[:length])
        assert read_contcar(tmp_path, symbols) is None


def test_a_missing_wavecar_is_said(tmp_path):
    with pytest.raises(FileNotFoundError, match="has no WAVECAR to start from"):
        take_wavecar(f"host:{tmp_path}", tmp_path)
