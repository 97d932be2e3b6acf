"""Scores against what is known: a potential held against its own energies has no error, a plain one sees no order."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from valenceflow.inputs.charge_states import get_couple

torch = pytest.importorskip("torch", reason="potentials need their extra")

from valenceflow.potentials.evaluation import continued  # noqa: E402
from valenceflow.potentials.evaluation.cases import ordering_cases  # noqa: E402
from valenceflow.potentials.evaluation.comparison import comparison_rows  # noqa: E402
from valenceflow.potentials.evaluation.parity import draw_parity  # noqa: E402
from valenceflow.potentials.evaluation.reference import ReferenceSet  # noqa: E402
from valenceflow.potentials.evaluation.relaxed import RelaxedCase  # noqa: E402
from valenceflow.potentials.evaluation.run import evaluate_model  # noqa: E402
from valenceflow.potentials.evaluation.settings import EvaluationSettings  # noqa: E402
from valenceflow.potentials.open_models import ModelChoice  # noqa: E402
from valenceflow.potentials.relaxation import Relaxation, RelaxSettings  # noqa: E402

from .evaluation_set import KEYS, write_set  # noqa: E402

FE = get_couple("Fe2+/Fe3+")
ANY_FORCE = 1e6
STAY = EvaluationSettings(starts=("ideal",), relax=RelaxSettings(fmax=1e4), reference_force=ANY_FORCE)
"""Relaxations end where they begin, and the set's structures count as they are."""


@pytest.fixture(scope="module")
def data(tmp_path_factory, olivine, olivine_model):
    folder = tmp_path_factory.mktemp("evaluation")
    calculator = ModelChoice((str(olivine_model),)).open()
    return ReferenceSet.open(write_set(folder, olivine, FE, calculator, ("parquet", "cpainn")))


@pytest.fixture(scope="module")
def own(data, olivine_model, tmp_path_factory):
    """Scores of the potential that made the set."""
    return evaluate_model(ModelChoice((str(olivine_model),)), data, tmp_path_factory.mktemp("own"), STAY)


@pytest.fixture(scope="module")
def plain(data, plain_olivine_model, tmp_path_factory):
    return evaluate_model(ModelChoice((str(plain_olivine_model),)), data, tmp_path_factory.mktemp("plain"), STAY)


def test_a_potential_has_no_error_on_its_own_numbers(own):
    scores, predictions = own
    by_target = {score.target: score for score in scores.errors if score.group == "all"}
    assert set(by_target) == {"energy", "forces", "stress", "magmoms"}
    for target in ("energy", "forces", "stress"):
        assert by_target[target].mae < 1e-9
    assert by_target["energy"].n == len(predictions.frame_ids) == 2 * len(KEYS)
    assert by_target["magmoms"].mae > 0.1  # made up in the set


def test_errors_are_told_by_composition_step_and_species_and_sum_up(own):
    scores, predictions = own
    forces = [score for score in scores.errors if score.target == "forces"]
    species = [score for score in forces if score.group == "species"]
    assert {score.value for score in species} == {"Na", "Fe2+", "Fe3+", "P", "O"}
    total = next(score for score in forces if score.group == "all")
    for group in ("species", "composition", "step"):
        assert sum(score.n for score in forces if score.group == group) == total.n == 3 * predictions.sizes.sum()
    assert {score.value for score in forces if score.group == "step"} == {"relax"}


def test_scores_say_kind_protocol_and_where_the_lowest_mixed_structure_went(own, plain, data):
    for (scores, _), states in ((own, True), (plain, False)):
        assert (scores.kind, scores.protocol, scores.charge_states) == (scores.kind, data.protocol, states)
        assert scores.kind in ("cpainn", "chgnet", "mace")
        (reached,) = scores.reached
        assert reached.structure == scores.embeddings[0].structure
        assert [reached.symbols[site] for site in reached.redox_atoms] == ["Fe"] * 4
        assert [reached.reference_symbols[site] for site in reached.reference_redox_atoms] == ["Fe"] * 4
        assert sum(reached.told) == 2
        assert reached.states == ["Fe2+", "Fe3+"]
        assert reached.relation in ("kept", "equivalent", "moved", "not read")


