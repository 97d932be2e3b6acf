"""Pictures of thermodynamics and distributions: every curve, told apart without colour, and whose energies."""

import numpy as np
import pytest
from valenceflow.analysis.distributions import energy_distribution
from valenceflow.analysis.figures.style import said_source
from valenceflow.analysis.figures.thermodynamics import distribution_figure, evenly, thermodynamics_figure
from valenceflow.analysis.thermodynamics import BOLTZMANN, EnergyLevels, thermodynamics

KELVIN = np.geomspace(50, 2000, 30)


@pytest.fixture(scope="module")
def compositions():
    """Three compositions, of which the middle one orders."""
    return {
        0.0: thermodynamics(EnergyLevels.of([0.0]), KELVIN),
        0.5: thermodynamics(EnergyLevels.of([-0.1, 0.0, 0.2], [2, 8, 10]), KELVIN),
        1.0: thermodynamics(EnergyLevels.of([0.0]), KELVIN),
    }


def test_curves_are_in_units_of_k_per_formula_unit(compositions):
    figure = thermodynamics_figure(compositions, 4, "Na", "title\nvasp, protocol p")
    entropy, capacity, hull = figure.axes
    (line, limit) = entropy.lines
    assert line.get_ydata() == pytest.approx(compositions[0.5].entropy / BOLTZMANN / 4)
    assert limit.get_ydata()[0] == pytest.approx(np.log(20) / 4)
    assert capacity.lines[0].get_ydata() == pytest.approx(compositions[0.5].heat_capacity / BOLTZMANN / 4)
    assert capacity.lines[1].get_xdata()[0] == pytest.approx(compositions[0.5].peak.temperature)
    assert len(hull.lines) == 6
    assert "vasp, protocol p" in figure.get_suptitle()


def test_lines_are_told_apart_without_colour(compositions):
    many = {n / 16: compositions[0.5] for n in range(1, 16)}
    figure = thermodynamics_figure(many, 4, "Na", "t")
    assert len(figure.axes) == 2
    curves = [line for line in figure.axes[0].lines if len(line.get_xdata()) == len(KELVIN)]
    assert len(curves) == len({(line.get_linestyle(), str(line._dash_pattern)) for line in curves}) == 7
    assert len({line.get_label() for line in curves}) == 7


def test_nothing_to_draw_is_refused(compositions):
    with pytest.raises(ValueError, match="nothing to draw"):
        thermodynamics_figure({1.0: compositions[1.0]}, 4, "Na", "t")


def test_a_distribution_shows_its_fit_and_the_place_of_the_reference():
    values = np.random.default_rng(0).normal(-1164.2 + 1.564, 0.331, 170)
    found = energy_distribution(values, np.ones(170), "arrangements", reference=-1164.2, n_left_out=1)
    figure = distribution_figure(found, "t")
    (axes,) = figure.axes
    areas = sum(patch.get_height() * patch.get_width() for patch in axes.patches)
    assert areas == pytest.approx(1.0)
    labels = [line.get_label() for line in axes.lines]
    assert any(label.startswith("normal: 1.5") for label in labels)
    assert any(label.startswith("reference: -4.") for label in labels)
    assert "170 orderings, means over arrangements" in axes.get_title()


def test_a_distribution_without_reference_counts_from_the_lowest():
    found = energy_distribution([1.0, 2.0, 4.0], [1, 1, 1], "orbits")
    (axes,) = distribution_figure(found, "t").axes
    assert "above the lowest" in axes.get_xlabel()
    assert len(axes.lines) == 1


def test_places_are_even_and_rehearsals_are_said_to_be():
    assert evenly(10, 4) == [0, 3, 6, 9]
    assert evenly(2, 4) == [0, 1]
    assert said_source("rehearsal:springs, protocol p").startswith("REHEARSAL, not DFT: ")
    assert said_source("vasp, protocol p") == "vasp, protocol p"
