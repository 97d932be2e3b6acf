"""Relaxation as the paper has it: converged, labels kept, troubles told; each structure once, also after a kill."""

import json
import os
import signal
import subprocess
import sys
import time
import warnings

import numpy as np
import pytest
import scipy.linalg
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from ase.filters import FrechetCellFilter
from ase.optimize import BFGS, LBFGSLineSearch

torch = pytest.importorskip("torch", reason="potentials need their extra")

from valenceflow.inputs.charge_states import get_couple  # noqa: E402
from valenceflow.potentials import relax as relax_module  # noqa: E402
from valenceflow.potentials.calculator import ChargeStateCalculator  # noqa: E402
from valenceflow.potentials.labelling import atoms_of_ordering  # noqa: E402
from valenceflow.potentials.open_models import ModelChoice  # noqa: E402
from valenceflow.potentials.relax import relax_atoms  # noqa: E402
from valenceflow.potentials.relax_many import RelaxJob, relax_many  # noqa: E402
from valenceflow.potentials.relaxation import Relaxation, RelaxSettings  # noqa: E402
from valenceflow.potentials.species import SpeciesMap  # noqa: E402

from .ionic import IonicPairs  # noqa: E402

PAPER = SpeciesMap.shipped("paper")
COARSE = RelaxSettings(fmax=0.1)
QUICK = RelaxSettings(steps=2, volume_change=10)


@pytest.fixture
def calculator():
    return ChargeStateCalculator(IonicPairs(), PAPER)


@pytest.fixture(scope="module")
def relaxed(rock_salt):
    return relax_atoms(rock_salt(seed=3), ChargeStateCalculator(IonicPairs(), PAPER))


def test_a_mixed_valence_cell_relaxes_to_the_papers_forces_with_its_labels(relaxed, rock_salt):
    assert relaxed.state == "converged"
    assert relaxed.optimiser == "LBFGSLineSearch"
    assert relaxed.max_force < 0.01
    assert relaxed.energy < relaxed.start_energy
    assert np.array_equal(relaxed.atoms().arrays["oxidation_state"], rock_salt().arrays["oxidation_state"])
    assert relaxed.n_evaluations >= relaxed.n_steps > 3


def test_another_of_ases_optimisers_finds_the_same_minimum(relaxed, rock_salt, calculator):
    atoms = rock_salt(seed=3)
    atoms.calc = calculator
    BFGS(FrechetCellFilter(atoms), logfile=None).run(fmax=0.01, steps=500)
    assert relaxed.energy == pytest.approx(atoms.get_potential_energy(), abs=2e-3)
    assert relaxed.volume == pytest.approx(atoms.get_volume(), rel=1e-2)


def test_where_the_high_state_is_decides_the_minimum(relaxed, rock_salt, calculator):
    other = relax_atoms(rock_salt(seed=3, high=1), calculator, COARSE)
    assert other.state == "converged"
    distances = [made.atoms().get_all_distances(mic=True)[1, 4:].min() for made in (relaxed, other)]
    assert distances[0] < distances[1] - 0.03  # the smaller ion


def test_the_given_atoms_stay_as_they_are(rock_salt, calculator):
    atoms = rock_salt(seed=3)
    before = atoms.positions.copy()
    relax_atoms(atoms, calculator, RelaxSettings(steps=3))
    assert np.array_equal(atoms.positions, before)
    assert atoms.calc is None


def test_a_document_comes_back_from_json_as_it_was(relaxed):
    assert Relaxation.model_validate_json(relaxed.model_dump_json()) == relaxed
    assert relaxed.atoms().get_potential_energy() == relaxed.energy


def test_too_few_steps_are_told_and_zero_steps_only_evaluate(rock_salt, calculator):
    few = relax_atoms(rock_salt(seed=3), calculator, RelaxSettings(steps=1))
    assert (few.state, few.n_steps) == ("unconverged", 1)
    assert "forces above 0.01 eV/A after 1 steps" in few.reason
    none = relax_atoms(rock_salt(seed=3), calculator, RelaxSettings(steps=0))
    assert none.n_steps == 0
    assert none.energy == none.start_energy
    assert np.allclose(none.positions, rock_salt(seed=3).positions)


def test_a_cell_that_blows_up_is_stopped_and_told(rock_salt, calculator):
    atoms = rock_salt(seed=3)
    atoms.set_cell(atoms.cell.array * 1.25, scale_atoms=True)
    found = relax_atoms(atoms, calculator, RelaxSettings(volume_change=0.1))
    assert found.state == "runaway"
    assert "the volume changed by -" in found.reason


