"""VASP folders from anywhere: what is taken, against pymatgen; what is salvaged, and what marks it."""

import gzip
import random
import shutil
import tarfile

import numpy as np
import pytest
from pymatgen.core import Structure
from pymatgen.io.vasp import Outcar, Vasprun
from valenceflow.stores.frames import FrameDoc, RunDoc, iter_frame_docs, iter_frames
from valenceflow.stores.ingest_options import default_options
from valenceflow.stores.ingest_reasons import RUN_REASONS
from valenceflow.stores.ingest_work import Item, Order, spooled_parts, work

KBAR = 1602.1766208  # eV/A^3 in kbar


def frames_of(stores, **options):
    return list(iter_frames(stores, **options))


# POTCARs are licensed and not beside these outputs; pymatgen says so.
@pytest.mark.filterwarnings("ignore:No POTCAR file with matching TITEL fields")
@pytest.mark.parametrize("name", ["fe2o2", "io"])
def test_every_number_of_a_real_run_is_the_one_that_pymatgen_reads(real_vasp, name, take, stores):
    summary = take(real_vasp / name)
    vasprun = Vasprun(real_vasp / name / "vasprun.xml.gz", parse_potcar_file=False, parse_dos=False, parse_eigen=False)
    assert (summary.taken, summary.frames) == (1, len(vasprun.ionic_steps))
    frames = frames_of(stores)
    for frame, step in zip(frames, vasprun.ionic_steps, strict=True):
        structure: Structure = step["structure"]
        assert frame.arrays.symbols == [site.specie.symbol for site in structure]
        assert np.array_equal(frame.arrays.lattice, structure.lattice.matrix)
        assert np.allclose(frame.arrays.positions, structure.cart_coords, atol=1e-12)
        assert np.array_equal(frame.arrays.frac_coords, structure.frac_coords)
        assert np.array_equal(frame.arrays.forces, step["forces"])
        assert np.allclose(frame.arrays.stress, -np.array(step["stress"]) / KBAR, rtol=1e-7)
    assert frames[-1].doc["energy"] == pytest.approx(float(vasprun.final_energy), abs=1e-8)
    moments = [atom["tot"] for atom in Outcar(real_vasp / name / "OUTCAR.gz").magnetization]
    assert frames[-1].arrays.magmoms.tolist() == pytest.approx(moments)
    assert frames[-1].doc["formula"] == structure.composition.reduced_formula


def test_frames_and_run_are_documents_of_their_models(relax_folder, take, stores):
    take(relax_folder)
    for document in iter_frame_docs(stores):
        FrameDoc.model_validate(document)
    (run,) = stores.collection("runs").query({})
    assert RunDoc.model_validate(run).state == "taken"
    assert run["element_settings"]["Fe"].startswith("U - J 5.3 eV")


def test_the_last_frame_of_a_relaxation_says_whether_its_forces_are_below_the_criterion(relax_folder, take, stores):
    take(relax_folder)
    documents = list(iter_frame_docs(stores))
    assert [document["relaxed"] for document in documents[:-1]] == [None] * (len(documents) - 1)
    assert documents[-1]["relaxed"] is True
    assert documents[-1]["max_force"] <= 0.03
    assert {document["step"] for document in documents} == {"relax"}
    assert documents[0]["engine"] == "rehearsal:springs"


def test_a_run_with_real_surrogate_ions_never_comes_with_others(plain_folders, take, stores):
    take(*plain_folders.values())
    first, second = frames_of(stores, surrogate="only"), frames_of(stores)
    assert {frame.doc["step"] for frame in first} == {"surrogate relax"}
    assert {frame.doc["step"] for frame in second} == {"relax"}
    assert all("Ga" in frame.arrays.symbols for frame in first)
    assert not any("Ga" in frame.arrays.symbols for frame in second)
    assert len(first) + len(second) == stores.collection("frames").count({})
    with pytest.raises(ValueError, match="choose exclude or only"):
        next(iter_frames(stores, surrogate="include"))


def test_an_ordinary_element_can_be_told_from_a_surrogate(plain_folders, take, stores):
    take(plain_folders["surrogate relax"], not_surrogates=frozenset({"Ga"}))
    assert {document["step"] for document in iter_frame_docs(stores)} == {"relax"}


def test_gzipped_and_plain_files_give_the_same_run(plain_folders, relax_folder, tmp_path, take, stores):
    packed = tmp_path / "packed"
    packed.mkdir()
    for name in ("vasprun.xml", "OUTCAR"):
        (packed / f"{name}.gz").write_bytes(gzip.compress((relax_folder / name).read_bytes()))
    take(packed)
    before = list(iter_frame_docs(stores))
    summary = take(relax_folder)
    assert summary.skipped == {"duplicate run": 1}
    assert list(iter_frame_docs(stores)) == before


