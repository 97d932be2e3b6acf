"""MongoDB queries on a table of JSON documents: find, count, distinct.

SQL decides what indexes can decide (`stores.sqlite_pushdown`); what they leave open is decided by mongomock_ng
(`stores.sqlite_mongo`). Used by `stores.sqlite_collection`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

from .sqlite_file import FileState
from .sqlite_mongo import Filter, check, identity, matches, prepared, sort_keys, sort_value, values_at
from .sqlite_projection import Projection, value_at
from .sqlite_pushdown import TRUE, Pushdown, are_near, fields_of, is_indexable, pushdown
from .sqlite_reader import MOST_VALUES, DocumentReader, ValueReader
from .sqlite_table import DocumentTable, SortedRow, chunks

SortOrder = Sequence[tuple[str, int]]
MayMatch = tuple[int, bool]
"""A row, and whether it surely matches."""

_PAGE = 200  # rows that are sorted beyond those that are wanted


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


def find_values(
    table: DocumentTable, criteria: Filter | None, fields: Sequence[str], sort: SortOrder = (), limit: int = 0
) -> Iterator[list[Any]]:
    """Values of fields of the documents that match a filter, None where one is missing or lies within an array.

    Parameters are those of `find`.
    """
    filters, conditions = _understood(table, criteria)
    are_readable = 0 < len(fields) <= MOST_VALUES and all(map(is_indexable, fields))
    if are_readable and (sort or conditions.may != TRUE):
        found = _fetched_values(table, filters, conditions, fields, sort, limit)
    elif are_readable and conditions.must == TRUE:
        found = (values for _, values in table.scan(ValueReader(fields)))
    else:
        needed = set(fields) if all(map(is_indexable, fields)) else None
        documents = _found(table, filters, conditions, _union(fields_of(filters), needed), sort)
        found = ([value_at(document, field) for field in fields] for document in documents)
    yield from islice(found, limit or None)


def matching_ids(table: DocumentTable, criteria: Filter | None) -> Iterator[int]:
    """Rows of the documents that match a filter, in order of insertion."""
    filters, conditions = _understood(table, criteria)
    looked_at = DocumentReader(fields_of(filters))
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
    filters, conditions = _understood(table, criteria)
    wanted = skip + limit if limit else 0
    found = _found(table, filters, conditions, _union(fields_of(filters), fields), sort, wanted)
    yield from islice(found, skip, wanted or None)


def _understood(table: DocumentTable, criteria: Filter | None) -> tuple[dict[str, Any], Pushdown]:
    """Filter in the types of documents, and what SQL may decide of it."""
    filters = prepared(criteria)
    conditions = pushdown(filters, table.columns)
    if not conditions.is_whole:
        check(filters, fields_of(filters))
    return filters, conditions


def _found(
    table: DocumentTable,
    filters: Filter,
    conditions: Pushdown,
    needed: set[str] | None,
    sort: SortOrder,
    wanted: int = 0,
) -> Iterator[dict[str, Any]]:
    """Matching documents, with the needed fields at least; the first `wanted` will do (0: all)."""
    looked_at = fields_of(filters)
    documents = DocumentReader(needed)
    if sort or conditions.may != TRUE:
        before = table.file.state()
        rows = _rows(table, filters, conditions, sort, wanted)
        yield from (document for _, document in _fetched(table, filters, rows, documents, before))
    elif conditions.must == TRUE:
        yield from (document for _, document in table.scan(documents))
    elif needed is None and looked_at is not None:
        # Filter on the fields it looks at first; whole documents are read for the matches only.
        ids = (row for row, part in table.scan(DocumentReader(looked_at)) if matches(filters, part))
        yield from (document for _, document in table.fetch(ids, documents) if matches(filters, document))
    else:
        yield from (document for _, document in table.scan(documents) if matches(filters, document))


def _fetched(
    table: DocumentTable, filters: Filter, rows: Iterable[MayMatch], documents: DocumentReader, before: FileState
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Rows with the documents that match; those that SQL is sure of are looked at only if the file was written since.

    `before` is the file's state before the rows were found.
    """
    for wanted in chunks(rows, documents.chunk):
        is_certain = dict(wanted)
        batch = table.read(list(is_certain), documents)
        is_unchanged = table.file.state() == before
        for row, document in batch:
            if (is_unchanged and is_certain[row]) or matches(filters, document):
                yield row, document


