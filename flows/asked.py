"""What a campaign file asked for when it was last run, kept beside the manifest, so that `status` sees a changed file.

Planning anew may take minutes; comparing the fields that decide which configurations there are takes none. Light:
imports no science stack.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

from ..inputs.fractions import exact_number
from ..inputs.yaml_files import parse_yaml

ASKED_FILE = "asked.json"
PLANNING_FIELDS = (
    "host",
    "supercell",
    "couple",
    "couples",
    "oxidation_states",
    "symprec",
    "working_ion",
    "charge",
    "protocol",
    "end_members",
)
"""Fields of the campaign file that decide which configurations there are; the others say how they are run."""

MAX_NAME = 255
"""Longer texts are no file names, and asking the file system about them is an error."""

_YAML = (".yaml", ".yml")


@dataclass(frozen=True)
class Asked:
    """What a campaign file asks for.

    Attributes
    ----------
    fields : its `PLANNING_FIELDS`, numbers in one form.
    files : file that they name, as written there -> SHA-256 of its content.
    left_out : ids of configurations in the store that it no longer asks for.
    """

    fields: dict[str, Any] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)

    def changes(self, now: Asked) -> list[str]:
        """Fields and files that differ in another reading of the campaign file; `left_out` is not compared."""
        names = [name for name in PLANNING_FIELDS if self.fields.get(name) != now.fields.get(name)]
        both = sorted({*self.files} | {*now.files})
        # A file that is new, or no longer named, shows as its field already.
        named = " ".join(str(reading.fields.get(name)) for name in names for reading in (self, now))
        return names + [name for name in both if self.files.get(name) != now.files.get(name) and name not in named]


def asked_by(text: str, path: Path, left_out: Iterable[str] = ()) -> Asked:
    """What a campaign file asks for.

    Parameters
    ----------
    text : of the file.
    path : the file; paths in it start in its folder.
    left_out : see `Asked`.

    Raises
    ------
    ValueError
        If it is not readable as YAML.
    """
    content = parse_yaml(text, str(path))
    fields = {name: _plain(content[name]) for name in PLANNING_FIELDS if name in content}
    return Asked(fields, dict(_digests(fields, path.parent)), sorted(left_out))


def read_asked(folder: Path) -> dict[str, Asked]:
    """Engine -> what was asked of it when the campaign in this folder was last run; empty where nothing is recorded."""
    try:
        content = json.loads((folder / ASKED_FILE).read_text(encoding="utf-8"))
        return {engine: Asked(**record) for engine, record in content.items()}
    except (OSError, json.JSONDecodeError, TypeError, AttributeError):
        return {}  # no run has written it yet, or it was damaged: the next run writes it anew


def record_asked(folder: Path, engine: str, asked: Asked) -> None:
    """Record what a run of one engine was asked for; those of other engines stay."""
    records = {**read_asked(folder), engine: asked}
    partial = folder / f"{ASKED_FILE}.partial"
    content = {name: asdict(record) for name, record in records.items()}
    partial.write_text(json.dumps(content, indent=1), encoding="utf-8")
    partial.replace(folder / ASKED_FILE)


def _plain(value: Any) -> Any:
    """A YAML value as JSON holds it; 0.5, "1/2" and "2/4" become one."""
    if isinstance(value, Mapping):
        return {str(name): _plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    if isinstance(value, bool) or value is None:
        return value
    try:
        return str(Fraction(exact_number(value) if isinstance(value, str) else value))
    except (ValueError, TypeError, OverflowError):
        return str(value)


def _digests(value: Any, folder: Path, seen: frozenset[Path] = frozenset()) -> Iterator[tuple[str, str]]:
    """Name and SHA-256 of every file that a value names; a YAML among them is looked through for further ones."""
    for text in _texts(value):
        path = folder / (Path(text).expanduser() if text.startswith("~/") else text)
        if "\0" in text or len(text) > MAX_NAME or path in seen or not path.is_file():
            continue
        content = path.read_bytes()
        yield text, hashlib.sha256(content).hexdigest()
        if path.suffix in _YAML:
            try:
                inner = parse_yaml(content.decode("utf-8"), text)
            except ValueError:  # UnicodeDecodeError is one; whether it can be used is for the planner to say
                continue
            yield from _digests(inner.get("extends"), path.parent, seen | {path})


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from _texts(part)
    elif isinstance(value, list):
        for part in value:
            yield from _texts(part)