def test_a_run_that_was_cut_off_is_salvaged_and_says_so(plain_folders, relax_folder, take, stores):
    take(plain_folders["relax"])
    whole = [(d["energy"], d["frame_id"]) for d in iter_frame_docs(stores)]
    stores.collection("runs").remove_docs({})
    stores.collection("frames").remove_docs({})
    text = (relax_folder / "vasprun.xml").read_text()
    end_of_second = text.index("</calculation>", text.index("</calculation>") + 1)
    (relax_folder / "vasprun.xml").write_text(text[: end_of_second + 20])
    summary = take(relax_folder)
    assert (summary.taken, summary.salvaged, summary.frames) == (0, 1, 2)
    documents = list(iter_frame_docs(stores))
    assert [(d["energy"], d["frame_id"]) for d in documents] == whole[:2]
    assert {(d["run_finished"], d["relaxed"]) for d in documents} == {(False, None)}
    (run,) = stores.collection("runs").query({})
    assert (run["state"], run["reason"]) == ("salvaged", "interrupted")
    assert "2 frames kept" in run["detail"]


def test_a_salvaged_run_ends_with_the_last_step_whose_scf_converged(relax_folder, take, stores, change):
    # The last step is made one that reached NELM, and the run one that was killed after it.
    outcar = (relax_folder / "OUTCAR").read_text()
    head, mark, tail = outcar.rpartition("aborting loop because EDIFF is reached")
    (relax_folder / "OUTCAR").write_text(head + "aborting loop EDIFF was not reached (unconverged)" + tail)
    change(relax_folder / "vasprun.xml", "</modeling>", "")
    n_steps = (relax_folder / "vasprun.xml").read_text().count("</calculation>")
    summary = take(relax_folder)
    assert mark
    assert (summary.salvaged, summary.frames) == (1, n_steps - 1)
    assert summary.left_out == {"SCF not converged": 1}


def test_an_unconverged_step_of_a_whole_run_is_kept_and_marked(relax_folder, take, stores, change):
    change(relax_folder / "OUTCAR", "because EDIFF is reached", "EDIFF was not reached", count=1)
    take(relax_folder)
    assert [d["scf_converged"] for d in iter_frame_docs(stores)][:2] == [False, True]


def test_what_custodian_archived_comes_first_and_says_where_it_is_from(plain_folders, relax_folder, take, stores):
    earlier = relax_folder / "error.1.tar.gz"
    with tarfile.open(earlier, "w:gz") as tar:
        for name in ("vasprun.xml", "OUTCAR"):
            text = (plain_folders["relax"] / name).read_text()
            cut = relax_folder / f"{name}.cut"
            # Another start of the same run: other energies, so that no frame is there twice.
            cut.write_text(text[: int(len(text) * 0.6)].replace("-", "-0", 0))
            tar.add(cut, f"error.1/{name}")
            cut.unlink()
    # The archive's frames equal the run's own first ones, which are left out as duplicates.
    summary = take(relax_folder)
    documents = list(iter_frame_docs(stores))
    assert documents[0]["origin"] == "error.1"
    assert documents[-1]["origin"] == "final"
    assert summary.left_out["duplicate frame"] == sum(d["origin"] == "error.1" for d in documents)
    assert [d["number"] for d in documents] == sorted(d["number"] for d in documents)


def test_both_runs_of_a_double_relaxation_are_one_lineage(plain_folders, tmp_path, take, stores):
    folder = tmp_path / "double"
    folder.mkdir()
    for number, step in enumerate(("surrogate relax", "relax"), start=1):
        for name in ("vasprun.xml", "OUTCAR"):
            content = (plain_folders[step] / name).read_bytes()
            (folder / f"{name}.relax{number}.gz").write_bytes(gzip.compress(content))
    assert take(folder).taken == 2
    both = [*frames_of(stores), *frames_of(stores, surrogate="only")]
    assert len({frame.doc["run_id"] for frame in both}) == 2
    assert len({frame.doc["lineage"] for frame in both}) == 1


def test_folders_below_one_can_be_one_group(plain_folders, tmp_path, take, stores):
    for step, folder in plain_folders.items():
        shutil.copytree(folder, tmp_path / "set" / "structure-7" / step)
    take(tmp_path / "set", group_levels=1)
    both = [*iter_frame_docs(stores), *iter_frame_docs(stores, surrogate="only")]
    assert {document["lineage"] for document in both} == {"set/structure-7"}


