"""A search as it is asked for, by names and numbers: what `valenceflow search run` reads, keeps and compares.

Light: potentials are opened elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from importlib.util import find_spec
from typing import Any, Literal, get_args

from .descent import DescentSettings, descent_search
from .hybrid import HybridSettings, hybrid_search
from .loop import Searcher
from .nested import NestedSettings, nested_search
from .pool import Progress
from .space import SearchSpace

SearcherName = Literal["hybrid", "paper-2026", "descent"]
Orderings = Literal["ions", "charges", "both"]

_CHANGEABLE = ("patience", "generations")
"""Settings that say when to stop: another value goes on with the same search."""


LARGEST = 2**32
"""What seeds have to be below, and no other number of a search comes near to."""


@dataclass(frozen=True)
class SearcherChoice:
    """A searcher with its settings.

    Attributes
    ----------
    name : `hybrid` (default), `paper-2026` (the paper's genetic algorithm), or `descent`.
    options : settings that differ from the searcher's defaults.
    nested : charges are refined under the potential after a hybrid search over ions.

    Raises
    ------
    ValueError
        If the name or an option is unknown.
    """

    name: SearcherName = "hybrid"
    options: Mapping[str, Any] = field(default_factory=dict)
    nested: bool = False

    def __post_init__(self) -> None:
        """Check name and options."""
        if self.name not in get_args(SearcherName):
            raise ValueError(f"searcher {self.name!r} is unknown; choose one of {', '.join(get_args(SearcherName))}")
        if self.nested and self.name != "hybrid":
            raise ValueError(f"charges are nested in a hybrid search; {self.name} searches both at once")
        known = asdict(self._settings_type()())
        for option, value in self.options.items():
            if option not in known:
                raise ValueError(f"{self.name} has no setting {option!r}; it has {', '.join(sorted(known))}")
            if isinstance(known[option], int) and not isinstance(value, int):
                raise ValueError(f"{option} = {value} must be a whole number")
            if not 0 <= value < LARGEST:
                raise ValueError(f"{option} = {value} must be at least 0 and less than {LARGEST:,}")

    def _settings_type(self) -> type[Any]:
        if self.name == "paper-2026":
            if find_spec("ase_ga") is None:
                raise ValueError("the searcher paper-2026 needs ase-ga: pip install 'valenceflow[search]'")
            from .genetic import GeneticSettings  # noqa: PLC0415 - an optional extra

            return GeneticSettings
        return HybridSettings if self.name == "hybrid" else DescentSettings

    @property
    def settings(self) -> Any:
        """Settings of the searcher."""
        return self._settings_type()(**self.options)

    def searcher(self, space: SearchSpace, progress: Progress | None = None) -> Searcher:
        """Start the searcher; errors as in its own function."""
        if self.name == "paper-2026":
            from .genetic import genetic_search  # noqa: PLC0415 - an optional extra

            return genetic_search(space, self.settings)
        if self.name == "descent":
            return descent_search(space, self.settings)
        if self.nested:
            return nested_search(space, self.settings, NestedSettings(), progress)
        return hybrid_search(space, self.settings, progress)

    def plain(self) -> dict[str, Any]:
        """What decides the course of the search, in plain values."""
        settings = {name: value for name, value in asdict(self.settings).items() if name not in _CHANGEABLE}
        return {"searcher": self.name, **settings, **({"nested": asdict(NestedSettings())} if self.nested else {})}


def plain_space(space: SearchSpace) -> dict[str, Any]:
    """What is searched, in plain values."""
    return {
        "host": space.cell.host.name,
        "host_content": space.cell.host.content_hash,
        "supercell": [list(row) for row in space.cell.matrix],
        "couple": space.couple.name,
        "orderings": space.kind,
        "charges": space.charges,
        "working_ions": list(space.compositions),
        "at": None if space.at is None else str(space.group.key(space.at, None)),
    }
