"""What all collections of documents can do: ours in SQLite files and maggma's stores of any kind."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol


class Collection(Protocol):
    """Documents under a name, asked in MongoDB's language.

    `sqlite_collection.SQLiteCollection` is one, and so is every store of maggma.
    """

    key: str
    last_updated_field: str

    @property
    def name(self) -> str:
        """Where it is, for messages."""
        ...

    def connect(self) -> None:
        """Open it."""
        ...

    def close(self) -> None:
        """Close it."""
        ...

    def count(self, criteria: dict[str, Any] | None = None) -> int:
        """Count the documents that match a filter."""
        ...

    def query(
        self,
        criteria: dict[str, Any] | None = None,
        properties: dict[str, Any] | list[str] | None = None,
        sort: dict[str, Any] | None = None,
        skip: int = 0,
        limit: int = 0,
    ) -> Iterator[dict[str, Any]]:
        """Documents that match a filter: all fields or the given ones, sorted by fields to 1 or -1."""
        ...

    def query_one(
        self,
        criteria: dict[str, Any] | None = None,
        properties: dict[str, Any] | list[str] | None = None,
        sort: dict[str, Any] | None = None,
    ) -> dict[str, Any] | None:
        """The first of them, None where there is none."""
        ...

    def distinct(self, field: str, criteria: dict[str, Any] | None = None) -> list[Any]:
        """Distinct values of a field."""
        ...

    def update(self, docs: list[dict[str, Any]] | dict[str, Any], key: list[str] | str | None = None) -> None:
        """Insert documents, each in place of the one with the same key."""
        ...

    def remove_docs(self, criteria: dict[str, Any]) -> None:
        """Remove the documents that match a filter."""
        ...

    def ensure_index(self, key: str, unique: bool = False) -> bool:
        """Index a field; whether it is indexed now."""
        ...
