"""Protocol files: the presets that ship, users' own YAML with `extends`, and errors that say the way out.

The model they fill is in `protocol`.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from .incar_tags import LAUNCH_TAGS, TAGS_OF_OTHER_FIELDS
from .yaml_files import first_problem, model_at, named_parts, parse_yaml, right_name, yaml_text

_PRESETS = files("valenceflow.inputs.data.protocols")
_SUFFIXES = (".yaml", ".yml")


def preset_names() -> tuple[str, ...]:
    """Names of the protocol files that ship with the package."""
    entries = (entry.name for entry in _PRESETS.iterdir())
    return tuple(sorted(name.removesuffix(".yaml") for name in entries if name.endswith(".yaml")))


def merged_fields(name_or_path: str, folder: Path = Path(), visited: tuple[str, ...] = ()) -> dict[str, Any]:
    """Read the fields of a protocol, with those that it extends underneath.

    Parameters
    ----------
    name_or_path : a preset's name, or a path.
    folder : where a relative path starts.
    visited : files that led here by `extends`.

    Raises
    ------
    ValueError
        For an unknown name, an unreadable file, or `extends` that goes round in a circle.
    """
    text, origin, folder = _read(name_or_path, folder)
    if origin in visited:
        raise ValueError(f"{origin}: `extends` goes round in a circle: {' -> '.join((*visited, origin))}")
    own = parse_yaml(text, origin)
    parent = own.pop("extends", None)
    # A name says whose values these are, so neither it nor what is said of them is inherited.
    own = {"name": Path(origin).stem, "title": "", **own}
    if parent is None:
        return own
    if not isinstance(parent, str):
        raise ValueError(f"{origin}: extends: {parent!r} must be a preset's name or a path")
    own.setdefault("source", f"{parent}, changed in {Path(origin).name}")
    return _laid_on(own, merged_fields(parent, folder, (*visited, origin)))


def _read(name: str, folder: Path) -> tuple[str, str, Path]:
    """Text, full name and folder of a preset or a file."""
    if name in preset_names():
        return (_PRESETS / f"{name}.yaml").read_text(encoding="utf-8"), name, folder
    path = (folder / Path(name).expanduser()).resolve()
    if not path.is_file():
        kind = "no such protocol file" if path.suffix in _SUFFIXES else "unknown protocol"
        raise ValueError(
            f"{kind} {name!r}; known: {', '.join(preset_names())}, "
            "or give the path of a .yaml file with `extends: paper-2026`"
        )
    return yaml_text(path), str(path), path.parent


def _laid_on(upper: dict[str, Any], lower: dict[str, Any]) -> dict[str, Any]:
    merged = dict(lower)
    for key, value in upper.items():
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, dict) and isinstance(merged.get(key), dict):
            merged[key] = _laid_on(value, merged[key])
        else:
            merged[key] = value
    return merged


def explain_misfit(error: ValidationError, model: type[BaseModel]) -> str:
    """One line on why the fields do not fit the model; an unknown field is told where it belongs."""
    unknown = [named_parts(finding["loc"]) for finding in error.errors() if finding["type"] == "extra_forbidden"]
    if not unknown:
        return first_problem(error)
    *outer, field = unknown[0]
    known = tuple(model_at(model, outer).model_fields)
    return f"unknown field {'.'.join((*outer, field))!r}; {_remedy(field, known)}"


def _remedy(field: str, known: tuple[str, ...]) -> str:
    tag = field.upper()
    if tag in TAGS_OF_OTHER_FIELDS:
        return f"{tag} is written from `{TAGS_OF_OTHER_FIELDS[tag]}`"
    if tag in LAUNCH_TAGS:
        return f"{tag} changes no energy; give it per launch (user_incar_settings)"
    from pymatgen.io.vasp.inputs import Incar  # noqa: PLC0415 - many import protocols, few check tags

    if tag in Incar.INCAR_PARAMS:
        return "an INCAR tag goes under `incar`"
    return right_name(field, known)
