# ruff: noqa: S608  # SQL is built from quoted names only; values are parameters
"""MongoDB filters as SQL conditions on indexed fields: what SQL may decide, and what it must leave open.

Each filter becomes a `Pushdown` of two conditions. Where ``must`` holds, a document matches; where ``open``
holds, mongomock_ng decides on the document itself; where neither does, it does not match. So an index saves
time and never changes an answer. Used by `stores.sqlite_query`.

An indexed field is a column whose value keeps MongoDB's order within a type:

================ =====================================================================
value            column
================ =====================================================================
missing, null    NULL
number           the number (reals perhaps off by their last digit: SQLite's parser)
string           the string
false, true      blobs B0, B1
date             blob D2026-01-01T12:00:00.000
all else         blob O ("opaque"): arrays, fields within arrays, objects, NaN, ...
================ =====================================================================
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from enum import Enum
from typing import Any, NamedTuple

import orjson

from .sqlite_json import TAG, format_date

# Larger integers are not exact as doubles; they are left to the filter on the document.
_EXACT_INTEGER = 2**53
_LONGEST_OR = 100  # alternatives written out in SQL
_MOST_WAYS = 16
_RARE = 0.0001  # without a hint SQLite takes a range for a quarter of the table, and reads it all
_INDEXABLE = re.compile(r'[^."\\\x00-\x1f$][^."\\\x00-\x1f]*(\.[^."\\\x00-\x1f$][^."\\\x00-\x1f]*)*')

OPAQUE = b"O"
BOOLEANS = {b"B0": False, b"B1": True}


class Sql(NamedTuple):
    """Condition with its parameters; one that was joined by OR knows its alternatives."""

    text: str
    parameters: tuple[Any, ...] = ()
    alternatives: tuple[Sql, ...] = ()


TRUE = Sql("1")
FALSE = Sql("0")


class Pushdown(NamedTuple):
    """Condition that only matches satisfy, and one that holds (at least) for every other match.

    `is_whole` says that every part of the filter was understood, so that there is no error in it.
    """

    must: Sql
    open: Sql
    is_whole: bool = True

    @property
    def may(self) -> Sql:
        """Condition that no match escapes."""
        return _or(self.must, self.open)


UNDECIDED = Pushdown(must=FALSE, open=TRUE, is_whole=False)


def is_indexable(path: str) -> bool:
    """Whether SQLite can address a dotted field (no quotes, backslashes, control characters, leading $)."""
    return _INDEXABLE.fullmatch(path) is not None


def json_path(parts: Sequence[str]) -> str:
    """SQLite's path to a field, e.g. ``$."output"."energy"``, as a quoted SQL string."""
    path = "$" + "".join(f'."{part}"' for part in parts)
    return "'" + path.replace("'", "''") + "'"


def column_expression(path: str) -> str:
    """Give the SQL expression of an indexed field's column."""
    parts = path.split(".")
    prefixes = [json_path(parts[: n + 1]) for n in range(len(parts))]
    here = prefixes[-1]
    date = json_path([*parts, TAG + "date"])
    arrays = " OR ".join(f"json_type(doc, {prefix}) = 'array'" for prefix in prefixes)
    return (
        f"CASE WHEN {arrays} THEN x'4f' ELSE CASE json_type(doc, {here}) "
        f"WHEN 'text' THEN json_extract(doc, {here}) "
        f"WHEN 'integer' THEN json_extract(doc, {here}) "
        f"WHEN 'real' THEN json_extract(doc, {here}) "
        "WHEN 'true' THEN x'4231' WHEN 'false' THEN x'4230' "
        f"WHEN 'object' THEN COALESCE(CAST('D' || json_extract(doc, {date}) AS BLOB), x'4f') END END"
    )


def quoted(name: str) -> str:
    """Name of a table or column as SQL wants it."""
    return '"' + name.replace('"', '""') + '"'


def pushdown(criteria: Mapping[str, Any], columns: Mapping[str, str]) -> Pushdown:
    """Translate a MongoDB filter as far as indexes go.

    Parameters
    ----------
    criteria : the filter, its dates naive UTC.
    columns : column name of each indexed dotted field.

    Returns
    -------
    The pair of conditions; `UNDECIDED` where no index helps.
    """
    return _every(_clause(key, condition, columns) for key, condition in criteria.items())


