"""Everything that can be wrong with a folder or a file has a reason of its own, and nothing stops the rest."""

import gzip
import io
import os
import shutil
import tarfile

import numpy as np
import pytest
from ase import Atoms
from ase.io import write
from valenceflow.stores.frames import iter_frame_docs
from valenceflow.stores.ingest_files import unpack_outputs
from valenceflow.stores.ingest_reasons import FRAME_REASONS, RUN_REASONS


def reason_of(summary):
    """The one reason of a summary that took nothing."""
    assert (summary.taken, summary.salvaged, summary.frames) == (0, 0, 0)
    ((reason, count),) = summary.skipped.items()
    assert count == 1
    assert reason in RUN_REASONS
    assert summary.examples[reason]
    return reason


@pytest.fixture
def vasprun(relax_folder):
    return relax_folder / "vasprun.xml"


@pytest.fixture
def outcar(relax_folder):
    return relax_folder / "OUTCAR"


@pytest.mark.parametrize("name", ["vasprun.xml", "OUTCAR"])
def test_an_empty_file(relax_folder, take, name):
    (relax_folder / name).write_bytes(b"")
    assert reason_of(take(relax_folder)) == "empty file"


@pytest.mark.parametrize("content", [b"this is no XML\n", b"\x00\x01\x02" * 50, b"<html><body>404</body></html>"])
def test_what_is_no_vasprun(relax_folder, take, content):
    (relax_folder / "vasprun.xml").write_bytes(content)
    assert reason_of(take(relax_folder)) in ("not XML", "no complete ionic step")


def test_a_run_without_a_single_ionic_step(vasprun, take):
    text = vasprun.read_text()
    vasprun.write_text(text[: text.index("<calculation>")])
    assert reason_of(take(vasprun.parent)) == "no complete ionic step"


def test_no_vasprun(vasprun, take):
    vasprun.unlink()
    assert reason_of(take(vasprun.parent)) == "no vasprun.xml"


def test_no_outcar(outcar, take):
    outcar.unlink()
    assert reason_of(take(outcar.parent)) == "no OUTCAR"


def test_the_outcar_of_another_run_of_the_same_cell(plain_folders, relax_folder, take):
    shutil.copy(plain_folders["surrogate relax"] / "OUTCAR", relax_folder / "OUTCAR")
    assert reason_of(take(relax_folder)) == "mixed-up folder"


def test_the_outcar_of_another_version(outcar, take, change):
    change(outcar, "vasp.6.4.0-rehearsal-springs", "vasp.5.4.4.18Apr17")
    assert reason_of(take(outcar.parent)) == "mixed-up folder"


def test_the_outcar_of_another_cell(outcar, take, change):
    change(outcar, "NIONS =     26", "NIONS =     28")
    assert reason_of(take(outcar.parent)) == "site counts disagree"


def test_a_table_of_moments_with_a_site_too_few(outcar, take):
    lines = outcar.read_text().splitlines(keepends=True)
    at = next(n for n, line in enumerate(lines) if line.startswith(" magnetization (x)"))
    row = next(n for n in range(at, at + 12) if lines[n].split()[:1] == ["1"])
    outcar.write_text("".join(lines[:row] + lines[row + 1 :]))
    assert reason_of(take(outcar.parent)) == "site counts disagree"


def test_forces_with_a_site_too_few(vasprun, take):
    head, mark, tail = vasprun.read_text().partition('<varray name="forces" >')
    first_row_end = tail.index("</v>") + len("</v>")
    vasprun.write_text(head + mark + tail[first_row_end:])
    assert mark
    assert reason_of(take(vasprun.parent)) == "site counts disagree"


def test_no_lorbit(outcar, take, change):
    change(outcar, " magnetization (x)", " augmentation (x)")
    assert reason_of(take(outcar.parent)) == "no site moments"


