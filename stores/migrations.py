"""Version of the documents in a store, and how an older store is brought up to date.

The version stands in the collection `versions` of the docs_store, so that it works for SQLite and MongoDB alike. (The
layout of a SQLite file has a version of its own, see `stores.sqlite_file`.) Light: `status` imports this.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from .collection import Collection

if TYPE_CHECKING:
    from .connect import Stores

SCHEMA_VERSION = 2
"""Version of `stores.documents`; a store written by a newer one is refused."""

VERSIONS = "versions"
_RECORD = "documents"

Migration = Callable[["Stores"], None]
"""Brings the documents of a store from one version to the next. Running it twice must change nothing more: two
processes may open an old store at once, or one may be killed on the way."""


def calculations_say_their_runs(stores: Stores) -> None:
    """0 to 1: calculations of the days before continuations have neither `n_runs` nor `latest`."""
    calculations = stores.open("calculations")
    old = [
        {**document, "n_runs": document.get("n_runs") or dict.fromkeys(document["steps"], 1), "latest": True}
        for document in calculations.query({"$or": [{"n_runs": {"$exists": False}}, {"latest": {"$exists": False}}]})
    ]
    if old:
        calculations.update([{k: v for k, v in document.items() if k != "_id"} for document in old])


def orderings_say_their_strata(stores: Stores) -> None:
    """1 to 2: orderings of the days before `pick` were taken by one stratum, and say neither which nor its weight."""
    for name in ("configurations", "calculations"):
        collection = stores.open(name)
        old = [
            {
                **document,
                "strata": [document["stratum"]],
                "in_statistics": document["stratum"] in ("sample", "all"),
                "sample_weight": None,
                "working_strata": [],
            }
            for document in collection.query({"stratum": {"$exists": True}, "strata": {"$exists": False}})
        ]
        if old:
            collection.update([{k: v for k, v in document.items() if k != "_id"} for document in old])


MIGRATIONS: Mapping[int, Migration] = {0: calculations_say_their_runs, 1: orderings_say_their_strata}
"""Version -> the way to the next one."""


def bring_up_to_date(
    stores: Stores, migrations: Mapping[int, Migration] = MIGRATIONS, version: int = SCHEMA_VERSION
) -> int:
    """Migrate a store's documents and write down their version.

    Parameters
    ----------
    stores : of a campaign; a new store gets the version alone.
    migrations : version -> the way to the next one.
    version : to which.

    Returns
    -------
    The version that was found (0: none was written down).

    Raises
    ------
    ValueError
        If the documents are of a newer version.
    """
    versions = stores.open(VERSIONS)
    found = document_version(versions)
    if found > version:
        raise ValueError(
            f"{stores.place} holds documents of version {found}, this valenceflow knows up to {version}: upgrade with "
            "`pip install -U valenceflow`, or use the version that wrote them"
        )
    for step in range(found, version):
        migrations[step](stores)
    if found < version:
        versions.update([{"name": _RECORD, "schema_version": version}])
    return found


def document_version(versions: Collection) -> int:
    """Version that the collection `versions` tells; 0 where it tells none."""
    record: dict[str, Any] | None = versions.query_one({"name": _RECORD})
    return 0 if record is None else int(record["schema_version"])
