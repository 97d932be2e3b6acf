"""Cards of exported data sets, as the report shows them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...stores.export.data_set import CARD, MANIFEST
from ...stores.relations import rehearsal_note
from .remedies import Note


@dataclass(frozen=True)
class DataSetCard:
    """An exported data set: its title, engine, the text of its card (Markdown) and the SHA-256 of its manifest."""

    title: str
    engine: str
    card: str
    checksum: str

    @property
    def warning(self) -> str:
        """A rehearsal's warning; empty for real numbers."""
        return rehearsal_note(self.engine)


def read_card(folder: Path) -> DataSetCard:
    """The card of a set that `valenceflow export` made.

    Raises
    ------
    ValueError
        If the folder is none.
    """
    try:
        content = (folder / MANIFEST).read_bytes()
        manifest, card = json.loads(content), (folder / CARD).read_text(encoding="utf-8")
        return DataSetCard(str(manifest["title"]), str(manifest["engine"]), card, hashlib.sha256(content).hexdigest())
    except (OSError, ValueError, KeyError, TypeError) as err:
        raise ValueError(
            f"{folder}: no data set ({type(err).__name__}: {err}); name a folder that `valenceflow export` made"
        ) from err


def notes_of_cards(cards: Sequence[DataSetCard], checksums: Sequence[str]) -> Iterator[Note]:
    """Sets that the models beside them were not scored on.

    Parameters
    ----------
    cards : shown.
    checksums : of the sets that models were scored on; empty where no models are shown.
    """
    for card in cards:
        if checksums and card.checksum not in checksums:
            yield Note(
                f"the models were not scored on the data set {card.title} ({card.checksum[:12]})",
                "give --dataset the folder that they were evaluated on",
            )
