"""Run folders that this program made: their step document knows the intent, the audit and the surrogate step.

Such a folder is read from its document, not as a folder of VASP's; its runs have the ids that `build` gives them.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import orjson

from .campaign_runs import CampaignRun
from .documents import FrameSeries
from .frames import RunDoc
from .ingest_files import checksum, open_bytes, plain_file
from .ingest_options import IngestOptions
from .ingest_reasons import FrameReason, PassOver
from .ingest_run import Sink, parts_of

STEP_FILE = "valenceflow-step.json.gz"
START_FILE = "valenceflow-start.json"


@dataclass(frozen=True)
class StepFolder:
    """A run folder with a step document."""

    path: Path
    root: Path

    @cached_property
    def checksum(self) -> str:
        """SHA-256 of the step document."""
        return checksum([plain_file(self.path / STEP_FILE, self.root)])

    def take(self, options: IngestOptions, place: str, group: str | None, sink: Sink) -> RunDoc:
        """Read it; its documents go into `sink`. Parameters as in `ingest_vasp.take_vasp_run`.

        Raises
        ------
        PassOver
            If the run failed, or its document is damaged.
        """
        step = self._document()
        frames = step.get("frames")
        if step.get("document") != "VaspStepDoc" or not isinstance(frames, Mapping):
            raise PassOver("failed run", str(step.get("message") or "it left no frame"))
        run = CampaignRun(
            step={**step, "uuid": step["uuid"] or f"step-{self.checksum[:24]}"},
            series=FrameSeries.model_validate(frames),
            index=self._index(),
            oxidation_states=options.fixed,
        )
        left_out: Counter[FrameReason] = Counter()
        taken = 0
        for part in parts_of(run.facts(), run.frames(), left_out):
            taken += len(part.frames)
            sink(part)
        if not taken:
            raise PassOver("no complete ionic step", "no frame of it can be taken")
        document = run.document(self.checksum)
        document.place, document.n_frames, document.options_hash = place, taken, options.hash
        document.left_out = {str(reason): count for reason, count in left_out.items()}
        return document

    def _document(self) -> dict[str, Any]:
        try:
            with open_bytes(plain_file(self.path / STEP_FILE, self.root)) as handle:
                content = orjson.loads(handle.read())
        except (EOFError, gzip.BadGzipFile, zlib.error, orjson.JSONDecodeError) as err:
            raise PassOver("not JSON", f"{STEP_FILE} is damaged: {err}") from err
        if not isinstance(content, dict):
            raise PassOver("not JSON", f"{STEP_FILE} holds no document")
        return content

    def _index(self) -> int:
        """Jobflow's index of the run: continuations of a step share its uuid."""
        try:
            with open_bytes(plain_file(self.path / START_FILE, self.root)) as handle:
                index = json.loads(handle.read()).get("index")
        except (OSError, ValueError, AttributeError, PassOver):
            return 1
        return index if isinstance(index, int) else 1
