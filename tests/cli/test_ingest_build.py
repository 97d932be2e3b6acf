"""`ingest` and `build` at the command line: what a person sees, and one line where something must be changed."""

import gzip
import json
import shutil
import subprocess
import sys

import pytest
from valenceflow.stores.connect import sqlite_stores
from valenceflow.stores.frames import iter_frame_docs


@pytest.fixture(scope="module")
def folders(half_filled, rehearse, tmp_path_factory):
    """VASP folders of a stranger: both steps of one ordering, and a damaged one."""
    from valenceflow.flows.two_step import TwoStepRelaxMaker

    done = rehearse(TwoStepRelaxMaker().make(half_filled(high=(1, 3))), tmp_path_factory.mktemp("run"))
    root = tmp_path_factory.mktemp("folders")
    for step, folder in done.folders.items():
        target = root / step.replace(" ", "-")
        target.mkdir()
        for name in ("vasprun.xml.gz", "OUTCAR.gz"):
            shutil.copy(folder / name, target / name)
    shutil.copytree(root / "relax", root / "damaged")
    (root / "damaged" / "vasprun.xml.gz").write_bytes(gzip.compress(b"no XML"))
    return root


def test_folders_become_labelled_frames(folders, tmp_path, call):
    store = tmp_path / "set.sqlite"
    first = call("ingest", folders, "--store", store, "--workers", 1)
    assert first.code == 0
    assert first.out.startswith("taken: 2 runs, salvaged: 0, already there: 0, skipped: 1;")
    assert "1  not XML" in first.out
    assert "damaged" in first.out
    again = call("ingest", folders, "--store", store, "--workers", 1, "--json")
    content = json.loads(again.out)
    assert (content["taken"], content["unchanged"], content["skipped"]) == (0, 2, {"not XML": 1})
    built = call("build", "--store", store, "--workers", 1, "--histogram")
    assert built.code == 0
    assert "resolved" in built.out
    assert "surrogate relax" in built.out
    assert "window: up to 3.9 and from 4.2 muB" in built.out
    counts = json.loads(call("build", "--store", store, "--workers", 1, "--json").out)
    assert counts["labels"] == {}
    assert sum(row["frames"] for row in counts["frames_in_store"]) == content["frames"] + _frames(store)
    assert {row["label"] for row in counts["frames_in_store"]} == {"resolved"}


def _frames(store):
    stores = sqlite_stores(store)
    number = stores.collection("frames").count({})
    stores.close()
    return number


def test_windows_are_fitted_kept_and_given_up_again(folders, tmp_path, call, monkeypatch):
    monkeypatch.setattr("valenceflow.stores.label_windows.FEWEST", 5)  # a few frames must do here
    store = tmp_path / "set.sqlite"
    call("ingest", folders, "--store", store, "--workers", 1)
    fitted = call("build", "--store", store, "--workers", 1, "--fit-windows")
    assert "window of Fe2+/Fe3+, rehearsal:springs: up to 3." in fitted.out
    kept = json.loads(call("build", "--store", store, "--workers", 1, "--json").out)
    assert kept["labels"] == {}
    published = json.loads(call("build", "--store", store, "--workers", 1, "--published-windows", "--json").out)
    assert sum(published["labels"].values()) == _frames(store)


def test_couples_given_to_ingest_label_its_frames(folders, tmp_path, call):
    couples = tmp_path / "couples.yaml"
    couples.write_text(
        "Fe2+/Fe3+ mine:\n  element: Fe\n  low: {oxidation_state: 2, magmom: 4.0}\n"
        "  high: {oxidation_state: 3, magmom: 5.0}\n  surrogate: {element: Al, oxidation_state: 3}\n  windows: fit\n"
    )
    store = tmp_path / "set.sqlite"
    call("ingest", folders / "relax", "--store", store, "--workers", 1, "--couples", couples)
    call("build", "--store", store, "--workers", 1)
    stores = sqlite_stores(store)
    documents = list(iter_frame_docs(stores))
    stores.close()
    assert {document["label"]["couples"][0] for document in documents} == {"Fe2+/Fe3+ mine"}
    assert {document["label"]["verdict"] for document in documents} == {"resolved"}


def test_what_a_campaign_ran_is_built_from_its_store(folders, tmp_path, call):
    answer = call("build", "--store", tmp_path / "nowhere.sqlite")
    assert answer.code == 2
    assert "no such store" in answer.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "say what to ingest"),
        (["nowhere", "--store", "s.sqlite"], "no such folder or file"),
        (["."], "say where to: --store store.sqlite"),
        ([".", "--store", "s.txt"], "name a .sqlite file"),
        ([".", "--store", "missing/s.sqlite"], "does not exist; make it first"),
        ([".", "--store", "s.sqlite"], "nothing to ingest below"),
        ([".", "--store", "s.sqlite", "--stress-unit", "bar"], "choose one of eV/A3"),
        ([".", "--store", "s.sqlite", "--bader", "electrons"], "choose one of net"),
        ([".", "--store", "s.sqlite", "--fixed", "Ti"], "write ELEMENT=CHARGE"),
        ([".", "--store", "s.sqlite", "--fixed", "Xx=4"], "no element symbol"),
        ([".", "--store", "s.sqlite", "--encoded", "Ga"], "write ELEMENT=STATE"),
        ([".", "--store", "s.sqlite", "--protocol", "mine"], "unknown protocol 'mine'"),
        ([".", "--store", "s.sqlite", "--couples", "c.yaml"], "not readable"),
        (["--job-store", "j.yaml", "--store", "s.sqlite"], "not readable"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(arguments, said, tmp_path, monkeypatch, refused):
    monkeypatch.chdir(tmp_path)
    assert said in refused("ingest", *arguments)


@pytest.mark.parametrize("more", [[], ["--json"]])
def test_an_ingest_that_takes_nothing_ends_with_1(tmp_path, call, more):
    (tmp_path / "a.json").write_text("{}")
    answer = call("ingest", tmp_path / "a.json", "--store", tmp_path / "s.sqlite", "--workers", 1, *more)
    assert answer.code == 1
    assert "not a task document" in answer.out


def test_two_kinds_of_windows_at_once_are_refused(tmp_path, refused):
    assert "not both" in refused("build", "--store", tmp_path, "--fit-windows", "--published-windows")


@pytest.mark.parametrize("command", ["ingest", "build"])
def test_help_starts_without_the_science_stack(command):
    script = (
        f"import sys; sys.argv = ['valenceflow', '{command}', '--help']\n"
        "from valenceflow.cli.main import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "heavy = [n for n in ('jobflow', 'emmet', 'torch', 'pymatgen', 'ase', 'maggma') if n in sys.modules]\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, capture_output=True)


@pytest.mark.slow
def test_runs_are_read_by_several_processes_as_by_one(folders, tmp_path, shell):
    for workers in (1, 2):
        answer = shell("ingest", folders, "--store", tmp_path / f"{workers}.sqlite", "--workers", workers, "--json")
        assert answer.code == 0, answer.err
    contents = []
    for workers in (1, 2):
        stores = sqlite_stores(tmp_path / f"{workers}.sqlite")
        contents.append(list(iter_frame_docs(stores)))
        stores.close()
    assert contents[0] == contents[1]
