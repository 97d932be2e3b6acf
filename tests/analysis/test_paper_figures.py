"""Every figure of the paper: its source is printed on it, its numbers stand beside it, what it lacks is said."""

import io
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.text import Text
from valenceflow.analysis.figures.style import MODELS, STATES
from valenceflow.analysis.paper_figures import FIGURES, Sources, make_figure
from valenceflow.analysis.search_course import SearchCourse
from valenceflow.cli import completion

from .made_up import ENERGIES, FULL, METAL, campaign, four_scores


@pytest.fixture(scope="module")
def course():
    x = np.array([1.0, 0.0, 0.5, 0.5, 0.5])
    energies = np.array([FULL, -42.0, -43.9, -44.1, -44.0])
    return SearchCourse("hybrid over ions", "potential m", "Na", tuple("abcde"), x, energies)


@pytest.fixture(scope="module")
def sources(olivine, course):
    return Sources(campaign(olivine), METAL, tuple(four_scores()), (course,))


def texts(figure):
    return " ".join(text.get_text() for text in figure.findobj(Text))


@pytest.mark.parametrize("name", FIGURES)
def test_each_figure_is_drawn_with_its_source_and_numbers(sources, name):
    made = make_figure(name, sources)
    made.figure.savefig(io.BytesIO(), format="png", dpi=40)
    source = "potential m" if name in ("fig2a", "fig2b") else "rehearsal:springs, protocol paper-2026"
    assert made.about["source"] == source
    assert source in texts(made.figure)
    assert ("REHEARSAL, not DFT" in texts(made.figure)) == source.startswith("rehearsal")
    assert made.rows
    assert {tuple(row) for row in made.rows} == {tuple(made.rows[0])}


@pytest.mark.parametrize("name", FIGURES)
def test_without_sources_each_says_what_it_needs(name):
    with pytest.raises(ValueError, match=r"needs (a campaign: give|a search: give|scores: `valenceflow evaluate)"):
        make_figure(name, Sources())


def test_numbers_beside_figures_are_those_of_the_sources(sources):
    hull = make_figure("fig2c", sources)
    assert {row["ordering"]: row["relative_mev_per_fu"] for row in hull.rows} == pytest.approx(
        {".".join(key): energy for key, energy in ENERGIES.items()}
    )
    assert hull.about["stable"] == ["0.f", "3.3", "f.0"]
    distribution = make_figure("fig4", sources)
    assert distribution.about["working_key"] == "3"
    assert [row["energy_ev_per_cell"] for row in distribution.rows] == pytest.approx([0.0, 0.16, 0.3])
    assert make_figure("fig6", sources).about["agreement"]["mace"]["after"]["mae"] == pytest.approx(1.5)
    assert len(make_figure("fig2a", sources).rows) == 5
    assert len(make_figure("fig9", sources).rows) == 6


def test_a_distribution_of_picked_orderings_says_how_to_sample_some(sources):
    results = sources.results
    picked = [{**calculation, "in_statistics": False} for calculation in results.calculations]
    number = len(results.between())
    said = rf"none of the {number} orderings that count .* `charge: \{{sample: N, seed: S\}}`"
    with pytest.raises(ValueError, match=said):
        make_figure("fig4", replace(sources, campaign=replace(results, calculations=picked)))


def test_the_lowest_so_far_never_rises_and_ends_at_the_best(course):
    numbers, energies = course.lowest_so_far()[0.5]
    assert numbers.tolist() == [3, 4, 5]
    assert energies == pytest.approx([200.0, 0.0, 0.0])


def test_the_papers_tables_are_drawn_from_its_numbers():
    made = make_figure("table1", Sources(published=True))
    assert "arXiv:2603.26471" in texts(made.figure)
    assert list(made.rows[0].values()) == ["Structure 1", 0.869, -1.163, 1.594, 0.72]


def test_states_and_models_are_told_apart_by_shape_and_states_by_darkness_too():
    def darkness(colour):
        return float(np.dot([0.2126, 0.7152, 0.0722], to_rgb(colour)))

    low, high = STATES
    assert darkness(low.face) - darkness(high.face) > 0.4
    assert low.marker != high.marker
    assert len({mark.marker for mark in MODELS}) == len(MODELS)


def test_unknown_figures_are_refused_and_the_shell_completes_the_known():
    with pytest.raises(ValueError, match="unknown figure 'fig10': choose of fig1, fig2a"):
        make_figure("fig10", Sources())
    assert list(completion.FIGURES) == list(FIGURES)
