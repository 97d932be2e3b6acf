"""Data sets: the same bytes for the same frames, nothing partial, nothing mixed, everything said."""

import csv
import errno
import fcntl
import hashlib
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import ase.io
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io.extxyz import write_extxyz
from valenceflow.inputs.protocol import load_protocol
from valenceflow.inputs.species import SpeciesMap
from valenceflow.stores.export import read_back
from valenceflow.stores.export.data_set import ExportOptions, export_set
from valenceflow.stores.export.expected import write_expected
from valenceflow.stores.export.files import checked_formats
from valenceflow.stores.export.parquet import ParquetWriter
from valenceflow.stores.export.prepared import prepared_frames
from valenceflow.stores.export.selection import select_frames
from valenceflow.stores.frame_filters import FrameFilters
from valenceflow.stores.frames import iter_frames
from valenceflow.stores.splits import SplitPolicy
from valenceflow.stores.thinning import Thinning

from .conftest import STATES, SYMBOLS, label, relaxation

ALL = ["mace", "chgnet", "cpainn", "parquet", "aselmdb"]
ONE_SIDE = SplitPolicy(fractions=(1.0, 0.0, 0.0))


def content(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_the_same_frames_give_the_same_bytes(twelve, tmp_path):
    for name in ("one", "two"):
        export_set(twelve, tmp_path / name, ExportOptions(ALL))
    assert content(tmp_path / "one") == content(tmp_path / "two")


def test_checksums_are_those_of_every_file(twelve, tmp_path):
    done = export_set(twelve, tmp_path / "set", ExportOptions(ALL))
    lines = (tmp_path / "set" / "SHA256SUMS").read_text().splitlines()
    sums = {name: digest for digest, name in (line.split("  ") for line in lines)}
    files = content(tmp_path / "set")
    assert set(files) == {*sums, "SHA256SUMS"}
    assert all(hashlib.sha256(files[name]).hexdigest() == digest for name, digest in sums.items())
    assert {name: sums[name] for name in done.manifest["files"]} == {
        name: found["sha256"] for name, found in done.manifest["files"].items()
    }


def test_ase_reads_every_number_of_the_extended_xyz(twelve, tmp_path):
    done = export_set(twelve, tmp_path / "set", ExportOptions(["mace", "cpainn"], split=ONE_SIDE))
    frames = {frame.doc["frame_id"]: frame for frame in iter_frames(twelve)}
    for name, iron in (("mace", {3: "Po", 2: "Fe"}), ("cpainn", {3: "Fe", 2: "Fe"})):
        images = ase.io.read(tmp_path / "set" / name / "train.xyz", index=":")
        assert len(images) == len(frames) == done.manifest["n_frames"]
        for atoms in images:
            frame = frames[atoms.info["frame_id"]]
            assert np.array_equal(atoms.positions, frame.arrays.positions)
            assert np.array_equal(atoms.cell.array, frame.arrays.lattice)
            assert np.array_equal(atoms.arrays["REF_forces"], frame.arrays.forces)
            assert np.array_equal(atoms.arrays["REF_magmoms"], frame.arrays.magmoms)
            assert np.array_equal(np.reshape(atoms.info["REF_stress"], (3, 3)), frame.arrays.stress)
            assert atoms.info["REF_energy"] == frame.doc["energy"]
            assert [atoms.symbols[site] for site in range(2, 6)] == [iron[state] for state in STATES]
            assert atoms.arrays["oxidation_state"][2:6].tolist() == STATES
            assert atoms.pbc.all()
            assert atoms.calc is None


def test_ases_own_writer_says_the_same(twelve, tmp_path):
    export_set(twelve, tmp_path / "set", ExportOptions(["cpainn"], split=ONE_SIDE))
    frame = next(iter(iter_frames(twelve)))
    ours = ase.io.read(tmp_path / "set" / "cpainn" / "train.xyz", index=0)
    atoms = Atoms(SYMBOLS, frame.arrays.positions, cell=frame.arrays.lattice, pbc=True)
    atoms.calc = SinglePointCalculator(atoms, energy=frame.doc["energy"], forces=frame.arrays.forces)
    with (tmp_path / "ase.xyz").open("w") as file:
        write_extxyz(file, atoms)
    theirs = ase.io.read(tmp_path / "ase.xyz")
    assert ours.symbols.get_chemical_formula() == theirs.symbols.get_chemical_formula()
    assert np.allclose(ours.positions, theirs.positions, atol=1e-8)
    assert np.allclose(ours.cell.array, theirs.cell.array, atol=1e-8)
    assert np.allclose(ours.arrays["REF_forces"], theirs.get_forces(), atol=1e-8)


def test_parquet_holds_exact_numbers_and_their_units(twelve, tmp_path):
    export_set(twelve, tmp_path / "set", ExportOptions(["parquet"], split=ONE_SIDE))
    table = pq.read_table(tmp_path / "set" / "parquet" / "train.parquet")
    assert table.schema.metadata[b"unit of stress"].startswith(b"eV/A^3")
    frame = next(iter(iter_frames(twelve)))
    row = table.slice(0, 1).to_pylist()[0]
    assert row["frame_id"] == frame.doc["frame_id"]
    assert np.array_equal(np.reshape(row["forces"], (-1, 3)), frame.arrays.forces)
    assert row["model_numbers"][2:6] == [84, 26, 84, 26]
    assert row["numbers"][2:6] == [26] * 4
    assert row["bader_charges"] is None


def test_reading_parquet_back_takes_no_more_memory_for_more_frames(stores, put, tmp_path):
    run = relaxation(0)
    for number in range(40):
        moved = [replace(frame, energy=frame.energy - number) for frame in run]
        put(f"run{number:02d}", moved)
    entries = select_frames(stores, FrameFilters()).entries
    frames = list(prepared_frames(stores, entries, SpeciesMap.shipped("charge-states")))
    peaks = []
    for count in (60, 240):
        writer = ParquetWriter(tmp_path / "frames.parquet", rows=20)
        with (tmp_path / "expected").open("wb") as expected:
            for frame in frames[:count]:
                writer.write(frame)
                write_expected(expected, frame)
        writer.close()
        used: list[int] = []
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(read_back, "_compare_row", lambda *row, used=used: used.append(pa.total_allocated_bytes()))
            assert read_back.read_parquet_back(tmp_path / "frames.parquet", tmp_path / "expected") == count
        peaks.append(max(used))
    assert peaks[1] < 1.5 * peaks[0]


def test_the_manifest_counts_what_was_left_out_and_why(stores, put, tmp_path):
    put("good", relaxation(0))
    put("between", relaxation(1, count=2), marked=label(verdict="ambiguous", confidence=0.0))
    put("drifted", relaxation(2, count=3), doc={"drifted": True})
    put("surrogate", relaxation(3, count=4), doc={"has_surrogate": True})
    done = export_set(stores, tmp_path / "set", ExportOptions(["parquet"], thinning=Thinning(every=3), split=ONE_SIDE))
    assert done.manifest["excluded"] == {
        "charge states: ambiguous": 2, "drifted inputs": 3, "surrogate step": 4, "thinned": 3,
    }  # fmt: skip
    text = (tmp_path / "set" / "README.md").read_text()
    assert "| surrogate step | 4 |" in text
    for reason in ("charge states: ambiguous", "drifted inputs", "surrogate step", "thinned"):
        assert f"\n- `{reason}`: " in text
    assert "| stress | eV/A^3 | positive = tension" in text
    assert json.loads((tmp_path / "set" / "manifest.json").read_text()) == done.manifest


def test_the_card_says_what_a_set_was_computed_with(stores, put, tmp_path):
    protocol = load_protocol("paper-2026")
    put("named", relaxation(0), protocol="paper-2026", protocol_hash=protocol.hash)
    put("tagged", relaxation(1), protocol_hash="tags-1")
    run = stores.collection("runs").query_one({"run_id": "tagged"})
    told = {
        "protocol_hash": "tags-1",
        "tags": {"ENCUT": 400.0, "GGA": "PE"},
        "element_settings": {"Fe": "U - J 5.3 eV, PAW_PBE Fe_pv 02Aug2007"},
    }
    stores.collection("runs").update({**run, **told})

    def card_of(name, protocol_hash):
        filters = FrameFilters(protocol_hash=protocol_hash)
        export_set(stores, tmp_path / name, ExportOptions(["parquet"], filters=filters, split=ONE_SIDE))
        return (tmp_path / name / "README.md").read_text()

    shipped, by_tags = card_of("shipped", protocol.hash), card_of("tagged", "tags-1")
    assert "ENCUT 520.0" in shipped
    assert "- functional: PBE by VASP's GGA tag PE\n" in shipped
    assert "the rule's reference, not this set's mesh: " in shipped
    assert "- hubbard u: Fe 5.3\n" in shipped  # and of no element that is not in the set
    assert "- INCAR: ENCUT 400.0, GGA PE\n- Fe: U - J 5.3 eV, PAW_PBE Fe_pv 02Aug2007\n" in by_tags
    assert "gpaw" not in shipped.partition("## Computed with")[2].partition("##")[0]
    own = {**protocol.model_dump(mode="json"), "incar": {"ENCUT": 333.0}}
    campaign = {"campaign": "c", "protocol": own, "protocol_hash": protocol.hash}
    stores.collection("campaigns").update(campaign)
    assert "- incar: ENCUT 333.0\n" in card_of("campaign", protocol.hash)


def test_the_card_of_a_set_by_gpaw_says_what_gpaw_reads(stores, put, tmp_path):
    protocol = load_protocol("gpaw-quick")
    put("quick", relaxation(0), engine="gpaw", protocol="gpaw-quick", protocol_hash=protocol.hash)
    export_set(stores, tmp_path / "set", ExportOptions(["parquet"], split=ONE_SIDE))
    told = (tmp_path / "set" / "README.md").read_text().partition("## Computed with")[2].partition("##")[0]
    assert "- gpaw: cutoff 400.0, k_mesh gamma" in told
    assert "- hubbard u: Fe 5.3\n" in told
    for word in ("ENCUT", "potcar", "k mesh"):
        assert word not in told


def test_moments_and_reference_energies_of_a_set(twelve, tmp_path):
    done = export_set(twelve, tmp_path / "set", ExportOptions(["mace"], split=ONE_SIDE))
    assert done.manifest["moments"] == {"Fe2+": {"3.6": 72, "3.7": 72}, "Fe3+": {"4.3": 144}}
    energies = json.loads((tmp_path / "set" / "mace" / "E0s.json").read_text())
    assert energies["26"] == energies["84"]  # charge states of an element are tied
    counts = {"11": 2, "26": 2, "84": 2, "15": 4, "8": 16}
    mean = np.mean([frame.doc["energy"] for frame in iter_frames(twelve)])
    assert sum(n * energies[number] for number, n in counts.items()) == pytest.approx(mean)


@pytest.mark.parametrize(
    ("field", "option"), [({"engine": "gpaw"}, "--engine"), ({"protocol_hash": "q"}, "--protocol-hash")]
)
def test_engines_and_protocols_are_never_mixed(twelve, put, tmp_path, field, option):
    put("other", relaxation(50), **field)
    with pytest.raises(ValueError, match=f"cannot be compared: choose with {option}"):
        export_set(twelve, tmp_path / "set", ExportOptions(["parquet"]))
    chosen = export_set(twelve, tmp_path / "set", ExportOptions(["parquet"], filters=FrameFilters(**field)))
    assert chosen.manifest["n_frames"] == 6


def test_a_set_that_is_there_is_left_alone_unless_it_shall_be_replaced(twelve, tmp_path):
    export_set(twelve, tmp_path / "set", ExportOptions(["parquet"]))
    before = content(tmp_path / "set")
    with pytest.raises(ValueError, match="exists already"):
        export_set(twelve, tmp_path / "set", ExportOptions(["mace"]))
    assert content(tmp_path / "set") == before
    export_set(twelve, tmp_path / "set", ExportOptions(["mace"]), replace=True)
    assert (tmp_path / "set" / "mace").is_dir()
    (tmp_path / "mine").mkdir()
    with pytest.raises(ValueError, match="no data set of ours"):
        export_set(twelve, tmp_path / "mine", ExportOptions(["mace"]), replace=True)


def test_neither_a_campaign_nor_what_lies_in_a_set_is_replaced(twelve, tmp_path):
    campaign = tmp_path / "campaign"
    campaign.mkdir()
    (campaign / "manifest.json").write_text('{"document": "valenceflow campaign manifest", "files": {}}')
    (tmp_path / "link").symlink_to(campaign)
    for name in ("campaign", "link"):
        with pytest.raises(ValueError, match="no data set of ours"):
            export_set(twelve, tmp_path / name, ExportOptions(["parquet"]), replace=True)
    export_set(twelve, tmp_path / "set", ExportOptions(["aselmdb"]))
    (tmp_path / "set" / "model").mkdir()
    (tmp_path / "set" / "model" / "weights.pt").write_text("days of work")
    with pytest.raises(ValueError, match=r"no part of its set, model/weights.pt \(1 in all\)"):
        export_set(twelve, tmp_path / "set", ExportOptions(["parquet"]), replace=True)
    (tmp_path / "set" / "model" / "weights.pt").unlink()
    (tmp_path / "set" / "aselmdb" / "train.aselmdb-lock").touch()  # whoever reads it makes one
    export_set(twelve, tmp_path / "set", ExportOptions(["parquet"]), replace=True)
    assert not (tmp_path / "set" / "model").exists()


@pytest.mark.parametrize("replace_it", [False, True])
def test_a_folder_that_came_there_meanwhile_is_left_alone(twelve, tmp_path, replace_it):
    def meanwhile(folder, formats, report):
        (tmp_path / "set").mkdir()
        (tmp_path / "set" / "mine").touch()
        return {}

    with pytest.raises(ValueError, match="set exists already"):
        export_set(twelve, tmp_path / "set", ExportOptions(["mace"]), read_back=meanwhile, replace=replace_it)
    assert [path.name for path in (tmp_path / "set").iterdir()] == ["mine"]
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".set")]