def test_no_spin_polarisation(vasprun, take, change):
    change(vasprun, 'name="ISPIN">     2', 'name="ISPIN">     1')
    assert reason_of(take(vasprun.parent)) == "not spin-polarised"


def test_vectors_for_moments(vasprun, take, change):
    change(vasprun, 'name="LNONCOLLINEAR"> F', 'name="LNONCOLLINEAR"> T')
    assert reason_of(take(vasprun.parent)) == "non-collinear"


def test_an_element_without_a_couple(vasprun, take, change):
    change(vasprun, "<c>P </c>", "<c>Ti</c>")
    summary = take(vasprun.parent)
    assert reason_of(summary) == "element without a couple"
    assert "--fixed Ti=N" in summary.examples["element without a couple"][0]


def test_runs_that_cannot_be_labelled_can_be_kept(vasprun, outcar, take, change):
    outcar.unlink()
    change(vasprun, "<c>P </c>", "<c>Ti</c>")
    assert take(vasprun.parent, keep_unlabelled=True).taken == 1


def test_a_name_that_is_no_element(vasprun, take, change):
    change(vasprun, "<c>P </c>", "<c>Qq</c>")
    assert reason_of(take(vasprun.parent, keep_unlabelled=True)) == "not readable"


@pytest.mark.parametrize("number", ["NaN", "****************", "1e999"])
def test_forces_that_are_no_numbers_leave_their_frame_out(vasprun, take, stores, number):
    head, mark, tail = vasprun.read_text().partition('<varray name="forces" >')
    start, end = tail.index("<v>") + 3, tail.index("</v>")
    values = tail[start:end].split()
    vasprun.write_text(f"{head}{mark}{tail[:start]} {number} {values[1]} {values[2]} {tail[end:]}")
    n_steps = tail.count("</calculation>")
    summary = take(vasprun.parent)
    assert summary.left_out == {"not finite": 1}
    assert summary.frames == n_steps - 1
    assert [d["number"] for d in iter_frame_docs(stores)] == list(range(n_steps - 1))


def test_a_run_without_one_finite_frame(vasprun, take):
    text = vasprun.read_text()
    for energy in {line.strip() for line in text.splitlines() if 'name="e_fr_energy"' in line}:
        text = text.replace(energy, '<i name="e_fr_energy">************* </i>')
    vasprun.write_text(text)
    assert reason_of(take(vasprun.parent)) in ("not finite", "mixed-up folder")


def test_no_step_whose_scf_converged_in_a_run_that_was_cut_off(vasprun, outcar, take, change):
    change(outcar, "because EDIFF is reached", "EDIFF was not reached")
    change(vasprun, "</modeling>", "")
    assert reason_of(take(vasprun.parent)) == "no SCF-converged step"


def test_the_same_run_twice(relax_folder, tmp_path, take, stores):
    shutil.copytree(relax_folder, relax_folder.parent / "second")
    summary = take(relax_folder.parent)
    assert (summary.taken, dict(summary.skipped)) == (1, {"duplicate run": 1})
    hashes = [document["content_hash"] for document in iter_frame_docs(stores)]
    assert len(hashes) == len(set(hashes)) == summary.frames


def test_a_frame_that_another_run_has(relax_folder, take, stores, change):
    # The same ionic steps, of a run that says it started at another time.
    other = shutil.copytree(relax_folder, relax_folder.parent / "second")
    change(other / "vasprun.xml", '<i name="date" type="string">', '<i name="date" type="string">1')
    summary = take(relax_folder.parent)
    assert summary.skipped == {"duplicate run": 1}
    assert "all its frames" in summary.examples["duplicate run"][0]


