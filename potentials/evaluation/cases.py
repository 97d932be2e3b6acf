"""The orderings that a potential is asked for: per configuration of a data set its relaxed frame, key and starts.

A configuration counts by its last frame of the relaxation with known charge states, so by the ordering that the
reference reached: one whose order hopped is held against what it became, never against what was meant. That frame must
be relaxed: where a run went on to charges that cannot be told, or was cut off, its last frame with known ones lies on a
slope, and its energy is nobody's minimum.
"""

from __future__ import annotations

import zlib
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from ase import Atoms
from numpy.typing import NDArray
from pymatgen.io.ase import AseAtomsAdaptor

from ...inputs.charge_states import RedoxCouple, get_couple
from ...inputs.hosts import Host, get_host, host_names
from ...inputs.orderings.group import Bits, JointKey, ordering_group
from ...inputs.orderings.identity import IdentifiedStructure, identify
from ...inputs.species import OXIDATION_STATE, FloatArray
from ..labelling import atoms_of_ordering
from .reference import ReferenceFrame, ReferenceSet
from .scores import Start

RATTLE = 0.02
"""A: standard deviation of rattled starts (facts: it lets plain models leave the symmetric geometry)."""

RELAXED_FORCE = 0.05
"""eV/A: largest force of a reference that counts as relaxed; the protocols relax to 0.02 and 0.03."""

RELAXED_STEP = "relax"


@dataclass(frozen=True)
class OrderingCase:
    """One configuration.

    Attributes
    ----------
    name : its id in the set.
    couple : the redox couple.
    reference, first : the reference's relaxed frame and its first one.
    found : the reference's ordering on its host; None where the host is not known.
    redox_atoms : (n_redox,) redox atoms of `reference`, in host order where the host is known.
    """

    name: str
    couple: RedoxCouple
    reference: ReferenceFrame
    first: ReferenceFrame
    found: IdentifiedStructure | None
    redox_atoms: NDArray[np.int_]

    @property
    def high(self) -> Bits:
        """(n_redox,) sites in the high state."""
        states = self.reference.atoms.arrays[OXIDATION_STATE][self.redox_atoms]
        return np.asarray(states == self.couple.high.oxidation_state)

    @property
    def mixed(self) -> bool:
        """Both states are there."""
        return bool(0 < self.high.sum() < len(self.high))

    @property
    def key(self) -> str | None:
        """Canonical joint key."""
        return None if self.found is None else str(self.found.key)

    @property
    def fraction(self) -> Fraction | None:
        """Occupied working-ion sites / all of them."""
        return None if self.found is None else Fraction(int(self.found.working.sum()), len(self.found.working))

    @property
    def formula_units(self) -> int | None:
        """Of the cell."""
        return None if self.found is None else self.found.cell.formula_units

    @property
    def group(self) -> str:
        """Structures whose energies compare: one working-ion ordering of one supercell, else one composition."""
        if self.found is None:
            return self.composition
        return f"{self.composition} {str(self.found.key).partition('.')[0]}"

    @property
    def composition(self) -> str:
        """Structures of one composition and size."""
        formula: str = self.reference.atoms.get_chemical_formula()
        return formula

    def start(self, kind: Start, rattle: float = RATTLE, seed: int = 0) -> tuple[Atoms, NDArray[np.int_]]:
        """Where a relaxation begins, labelled, and its redox atoms in the order of this case.

        Raises
        ------
        ValueError
            If the ideal structure is asked for and the host is not known.
        """
        if kind == "first":
            return self._labelled_first(), self.redox_atoms
        if self.found is None:
            raise ValueError(f"{self.name}: its host is not known, so there is no ideal structure; use --start first")
        assert self.found.charge is not None  # cases have known states
        cell, working = self.found.cell, self.found.working
        ideal = atoms_of_ordering(cell, self.couple, JointKey(working, self.found.charge))
        # Sites keep their order when vacancies are taken out; mapping anew could choose another image.
        sites = cell.redox_sites - np.searchsorted(np.sort(cell.working_sites[~working]), cell.redox_sites)
        if kind == "rattled":
            draw = np.random.default_rng([seed, zlib.crc32(str(self.key).encode())])
            ideal.positions += draw.normal(scale=rattle, size=ideal.positions.shape)
        return ideal, sites

    def _labelled_first(self) -> Atoms:
        """The first frame with the ordering that the reference reached: what it is told."""
        atoms: Atoms = self.first.atoms.copy()
        atoms.set_array(OXIDATION_STATE, None)
        atoms.set_array(OXIDATION_STATE, self.reference.atoms.arrays[OXIDATION_STATE])
        return atoms

    def same_ordering(self, high: Bits) -> bool:
        """Whether charges, in this case's site order, are the reference's ordering modulo symmetry."""
        return bool((self.images(high) == self.high).all(axis=1).any())

    def images(self, values: NDArray[np.generic]) -> NDArray[np.generic]:
        """(n_images, n_redox) values under every operation that keeps the working-ion ordering."""
        if self.found is None:
            return np.asarray(values)[None]
        return np.asarray(values)[ordering_group(self.found.cell).stabiliser(self.found.working)]


