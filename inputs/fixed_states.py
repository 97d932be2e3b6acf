"""Oxidation states that elements keep whatever the ordering (data/fixed_states.yaml), for cells without a host."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from importlib.resources import files

from pymatgen.core import Element

from .yaml_files import parse_yaml


@cache
def shipped_fixed_states() -> dict[str, int]:
    """Element -> oxidation state, e."""
    path = files("valenceflow.inputs.data") / "fixed_states.yaml"
    return {element: int(state) for element, state in parse_yaml(path.read_text("utf-8"), "fixed_states.yaml").items()}


def parse_fixed_states(texts: Iterable[str]) -> dict[str, int]:
    """Read `Ti=4` or `S=-2`.

    Raises
    ------
    ValueError
        If a text is not of this form, or names no element.
    """
    found = {}
    for text in texts:
        element, separator, state = text.partition("=")
        element = element.strip()
        try:
            found[element] = int(state)
        except ValueError as err:
            raise ValueError(f"fixed oxidation state {text!r}: write ELEMENT=CHARGE, such as Ti=4 or S=-2") from err
        if not separator or not Element.is_valid_symbol(element):
            raise ValueError(f"fixed oxidation state {text!r}: {element!r} is no element symbol")
    return found
