"""Reading YAML so that an error names the file and the line, and pydantic's findings fit on one line."""

from __future__ import annotations

from typing import Any

import yaml
from pydantic import ValidationError


class _UniqueKeyLoader(yaml.SafeLoader):
    """Safe loader that refuses a key given twice: the second would silently win."""


def _mapping_without_duplicates(loader: yaml.SafeLoader, node: yaml.MappingNode) -> dict[Any, Any]:
    seen = set()
    for key_node, _ in node.value:
        if not isinstance(key_node, yaml.ScalarNode):
            raise yaml.constructor.ConstructorError(None, None, "a key must be a plain word", key_node.start_mark)
        if key_node.value in seen:
            problem = f"{key_node.value!r} is given twice"
            raise yaml.constructor.ConstructorError(None, None, problem, key_node.start_mark)
        seen.add(key_node.value)
    return loader.construct_mapping(node, deep=True)


_UniqueKeyLoader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping_without_duplicates)


def parse_yaml(text: str, origin: str) -> dict[str, Any]:
    """Parse YAML text whose top level is a mapping.

    Parameters
    ----------
    text : the file's text.
    origin : the file's name, for errors.

    Raises
    ------
    ValueError
        One line with file, line and problem.
    """
    try:
        # _UniqueKeyLoader derives from SafeLoader: no code runs from data.
        content = yaml.load(text, Loader=_UniqueKeyLoader)  # noqa: S506
    except yaml.YAMLError as err:
        mark = getattr(err, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark is not None else ""
        problem = getattr(err, "problem", None) or str(err).splitlines()[0]
        raise ValueError(f"{origin}{line}: not readable as YAML: {problem}") from err
    except (ValueError, TypeError, LookupError, AttributeError) as err:
        # PyYAML lets these through where a value contradicts its tag: a date such as 2026-02-30, `!!bool x`.
        raise ValueError(f"{origin}: not readable as YAML: {err}") from err
    if not isinstance(content, dict):
        found = "an empty file" if content is None else type(content).__name__
        raise ValueError(f"{origin}: expected `field: value` lines at the top level, got {found}")
    return content


def first_problem(error: ValidationError) -> str:
    """Pydantic's first finding as one line: where, what, and the value given.

    Where a field may be of several kinds, pydantic has a finding for each: the one that reaches deepest is told.
    """
    findings = error.errors()
    first = max((one for one in findings if one["loc"][:1] == findings[0]["loc"][:1]), key=lambda one: len(one["loc"]))
    # A part such as dict[str,LabelWindow] names the kind tried, not a field of the file.
    where = ".".join(str(part) for part in first["loc"] if "[" not in str(part))
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        return f"unknown field {where!r}"
    value = "" if first["type"] in ("missing", "value_error") else f" (got {first['input']!r})"
    return f"{where}: {message}{value}" if where else f"{message}{value}"