def ordering_cases(
    data: ReferenceSet,
    sides: Sequence[str],
    host: Host | None = None,
    left_out: dict[str, int] | None = None,
    relaxed_force: float = RELAXED_FORCE,
) -> list[OrderingCase]:
    """Configurations of some sides, and of every side those with a single charge state (end members are wanted always).

    Of several that reached one ordering the lowest counts: a model has one energy for it.

    Parameters
    ----------
    data, sides : where they are.
    host : the host, where the set does not name one that is shipped.
    left_out : counts what could not be taken, by reason.
    relaxed_force : largest force on an atom of a reference that counts, eV/A.

    Raises
    ------
    ValueError
        If the set has several couples or none.
    """
    couple = couple_of(data)
    counts = {} if left_out is None else left_out
    cases: list[OrderingCase] = []
    for side in data.sides("all"):
        for frames in _runs(data.frames(side)):
            told = counts if side in sides else {}
            if not _is_relaxed(frames[1], relaxed_force):
                bound = f"forces above the --reference-force of {relaxed_force:g} eV/A"
                _count(told, f"configurations without a relaxed structure ({bound})")
                continue
            case = _case(frames, couple, host, told)
            if case is not None and (side in sides or not case.mixed):
                cases.append(case)
    lowest = {_identity(case): case for case in sorted(cases, key=lambda case: -case.reference.energy)}
    for case in cases:
        if lowest[_identity(case)] is not case:
            _count(counts, "configurations that reached the ordering of a lower one")
    return [case for case in cases if lowest[_identity(case)] is case]


def _identity(case: OrderingCase) -> tuple[Hashable, str]:
    """One ordering of one cell; what has no known host is like nothing else."""
    if case.found is None:
        return case.name, ""
    return case.found.cell, str(case.found.key)


def couple_of(data: ReferenceSet) -> RedoxCouple:
    """The set's only couple; errors as in `ordering_cases`."""
    names = data.manifest["couples"]
    if len(names) != 1:
        raise ValueError(f"{data.folder}: has the couples {', '.join(names) or 'none'}; orderings are scored for one")
    return get_couple(names[0])


def _runs(frames: Iterable[ReferenceFrame]) -> Iterator[list[ReferenceFrame]]:
    """First and last relaxation frame of each configuration; of formats without steps, of each lineage."""
    ends: dict[str, list[ReferenceFrame]] = {}
    for frame in frames:
        if frame.step in (RELAXED_STEP, ""):
            known = ends.setdefault(frame.lineage, [frame, frame])
            known[1] = frame
    yield from ends.values()


def _is_relaxed(frame: ReferenceFrame, force: float) -> bool:
    return bool(np.linalg.norm(frame.forces, axis=1).max() <= force)


def _count(left_out: dict[str, int], reason: str) -> None:
    left_out[reason] = left_out.get(reason, 0) + 1


def _case(
    ends: list[ReferenceFrame], couple: RedoxCouple, host: Host | None, left_out: dict[str, int]
) -> OrderingCase | None:
    first, last = ends
    states = last.atoms.arrays.get(OXIDATION_STATE)
    redox = np.flatnonzero(np.array(last.atoms.get_chemical_symbols()) == couple.element)
    if states is None or np.isnan(states[redox]).any() or not redox.size:
        _count(left_out, "configurations without known charge states")
        return None
    place = host if host is not None else (get_host(last.host) if last.host in host_names() else None)
    if place is None:
        return OrderingCase(last.lineage, couple, last, first, None, redox)
    structure = AseAtomsAdaptor.get_structure(last.atoms)
    structure.add_site_property(OXIDATION_STATE, states.tolist())
    try:
        found = identify(structure, place, couple)
    except ValueError as err:
        _count(left_out, f"configurations that do not map onto {place.name}")
        if host is not None:
            raise ValueError(f"{last.lineage}: {err}") from err
        return OrderingCase(last.lineage, couple, last, first, None, redox)
    if len(found.site_map.atoms) != len(last.atoms):
        return OrderingCase(last.lineage, couple, last, first, None, redox)
    return OrderingCase(last.lineage, couple, last, first, found, found.site_map.redox_atoms(found.cell))


def lowest_mixed(cases: Sequence[OrderingCase]) -> OrderingCase | None:
    """The reference's lowest structure of two charge states per atom; where there are any, with two sites of either."""
    mixed = [case for case in cases if case.mixed]
    # That states stand apart, and where they are, is a matter of several sites of each.
    mixed = [case for case in mixed if 2 <= case.high.sum() <= len(case.high) - 2] or mixed
    return min(mixed, key=lambda case: case.reference.energy / len(case.reference.atoms), default=None)


def moments_of(frame: ReferenceFrame, sites: NDArray[np.int_]) -> FloatArray | None:
    """(n_redox,) absolute moments of a frame's redox atoms, muB."""
    return None if frame.magmoms is None else np.abs(frame.magmoms[sites])