def test_entities_are_never_expanded(vasprun, take):
    levels = "".join(f'<!ENTITY l{i} "{f"&l{i - 1};" * 10}">' for i in range(1, 10))
    padding = f"<!--{' ' * 200_000}-->"
    body = vasprun.read_text().partition("?>")[2]
    vasprun.write_text(f'<?xml version="1.0"?>{padding}<!DOCTYPE b [<!ENTITY l0 "lol">{levels}]>{body}')
    summary = take(vasprun.parent)
    assert reason_of(summary) == "not XML"
    assert "document type" in summary.examples["not XML"][0]


def test_external_entities_are_never_opened(vasprun, tmp_path, take):
    secret = tmp_path / "secret"
    secret.write_text("not yours")
    body = vasprun.read_text().partition("?>")[2]
    vasprun.write_text(f'<?xml version="1.0"?><!DOCTYPE b [<!ENTITY e SYSTEM "file://{secret}">]>{body}')
    assert reason_of(take(vasprun.parent)) == "not XML"


def test_elements_that_lie_too_deep(vasprun, take):
    vasprun.write_text(f"<modeling>{'<a>' * 100_000}")
    assert reason_of(take(vasprun.parent)) == "not XML"


def test_a_small_file_that_unpacks_to_a_large_one(vasprun, take):
    packed = io.BytesIO()
    with gzip.GzipFile(fileobj=packed, mode="wb") as out:
        out.write(b"<modeling>")
        for _ in range(70):
            out.write(b" " * (1 << 20))
    vasprun.unlink()
    (vasprun.parent / "vasprun.xml.gz").write_bytes(packed.getvalue())
    assert reason_of(take(vasprun.parent)) == "too large"


def test_a_pipe_is_not_waited_for(vasprun, take):
    vasprun.unlink()
    os.mkfifo(vasprun)
    assert reason_of(take(vasprun.parent)) == "not a plain file"


def test_a_link_that_leads_outside_is_not_followed(relax_folder, tmp_path, take):
    outside = tmp_path / "outside"
    shutil.copytree(relax_folder, outside)
    (relax_folder / "OUTCAR").unlink()
    (relax_folder / "OUTCAR").symlink_to(outside / "OUTCAR")
    assert reason_of(take(relax_folder)) == "leads outside"


def test_a_link_to_a_folder_is_not_walked_into(relax_folder, tmp_path, take):
    outside = tmp_path / "outside"
    shutil.move(relax_folder, outside)
    relax_folder.parent.mkdir(exist_ok=True)
    (relax_folder.parent / "link").symlink_to(outside)
    assert reason_of(take(relax_folder.parent)) == "leads outside"


def test_an_archive_writes_nothing_but_outputs_under_their_own_names(tmp_path):
    archive, folder = tmp_path / "error.1.tar.gz", tmp_path / "unpacked"
    folder.mkdir()
    with tarfile.open(archive, "w:gz") as tar:
        for name in ("../../evil", "/etc/evil", "../vasprun.xml", "error.1/POTCAR", "error.1/OUTCAR"):
            member = tarfile.TarInfo(name)
            member.size = 4
            tar.addfile(member, io.BytesIO(b"text"))
        link = tarfile.TarInfo("error.1/OUTCAR.gz")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    assert unpack_outputs(archive, folder) == ""
    assert sorted(path.name for path in folder.iterdir()) == ["OUTCAR", "vasprun.xml"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["error.1.tar.gz", "unpacked"]


@pytest.mark.parametrize(
    "content", [b"", b"no archive", gzip.compress(b"no tar " * 200)], ids=["empty", "no archive", "no tar"]
)
def test_a_damaged_archive_leaves_the_run_beside_it_whole(relax_folder, take, content):
    (relax_folder / "error.1.tar.gz").write_bytes(content)
    summary = take(relax_folder)
    assert summary.taken + summary.salvaged == 1
    assert summary.frames > 0


def test_one_bad_folder_does_not_stop_the_others(relax_folder, take):
    bad = shutil.copytree(relax_folder, relax_folder.parent / "a-bad-one")
    (bad / "vasprun.xml").write_text("no XML")
    summary = take(relax_folder.parent)
    assert (summary.taken, dict(summary.skipped)) == (1, {"not XML": 1})


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "empty file"),
        ("hello\nworld\n", "not extxyz"),
        ("999999999999\n\nH 0 0 0\n", "not extxyz"),
        ("-3\n\nH 0 0 0\n", "not extxyz"),
        ("2\nno properties\nH 0 0\nH 0 0 x\n", "no frame"),
        ("x" * 3_000_000, "not extxyz"),
    ],
    ids=["empty", "words", "huge count", "negative count", "damaged rows", "endless line"],
)
def test_what_is_no_data_set(tmp_path, take, content, reason):
    path = tmp_path / "set.extxyz"
    path.write_text(content)
    assert reason_of(take(path)) == reason


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "empty file"),
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ('{"a": 1}', "not a task document"),
        ('{"calcs_reversed": []}', "no complete ionic step"),
        ('{"calcs_reversed": [{"output": {"ionic_steps": [{"forces": 7}]}}]}', "no complete ionic step"),
    ],
)
def test_what_is_no_task_document(tmp_path, take, content, reason):
    path = tmp_path / "task.json"
    path.write_text(content)
    assert reason_of(take(path)) == reason