def fields_of(criteria: Any) -> set[str] | None:
    """Dotted fields a filter looks at; None if it may look at any (``$expr`` and the like)."""
    if not isinstance(criteria, Mapping):
        return None
    fields: set[str] = set()
    for key, condition in criteria.items():
        if key == "$comment":
            continue
        if key in ("$and", "$or", "$nor") and isinstance(condition, list | tuple):
            for part in condition:
                inner = fields_of(part)
                if inner is None:
                    return None
                fields |= inner
        elif isinstance(key, str) and is_indexable(key):
            fields.add(key)
        else:
            return None
    return fields


def are_near(one: Any, other: Any) -> bool:
    """Whether two columns may be in the wrong order, one of them a real that SQLite's parser rounded."""
    if not (isinstance(one, float) or isinstance(other, float)):
        return False
    if not (isinstance(one, int | float) and isinstance(other, int | float)):
        return False
    low, high = sorted((one, other))
    return _bracket(low)[1] >= _bracket(high)[0]


def _clause(key: str, condition: Any, columns: Mapping[str, str]) -> Pushdown:
    if key in ("$and", "$or", "$nor"):
        if not isinstance(condition, list | tuple) or not all(isinstance(part, Mapping) for part in condition):
            return UNDECIDED
        if not condition:
            return UNDECIDED  # an error, which mongomock_ng tells
        parts = [pushdown(part, columns) for part in condition]
        if key == "$and":
            return _every(parts)
        return _some(parts) if key == "$or" else _negated(_some(parts))
    if key not in columns:
        return UNDECIDED
    column = quoted(columns[key])
    if isinstance(condition, Mapping):
        if not condition or not all(isinstance(operator, str) and operator[:1] == "$" for operator in condition):
            return UNDECIDED
        return _every(_operator(column, operator, value) for operator, value in condition.items())
    return _equal(column, condition)


def _operator(column: str, operator: str, value: Any) -> Pushdown:
    match operator:
        case "$eq":
            return _equal(column, value)
        case "$ne":
            return _unequal(column, value)
        case "$in" if isinstance(value, list | tuple):
            return _any_of(column, value)
        case "$nin" if isinstance(value, list | tuple):
            return _negated(_any_of(column, value))
        case "$gt" | "$gte" | "$lt" | "$lte":
            return _compared(column, operator, value)
        case "$exists":
            # NULL stands for null, too, and a field within an array may be missing.
            unknown = _or(Sql(f"{column} IS NULL"), _opaque(column))
            return Pushdown(must=Sql(f"{column} < x'4f'") if value else FALSE, open=unknown)
    return UNDECIDED


def _equal(column: str, value: Any) -> Pushdown:
    if value is None:
        return Pushdown(must=FALSE, open=_or(Sql(f"{column} IS NULL"), _opaque(column)))
    if isinstance(value, bool):
        # mongomock_ng, unlike MongoDB, takes True for 1.
        exact = Sql(f"{column} = ?", (b"B1" if value else b"B0",))
        return Pushdown(must=exact, open=_or(_near(column, int(value)), _opaque(column)))
    if _is_number(value):
        exact = Sql(f"({column} = ? AND typeof({column}) = 'integer')", (value,))
        booleans = [Sql(f"{column} = ?", (b"B1" if value else b"B0",))] if value in (0, 1) else []
        return Pushdown(must=exact, open=_or(_near(column, value), *booleans, _opaque(column)))
    scalar = _scalar(value)
    if scalar is None:
        return UNDECIDED
    return Pushdown(must=Sql(f"{column} = ?", (scalar,)), open=_opaque(column))


def _unequal(column: str, value: Any) -> Pushdown:
    if (scalar := _scalar(value)) is None:
        return _negated(_equal(column, value))
    # Written as ranges, the negation of an equality can use the index.
    before, after = Sql(f"{column} < ?", (scalar,)), Sql(f"({column} > ? AND {column} < x'4f')", (scalar,))
    return Pushdown(must=_or(Sql(f"{column} IS NULL"), before, after), open=_opaque(column))


def _any_of(column: str, values: Sequence[Any]) -> Pushdown:
    if values and all(type(value) is str and _scalar(value) is not None for value in values):
        # One parameter for any number of strings.
        exact = Sql(f"{column} IN (SELECT value FROM json_each(?))", (orjson.dumps(list(values)).decode(),))
        return Pushdown(must=exact, open=_opaque(column))
    if not values or len(values) > _LONGEST_OR:
        return UNDECIDED
    return _some([_equal(column, value) for value in values])


