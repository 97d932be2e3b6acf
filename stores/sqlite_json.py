"""Documents as JSON text for the SQLite store: what goes in comes out, as a MongoStore would give it back.

JSON knows neither dates nor NaN. Such values are written as an object with one reserved field,
``{"$vf:date": "2026-01-01T12:00:00.000"}``, and restored on reading:

========== =========================================== ==========================================
tag        holds                                       read back as
========== =========================================== ==========================================
$vf:date   UTC, milliseconds (MongoDB's precision)     naive ``datetime`` in UTC
$vf:float  ``nan``, ``inf`` or ``-inf``                ``float``
$vf:text   a string with a NUL character               ``str``
$vf:oid    24 hexadecimal digits                       ``bson.ObjectId``
$vf:bytes  base64                                      ``bytes``
========== =========================================== ==========================================

Tuples and numpy arrays become lists, numpy scalars numbers, enumeration members their value, MSONable
objects and pydantic models their dictionaries (`monty.json.jsanitize`, strict, as jobflow does). What none of
these can write is an error, never a string of its repr. numpy, monty and bson are imported where a value asks for
them: commands that only look start without. Used by `stores.sqlite_table`.
"""

from __future__ import annotations

import base64
import math
import sys
from collections import deque
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import Enum
from typing import Any

import orjson

from .sqlite_file import CollectionError

TAG = "$vf:"
_TAG_BYTES = b'"$vf:'
_OPTIONS = orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_DATACLASS


def encode(document: Any) -> str:
    """JSON text of a document.

    Parameters
    ----------
    document : the document, or any value within one.

    Returns
    -------
    JSON text in which every value JSON cannot hold is tagged.

    Raises
    ------
    CollectionError
        If a value cannot be written (integers beyond 64 bits, complex numbers, objects without ``as_dict``)
        or a field name starts with the reserved ``$vf:``.
    """
    fallback = _Fallback()
    try:
        text = orjson.dumps(document, default=fallback, option=_OPTIONS)
    except TypeError:
        # Field names that are no strings, or an object that only monty knows how to walk into.
        return _encode_carefully(document)
    # orjson writes NaN as null without a word, so a null may be a lost NaN.
    if b"null" in text and not _is_finite(document):
        return _encode_carefully(document)
    if b"\\u0000" in text or text.count(_TAG_BYTES) != fallback.tags:
        return _encode_carefully(document)
    return text.decode()


def decode(text: str) -> Any:
    """Document written by `encode`."""
    value = orjson.loads(text)
    tags = text.count('"' + TAG)
    if not tags:
        return value
    if (restored := _untag(value)) is not value:
        return restored
    _restore(value, tags)
    return value


def as_stored(value: Any) -> Any:
    """Value as it will be read back from the store."""
    return value if type(value) in (str, int, bool, type(None)) else decode(encode(value))


def format_date(value: datetime) -> str:
    """UTC time with milliseconds; naive times are taken as UTC, as MongoDB does."""
    if value.tzinfo is not None:
        value = value.astimezone(UTC).replace(tzinfo=None)
    return value.isoformat(timespec="milliseconds")


class _Fallback:
    """What orjson asks about types it does not know; counts the tags written."""

    def __init__(self) -> None:
        self.tags = 0

    def __call__(self, value: Any) -> Any:
        tagged = _tagged(value)
        if tagged is not None:
            self.tags += 1
            return tagged
        return _sanitized(value)


def _encode_carefully(document: Any) -> str:
    """JSON text by way of a walk over every value."""
    try:
        return orjson.dumps(_tag_all(_sanitized(document)), option=_OPTIONS).decode()
    except TypeError as err:
        raise CollectionError(f"a document cannot be stored as JSON ({err}): give it in plain types") from err


def _sanitized(value: Any) -> Any:
    import numpy as np  # noqa: PLC0415 - start-up
    from monty.json import jsanitize  # noqa: PLC0415

    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, Enum):
        return value.value
    try:
        return jsanitize(value, strict=True, allow_bson=True, enum_values=True)
    except (AttributeError, TypeError, ValueError) as err:
        raise CollectionError(
            f"a document holds a value that cannot be stored ({err}): "
            "give it as numbers, strings, lists and dictionaries"
        ) from err


def _tagged(value: Any) -> dict[str, str] | None:
    """Tag of a value that JSON cannot hold, None for any other."""
    if isinstance(value, datetime):
        if value != value:  # pandas.NaT calls itself a datetime
            raise CollectionError("a document holds NaT, which is no date: store None instead")
        return {"$vf:date": format_date(value)}
    if isinstance(value, bytes):
        return {"$vf:bytes": base64.b64encode(value).decode()}
    if _is_object_id(value):
        return {"$vf:oid": str(value)}
    return None


def _is_object_id(value: Any) -> bool:
    bson = sys.modules.get("bson")  # who has none imported has no ObjectId
    return bson is not None and isinstance(value, bson.ObjectId)


def _tag_all(value: Any) -> Any:
    if isinstance(value, Mapping):
        reserved = next((k for k in value if k.startswith(TAG)), None)
        if reserved is not None:
            raise CollectionError(f"field name {reserved!r} starts with {TAG!r}, which the store reserves: rename it")
        return {k: _tag_all(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_tag_all(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return {"$vf:float": repr(float(value))}
    if isinstance(value, str) and "\0" in value:
        return {"$vf:text": value}
    tagged = _tagged(value)
    return value if tagged is None else tagged


def _is_finite(value: Any) -> bool:
    """Whether no NaN or infinity can hide in a value; False for types it cannot look into."""
    kind = type(value)
    if kind is float:
        return math.isfinite(value)
    if kind is str or kind is int or value is None or kind is bool:
        return True
    if kind is dict:
        return all(map(_is_finite, value.values()))
    if kind is list or kind is tuple:
        try:
            # Numbers are the bulk of a document; their sum is finite only if each of them is.
            if math.isfinite(sum(value)):
                return True
        except (TypeError, OverflowError):
            pass  # not a list of plain numbers: look at each
        return all(map(_is_finite, value))
    return isinstance(value, datetime | bytes) or _is_object_id(value)


def _untag(value: Any) -> Any:
    """Value of a tag; the argument itself if it is none."""
    if type(value) is not dict or len(value) != 1:
        return value
    name, content = next(iter(value.items()))
    match name:
        case "$vf:date":
            return datetime.fromisoformat(content)
        case "$vf:float":
            return float(content)
        case "$vf:text":
            return content
        case "$vf:oid":
            from bson import ObjectId  # noqa: PLC0415 - start-up

            return ObjectId(content)
        case "$vf:bytes":
            return base64.b64decode(content)
    return value


def _restore(document: Any, tags: int) -> None:
    """Replace the tags in a document in place, outermost fields first, and stop at the last one."""
    containers = deque([document])
    while containers and tags > 0:
        container = containers.popleft()
        for place, value in container.items() if type(container) is dict else enumerate(container):
            if type(value) is dict:
                restored = _untag(value)
                if restored is value:
                    containers.append(value)
                else:
                    container[place] = restored  # an existing key: the dictionary keeps its size
                    tags -= 1
            elif type(value) is list:
                containers.append(value)
