"""Who a structure is: its supercell of a host, its canonical key, and whether two structures are one ordering.

Keys compare within one host and one supercell. A structure may be relaxed, shifted, permuted, in another setting, or a
superstructure measured elsewhere; what does not map one to one fails loudly.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from pymatgen.core import Lattice, Structure

from ..charge_states import RedoxCouple
from ..cif_files import read_crystal
from ..hosts import Host
from ..supercells import HostSupercell
from .charge_reading import charge_bits
from .group import Bits, JointKey, ordering_group
from .lattices import ANGLE_TOLERANCE, LENGTH_TOLERANCE, lattice_text, sublattices, superlattices
from .mapping import MAX_DISPLACEMENT, SiteMap, map_onto

MAX_REPEATS = 4
"""Cells of a structure that are put together in search of a supercell of the host."""


@dataclass(frozen=True)
class IdentifiedStructure:
    """What a structure is as an ordering of a host.

    Attributes
    ----------
    cell : the host's supercell that the key refers to.
    key : canonical joint key; its charge half is None where the structure says nothing of charges.
    site_map : which site each atom occupies, and the largest displacement.
    charge : (n_redox,) True = high state, host order, as found (the key holds the canonical image); None as in the key.
    """

    cell: HostSupercell
    key: JointKey
    site_map: SiteMap
    charge: Bits | None

    @property
    def working(self) -> Bits:
        """(n_working,) True = occupied, host order, as found (the key holds the canonical image)."""
        return self.site_map.working


def read_structure(path: Path) -> Structure:
    """Read a crystal structure of any kind that pymatgen reads; every site must be occupied.

    Raises
    ------
    ValueError
        If the file is missing or unreadable, or a site is partly occupied.
    """
    structure = read_crystal(path)
    if not structure.is_ordered:
        raise ValueError(f"{path}: some sites are partly occupied; an ordering has every site occupied or empty")
    return structure


def identify(
    structure: Structure,
    place: HostSupercell | Host,
    couple: RedoxCouple,
    max_displacement: float = MAX_DISPLACEMENT,
    engine: str = "vasp",
) -> IdentifiedStructure:
    """Map a structure and find its key.

    Parameters
    ----------
    structure : see `map_onto` and `charge_bits`.
    place : the host's supercell, or the host alone; then the supercell is found.
    couple : the redox couple.
    max_displacement : bound on the distance between an atom and its site, A.
    engine : whose moments the structure carries, where it carries moments.

    Raises
    ------
    ValueError
        If the structure does not map, or its charge states contradict themselves.
    """
    cell, site_map = _mapped(structure, place, max_displacement)
    charge = charge_bits(structure, site_map, cell, couple, engine)
    return IdentifiedStructure(cell, ordering_group(cell).key(site_map.working, charge), site_map, charge)


def key_of(
    structure: Structure,
    place: HostSupercell | Host,
    couple: RedoxCouple,
    max_displacement: float = MAX_DISPLACEMENT,
    engine: str = "vasp",
) -> JointKey:
    """Canonical key of a structure; parameters and errors as in `identify`."""
    return identify(structure, place, couple, max_displacement, engine).key


def same_ordering(
    a: Structure,
    b: Structure,
    place: HostSupercell | Host,
    couple: RedoxCouple,
    max_displacement: float = MAX_DISPLACEMENT,
) -> bool:
    """Whether two structures are one ordering but for the symmetry of the host, relaxation, strain and numbering.

    Parameters
    ----------
    a, b : the structures; where one is a smaller cell of the same superstructure it is repeated.
    place : the supercell to compare in, or the host alone; then that of the larger structure is found.
    couple, max_displacement : as in `identify`.

    Raises
    ------
    ValueError
        If one of them does not map, or only one of them says which sites are in which charge state.
    """
    if isinstance(place, Host):
        place, _ = _mapped(max(a, b, key=len), place, max_displacement)
    one, other = (key_of(structure, place, couple, max_displacement) for structure in (a, b))
    if (one.charge is None) != (other.charge is None):
        silent = "first" if one.charge is None else "second"
        raise ValueError(f"the {silent} structure carries no charge states and the other one does: give both or none")
    return one == other


def find_supercell(structure: Structure, host: Host, max_displacement: float = MAX_DISPLACEMENT) -> HostSupercell:
    """The host's supercell that a structure fills, alone or a few times.

    Among supercells that the host's symmetry joins, the one with the simplest matrix (Hermite normal form) is taken.

    Raises
    ------
    ValueError
        If the composition is not the host's, no superlattice of the host fits (both lattices are named), or the atoms
        find no sites.
    """
    return _mapped(structure, host, max_displacement)[0]


def _mapped(
    structure: Structure, place: HostSupercell | Host, max_displacement: float
) -> tuple[HostSupercell, SiteMap]:
    if isinstance(place, HostSupercell):
        return place, map_onto(structure, place, max_displacement)
    ratio = _host_cells(structure, place)
    found: list[tuple[HostSupercell, SiteMap]] = []
    refused: ValueError | None = None
    for repeats in range(1, MAX_REPEATS + 1):
        for cell in _candidates(structure.lattice, place, ratio, repeats):
            try:
                found.append((cell, map_onto(structure, cell, max_displacement)))
            except ValueError as err:
                refused = refused or err
        if found:
            return min(found, key=lambda pair: pair[1].displacement)
    if refused is not None:
        raise refused
    raise ValueError(
        f"the lattice of {structure.composition.formula} ({lattice_text(structure.lattice)}) is no superlattice of "
        f"{place.name} ({lattice_text(place.structure.lattice)}) within {LENGTH_TOLERANCE:.0%} and "
        f"{ANGLE_TOLERANCE:g} deg, repeated up to {MAX_REPEATS} times either; is it of this host?"
    )


def _candidates(lattice: Lattice, host: Host, ratio: Fraction, repeats: int) -> Iterator[HostSupercell]:
    """Supercells of the host whose lattice is one of those that `repeats` cells of the structure make."""
    n_cells = ratio * repeats
    if n_cells.denominator != 1:
        return
    seen = set()
    for repeat in sublattices(repeats):
        for matrix in superlattices(Lattice(repeat @ lattice.matrix), host, int(n_cells)):
            if matrix.tobytes() not in seen:
                seen.add(matrix.tobytes())
                yield HostSupercell.build(host, matrix.tolist())


def _host_cells(structure: Structure, host: Host) -> Fraction:
    """Host cells that one cell of the structure holds, by its framework."""
    have, want = (Counter(site.specie.symbol for site in crystal) for crystal in (structure, host.structure))
    ions, places = have.pop(host.working_ion, 0), want.pop(host.working_ion)
    ratios = {Fraction(have[symbol], want[symbol]) if want[symbol] else Fraction(0) for symbol in {*have, *want}}
    ratio = ratios.pop()
    if ratios or ratio == 0 or ions > ratio * places:
        raise ValueError(
            f"{structure.composition.formula} is no ordering of {host.name} ({host.structure.composition.formula}; "
            f"only {host.working_ion} may be fewer)"
        )
    return ratio
