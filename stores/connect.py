"""Open the stores of a campaign: jobflow's JobStore and, beside it, our collections under other names.

Default: one SQLite file in the campaign's folder. A YAML with a jobflow JOB_STORE puts everything somewhere else
(MongoDB in production) without another change. Collections of our own files are opened without maggma, so that
commands that only look start at once; `job_store` and `store` give the maggma stores that jobflow and builders take.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ..inputs.yaml_files import parse_yaml, yaml_text
from .collection import Collection
from .inbox import Handed, handed_files, inbox_folder, remove_partial, take_in
from .migrations import VERSIONS, bring_up_to_date
from .secrets import database_words, redacted, redacted_spec, secrets_of
from .sqlite_collection import SQLiteCollection
from .sqlite_file import Inbox, Journal, holds_nothing
from .store_specs import collection_from, for_worker, full_form, is_for_worker, own_collection, renamed, store_from

if TYPE_CHECKING:
    from maggma.core import Store

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
            "energy_above_hull",
        ),
    ),
    "references": ("reference_id", ("campaign", "engine", "of_protocol_hash")),
    "compositions": ("summary_id", ("host", "engine", "fraction")),
    "failures": ("uuid", ("intent.configuration_id", "reason")),
    "runs": ("run_id", ("place", "state", "source", "labelling_id", "protocol_hash", "calculation_id")),
    "frames": (
        "frame_id",
        (
            "run_id",
            "content_hash",
            "lineage",
            "configuration_id",
            "campaign",
            "formula",
            "chemsys",
            "fraction",
            "host",
            "engine",
            "step",
            "has_surrogate",
            "scf_converged",
            "drifted",
            "energy_per_atom",
            "label.verdict",
        ),
    ),
    "frame_arrays": ("block_id", ("run_id",)),
    "labellings": ("labelling_id", ()),
    "models": ("model_id", ("model.kind", "model.charge_states", "model.data_set.checksum")),
    VERSIONS: ("name", ()),
}
"""Collections beside jobflow's own: the key of each and the fields that queries filter by."""

BESIDE_DATA = ("runs", "frames", "frame_arrays", "labellings")
"""Collections that lie where the additional store `data` lies, unless that one can only be read by key."""

_BLOB_STORES = ("GridFSStore", "GridFSURIStore", "S3Store", "AzureBlobStore", "OpenDataStore")


