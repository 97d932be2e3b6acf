"""Charts of models side by side: hulls, relative energies, moments, embeddings (paper Figs. 5 to 8)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, get_args

from ...potentials.evaluation.scores import HullScore, ModelScores, MomentSet, Start
from ...stores.relative_energy import hull_energies
from .charts import BLACK, GREY, Chart, layout, line, marker, numbers, plain, scatter, series
from .models import Comparison, Scored

_MOMENTS = {
    "relaxed": "at each model's own minimum",
    "at reference": "at the reference's minimum",
    "first": "at the reference's first frame",
}


def charts_of_models(comparison: Comparison, name: str) -> list[Chart]:
    """Charts of a comparison; those that would be empty are left out.

    Parameters
    ----------
    comparison : models on one data set.
    name : begins the charts' ids.
    """
    starts: tuple[Start, ...] = get_args(Start)
    found = [_hulls(comparison, start, f"{name}-hull-{start}") for start in starts]
    found += [_rankings(comparison, start, f"{name}-rank-{start}") for start in starts]
    found += [_moments(comparison, kind, f"{name}-moments-{kind.replace(' ', '-')}") for kind in _MOMENTS]
    found += [_embedding(comparison, m, f"{name}-embedding-{n}") for n, m in enumerate(comparison.models)]
    return [chart for chart in found if chart is not None]


def _hulls(comparison: Comparison, start: str, name: str) -> Chart | None:
    """Relative energies of the reference and of every model, each with its lower hull (Fig. 6)."""
    data: list[dict[str, Any]] = []
    for place, (model, hull) in enumerate(_hull_scores(comparison, start)):
        if not data:
            data += _one_hull("reference", hull, hull.reference, ("circle", BLACK, "solid"))
        data += _one_hull(f"{model.name} (MAE {hull.mae:.1f})", hull, hull.model, series(place), hollow=True)
    if not data:
        return None
    text = f"Energies relative to the end members (Eq. 1), {start} starts; lines are lower hulls, MAE in meV/f.u."
    return Chart(name, f"Hull under each model, {start} start", text, data,
                 layout("fraction x", "relative energy, meV/f.u.", comparison.note,
                        xaxis={"range": [-0.06, 1.06]}))  # fmt: skip


def _hull_scores(comparison: Comparison, start: str) -> Iterator[tuple[Scored, HullScore]]:
    for model in comparison.models:
        for hull in model.scores.hull:
            if hull.start == start:
                yield model, hull


def _one_hull(
    label: str, hull: HullScore, energies: Sequence[float], style: tuple[str, str, str], hollow: bool = False
) -> list[dict[str, Any]]:
    """Marks and lower hull of one set of energies; what is no number is left out of the line."""
    symbol, colour, dash = style
    texts = [f"{plain(n)}<br>{plain(label)}: {e:z.1f} meV/f.u." for n, e in zip(hull.names, energies, strict=True)]
    marks = scatter(label, hull.fractions, list(energies), marker(symbol, colour, 9, hollow), texts, legendgroup=label)
    points = [(x, e) for x, e in zip(hull.fractions, numbers(energies), strict=True) if e is not None]
    if len({x for x, _ in points}) < 2:
        return [marks]
    x, y = [p[0] for p in points], [p[1] for p in points]
    corners = sorted({(a, float(b)) for a, b in zip(x, hull_energies(x, y), strict=True)})
    edge = line(label, [c[0] for c in corners], [c[1] for c in corners], dash, colour)
    return [marks, {**edge, "showlegend": False, "legendgroup": label}]


def _rankings(comparison: Comparison, start: str, name: str) -> Chart | None:
    """Relative energies of orderings, the model's against the reference's (Tables 1 and 2)."""
    data, every = [], []
    for place, model in enumerate(comparison.models):
        rankings = [r for r in model.scores.rankings if r.start == start]
        x = [e for r in rankings for e in r.reference_energies]
        y = [e for r in rankings for e in r.energies]
        texts = [f"{plain(n)}<br>{plain(r.group)}<br>{plain(model.name)}" for r in rankings for n in r.names]
        if x:
            symbol, colour, _ = series(place)
            data.append(scatter(model.name, x, y, marker(symbol, colour, 8), texts))
            every += [e for e in numbers([*x, *y]) if e is not None]
    if not every:
        return None
    ends = [min(every), max(every)]
    text = f"Energies of orderings relative to the reference ordering of their group, {start} starts, eV per cell."
    return Chart(name, f"Ranking of orderings, {start} start", text, [line("equal", ends, ends, colour=GREY), *data],
                 layout("reference, eV per cell", "model, eV per cell", comparison.note))  # fmt: skip


def _moments(comparison: Comparison, kind: str, name: str) -> Chart | None:
    """Moments of redox sites, the model's against the reference's; sites in the high state are filled (Figs. 5, 7)."""
    data = []
    for place, model in enumerate(comparison.models):
        symbol, colour, _ = series(place)
        for high in (True, False):
            found = [_of_state(m, high) for m in model.scores.moments if m.kind == kind]
            x, y = [v for xs, _ in found for v in xs], [v for _, ys in found for v in ys]
            if x:
                label = f"{model.name}, {'high' if high else 'low'} state"
                texts = [f"{plain(label)}<br>reference {a:.2f}, model {b:.2f}" for a, b in zip(x, y, strict=True)]
                data.append(scatter(label, x, y, marker(symbol, colour, 8, hollow=not high), texts))
    if not data:
        return None
    text = f"Absolute moments {_MOMENTS[kind]} against the reference's relaxed ones; filled marks: high state."
    unit = "&mu;B"
    return Chart(name, f"Moments {_MOMENTS[kind]}", text, data,
                 layout(f"reference, {unit}", f"model, {unit}", comparison.note))  # fmt: skip


def _of_state(found: MomentSet, high: bool) -> tuple[list[float], list[float]]:
    places = [place for place, is_high in enumerate(found.high) if is_high == high]
    return [found.reference[place] for place in places], [found.model[place] for place in places]


def _embedding(comparison: Comparison, model: Scored, name: str) -> Chart | None:
    """Redox sites in the two leading principal components of the last layer (Fig. 8)."""
    by_species = _points(model.scores)
    if not by_species:
        return None
    data = []
    for place, (species, points) in enumerate(sorted(by_species.items())):
        symbol, colour, _ = series(place)
        x, y = [p[0] for p, _ in points], [p[1] for p, _ in points]
        texts = [f"{plain(species)}<br>{plain(structure)}" for _, structure in points]
        data.append(scatter(f"{species} ({len(points)})", x, y, marker(symbol, colour, 8), texts))
    layer = model.scores.embeddings[0].layer
    text = f"Redox sites in two principal components of the last layer ({layer}); components of each structure its own."
    return Chart(name, f"Charge states in {model.name}", text, data,
                 layout("first component", "second component", comparison.note, height=360))  # fmt: skip


def _points(scores: ModelScores) -> dict[str, list[tuple[list[float], str]]]:
    found: dict[str, list[tuple[list[float], str]]] = {}
    for embedding in scores.embeddings:
        for species, point in zip(embedding.species, embedding.points, strict=True):
            found.setdefault(species, []).append((point, embedding.structure))
    return found
