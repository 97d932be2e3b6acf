"""The two-step flow on the `springs` stand-in: production code path, toy physics."""

import gzip
import json
from datetime import datetime, timedelta

import numpy as np
import pytest
from pymatgen.core import Structure
from pymatgen.io.vasp import Incar, Kpoints, Poscar
from valenceflow.flows.step_document import STEP_FILE
from valenceflow.flows.two_step import TwoStepRelaxMaker

FIRST, SECOND = "surrogate relax", "relax"


@pytest.fixture(scope="module")
def done(half_filled, rehearse, tmp_path_factory):
    """Iron: holes on the second and the fourth redox site, so that the order of the sites matters."""
    flow = TwoStepRelaxMaker().make(half_filled(high=(1, 3)))
    return rehearse(flow, tmp_path_factory.mktemp("iron"))


@pytest.fixture(scope="module")
def manganese(half_filled, rehearse, tmp_path_factory):
    """Manganese: the high state has the smaller moment, and gallium sorts after it."""
    structure = half_filled(high=(1, 3), element="Mn", decorated=True)
    return rehearse(TwoStepRelaxMaker(couple="Mn2+/Mn3+").make(structure), tmp_path_factory.mktemp("manganese"))


def inputs(folder):
    """INCAR, POSCAR and KPOINTS that VASP was given (gzipped after the run)."""
    poscar = Poscar.from_file(folder / "POSCAR.gz", check_for_potcar=False)
    return Incar.from_file(folder / "INCAR.gz"), poscar, Kpoints.from_file(folder / "KPOINTS.gz")


def moments_by_site(document, moments):
    return dict(zip(document.site_order, moments, strict=True))


def test_both_steps_leave_a_document_and_keep_the_intended_ordering(done):
    first, second = done.documents[FIRST], done.documents[SECOND]
    assert (first.document, second.document) == ("VaspStepDoc", "VaspStepDoc")
    assert first.audit.passed
    assert second.audit.passed
    assert first.achieved.relation == "not read"
    assert second.achieved.relation == "kept"
    assert second.intended_is_high == second.achieved.is_high == [False, True, False, True]
    assert second.energy < 0
    assert second.engine.name == "rehearsal:springs"


def test_step_one_has_the_surrogate_where_step_two_has_the_high_state(done):
    first, second = done.documents[FIRST], done.documents[SECOND]
    on_site = {
        step: dict(zip(doc.site_order, (s.specie.symbol for s in doc.structure), strict=True))
        for step, doc in ((1, first), (2, second))
    }
    redox = second.redox_sites
    assert [on_site[1][i] for i in redox] == ["Fe", "Ga", "Fe", "Ga"]
    assert [on_site[2][i] for i in redox] == ["Fe"] * 4


@pytest.mark.parametrize(("run", "element", "high", "low"), [("done", "Fe", 5, 4), ("manganese", "Mn", 4, 5)])
def test_step_two_sets_the_moment_of_every_redox_site_anew(run, element, high, low, request):
    """T3: the moment 0 of the surrogate does not survive on the high-state site."""
    rehearsed = request.getfixturevalue(run)
    document = rehearsed.documents[SECOND]
    incar, poscar, _ = inputs(rehearsed.folders[SECOND])
    magmom = moments_by_site(document, incar["MAGMOM"])
    assert [magmom[i] for i in document.redox_sites] == [low, high, low, high]
    redox = [i for i, site in enumerate(poscar.structure) if site.specie.symbol == element]
    assert sorted(incar["MAGMOM"][i] for i in redox) == sorted([low, low, high, high])
    assert all(moment == 0 for i, moment in enumerate(incar["MAGMOM"]) if i not in redox)
    assert incar["NUPDOWN"] == 2 * high + 2 * low


@pytest.mark.parametrize("run", ["done", "manganese"])
def test_poscar_has_one_block_per_element_and_ldau_one_entry_per_block(run, request):
    """T7: nothing relies on atomate2's sorting."""
    rehearsed = request.getfixturevalue(run)
    for folder in rehearsed.folders.values():
        incar, poscar, _ = inputs(folder)
        assert len(poscar.site_symbols) == len(set(poscar.site_symbols))
        for tag in ("LDAUU", "LDAUL", "LDAUJ"):
            assert len(incar[tag]) == len(poscar.site_symbols)
        u = dict(zip(poscar.site_symbols, incar["LDAUU"], strict=True))
        assert [element for element, value in u.items() if value > 0] == [next(e for e in u if e in ("Fe", "Mn"))]


def test_gallium_stands_before_iron_and_after_manganese(done, manganese):
    assert inputs(done.folders[FIRST])[1].site_symbols == ["Na", "Ga", "Fe", "P", "O"]
    assert inputs(manganese.folders[FIRST])[1].site_symbols == ["Na", "Mn", "Ga", "P", "O"]
    for rehearsed in (done, manganese):  # so every site keeps its place in POSCAR
        assert rehearsed.documents[FIRST].site_order == rehearsed.documents[SECOND].site_order