def _compared(column: str, operator: str, value: Any) -> Pushdown:
    """Comparison within the type of the value, as MongoDB brackets it."""
    if _is_number(value):
        low, high = _bracket(value)
        if operator in ("$gt", "$gte"):
            beyond = Sql(f"({column} > ? AND {column} < '')", (high,))
        else:
            beyond = Sql(f"{column} < ?", (low,))
        return Pushdown(must=beyond, open=_or(_near(column, value), _opaque(column)))
    scalar = _scalar(value)
    if scalar is None:
        return UNDECIDED
    first, after = ("''", "x''") if isinstance(scalar, str) else ("x'44'", "x'45'")
    sign = {"$gt": ">", "$gte": ">=", "$lt": "<", "$lte": "<="}[operator]
    type_end = f"{column} < {after}" if operator in ("$gt", "$gte") else f"{column} >= {first}"
    exact = Sql(f"({column} {sign} ? AND {type_end})", (scalar,))
    return Pushdown(must=exact, open=_opaque(column))


def _scalar(value: Any) -> str | bytes | None:
    """Column of a string or date; None for other values."""
    if isinstance(value, str):
        text = str(value.value if isinstance(value, Enum) else value)
        return None if "\0" in text or not _is_unicode(text) else text
    if isinstance(value, datetime):
        return b"D" + format_date(value).encode()
    return None


def _is_unicode(text: str) -> bool:
    """Whether a string has no lone surrogates, which neither JSON nor SQLite can hold."""
    return text.isascii() or not any("\ud800" <= character <= "\udfff" for character in text)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= _EXACT_INTEGER


def _bracket(value: float) -> tuple[float, float]:
    """Bounds that hold a number however SQLite's parser rounded its last digit."""
    width = abs(value) * 1e-14 + 1e-300
    return float(value - width), float(value + width)


def _near(column: str, value: float) -> Sql:
    low, high = _bracket(value)
    return Sql(f"(likelihood({column} >= ?, {_RARE}) AND {column} <= ?)", (low, high))


def _opaque(column: str) -> Sql:
    return Sql(f"likelihood({column} >= x'4f', {_RARE})")


def _every(parts: Iterable[Pushdown]) -> Pushdown:
    listed = list(parts)
    must, is_whole = _and(*(part.must for part in listed)), all(part.is_whole for part in listed)
    if must == FALSE:
        return Pushdown(must=FALSE, open=_and(*(part.may for part in listed)), is_whole=is_whole)
    # Open where one part is, and no other part says no. Each way begins with what an index can find: SQLite scans the
    # whole table where a way begins with an OR.
    ways = (
        _and(way, *(other.may for other in listed if other is not part)) for part in listed for way in _ways(part.open)
    )
    return Pushdown(must=must, open=_or(*ways), is_whole=is_whole)


def _ways(condition: Sql) -> Sequence[Sql]:
    """Alternatives of a condition, unless they are so many that the statement would grow too long."""
    return condition.alternatives if 0 < len(condition.alternatives) <= _MOST_WAYS else (condition,)


def _negated(part: Pushdown) -> Pushdown:
    return Pushdown(must=_not(part.may), open=part.open, is_whole=part.is_whole)


def _some(parts: Iterable[Pushdown]) -> Pushdown:
    listed = list(parts)
    must, opened = _or(*(part.must for part in listed)), _or(*(part.open for part in listed))
    return Pushdown(must=must, open=opened, is_whole=all(part.is_whole for part in listed))


def _and(*conditions: Sql) -> Sql:
    if FALSE in conditions:
        return FALSE
    return _joined(" AND ", [c for c in conditions if c != TRUE]) or TRUE


def _or(*conditions: Sql) -> Sql:
    if TRUE in conditions:
        return TRUE
    listed = [c for c in conditions if c != FALSE]
    joined = _joined(" OR ", listed) or FALSE
    return joined._replace(alternatives=tuple(way for c in listed for way in c.alternatives or (c,)))


def _not(condition: Sql) -> Sql:
    if condition in (TRUE, FALSE):
        return FALSE if condition == TRUE else TRUE
    # A condition on a missing field is NULL in SQL; it counts as not satisfied.
    return Sql(f"NOT COALESCE({condition.text}, 0)", condition.parameters)


def _joined(word: str, conditions: Sequence[Sql]) -> Sql | None:
    if not conditions:
        return None
    if len(conditions) == 1:
        return conditions[0]
    text = "(" + word.join(condition.text for condition in conditions) + ")"
    return Sql(text, tuple(value for condition in conditions for value in condition.parameters))
