"""ASE-readable sets: units found from energies or asked for, signs, encoded elements, groups, ASE's own containers."""

import gzip
import shutil
import tracemalloc
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator
from ase.filters import FrechetCellFilter
from ase.io import read, write
from ase.optimize import LBFGS
from valenceflow.stores import frame_arrays, frame_writer, ingest_sets
from valenceflow.stores.connect import sqlite_stores
from valenceflow.stores.frames import iter_frame_docs, iter_frames
from valenceflow.stores.ingest import find_items, ingest
from valenceflow.stores.ingest_options import STRESS_FACTORS, default_options, parse_encoded
from valenceflow.stores.ingest_units import WorkFrame, bader_sign, stress_factor

IGNORED = {"Cu": 0}  # copper has no couple: in these sets it is an ion without a charge


@pytest.fixture(scope="module")
def relaxation():
    """Frames of a cell relaxation whose energies, forces and stresses are ASE's own (EMT copper)."""
    atoms = bulk("Cu", cubic=True) * (2, 1, 1)
    atoms.rattle(0.08, seed=1)
    atoms.set_cell(atoms.cell * 1.03, scale_atoms=True)
    atoms.calc = EMT()
    frames = []

    def keep():
        results = {"energy": atoms.get_potential_energy(), "forces": atoms.get_forces(), "stress": atoms.get_stress()}
        frames.append(atoms.copy())
        frames[-1].calc = SinglePointCalculator(frames[-1], **results)

    run = LBFGS(FrechetCellFilter(atoms), logfile=None)
    run.attach(keep)
    run.run(fmax=0.02, steps=15)
    return frames


def set_of(frames, path, factor=1.0):
    """The frames as a published set: plain keys, the stress in another unit."""
    made = []
    for frame in frames:
        copy = frame.copy()
        copy.info["energy"] = frame.calc.results["energy"]
        copy.arrays["forces"] = frame.calc.results["forces"]
        copy.info["stress"] = frame.get_stress(voigt=False).ravel() / factor
        made.append(copy)
    write(path, made, format="extxyz", columns=["symbols", "positions", "forces"], write_results=False)
    return path


@pytest.mark.parametrize("unit", list(STRESS_FACTORS))
def test_the_unit_and_sign_of_stresses_are_found_from_the_energies(relaxation, tmp_path, take, stores, unit):
    path = set_of(relaxation, tmp_path / "set.extxyz", STRESS_FACTORS[unit])
    assert take(path, fixed=IGNORED).taken == 1
    for frame, original in zip(iter_frames(stores), relaxation, strict=True):
        assert np.allclose(frame.arrays.stress, original.get_stress(voigt=False), atol=1e-7)
        assert np.allclose(frame.arrays.forces, original.get_forces(), atol=1e-7)
        assert frame.doc["energy"] == pytest.approx(original.get_potential_energy(), abs=1e-7)
    (run,) = stores.collection("runs").query({})
    assert f"stress in {unit}, found" in run["detail"]


def test_stresses_of_single_frames_are_asked_for_and_never_guessed(relaxation, tmp_path, take):
    path = set_of(relaxation[:1], tmp_path / "set.extxyz")
    summary = take(path, fixed=IGNORED)
    assert dict(summary.skipped) == {"unknown units": 1}
    assert "--stress-unit" in summary.examples["unknown units"][0]


@pytest.mark.parametrize(("unit", "factor"), [("-kbar", STRESS_FACTORS["-kbar"]), ("GPa", STRESS_FACTORS["GPa"])])
def test_a_unit_that_was_told_is_used(relaxation, tmp_path, take, stores, unit, factor):
    take(set_of(relaxation[:1], tmp_path / "set.extxyz", factor), fixed=IGNORED, stress_unit=unit)
    (frame,) = iter_frames(stores)
    assert np.allclose(frame.arrays.stress, relaxation[0].get_stress(voigt=False), atol=1e-7)


def test_stresses_can_be_left_out(relaxation, tmp_path, take, stores):
    take(set_of(relaxation[:1], tmp_path / "set.extxyz"), fixed=IGNORED, stress_unit="none")
    (frame,) = iter_frames(stores)
    assert frame.arrays.stress is None
    assert not frame.doc["has_stress"]


def test_numbers_that_are_no_stress_have_no_unit(relaxation, tmp_path):
    generator = np.random.default_rng(3)
    frames = [
        WorkFrame(f.cell.array, f.get_scaled_positions(wrap=False), f.get_potential_energy(), f.get_forces(), s)
        for f, s in ((f, generator.normal(size=(3, 3))) for f in relaxation)
    ]
    assert stress_factor(list(pairwise(frames)))[0] is None