@pytest.mark.parametrize(("run", "element"), [("done", "Fe"), ("manganese", "Mn")])
def test_site_order_leads_back_to_the_parent(run, element, request, half_filled):
    rehearsed = request.getfixturevalue(run)
    parent = half_filled(element=element)
    for step in (FIRST, SECOND):
        document = rehearsed.documents[step]
        assert sorted(document.site_order) == list(range(len(parent)))
        back = np.argsort(document.site_order)
        moved = document.structure.frac_coords[back] - parent.frac_coords
        assert np.abs((moved - np.round(moved)) @ parent.lattice.matrix).max() < 1.2
        symbols = [document.structure[int(i)].specie.symbol for i in back]
        expected = [site.specie.symbol for site in parent]
        assert [e if s != "Ga" else s for s, e in zip(symbols, expected, strict=True)] == symbols


def test_manganese_keeps_its_ordering_although_its_high_state_has_the_smaller_moment(manganese):
    second = manganese.documents[SECOND]
    assert second.achieved.relation == "kept"
    moments = moments_by_site(second, second.magmoms)
    low_1, high_1, low_2, high_2 = (moments[i] for i in second.redox_sites)
    assert max(high_1, high_2) + 0.5 < min(low_1, low_2)


def test_the_surrogate_step_starts_and_ends_without_moments_on_the_surrogate(done):
    first = done.documents[FIRST]
    incar, poscar, _ = inputs(done.folders[FIRST])
    gallium = [i for i, site in enumerate(poscar.structure) if site.specie.symbol == "Ga"]
    assert [incar["MAGMOM"][i] for i in gallium] == [0, 0]
    assert incar["NUPDOWN"] == 8
    assert max(abs(first.magmoms[i]) for i in gallium) < 0.1


def test_the_k_mesh_is_that_of_the_starting_cell_in_both_steps(done, half_filled):
    meshes = [inputs(folder)[2].kpts[0] for folder in done.folders.values()]
    assert meshes[0] == meshes[1]
    first, second = done.documents[FIRST], done.documents[SECOND]
    assert first.k_mesh == second.k_mesh == tuple(meshes[0])
    assert not np.allclose(first.structure.lattice.abc, half_filled().lattice.abc, rtol=0.01)  # the cell did relax


def test_the_k_mesh_is_decided_before_anything_is_relaxed(half_filled):
    structure = half_filled()
    flow = TwoStepRelaxMaker().make(structure)
    decided = [job.maker.input_set_generator.kpoints_mesh for job in flow.jobs]
    rule = flow.jobs[1].maker.input_set_generator.protocol.kpoints
    assert decided == [rule(structure.lattice)] * 2
    assert rule(structure.lattice.scale(1.3 * structure.volume)) != decided[0]  # it would follow a relaxed cell


def test_making_a_flow_leaves_its_maker_as_it_was(half_filled):
    maker = TwoStepRelaxMaker()
    maker.make(half_filled())
    assert maker.relax_maker.input_set_generator.kpoints_mesh is None


def test_nothing_but_the_geometry_passes_from_step_one_to_step_two(done):
    """T5: no prev_dir, no moments: step 2 starts at step 1's final geometry."""
    first, second = done.documents[FIRST], done.documents[SECOND]
    start = inputs(done.folders[SECOND])[1].structure
    assert np.allclose(start.lattice.matrix, first.structure.lattice.matrix, atol=1e-9)
    where = {site: i for i, site in enumerate(first.site_order)}
    rows = [where[site] for site in second.site_order]
    difference = start.frac_coords - first.structure.frac_coords[rows]
    assert np.abs(difference - np.round(difference)).max() < 1e-9
    names = {path.name for path in done.folders[SECOND].iterdir()}
    assert not [name for name in names if name.startswith(("WAVECAR", "CHGCAR")) or "prev" in name]
    assert "prev_dir" not in str(second.task.input if hasattr(second.task, "input") else "")


def test_a_structure_with_decorated_species_gives_the_same_ordering_as_one_with_a_site_property(half_filled):
    by_property = TwoStepRelaxMaker().make(half_filled(high=(0, 2)))
    by_species = TwoStepRelaxMaker().make(half_filled(high=(0, 2), decorated=True))
    sites = [flow.jobs[0].function_kwargs["sites"] for flow in (by_property, by_species)]
    assert sites[0] == sites[1]
    assert sites[0].is_high == [True, False, True, False]


def test_a_structure_without_high_sites_gives_one_job(half_filled):
    flow = TwoStepRelaxMaker().make(half_filled(high=(), vacancies=()))
    assert [job.maker.step for job in flow.jobs] == [SECOND]
    assert flow.output == flow.jobs[0].output


