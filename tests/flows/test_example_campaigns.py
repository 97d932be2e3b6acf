"""Campaign files of the examples: another material is planned from its CIF alone."""

from pathlib import Path

import numpy as np
from valenceflow.flows.campaign_file import read_campaign
from valenceflow.flows.metal import plan_metal
from valenceflow.flows.plan import plan_configurations
from valenceflow.flows.preflight import check_protocol

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def test_limnpo4_plans_every_ordering_of_its_cell_and_its_metal():
    campaign = read_campaign(EXAMPLES / "limnpo4" / "limnpo4.yaml")
    planned = plan_configurations(campaign, "rehearsal:springs")
    assert [sum(c.fraction == x for c in planned) for x in (1.0, 0.5, 0.0)] == [1, 10, 1]
    assert {c.formula for c in planned} == {"Li4Mn4P4O16", "Li2Mn4P4O16", "Mn4P4O16"}
    assert sum(c.multiplicity * c.working_multiplicity for c in planned if c.fraction == 0.5) == 36
    assert plan_metal(campaign, "vasp").protocol.potcar.label("Li") == "Li_sv"
    check_protocol(campaign)


def test_limnpo4_has_the_bond_lengths_that_its_readme_gives():
    structure = read_campaign(EXAMPLES / "limnpo4" / "limnpo4.yaml").cell.structure
    symbols = np.array([site.specie.symbol for site in structure])
    distances = structure.distance_matrix
    for centre, number, shortest, longest in (("P", 4, 1.526, 1.548), ("Mn", 6, 2.130, 2.282), ("Li", 6, 2.113, 2.225)):
        found = np.sort(distances[symbols == centre][:, symbols == "O"], axis=1)[:, :number]
        assert np.allclose([found.min(), found.max()], [shortest, longest], atol=0.002), centre
