"""MongoDB projections: the fields of a document that a query returns. Used by `stores.sqlite_query`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .sqlite_file import CollectionError
from .sqlite_pushdown import is_indexable

Properties = Mapping[str, Any] | Sequence[str] | None


class Projection:
    """Fields of a document that a query returns.

    Parameters
    ----------
    properties : names of fields, or a mapping of field to 1 (only these) or 0 (all but these). Dotted names
        reach into objects, and into the objects within arrays. Empty or None: all fields. ``_id`` is passed
        over: documents of this store have none.

    Raises
    ------
    CollectionError
        If inclusion and exclusion are mixed, or an operator such as ``$slice`` is asked for.
    """

    def __init__(self, properties: Properties) -> None:
        chosen = dict(properties) if isinstance(properties, Mapping) else dict.fromkeys(properties or (), 1)
        wants_id = bool(chosen.pop("_id", 0))
        if not all(isinstance(choice, bool | int | float) for choice in chosen.values()):
            raise CollectionError(
                f"projection {chosen!r} has an operator: the SQLite store knows 1 (include) and 0 (exclude)"
            )
        if len({bool(choice) for choice in chosen.values()}) > 1:
            raise CollectionError(f"projection {chosen!r} mixes fields to include and to exclude: give one kind")
        self._is_everything = not chosen and not wants_id
        self._includes = all(chosen.values())
        self._tree: dict[str, Any] = {}
        for field in sorted(chosen, key=len):
            self._add(field.split("."))
        self.fields: set[str] | None = None  # what must be read for it; None for whole documents
        if self._includes and not self._is_everything and all(is_indexable(field) for field in chosen):
            self.fields = set(chosen)
        self._is_flat = self._includes and not any(self._tree.values())

    def __call__(self, document: dict[str, Any]) -> dict[str, Any]:
        """Chosen part of a document."""
        if self._is_everything or (self._is_flat and document.keys() <= self._tree.keys()):
            return document
        part: dict[str, Any] = (_included if self._includes else _excluded)(document, self._tree)
        return part

    def _add(self, parts: Sequence[str]) -> None:
        tree = self._tree
        for part in parts[:-1]:
            tree = tree.setdefault(part, {})
            if tree is None:
                return  # the whole of an outer field is chosen already
        tree[parts[-1]] = None


def value_at(document: Mapping[str, Any], field: str) -> Any:
    """Value of a dotted field by way of objects alone, None where it is missing."""
    value: Any = document
    for part in field.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _included(document: Mapping[str, Any], tree: Mapping[str, Any]) -> dict[str, Any]:
    part: dict[str, Any] = {}
    for field, value in document.items():
        if field not in tree:
            continue
        inner = tree[field]
        if inner is None:
            part[field] = value
        elif isinstance(value, dict):
            part[field] = _included(value, inner)
        elif isinstance(value, list):
            part[field] = _included_in_array(value, inner)
    return part


def _included_in_array(values: Sequence[Any], tree: Mapping[str, Any]) -> list[Any]:
    """Chosen part of the objects within an array; plain elements fall out, as in MongoDB."""
    return [
        _included(value, tree) if isinstance(value, dict) else _included_in_array(value, tree)
        for value in values
        if isinstance(value, dict | list)
    ]


def _excluded(value: Any, tree: Mapping[str, Any]) -> Any:
    if isinstance(value, list):
        return [_excluded(element, tree) for element in value]
    if not isinstance(value, dict):
        return value
    return {
        field: _excluded(inner, tree[field]) if field in tree else inner
        for field, inner in value.items()
        if field not in tree or tree[field] is not None
    }
