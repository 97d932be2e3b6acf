"""Moments and embeddings of redox sites: whether a model tells charge states apart (paper Figs. 5, 7, 8)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ...inputs.species import OXIDATION_STATE, FloatArray
from ..calculator import ChargeStateCalculator
from ..embeddings import last_layer, nearest_centroid, principal_components, silhouette
from .cases import OrderingCase, lowest_mixed, moments_of
from .errors import atom_names
from .orderings import confusion, most_outlying
from .relaxed import RelaxedCase, converged, site_moments
from .scores import EmbeddingScore, MomentSet, Start


def moment_sets(
    cases: Sequence[OrderingCase], relaxed: Mapping[Start, Sequence[RelaxedCase]], calculator: ChargeStateCalculator
) -> list[MomentSet]:
    """Fig. 5: the reference's own first frames, the model at first frames, at its minima, at the reference's minima."""
    mixed = [case for case in cases if case.mixed and case.reference.magmoms is not None]
    sets = [_moment_set("reference first", [(c, moments_of(c.first, c.redox_atoms)) for c in mixed])]
    if "magmoms" in calculator.implemented_properties:
        at_first = [(case, _single_point(case, calculator, case.first.atoms)) for case in mixed]
        at_reference = [(case, _single_point(case, calculator, case.reference.atoms)) for case in mixed]
        names = {case.name for case in mixed}
        done = next((found for found in relaxed.values() if found), [])
        own = [(f.case, site_moments(f)) for f in converged(done) if f.case.name in names]
        sets += [_moment_set("first", at_first), _moment_set("relaxed", own), _moment_set("at reference", at_reference)]
    return [found for found in sets if found is not None]


def _single_point(case: OrderingCase, calculator: ChargeStateCalculator, atoms: Any) -> FloatArray:
    here = atoms.copy()
    here.set_array(OXIDATION_STATE, None)
    here.set_array(OXIDATION_STATE, case.reference.atoms.arrays[OXIDATION_STATE])
    here.calc = calculator
    moments: FloatArray = np.abs(here.get_magnetic_moments()[case.redox_atoms])
    return moments


def _moment_set(kind: str, found: Sequence[tuple[OrderingCase, FloatArray | None]]) -> MomentSet | None:
    pairs = [(case, moments) for case, moments in found if moments is not None]
    if not pairs:
        return None
    reference = np.concatenate([np.abs(case.reference.magmoms[case.redox_atoms]) for case, _ in pairs])  # type: ignore[index]
    model = np.concatenate([moments for _, moments in pairs])
    counts = np.zeros((2, 2), dtype=int)
    for case, moments in pairs:
        larger = case.couple.high_moment_is_larger
        counts += np.array(confusion(case, most_outlying(moments, int(case.high.sum()), larger)))
    return MomentSet(
        kind=kind,
        reference=reference.tolist(),
        model=model.tolist(),
        high=np.concatenate([case.high for case, _ in pairs]).tolist(),
        mae=float(np.abs(model - reference).mean()),
        confusion=counts.tolist(),
    )


def embedding_scores(cases: Sequence[OrderingCase], calculator: ChargeStateCalculator) -> list[EmbeddingScore]:
    """Of the lowest mixed structure of the reference."""
    case = lowest_mixed(cases)
    if case is None:
        return []
    features, layer = last_layer(calculator, case.reference.atoms)
    sites = features[case.redox_atoms]
    points, shares = principal_components(sites)
    states = case.high.astype(int)
    all_states = case.reference.atoms.arrays[OXIDATION_STATE]
    names = atom_names(case.reference.atoms.numbers, all_states, {case.couple.element})
    return [
        EmbeddingScore(
            structure=case.name,
            layer=layer,
            species=[names[int(site)] for site in case.redox_atoms],
            points=points.tolist(),
            explained=shares.tolist(),
            silhouette=silhouette(sites, states),
            silhouette_2d=silhouette(points, states),
            nearest_centroid=nearest_centroid(sites, states),
        )
    ]