def test_bader_charges_beside_the_outputs_are_the_last_frame_s(relax_folder, take, stores):
    from pymatgen.io.vasp import Poscar  # noqa: F401 - the numbers below are VASP's valences

    valence = {"Na": 7.0, "Fe": 14.0, "P": 5.0, "O": 6.0}
    electrons = {"Na": 6.1, "Fe": 12.5, "P": 1.4, "O": 7.5}
    vasprun = Vasprun(relax_folder / "vasprun.xml", parse_potcar_file=False, parse_dos=False, parse_eigen=False)
    symbols = [site.specie.symbol for site in vasprun.final_structure]
    rows = [f"{n:5d} 0.0 0.0 0.0 {electrons[s]:12.6f} 1.0 9.0" for n, s in enumerate(symbols, start=1)]
    text = "\n".join(["    #  X  Y  Z  CHARGE  MIN DIST  ATOMIC VOL", " ---", *rows, " ---", " VACUUM CHARGE: 0.0"])
    (relax_folder / "ACF.dat").write_text(text + "\n")
    take(relax_folder)
    *others, last = frames_of(stores)
    assert not any(frame.doc["has_bader"] for frame in others)
    expected = [valence[s] - electrons[s] for s in symbols]
    assert last.arrays.bader_charges.tolist() == pytest.approx(expected)
    assert all(charge > 0 for charge, s in zip(last.arrays.bader_charges, symbols, strict=True) if s in ("Na", "Fe"))


def test_a_protocol_tells_where_a_run_differs_from_it(real_vasp, relax_folder, take, stores):
    from valenceflow.inputs.protocol import load_protocol

    protocol = load_protocol("paper-2026")
    take(relax_folder, protocol=protocol)
    take(real_vasp / "fe2o2", protocol=protocol)
    ours = next(iter_frame_docs(stores, {"engine": "rehearsal:springs"}))
    theirs = next(iter_frame_docs(stores, {"engine": "vasp"}))
    assert (ours["drift"], ours["protocol_hash"]) == ([], protocol.hash)
    assert theirs["drifted"]
    assert "U of Fe: 4 eV where the protocol has 5.3 eV" in theirs["drift"]


def test_runs_of_the_same_tags_and_other_potentials_are_marked(plain_folders, tmp_path, take, stores, change):
    other = tmp_path / "other"
    shutil.copytree(plain_folders["relax"], other)
    text = (other / "vasprun.xml").read_text()
    assert "Fe_pv 02Aug2007" in text
    (other / "vasprun.xml").write_text(text.replace("Fe_pv 02Aug2007", "Fe 06Sep2000").replace('"time"', '"hour"'))
    take(plain_folders["surrogate relax"])
    summary = take(other)
    assert any("Fe: U - J 5.3 eV, PAW_PBE Fe 06Sep2000" in note for note in summary.notes)
    assert all(document["drifted"] for document in iter_frame_docs(stores))


def test_a_hundred_truncations_of_a_valid_run_give_a_hundred_reasons(plain_folders, tmp_path, stores):
    """Cut at random bytes, either file: every one is salvaged or skipped with a reason, and no number is made up."""
    source = plain_folders["relax"]
    whole = {name: (source / name).read_bytes() for name in ("vasprun.xml", "OUTCAR")}
    options, spool = default_options(), tmp_path / "spool"
    spool.mkdir()
    folder = tmp_path / "cut"
    folder.mkdir()
    for name, content in whole.items():
        (folder / name).write_bytes(content)
    item = Item("vasp folder", folder, folder)
    energies = [frame["energy"] for part in _parts(item, options, spool) for frame in part.frames]
    generator, reasons = random.Random(11), []
    for _ in range(100):
        name = generator.choice(list(whole))
        # The last line of each file is not counted: without it nothing is missing.
        (folder / name).write_bytes(whole[name][: generator.randrange(len(whole[name]) - 200)])
        (taken,) = work(Order(item, options, spool))
        run = taken.run
        assert run.state in ("salvaged", "skipped")
        assert run.reason in RUN_REASONS
        assert run.reason != "unexpected"
        assert run.detail
        reasons.append(run.reason)
        if taken.spool is not None:
            kept = [frame["energy"] for part in spooled_parts(taken.spool) for frame in part.frames]
            assert kept == energies[: len(kept)]
            assert len(kept) == run.n_frames > 0
        (folder / name).write_bytes(whole[name])
    assert len(reasons) == 100
    assert {"interrupted", "no complete ionic step"} <= set(reasons)


def _parts(item, options, spool):
    (taken,) = work(Order(item, options, spool))
    assert taken.run.state == "taken"
    return spooled_parts(taken.spool)