def test_a_redox_site_without_a_state_of_the_couple_is_named(half_filled):
    with pytest.raises(ValueError, match=r"outside Fe2\+/Fe3\+: \{4: 4\}|give every Fe one of \[2, 3\]"):
        TwoStepRelaxMaker().make(half_filled(charges=(2, 4)))


def test_frames_are_kept_in_the_data_store_with_moments_of_every_ionic_step(done):
    job_store = done.stores.job_store()
    with job_store:
        for step in (FIRST, SECOND):
            document = done.documents[step]
            bare = job_store.query_one({"uuid": document.uuid})
            assert bare["output"]["frames"].keys() >= {"blob_uuid"}
            assert "ionic_steps" not in str(bare["output"]["task"])
            loaded = job_store.query_one({"uuid": document.uuid}, load=True)
            frames = loaded["output"]["frames"]
            n_sites = len(document.structure)
            assert document.n_ionic_steps == len(frames["energies"]) == len(frames["magmoms"]) > 1
            assert all(moments is not None and len(moments) == n_sites for moments in frames["magmoms"])
            assert np.shape(frames["forces"]) == (document.n_ionic_steps, n_sites, 3)
            assert np.shape(frames["stresses"]) == (document.n_ionic_steps, 3, 3)
            assert all(frames["scf_converged"])
            assert frames["energies"][-1] == document.energy
            assert frames["magmoms"][0] == document.first_magmoms


def test_the_task_document_is_kept_beside_without_its_ionic_steps(done):
    job_store = done.stores.job_store()
    with job_store:
        loaded = job_store.query_one({"uuid": done.documents[SECOND].uuid}, load=True)
    task = loaded["output"]["task"]
    assert task["calcs_reversed"][0]["output"]["ionic_steps"] is None
    assert task["calcs_reversed"][0]["vasp_version"] == "6.4.0-rehearsal-springs"


def test_stress_has_the_sign_and_unit_of_ase(done):
    """Second reading of vasprun.xml: VASP prints kbar, positive under compression."""
    from pymatgen.io.vasp import Vasprun

    run = Vasprun(done.folders[FIRST] / "vasprun.xml.gz", parse_potcar_file=False, parse_dos=False, parse_eigen=False)
    kbar = np.array(run.ionic_steps[-1]["stress"])
    assert np.allclose(done.documents[FIRST].stress, -kbar / 1602.1766208, atol=1e-12)


def test_the_document_in_the_run_folder_is_the_stored_one(done):
    job_store = done.stores.job_store()
    with job_store:
        for step, folder in done.folders.items():
            left = json.loads(gzip.decompress((folder / STEP_FILE).read_bytes()))
            stored = job_store.query_one({"uuid": done.documents[step].uuid}, load=True)["output"]
            del stored["task"]  # emmet's document; the folder holds the files that it is made from
            finished = datetime.fromisoformat(left.pop("completed_at")).replace(tzinfo=None)
            assert abs(stored.pop("completed_at") - finished) < timedelta(milliseconds=1)  # BSON keeps milliseconds
            assert without_classes(stored) == without_classes(left)


def without_classes(value):
    if isinstance(value, dict):
        return {k: without_classes(v) for k, v in value.items() if k not in ("@module", "@class", "@version")}
    return [without_classes(item) for item in value] if isinstance(value, list) else value


def test_stored_documents_name_modules_of_ours_only_under_valenceflow(done):
    """T15: a document remembers its classes' modules; ours are found under one name."""
    for envelope in [*done.stores.docs().query({}), *done.stores.data().query({})]:
        for module in modules_named(envelope):
            top = module.split(".")[0]
            assert top not in {"inputs", "flows", "stores", "analysis", "cli", "main", "__main__"}, module


def modules_named(value):
    if isinstance(value, dict):
        if "@module" in value:
            yield value["@module"]
        for item in value.values():
            yield from modules_named(item)
    elif isinstance(value, list):
        for item in value:
            yield from modules_named(item)


def test_a_job_stored_and_read_again_gives_the_same_document(done):
    from valenceflow.stores.documents import VaspStepDoc

    stored = done.stores.docs().query_one({"uuid": done.documents[SECOND].uuid})["output"]
    again = VaspStepDoc.model_validate({k: v for k, v in stored.items() if not k.startswith("@")})
    assert isinstance(again.structure, Structure)
    assert again.structure == done.documents[SECOND].structure
    assert again.couple == done.documents[SECOND].couple


def test_a_structure_whose_charges_do_not_add_up_is_refused(half_filled):
    """VASP would run it neutral: every Fe2+ forced beside two missing Na+ is another charge state than was meant."""
    with pytest.raises(ValueError, match=r"carries -2 e .*change the number of high-state sites"):
        TwoStepRelaxMaker().make(half_filled(high=()))
