"""Pictures that `valenceflow figures` and `evaluate` drew, as the report holds them: within the file."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.parsers import expat

from ...stores.relations import rehearsal_note
from .remedies import Note

_KINDS = {".svg": "image/svg+xml", ".png": "image/png"}
_PNG = (b"\x89PNG", b"IEND\xaeB`\x82")
"""What begins one and what ends it."""


@dataclass(frozen=True)
class Picture:
    """A picture with its name, title and source (engine and protocol) as its numbers say them."""

    name: str
    title: str
    source: str
    uri: str

    @property
    def warning(self) -> str:
        """A rehearsal's warning; empty for real numbers."""
        return rehearsal_note(self.source)


def data_uri(path: Path) -> str:
    """A picture as text that a page can hold; empty where there is no such file.

    Raises
    ------
    ValueError
        If it is not whole.
    """
    if not path.is_file():
        return ""
    _refuse_a_part(path)
    return f"data:{_KINDS[path.suffix]};base64,{base64.b64encode(path.read_bytes()).decode()}"


def read_pictures(folder: Path) -> list[Picture]:
    """Pictures in the folder of `valenceflow figures`, by name.

    Raises
    ------
    ValueError
        If it has none that a page can hold, or one of them is not whole.
    """
    found = list(_pictures(folder))
    if not found:
        raise ValueError(
            f"{folder}: no figures as PNG or SVG in it; `valenceflow figures ... --to {folder} --format svg` draws them"
        )
    return found


def _pictures(folder: Path) -> Iterator[Picture]:
    for path in sorted(folder.glob("*.json")):
        drawn = next((path.with_suffix(kind) for kind in _KINDS if path.with_suffix(kind).is_file()), None)
        if drawn is not None:
            about = _about(path)
            yield Picture(path.stem, about.get("title", path.stem), about.get("source", ""), data_uri(drawn))


def _refuse_a_part(path: Path) -> None:
    """Refuse a picture that was cut short: a browser would show half of it, or a sign."""
    content = path.read_bytes()
    if not (_is_xml(content) if path.suffix == ".svg" else content.startswith(_PNG[0]) and content.endswith(_PNG[1])):
        raise ValueError(
            f"{path}: no whole {path.suffix[1:].upper()} ({len(content)} bytes); draw the figures again, or remove it"
        )


def _is_xml(content: bytes) -> bool:
    try:
        expat.ParserCreate().Parse(content, True)
    except expat.ExpatError:
        return False
    return True


def _about(path: Path) -> dict[str, str]:
    try:
        content = json.loads(path.read_bytes())
        return {name: str(content[name]) for name in ("title", "source") if name in content}
    except (ValueError, TypeError) as err:
        raise ValueError(f"{path}: not readable ({err}); draw the figures again") from err


def notes_of_pictures(folder: Path) -> Iterator[Note]:
    """Figures that were drawn in a form that a page cannot hold.

    Parameters
    ----------
    folder : of `valenceflow figures`.
    """
    names = [path.stem for path in sorted(folder.glob("*.pdf")) if not data_uri(path.with_suffix(".png"))]
    lacking = [name for name in names if not data_uri((folder / name).with_suffix(".svg"))]
    if lacking:
        yield Note(f"{', '.join(lacking)} in {folder}: PDF, which a page cannot hold", "draw them with --format svg")