def test_a_virial_is_minus_stress_times_volume(tmp_path, take, stores):
    atoms = Atoms("Na2O", positions=np.arange(9).reshape(3, 3) * 0.8, cell=[5.0] * 3, pbc=True)
    atoms.info.update(REF_energy=-3.0, REF_virial=np.diag([1.0, 2.0, 3.0]).ravel())
    atoms.arrays["REF_forces"] = np.zeros((3, 3))
    write(tmp_path / "set.extxyz", atoms, format="extxyz")
    take(tmp_path / "set.extxyz")
    (frame,) = iter_frames(stores)
    assert np.allclose(frame.arrays.stress, -np.diag([1.0, 2.0, 3.0]) / 125.0)


def polyanion(tmp_path, name="set.extxyz", sign=1.0, high=(0,), **extra):
    """One frame of NaFe2P2O8 (one Fe3+) with moments and Bader charges, in the form of the published sets."""
    symbols = ["Na"] + ["Fe"] * 2 + ["P"] * 2 + ["O"] * 8
    generator = np.random.default_rng(5)
    atoms = Atoms(symbols, positions=generator.random((13, 3)) * 6, cell=[6.1, 6.2, 6.3], pbc=True)
    is_high = [number - 1 in high for number in range(13)]
    charges = {"Na": 0.9, "Fe": 1.4, "P": 3.6, "O": -1.37}
    bader = np.array([charges[s] + (0.5 if h else 0.0) for s, h in zip(symbols, is_high, strict=True)])
    bader[-8:] -= bader.sum() / 8
    atoms.info["energy"] = -90.0
    atoms.arrays["forces"] = generator.normal(size=(13, 3)) * 0.1
    atoms.arrays["magmoms"] = np.array(
        [4.33 if h else 3.77 if s == "Fe" else 0.0 for s, h in zip(symbols, is_high, strict=True)]
    )
    atoms.arrays["bader_charge"] = sign * bader
    atoms.info.update(extra)
    path = tmp_path / name
    write(path, atoms, format="extxyz", write_results=False)
    return path, atoms, sign * bader * sign


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_bader_charges_are_positive_on_cations_whatever_their_sign_was(tmp_path, take, stores, sign):
    path, atoms, expected = polyanion(tmp_path, sign=sign)
    take(path)
    (frame,) = iter_frames(stores)
    assert np.allclose(frame.arrays.bader_charges, expected, atol=1e-7)
    assert np.allclose(frame.arrays.magmoms, atoms.arrays["magmoms"])


def test_counts_of_electrons_are_not_taken_for_charges(tmp_path, take):
    path, atoms, _ = polyanion(tmp_path)
    atoms.arrays["bader_charge"] = 8.0 - atoms.arrays["bader_charge"]
    write(path, atoms, format="extxyz", write_results=False)
    summary = take(path)
    assert dict(summary.skipped) == {"unknown units": 1}
    assert "--bader" in summary.examples["unknown units"][0]
    assert take(path, bader="none").taken == 1


def test_without_an_anion_nothing_tells_the_sign():
    assert bader_sign([np.array([11, 26])], [np.array([0.9, -0.9])])[0] is None


def test_an_element_that_stands_for_a_charge_state_becomes_the_real_one(tmp_path, take, stores):
    path, atoms, _ = polyanion(tmp_path)
    atoms.numbers[1] = 31
    write(path, atoms, format="extxyz", write_results=False)
    take(path, encoded=parse_encoded(["Ga=Fe3+"]))
    (frame,) = iter_frames(stores)
    assert frame.arrays.symbols == ["Na", "Fe", "Fe", "P", "P", *["O"] * 8]
    assert frame.arrays.intended_states.tolist() == [1, 3, 2, 5, 5, *[-2] * 8]
    assert not frame.doc["has_surrogate"]


def test_without_being_told_gallium_is_gallium(tmp_path, take, stores):
    path, atoms, _ = polyanion(tmp_path)
    atoms.numbers[1] = 31
    write(path, atoms, format="extxyz", write_results=False)
    take(path)
    (frame,) = iter_frames(stores, surrogate="only")
    assert "Ga" in frame.arrays.symbols


@pytest.mark.parametrize("text", ["Ga", "Ga=Fe", "Xx=Fe3+", "Ga=3+"])
def test_an_encoding_that_says_nothing_is_refused(text):
    with pytest.raises(ValueError, match="write ELEMENT=STATE"):
        parse_encoded([text])


