"""MongoDB's meaning of filters, fields and sort orders, from mongomock_ng: the one border to that library.

The library brings pymongo with it, half a second, so each function here imports it when it is first needed: what SQL
decides alone (`stores.sqlite_pushdown`) is answered without. Used by `stores.sqlite_query` and
`stores.sqlite_collection`.
"""
# ruff: noqa: PLC0415 - start-up

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .sqlite_json import encode

Filter = Mapping[str, Any]

_PLAIN = (str, int, float, bool, type(None))


def prepared(criteria: Filter | None) -> dict[str, Any]:
    """Filter in the types documents are read back with: naive UTC dates, Python numbers."""
    criteria = criteria or {}
    if _is_plain(criteria):
        return dict(criteria)
    from mongomock_ng.helpers import patch_datetime_awareness_in_document

    # mongomock_ng carries no type information, here and below.
    filters: dict[str, Any] = patch_datetime_awareness_in_document(  # type: ignore[no-untyped-call]
        _without_numpy(criteria)
    )
    return filters


def matches(filters: Filter, document: Mapping[str, Any]) -> bool:
    """Whether a document matches a prepared filter."""
    from mongomock_ng.filtering import filter_applies

    return bool(filter_applies(filters, document))  # type: ignore[no-untyped-call]


def check(filters: Filter, fields: set[str] | None) -> None:
    """Raise mongomock_ng's error for an invalid filter, though no document may be there to meet it.

    `fields` are those the filter looks at; where they are None (``$expr`` and the like) nothing can be said yet.
    """
    if fields is not None:
        for field, condition in filters.items():
            matches({field: condition}, {})


def sort_value(field: str, document: Mapping[str, Any]) -> Any:
    """What a document is sorted by: a plain value as it stands (None where it is missing), else its `sort_key`."""
    value: Any = document
    for part in field.split("."):
        if type(value) is not dict:
            return sort_key(field, document)
        value = value.get(part)
        if value is None:
            return None
    return value if type(value) in _PLAIN and value == value else sort_key(field, document)


def sort_keys(values: Sequence[Any]) -> list[Any]:
    """Sortable keys of what `sort_value` gave for documents that are sorted together.

    Null comes first in MongoDB, and values of one kind are in Python's order there; mongomock_ng tells of all others.
    """
    kinds = {type(value) for value in values} - {type(None)}
    if kinds <= {int, float} or (len(kinds) == 1 and kinds < {str, bool}):
        lowest: Any = "" if str in kinds else 0
        return [(False, lowest) if value is None else (True, value) for value in values]
    return [value if type(value) is tuple else sort_key("value", {"value": value}) for value in values]


def sort_key(field: str, document: Mapping[str, Any]) -> Any:
    """Sortable value of a dotted field, in the order of BSON types."""
    from mongomock_ng.filtering import resolve_sort_key

    return resolve_sort_key(field, document)  # type: ignore[no-untyped-call]


def values_at(field: str, document: Mapping[str, Any]) -> list[Any]:
    """Values of a dotted field, the elements of arrays one by one; none where it is missing."""
    from mongomock_ng.filtering import NOTHING, iter_key_candidates

    found: list[Any] = []
    for value in iter_key_candidates(field, document):  # type: ignore[no-untyped-call]
        if value is not NOTHING:
            found.extend(value if isinstance(value, list) else [value])
    return found


def identity(value: Any) -> Any:
    """Hashable stand-in for a value: 1 and 1.0 are the same, 1 and True are not."""
    if isinstance(value, bool) or value is None:
        return (type(value), value)
    if isinstance(value, int | float) and value == value:
        return (float, value)
    return (type(value), encode(value))


def _is_plain(value: Any) -> bool:
    """Whether a value is one of plain Python throughout, without dates."""
    if type(value) is dict:
        return all(map(_is_plain, value.values()))
    return all(map(_is_plain, value)) if type(value) is list else type(value) in _PLAIN


def _without_numpy(value: Any) -> Any:
    import numpy as np

    if isinstance(value, Mapping):
        return {key: _without_numpy(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_without_numpy(inner) for inner in value]
    if isinstance(value, np.generic):
        return value.item()
    return value.tolist() if isinstance(value, np.ndarray) else value
