"""Symmetry of a supercell as permutations of its ordering sites, Burnside counts and the joint key.

An ordering is a bit string: working-ion bits (1 = occupied) followed by charge bits (1 = high state), both in host
order. One operation moves all sublattices together: making each canonical on its own would merge different orderings.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property, lru_cache
from math import comb

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..supercells import HostSupercell

Bits = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class JointKey:
    """Canonical name of an ordering: the smallest image of its bit string under the supercell's group.

    `str(key)` is `WORKING.CHARGE` in hexadecimal, the first site as the most significant bit; a calculation with free
    charge order has `free` in the place of the charge bits.
    """

    working: Bits
    charge: Bits | None

    def __str__(self) -> str:
        charge = "free" if self.charge is None else _hex(self.charge)
        return f"{_hex(self.working)}.{charge}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, JointKey) and self._identity == other._identity

    def __hash__(self) -> int:
        return hash(self._identity)

    @property
    def _identity(self) -> tuple[str, int, int | None]:
        """Text and lengths: arrays compare element by element and cannot be members of a set."""
        return str(self), len(self.working), None if self.charge is None else len(self.charge)


def _hex(bits: Bits) -> str:
    width = -(-len(bits) // 4)
    return f"{int(''.join('1' if bit else '0' for bit in bits) or '0', 2):0{width}x}"


def bits_from_hex(text: str, length: int) -> Bits:
    """Bits from one half of a key.

    Raises
    ------
    ValueError
        If the text is no hexadecimal number of that many bits.
    """
    if not re.fullmatch("[0-9a-fA-F]+", text):  # int() would also read a sign, a prefix or underscores
        raise ValueError(f"{text!r} is no hexadecimal ordering; copy a key from `valenceflow orderings list`")
    number = int(text, 16)
    if number.bit_length() > length or len(text) != -(-length // 4):
        raise ValueError(f"{text!r} does not describe {length} sites; the key belongs to another supercell")
    return np.array([bit == "1" for bit in f"{number:0{length}b}"], dtype=bool) if length else np.zeros(0, dtype=bool)


@dataclass(frozen=True)
class OrderingGroup:
    """The operations of a host that map the supercell onto itself, as permutations of working-ion and redox sites.

    Attributes
    ----------
    permutations : (n_operations, n_working + n_redox) ints; row g sends the ordering `bits` to `bits[g]`. Rows are
        distinct; together they are a group, so the set of images does not depend on the direction.
    n_working, n_redox : sites on the two sublattices.
    """

    permutations: NDArray[np.int_]
    n_working: int
    n_redox: int

    @property
    def order(self) -> int:
        """Number of distinct operations."""
        return len(self.permutations)

    @cached_property
    def working_permutations(self) -> NDArray[np.int_]:
        """(n_operations, n_working): the action on the working-ion sites."""
        return self.permutations[:, : self.n_working]

    @cached_property
    def redox_permutations(self) -> NDArray[np.int_]:
        """(n_operations, n_redox): the action on the redox sites, counted from 0."""
        return self.permutations[:, self.n_working :] - self.n_working

    def stabiliser(self, working: ArrayLike) -> NDArray[np.int_]:
        """Redox permutations of the operations that leave a working-ion ordering as it is.

        Parameters
        ----------
        working : (n_working,) bool.

        Returns
        -------
        (n_stabiliser, n_redox) ints, possibly with equal rows where an operation moves only working-ion sites.
        """
        bits = checked_bits(working, self.n_working, "working-ion")
        fixing: NDArray[np.bool_] = (bits[self.working_permutations] == bits).all(axis=1)
        return self.redox_permutations[fixing]

    def key(self, working: ArrayLike, charge: ArrayLike | None) -> JointKey:
        """Canonical key of an ordering; equal keys mean symmetry-equivalent orderings.

        Parameters
        ----------
        working : (n_working,) bool, True = occupied.
        charge : (n_redox,) bool, True = high state; None for a free charge order.
        """
        occupied = checked_bits(working, self.n_working, "working-ion")
        if charge is None:
            return JointKey(_smallest_row(occupied[self.working_permutations]), None)
        high = checked_bits(charge, self.n_redox, "charge")
        smallest = _smallest_row(np.concatenate([occupied, high])[self.permutations])
        return JointKey(smallest[: self.n_working], smallest[self.n_working :])

    def multiplicity(self, working: ArrayLike, charge: ArrayLike) -> int:
        """Charge arrangements equivalent to this one under the stabiliser of its working-ion ordering."""
        images = checked_bits(charge, self.n_redox, "charge")[self.stabiliser(working)]
        return len(np.unique(np.packbits(images, axis=1), axis=0))


def checked_bits(bits: ArrayLike, length: int, what: str) -> Bits:
    """(length,) bool, or an error that names the shape found."""
    array = np.asarray(bits, dtype=bool)
    if array.shape != (length,):
        raise ValueError(f"{what} ordering has shape {array.shape}, expected ({length},)")
    return array


def smallest_image(bits: Bits, permutations: NDArray[np.int_]) -> Bits:
    """(n_sites,) smallest image of an arrangement under a group, as bits."""
    return _smallest_row(bits[permutations])


def _smallest_row(rows: Bits) -> Bits:
    packed = np.packbits(rows, axis=1)
    best: Bits = rows[min(range(len(rows)), key=lambda i: packed[i].tobytes())]
    return best


@lru_cache(maxsize=32)
def ordering_group(cell: HostSupercell) -> OrderingGroup:
    """Find the permutations of a supercell's ordering sites, exactly in integers.

    Raises
    ------
    ValueError
        If the tolerance maps a site onto none, two onto one, or one onto a different sublattice.
    """
    rotations, shifts = cell.host.operations
    sites = cell.host.structure
    ordering = np.concatenate([cell.working_sites, cell.redox_sites])
    label = np.full(len(sites) * cell.n_cells, -1)
    label[ordering] = np.arange(len(ordering))
    host_sites = np.unique(ordering // cell.n_cells)
    rows = []
    for rotation, shift in zip(rotations, shifts, strict=True):
        if not _maps_superlattice(cell, rotation):
            continue
        images = {s: _image_of_host_site(cell, int(s), rotation, shift) for s in host_sites}
        for start in cell.translations:
            row = np.empty(len(ordering), dtype=int)
            for s, (target, offset) in images.items():
                moved = cell.reduce(cell.translations @ rotation.T + offset + start)
                row[label[s * cell.n_cells + np.arange(cell.n_cells)]] = label[
                    target * cell.n_cells + _cell_index(cell, moved)
                ]
            rows.append(row)
    permutations = np.unique(np.array(rows), axis=0)
    if (permutations < 0).any():
        raise ValueError(f"host {cell.host.name}: an operation mixes the ordering sublattices with other sites")
    if (np.sort(permutations, axis=1) != np.arange(len(ordering))).any():
        raise ValueError(
            f"host {cell.host.name}: an operation found at {cell.host.symprec} A sends two sites to one place; use a "
            "smaller tolerance"
        )
    return OrderingGroup(permutations, len(cell.working_sites), len(cell.redox_sites))


def _maps_superlattice(cell: HostSupercell, rotation: NDArray[np.int_]) -> bool:
    return not cell.reduce(cell.matrix_array @ rotation.T).any()


def _image_of_host_site(
    cell: HostSupercell, index: int, rotation: NDArray[np.int_], shift: NDArray[np.float64]
) -> tuple[int, NDArray[np.int_]]:
    """Host site and integer cell offset to which one operation sends a host site."""
    host = cell.host.structure
    image = rotation @ host[index].frac_coords + shift
    same = [i for i, site in enumerate(host) if site.specie == host[index].specie]
    difference = image - np.array([host[i].frac_coords for i in same])
    offset = np.round(difference).astype(int)
    distances = np.linalg.norm((difference - offset) @ host.lattice.matrix, axis=1)
    best = int(np.argmin(distances))
    # spglib accepts atoms within symprec of their images; a mean over operations can lie a few times farther.
    if distances[best] > max(10 * cell.host.symprec, 1e-3):
        raise ValueError(
            f"host {cell.host.name}: an operation found at {cell.host.symprec} A sends site {index} "
            f"{distances[best]:.3f} A away from any {host[index].specie}; use another tolerance"
        )
    return same[best], offset[best]


def _cell_index(cell: HostSupercell, translations: NDArray[np.int_]) -> NDArray[np.int_]:
    table = {tuple(row): i for i, row in enumerate(cell.translations.tolist())}
    return np.array([table[tuple(row)] for row in translations.tolist()])


def cycles(permutation: NDArray[np.int_]) -> list[list[int]]:
    """Sites of each cycle of one permutation."""
    image = permutation.tolist()
    seen, found = [False] * len(image), []
    for start in range(len(image)):
        cycle, i = [], start
        while not seen[i]:
            seen[i] = True
            cycle.append(i)
            i = image[i]
        if cycle:
            found.append(cycle)
    return found


def cycle_lengths(permutation: NDArray[np.int_]) -> list[int]:
    """Lengths of the cycles of one permutation."""
    return [len(cycle) for cycle in cycles(permutation)]


CycleType = tuple[int, ...]
"""Number of cycles of each length, from length 1 on."""


def cycle_types(permutations: NDArray[np.int_]) -> list[CycleType]:
    """Cycle type of every permutation.

    Parameters
    ----------
    permutations : (n_operations, n_sites).
    """
    n_operations, n_sites = permutations.shape
    sites = np.arange(n_operations * n_sites)
    moved = (permutations + n_sites * np.arange(n_operations)[:, None]).ravel()
    lengths, image, power = np.zeros_like(moved), moved, 1
    while True:
        lengths[(lengths == 0) & (image == sites)] = power
        if lengths.all():
            break
        image, power = moved[image], power + 1
    lengths = lengths.reshape(permutations.shape)
    counts = np.stack([(lengths == length).sum(axis=1) // length for length in range(1, power + 1)], axis=1)
    return [tuple(row) for row in counts.tolist()]


def _fixed_arrangements(cycles_of_length: CycleType, n_ones: int) -> int:
    """Arrangements with `n_ones` ones that a permutation of this cycle type leaves as they are."""
    ways = {0: 1}  # ways to fill the cycles so far, by the ones they hold
    for length, number in enumerate(cycles_of_length, 1):
        after: dict[int, int] = {}
        for full in range(min(number, n_ones // length) + 1):
            choices = comb(number, full)
            for ones, before in ways.items():
                if ones + full * length <= n_ones:
                    after[ones + full * length] = after.get(ones + full * length, 0) + choices * before
        ways = after
    return ways.get(n_ones, 0)


def count_text(number: int) -> str:
    """A count as a person reads it: every digit below 10^15, else three of them and the power of ten."""
    return f"{number:,}" if number < 10**15 else f"{Decimal(number):.2e}".replace("e+", "e")


def burnside_count(permutations: NDArray[np.int_], n_ones: int) -> int:
    """Count orbits of arrangements of `n_ones` ones by Burnside's lemma.

    Parameters
    ----------
    permutations : (n_operations, n_sites) a group acting on the sites (each element equally often).
    n_ones : ones in the arrangement.
    """
    if len(permutations) == 1:
        return comb(permutations.shape[1], n_ones)
    types = Counter(cycle_types(permutations))
    total = sum(times * _fixed_arrangements(of_type, n_ones) for of_type, times in types.items())
    if total % len(permutations):
        raise ValueError(f"{len(permutations)} permutations are no group: their fixed points sum to {total}")
    return total // len(permutations)


def joint_burnside_count(group: OrderingGroup, n_occupied: int, n_high: int) -> int:
    """Count joint orderings of working ions and charges by Burnside's lemma."""
    types = Counter(zip(cycle_types(group.working_permutations), cycle_types(group.redox_permutations), strict=True))
    total = sum(
        times * _fixed_arrangements(working, n_occupied) * _fixed_arrangements(redox, n_high)
        for (working, redox), times in types.items()
    )
    return total // group.order
