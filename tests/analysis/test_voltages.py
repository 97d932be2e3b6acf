"""Voltages against pymatgen's InsertionElectrode; refused without the metal; nothing of another engine or protocol."""

from pathlib import Path

import numpy as np
import pytest
from pymatgen.apps.battery.insertion_battery import InsertionElectrode
from pymatgen.core import Composition
from pymatgen.entries.computed_entries import ComputedEntry, ComputedStructureEntry
from valenceflow.analysis.figures.voltages import voltages_figure
from valenceflow.analysis.voltages import campaign_voltages, metal_reference
from valenceflow.analysis.ways_out import Ways
from valenceflow.cli.wording import commands_on
from valenceflow.stores.connect import sqlite_stores

from .made_up import METAL, campaign


def entries(results):
    """The calculations of a campaign as pymatgen's entries, and the metal."""
    made = []
    for number, c in enumerate(results.calculations):
        structure = results.cell.structure.copy()
        empty = results.cell.working_sites[~np.array(c["working_bits"])]
        structure.remove_site_property("host_site")
        structure.remove_sites(empty.tolist())
        made.append(ComputedStructureEntry(structure, c["energy"], entry_id=str(number), data={"material_id": number}))
    return made, ComputedEntry(Composition("Na"), METAL["energy_per_atom"])


def test_plateaus_and_capacities_are_those_of_pymatgen(olivine):
    results = campaign(olivine)
    found = campaign_voltages(results, METAL)
    theirs = InsertionElectrode.from_entries(*entries(results), strip_structures=True)
    pairs = sorted(theirs.voltage_pairs, key=lambda pair: pair.frac_discharge)
    assert [s.voltage for s in found.steps] == pytest.approx([pair.voltage for pair in pairs])
    assert found.average == pytest.approx(theirs.get_average_voltage())
    assert sum(s.capacity for s in found.steps) == pytest.approx(theirs.get_capacity_grav(), rel=1e-4)
    assert [(s.x_low, s.x_high) for s in found.steps] == [(0.0, 0.5), (0.5, 1.0)]


def test_without_the_metal_voltages_are_refused_with_the_line_to_type(olivine):
    with pytest.raises(ValueError, match=r"`valenceflow run my\.yaml --engine rehearsal:springs --only metal`"):
        campaign_voltages(campaign(olivine, ways=Ways(commands_on(Path("my.yaml")))), None)


@pytest.mark.parametrize(
    "other", [{"engine": "vasp"}, {"of_protocol_hash": "q"}, {"counts": False}, {"element": "Li"}], ids=str
)
def test_a_metal_of_another_engine_or_protocol_or_that_failed_is_none(olivine, tmp_path, other):
    stores = sqlite_stores(tmp_path / "store.sqlite")
    stores.collection("references").update([{**METAL, **other}])
    assert metal_reference(stores, campaign(olivine)) is None
    stores.collection("references").update([METAL])
    assert metal_reference(stores, campaign(olivine))["energy_per_atom"] == -1.31
    stores.close()


def test_the_picture_shows_every_plateau_and_whose_numbers_they_are(olivine):
    figure = voltages_figure(campaign_voltages(campaign(olivine), METAL), "t")
    (stairs,) = figure.axes[0].patches
    assert len(stairs.get_data().values) == 2
    assert "REHEARSAL, not DFT" in figure.get_suptitle()
