"""Working-ion fractions as people write them (1/3, 0.333, 0.5): used exactly, shown as they were written."""

from __future__ import annotations

import re
from fractions import Fraction
from reprlib import repr as shortened
from typing import Any, Self

_FORM = re.compile(r"[+-]?(\d{1,20}/\d{1,20}|(\d{1,20}\.?\d{0,20}|\.\d{1,20})(e[+-]?\d{1,3})?)", re.IGNORECASE)
"""Numbers as people write them; 1e999999999, which Fraction would take minutes to spell out, is none."""


class WrittenFraction(Fraction):
    """An exact fraction that prints as it was written: 0.3 rather than 5404319552844595/18014398509481984.

    Examples
    --------
    >>> fraction = WrittenFraction("0.3")
    >>> str(fraction), fraction == Fraction(3, 10)
    ('0.3', True)
    """

    __slots__ = ("_written",)
    _written: str

    def __new__(cls, written: str) -> Self:
        """Read a decimal or a quotient of whole numbers."""
        fraction = super().__new__(cls, written)
        fraction._written = written
        return fraction

    def __str__(self) -> str:
        return self._written

    def __reduce__(self) -> tuple[type[Self], tuple[str]]:
        return type(self), (self._written,)

    def __copy__(self) -> Self:
        return self  # it cannot change; Fraction's own copy knows nothing of what was written

    def __deepcopy__(self, memo: Any) -> Self:
        return self


def exact_number(text: str) -> WrittenFraction:
    """A number as people write it, exactly: 0.5, 1e-3, 2/3, 2 / 3.

    Raises
    ------
    ValueError
        If it is none.
    """
    compact = text.replace(" ", "")
    if _FORM.fullmatch(compact) is None:
        raise ValueError(f"{shortened(text)} is no number such as 0.5 or 2/3")
    try:
        return WrittenFraction(compact)
    except ZeroDivisionError as err:
        raise ValueError(f"{text} divides by zero") from err


def read_fraction(value: Any) -> Fraction:
    """A fraction from a YAML value: a number, or text such as 2/3.

    Raises
    ------
    ValueError
        If it is no such number or lies outside 0..1.
    """
    misfit = f"a fraction is a number such as 0.5 or 2/3, got {shortened(value)}"
    if isinstance(value, bool) or not isinstance(value, int | float | str | Fraction):
        raise ValueError(misfit)
    try:
        # A float is what its shortest text says: 0.3 was written, not the binary number next to it.
        fraction = exact_number(str(value))
    except ValueError as err:
        raise ValueError(misfit) from err
    if not 0 <= fraction <= 1:
        raise ValueError(f"fraction {fraction} must lie in 0..1")
    return fraction
