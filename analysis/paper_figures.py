"""The figures and tables of the paper from one's own results: what each needs, and why one could not be made.

`FIGURES` names them; `make_figure` turns sources into a picture and the numbers behind it, which are written side by
side. What a figure shows is worked out in the modules of `analysis`, drawn in `analysis.figures`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from matplotlib.figure import Figure

from ..inputs.charge_states import LabelWindow, shipped_couples
from ..potentials.evaluation.scores import ModelScores
from .campaign_results import CampaignResults
from .distributions import distribution_of
from .figures.energies import formula_text
from .figures.hulls import hull_figure, model_hulls_figure
from .figures.models import embeddings_figure, scatter_figure, table_figure
from .figures.moments import moments_figure
from .figures.search import search_figure
from .figures.structures import structures_figure
from .figures.style import said_source
from .figures.thermodynamics import distribution_figure
from .figures.voltages import voltages_figure
from .hull_agreement import Hull
from .model_results import (
    EnergyTable,
    embedded_sites,
    energy_table,
    model_hulls,
    published_table,
    same_data_set,
    shared_rankings,
)
from .moment_comparison import AXES, MomentSeries, Panel, model_moments, relaxation_moments, separation
from .ordering_structures import lowest_structures, reached_structures, stable_structures
from .search_course import SearchCourse
from .voltages import campaign_voltages
from .ways_out import refuse_no_numbers


@dataclass(frozen=True)
class Sources:
    """What there is to make figures of.

    Attributes
    ----------
    campaign : results of one campaign; None without.
    metal : its MetalReferenceDoc as a dict, where there is one; for voltages.
    scores : of potentials on one data set.
    searches : how searches went.
    published : make the tables of the paper's own numbers.
    """

    campaign: CampaignResults | None = None
    metal: Mapping[str, Any] | None = None
    scores: tuple[ModelScores, ...] = ()
    searches: tuple[SearchCourse, ...] = ()
    published: bool = False

    @property
    def results(self) -> CampaignResults:
        """The campaign's results.

        Raises
        ------
        ValueError
            If there is no campaign among the sources.
        """
        if self.campaign is None:
            raise ValueError("needs a campaign: give its CAMPAIGN.yaml")
        return self.campaign

    @property
    def search(self) -> SearchCourse:
        """The search; errors as `results`, and if there are several."""
        if not self.searches:
            raise ValueError("needs a search: give its folder (`valenceflow search run HOST --to FOLDER`)")
        if len(self.searches) > 1:
            raise ValueError(f"shows one search, got {len(self.searches)}; give one")
        return self.searches[0]

    @property
    def working_ion(self) -> str:
        """Its symbol, where a campaign or a search says it."""
        if self.campaign is not None:
            return self.campaign.cell.host.working_ion
        return self.searches[0].working_ion if self.searches else "working-ion"


@dataclass(frozen=True)
class MadeFigure:
    """A figure and the numbers behind it.

    Attributes
    ----------
    figure : to be saved.
    rows : what is drawn, plain values, for CSV.
    about : title, engine and protocol, statistics.
    """

    figure: Figure
    rows: list[dict[str, Any]]
    about: dict[str, Any] = field(default_factory=dict)


def make_figure(name: str, sources: Sources) -> MadeFigure:
    """Make one of `FIGURES`.

    Raises
    ------
    ValueError
        If there is no such figure, or the sources lack what it needs: what, and how to make it.
    """
    if name not in FIGURES:
        raise ValueError(f"unknown figure {name!r}: choose of {', '.join(FIGURES)}")
    title, maker = FIGURES[name]
    made = maker(sources, title)
    made.about.update(figure=name, title=title)
    return made


def _stable(sources: Sources, title: str) -> MadeFigure:
    results = sources.results
    found = stable_structures(results)
    figure = structures_figure(found, sources.working_ion, _of(results, title), results.source)
    return MadeFigure(figure, [row for s in found for row in s.rows()], {"source": results.source})


def _lowest(sources: Sources, title: str) -> MadeFigure:
    results = sources.results
    found = lowest_structures(results)
    heading = f"{_of(results, title)}, x = {found[0].x:.3g}"
    figure = structures_figure(found, sources.working_ion, heading, results.source)
    return MadeFigure(figure, [row for s in found for row in s.rows()], {"source": results.source})


def _search_course(sources: Sources, title: str) -> MadeFigure:
    course = sources.search
    return MadeFigure(search_figure(course, title), course.rows(), {"source": course.source, "search": course.title})


def _search_hull(sources: Sources, title: str) -> MadeFigure:
    course = sources.search
    hull = course.hull()
    return _hull(hull, hull_figure(hull, sources.working_ion, f"{title}\n{course.title}"))


def _campaign_hull(sources: Sources, title: str) -> MadeFigure:
    results = sources.results
    references = [c["achieved_key"] for c in results.counting if "reference" in c["strata"]]
    hull = results.hull()
    return _hull(hull, hull_figure(hull, sources.working_ion, _of(results, title), references))


def _hull(hull: Hull, figure: Figure) -> MadeFigure:
    columns = zip(hull.names, hull.x.tolist(), hull.energies.tolist(), hull.above.tolist(), strict=True)
    rows = [
        {"ordering": name, "x": x, "relative_mev_per_fu": energy, "above_hull_mev_per_fu": above}
        for name, x, energy, above in columns
    ]
    return MadeFigure(figure, rows, {"source": hull.source, "stable": list(hull.stable)})


def _distribution(sources: Sources, title: str) -> MadeFigure:
    results = sources.results
    between = results.between()
    keys = Counter((("reference" in c["strata"]), c["working_key"]) for c in between)
    with_reference = {key for is_reference, key in keys if is_reference}
    counts = Counter(c["working_key"] for c in between if c["in_statistics"])
    if not counts:
        raise ValueError(
            f"none of the {len(between)} orderings that count between the end members was sampled or listed; a "
            "distribution needs `charge: {sample: N, seed: S}` or `{all: true}` in the campaign file"
        )
    key = max(counts, key=lambda key: (key in with_reference, counts[key], key))
    here = [c for c in between if c["working_key"] == key]
    refuse_no_numbers(here, results.source, results.ways)
    found = distribution_of(here)
    heading = f"{_of(results, title)}\n{sources.working_ion} ordering {key}, {said_source(results.source)}"
    statistics = {
        name: getattr(found, name)
        for name in ("mean", "standard_deviation", "skewness", "excess_kurtosis", "n_effective", "normal",
                     "reference_in_deviations", "n_below_reference", "n_left_out", "per")
    }  # fmt: skip
    rows = [
        {"energy_ev_per_cell": energy, "weight": weight}
        for energy, weight in zip(found.energies.tolist(), found.weights.tolist(), strict=True)
    ]
    about = {"source": results.source, "working_key": key, "unit": "eV per supercell", **statistics}
    return MadeFigure(distribution_figure(found, heading), rows, about)


def _moments(panel: Panel) -> Callable[[Sources, str], MadeFigure]:
    def make(sources: Sources, title: str) -> MadeFigure:
        if panel == "a" and sources.campaign is not None:
            series = [relaxation_moments(sources.campaign)]
        else:
            same_data_set(sources.scores)
            series = model_moments(sources.scores, panel)
        figure = moments_figure(series, panel, _window(sources), title)
        about: dict[str, Any] = {"source": series[0].source, "x": AXES[panel][0], "y": AXES[panel][1]}
        about["series"] = {s.label: separation(s) for s in series}
        return MadeFigure(figure, _rows(series), about)

    return make


def _rows(series: list[MomentSeries]) -> list[dict[str, Any]]:
    return [row for s in series for row in s.rows()]


def _window(sources: Sources) -> LabelWindow | None:
    """Label window of the reference's engine; None where the couple is not known."""
    if sources.campaign is not None:
        return sources.campaign.couple.window(sources.campaign.engine)
    for s in sources.scores:
        for reached in s.reached:
            couple = shipped_couples().get("/".join(reached.states))
            return None if couple is None else couple.window(s.engine)
    return None