class Hole(Calculator):
    """Downhill without an end, as it is where a potential learned nothing."""

    implemented_properties = ("energy", "forces", "stress")

    def __init__(self, last=1.0):
        super().__init__()
        self.last = last

    def calculate(self, atoms=None, properties=("energy",), system_changes=tuple(all_changes)):
        super().calculate(atoms, properties, system_changes)
        deep = np.exp(3 * (atoms.positions[1, 0] - 1.2))
        forces = np.zeros((len(atoms), 3))
        forces[1, 0] = self.last * 3 * deep
        self.results = {"energy": -float(deep), "forces": forces, "stress": np.zeros(6)}


@pytest.mark.parametrize("relax_cell", [True, False])
@pytest.mark.parametrize("last", [1.0, float("nan")])
def test_a_structure_that_falls_into_a_hole_of_the_potential_is_stopped_and_told(relax_cell, last):
    atoms = Atoms("Fe2", [[0, 0, 0], [1.2, 0, 0]], cell=[9, 9, 9], pbc=True)
    found = relax_atoms(atoms, Hole(last), RelaxSettings(relax_cell=relax_cell))
    assert found.state == "runaway"
    assert "fell into a hole of the potential" in found.reason
    assert found.energy is None
    assert Relaxation.model_validate_json(found.model_dump_json()) == found


def test_labels_that_the_model_refuses_make_a_failure_with_its_reason(rock_salt, calculator):
    found = relax_atoms(rock_salt(labelled=False), calculator)
    assert found.state == "failed"
    assert "has no oxidation state" in found.reason
    assert found.energy is None


def test_where_the_line_search_fails_lbfgs_goes_on(rock_salt, calculator, monkeypatch):
    search = LBFGSLineSearch.line_search

    def failing(optimiser, *arguments, **options):
        if optimiser.nsteps == 2:
            raise RuntimeError("LineSearch failed!")
        return search(optimiser, *arguments, **options)

    monkeypatch.setattr(LBFGSLineSearch, "line_search", failing)
    found = relax_atoms(rock_salt(seed=3), calculator, COARSE)
    assert found.state == "converged"
    assert found.optimiser == "LBFGSLineSearch, then LBFGS"


def test_scipys_words_on_its_matrix_logarithm_are_not_passed_on_and_others_are(rock_salt, calculator, monkeypatch):
    logm, said = scipy.linalg.logm, ["logm result may be inaccurate, approximate err = 4.7e-13"]

    def doubtful(matrix):
        warnings.warn(said[0], RuntimeWarning, stacklevel=2)
        return logm(matrix)

    monkeypatch.setattr("scipy.linalg.logm", doubtful)
    assert relax_atoms(rock_salt(seed=3), calculator, COARSE).state == "converged"
    said[0] = "something else"
    with pytest.raises(RuntimeWarning, match="something else"):
        relax_atoms(rock_salt(seed=3), calculator, COARSE)


def test_the_words_of_ases_line_search_have_not_changed():
    import inspect

    from ase.optimize import lbfgs

    assert relax_module.LINE_SEARCH_FAILED in inspect.getsource(lbfgs)


@pytest.fixture(scope="module")
def jobs(rock_salt):
    return [RelaxJob(f"cell {seed}", rock_salt(seed=seed)) for seed in range(4)]


def test_equal_structures_are_relaxed_once_and_a_second_run_relaxes_nothing(jobs, cpainn_file, tmp_path, rock_salt):
    again = [*jobs, RelaxJob("twin", rock_salt(seed=0))]
    told = []
    choice = ModelChoice((str(cpainn_file),))
    first = relax_many(again, choice, QUICK, tmp_path / "journal", progress=lambda r, done, total: told.append(r.name))
    assert len(told) == 4
    assert [result.name for result in first] == [job.name for job in again]
    assert first[4].energy == first[0].energy
    second = relax_many(again, choice, QUICK, tmp_path / "journal", progress=lambda *_: pytest.fail("relaxed again"))
    assert second == first


@pytest.mark.slow
def test_processes_give_what_one_process_gives(jobs, cpainn_file, tmp_path):
    choice = ModelChoice((str(cpainn_file),))
    one = relax_many(jobs[:2], choice, QUICK)
    two = relax_many(jobs[:2], choice, QUICK, tmp_path / "journal", workers=2)
    for a, b in zip(one, two, strict=True):
        assert a.energy == pytest.approx(b.energy, abs=1e-8)
        assert np.allclose(a.positions, b.positions, atol=1e-6)


def test_other_settings_weights_or_labels_are_other_work(jobs, cpainn_file, tmp_path, rock_salt):
    choice = ModelChoice((str(cpainn_file),))
    [first] = relax_many(jobs[:1], choice, QUICK, tmp_path)
    [other] = relax_many(jobs[:1], choice, QUICK.model_copy(update={"fmax": 0.02}), tmp_path)
    [swapped] = relax_many([RelaxJob("swapped", rock_salt(seed=0, high=1))], choice, QUICK, tmp_path)
    assert len({first.relaxation_id, other.relaxation_id, swapped.relaxation_id}) == 3
    assert abs(first.energy - swapped.energy) > 1e-6


