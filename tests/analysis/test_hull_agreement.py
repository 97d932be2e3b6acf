"""Two hulls held against each other: against pymatgen's diagram, scores of potentials, and the bad input of users."""

from pathlib import Path

import numpy as np
import pytest
from pymatgen.analysis.phase_diagram import CompoundPhaseDiagram, PDEntry
from pymatgen.core import Composition
from valenceflow.analysis.hull_agreement import hull_agreement, hull_of_calculations, hulls_of_scores, make_hull
from valenceflow.analysis.ways_out import Ways
from valenceflow.cli.wording import commands_on
from valenceflow.potentials.evaluation.hull import HullPoint, hull_score
from valenceflow.potentials.evaluation.scores import ModelScores

FULL, EMPTY = -46.6835, -42.0  # eV per formula unit
X = np.array([0.0, 1.0, *np.tile([0.25, 1 / 3, 0.5, 2 / 3, 0.75], 6)])
NAMES = [f"k{i}" for i in range(len(X))]


def energies(seed):
    draw = np.random.default_rng(seed).normal(0, 0.04, len(X)) * (X > 0) * (X < 1)
    return X * FULL + (1 - X) * EMPTY + draw


def calculation(key, fraction, energy, **changes):
    return {
        "intended_key": key, "achieved_key": key, "fraction": fraction, "energy_per_fu": energy, "counts": True,
        "state": "completed", "relation": "kept",
        "host": "h", "engine": "vasp", "protocol": "paper-2026", "protocol_hash": "p", **changes,
    }  # fmt: skip


def pymatgen_diagram(values):
    entries = [
        PDEntry(Composition({"Na": x, "Fe": 1, "P": 1, "O": 4}), e, attribute=name)
        for name, x, e in zip(NAMES, X, values, strict=True)
    ]
    return CompoundPhaseDiagram(
        entries, [Composition("NaFePO4"), Composition("FePO4")], normalize_terminal_compositions=False
    )


def test_stable_phases_and_heights_of_both_hulls_are_those_of_pymatgen():
    values = energies(1), energies(2)
    hulls = [make_hull(NAMES, X, v, "vasp") for v in values]
    for hull, diagram in zip(hulls, map(pymatgen_diagram, values), strict=True):
        assert set(hull.stable) == {entry.original_entry.attribute for entry in diagram.stable_entries}
        heights = {e.original_entry.attribute: 1000 * diagram.get_e_above_hull(e) for e in diagram.all_entries}
        assert hull.above == pytest.approx([heights[name] for name in NAMES], abs=1e-6)


def test_agreement_is_that_of_a_potentials_score_and_names_each_stable_phase_once():
    first, second = energies(1), energies(2)
    points = [HullPoint(n, x, a, b) for n, x, a, b in zip(NAMES, X, first, second, strict=True)]
    score = hull_score("ideal", points)
    scores = ModelScores(
        model="m", model_fingerprint="f", charge_states=True, data_set="set", data_set_checksum="c", engine="vasp",
        side="all", settings={}, errors=[], rankings=[], achieved=[], moments=[], hull=[score], embeddings=[],
        left_out={},
    )  # fmt: skip
    reference, model = hulls_of_scores(scores, score)
    found = hull_agreement(reference, model)
    assert (found.mae, found.rmse, found.largest) == pytest.approx((score.mae, score.rmse, score.largest))
    stable = {*found.stable_in_both, *found.only_in_second, "k0", "k1"}
    assert stable == set(score.stable_model)
    assert {*found.stable_in_both, *found.only_in_first, "k0", "k1"} == set(score.stable_reference)
    assert found.only_one_has == 0
    assert np.abs(found.residuals).mean() == pytest.approx(1000 * np.abs(second - first)[2:].mean())


def test_a_hull_agrees_with_itself_and_what_one_lacks_is_counted():
    hull = make_hull(NAMES, X, energies(1), "vasp")
    same = hull_agreement(hull, hull)
    assert same.mae == same.mae_above_hull == 0
    assert not same.only_in_first
    assert not same.only_in_second
    short = make_hull(NAMES[:10], X[:10], energies(1)[:10], "vasp")
    assert hull_agreement(hull, short).only_one_has == len(X) - 10


def test_mixed_engines_missing_ends_one_composition_and_numbers_that_are_none_are_refused():
    ends = [calculation("f.0", 1.0, FULL), calculation("0.f", 0.0, EMPTY)]
    half = calculation("3.5", 0.5, -44.4)
    with pytest.raises(ValueError, match="engines rehearsal:springs, vasp do not compare; take one \\(--engine"):
        hull_of_calculations([*ends, {**half, "engine": "rehearsal:springs"}])
    with pytest.raises(
        ValueError, match=r"protocols p, q do not compare; where a campaign.s protocol has changed, give it another"
    ):
        hull_of_calculations([*ends, {**half, "protocol_hash": "q"}])
    with pytest.raises(
        ValueError, match=r"no energy that counts at x = 0.*`valenceflow run my\.yaml --engine vasp` makes"
    ):
        hull_of_calculations([ends[0], half], Ways(commands_on(Path("my.yaml"))))
    with pytest.raises(ValueError, match="nothing lies between the end members"):
        hull_of_calculations(ends)
    again = r"the energy of 3\.5 is no number \(energy_per_fu nan\).*`valenceflow retry CAMPAIGN\.yaml .*--only 3\.5`"
    with pytest.raises(ValueError, match=again):
        hull_of_calculations([*ends, {**half, "energy_per_fu": float("nan")}])
    with pytest.raises(ValueError, match="no calculation counts yet"):
        hull_of_calculations([])
    with pytest.raises(ValueError, match="no structure in common"):
        hull_agreement(hull_of_calculations([*ends, half]), hull_of_calculations([*ends, calculation("3.6", 0.5, -44)]))


def test_what_was_computed_and_does_not_count_is_said_with_the_retry_that_marks_it():
    full, empty = calculation("f.0", 1.0, FULL), calculation("0.f", 0.0, EMPTY)
    half, other = calculation("3.5", 0.5, -44.4), calculation("3.6", 0.5, -44.3)
    lost = {"counts": False, "relation": "moved"}
    failed = {"counts": False, "state": "failed", "relation": "not read", "energy_per_fu": None}
    ways = Ways(commands_on(Path("my.yaml")))
    again = r"x = 0 was computed and does not count \(lost: moved\).*`valenceflow retry my\.yaml .*--reason lost"
    with pytest.raises(
        ValueError, match=again + r" --only 0\.f`, then `valenceflow run my\.yaml --engine vasp`; `on_lost"
    ):
        hull_of_calculations([full, half, {**empty, **lost}], ways)
    with pytest.raises(
        ValueError, match=r"x = 0 was .* \(failed\), so .*; `valenceflow retry \S+ --engine vasp --only 0\.f`"
    ):
        hull_of_calculations([full, half, {**empty, **failed}], ways)
    said = (
        r"2 computed there are left out \(1 lost: moved, 1 failed\); `.* --reason lost` and `valenceflow retry my\.yaml"
    )
    with pytest.raises(ValueError, match=said):
        hull_of_calculations([full, empty, {**half, **lost}, {**other, **failed}], ways)
