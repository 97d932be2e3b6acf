"""MongoDB queries on a table of JSON documents: find, count, distinct.

SQL decides what indexes can decide (`stores.sqlite_pushdown`); what they leave open is decided by mongomock_ng
(`stores.sqlite_mongo`). Used by `stores.sqlite_collection`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from .sqlite_file import FileState
from .sqlite_mongo import Filter, check, identity, matches, prepared, sort_keys, sort_value, values_at
from .sqlite_projection import Projection
from .sqlite_pushdown import TRUE, Pushdown, fields_of, is_indexable, pushdown
from .sqlite_table import DocumentTable

SortOrder = Sequence[tuple[str, int]]


def find(
    table: DocumentTable,
    criteria: Filter | None,
    projection: Projection,
    sort: SortOrder = (),
    skip: int = 0,
    limit: int = 0,
) -> Iterator[dict[str, Any]]:
    """Documents that match a filter, one at a time; memory holds a few of them and the ids of the rest.

    The table may be written to meanwhile: each document is as it was when read, and one that matches no
    longer is left out.

    Parameters
    ----------
    table : the collection.
    criteria : MongoDB filter.
    projection : fields to return.
    sort : (field, 1 or -1) pairs, the first the most important.
    skip, limit : matching documents to pass over, and to return at most (0: all).
    """
    for document in _documents(table, criteria, projection.fields, sort, skip, limit):
        yield projection(document)


def matching_ids(table: DocumentTable, criteria: Filter | None) -> Iterator[int]:
    """Rows of the documents that match a filter, in order of insertion."""
    filters = prepared(criteria)
    conditions = pushdown(filters, table.columns)
    looked_at = fields_of(filters)
    if not conditions.is_whole:
        check(filters, looked_at)
    if conditions.may == TRUE and conditions.must != TRUE:
        yield from (row for row, document in table.scan(looked_at) if matches(filters, document))
        return
    certain, undecided = table.rows(conditions)
    decided = [row for row, document in table.fetch(undecided, looked_at) if matches(filters, document)]
    yield from sorted(certain + decided)


def count(table: DocumentTable, criteria: Filter | None) -> int:
    """Count the documents that match a filter."""
    return sum(1 for _ in matching_ids(table, criteria)) if criteria else table.count_all()


def distinct(table: DocumentTable, field: str, criteria: Filter | None) -> list[Any]:
    """Distinct values of a field, first seen first; the elements of arrays count one by one."""
    if not criteria and field in table.columns and (scalars := table.distinct_scalars(field)) is not None:
        return scalars
    found: dict[Any, Any] = {}
    for document in _documents(table, criteria, {field} if is_indexable(field) else None):
        for value in values_at(field, document):
            found.setdefault(identity(value), value)
    return list(found.values())


def _documents(
    table: DocumentTable,
    criteria: Filter | None,
    fields: set[str] | None,
    sort: SortOrder = (),
    skip: int = 0,
    limit: int = 0,
) -> Iterator[dict[str, Any]]:
    """Documents that match a filter, with the given fields at least (None: whole)."""
    filters = prepared(criteria)
    conditions = pushdown(filters, table.columns)
    looked_at = fields_of(filters)
    if not conditions.is_whole:
        check(filters, looked_at)
    needed = _union(looked_at, fields)
    found = _found(table, filters, conditions, needed, sort)
    yield from islice(found, skip, skip + limit if limit else None)


def _found(
    table: DocumentTable, filters: Filter, conditions: Pushdown, needed: set[str] | None, sort: SortOrder
) -> Iterator[dict[str, Any]]:
    """Matching documents, with the needed fields at least."""
    looked_at = fields_of(filters)
    if sort or conditions.may != TRUE:
        before = table.file.state()
        rows = _sorted_rows(table, filters, conditions, sort) if sort else _candidates(table, conditions)
        yield from (document for _, document in _fetched(table, filters, rows, needed, before))
    elif conditions.must == TRUE:
        yield from (document for _, document in table.scan(needed))
    elif needed is None and looked_at is not None:
        # Filter on the fields it looks at first; whole documents are read for the matches only.
        ids = (row for row, part in table.scan(looked_at) if matches(filters, part))
        yield from (document for _, document in table.fetch(ids, needed) if matches(filters, document))
    else:
        yield from (document for _, document in table.scan(needed) if matches(filters, document))


def _fetched(
    table: DocumentTable, filters: Filter, rows: Mapping[int, bool], needed: set[str] | None, before: FileState
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Rows with the documents that match; those that SQL is sure of are looked at only if the file was written since.

    `before` is the file's state before the rows were found.
    """
    for batch in table.batches(rows, needed):
        is_unchanged = table.file.state() == before
        for row, document in batch:
            if (is_unchanged and rows[row]) or matches(filters, document):
                yield row, document


def _sorted_rows(table: DocumentTable, filters: Filter, conditions: Pushdown, sort: SortOrder) -> Mapping[int, bool]:
    """Rows in sorted order -> whether they match: candidates if SQL could sort them, else matches."""
    if len(sort) == 1 and sort[0][0] in table.columns:
        field, direction = sort[0]
        rows = table.sorted_rows(conditions, field, descending=direction < 0)
        if rows is not None:
            return rows
    fields = [field for field, _ in sort]
    needed = _union(fields_of(filters), set(fields) if all(map(is_indexable, fields)) else None)
    if conditions.may == TRUE:
        scanned = table.scan(needed)
        found: Iterator[tuple[int, dict[str, Any]]] = (
            (row, part) for row, part in scanned if conditions.must == TRUE or matches(filters, part)
        )
    else:
        before = table.file.state()
        found = _fetched(table, filters, _candidates(table, conditions), needed, before)
    rows_found, values = list[int](), [list[Any]() for _ in fields]
    for row, part in found:
        rows_found.append(row)
        for field, of_field in zip(fields, values, strict=True):
            of_field.append(sort_value(field, part))
    places = list(range(len(rows_found)))
    # The least important field first: sorts keep the order of what they find equal.
    for of_field, (_, direction) in reversed(list(zip(values, sort, strict=True))):
        places.sort(key=sort_keys(of_field).__getitem__, reverse=direction < 0)
    return {rows_found[place]: True for place in places}


def _candidates(table: DocumentTable, conditions: Pushdown) -> dict[int, bool]:
    """Rows that may match -> whether they surely do, in order of insertion."""
    certain, undecided = table.rows(conditions)
    return dict(sorted([(row, True) for row in certain] + [(row, False) for row in undecided]))


def _union(first: set[str] | None, second: set[str] | None) -> set[str] | None:
    """Fields to read for two purposes; None stands for whole documents."""
    return None if first is None or second is None else first | second
