"""What the SQLite store keeps of the values JSON cannot hold."""

import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from enum import Enum
from pathlib import Path

import numpy as np
import orjson
import pytest
from bson import ObjectId
from monty.json import MSONable
from pydantic import BaseModel
from valenceflow.stores.sqlite_file import CollectionError
from valenceflow.stores.sqlite_json import as_stored, decode, encode


class State(Enum):
    DONE = "COMPLETED"


class Site(BaseModel):
    element: str
    moment: float


class Cell(MSONable):
    def __init__(self, volume):
        self.volume = volume


@dataclass
class Step:
    energy: float


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_numbers_that_json_lacks_come_back_as_numbers(value):
    document = {"energy": value, "nothing": None, "forces": [[0.0, value]]}
    assert repr(decode(encode(document))) == repr(document)


def test_no_nan_becomes_null_whatever_holds_it():
    for holder in (np.array([1.0, math.nan]), (math.nan, 1.0), np.float64("nan"), {"x": [1, "a", math.nan]}):
        assert "nan" in repr(decode(encode({"value": holder})))


def test_foreign_programs_read_valid_json():
    text = encode({"energy": math.nan, "when": datetime(2026, 1, 2), "name": "a\0b"})
    assert orjson.loads(text) == {
        "energy": {"$vf:float": "nan"},
        "when": {"$vf:date": "2026-01-02T00:00:00.000"},
        "name": {"$vf:text": "a\0b"},
    }


def test_dates_come_back_naive_in_utc_with_milliseconds_as_from_mongodb():
    east = timezone(timedelta(hours=2))
    document = {
        "utc": datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC),
        "east": datetime(2026, 1, 2, 1, tzinfo=east),
    }
    assert decode(encode(document)) == {
        "utc": datetime(2026, 1, 2, 3, 4, 5, 678000),
        "east": datetime(2026, 1, 1, 23),
    }


def test_identifiers_and_bytes_come_back_as_they_were():
    document = {"id": ObjectId(), "raw": b"\x00\xff", "list": [ObjectId(), {"deep": [b"x"]}]}
    assert decode(encode(document)) == document


def test_numpy_values_become_plain_numbers_and_lists():
    document = {
        "n": np.int64(3),
        "x": np.float32(0.5),
        "yes": np.bool_(True),
        "f": np.eye(2),
        "i": np.arange(3),
    }
    plain = decode(encode(document))
    assert plain == {"n": 3, "x": 0.5, "yes": True, "f": [[1.0, 0.0], [0.0, 1.0]], "i": [0, 1, 2]}
    assert type(plain["n"]) is int
    assert type(plain["yes"]) is bool


def test_objects_become_the_dictionaries_that_rebuild_them():
    plain = decode(encode({"cell": Cell(12.5), "site": Site(element="Fe", moment=4.2)}))
    assert plain["cell"]["@class"] == "Cell"
    assert plain["cell"]["volume"] == 12.5
    assert plain["site"]["element"] == "Fe"


def test_enumeration_members_become_their_value_and_paths_strings():
    assert decode(encode({"state": State.DONE, "folder": Path("/a/b")})) == {
        "state": "COMPLETED",
        "folder": "/a/b",
    }


def test_field_names_that_are_no_strings_become_strings():
    assert decode(encode({1: "one", "when": datetime(2026, 1, 1)})) == {
        "1": "one",
        "when": datetime(2026, 1, 1),
    }


@pytest.mark.parametrize(
    "document",
    [{"n": 2**70}, {"z": 1j}, {"o": object()}, {"d": Step(-1.0)}, {"text": "\ud800"}],
    ids=["large", "complex", "object", "dataclass", "surrogate"],
)
def test_what_cannot_be_stored_is_an_error_in_one_line(document):
    with pytest.raises(CollectionError, match="cannot be stored") as caught:
        encode(document)
    assert "\n" not in str(caught.value)


def test_a_reserved_field_name_is_refused():
    with pytest.raises(CollectionError, match=r"'\$vf:date' starts with '\$vf:'"):
        encode({"output": {"$vf:date": "yesterday"}})


def test_text_that_looks_like_a_tag_is_only_text():
    document = {"note": '{"$vf:date": "x"}', "list": ["$vf:date"], "when": datetime(2026, 1, 1)}
    assert decode(encode(document)) == document


def test_a_single_value_is_seen_as_it_will_be_read_back():
    assert as_stored(np.int64(2)) == 2
    assert as_stored("a\0") == "a\0"
    assert as_stored(datetime(2026, 1, 1, 0, 0, 0, 1999)) == datetime(2026, 1, 1, 0, 0, 0, 1000)
