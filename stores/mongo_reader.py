"""Read a MongoDB collection with pymongo alone, as the spec of a maggma store says where it is. Light.

maggma's stores take a second to import, for which commands that only look need not wait. What writes goes through them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from .secrets import check_uris

if TYPE_CHECKING:
    from pymongo.collection import Collection
    from pymongo.synchronous.mongo_client import MongoClient

_MONGO = ("MongoStore", "MongoURIStore")
_MODULES = ("maggma.stores", "maggma.stores.mongolike")


def is_plain_mongo(spec: Mapping[str, Any]) -> bool:
    """Whether a store's full form is MongoDB that is reached without an ssh tunnel."""
    mongo = spec.get("@class") in _MONGO and spec.get("@module") in _MODULES
    return mongo and not spec.get("ssh_tunnel")


def read_mongo(
    spec: Mapping[str, Any], criteria: Mapping[str, Any], properties: Sequence[str]
) -> Iterator[dict[str, Any]]:
    """Documents that match a filter, with some of their fields.

    Parameters
    ----------
    spec : full form of a maggma MongoStore for which `is_plain_mongo` holds.
    criteria : MongoDB's filter.
    properties : fields to bring; `_id` is left out.

    Raises
    ------
    pymongo.errors.PyMongoError
        If the server does not answer.
    """
    with _collection(spec) as collection:
        yield from collection.find(criteria, {**dict.fromkeys(properties, 1), "_id": 0})


@contextmanager
def _collection(spec: Mapping[str, Any]) -> Iterator[Collection[dict[str, Any]]]:
    check_uris(spec)
    with _client(spec) as client:
        name = spec.get("database")
        database = client.get_default_database() if name is None else client[name]
        yield database[spec["collection_name"]]


def _client(spec: Mapping[str, Any]) -> MongoClient[dict[str, Any]]:
    """A client as maggma's MongoStore makes it."""
    import pymongo  # noqa: PLC0415 - start-up

    options = spec.get("mongoclient_kwargs") or {}
    if spec.get("uri") is not None:
        return pymongo.MongoClient(spec["uri"], **options)
    host, port = spec.get("host", "localhost"), spec.get("port", 27017)
    if not spec.get("username"):
        return pymongo.MongoClient(host, port, **options)
    source = spec.get("auth_source") or spec.get("database")
    signed = {"username": spec["username"], "password": spec.get("password", ""), "authSource": source}
    return pymongo.MongoClient(host, port, **signed, **options)