def test_its_own_energies_rank_perfectly_and_lie_on_its_own_hull(own):
    scores, _ = own
    groups = {ranking.group: ranking for ranking in scores.rankings}
    half = next(ranking for ranking in scores.rankings if len(ranking.names) == 6)
    assert half.with_reference.spearman == pytest.approx(1)
    assert half.with_reference.kendall == pytest.approx(1)
    assert half.with_reference.mae < 1e-6
    assert half.reference_lowest
    assert len(groups) == 3  # two sodium orders at x = 1/2, and the composition that holds both
    [hull] = scores.hull
    assert hull.n == 7
    assert hull.mae < 1e-6
    assert hull.stable_model == hull.stable_reference
    assert {f"case-{key}" for key in ("f.0", "0.f")} <= set(hull.stable_model)


def test_a_plain_potential_gives_one_energy_to_all_charge_orders_of_a_sodium_order(plain):
    scores, _ = plain
    ranking = next(r for r in scores.rankings if r.group.endswith(" 3"))
    assert np.ptp(ranking.energies) < 1e-9
    assert ranking.with_reference.spearman is None
    assert not scores.charge_states


def test_a_named_reference_is_what_energies_are_relative_to(data, olivine_model, tmp_path):
    told = replace(STAY, reference="3.5", structures=4)
    scores, _ = evaluate_model(ModelChoice((str(olivine_model),)), data, tmp_path, told)
    named = [ranking for ranking in scores.rankings if ranking.reference == "case-3.5"]
    assert named
    for ranking in named:
        place = ranking.names.index("case-3.5")
        assert ranking.energies[place] == ranking.reference_energies[place] == 0
        assert ranking.reference_lowest == (min(ranking.reference_energies) == 0)


def test_moments_and_their_confusion_count_every_site_of_mixed_cells(own):
    scores, _ = own
    sets = {found.kind: found for found in scores.moments}
    assert set(sets) == {"reference first", "first", "relaxed", "at reference"}
    n_mixed = len(KEYS) - 2
    for found in sets.values():
        assert len(found.model) == len(found.reference) == len(found.high) == 4 * n_mixed
        assert np.sum(found.confusion) == 4 * n_mixed
    assert sets["reference first"].mae == 0
    assert sets["reference first"].confusion[0][1] == sets["reference first"].confusion[1][0] == 0


def test_orderings_that_no_judge_can_read_are_undecided_not_achieved(own):
    scores, _ = own
    by_bonds = next(found for found in scores.achieved if found.judge == "bond valences")
    assert by_bonds.n == len(KEYS) - 2
    assert by_bonds.undecided == by_bonds.n  # ideal sites are all alike
    assert by_bonds.achieved == 0


def test_a_model_none_of_whose_relaxations_converged_is_counted_with_all_of_them(data, olivine_model, tmp_path):
    never = replace(STAY, relax=RelaxSettings(fmax=1e-6, steps=0))
    scores, _ = evaluate_model(ModelChoice((str(olivine_model),)), data, tmp_path, never)
    [found] = [one for one in scores.achieved if one.start == "ideal"]
    assert (found.n, found.achieved, found.unconverged) == (0, 0, len(KEYS) - 2)


def test_a_judge_reads_geometry_alone(data, olivine_model, plain_olivine_model, tmp_path):
    choice, plain = ModelChoice((str(olivine_model),)), ModelChoice((str(plain_olivine_model),))
    told = replace(STAY, structures=2, judge=plain)
    scores, _ = evaluate_model(choice, data, tmp_path, told)
    [judged] = [found for found in scores.achieved if found.judge == "judge"]
    assert (judged.n, judged.undecided, judged.achieved) == (2, 2, 0)  # ideal sites are all alike
    with pytest.raises(ValueError, match="cannot judge: a judge has moments, and reads geometry alone"):
        evaluate_model(choice, data, tmp_path, replace(told, judge=choice))
    with pytest.raises(ValueError, match="no configuration or key of the 4"):
        evaluate_model(choice, data, tmp_path, replace(told, judge=None, reference="nothing"))


def test_embeddings_of_a_charge_state_model_tell_states_apart_better_than_those_of_a_plain_one(own, plain):
    [knows], [does_not] = own[0].embeddings, plain[0].embeddings
    assert knows.layer == "cPaiNN: input of the readout"
    assert knows.silhouette > 0.3 > does_not.silhouette
    assert knows.nearest_centroid == 1.0
    assert np.shape(knows.points) == (4, 2)
    assert sorted(knows.species) == ["Fe2+", "Fe2+", "Fe3+", "Fe3+"]


