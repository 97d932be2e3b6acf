"""What VASP writes in other kinds of runs, under other names and in other packings; real files where ASE ships some."""

import bz2
import gzip
import lzma
import re
import shutil
from pathlib import Path

import ase.test
import numpy as np
import pytest
from ase.io import read
from ase.units import GPa
from valenceflow.stores.frames import iter_frame_docs, iter_frames
from valenceflow.stores.ingest import find_items
from valenceflow.stores.ingest_settings import run_settings

ASE_FILES = Path(ase.test.__file__).parent / "testdata" / "vasp"
"""Real outputs that come with ASE: a relaxation under pressure (5.4), a dielectric run (6.3)."""

PRESSURE = 50.0  # kbar
ML_STEP = """ <calculation>
  <structure>
   <crystal>
    <varray name="basis" >
{basis}    </varray>
   </crystal>
   <varray name="positions" >
{positions}   </varray>
  </structure>
  <varray name="forces" >
{forces}  </varray>
  <energy>
   <i name="e_fr_energy">   -150.00000000 </i>
   <i name="e_0_energy">   -150.00000000 </i>
  </energy>
 </calculation>
"""
ML_BLOCK = """
  ML FREE ENERGIE OF THE ION-ELECTRON SYSTEM (eV)
  ---------------------------------------------------
  free  energy ML TOTEN  =      -150.00000000 eV

  ML energy  without entropy=     -150.00000000  ML energy(sigma->0) =     -150.00000000

"""


@pytest.fixture
def vasprun(relax_folder):
    return relax_folder / "vasprun.xml"


@pytest.fixture
def outcar(relax_folder):
    return relax_folder / "OUTCAR"


def table(text, name):
    """Rows of the first varray of a name."""
    return re.search(rf'<varray name="{name}" >\n(.*?)\s*</varray>', text, re.DOTALL)[1] + "\n"


@pytest.mark.skipif(not ASE_FILES.is_dir(), reason="this ASE comes without its test data")
@pytest.mark.parametrize("name", ["vasprun_pstress.xml", "vasprun_dfpt.xml"])
def test_energies_of_real_runs_are_those_that_ase_reads(tmp_path, take, stores, name):
    shutil.copy(ASE_FILES / name, tmp_path / "vasprun.xml")
    assert take(tmp_path, keep_unlabelled=True).taken == 1
    images = read(ASE_FILES / name, index=":")
    frames = list(iter_frames(stores))
    assert len(frames) == len(images)
    for frame, atoms in zip(frames, images, strict=True):
        assert frame.doc["energy"] == pytest.approx(
            atoms.get_potential_energy(), abs=1e-7
        )  # constants of 2014 and 2018
        assert np.allclose(frame.arrays.forces, atoms.get_forces(), atol=1e-12)
        assert np.allclose(frame.arrays.stress, atoms.get_stress(voigt=False), rtol=1e-6)
        assert np.allclose(frame.arrays.positions, atoms.positions, atol=1e-12)


def test_pressure_times_volume_is_no_part_of_an_energy(vasprun, take, stores):
    """PSTRESS adds it to the energies beside the forces, not to those of the electronic steps nor to OUTCAR."""
    take(vasprun.parent)
    before = [(frame.doc["energy"], frame.doc["volume"]) for frame in iter_frames(stores)]
    assert before
    text, volumes = vasprun.read_text(), iter([volume for _, volume in before])

    def enthalpy(match):
        return f"{match[1]}{float(match[2]) + 0.1 * GPa * PRESSURE * next(volumes):.8f}{match[3]}"

    beside_forces = r'(</varray>\s*<energy>\s*<i name="e_fr_energy">\s*)(-?[\d.]+)(.*?</calculation>)'
    text, count = re.subn(beside_forces, enthalpy, text, flags=re.DOTALL)
    assert count == len(before)
    vasprun.write_text(text.replace("</parameters>", f'<i name="PSTRESS">{PRESSURE}</i></parameters>'))
    summary = take(vasprun.parent)
    assert (summary.taken, dict(summary.skipped)) == (1, {})
    assert [d["energy"] for d in iter_frame_docs(stores)] == pytest.approx([e for e, _ in before], abs=1e-7)


def test_molecular_dynamics_without_stresses_is_taken_without_them(vasprun, take, stores):
    text, count = re.subn(r'  <varray name="stress" >.*?</varray>\n', "", vasprun.read_text(), flags=re.DOTALL)
    vasprun.write_text(text.replace('name="IBRION">     2', 'name="IBRION">     0'))
    assert (take(vasprun.parent).frames, count) == (count, count)
    assert {(d["has_stress"], d["step"]) for d in iter_frame_docs(stores)} == {(False, "MD")}


def test_steps_that_a_force_field_made_are_counted_and_those_around_them_stay(vasprun, outcar, take, stores):
    take(vasprun.parent)
    before = [(d["energy"], d["frame_id"]) for d in iter_frame_docs(stores)]
    moments = [frame.arrays.magmoms.tolist() for frame in iter_frames(stores)]
    text = vasprun.read_text()
    step = ML_STEP.format(**{name: table(text, name) for name in ("basis", "positions", "forces")})
    first = text.index("</calculation>") + len("</calculation>\n")
    vasprun.write_text(text[:first] + 2 * step + text[first:])
    said = outcar.read_text().split("     LOOP+:", 1)
    outcar.write_text(
        f"{said[0]}{ML_BLOCK}     LOOP+:{said[1]}".replace("Iteration      2(   1)", "Iteration      4(   1)")
    )
    summary = take(vasprun.parent)
    assert dict(summary.left_out) == {"machine-learned step": 2}
    assert [d["energy"] for d in iter_frame_docs(stores)] == [energy for energy, _ in before]
    assert [frame.arrays.magmoms.tolist() for frame in iter_frames(stores)] == moments


