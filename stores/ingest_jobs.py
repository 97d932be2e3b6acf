"""TaskDocs of another JobStore as things to ingest, one job at a time."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .connect import stores_from_yaml
from .ingest_tasks import TaskSource, task_in
from .ingest_work import Item

_WANTED = {"output.calcs_reversed": {"$exists": True}}


class JobStoreItems:
    """One item per job of a JobStore whose output is a TaskDoc; documents are read as they are needed.

    Parameters
    ----------
    path : YAML with a JOB_STORE; documents in its additional store `data` are followed.
    """

    def __init__(self, path: Path) -> None:
        self._stores = stores_from_yaml(path)
        self._folder = path.parent

    def __len__(self) -> int:
        """Number of jobs."""
        return int(self._stores.docs().count(_WANTED))

    def __iter__(self) -> Iterator[Item]:
        """The items, by uuid."""
        docs, data = self._stores.docs(), self._stores.data()
        for envelope in docs.query(_WANTED, properties=["uuid", "index", "output"], sort={"uuid": 1}):
            task = task_in(_followed(envelope["output"], data))
            if task is None:
                continue
            text = json.dumps([envelope["uuid"], envelope["index"], str(task.get("last_updated"))])
            place = f"{self._stores.place}:{envelope['uuid']}-{envelope['index']}"
            source = TaskSource(task, hashlib.sha256(text.encode()).hexdigest())
            yield Item("task documents", Path(place), self._folder, task=source)
        self._stores.close()


def _followed(value: Any, data: Any, depth: int = 4) -> Any:
    """A document with the blobs that its upper levels point to."""
    if depth == 0:
        return value
    if isinstance(value, dict):
        if "blob_uuid" in value:
            blob = data.query_one({"blob_uuid": value["blob_uuid"]})
            return None if blob is None else blob.get("data")
        return {name: _followed(part, data, depth - 1) for name, part in value.items()}
    return [_followed(part, data, depth - 1) for part in value] if isinstance(value, list) else value
