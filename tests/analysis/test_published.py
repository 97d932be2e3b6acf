"""The paper's tables through our scores: the derived figures come out (average ranks, tau-b, 10 and 11 rows)."""

import numpy as np
import pytest
from scipy.stats import rankdata
from valenceflow.analysis.published import paper_tables, published_ranking

MAE = {"cPaiNN": (0.5575, 0.1830), "MACE": (1.9940, 0.3332), "CHGNet": (0.2273, 0.2303)}
SPEARMAN_10 = {"cPaiNN": (-0.19, 0.86), "MACE": (0.91, 0.83), "CHGNet": (-0.65, 0.83)}
SPEARMAN_11 = {"cPaiNN": (0.10, 0.89), "MACE": (0.41, 0.88), "CHGNet": (-0.21, 0.87)}
KENDALL_11 = {"cPaiNN": (0.06, 0.76), "MACE": (0.42, 0.76), "CHGNet": (-0.21, 0.76)}
LOWEST = {"cPaiNN": (False, True), "MACE": (False, True), "CHGNet": (True, True)}


@pytest.mark.parametrize("place", [0, 1], ids=["before", "after"])
@pytest.mark.parametrize("model", list(MAE))
def test_the_derived_figures_of_both_tables_come_out(model, place):
    found = published_ranking(model, ("before", "after")[place])
    assert (found.with_reference.n, found.without_reference.n) == (11, 10)
    assert found.with_reference.mae == pytest.approx(MAE[model][place], abs=5e-5)
    assert found.without_reference.mae == found.with_reference.mae
    assert found.without_reference.spearman == pytest.approx(SPEARMAN_10[model][place], abs=0.005)
    assert found.with_reference.spearman == pytest.approx(SPEARMAN_11[model][place], abs=0.005)
    assert found.with_reference.kendall == pytest.approx(KENDALL_11[model][place], abs=0.005)
    assert found.reference_lowest is LOWEST[model][place]


@pytest.mark.parametrize("model", list(MAE))
def test_spearman_is_pearson_of_average_ranks(model):
    found = published_ranking(model, "after")
    ranks = [rankdata(values) for values in (found.reference_energies, found.energies)]
    assert found.with_reference.spearman == pytest.approx(np.corrcoef(*ranks)[0, 1])


def test_dft_puts_structure_2_second_and_structure_1_third():
    tables = paper_tables()
    order = [tables["structures"][i] for i in np.argsort(tables["dft"])]
    assert order[:4] == ["Experimental", "Structure 2", "Structure 1", "Structure 5"]


def test_a_column_that_was_not_published_is_refused():
    with pytest.raises(ValueError, match="choose of cPaiNN, MACE, CHGNet"):
        published_ranking("NequIP", "after")
