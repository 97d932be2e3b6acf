"""MongoDB's meaning of filters, fields and sort orders, from mongomock_ng: the one border to that library.

Used by `stores.sqlite_query` and `stores.sqlite`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from mongomock_ng.filtering import filter_applies, iter_key_candidates, resolve_sort_key
from mongomock_ng.helpers import patch_datetime_awareness_in_document

from .sqlite_json import encode

Filter = Mapping[str, Any]

_MISSING = iter_key_candidates("a", {})[0]  # type: ignore[no-untyped-call]  # mongomock_ng's mark


def prepared(criteria: Filter | None) -> dict[str, Any]:
    """Filter in the types documents are read back with: naive UTC dates, Python numbers."""
    # mongomock_ng carries no type information, here and below.
    filters: dict[str, Any] = patch_datetime_awareness_in_document(  # type: ignore[no-untyped-call]
        _without_numpy(criteria or {})
    )
    return filters


def matches(filters: Filter, document: Mapping[str, Any]) -> bool:
    """Whether a document matches a prepared filter."""
    return bool(filter_applies(filters, document))  # type: ignore[no-untyped-call]


def check(filters: Filter, fields: set[str] | None) -> None:
    """Raise mongomock_ng's error for an invalid filter, though no document may be there to meet it.

    `fields` are those the filter looks at; where they are None (``$expr`` and the like) nothing can be said yet.
    """
    if fields is not None:
        for field, condition in filters.items():
            matches({field: condition}, {})


def sort_key(field: str, document: Mapping[str, Any]) -> Any:
    """Sortable value of a dotted field, in the order of BSON types."""
    return resolve_sort_key(field, document)  # type: ignore[no-untyped-call]


def values_at(field: str, document: Mapping[str, Any]) -> list[Any]:
    """Values of a dotted field, the elements of arrays one by one; none where it is missing."""
    found: list[Any] = []
    for value in iter_key_candidates(field, document):  # type: ignore[no-untyped-call]
        if value is not _MISSING:
            found.extend(value if isinstance(value, list) else [value])
    return found


def identity(value: Any) -> Any:
    """Hashable stand-in for a value: 1 and 1.0 are the same, 1 and True are not."""
    if isinstance(value, bool) or value is None:
        return (type(value), value)
    if isinstance(value, int | float) and value == value:
        return (float, value)
    return (type(value), encode(value))


def _without_numpy(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_numpy(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_without_numpy(inner) for inner in value]
    if isinstance(value, np.generic):
        return value.item()
    return value.tolist() if isinstance(value, np.ndarray) else value