def _fetched_values(
    table: DocumentTable, filters: Filter, conditions: Pushdown, fields: Sequence[str], sort: SortOrder, wanted: int
) -> Iterator[list[Any]]:
    """Values of matching documents; the documents are looked at where SQL is not sure, or the file was written to."""
    before = table.file.state()
    reader, documents = ValueReader(fields), DocumentReader(_union(fields_of(filters), set(fields)))
    for found in chunks(_rows(table, filters, conditions, sort, wanted), reader.chunk):
        rows = [row for row, _ in found]
        batch = table.read(rows, reader)
        if all(is_certain for _, is_certain in found) and table.file.state() == before:
            yield from (values for _, values in batch)
        else:
            matching = (document for _, document in table.read(rows, documents) if matches(filters, document))
            yield from ([value_at(document, field) for field in fields] for document in matching)


def _rows(
    table: DocumentTable, filters: Filter, conditions: Pushdown, sort: SortOrder, wanted: int
) -> Iterable[MayMatch]:
    """Rows that may match, in sorted order (else of insertion); the first `wanted` will mostly do (0: all)."""
    if not sort:
        return _candidates(table, conditions)
    if table.can_sort(sort):
        return _sorted_by_columns(table, conditions, sort, wanted)
    return ((row, True) for row in _sorted_by_documents(table, filters, conditions, sort))


def _sorted_by_columns(table: DocumentTable, conditions: Pushdown, sort: SortOrder, wanted: int) -> Iterator[MayMatch]:
    """Rows that may match, sorted by SQL: a few more than are wanted, and all of them where those do not do."""
    most = wanted + _PAGE if wanted else 0
    rows = table.sorted_rows(conditions, sort, most)
    sure = list(_too_close(rows))
    if is_part := 0 < most <= len(rows):
        sure.pop()  # the next row may belong to it
    yield from _in_exact_order(table, sure, *sort[-1])
    if is_part:
        told = {row.id for close in sure for row in close}
        rest = [row for row in table.sorted_rows(conditions, sort) if row.id not in told]
        yield from _in_exact_order(table, _too_close(rest), *sort[-1])


def _in_exact_order(
    table: DocumentTable, groups: Iterable[Sequence[SortedRow]], field: str, direction: int
) -> Iterator[MayMatch]:
    """Rows of each group, those that are too close for SQLite's reals sorted by the numbers of their documents."""
    for close in groups:
        if len(close) == 1:
            yield close[0].id, close[0].is_certain
            continue
        is_certain = {row.id: row.is_certain for row in close}
        found = list(table.fetch(sorted(is_certain), DocumentReader({field})))
        keys = sort_keys([sort_value(field, part) for _, part in found])
        places = sorted(range(len(found)), key=keys.__getitem__, reverse=direction < 0)
        yield from ((found[place][0], is_certain[found[place][0]]) for place in places)


def _too_close(rows: Sequence[SortedRow]) -> Iterator[list[SortedRow]]:
    """Sorted rows in groups: each is surely sorted against all others, and none within itself."""
    close: list[SortedRow] = []
    for row in rows:
        if close and not (row.values[:-1] == close[-1].values[:-1] and are_near(row.values[-1], close[-1].values[-1])):
            yield close
            close = []
        close.append(row)
    if close:
        yield close


def _sorted_by_documents(table: DocumentTable, filters: Filter, conditions: Pushdown, sort: SortOrder) -> list[int]:
    """Rows that match, sorted by the fields of their documents."""
    fields = [field for field, _ in sort]
    needed = _union(fields_of(filters), set(fields) if all(map(is_indexable, fields)) else None)
    documents = DocumentReader(needed)
    if conditions.may == TRUE:
        scanned = table.scan(documents)
        found: Iterator[tuple[int, dict[str, Any]]] = (
            (row, part) for row, part in scanned if conditions.must == TRUE or matches(filters, part)
        )
    else:
        before = table.file.state()
        candidates = _candidates(table, conditions)
        found = _fetched(table, filters, candidates, documents, before)
    rows, values = list[int](), [list[Any]() for _ in fields]
    for row, part in found:
        rows.append(row)
        for field, of_field in zip(fields, values, strict=True):
            of_field.append(sort_value(field, part))
    places = list(range(len(rows)))
    # The least important field first: sorts keep the order of what they find equal.
    for of_field, (_, direction) in reversed(list(zip(values, sort, strict=True))):
        places.sort(key=sort_keys(of_field).__getitem__, reverse=direction < 0)
    return [rows[place] for place in places]


def _candidates(table: DocumentTable, conditions: Pushdown) -> list[MayMatch]:
    """Rows that may match, in order of insertion."""
    certain, undecided = table.rows(conditions)
    return sorted([(row, True) for row in certain] + [(row, False) for row in undecided])


def _union(first: set[str] | None, second: set[str] | None) -> set[str] | None:
    """Fields to read for two purposes; None stands for whole documents."""
    return None if first is None or second is None else first | second
