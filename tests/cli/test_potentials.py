"""`relax`, `evaluate` and `orderings choose`: results, going on, JSON, and one line for every mistake."""

import json
import shutil
from datetime import UTC, datetime

import ase.io
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="potentials need their extra")

from valenceflow.cli.evaluate import show_scores  # noqa: E402
from valenceflow.inputs.charge_states import get_couple  # noqa: E402
from valenceflow.potentials.cpainn.checkpoint import TrainedModel, save_model  # noqa: E402
from valenceflow.potentials.cpainn.model import CPaiNN, EnergyScale  # noqa: E402
from valenceflow.potentials.cpainn.settings import ModelSettings  # noqa: E402
from valenceflow.potentials.labelling import atoms_of_ordering  # noqa: E402
from valenceflow.potentials.model_folder import sha256_of, write_model  # noqa: E402
from valenceflow.potentials.open_models import ModelChoice  # noqa: E402
from valenceflow.potentials.registry import open_registry, register  # noqa: E402
from valenceflow.potentials.species import SpeciesMap  # noqa: E402
from valenceflow.stores.model_documents import DataSetRef, ModelDoc, TargetScore  # noqa: E402

from ..potentials.evaluation_set import write_set  # noqa: E402

FE = get_couple("Fe2+/Fe3+")
OLIVINE = "olivine-NaFePO4"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    torch.manual_seed(6)
    energies = EnergyScale(0.2, {11: -1.5, 26: -8.25, 31: -8.25, 15: -7.0, 8: -6.0})
    made = CPaiNN(ModelSettings(features=8, n_layers=2, cutoff=3.0, n_radial=4), energies)
    path = tmp_path_factory.mktemp("model") / "model.pt"
    save_model(path, TrainedModel(made, SpeciesMap.shipped("paper"), (8, 11, 15, 26, 31)))
    return path


@pytest.fixture
def structures(olivine, tmp_path):
    path = tmp_path / "start.extxyz"
    ase.io.write(path, [atoms_of_ordering(olivine, FE, key) for key in ("3.3", "3.5")])
    return path


def test_relax_writes_structures_with_labels_and_a_second_run_says_the_same(call, structures, model, tmp_path):
    arguments = ("relax", structures, "--model", model, "--out", tmp_path / "out", "--fmax", 1000, "--json")
    first, second = call(*arguments), call(*arguments)
    assert first.code == second.code == 0, first
    rows = json.loads(first.out)
    assert [row["name"] for row in rows] == ["start:0", "start:1"]
    assert json.loads(second.out) == rows == json.loads((tmp_path / "out/summary.json").read_text())
    relaxed = ase.io.read(tmp_path / "out/relaxed.extxyz", index=":")
    for atoms, row in zip(relaxed, rows, strict=True):
        assert sorted(atoms.arrays["oxidation_state"][atoms.numbers == 26]) == [2, 2, 3, 3]
        assert atoms.get_potential_energy() == pytest.approx(row["energy"])


def test_relax_tells_what_did_not_converge_by_its_exit_code(call, structures, model, tmp_path):
    answer = call("relax", structures, "--model", model, "--out", tmp_path / "out", "--steps", 0)
    assert answer.code == 1
    assert "2 unconverged; structures with labels:" in answer.out