def test_a_second_evaluation_computes_nothing_and_says_the_same(data, olivine_model, tmp_path, monkeypatch):
    choice = ModelChoice((str(olivine_model),))
    told = replace(STAY, structures=2)
    first, _ = evaluate_model(choice, data, tmp_path, told)
    from valenceflow.potentials import relax_many
    from valenceflow.potentials.evaluation import frames

    monkeypatch.setattr(frames, "_predicted", lambda *_: pytest.fail("a frame was evaluated again"))
    monkeypatch.setattr(relax_many, "relax_atoms", lambda *_: pytest.fail("a structure was relaxed again"))
    second, _ = evaluate_model(choice, data, tmp_path, told)
    assert second == first


def test_the_frames_of_both_formats_are_the_same(data):
    from_parquet = list(data.frames("test"))
    manifest = {**data.manifest, "formats": {"cpainn": {}}}
    from_xyz = list(ReferenceSet(data.folder, manifest).frames("test"))
    assert [frame.frame_id for frame in from_parquet] == [frame.frame_id for frame in from_xyz]
    for one, other in zip(from_parquet, from_xyz, strict=True):
        assert (one.lineage, one.host, one.step) == (other.lineage, other.host, other.step)
        assert one.energy == other.energy
        assert np.array_equal(one.forces, other.forces)
        assert np.array_equal(one.atoms.arrays["oxidation_state"], other.atoms.arrays["oxidation_state"])


def test_cases_know_their_keys_and_start_from_their_own_arrangement(data, olivine):
    cases = {case.name: case for case in ordering_cases(data, ("test",), relaxed_force=ANY_FORCE)}
    assert {case.key for case in cases.values()} == {name.removeprefix("case-") for name in cases}
    case = cases["case-3.5"]
    ideal, sites = case.start("ideal")
    assert np.array_equal(ideal.arrays["oxidation_state"][sites] == 3, case.high)
    rattled, _ = case.start("rattled", rattle=0.02, seed=1)
    again, _ = case.start("rattled", rattle=0.02, seed=1)
    assert np.array_equal(rattled.positions, again.positions)
    assert 0.01 < (rattled.positions - ideal.positions).std() < 0.03


def test_models_are_held_against_relaxed_structures_only(data, olivine_model, tmp_path):
    """The set's structures stand at ideal sites, where forces are what the potential gives."""
    last = {frame.lineage: np.linalg.norm(frame.forces, axis=1).max() for frame in data.frames("test")}
    between = float(np.median(list(last.values())))
    counted: dict[str, int] = {}
    cases = ordering_cases(data, ("test",), None, counted, between)
    assert {case.name for case in cases} == {name for name, force in last.items() if force <= between}
    assert 0 < len(cases) < len(last)
    reason = f"configurations without a relaxed structure (forces above the --reference-force of {between:g} eV/A)"
    assert counted == {reason: len(last) - len(cases)}
    choice, told = ModelChoice((str(olivine_model),)), replace(STAY, reference_force=between)
    scores, _ = evaluate_model(choice, data, tmp_path, told)
    assert scores.left_out[reason] == len(last) - len(cases)
    assert scores.settings["reference_force"] == between


def test_of_two_configurations_that_reached_one_ordering_the_lower_counts(olivine, olivine_model, tmp_path):
    calculator = ModelChoice((str(olivine_model),)).open()
    data = ReferenceSet.open(write_set(tmp_path, olivine, FE, calculator, twice=("3.5", "f.0")))
    energies = {frame.lineage: frame.energy for frame in data.frames("test")}  # the last of each
    counted: dict[str, int] = {}
    cases = ordering_cases(data, ("test",), None, counted, ANY_FORCE)
    assert sorted(case.key for case in cases) == sorted(KEYS)
    for key in ("3.5", "f.0"):
        (kept,) = (case for case in cases if case.key == key)
        assert kept.name == min((f"case-{key}", f"case-{key}-again"), key=energies.__getitem__)
    assert counted == {"configurations that reached the ordering of a lower one": 2}


