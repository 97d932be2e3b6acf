"""Stores as YAML files describe them: from jobflow's short or monty's full form to a collection or a maggma store.

maggma is imported where a store is not ours or is asked for by `store_from`. Used by `stores.connect`.
"""

from __future__ import annotations

from collections.abc import Mapping
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import inbox, sqlite_collection
from .collection import Collection
from .inbox import InboxCollection
from .secrets import check_uris
from .sqlite_collection import SQLiteCollection

if TYPE_CHECKING:
    from maggma.core import Store

_NAME_FIELDS = ("collection_name", "collection")
_OURS: dict[tuple[str, str], type[SQLiteCollection]] = {
    (sqlite_collection.STORE_MODULE, sqlite_collection.STORE_CLASS): SQLiteCollection,
    (inbox.STORE_MODULE, inbox.STORE_CLASS): InboxCollection,
}
_MODULES = {"GridFSURIStore": "maggma.stores.gridfs"}
"""Where maggma's stores are that `maggma.stores` does not name."""
_OF_MAGGMA = {"last_updated_type": (None, "datetime", "isoformat"), "validator": (None,)}
"""Fields that only the maggma store has -> values that change nothing in what a collection does."""


def full_form(spec: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """A store's monty dict; jobflow's short form (`type: MongoStore`) is looked up among maggma's stores.

    Parameters
    ----------
    spec : as it stands in a YAML.
    path : of the YAML, from whose folder the path of a SQLiteStore in the short form starts.

    Raises
    ------
    ValueError
        If it does not say which store.
    """
    if "@class" in spec:
        return dict(spec)
    rest = dict(spec)
    kind = rest.pop("type", None)
    if kind is None:
        raise ValueError(f"{path}: a store needs `type:` (a maggma store) or `@module` and `@class`")
    if kind == sqlite_collection.STORE_CLASS:
        # From its own folder, as all paths in a campaign's files: commands are given in many folders.
        place = {"path": str(path.resolve().parent / Path(rest["path"]).expanduser())} if "path" in rest else {}
        return {"@module": sqlite_collection.STORE_MODULE, "@class": kind, **rest, **place}
    return {"@module": _MODULES.get(kind, "maggma.stores"), "@class": kind, **rest}


def renamed(spec: Mapping[str, Any], collection: str) -> dict[str, Any]:
    """The same store with another collection.

    Raises
    ------
    ValueError
        If it has none.
    """
    named = dict(spec)
    field_name = next((name for name in _NAME_FIELDS if name in named), None)
    if field_name is None:
        raise ValueError(
            f"a {spec.get('@class')} has no collection name, so it cannot hold ours; use a SQLiteStore or a MongoStore"
        )
    named[field_name] = collection
    return named


def collection_from(spec: Mapping[str, Any]) -> Collection:
    """The collection that a full form describes, not connected: our own, or a maggma store of another kind.

    Raises
    ------
    ValueError
        If there is no such store, or a field of ours is missing or unknown.
    """
    ours = own_collection(spec)
    if ours is None or any(spec.get(field) not in values for field, values in _OF_MAGGMA.items()):
        return store_from(spec)
    return ours


def own_collection(spec: Mapping[str, Any]) -> SQLiteCollection | None:
    """The collection in a SQLite file that a full form describes, not connected; None for stores that are not ours.

    Raises
    ------
    ValueError
        If a field is missing or unknown.
    """
    ours = _OURS.get((str(spec.get("@module")), str(spec.get("@class"))))
    if ours is None:
        return None
    fields = {field: value for field, value in spec.items() if field not in _OF_MAGGMA and not field.startswith("@")}
    known = list(signature(ours).parameters)
    unknown = [field for field in fields if field not in known]
    if unknown or "path" not in fields:
        what = f"has no field {unknown[0]!r}" if unknown else "needs the field path"
        raise ValueError(f"a {spec['@class']} {what}; it knows {', '.join([*known, *_OF_MAGGMA])}")
    return ours(**fields)


def for_worker(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Full form of the inbox of a SQLite store (`stores.inbox`)."""
    return {**spec, "@module": inbox.STORE_MODULE, "@class": inbox.STORE_CLASS}


def is_for_worker(spec: Mapping[str, Any]) -> bool:
    """Whether a full form is that of an inbox."""
    return spec.get("@class") == inbox.STORE_CLASS


def store_from(spec: Mapping[str, Any]) -> Store:
    """The maggma store that a full form describes, not connected.

    Raises
    ------
    ValueError
        If it is none, or one that several processes cannot write.
    """
    from maggma.core import Store  # noqa: PLC0415 - start-up: it brings pymongo and numpy
    from monty.json import MontyDecoder  # noqa: PLC0415

    check_uris(spec)
    store = MontyDecoder().process_decoded(dict(spec))
    if not isinstance(store, Store):
        raise ValueError(f"{spec.get('@module')}.{spec.get('@class')} is no maggma store; see the store's YAML")
    # By name: importing maggma.stores costs 0.3 s. JSONStore, FileStore and MontyStore are of this kind too.
    if any(kind.__name__ == "MemoryStore" for kind in type(store).__mro__):
        raise ValueError(
            f"a {spec.get('@class')} keeps documents in the memory of one process, and workers are processes of their "
            "own; use a SQLiteStore or a MongoStore"
        )
    return store
