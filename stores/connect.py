"""Open the stores of a campaign: jobflow's JobStore and, beside it, our collections under other names.

Default: one SQLite file in the campaign's folder. A YAML with a jobflow JOB_STORE puts everything somewhere else
(MongoDB in production) without another change.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from maggma.core import Store
from monty.json import MontyDecoder, jsanitize

from ..inputs.yaml_files import parse_yaml
from .sqlite import SQLiteStore

STORE_FILE = "store.sqlite"

COLLECTIONS: dict[str, tuple[str, tuple[str, ...]]] = {
    # name: (key, indexed fields)
    "campaigns": ("campaign", ()),
    "configurations": ("configuration_id", ("campaign", "joint_key", "fraction", "engine")),
    "calculations": (
        "calculation_id",
        (
            "configuration_id",
            "campaign",
            "state",
            "relation",
            "counts",
            "fraction",
            "engine",
            "working_key",
            "energy_per_fu",
            "latest",
        ),
    ),
    "failures": ("uuid", ("intent.configuration_id", "reason")),
}
"""Collections beside jobflow's own: the key of each and the fields that queries filter by."""

_NAME_FIELDS = ("collection_name", "collection")


@dataclass
class Stores:
    """Specs of a campaign's stores; collections are opened as they are asked for.

    Attributes
    ----------
    docs_spec : monty dict of jobflow's docs_store.
    data_spec : monty dict of the additional store `data`.
    """

    docs_spec: dict[str, Any]
    data_spec: dict[str, Any]
    _open: dict[str, Store] = field(default_factory=dict, repr=False)

    def collection(self, name: str) -> Store:
        """One of `COLLECTIONS`, connected."""
        if name not in self._open:
            key, indexes = COLLECTIONS[name]
            store = _store_from(_renamed(self.docs_spec, name) | {"key": key})
            store.connect()
            for indexed in indexes:
                store.ensure_index(indexed)
            self._open[name] = store
        return self._open[name]

    def docs(self) -> Store:
        """Jobflow's docs_store, connected."""
        if "jobs" not in self._open:
            store = _store_from(self.docs_spec | {"key": "uuid"})
            store.connect()
            self._open["jobs"] = store
        return self._open["jobs"]

    def data(self) -> Store:
        """The additional store with frames and TaskDocs, connected."""
        if "data" not in self._open:
            store = _store_from(self.data_spec | {"key": "blob_uuid"})
            store.connect()
            self._open["data"] = store
        return self._open["data"]

    def job_store(self) -> Any:
        """Jobflow's JobStore over both; the caller connects it."""
        from jobflow import JobStore  # noqa: PLC0415 - status and query must start without jobflow

        return JobStore(_store_from(self.docs_spec), additional_stores={"data": _store_from(self.data_spec)})

    def close(self) -> None:
        """Close every collection that was opened."""
        for store in self._open.values():
            store.close()  # type: ignore[no-untyped-call]  # maggma leaves it untyped
        self._open.clear()


def sqlite_stores(path: Path) -> Stores:
    """Stores in one SQLite file.

    Parameters
    ----------
    path : the file; made when first connected, in a folder that exists.
    """
    docs = SQLiteStore(path, "jobs", indexes=("name", "metadata.configuration_id"))
    data = SQLiteStore(path, "data", key="blob_uuid", indexes=("job_uuid",))
    return Stores(_plain(docs), _plain(data))


def _plain(store: Store) -> dict[str, Any]:
    """A store's monty dict as plain YAML can hold it."""
    plain: dict[str, Any] = jsanitize(store.as_dict(), enum_values=True, strict=True)
    return plain


def stores_from_yaml(path: Path) -> Stores:
    """Stores from a YAML with jobflow's JOB_STORE (as ~/.jobflow.yaml), both in the full monty form.

    Raises
    ------
    ValueError
        If the file is unreadable or has no docs_store or no additional store `data`.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as err:
        raise ValueError(f"{path}: not readable: {err.strerror}") from err
    content = parse_yaml(text, str(path))
    spec = content.get("JOB_STORE", content)
    data = (spec.get("additional_stores") or {}).get("data")
    if "docs_store" not in spec or data is None:
        raise ValueError(
            f"{path}: needs a docs_store and an additional store named `data`; `valenceflow init` shows one"
        )
    stores = Stores(_full_form(spec["docs_store"], path), _full_form(data, path))
    try:
        for part in (stores.docs_spec, stores.data_spec):
            _store_from(part)
        _renamed(stores.docs_spec, "calculations")
    except (ValueError, TypeError, ImportError) as err:
        raise ValueError(f"{path}: {err}") from err
    return stores


def _full_form(spec: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """A store's monty dict; jobflow's short form (`type: MongoStore`) is looked up among maggma's stores."""
    if "@class" in spec:
        return dict(spec)
    rest = dict(spec)
    kind = rest.pop("type", None)
    if kind is None:
        raise ValueError(f"{path}: a store needs `type:` (a maggma store) or `@module` and `@class`")
    if kind == "SQLiteStore":
        return {"@module": "valenceflow.stores.sqlite", "@class": kind, **rest}
    return {"@module": "maggma.stores", "@class": kind, **rest}


def _renamed(spec: Mapping[str, Any], collection: str) -> dict[str, Any]:
    named = dict(spec)
    field_name = next((name for name in _NAME_FIELDS if name in named), None)
    if field_name is None:
        raise ValueError(
            f"a {spec.get('@class')} has no collection name, so it cannot hold ours; use a SQLiteStore or a MongoStore"
        )
    named[field_name] = collection
    return named


def _store_from(spec: Mapping[str, Any]) -> Store:
    store = MontyDecoder().process_decoded(dict(spec))
    if not isinstance(store, Store):
        raise ValueError(f"{spec.get('@module')}.{spec.get('@class')} is no maggma store; see the store's YAML")
    # By name: importing maggma.stores costs `status` 0.3 s. JSONStore, FileStore and MontyStore are of this kind too.
    if any(kind.__name__ == "MemoryStore" for kind in type(store).__mro__):
        raise ValueError(
            f"a {spec.get('@class')} keeps documents in the memory of one process, and workers are processes of their "
            "own; use a SQLiteStore or a MongoStore"
        )
    return store