def test_a_place_where_nothing_can_be_written_is_said(twelve):
    with pytest.raises(ValueError, match=r"nothing can be written in /proc \(.*\): name another folder"):
        export_set(twelve, Path("/proc/set"), ExportOptions(["parquet"]))


def test_nothing_is_left_where_reading_back_fails(twelve, tmp_path):
    def fails(folder, formats, report):
        assert (folder / "mace" / "train.xyz").is_file()
        raise ValueError("energy was read back with a difference")

    before = sorted(tmp_path.iterdir())
    with pytest.raises(ValueError, match="difference"):
        export_set(twelve, tmp_path / "set", ExportOptions(["mace"]), read_back=fails)
    assert sorted(tmp_path.iterdir()) == before


UNDER_WAY = (
    "import pathlib, sys, time\n"
    "from valenceflow.stores.export.unfinished import unfinished_set\n"
    "with unfinished_set(pathlib.Path(sys.argv[1]), False) as folder:\n"
    "    (folder / 'mace').mkdir()\n"
    "    print('begun', flush=True)\n"
    "    time.sleep(60)\n"
)


def test_what_a_killed_export_left_goes_with_the_next_and_a_living_one_is_left_alone(twelve, tmp_path):
    command = [sys.executable, "-c", UNDER_WAY, str(tmp_path / "set")]
    before = sorted(tmp_path.iterdir())
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "begun\n"
        left = set(tmp_path.iterdir()) - set(before)
        with pytest.raises(ValueError, match=f"set is being made by process {other.pid} on .*; wait for it"):
            export_set(twelve, tmp_path / "set", ExportOptions(["parquet"]))
        assert set(tmp_path.iterdir()) - set(before) == left
        other.kill()
    assert len(left) == 2  # the folder and the lock
    (tmp_path / ".set.of-mine.partial-abcdefgh").mkdir()  # another name's
    export_set(twelve, tmp_path / "set", ExportOptions(["parquet"]))
    assert set(tmp_path.iterdir()) - set(before) == {tmp_path / "set", tmp_path / ".set.of-mine.partial-abcdefgh"}


