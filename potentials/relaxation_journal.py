"""A journal of relaxations: a folder with one JSON document each, and where one stands that is under way.

Documents are named by what was done (structure, labels, model, settings). Whoever asks for the same again gets them.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from ase import Atoms
from pydantic import ValidationError

from .relax import Started
from .relaxation import Relaxation, structure_fields


class Journal:
    """A folder of relaxations.

    Parameters
    ----------
    folder : made with the first document.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def find(self, relaxation_id: str) -> Relaxation | None:
        """A finished relaxation; one that failed is not finished and is done again.

        Raises
        ------
        ValueError
            If its document is damaged; it says which file to remove.
        """
        path = self.folder / f"{relaxation_id}.json"
        if not path.is_file():
            return None
        try:
            found = Relaxation.model_validate_json(path.read_text(encoding="utf-8"))
        except ValidationError as err:
            raise ValueError(f"{path}: is damaged ({err.error_count()} fields); remove it and run again") from err
        return None if found.state == "failed" else found

    def keep(self, relaxation: Relaxation) -> None:
        """Write a result, whole or not at all, and drop its checkpoint."""
        _write_whole(self.folder / f"{relaxation.relaxation_id}.json", relaxation.model_dump_json(indent=1))
        self._checkpoint(relaxation.relaxation_id).unlink(missing_ok=True)

    def checkpoint(self, relaxation_id: str, stands: Started) -> None:
        """Note where a relaxation stands."""
        about = {"n_steps": stands.n_steps, "optimiser": stands.optimiser}
        content = json.dumps({**about, **structure_fields(stands.atoms)})
        _write_whole(self._checkpoint(relaxation_id), content)

    def started(self, relaxation_id: str, start: Atoms) -> Started | None:
        """Where a relaxation was cut off."""
        path = self._checkpoint(relaxation_id)
        if not path.is_file():
            return None
        content = json.loads(path.read_text(encoding="utf-8"))
        here = start.copy()
        here.set_cell(content["cell"])
        here.set_positions(content["positions"])
        return Started(here, int(content["n_steps"]), content.get("optimiser", ""))

    def _checkpoint(self, relaxation_id: str) -> Path:
        return self.folder / f"{relaxation_id}.under-way.json"


def _write_whole(path: Path, text: str) -> None:
    # Not inputs.whole_files: two runs on one journal may write the same record, each under a name of its own.
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)