def test_relax_reads_states_from_a_cif_with_charges_and_from_moments(
    call, model, half_filled, cif_with_charges, olivine, tmp_path
):
    cif_with_charges(half_filled(), tmp_path / "charged.cif")
    atoms = atoms_of_ordering(olivine, FE, "3.3")
    states = atoms.arrays.pop("oxidation_state")
    atoms.set_initial_magnetic_moments(np.where(states == 3, 5, np.where(atoms.numbers == 26, 4, 0)))
    ase.io.write(tmp_path / "moments.extxyz", atoms)
    common = ("--model", model, "--fmax", 1000, "--json")
    by_cif = call("relax", tmp_path / "charged.cif", "--out", tmp_path / "a", *common)
    by_moments = call(
        "relax", tmp_path / "moments.extxyz", "--states", "magmoms", "--couple", "Fe2+/Fe3+", "--out", tmp_path / "b",
        *common,
    )  # fmt: skip
    for answer in (by_cif, by_moments):
        assert answer.code == 0, answer
        assert json.loads(answer.out)[0]["state"] == "converged"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--out", "out"], "say --model"),
        (["--model", "MODEL"], "say where results go: --out FOLDER"),
        (["--model", "nowhere", "--out", "out"], "nowhere: "),
        (["--model", "MODEL", "--out", "out", "--dtype", "half"], "choose float32 or float64"),
        (["--model", "MODEL", "--out", "out", "--states", "valence"], "has no array 'valence'"),
        (["--model", "MODEL", "--out", "out", "--states", "magmoms"], "needs --couple"),
        (["--model", "MODEL", "--out", "out", "--device", "tpu"], "device 'tpu': torch cannot use it here"),
        (["--model", "MODEL", "--out", "start.extxyz/out"], "start.extxyz/out/relaxations: Not a directory"),
    ],
)
def test_relax_refuses_what_it_cannot_do_in_one_line(refused, structures, model, tmp_path, monkeypatch, options, words):
    monkeypatch.chdir(tmp_path)
    filled = [str(model) if option == "MODEL" else option for option in options]
    assert words in refused("relax", structures, *filled)


def test_a_relaxation_of_which_nothing_came_says_so_and_leaves_no_structures(call, structures, model, tmp_path):
    unlabelled = ase.io.read(structures)
    del unlabelled.arrays["oxidation_state"]
    ase.io.write(tmp_path / "plain.extxyz", unlabelled)
    answer = call("relax", tmp_path / "plain.extxyz", "--model", model, "--out", tmp_path / "out")
    assert answer.code == 1
    assert "1 failed; no structure came of it" in answer.out
    assert "--states" in answer.out
    assert not (tmp_path / "out" / "relaxed.extxyz").exists()


def test_a_model_that_cannot_be_opened_leaves_no_folder(refused, structures, model, tmp_path):
    damaged = tmp_path / "damaged.pt"
    damaged.write_bytes(model.read_bytes()[:500])
    refused("relax", structures, "--model", damaged, "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_structure_without_a_cell_fails_alone_and_labels_of_text_are_refused(
    call, refused, structures, model, tmp_path
):
    whole, other = ase.io.read(structures, index=":")
    other.set_cell(None)
    other.pbc = False
    ase.io.write(tmp_path / "both.extxyz", [whole, other])
    answer = call("relax", tmp_path / "both.extxyz", "--model", model, "--out", tmp_path / "out", "--fmax", 1000)
    assert answer.code == 1
    assert "1 converged, 1 failed" in answer.out
    assert "has no cell of three vectors to relax" in " ".join(answer.out.split())
    whole.arrays["oxidation_state"] = np.array(["a"] * len(whole))
    ase.io.write(tmp_path / "text.extxyz", whole)
    words = refused("relax", tmp_path / "text.extxyz", "--model", model, "--out", tmp_path / "text")
    assert "text.extxyz: the array oxidation_state holds 'a'; give numbers, e.g. 3" in words


def test_files_that_are_no_structures_are_refused(refused, model, tmp_path):
    (tmp_path / "notes.extxyz").write_text("hello\n")
    common = ("--model", model, "--out", tmp_path / "out")
    assert "no such file" in refused("relax", tmp_path / "missing.cif", *common)
    assert "cannot be read as structures" in refused("relax", tmp_path / "notes.extxyz", *common)