def test_a_set_whose_replacement_was_killed_between_two_names_gets_its_own_back(twelve, tmp_path):
    export_set(twelve, tmp_path / "set", ExportOptions(["parquet"]))
    meant = content(tmp_path / "set")
    (tmp_path / ".set.old-abcdefgh").mkdir()
    (tmp_path / "set").rename(tmp_path / ".set.old-abcdefgh" / "set")
    with pytest.raises(ValueError, match="exists already"):
        export_set(twelve, tmp_path / "set", ExportOptions(["mace"]))
    assert content(tmp_path / "set") == meant
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".set")]


def test_where_files_cannot_be_locked_nothing_is_cleared_away(twelve, tmp_path, monkeypatch):
    def refuse(*arguments):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    (tmp_path / ".set.partial-abcdefgh").mkdir()
    export_set(twelve, tmp_path / "set", ExportOptions(["parquet"]))
    assert (tmp_path / ".set.partial-abcdefgh").is_dir()
    assert not (tmp_path / ".set.lock").exists()


@pytest.mark.parametrize("name", ["mace", "chgnet", "cpainn", "parquet", "aselmdb"])
def test_a_full_disk_is_one_line_and_leaves_nothing(twelve, small_disk, name):
    with pytest.raises(ValueError, match=r"no room left in .*: the set was not made; free some"):
        export_set(twelve, small_disk / "set", ExportOptions([name]))
    assert list(small_disk.iterdir()) == []