def test_a_force_fields_own_tags_make_no_other_settings():
    tags = {"ENCUT": "520", "LDAU": "F"}
    learning = {**tags, "ML_LMLFF": "T", "ML_MODE": "train"}
    assert run_settings(tags, {}, [], False).hash == run_settings(learning, {}, [], False).hash


@pytest.mark.parametrize("number", [0, 1])
def test_a_step_without_forces_is_counted_and_moments_stay_with_their_steps(vasprun, outcar, take, stores, number):
    take(vasprun.parent)
    frames = list(iter_frames(stores))
    expected = [frame.arrays.magmoms.tolist() for n, frame in enumerate(frames) if n != number]
    parts = vasprun.read_text().split('<varray name="forces" >')
    parts[number + 1] = parts[number + 1].partition("</varray>")[2]
    vasprun.write_text(_joined(parts, number))
    summary = take(vasprun.parent)
    assert dict(summary.left_out) == {"no forces": 1}
    assert [frame.arrays.magmoms.tolist() for frame in iter_frames(stores)] == expected


def _joined(parts, number):
    """The parts with the opening tags between them, but for the one whose table was taken out."""
    text = parts[0]
    for place, part in enumerate(parts[1:]):
        text += ("" if place == number else '<varray name="forces" >') + part
    return text


def test_a_run_of_steps_without_forces_says_so(vasprun, take):
    vasprun.write_text(vasprun.read_text().replace('name="forces"', 'name="selfenergy"'))
    summary = take(vasprun.parent)
    assert dict(summary.skipped) == {"no complete ionic step": 1}
    assert "no forces" in summary.examples["no complete ionic step"][0]


@pytest.mark.parametrize("tag", ["LNONCOLLINEAR", "LSORBIT"])
def test_components_of_vectors_are_not_taken_for_moments(vasprun, take, stores, change, tag):
    change(vasprun, "</parameters>", f'<i type="logical" name="{tag}"> T </i></parameters>')
    assert dict(take(vasprun.parent).skipped) == {"non-collinear": 1}
    assert take(vasprun.parent, keep_unlabelled=True).taken == 1
    assert {d["has_magmoms"] for d in iter_frame_docs(stores)} == {False}


@pytest.mark.parametrize(("ending", "pack"), [(".gz", gzip.compress), (".bz2", bz2.compress), (".xz", lzma.compress)])
def test_packed_files_are_unpacked_and_cut_ones_salvaged(vasprun, outcar, take, stores, ending, pack):
    take(vasprun.parent)
    whole = [d["energy"] for d in iter_frame_docs(stores)]
    for path in (vasprun, outcar):
        path.with_name(path.name + ending).write_bytes(pack(path.read_bytes()))
        path.unlink()
    assert take(vasprun.parent).taken == 1
    packed = vasprun.with_name(vasprun.name + ending)
    packed.write_bytes(packed.read_bytes()[:-60])
    summary = take(vasprun.parent, again=True)
    kept = [d["energy"] for d in iter_frame_docs(stores)]
    assert kept == whole[: len(kept)]
    assert summary.salvaged == 1 or dict(summary.skipped) in ({"not XML": 1}, {"no complete ionic step": 1})


@pytest.mark.parametrize("ending", [".gz", ".bz2", ".xz"])
def test_task_documents_that_are_cut_off_have_a_reason(tmp_path, take, ending):
    pack = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}[ending]
    content = pack(b'{"calcs_reversed": []}' + b" " * 1000)
    (tmp_path / f"task.json{ending}").write_bytes(content[: len(content) // 2])
    summary = take(tmp_path)
    assert sum(summary.skipped.values()) == 1
    assert set(summary.skipped) <= {"not JSON", "empty file"}


@pytest.mark.parametrize(
    ("vasprun_name", "outcar_name"),
    [
        ("vasprun_02.xml", "OUTCAR_02"),
        ("vasprun.static.xml", "OUTCAR.static"),
        ("vasprun.xml.0.gz", "OUTCAR.0.gz"),
        ("vasprun.xml-old", "OUTCAR-old"),
    ],
)
def test_runs_that_share_a_folder_go_by_their_names(vasprun, outcar, take, stores, vasprun_name, outcar_name):
    for path, name in ((vasprun, vasprun_name), (outcar, outcar_name)):
        content = path.read_bytes()
        path.with_name(name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
        path.unlink()
    assert take(vasprun.parent).taken == 1
    assert all(d["has_magmoms"] for d in iter_frame_docs(stores))


def test_a_file_that_is_named_stands_for_its_run(vasprun, take):
    assert take(vasprun).taken == 1
    assert take(vasprun.parent).unchanged == 1


def test_images_of_a_path_are_marked(vasprun, take, stores, change):
    change(vasprun, "<incar>", '<incar><i type="int" name="IMAGES">     5</i>')
    folder = vasprun.parent
    shutil.copytree(folder, folder.parent / "path" / "03")
    take(folder.parent / "path")
    assert {(d["path_image"], d["step"]) for d in iter_frame_docs(stores)} == {(True, "other")}


def test_links_to_folders_elsewhere_are_counted_and_links_within_say_nothing_new(relax_folder, tmp_path, take):
    outside = shutil.copytree(relax_folder, tmp_path / "outside")
    (relax_folder.parent / "away").symlink_to(outside)
    (relax_folder.parent / "home").symlink_to(relax_folder)
    (relax_folder.parent / "loop").symlink_to(relax_folder.parent)
    summary = take(relax_folder.parent)
    assert (summary.taken, dict(summary.skipped)) == (1, {"leads outside": 1})
    assert "name that folder too" in summary.examples["leads outside"][0]
    assert len(find_items([relax_folder.parent, outside])) == 3
