"""Every model that is known: its document, where it lies, and its scores. In the collection `models` of a store.

    register(stores, Path("models/chgnet"))
    add_scores(stores, doc.model_id, "olivine test set", {"forces": {"mae": 0.041, "unit": "eV/A"}})
    for entry in registered(stores, {"model.kind": "mace"}): ...

Without a campaign's store, `open_registry` keeps one beside the models: `models.sqlite` in their parent's folder.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..stores.connect import sqlite_stores, stores_from_yaml
from ..stores.model_documents import ModelEntryDoc
from .model_folder import read_model

if TYPE_CHECKING:
    from ..stores.connect import Stores

REGISTRY_FILE = "models.sqlite"


def open_registry(folder: Path, store: Path | None = None) -> Stores:
    """Open the registry of a model.

    Parameters
    ----------
    folder : of the model.
    store : a campaign's store.sqlite, or a YAML with JOB_STORE; None: `models.sqlite` beside the folder.

    Raises
    ------
    ValueError
        If the store asked for is not there.
    """
    if store is None:
        return sqlite_stores(folder.resolve().parent / REGISTRY_FILE)
    if not store.exists():
        raise ValueError(f"{store}: no such store")
    return stores_from_yaml(store) if store.suffix in (".yaml", ".yml") else sqlite_stores(store)


def register(stores: Stores, folder: Path) -> ModelEntryDoc:
    """Enter a model, or say anew where it lies; its scores stay.

    Raises
    ------
    ValueError
        If the folder holds no whole model.
    """
    doc = read_model(folder)
    collection = stores.collection("models")
    known = collection.query_one({"model_id": doc.model_id}) or {}
    same = known.get("model", {}).get("weights_sha256") == doc.weights_sha256
    scores = known.get("scores", {}) if same else {}  # trained anew, it has other weights
    entry = ModelEntryDoc(model_id=doc.model_id, folder=str(folder.resolve()), model=doc, scores=scores)
    collection.update([entry.model_dump(mode="json")])
    return entry


def add_scores(stores: Stores, model_id: str, data_set: str, scores: Mapping[str, Any]) -> None:
    """Keep a model's scores on a data set; those of other sets stay.

    Parameters
    ----------
    stores : of the registry.
    model_id : of the model.
    data_set : what it was scored on (a checksum, or a name).
    scores : anything that JSON can say.

    Raises
    ------
    ValueError
        If the model is not registered.
    """
    collection = stores.collection("models")
    known = collection.query_one({"model_id": model_id})
    if known is None:
        raise ValueError(f"{stores.place}: knows no model {model_id}; register its folder first")
    entry = ModelEntryDoc.model_validate({name: value for name, value in known.items() if name != "_id"})
    entry.scores[data_set] = dict(scores)
    collection.update([entry.model_dump(mode="json")])


def registered(stores: Stores, criteria: Mapping[str, Any] | None = None) -> list[ModelEntryDoc]:
    """Models that fit, the newest first.

    Parameters
    ----------
    stores : of the registry.
    criteria : fields of `ModelEntryDoc`, in MongoDB's language.
    """
    found = stores.collection("models").query(dict(criteria or {}))
    entries = [ModelEntryDoc.model_validate({k: v for k, v in document.items() if k != "_id"}) for document in found]
    return sorted(entries, key=lambda entry: entry.model.made, reverse=True)