def test_pickles_are_never_opened(tmp_path, take):
    import pickle

    class Evil:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "evil"),))

    for name in ("a.pkl", "b.pckl", "c.extxyz", "d.json", "e.traj", "f.db"):
        (tmp_path / name).write_bytes(pickle.dumps(Evil()))
    summary = take(tmp_path)
    assert sum(summary.skipped.values()) == 4
    assert not (tmp_path / "evil").exists()


def test_frames_of_a_set_that_cannot_be_used_are_counted(tmp_path, take):
    def atoms(energy=-1.0, forces=None, symbols="Na2O", cell=5.0, **info):
        made = Atoms(symbols, positions=np.arange(9).reshape(3, 3) * 0.7, cell=[cell] * 3, pbc=True)
        if forces is None:
            forces = np.zeros((3, 3))
        if forces is not False:
            made.arrays["REF_forces"] = forces
        if energy is not None:
            made.info["REF_energy"] = energy
        made.info.update(info)
        return made

    nan = np.zeros((3, 3))
    nan[1, 2] = np.nan
    flat = atoms(energy=-4.0)
    flat.cell, flat.pbc = None, False
    frames = [
        atoms(), atoms(), atoms(energy=None), atoms(forces=False), atoms(forces=nan, energy=-2.0), flat,
        atoms(symbols="NaUO", energy=-3.0), atoms(symbols="NaFeO", energy=-5.0),
    ]  # fmt: skip
    write(tmp_path / "set.extxyz", frames, format="extxyz")
    summary = take(tmp_path / "set.extxyz")
    assert (summary.taken, summary.frames) == (1, 1)
    assert summary.left_out == {
        "duplicate frame": 1, "no energy": 1, "no forces": 1, "not finite": 1, "no cell": 1,
        "element without a couple": 1, "no moments": 1,
    }  # fmt: skip
    assert set(summary.left_out) <= set(FRAME_REASONS)


def test_a_set_that_is_cut_off_keeps_its_whole_frames(tmp_path, take):
    frames = []
    for number in range(4):
        made = Atoms("Na2O", positions=np.arange(9).reshape(3, 3) * 0.7 + 0.01 * number, cell=[5.0] * 3, pbc=True)
        made.info["REF_energy"], made.arrays["REF_forces"] = -1.0 - number, np.zeros((3, 3))
        frames.append(made)
    path = tmp_path / "set.extxyz"
    write(path, frames, format="extxyz")
    text = path.read_text()
    path.write_text(text[: int(len(text) * 0.85)])
    summary = take(path)
    assert (summary.salvaged, summary.frames) == (1, 3)
    assert "cut off" in summary.examples["interrupted"][0]