def test_a_model_without_charge_states_relaxes_all_arrangements_of_them_once(plain_olivine_model, olivine, tmp_path):
    jobs = [RelaxJob(key, atoms_of_ordering(olivine, get_couple("Fe2+/Fe3+"), key)) for key in ("3.3", "3.5", "5.5")]
    choice, told = ModelChoice((str(plain_olivine_model),)), []
    found = relax_many(jobs, choice, QUICK, tmp_path, progress=lambda result, *_: told.append(result))
    assert len({result.relaxation_id for result in found}) == len(told) == 2
    assert found[0].energy == found[1].energy != found[2].energy
    for job, result in zip(jobs, found, strict=True):
        assert result.name == job.name
        assert np.array_equal(result.atoms().arrays["oxidation_state"], job.atoms.arrays["oxidation_state"])
    assert [(one.name, one.oxidation_states) for one in told] == [
        (one.name, one.oxidation_states) for one in (found[0], found[2])
    ]
    again = relax_many(jobs[::-1], choice, QUICK, tmp_path, progress=lambda *_: pytest.fail("relaxed again"))
    assert again[::-1] == found


def test_labels_in_another_array_are_part_of_what_is_relaxed(cpainn_file, tmp_path, rock_salt):
    choice, found = ModelChoice((str(cpainn_file),)), []
    for high in (0, 1):
        atoms = rock_salt(seed=0, labelled=False)
        atoms.set_array("valence", rock_salt(high=high).arrays["oxidation_state"])
        found += relax_many([RelaxJob("a", atoms)], choice, QUICK, tmp_path, states="valence")
    [usual] = relax_many([RelaxJob("b", rock_salt(seed=0))], choice, QUICK, tmp_path)
    assert usual.relaxation_id == found[0].relaxation_id != found[1].relaxation_id
    assert found[1].oxidation_states[2] == 3


def test_a_failure_is_kept_with_its_reason_and_tried_again(cpainn_file, tmp_path, rock_salt):
    choice = ModelChoice((str(cpainn_file),))
    job = RelaxJob("bare", rock_salt(labelled=False))
    [found] = relax_many([job], choice, QUICK, tmp_path)
    assert found.state == "failed"
    assert json.loads((tmp_path / f"{found.relaxation_id}.json").read_text())["reason"] == found.reason
    told = []
    relax_many([job], choice, QUICK, tmp_path, progress=lambda r, *_: told.append(r.state))
    assert told == ["failed"]


KILLED = """
import sys
from pathlib import Path
import ase.io
from valenceflow.potentials.open_models import ModelChoice
from valenceflow.potentials.relax_many import RelaxJob, relax_many
from valenceflow.potentials.relaxation import RelaxSettings
jobs = [RelaxJob("long", ase.io.read(sys.argv[1]))]
settings = RelaxSettings(steps=100000, fmax=1e-9, volume_change=1e9)
relax_many(jobs, ModelChoice((sys.argv[2],)), settings, Path(sys.argv[3]))
"""


@pytest.mark.slow
def test_a_relaxation_that_was_killed_goes_on_from_where_it_stood(cpainn_file, tmp_path, rock_salt):
    import ase.io

    ase.io.write(tmp_path / "start.extxyz", rock_salt(seed=0))
    command = [
        sys.executable,
        "-c",
        KILLED,
        str(tmp_path / "start.extxyz"),
        str(cpainn_file),
        str(tmp_path / "journal"),
    ]
    with subprocess.Popen(command, env=os.environ) as process:
        deadline = time.monotonic() + 120
        while not (found := list((tmp_path / "journal").glob("*.under-way.json"))):
            assert time.monotonic() < deadline, "no checkpoint was written"
            assert process.poll() is None, "it ended before it could be killed"
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
    stood = json.loads(found[0].read_text())
    start = ase.io.read(tmp_path / "start.extxyz")
    settings = RelaxSettings(steps=100000, fmax=1e-9, volume_change=1e9)
    from valenceflow.potentials.relaxation import relaxation_id
    from valenceflow.potentials.relaxation_journal import Journal

    choice = ModelChoice((str(cpainn_file),))
    name = relaxation_id(start, choice.fingerprint(), settings)
    here = Journal(tmp_path / "journal").started(name, start)
    assert here.n_steps == stood["n_steps"] >= 10
    assert np.allclose(here.atoms.positions, stood["positions"])
    assert not np.allclose(here.atoms.positions, start.positions)
