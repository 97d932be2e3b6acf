"""Relaxation under a potential as an evaluator: what is told, what came out, what failed."""

import numpy as np
import pytest
from ase.calculators.calculator import Calculator, all_changes

pytest.importorskip("torch", reason="potentials need their extra")

from valenceflow.potentials.calculator import ChargeStateCalculator
from valenceflow.potentials.relaxation import Relaxation, RelaxSettings
from valenceflow.potentials.species import SpeciesMap
from valenceflow.search.hybrid import HybridSettings, hybrid_search
from valenceflow.search.loop import run_search
from valenceflow.search.record import SearchRecord
from valenceflow.search.relaxed import RelaxingEvaluator
from valenceflow.search.space import SearchSpace

GALLIUM = 31
AT = np.array([1, 0, 1, 0, 1, 1, 0, 0], dtype=bool)


class Springs(Calculator):
    """No forces; the energy is the mean height of Fe3+; moments say that the charges are as told, or their mirror."""

    implemented_properties = ("energy", "forces", "stress", "magmoms")

    def __init__(self, moves=False, smeared=False):
        super().__init__()
        self.moves, self.smeared = moves, smeared

    def calculate(self, atoms=None, properties=("energy",), system_changes=tuple(all_changes)):
        super().calculate(atoms, properties, system_changes)
        high = atoms.numbers == GALLIUM
        iron = high | (atoms.numbers == 26)
        seen = high if not self.moves else iron & ~high
        n = len(atoms)
        self.results = {
            "energy": float(atoms.positions[high, 1].sum()),
            "forces": np.zeros((n, 3)),
            "stress": np.zeros(6),
            "magmoms": np.where(seen, 4.33, np.where(iron, 3.77, 0.0)) if not self.smeared else 4.05 * iron,
        }


class Choice:
    """A potential by name, as `ModelChoice` is one."""

    title, batch_atoms, knows_charge_states = "springs", None, True

    def __init__(self, moves=False, smeared=False):
        self.moves, self.smeared, self.opened = moves, smeared, 0

    def fingerprint(self):
        return f"springs {self.moves}"

    def engines(self):
        return ["rehearsal:springs"]

    def open(self, states="oxidation_state"):
        self.opened += 1
        return ChargeStateCalculator(Springs(self.moves, self.smeared), SpeciesMap.shipped("paper"), states)


@pytest.fixture
def space(small_cell, iron):
    return SearchSpace.of(small_cell, iron, "charges", at=AT)


def evaluated(space, keys, **options):
    told = []
    choice = options.pop("choice", None) or Choice()
    settings = options.pop("settings", RelaxSettings())
    RelaxingEvaluator(space.cell, space.couple, choice, settings, **options)(keys, told.append)
    return told


def test_every_ordering_is_told_with_its_energy_and_the_charges_that_it_was_given(space):
    keys = [space.key(one) for one in space.sample(4, 4, seed=1)]
    told = evaluated(space, keys)
    assert {str(one.key) for one in told} == {str(key) for key in keys}
    heights = space.cell.structure.cart_coords[space.cell.redox_sites, 1]
    for one in told:
        assert one.energy == pytest.approx(heights[one.key.charge].sum(), abs=1e-6)
        assert one.achieved == space.group.key(one.key.working, one.key.charge)


def test_charges_that_came_out_otherwise_are_read_from_moments(space):
    key = space.key(space.sample(4, 1, seed=1)[0])
    (same,) = evaluated(space, [key], moments_of="vasp")
    (moved,) = evaluated(space, [key], choice=Choice(moves=True), moments_of="vasp")
    assert same.achieved == space.group.key(key.working, key.charge)
    assert moved.achieved == space.group.key(key.working, ~key.charge)


def test_moments_that_no_window_tells_leave_the_charges_unknown(space):
    key = space.key(space.sample(4, 1, seed=1)[0])
    (found,) = evaluated(space, [key], choice=Choice(smeared=True), moments_of="vasp")
    assert found.achieved.charge is None
    assert (found.achieved.working == key.working).all()


def test_what_does_not_converge_is_a_failure_with_its_reason(space):
    key = space.key(space.sample(4, 1, seed=1)[0])
    result = Relaxation(
        relaxation_id="a", name=str(key), model="m", state="unconverged", reason="forces above 0.01 eV/A after 3 steps",
        energy=-3.0, numbers=[11], cell=np.eye(3).tolist(), positions=[[0, 0, 0]], pbc=[True] * 3,
    )  # fmt: skip
    found = RelaxingEvaluator(space.cell, space.couple, Choice()).evaluation(key, result)
    assert not found.counts
    assert found.failure == "unconverged: forces above 0.01 eV/A after 3 steps"


def test_a_search_relaxes_nothing_twice_and_takes_over_what_a_killed_one_relaxed(space, tmp_path):
    evaluator = RelaxingEvaluator(space.cell, space.couple, Choice(), folder=tmp_path / "relaxations")
    with SearchRecord(evaluator, 8, 8, tmp_path / "one") as record:
        first = run_search(hybrid_search(space, HybridSettings(start=8, patience=1)), space, record, at_most=12)
    opened = evaluator.choice.opened
    with SearchRecord(evaluator, 8, 8, tmp_path / "two") as record:
        again = run_search(hybrid_search(space, HybridSettings(start=8, patience=1)), space, record, at_most=12)
    assert again.improvements == first.improvements
    assert len(list((tmp_path / "relaxations").glob("*.json"))) == 12
    assert evaluator.choice.opened == opened


def test_a_potential_that_does_not_know_an_ion_is_refused_before_anything_is_relaxed(space):
    evaluator = RelaxingEvaluator(space.cell, space.couple, Choice())
    evaluator.check_species(SpeciesMap.shipped("paper"), charges_free=False)
    without_charges = "atom 4 has no oxidation state"
    with pytest.raises(ValueError, match=without_charges):
        evaluator.check_species(SpeciesMap.shipped("paper"), charges_free=True)
    evaluator.check_species(SpeciesMap.shipped("elements"), charges_free=True)


def test_whose_numbers_a_potential_learned_is_part_of_what_it_is(space):
    assert RelaxingEvaluator(space.cell, space.couple, Choice()).identity["trained_on"] == ["rehearsal:springs"]
