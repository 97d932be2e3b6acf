"""The registry of models: entered once, scored on several sets, found again."""

import pytest

pytest.importorskip("torch", reason="potentials need their extra")

from valenceflow.potentials.model_folder import write_model
from valenceflow.potentials.registry import add_scores, open_registry, register, registered
from valenceflow.potentials.species import SpeciesMap

from . import models


@pytest.fixture
def folder(tmp_path):
    """A model's folder."""
    return models.write_folder(tmp_path / "one", "cpainn", SpeciesMap.shipped("charge-states"))


def test_a_model_is_found_with_its_scores_after_it_was_registered_again(folder):
    stores = open_registry(folder)
    entry = register(stores, folder)
    add_scores(stores, entry.model_id, "a", {"forces": {"mae": 0.04}})
    add_scores(stores, entry.model_id, "b", {"forces": {"mae": 0.05}})
    register(stores, folder)
    (found,) = registered(stores, {"model.kind": "cpainn"})
    assert found.scores == {"a": {"forces": {"mae": 0.04}}, "b": {"forces": {"mae": 0.05}}}
    assert found.model == entry.model
    assert registered(stores, {"model.kind": "mace"}) == []
    stores.close()


def test_a_model_with_other_weights_loses_the_scores_of_the_old_ones(folder):
    stores = open_registry(folder)
    add_scores(stores, register(stores, folder).model_id, "a", {"mae": 1.0})
    species_map = SpeciesMap.shipped("charge-states")
    other = models.cpainn()
    other.embedding.weight.data += 1.0
    models.save(folder / "model.pt", "cpainn", other, species_map)
    write_model(folder, models.model_doc(folder, "cpainn", species_map))
    assert register(stores, folder).scores == {}
    stores.close()


def test_scores_of_an_unknown_model_and_a_missing_store_are_refused(folder, tmp_path):
    stores = open_registry(folder)
    with pytest.raises(ValueError, match="knows no model x"):
        add_scores(stores, "x", "a", {})
    stores.close()
    with pytest.raises(ValueError, match="no such store"):
        open_registry(folder, tmp_path / "none.sqlite")