def test_choose_says_best_found_writes_the_structure_and_goes_on(call, model, tmp_path):
    arguments = (
        "orderings", "choose", OLIVINE, "--at", "3", "--model", model, "--out", tmp_path, "--judging-steps", 0,
        "--fmax", 1000, "--finalists", 2,
    )  # fmt: skip
    answer = call(*arguments)
    assert answer.code == 0, answer
    assert answer.out.startswith("best found: 3.")
    found = json.loads((tmp_path / "choice.json").read_text())
    best = ase.io.read(tmp_path / "best.extxyz")
    assert best.get_potential_energy() == pytest.approx(found["energy"])
    again = call(*arguments, "--json")
    assert json.loads(again.out) == found


def test_choose_needs_to_know_which_sodium_ordering(refused, model):
    assert "--at KEY|CIF|lowest" in refused("orderings", "choose", OLIVINE, "--model", model)
    words = refused("orderings", "choose", OLIVINE, "--at", "3", "--out", "x", "--by", "luck", "--model", model)
    assert "choose electrostatics or expansion" in words


def test_evaluate_puts_models_side_by_side_and_writes_scores_and_plots(call, model, olivine, tmp_path):
    data = write_set(tmp_path, olivine, FE, ModelChoice((str(model),)).open())
    plain = tmp_path / "plain.pt"
    save_model(plain, TrainedModel(_plain(), SpeciesMap.shipped("elements"), (8, 11, 15, 26)))
    standing = ("--dataset", data, "--reference-force", 1e6)  # ideal sites count as relaxed
    common = ("evaluate", model, plain, *standing, "--out", tmp_path / "scores", "--fmax", 1e4)
    answer = call(*common, "--start", "ideal", "--structures", 3)
    assert answer.code == 0, answer
    assert "energy MAE, meV/atom" in answer.out
    scores = json.loads((tmp_path / "scores/model.pt/scores.json").read_text())
    assert scores["document"] == "ModelScores"
    assert (tmp_path / "scores/plain.pt/parity.svg").is_file()
    compared = json.loads((tmp_path / "scores/comparison.json").read_text())
    assert compared["models"] == ["model.pt", "plain.pt"]
    assert next(row["values"] for row in compared["rows"] if row["score"] == "energy MAE, meV/atom")[0] == 0
    lost = ("evaluate", model, *standing, "--out", tmp_path / "lost", "--fmax", 1e-6, "--steps", 0)
    answer = call(*lost, "--start", "ideal", "--structures", 1)
    assert "left out: 1  mixed structures whose relaxation did not converge, ideal start" in answer.out
    assert "end members whose relaxation did not converge, so that they are in no hull, ideal start" in answer.out


def test_names_of_models_give_way_to_numbers_where_it_is_narrow(capsys, monkeypatch):
    rows = [{"score": "orderings achieved by the judge, rattled start", "values": ["1 of 1", "0 of 1", None]}]
    names = ["chgnet-charge-states", "mace-charge-states", "cpainn-no-charge-states"]
    for columns, numbered in ((200, False), (60, True), (30, True)):
        monkeypatch.setenv("COLUMNS", str(columns))
        show_scores(names, rows)
        shown = capsys.readouterr().out
        assert "…" not in shown
        assert ("  2  mace-charge-states" in shown) == numbered
        assert all(word in shown for word in [*names, "1 of 1", "0 of 1"])


def test_scores_of_a_trained_model_are_in_its_registry(call, olivine, tmp_path):
    from datetime import UTC, datetime

    from valenceflow.potentials.model_folder import WEIGHTS_FILE, sha256_of, write_model
    from valenceflow.potentials.registry import open_registry, registered
    from valenceflow.stores.model_documents import DataSetRef, ModelDoc

    folder = tmp_path / "trained"
    folder.mkdir()
    species_map = SpeciesMap.shipped("elements")
    save_model(folder / WEIGHTS_FILE, TrainedModel(_plain(), species_map, (8, 11, 15, 26)))
    about = DataSetRef(name="s", folder="n", checksum="0", engine="vasp", protocol_hash="p", n_train=2, n_valid=1)
    doc = ModelDoc(
        model_id="one", kind="cpainn", preset="tiny", charge_states=False, species_map=species_map, species=[8],
        data_set=about, config={}, seed=0, reference_energies={}, n_parameters=1, n_epochs=1, best_epoch=1, stopped="",
        errors={}, seconds=0.0, versions={}, made=datetime.now(tz=UTC), weights_sha256=sha256_of(folder / WEIGHTS_FILE),
    )  # fmt: skip
    write_model(folder, doc)
    data = write_set(tmp_path, olivine, FE, ModelChoice((str(folder),)).open())
    answer = call("evaluate", folder, "--dataset", data, "--out", tmp_path / "scores", "--structures", 0, "--frames", 4)
    assert answer.code == 0, answer
    stores = open_registry(folder)
    [entry] = registered(stores)
    stores.close()
    [kept] = entry.scores.values()
    assert kept == json.loads((tmp_path / "scores/trained/scores.json").read_text())