@dataclass(repr=False)
class Stores:
    """Specs of a campaign's stores; collections are opened as they are asked for.

    The first one that is opened brings documents of an older version up to date and refuses those of a newer one.

    Attributes
    ----------
    docs_spec : monty dict of jobflow's docs_store.
    data_spec : monty dict of the additional store `data`.
    """

    docs_spec: dict[str, Any]
    data_spec: dict[str, Any]
    _open: dict[str, Collection] = field(default_factory=dict)
    _stores: dict[str, Store] = field(default_factory=dict)
    _is_checked: bool = False

    def __repr__(self) -> str:
        """Both specs without passwords."""
        return f"Stores(docs_spec={redacted_spec(self.docs_spec)!r}, data_spec={redacted_spec(self.data_spec)!r})"

    @property
    def place(self) -> str:
        """Where the documents are, for messages: a file, or host and database."""
        spec = self.docs_spec
        where = spec.get("path") or spec.get("uri") or f"{spec.get('host')}/{spec.get('database')}"
        return redacted(str(where))

    @property
    def lack(self) -> Literal["gone", "empty"] | None:
        """What a file of ours for the documents lacks to be a store; None where it is one, or no file holds them."""
        mine = own_collection(self.docs_spec)
        if mine is None:
            return None
        path = Path(mine.path)
        return ("empty" if holds_nothing(path) else None) if path.exists() else "gone"

    @property
    def has_inbox(self) -> bool:
        """Whether workers hand documents over instead of writing (`stores.inbox`)."""
        return any(ours.has_inbox for ours in self._ours())

    def collection(self, name: str) -> Collection:
        """One of `COLLECTIONS`, connected."""
        self._check_version()
        return self.open(name)

    def refuse_others(self, campaign: str) -> None:
        """Refuse a campaign's own store that holds other campaigns and not this one: it was copied or moved here.

        Raises
        ------
        ValueError
            With the campaigns that it holds.
        """
        held = sorted(self.collection("campaigns").distinct("campaign"))
        if held and campaign not in held:
            raise ValueError(
                f"{self.place} holds campaign {', '.join(held)}, not {campaign}: put it back where it belongs, then "
                "`valenceflow rebuild CAMPAIGN.yaml` if this campaign had a store of its own"
            )

    def docs(self) -> Collection:
        """Jobflow's docs_store, connected."""
        self._check_version()
        return self.open("jobs")

    def data(self) -> Collection:
        """The additional store with frames and TaskDocs, connected."""
        self._check_version()
        return self.open("data")

    def store(self, name: str) -> Store:
        """A collection, `jobs` (docs_store) or `data` as a maggma store, connected; for maggma's builders."""
        from maggma.core import Store  # noqa: PLC0415 - start-up

        opened = self.collection(name)
        if isinstance(opened, Store):
            return opened
        if name not in self._stores:
            store = self._stores[name] = store_from(self._spec_of(name))
            store.connect()
        return self._stores[name]

    def open(self, name: str) -> Collection:
        """A collection, connected without a look at the version of its documents; for migrations."""
        if name not in self._open:
            collection = collection_from(self._spec_of(name))
            self._connect(collection, COLLECTIONS[name][1] if name in COLLECTIONS else ())
            self._open[name] = collection
        return self._open[name]

    def _spec_of(self, name: str) -> dict[str, Any]:
        key = COLLECTIONS[name][0] if name in COLLECTIONS else "uuid" if name == "jobs" else "blob_uuid"
        spec = {"jobs": self.docs_spec, "data": self.data_spec}.get(name) or renamed(self._spec_beside(name), name)
        return {**spec, "key": key}

    def _spec_beside(self, name: str) -> dict[str, Any]:
        """The store whose database holds a collection; blob stores cannot be asked for a field."""
        queryable = self.data_spec.get("@class") not in _BLOB_STORES
        return self.data_spec if name in BESIDE_DATA and queryable else self.docs_spec

    def _connect(self, collection: Collection, indexes: Sequence[str]) -> None:
        """Connect a collection; its errors may quote a URI, so they are told without passwords."""
        try:
            collection.connect()
            for indexed in indexes:
                collection.ensure_index(indexed)
        except Exception as err:  # whatever a store's library raises
            self._explain(err)
            raise

    def _explain(self, error: Exception) -> None:
        """Raise what a user can act on, without passwords, in place of an error of a store's library that is not so."""
        secrets = secrets_of([self.docs_spec, self.data_spec])
        if _is_of_mongo(error):
            why = database_words(error, secrets)
            raise ValueError(
                f"the store {self.place} does not answer ({why}); is the server up, and are host, port, name and "
                "password in the store's YAML right?"
            ) from None
        if (shown := redacted(str(error), secrets)) != str(error):
            raise ValueError(f"{self.place}: {shown}") from None

    def job_store(self) -> Any:
        """Jobflow's JobStore over both; the caller connects it."""
        from .job_store import BlobsFirstJobStore  # noqa: PLC0415 - status and query must start without jobflow

        return BlobsFirstJobStore(store_from(self.docs_spec), additional_stores={"data": store_from(self.data_spec)})

    def for_workers(self) -> Stores:
        """The stores as worker processes may use them: inboxes where one process alone may write."""
        if not self.has_inbox:
            return self
        self.docs()
        self.data()  # both must be there, as workers make none
        return Stores(for_worker(self.docs_spec), for_worker(self.data_spec))

    def take_in(self, alone: bool = False) -> int:
        """Commit what workers handed over; only for the process that holds the campaign's lock.

        Parameters
        ----------
        alone : no worker runs, so that what one had only begun to write can be removed.

        Returns
        -------
        Number of documents.
        """
        for folder in self.inboxes() if alone else ():
            remove_partial(folder)
        return sum(take_in(folder, self._collection_for) for folder in self.inboxes())

    def waiting(self) -> int:
        """Number of updates that workers handed over and nobody took in yet."""
        return sum(len(handed_files(folder)) for folder in self.inboxes())

    def inboxes(self) -> list[Path]:
        """Folders in which workers may have left documents."""
        return list(dict.fromkeys(inbox_folder(ours.path) for ours in self._ours()))

    def close(self) -> None:
        """Close every collection that was opened."""
        for collection in self._open.values():
            collection.close()
        for store in self._stores.values():
            store.close()  # type: ignore[no-untyped-call]  # maggma leaves it untyped
        self._open.clear()
        self._stores.clear()

    def _ours(self) -> list[SQLiteCollection]:
        """Those of jobflow's two stores that are SQLite files of ours, not connected."""
        found = (own_collection(self.docs_spec), own_collection(self.data_spec))
        return [collection for collection in found if collection is not None]

    def _collection_for(self, update: Handed) -> Collection | None:
        for spec, opened in ((self.docs_spec, self.docs), (self.data_spec, self.data)):
            mine = own_collection(spec)
            if mine is not None and (Path(mine.path).name, mine.collection) == (update.store, update.collection):
                return opened()
        return None

    def _check_version(self) -> None:
        # A worker's inbox writes nothing, and its launcher has looked.
        if not self._is_checked and not is_for_worker(self.docs_spec):
            try:
                bring_up_to_date(self)
            except Exception as err:  # a store that answers only when it is asked something
                self.close()
                self._explain(err)
                raise
        self._is_checked = True