def test_states_that_a_set_states_are_kept(tmp_path, take, stores):
    path, atoms, _ = polyanion(tmp_path)
    atoms.arrays["oxidation_state"] = np.array([1, 3, 2, 5, 5, *[-2] * 8])
    write(path, atoms, format="extxyz", write_results=False)
    take(path)
    (frame,) = iter_frames(stores)
    assert frame.arrays.intended_states.tolist() == [1, 3, 2, 5, 5, *[-2] * 8]


def test_consecutive_frames_of_a_trajectory_are_one_lineage(relaxation, tmp_path, take, stores):
    second = [frame.copy() for frame in relaxation[:3]]
    for frame, original in zip(second, relaxation, strict=False):
        frame.positions[0] += 1.4
        frame.calc = SinglePointCalculator(frame, **original.calc.results)
    take(set_of([*relaxation, *second], tmp_path / "set.extxyz"), fixed=IGNORED, stress_unit="eV/A3")
    lineages = [document["lineage"] for document in iter_frame_docs(stores)]
    assert [lineages.count(name) for name in dict.fromkeys(lineages)] == [len(relaxation), 3]


def test_a_key_of_the_set_can_name_the_groups(tmp_path, take, stores):
    frames = []
    for number in range(4):
        frames.append(polyanion(tmp_path, config=f"ordering-{number % 2}")[1])
        frames[-1].info["energy"] -= number
    write(tmp_path / "set.extxyz", frames, format="extxyz", write_results=False)
    take(tmp_path / "set.extxyz", group_key="config")
    lineages = [document["lineage"] for document in iter_frame_docs(stores)]
    assert [lineage.rpartition(":")[2] for lineage in lineages] == ["ordering-0", "ordering-1"] * 2


@pytest.mark.parametrize("name", ["set.extxyz.gz", "set.traj", "set.db"])
def test_other_containers_hold_the_same_frames(relaxation, tmp_path, take, stores, name):
    path = tmp_path / name
    if name.endswith(".gz"):
        path.write_bytes(gzip.compress(set_of(relaxation, tmp_path / "set.extxyz").read_bytes()))
        (tmp_path / "set.extxyz").unlink()
    else:
        write(path, relaxation)
    take(path, fixed=IGNORED)
    frames = list(iter_frames(stores))
    assert len(frames) == len(relaxation)
    for frame, original in zip(frames, relaxation, strict=True):
        assert np.allclose(frame.arrays.positions, original.positions, atol=1e-7)
        assert np.allclose(frame.arrays.stress, original.get_stress(voigt=False), atol=1e-7)


def test_a_set_without_an_engine_has_one_of_its_own(tmp_path, take, stores):
    path, *_ = polyanion(tmp_path)
    take(path)
    assert {document["engine"] for document in iter_frame_docs(stores)} == {"unstated"}
    take(path, engine="vasp", protocol_name="published")
    (document,) = iter_frame_docs(stores)
    assert (document["engine"], document["protocol"]) == ("vasp", "published")
    assert len(read(path, ":")) == 1


def test_a_longer_set_needs_no_more_memory(tmp_path, empty_store, monkeypatch):
    # What is held at once, smaller, so that a test's sets are long: looked at, in a block, written.
    monkeypatch.setattr(ingest_sets, "_LOOKED_AT", 20)
    monkeypatch.setattr(frame_arrays, "BLOCK_BYTES", 1 << 15)
    monkeypatch.setattr(frame_writer, "_FULL", 40)

    def written(count):
        draw = np.random.default_rng(count)
        frames = []
        for number in range(count):
            sites = "".join(f"Cu {x:.6f} {y:.6f} {z:.6f} 0.1 0.2 -0.3\n" for x, y, z in 7 * draw.random((32, 3)))
            keys = f'Lattice="7 0 0 0 7 0 0 0 7" Properties=species:S:1:pos:R:3:forces:R:3 energy={-number}'
            frames.append(f"32\n{keys}\n{sites}")
        path = tmp_path / f"{count}.extxyz"
        path.write_text("".join(frames))
        return path

    def peak(path):
        opened = sqlite_stores(Path(shutil.copy(empty_store, path.with_suffix(".sqlite"))))
        tracemalloc.start()
        summary = ingest(opened, find_items([path]), default_options(fixed=IGNORED, keep_unlabelled=True))
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        opened.close()
        return summary.frames, found

    peak(written(5))  # what is imported and cached on the way is not what is measured
    short, long = peak(written(100)), peak(written(400))
    assert (short[0], long[0]) == (100, 400)
    assert long[1] < 1.3 * short[1]