def _model_hulls(sources: Sources, title: str) -> MadeFigure:
    found = model_hulls(sources.scores)
    source = same_data_set(sources.scores)
    figure = model_hulls_figure(found, sources.working_ion, title, source)
    agreements = {one.kind: {which: a.as_dict() for which, a in one.agreements.items()} for one in found}
    return MadeFigure(figure, [row for one in found for row in one.rows()], {"source": source, "agreement": agreements})


def _reached(sources: Sources, title: str) -> MadeFigure:
    source = same_data_set(sources.scores)
    found = reached_structures(sources.scores)
    figure = structures_figure(found, sources.working_ion, title, source, mirrored=True)
    about = {"source": source, "structures": [s.note for s in found]}
    return MadeFigure(figure, [row for s in found for row in s.rows()], about)


def _embeddings(sources: Sources, title: str) -> MadeFigure:
    found = embedded_sites(sources.scores)
    source = same_data_set(sources.scores)
    silhouettes = {one.model: one.silhouette for one in found}
    rows = [row for one in found for row in one.rows()]
    return MadeFigure(embeddings_figure(found, title, source), rows, {"source": source, "silhouette": silhouettes})


def _scatter(sources: Sources, title: str) -> MadeFigure:
    source = same_data_set(sources.scores)
    chosen = [s for s in sources.scores if s.charge_states]
    if not chosen:
        raise ValueError("no scores of a model with charge states")
    rankings = shared_rankings(chosen, by_composition=False)
    rows = [
        {"model": model, "ordering": name, "reference_ev_per_cell": true, "model_ev_per_cell": energy}
        for model, r in rankings.items()
        for name, true, energy in zip(r.names, r.reference_energies, r.energies, strict=True)
    ]
    statistics = {model: r.model_dump(include={"with_reference", "without_reference"}) for model, r in rankings.items()}
    first = next(iter(rankings.values()))
    about = {"source": source, "group": first.group, "reference": first.reference, "statistics": statistics}
    return MadeFigure(scatter_figure(rankings, title, source), rows, about)