def test_what_is_not_read_back_is_said(twelve, tmp_path):
    done = export_set(twelve, tmp_path / "set", ExportOptions(["mace", "parquet"]))
    assert done.manifest["formats"]["mace"]["read_back_with"] == "not read back"
    assert done.manifest["formats"]["parquet"]["read_back_with"].startswith("pyarrow ")
    assert "**Not read back** through its own loader: mace." in (tmp_path / "set" / "README.md").read_text()


def test_without_charge_states_atoms_go_by_their_element(stores, put, tmp_path):
    put("a", relaxation(0), marked=label(verdict="ambiguous", confidence=0.0))
    filters = FrameFilters(ambiguous=False)
    with pytest.raises(ValueError, match="only be encoded where they are resolved"):
        export_set(stores, tmp_path / "set", ExportOptions(["mace"], filters=filters))
    plain = ExportOptions(["mace"], filters=filters, species=SpeciesMap.shipped("elements"), split=ONE_SIDE)
    export_set(stores, tmp_path / "set", plain)
    atoms = ase.io.read(tmp_path / "set" / "mace" / "train.xyz", index=0)
    assert list(atoms.symbols) == SYMBOLS
    assert "oxidation_state" not in atoms.arrays


def test_a_charge_state_without_a_species_is_named(stores, put, tmp_path):
    put("a", relaxation(0), marked=label(states=[5, 2, 3, 2]))
    with pytest.raises(ValueError, match=r"Fe5\+, but species map 'charge-states' knows Fe2\+"):
        export_set(stores, tmp_path / "set", ExportOptions(["mace"]))
    assert not (tmp_path / "set").exists()


