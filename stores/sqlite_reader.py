"""What SQLite cuts out of stored documents, and the way back to Python. Used by `stores.sqlite_table`.

A field is cut out by SQLite, which does not build what is not needed; what many documents give is decoded at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any, Protocol, TypeVar

from .sqlite_json import decode
from .sqlite_pushdown import json_path

_FULL_CHUNK = 32  # documents read at once; they may be megabytes each
_PART_CHUNK = 256  # the same, for a few fields of each

MOST_VALUES = 100  # SQLite's functions take 127 arguments, in some builds fewer

Row = Sequence[Any]
"""Id of a document and what was selected of it."""

Read = TypeVar("Read", covariant=True)


class Reader(Protocol[Read]):
    """What is read of each document.

    Attributes
    ----------
    selection : SQL of what is selected beside the id.
    chunk : documents read at once.
    """

    selection: str
    chunk: int

    def read(self, rows: Sequence[Row]) -> Iterator[Read]:
        """What was asked for, of each row in turn."""


class DocumentReader:
    """Documents, or the fields of them that are needed.

    Where a nested field is not found by way of objects alone (it may lie within an array), its whole outermost field is
    read.

    Parameters
    ----------
    fields : dotted fields that are needed (others may be missing), or None for whole documents.
    """

    def __init__(self, fields: set[str] | None) -> None:
        self.fields = fields
        self.chunk = _FULL_CHUNK if fields is None else _PART_CHUNK
        self._heads: dict[str, list[list[str]]] = {}
        for field in sorted(fields or ()):
            parts = field.split(".")
            self._heads.setdefault(parts[0], []).append(parts)
        self._has_nested = any(map(self._is_nested, self._heads))
        self.selection = "doc" if fields is None else ", ".join(self._columns()) or "NULL"

    def read(self, rows: Sequence[Row]) -> Iterator[dict[str, Any]]:
        """Document, or the needed part of it, of each row."""
        if self.fields is None:
            yield from (decode(row[1]) for row in rows)
        elif self._has_nested:
            yield from map(self._nested, rows)
        elif any(None in row for row in rows):
            yield from map(self._flat, rows)
        else:
            yield from self._all_flat(rows)

    def _nested(self, row: Row) -> dict[str, Any]:
        part: dict[str, Any] = {}
        values = iter(row[1:])
        for head, leaves in self._heads.items():
            whole_head = next(values)
            texts = [next(values) for leaf in leaves if len(leaf) > 1] if self._is_nested(head) else []
            if whole_head is not None:
                part[head] = decode(whole_head)
            elif texts:
                self._graft(part, leaves, texts)
        return part

    def _flat(self, row: Row) -> dict[str, Any]:
        """Outermost fields alone, some of them missing."""
        found = {name: text for name, text in zip(self._heads, row[1:], strict=False) if text is not None}
        return dict(zip(found, decode(f"[{','.join(found.values())}]"), strict=True))

    def _all_flat(self, rows: Sequence[Row]) -> Iterator[dict[str, Any]]:
        """The same of rows that miss none, decoded all at once."""
        width = len(self._heads)
        values = decode(f"[{','.join(chain.from_iterable(row[1:] for row in rows))}]")
        yield from (
            dict(zip(self._heads, values[start : start + width], strict=True)) for start in range(0, len(values), width)
        )

    def _is_nested(self, head: str) -> bool:
        return all(len(leaf) > 1 for leaf in self._heads[head])

    def _columns(self) -> Iterator[str]:
        for head, leaves in self._heads.items():
            whole = f"doc -> {json_path([head])}"
            if self._is_nested(head):
                found = " AND ".join(f"json_type(doc, {json_path(leaf)}) IS NOT NULL" for leaf in leaves)
                yield f"CASE WHEN NOT ({found}) THEN {whole} END"
                yield from (f"doc -> {json_path(leaf)}" for leaf in leaves)
            else:
                yield whole

    @staticmethod
    def _graft(part: dict[str, Any], leaves: Sequence[Sequence[str]], texts: Sequence[str | None]) -> None:
        for leaf, text in zip(leaves, texts, strict=True):
            if text is None:
                continue  # the outermost field itself is missing
            place = part
            for name in leaf[:-1]:
                place = place.setdefault(name, {})
            place[leaf[-1]] = decode(text)


class ValueReader:
    """Values of dotted fields, None where one is missing or lies within an array.

    Parameters
    ----------
    fields : at least one and `MOST_VALUES` at most, each indexable.
    """

    chunk = _PART_CHUNK

    def __init__(self, fields: Sequence[str]) -> None:
        paths = [json_path(field.split(".")) for field in fields]
        # Of one path json_extract gives the bare value, of several an array.
        self.selection = (
            f"json_extract(doc, {', '.join(paths)})" if len(paths) > 1 else f"json_array(doc -> {paths[0]})"
        )

    def read(self, rows: Sequence[Row]) -> Iterator[list[Any]]:
        """Values of each row, in the order of the fields."""
        yield from decode(f"[{','.join([row[1] for row in rows])}]")
