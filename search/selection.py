"""Which of the orderings that a search found go to DFT: lowest, highest, extras, different ones, disputed ones.

The paper takes the three lowest and the three highest of each composition, and seven more at x = 2/3 (section 2.3).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ..inputs.orderings.energies import Floats
from ..inputs.orderings.group import JointKey, OrderingGroup
from .correlations import Correlations, masks_of
from .results import FoundOrdering


@dataclass(frozen=True)
class SelectionSettings:
    """How many of what, per composition.

    Attributes
    ----------
    lowest, highest : by energy.
    extras : composition (number of working ions) -> further lowest ones there.
    diverse : each as different as can be, in its pair correlations, from all taken before it.
    disputed : those on whose energies an ensemble of potentials disagrees most.
    """

    lowest: int = 3
    highest: int = 3
    extras: Mapping[int, int] = field(default_factory=dict)
    diverse: int = 0
    disputed: int = 0

    def __post_init__(self) -> None:
        """Check that something is asked for."""
        numbers = [self.lowest, self.highest, self.diverse, self.disputed, *self.extras.values()]
        if min(numbers) < 0 or not sum(numbers):
            raise ValueError(
                "ask for something: lowest, highest, extras, diverse and disputed are all zero or negative"
            )


@dataclass(frozen=True)
class SelectedOrdering:
    """An ordering for DFT.

    Attributes
    ----------
    key : the ordering that came out, or where that cannot be told the one that was meant.
    reasons : every reason for which it was taken.
    found : what the search knows of it; None for a reference.
    """

    key: JointKey
    reasons: tuple[str, ...]
    found: FoundOrdering | None = None

    @property
    def n_working(self) -> int:
        """Occupied working-ion sites."""
        return int(self.key.working.sum())


def select_orderings(
    rows: Sequence[FoundOrdering],
    group: OrderingGroup,
    settings: SelectionSettings,
    references: Iterable[JointKey] = (),
) -> list[SelectedOrdering]:
    """Select orderings, composition by composition; the end members, which have one ordering each, are left out.

    Parameters
    ----------
    rows : what searches found.
    group : symmetry group of the supercell.
    settings : how many of what.
    references : orderings that are taken whatever their energies.

    Raises
    ------
    ValueError
        If extras are asked for at a composition that was not searched, or disputed ones without an ensemble.
    """
    distinct = _distinct(rows)
    here = {n: [one for one in distinct if one.n_working == n] for n in sorted({one.n_working for one in distinct})}
    if strange := sorted(set(settings.extras) - set(here)):
        raise ValueError(f"extras with {strange[0]} working ions: no ordering of that composition was found")
    if settings.disputed and all(one.found is None or one.found.deviation is None for one in distinct):
        raise ValueError("nothing is disputed under one potential: search with several --model to have deviations")
    taken: dict[JointKey, SelectedOrdering] = {}
    for key in references:
        _take(taken, SelectedOrdering(key, ()), "reference")
    for n, members in here.items():
        if 0 < n < group.n_working:
            _of_composition(taken, members, group, settings, settings.extras.get(n, 0))
    return sorted(taken.values(), key=lambda one: (one.n_working, _energy(one), str(one.key)))


def _distinct(rows: Sequence[FoundOrdering]) -> list[SelectedOrdering]:
    """Each ordering once, with the lowest energy that led to it, ascending by energy."""
    found: dict[JointKey, SelectedOrdering] = {}
    for row in sorted(rows, key=lambda row: row.energy):
        achieved = row.achieved
        told = achieved is not None and (achieved.charge is not None or row.key.charge is None)
        key = achieved if told and achieved is not None else row.key
        found.setdefault(key, SelectedOrdering(key, (), row))
    return list(found.values())


def _of_composition(
    taken: dict[JointKey, SelectedOrdering],
    members: Sequence[SelectedOrdering],
    group: OrderingGroup,
    settings: SelectionSettings,
    extras: int,
) -> None:
    for one in members[: settings.lowest]:
        _take(taken, one, "lowest")
    for one in members[max(0, len(members) - settings.highest) :]:
        _take(taken, one, "highest")
    for one in _further(taken, members, extras):
        _take(taken, one, "extra")
    disputed = sorted(members, key=lambda one: -_deviation(one))
    for one in _further(taken, disputed, settings.disputed):
        _take(taken, one, "disputed")
    for _ in range(settings.diverse):
        left = list(_further(taken, members, len(members)))
        if left:
            mine = [one for one in taken.values() if one.n_working == members[0].n_working]
            _take(taken, left[_most_different(group, left, mine)], "diverse")


def _further(
    taken: Mapping[JointKey, SelectedOrdering], members: Iterable[SelectedOrdering], how_many: int
) -> Iterator[SelectedOrdering]:
    """So many that were not taken yet."""
    left = (one for one in members if one.key not in taken)
    return (one for one, _ in zip(left, range(how_many), strict=False))


def _take(taken: dict[JointKey, SelectedOrdering], one: SelectedOrdering, reason: str) -> None:
    before = taken.get(one.key)
    reasons = (reason,) if before is None else (*before.reasons, reason)
    found = one.found if before is None or before.found is None else before.found
    taken[one.key] = SelectedOrdering(one.key, reasons, found)


def _energy(one: SelectedOrdering) -> float:
    return -np.inf if one.found is None else one.found.energy


def _deviation(one: SelectedOrdering) -> float:
    return -np.inf if one.found is None or one.found.deviation is None else one.found.deviation


def _most_different(group: OrderingGroup, left: Sequence[SelectedOrdering], taken: Sequence[SelectedOrdering]) -> int:
    """The one whose nearest among those taken is farthest, by pair correlations; the first where none was taken."""
    if not taken:
        return 0
    vectors, others = _pairs(group, left), _pairs(group, taken)
    distances = np.linalg.norm(vectors[:, None, :] - others[None, :, :], axis=2).min(axis=1)
    return int(distances.argmax())


def _pairs(group: OrderingGroup, orderings: Sequence[SelectedOrdering]) -> Floats:
    """(n, n_orbits) correlation functions of sites and pairs on both sublattices."""
    parts: list[NDArray[np.int16]] = []
    sublattices = [(group.working_permutations, [one.key.working for one in orderings])]
    charges = [one.key.charge for one in orderings if one.key.charge is not None]
    if len(charges) == len(orderings):
        sublattices.append((np.unique(group.redox_permutations, axis=0), charges))
    for permutations, rows in sublattices:
        parts.append(Correlations(permutations, (1, 2)).of(masks_of(np.array(rows))))
    return np.hstack(parts).astype(float)
