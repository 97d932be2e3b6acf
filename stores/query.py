"""Questions to calculations and frames: readable filters, documents or a DataFrame.

    question = Question("calculations", x="1/2:2/3", ordering="as meant", where="energy_above_hull < 0.02")
    for document in find(stores, question, columns=["intended_key", "energy_per_fu"], sort="energy_per_fu"):
        ...
    table = data_frame(stores, Question("frames", engine="vasp"), ["formula", "energy_per_atom", "label.verdict"])

`Question(mongo={...})` lays a raw MongoDB filter on top. Dots go into a field.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel

from ..inputs.fractions import exact_number
from .collection import Collection
from .documents import ChargeOrderedCalculationDoc
from .frames import Collections, FrameDoc, FrameLabel
from .relations import COUNTING, LOST
from .sharing import sharing_of
from .sqlite_collection import SQLiteCollection
from .sqlite_projection import value_at
from .where import where

if TYPE_CHECKING:
    from pandas import DataFrame

Kind = Literal["calculations", "frames"]
_MODELS: dict[str, type[BaseModel]] = {"calculations": ChargeOrderedCalculationDoc, "frames": FrameDoc}
_LARGE = 2_000
_SLACK = 1e-3  # fractions are asked for as 0.333 and kept as 1/3
ORDERINGS = {"lost": LOST, "as meant": COUNTING} | {name: (name,) for name in (*COUNTING, *LOST, "not read")}
"""What an ordering is asked for by -> relations of calculations."""


@dataclass(frozen=True)
class Question:
    """What is asked for; None asks for everything.

    Attributes
    ----------
    kind : calculations (their latest attempts) or frames.
    campaign : what it asks for, be it computed for another (`stores.sharing`).
    host, engine, state : equal to these; only calculations have a state.
    formula : reduced formula, in any order of elements.
    x : working-ion fraction: 0.5, 1/2, or a range 1/4:0.6.
    ordering : `as meant`, `lost`, or a relation of calculations.
    where : a condition (`stores.where`).
    names : short name -> field, for `where` and columns.
    mongo : MongoDB filter that must hold too.
    """

    kind: Kind = "calculations"
    campaign: str | None = None
    formula: str | None = None
    x: str | None = None
    ordering: str | None = None
    host: str | None = None
    engine: str | None = None
    state: str | None = None
    where: str | None = None
    names: Mapping[str, str] = field(default_factory=dict)
    mongo: Mapping[str, Any] | None = None

    def field(self, name: str) -> str:
        """Field that a name stands for.

        Raises
        ------
        ValueError
            If there is none; near ones are named.
        """
        full = self.names.get(name.strip(), name.strip())
        first, _, rest = full.partition(".")
        known = list(_MODELS[self.kind].model_fields)
        if first == "label" and rest and self.kind == "frames":
            first, known = rest.partition(".")[0], list(FrameLabel.model_fields)
        if first not in known:
            near = get_close_matches(name.strip(), self._all_fields(), n=3)
            meant = f"did you mean {' or '.join(near)}? " if near else ""
            within = "label." if full.startswith("label.") else ""
            there = ", ".join(sorted([f"{within}{field}" for field in known] + ([] if within else self._short_names())))
            raise ValueError(f"no field {name!r} in a {self.kind.removesuffix('s')}; {meant}there are {there}")
        return full

    def _short_names(self) -> list[str]:
        return [short for short, full in self.names.items() if full in _MODELS[self.kind].model_fields]

    def _all_fields(self) -> list[str]:
        of_label = [f"label.{name}" for name in FrameLabel.model_fields] if self.kind == "frames" else []
        return [*_MODELS[self.kind].model_fields, *of_label, *self._short_names()]

    def fields_of_where(self) -> list[str]:
        """Fields that the condition looks at."""
        found: list[str] = []

        def known(name: str) -> str:
            found.append(self.field(name))
            return found[-1]

        if self.where is not None:
            where(self.where, known)
        return found

    def criteria(self, stores: Collections) -> dict[str, Any]:
        """MongoDB filter.

        Parameters
        ----------
        stores : whose configurations know the formulas of calculations, and campaigns what they share.

        Raises
        ------
        ValueError
            If a part cannot be understood.
        """
        found: dict[str, Any] = {"latest": True} if self.kind == "calculations" else {}
        if self.campaign is not None:
            found |= sharing_of(stores, self.campaign).criteria
        for name in ("host", "engine", "state"):
            value = getattr(self, name)
            if value is not None:
                found[self.field(name)] = value
        if self.x is not None:
            low, high = fraction_range(self.x)
            found["fraction"] = {"$gte": low, "$lte": high}
        if self.ordering is not None:
            found |= self._ordering(self.ordering)
        if self.formula is not None:
            found |= self._formula(stores, self.formula)
        further = [where(self.where, self.field)] if self.where is not None else []
        further += [dict(self.mongo)] if self.mongo else []
        return {"$and": [found, *further]} if further else found

    def _ordering(self, name: str) -> dict[str, Any]:
        known = ORDERINGS if self.kind == "calculations" else {"as meant": (), "lost": ()}
        if name not in known:
            raise ValueError(f"ordering {name!r} is unknown; choose one of {', '.join(known)}")
        if self.kind == "calculations":
            return {"relation": {"$in": list(ORDERINGS[name])}}
        return {"label.as_intended": name == "as meant"}

    def _formula(self, stores: Collections, formula: str) -> dict[str, Any]:
        reduced = _reduced(formula)
        if self.kind == "frames":
            return {"formula": reduced}
        configurations = stores.collection("configurations")
        cells = [cell for cell in configurations.distinct("formula") if _reduced(cell) == reduced]
        found = configurations.query({"formula": {"$in": cells}}, properties=["configuration_id"])
        return {"configuration_id": {"$in": [document["configuration_id"] for document in found]}}


def find(
    stores: Collections,
    question: Question,
    columns: Sequence[str] | None = None,
    sort: str | None = None,
    limit: int = 0,
) -> Iterator[dict[str, Any]]:
    """Documents that answer a question.

    Parameters
    ----------
    stores : where.
    question : what is asked.
    columns : fields (or their short names), all where None; each document then holds these, flat, None where missing.
    sort : field to sort by, with a leading minus downwards. Engines are never mixed in a sorted list: they come one
        after the other.
    limit : at most so many; 0: all.

    Raises
    ------
    ValueError
        If the question or a field cannot be understood.
    """
    if columns is None:
        collection = _collection(stores, question, sort)
        yield from collection.query(question.criteria(stores), sort=_order(question, sort), limit=limit)
        return
    fields = [question.field(name) for name in columns]
    for values in _values(stores, question, fields, sort, limit):
        yield dict(zip(fields, values, strict=True))


def data_frame(
    stores: Collections, question: Question, columns: Sequence[str], sort: str | None = None, limit: int = 0
) -> DataFrame:
    """The same as a pandas DataFrame, a column per field."""
    import pandas as pd  # noqa: PLC0415 - half a second

    fields = [question.field(name) for name in columns]
    return pd.DataFrame.from_records(list(_values(stores, question, fields, sort, limit)), columns=fields)


def count(stores: Collections, question: Question) -> int:
    """How many documents answer a question."""
    return int(_collection(stores, question).count(question.criteria(stores)))


def _values(
    stores: Collections, question: Question, fields: Sequence[str], sort: str | None, limit: int
) -> Iterator[list[Any]]:
    """Values of fields of each document, None where it has none."""
    collection, order = _collection(stores, question, sort), _order(question, sort)
    criteria = question.criteria(stores)
    if isinstance(collection, SQLiteCollection):
        yield from collection.values(criteria, fields, order, limit)
        return
    for document in collection.query(criteria, properties=list(fields), sort=order, limit=limit):
        yield [value_at(document, field) for field in fields]


def _order(question: Question, sort: str | None) -> dict[str, Any] | None:
    if sort is None:
        return None
    by_engine = {"engine": 1} if question.engine is None else {}
    return {**by_engine, question.field(sort.removeprefix("-")): -1 if sort.startswith("-") else 1}


def _collection(stores: Collections, question: Question, sort: str | None = None) -> Collection:
    """The collection, with an index over what is asked for together, made the first time a large store is asked.

    SQLite uses one index a question: that of an engine alone finds everything where all is of one engine.
    """
    collection = stores.collection(question.kind)
    together = [
        name for name in ("campaign", "engine", "formula", "host", "state") if getattr(question, name) is not None
    ]
    together = [name for name in together if name != "formula" or question.kind == "frames"]
    together += ["latest"] if question.kind == "calculations" else []
    together += ["fraction"] if question.x is not None else []
    if not isinstance(collection, SQLiteCollection) or collection.has_inbox:
        return collection
    # Sorted by what is indexed, the first few are found without reading the others.
    order = _order(question, sort) or {}
    together += [field for field in order if field in collection.table.columns and field not in together]
    if len(together) > 1 and int(collection.count()) >= _LARGE:
        collection.index_together(together)
    return collection


def fraction_range(text: str) -> tuple[float, float]:
    """Bounds of a fraction or a range of them, with some slack.

    Raises
    ------
    ValueError
        If it is neither, or lies outside 0 to 1.
    """
    low, _, high = text.partition(":")
    try:
        first = float(exact_number(low)) if low.strip() else 0.0
        last = float(exact_number(high)) if high.strip() else (1.0 if ":" in text else first)
    except (ValueError, OverflowError) as err:
        raise ValueError(f"--x {text!r}: give a fraction such as 0.5 or 1/2, or a range such as 0.4:0.6") from err
    if not (0 <= first <= 1 and 0 <= last <= 1):
        raise ValueError(f"--x {text!r}: a fraction of filled working-ion sites lies between 0 and 1")
    if first > last:
        raise ValueError(f"--x {text!r}: the lower end comes first: {high.strip()}:{low.strip()}")
    return first - _SLACK, last + _SLACK


def _reduced(formula: str) -> str:
    from pymatgen.core import Composition  # noqa: PLC0415 - start-up

    try:
        return str(Composition(formula).reduced_formula)
    except ValueError as err:
        raise ValueError(f"formula {formula!r}: {err}; write it as NaFePO4") from err