def test_nothing_left_says_what_left_it_out(stores, put, tmp_path):
    with pytest.raises(ValueError, match="no frames to export"):
        export_set(stores, tmp_path / "set", ExportOptions(["mace"]))
    put("a", relaxation(0), doc={"scf_converged": False})
    with pytest.raises(ValueError, match=r"SCF not converged \(6\)"):
        export_set(stores, tmp_path / "set", ExportOptions(["mace"]))


def test_one_frame_without_a_stress_takes_it_out_of_chgnets_files_only(stores, put, tmp_path):
    put("a", relaxation(0))
    put("b", relaxation(1, stress=None))
    done = export_set(stores, tmp_path / "set", ExportOptions(["mace", "chgnet"], split=ONE_SIDE))
    assert done.manifest["chgnet_targets"] == "efm"
    records = json.loads((tmp_path / "set" / "chgnet" / "train" / "00000.json").read_text())
    assert not any("stress" in record for lineage in records.values() for record in lineage.values())
    images = ase.io.read(tmp_path / "set" / "mace" / "train.xyz", index=":")
    assert sum("REF_stress" in atoms.info for atoms in images) == 6


def test_splits_are_published_with_frame_ids(twelve, tmp_path):
    options = ExportOptions(["cpainn"], split=SplitPolicy(held_out=("lineage3",)))
    done = export_set(twelve, tmp_path / "set", options)
    with (tmp_path / "set" / "splits.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 72
    for side, number in done.manifest["counts"].items():
        images = ase.io.read(tmp_path / "set" / "cpainn" / f"{side}.xyz", index=":")
        ids = {row["frame_id"] for row in rows if row["split"] == side}
        assert {atoms.info["frame_id"] for atoms in images} == ids
        assert len(ids) == number > 0
    assert {row["lineage"] for row in rows if row["split"] == "benchmark"} == {"lineage3"}


def test_formats_are_checked_by_name():
    assert checked_formats(["parquet,mace", "mace"]) == ["mace", "parquet"]
    with pytest.raises(ValueError, match="format 'hdf5' is unknown; choose one or several of mace"):
        checked_formats(["hdf5"])
    with pytest.raises(ValueError, match="say which format"):
        checked_formats([])
