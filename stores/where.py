"""Conditions as people write them, made into MongoDB filters by a small grammar of our own; nothing is ever evaluated.

energy_above_hull < 0.02 and not relation in (moved, ambiguous)
fraction between 1/4 and 0.6 or host = 'olivine-NaFePO4'
label.confidence is null

condition  = alternative { "or" alternative }
alternative = part { "and" part }
part       = "not" part | "(" condition ")" | comparison
comparison = field ( = | == | != | < | <= | > | >= ) value
           | field "between" value "and" value | field ["not"] "in" "(" value { "," value } ")"
           | field "is" ["not"] "null"
value      = number | fraction | word | 'text' | "text" | true | false | null
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from ..inputs.fractions import exact_number

_TOKEN = re.compile(
    r"""\s*(?:
    (?P<number>[-+]?(?:\d+/\d+|(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)(?![\w.+/-]))
    |(?P<text>'[^']*'|"[^"]*")
    |(?P<sign><=|>=|==|!=|<|>|=|\(|\)|,)
    |(?P<word>[^\s<>=!(),'"]+)
    )""",
    re.VERBOSE,
)
_SIGNS = {"=": "$eq", "==": "$eq", "!=": "$ne", "<": "$lt", "<=": "$lte", ">": "$gt", ">=": "$gte"}
_WORDS = {"true": True, "false": False, "null": None, "none": None}
_DEEPEST = 50
_LONGEST = 10_000

Token = tuple[str, str, int]


def where(text: str, known: Callable[[str], str] = lambda field: field) -> dict[str, Any]:
    """Read a condition.

    Parameters
    ----------
    text : the condition.
    known : returns the name of a field in the documents, or raises for one that is not there.

    Returns
    -------
    MongoDB filter.

    Raises
    ------
    ValueError
        If the text is no condition: what was expected, and where.
    """
    if len(text) > _LONGEST:
        raise ValueError(
            f"the condition has {len(text)} letters; {_LONGEST} are the most: give a file's filter instead"
        )
    return _Reader(text, known).condition_to_the_end()


class _Reader:
    """Recursive descent over the tokens."""

    def __init__(self, text: str, known: Callable[[str], str]) -> None:
        self._text, self._known = text, known
        self._tokens = list(self._read())
        self._place = self._depth = 0

    def _read(self) -> list[Token]:
        tokens, place = [], 0
        text = self._text.rstrip()
        while place < len(text):
            found = _TOKEN.match(text, place)
            if found is None:
                raise self._error(f"{text[place]!r} cannot be read", place)
            kind = found.lastgroup
            assert kind is not None
            tokens.append((kind, found[kind], found.start(kind)))
            place = found.end()
        return tokens

    def condition_to_the_end(self) -> dict[str, Any]:
        found = self._condition()
        if self._place < len(self._tokens):
            raise self._expected("`and`, `or` or the end")
        return found

    def _condition(self) -> dict[str, Any]:
        return self._joined("or", "$or", lambda: self._joined("and", "$and", self._part))

    def _joined(self, word: str, operator: str, part: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        parts = [part()]
        while self._took(word):
            parts.append(part())
        return parts[0] if len(parts) == 1 else {operator: parts}

    def _part(self) -> dict[str, Any]:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise self._expected(f"at most {_DEEPEST} parts within each other")
        if self._took("not"):
            found = {"$nor": [self._part()]}
        elif self._took("("):
            found = self._condition()
            self._take(")")
        else:
            found = self._comparison()
        self._depth -= 1
        return found

    def _comparison(self) -> dict[str, Any]:
        kind, name, _ = self._peek()
        if kind != "word":
            raise self._expected("a field")
        self._place += 1
        field = self._known(name)
        if self._took("is"):
            denied = self._took("not")
            self._take("null")
            # A field within a null is missing to MongoDB, but not to mongomock where only `$ne` is asked.
            present = {field: {"$exists": True, "$ne": None}}
            return present if denied else {"$nor": [present]}
        if self._took("between"):
            low = self._value()
            self._take("and")
            return {field: {"$gte": low, "$lte": self._value()}}
        denied = self._took("not")
        if self._took("in"):
            return {field: {"$nin" if denied else "$in": self._list()}}
        sign = self._peek()[1]
        if denied or sign not in _SIGNS:
            raise self._expected("`in`" if denied else f"one of {' '.join(_SIGNS)} in between is, after {name}")
        self._place += 1
        return {field: {_SIGNS[sign]: self._value()}}

    def _list(self) -> list[Any]:
        self._take("(")
        values = [self._value()]
        while self._took(","):
            values.append(self._value())
        self._take(")")
        return values

    def _value(self) -> Any:
        kind, text, place = self._peek()
        self._place += 1
        if kind == "number":
            try:
                return int(text) if re.fullmatch(r"[-+]?\d+", text) else float(exact_number(text))
            except ValueError as err:
                raise self._error(str(err), place) from None
        if kind == "text":
            return text[1:-1]
        if kind == "word":
            return _WORDS.get(text.lower(), text)
        self._place -= 1
        raise self._expected("a value")

    def _peek(self) -> Token:
        return self._tokens[self._place] if self._place < len(self._tokens) else ("end", "", len(self._text))

    def _took(self, word: str) -> bool:
        kind, text, _ = self._peek()
        hit = kind in ("word", "sign") and text.lower() == word
        self._place += hit
        return hit

    def _take(self, word: str) -> None:
        if not self._took(word):
            raise self._expected(f"`{word}`")

    def _expected(self, what: str) -> ValueError:
        kind, text, place = self._peek()
        found = "the end" if kind == "end" else repr(text)
        return self._error(f"expected {what}, found {found}", place)

    def _error(self, problem: str, place: int) -> ValueError:
        return ValueError(f"condition {self._text!r}: {problem} at letter {place + 1}")