def _plain():
    energies = EnergyScale(0.2, {11: -1.5, 26: -8.25, 15: -7.0, 8: -6.0})
    return CPaiNN(ModelSettings(features=8, n_layers=2, cutoff=3.0, n_radial=4), energies)


def test_evaluate_refuses_in_one_line(refused, model, tmp_path):
    assert "--dataset DIR --out DIR" in refused("evaluate", model)
    there = ("--dataset", tmp_path, "--out", tmp_path / "o")
    assert "is no data set" in refused("evaluate", model, *there)
    (tmp_path / "manifest.json").write_text('{"counts": {"test": 3}, "formats": {}}')
    assert "choose ideal, rattled, first" in refused("evaluate", model, *there, "--start", "cold")
    words = refused("evaluate", model, "--dataset", tmp_path, "--out", tmp_path)
    assert "is a folder of something else (manifest.json); give scores one of their own" in words


@pytest.fixture
def rehearsed(model, tmp_path):
    """Folder of a model that was trained on the rehearsal's numbers."""
    folder = tmp_path / "rehearsed"
    folder.mkdir()
    shutil.copy(model, folder / "model.pt")
    species_map = SpeciesMap.shipped("paper")
    data = DataSetRef(
        name="demo", folder="set", checksum="0", engine="rehearsal:chgnet", protocol_hash="0", n_train=9, n_valid=3
    )
    error = TargetScore(mae=0.04, unit="eV/A")
    doc = ModelDoc(
        model_id="cpainn-0", kind="cpainn", preset="tiny", charge_states=True, species_map=species_map,
        species=[8, 11, 15, 26, 31], data_set=data, config={}, seed=0, reference_energies={}, n_parameters=1,
        n_epochs=1, best_epoch=1, stopped="1 epoch done", errors={"forces": error}, seconds=1.0, versions={},
        baseline={"forces": error},
        made=datetime.now(tz=UTC), weights_sha256=sha256_of(folder / "model.pt"),
    )  # fmt: skip
    write_model(folder, doc)
    return folder


def test_what_a_model_of_the_rehearsal_says_is_marked_as_such(call, structures, rehearsed, tmp_path):
    words = "REHEARSAL, not DFT: the model was trained on numbers of rehearsal:chgnet"
    relaxed = call("relax", structures, "--model", rehearsed, "--out", tmp_path / "out", "--fmax", 1000)
    assert relaxed.code == 0, relaxed
    assert words in relaxed.out
    searched = call(
        "search", "run", OLIVINE, "-x", "1/2", "--model", rehearsed, "--to", tmp_path / "search", "--fmax", 1000,
        "--at-most", 1,
    )  # fmt: skip
    assert searched.code == 0, searched
    assert words in searched.err
    stores = open_registry(rehearsed)
    register(stores, rehearsed)
    stores.close()
    about = "cpainn with charge states, tiny, rehearsal:chgnet: forces 40 meV/Å; not learned: forces; "
    assert about + "scored on 0 sets" in call("models", tmp_path).out
    (rehearsed / "model.json").rename(rehearsed / "another.json")
    assert about + "folder without its model: moved, or its training goes on" in call("models", tmp_path).out
