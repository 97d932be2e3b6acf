"""What figures draw: charge states and vacancies of every structure, whatever order its sites are in."""

from collections import Counter

import numpy as np
import pytest
from valenceflow.analysis.campaign_results import read_campaign_results
from valenceflow.analysis.ordering_structures import (
    lowest_structures,
    ordered_structure,
    reached_structures,
    stable_structures,
)
from valenceflow.stores.connect import sqlite_stores

from .made_up import FE, calculation, campaign, four_scores, scores


def test_species_and_vacancies_are_those_of_the_ordering(olivine):
    results = campaign(olivine)
    drawn = {s.name: Counter(s.species) for s in [ordered_structure(results, c, "") for c in results.calculations]}
    assert drawn["3.5"] == {"Na": 2, "vacancy": 2, "Fe2+": 2, "Fe3+": 2, "P": 4, "O": 16}
    assert drawn["7.1"] == {"Na": 3, "vacancy": 1, "Fe2+": 3, "Fe3+": 1, "P": 4, "O": 16}
    assert drawn["0.f"] == {"vacancy": 4, "Fe3+": 4, "P": 4, "O": 16}


def test_the_order_of_sites_does_not_matter_and_states_stand_on_their_sites(olivine):
    results = campaign(olivine)
    one, other = (ordered_structure(results, calculation(olivine, "3", "5", 0.0, seed), "") for seed in (1, 2))
    places = [dict(zip(map(tuple, np.round(s.frac_coords, 6)), s.species, strict=True)) for s in (one, other)]
    assert places[0] == places[1]
    high = olivine.structure.frac_coords[olivine.redox_sites[[1, 3]]]
    assert {places[0][tuple(np.round(site, 6))] for site in high} == {"Fe3+"}


def test_stable_structures_are_the_corners_and_the_lowest_are_counted_from_the_reference(olivine):
    results = campaign(olivine)
    assert [(s.name, s.x) for s in stable_structures(results)] == [("f.0", 1.0), ("3.3", 0.5), ("0.f", 0.0)]
    assert [s.energy_mev_per_fu for s in lowest_structures(results)] == pytest.approx([0.0, 40.0, 75.0])
    results.calculations[3]["strata"] = ["reference"]
    drawn = lowest_structures(results)
    assert [s.note.partition(":")[0] for s in drawn] == ["Structure 1", "Structure 2", "Reference"]
    assert [s.energy_mev_per_fu for s in drawn] == pytest.approx([-40.0, 35.0, 0.0])
    assert len(lowest_structures(results, most=2)) == 2


def test_what_models_reached_stands_beside_the_reference():
    drawn = reached_structures(four_scores()[:2])
    assert [s.species[:2] for s in drawn] == [("Fe3+", "Fe2+"), ("Fe2+", "Fe3+"), ("Fe3+", "Fe2+")]
    assert "a symmetry image" in drawn[1].note
    assert "as the reference" in drawn[2].note
    with pytest.raises(ValueError, match="different data sets or structures"):
        reached_structures([*four_scores(), scores("other", "mace", True, data_set_checksum="d")])
    with pytest.raises(ValueError, match="no scores say which ordering"):
        reached_structures([scores("old", "mace", True, reached=[])])


def test_a_campaign_is_read_from_its_store_and_engines_are_chosen_never_mixed(olivine, tmp_path):
    stores = sqlite_stores(tmp_path / "store.sqlite")
    host = {
        **olivine.host.model_dump(exclude={"structure"}, mode="json"),
        "structure": olivine.host.structure.as_dict(),
    }
    about = {"campaign": "made-up", "host": host, "supercell": [[1, 0, 0], [0, 1, 0], [0, 0, 1]]}
    stores.collection("campaigns").update([{**about, "couple": FE.model_dump(mode="json")}])
    documents = campaign(olivine).calculations
    bits = [
        {"configuration_id": c["configuration_id"], "campaign": "made-up", "working_bits": c["working_bits"]}
        for c in documents
    ]
    stores.collection("configurations").update(bits)
    stores.collection("calculations").update([{k: v for k, v in c.items() if k != "working_bits"} for c in documents])
    results = read_campaign_results(stores)
    assert results.source == "rehearsal:springs, protocol paper-2026"
    assert results.cell == olivine
    assert [c["fraction"] for c in results.calculations] == [1.0, 0.75, 0.5, 0.5, 0.5, 0.0]
    assert stable_structures(results)[1].species == stable_structures(campaign(olivine))[1].species
    stores.collection("calculations").update([calculation(olivine, "3", "6", 3.0, engine="vasp", calculation_id="v")])
    with pytest.raises(ValueError, match="rehearsal:springs and vasp, which do not compare: say --engine"):
        read_campaign_results(stores)
    assert len(read_campaign_results(stores, engine="vasp").calculations) == 1
    with pytest.raises(ValueError, match="has no energy of gpaw yet"):
        read_campaign_results(stores, engine="gpaw")
    with pytest.raises(ValueError, match="holds no campaign other"):
        read_campaign_results(stores, "other")
    stores.close()
