"""Reading YAML so that an error names the file and the line, and pydantic's findings fit on one line."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError


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


def _number(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> int | float | str:
    """A number; 12:00:00, which YAML 1.1 counts in sixties (43200), stays text as in YAML 1.2."""
    if ":" in node.value:
        return str(node.value)
    return loader.construct_yaml_int(node) if node.tag.endswith(":int") else loader.construct_yaml_float(node)


_UniqueKeyLoader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping_without_duplicates)
for _tag in ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float"):
    _UniqueKeyLoader.add_constructor(_tag, _number)


def yaml_text(path: Path) -> str:
    """Text of a YAML file, which YAML wants in UTF-8.

    Raises
    ------
    FileNotFoundError
        If there is none.
    ValueError
        One line, if it cannot be read or is in another encoding.
    """
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise
    except OSError as err:
        raise ValueError(f"{path}: not readable: {err.strerror}") from err
    except UnicodeDecodeError as err:
        wrong = f"byte 0x{err.object[err.start]:02x} at position {err.start} is not UTF-8"
        raise ValueError(f"{path}: not readable: {wrong}; save the file as UTF-8") from err


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
    except RecursionError as err:
        raise ValueError(f"{origin}: not readable as YAML: too many brackets within each other") from err
    except (ValueError, TypeError, LookupError, AttributeError) as err:
        # PyYAML lets these through where a value contradicts its tag: a date such as 2026-02-30, `!!bool x`.
        raise ValueError(f"{origin}: not readable as YAML: {err}") from err
    if not isinstance(content, dict):
        found = "an empty file" if content is None else type(content).__name__
        is_cif = text.lstrip().startswith(("data_", "#\\#CIF")) or origin.lower().endswith(".cif")
        hint = f"; this looks like a CIF: `valenceflow init --host {origin}` makes a campaign of it" if is_cif else ""
        raise ValueError(f"{origin}: expected `field: value` lines at the top level, got {found}{hint}")
    return content


def _short(value: Any) -> str:
    """What was given, by its beginning where it is long."""
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:197]}..."


def first_problem(error: ValidationError, model: type[BaseModel] | None = None) -> str:
    """The finding that explains most, as one line: where, what, and the value given.

    Unknown fields come first, all of them: a slip in a name makes a required field look missing. Where a field may be
    of several kinds, pydantic has a finding for each: the one that reaches deepest is told.

    Parameters
    ----------
    error : pydantic's.
    model : what was validated, for the nearest right name of an unknown field.
    """
    findings = error.errors()
    unknown = [one["loc"] for one in findings if one["type"] == "extra_forbidden"]
    if unknown:
        return "; ".join(_unknown_field(loc, model) for loc in unknown)
    first = max((one for one in findings if one["loc"][:1] == findings[0]["loc"][:1]), key=lambda one: len(one["loc"]))
    where = ".".join(named_parts(first["loc"]))
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "model_type" and model is not None:
        return f"{where}: {_fields_wanted(first['input'], model_at(model, where.split('.')))}"
    value = "" if first["type"] in ("missing", "value_error") else f" (got {_short(first['input'])})"
    return f"{where}: {message}{value}" if where else f"{message}{value}"


def _fields_wanted(given: object, model: type[BaseModel]) -> str:
    """What to write where a value stands and fields belong."""
    return f"fields belong here, got {given!r}; {right_name(str(given), tuple(model.model_fields))}"


def named_parts(loc: tuple[int | str, ...]) -> list[str]:
    """A finding's location as names in the file: a part such as dict[str,LabelWindow] names the kind tried instead."""
    return [str(part) for part in loc if "[" not in str(part)]


def _unknown_field(loc: tuple[int | str, ...], model: type[BaseModel] | None) -> str:
    *outer, field = named_parts(loc)
    said = f"unknown field {'.'.join((*outer, field))!r}"
    if model is None:
        return said
    holder = model_at(model, outer)
    a_slip = get_close_matches(field.lower(), holder.model_fields, n=1, cutoff=0.85)
    if not a_slip and (home := _home_of(field, holder)) is not None:
        return f"{said}: it goes under `{'.'.join((*outer, home))}`"
    return f"{said}; {right_name(field, tuple(holder.model_fields))}"


def right_name(field: str, known: tuple[str, ...]) -> str:
    """The nearest known name as a question, or else all of them."""
    # With this cutoff `colour` is not taken for `couple`.
    near = get_close_matches(field.lower(), known, n=1, cutoff=0.7)
    return f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"


def model_at(model: type[BaseModel], outer: Sequence[str]) -> type[BaseModel]:
    """The model that holds the fields at a place in a file, through lists, mappings and optional fields."""
    kinds: list[Any] = [model]
    for part in outer:
        inner = [kind for one in _models_in(kinds) if part in one.model_fields for kind in [_annotation(one, part)]]
        # No field of that name: the part is a key or an index of what was reached already.
        kinds = inner or kinds
    return _models_in(kinds)[0]


def _annotation(model: type[BaseModel], field: str) -> Any:
    return model.model_fields[field].annotation


def _models_in(kinds: Sequence[Any]) -> list[type[BaseModel]]:
    """Models among annotations and what they are made of: dict[str, Model], tuple[Model, ...], Model | None."""
    found = []
    for kind in kinds:
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            found.append(kind)
        found += _models_in(get_args(kind))
    return found


def _home_of(field: str, model: type[BaseModel]) -> str | None:
    """The field of a model under which another one belongs, where there is exactly one."""
    homes = [
        name
        for name in model.model_fields
        if any(field in inner.model_fields for inner in _models_in([_annotation(model, name)]))
    ]
    return homes[0] if len(homes) == 1 else None