def test_orderings_are_the_same_modulo_symmetry_only(data):
    cases = {case.name: case for case in ordering_cases(data, ("test",), relaxed_force=ANY_FORCE)}
    case = cases["case-1.7"]  # one sodium: the stabiliser is small
    assert case.same_ordering(case.high)
    images = np.unique(case.images(case.high), axis=0)
    assert all(case.same_ordering(image) for image in images)
    others = [np.arange(4) != low for low in range(4) if not (images == (np.arange(4) != low)).all(axis=1).any()]
    assert others
    assert not any(case.same_ordering(other) for other in others)


def test_models_stand_side_by_side_on_one_data_set_only(own, plain):
    rows = {row["score"]: row["values"] for row in comparison_rows([own[0], plain[0]])}
    assert rows["energy MAE, meV/atom"][0] == 0
    assert rows["energy MAE, meV/atom"][1] > 0
    assert rows["orderings achieved by bond valences, ideal start"] == ["0 of 7", "0 of 7"]
    with pytest.raises(ValueError, match="do not compare"):
        comparison_rows([own[0], plain[0].model_copy(update={"side": "train"})])


def test_parity_plots_are_written(own, tmp_path):
    draw_parity(own[1], "a model", tmp_path / "parity.svg")
    text = (tmp_path / "parity.svg").read_text()
    assert "MAE" in text or "<path" in text
    assert not list(tmp_path.glob("*.partial"))


def test_what_is_no_data_set_or_an_empty_side_is_refused(data, tmp_path):
    with pytest.raises(ValueError, match="make one with valenceflow export"):
        ReferenceSet.open(tmp_path)
    with pytest.raises(ValueError, match=r"holds no train frames \(train 0, valid 0, test 18, benchmark 0\)"):
        data.sides("train")
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(ValueError, match="is damaged"):
        ReferenceSet.open(tmp_path)
    manifest = json.loads((data.folder / "manifest.json").read_text())
    with pytest.raises(ValueError, match="evaluation reads parquet"):
        next(ReferenceSet(data.folder, manifest | {"formats": {"aselmdb": {}}}).frames("test"))


def test_references_are_checked_by_the_potential_that_made_them(data, olivine_model, plain_olivine_model, tmp_path):
    plain = ModelChoice((str(plain_olivine_model),))
    told = replace(STAY, structures=2, judge=plain, check_references=True)
    scores, _ = evaluate_model(ModelChoice((str(olivine_model),)), data, tmp_path, told)
    assert len(scores.continued) == 2
    cases = {case.name: case for case in ordering_cases(data, ("test",), relaxed_force=ANY_FORCE)}
    for found in scores.continued:
        atoms, _ = cases[found.structure].start("ideal")
        atoms.calc = plain.open()
        expected = 1000 * (atoms.get_potential_energy() - cases[found.structure].reference.energy) / 4
        assert found.higher_mev_per_fu == pytest.approx(expected, abs=1e-3)
        assert (found.same_ordering, found.reference_is_minimum) == (None, None)  # ideal sites are all alike
    with pytest.raises(ValueError, match="name it as judge"):
        evaluate_model(plain, data, tmp_path, replace(told, judge=None))


@pytest.mark.parametrize(
    ("lower", "kept", "minimum"), [(4.0, True, True), (6.0, True, False), (6.0, False, None), (-20.0, True, True)]
)
def test_a_reference_is_no_minimum_where_the_same_order_lies_lower(
    data, olivine_model, monkeypatch, lower, kept, minimum
):
    case = next(case for case in ordering_cases(data, ("test",), relaxed_force=ANY_FORCE) if case.key == "3.5")
    atoms, sites = case.start("ideal")
    high = case.high if kept else np.array([True, False, False, False]) ^ case.high
    moments = np.zeros(len(atoms))
    moments[sites] = np.where(high, 4.33, 3.77)
    stayed = Relaxation(
        relaxation_id="r", name=case.name, model="m", state="converged", numbers=atoms.numbers.tolist(),
        cell=atoms.cell.array.tolist(), positions=atoms.positions.tolist(), pbc=[True] * 3,
        energy=case.reference.energy - lower / 1000 * 4, magmoms=moments.tolist(),
    )  # fmt: skip
    monkeypatch.setattr(continued, "relax_many", lambda *_: [stayed])
    done = [RelaxedCase(case, sites, stayed)]
    judge = ModelChoice((str(olivine_model),))
    [found] = continued.continued_references("ideal", done, judge, "vasp", RelaxSettings(), Path(), 1)
    assert found.higher_mev_per_fu == pytest.approx(-lower)
    assert found.reference_is_minimum is minimum
