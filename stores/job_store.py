"""Jobflow's JobStore with one order changed: what lies in additional stores is written before the document that points
to it, so that a process killed between the two leaves an unused blob and never a finished job without its frames.
"""

from __future__ import annotations

from typing import Any, cast

from jobflow import JobStore
from maggma.core import Store


class _Held:
    """Takes the place of docs_store while JobStore writes, and keeps what it was to write."""

    def __init__(self) -> None:
        self.documents: list[dict[str, Any]] = []
        self.key: Any = None

    def update(self, docs: list[dict[str, Any]], key: Any = None) -> None:
        self.documents, self.key = docs, key


class BlobsFirstJobStore(JobStore):
    """A JobStore that writes blobs first; one thread at a time."""

    def update(self, docs: Any, key: Any = None, save: Any = None) -> None:
        """Write documents as JobStore does, those of docs_store last."""
        docs_store: Store = self.docs_store
        held = _Held()
        self.docs_store = cast(Store, held)
        try:
            super().update(docs, key=key, save=save)
        finally:
            self.docs_store = docs_store
        docs_store.update(held.documents, key=held.key)