def sqlite_stores(path: Path, journal: Journal = "auto", inbox: Inbox = "auto") -> Stores:
    """Stores in one SQLite file.

    Parameters
    ----------
    path : the file; made when first connected, in a folder that exists.
    journal, inbox : as in `SQLiteCollection`.
    """
    docs = SQLiteCollection(path, "jobs", indexes=("name", "metadata.configuration_id"), journal=journal, inbox=inbox)
    data = SQLiteCollection(path, "data", key="blob_uuid", indexes=("job_uuid",), journal=journal, inbox=inbox)
    return Stores(docs.spec, data.spec)


def stores_from_yaml(path: Path) -> Stores:
    """Stores from a YAML with jobflow's JOB_STORE (as ~/.jobflow.yaml), both in the full monty form.

    The path of a SQLiteStore in the short form (`type: SQLiteStore`) starts from the YAML's folder.

    Raises
    ------
    ValueError
        If the file is unreadable or has no docs_store or no additional store `data`.
    """
    try:
        content = parse_yaml(yaml_text(path), str(path))
    except FileNotFoundError as err:
        raise ValueError(f"{path}: not readable: {err.strerror}") from err
    spec = content.get("JOB_STORE", content)
    additional = spec.get("additional_stores") if isinstance(spec, Mapping) else None
    data = additional.get("data") if isinstance(additional, Mapping) else None
    if not isinstance(data, Mapping) or not isinstance(spec.get("docs_store"), Mapping):
        raise ValueError(f"{path}: needs a docs_store and an additional store named `data`; the README shows one")
    stores = Stores(full_form(spec["docs_store"], path), full_form(data, path))
    try:
        for part in (stores.docs_spec, stores.data_spec):
            collection_from(part)
        renamed(stores.docs_spec, "calculations")
    except (ValueError, TypeError, ImportError, AttributeError) as err:
        raise ValueError(f"{path}: {redacted(str(err), secrets_of(spec))}") from None
    except Exception as err:
        if not _is_of_mongo(err):
            raise
        # They may quote the URI.
        raise ValueError(f"{path}: {redacted(str(err), secrets_of(spec))}") from None
    return stores


def _is_of_mongo(error: Exception) -> bool:
    """Whether an error is pymongo's, by name: importing it would slow `status`."""
    return any(kind.__name__ == "PyMongoError" for kind in type(error).__mro__)