def _voltages(sources: Sources, title: str) -> MadeFigure:
    found = campaign_voltages(sources.results, sources.metal)
    about = {"source": found.source, "against": found.metal, "average_V": found.average}
    return MadeFigure(voltages_figure(found, _of(sources.results, title)), found.rows(), about)


def _table(charge_states: bool) -> Callable[[Sources, str], MadeFigure]:
    def make(sources: Sources, title: str) -> MadeFigure:
        if sources.published:
            table = published_table("after" if charge_states else "before")
        else:
            table = energy_table(sources.scores, charge_states)
        return MadeFigure(table_figure(table, title), table.rows(), _about(table))

    return make


def _about(table: EnergyTable) -> dict[str, Any]:
    return {
        "source": table.source, "of": table.title, "unit": "eV per cell",
        "reference_structure": table.reference_structure, "statistics": table.statistics(),
    }  # fmt: skip


def _of(results: CampaignResults, title: str) -> str:
    formula = results.cell.host.structure.composition.reduced_formula
    return f"{title}: {formula_text(formula)}, {results.cell.formula_units} f.u. per cell"


FIGURES: Mapping[str, tuple[str, Callable[[Sources, str], MadeFigure]]] = {
    "fig1": ("Stable structures", _stable),
    "fig2a": ("Course of the search", _search_course),
    "fig2b": ("Hull of the search", _search_hull),
    "fig2c": ("Hull of the campaign", _campaign_hull),
    "fig3": ("Lowest structures", _lowest),
    "fig4": ("Distribution of charge orderings", _distribution),
    "fig5a": ("Moments before and after relaxation", _moments("a")),
    "fig5b": ("Moments before relaxation", _moments("b")),
    "fig5c": ("Moments of relaxed structures", _moments("c")),
    "fig5d": ("Moments at the reference's structures", _moments("d")),
    "fig6": ("Hulls before and after charge states were embedded", _model_hulls),
    "fig7": ("Charge ordering reached from the reference structure", _reached),
    "fig8": ("Embeddings of the redox sites", _embeddings),
    "fig9": ("Energies of charge orderings", _scatter),
    "table1": ("Relative energies, eV per cell", _table(charge_states=False)),
    "table2": ("Relative energies, eV per cell", _table(charge_states=True)),
    "voltages": ("Average voltages", _voltages),
}
"""Name -> title and what makes it: the paper's by their numbers, and voltages beyond it."""
