"""Structures relaxed in one batch by torch-sim: near the minima that ASE finds, labels and names untouched."""

import sys

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="potentials need their extra")
pytest.importorskip("torch_sim", reason="batches need the batched extra")
pytest.importorskip("mace", reason="MACE is of the potentials extra")

from valenceflow.inputs.charge_states import get_couple  # noqa: E402
from valenceflow.potentials.batched import FIRE, batches, descend_together  # noqa: E402
from valenceflow.potentials.open_models import ModelChoice  # noqa: E402
from valenceflow.potentials.relax_many import RelaxJob, relax_many  # noqa: E402
from valenceflow.potentials.relaxation import RelaxSettings  # noqa: E402
from valenceflow.potentials.species import SpeciesMap  # noqa: E402

from . import models  # noqa: E402

STATES = SpeciesMap.shipped("charge-states").for_couples([get_couple("Fe2+/Fe3+")])
FAR = RelaxSettings(fmax=0.05, steps=300, volume_change=0.9)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    return {kind: models.write_folder(root / kind, kind, STATES) for kind in ("cpainn", "mace", "chgnet")}


def chosen(folders, kind, batch_atoms=64):
    return ModelChoice((str(folders[kind]),), batch_atoms=batch_atoms)


@pytest.mark.parametrize(("kind", "relax_cell"), [("cpainn", False), ("mace", False), ("mace", True)])
def test_a_batch_ends_where_ase_stays(kind, relax_cell, folders, rock_salt):
    settings = FAR.model_copy(update={"relax_cell": relax_cell})
    starts = [rock_salt(seed=seed, high=seed % 3) for seed in range(3)]
    ended = {}
    descend_together(starts, chosen(folders, kind), settings, ended.__setitem__)
    assert sorted(ended) == [0, 1, 2]
    for place, start in enumerate(starts):
        here = ended[place].atoms
        assert (here.symbols == start.symbols).all()
        assert np.array_equal(here.arrays["oxidation_state"], start.arrays["oxidation_state"])
        assert not np.allclose(here.positions, start.positions)
        assert relax_cell != np.allclose(here.cell, start.cell)
        here.calc = ModelChoice((str(folders[kind]),)).open()
        assert np.linalg.norm(here.get_forces(), axis=1).max() <= settings.fmax


def test_results_are_those_of_one_by_one_and_say_how_they_came(folders, rock_salt, tmp_path):
    jobs = [RelaxJob(f"s{seed}", rock_salt(seed=seed)) for seed in range(3)]
    said = []
    together = relax_many(
        jobs, chosen(folders, "mace", 16), FAR, tmp_path, approached=lambda done, total: said.append((done, total))
    )
    alone = relax_many(jobs, ModelChoice((str(folders["mace"]),)), FAR)
    assert said == [(2, 3), (3, 3)]
    for one, other in zip(together, alone, strict=True):
        assert one.state == other.state == "converged"
        assert one.relaxation_id == other.relaxation_id
        assert one.oxidation_states == other.oxidation_states
        assert one.optimiser == f"{FIRE}, then LBFGSLineSearch"
        assert one.start_energy is None
        assert one.n_steps < other.n_steps
        assert one.energy == pytest.approx(other.energy, abs=5e-3)


def test_what_a_batch_reached_is_kept_and_not_done_again(folders, rock_salt, tmp_path, monkeypatch):
    jobs = [RelaxJob("s", rock_salt(seed=4))]
    choice = chosen(folders, "mace")
    with monkeypatch.context() as killed:
        killed.setattr("valenceflow.potentials.relax_many._relaxed", lambda *_: iter(()))
        with pytest.raises(KeyError):  # of the results, which nobody made
            relax_many(jobs, choice, FAR, tmp_path)
    assert len(list(tmp_path.glob("*.under-way.json"))) == 1
    monkeypatch.setattr("valenceflow.potentials.relax_many.descend_together", lambda *_: pytest.fail("done again"))
    (result,) = relax_many(jobs, choice, FAR, tmp_path)
    assert result.optimiser.startswith(FIRE)
    assert result.state == "converged"


def test_a_structure_that_is_refused_or_runs_away_is_told_by_its_own_relaxation(folders, rock_salt):
    unbalanced = rock_salt(seed=1)
    unbalanced.arrays["oxidation_state"][1] = 2
    narrow = RelaxSettings(fmax=1e-4, steps=50, volume_change=1e-3)
    jobs = [RelaxJob("charged", unbalanced), RelaxJob("runs away", rock_salt(seed=2))]
    charged, away = relax_many(jobs, chosen(folders, "cpainn"), narrow)
    assert (charged.state, away.state) == ("failed", "runaway")
    assert "sum to -1 e" in charged.reason
    assert FIRE not in away.optimiser


def test_batches_hold_like_sizes_up_to_their_number_of_atoms():
    assert list(batches([8, 30, 8, 8, 100], 32)) == [[0, 2, 3], [1], [4]]
    assert list(batches([], 32)) == []


def test_a_potential_that_torch_sim_cannot_run_and_an_ensemble_are_refused(folders, rock_salt):
    for names in ((folders["chgnet"],), (folders["cpainn"], folders["cpainn"])):
        choice = ModelChoice(tuple(map(str, names)), batch_atoms=64)
        with pytest.raises(ValueError, match="leave --batch-atoms out"):
            relax_many([RelaxJob("s", rock_salt(seed=1))], choice, FAR)


def test_without_torch_sim_its_extra_is_named(folders, rock_salt, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch_sim", None)
    with pytest.raises(ValueError, match=r"pip install 'valenceflow\[batched\]'"):
        relax_many([RelaxJob("s", rock_salt(seed=1))], chosen(folders, "cpainn"), FAR)


def test_a_batch_that_does_not_fit_into_memory_is_named(folders, rock_salt, monkeypatch):
    def full(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr("torch_sim.optimize", full)
    with pytest.raises(ValueError, match="16 atoms of 2 structures do not fit into the memory of cpu"):
        relax_many([RelaxJob(str(s), rock_salt(seed=s)) for s in (1, 2)], chosen(folders, "cpainn"), FAR)
