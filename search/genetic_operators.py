"""ase-ga's slab operators on the ordering sublattices of a supercell.

Its operators move symbols between all sites and sort compositions by size, which mixes up sublattices and compositions
and their mirror images; here each works on one sublattice, and the children stay neutral and within the compositions.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from ase import Atoms
from ase_ga.slab_operators import (
    CutSpliceSlabCrossover,
    RandomCompositionMutation,
    RandomSlabPermutation,
    SymmetrySlabPermutation,
)
from numpy.typing import NDArray

from ..inputs.orderings.group import Bits
from .space import Candidate, SearchSpace

VACANCY = "X"


@dataclass(frozen=True)
class Sublattice:
    """Sites of one sublattice in the genotype, and the symbols of a bit that is set and of one that is not."""

    sites: slice
    one: str
    zero: str


@dataclass(frozen=True, eq=False)
class Genotype:
    """Orderings of a search space as ASE atoms: the sites that are arranged, and nothing else.

    Attributes
    ----------
    space : what is searched.
    """

    space: SearchSpace

    @cached_property
    def sublattices(self) -> tuple[Sublattice, ...]:
        """The sublattices that are arranged, in the order of the bits."""
        space, couple = self.space, self.space.couple
        n = space.group.n_working if space.kind != "charges" else 0
        working = Sublattice(slice(0, n), space.cell.host.working_ion, VACANCY)
        redox = Sublattice(slice(n, None), couple.surrogate.element, couple.element)
        return {"ions": (working,), "charges": (redox,), "both": (working, redox)}[space.kind]

    @cached_property
    def template(self) -> Atoms:
        """The sites, every bit zero."""
        space, cell = self.space, self.space.cell
        sites = {"ions": [cell.working_sites], "charges": [cell.redox_sites]}.get(
            space.kind, [cell.working_sites, cell.redox_sites]
        )
        positions = cell.structure.cart_coords[np.concatenate(sites)]
        atoms = Atoms(VACANCY * len(positions), positions, cell=cell.structure.lattice.matrix, pbc=True)
        atoms.symbols[:] = self.symbols(np.zeros(len(positions), dtype=bool))
        return atoms

    def symbols(self, bits: Bits) -> NDArray[np.str_]:
        """(n_bits,) symbols."""
        symbols = np.empty(len(bits), dtype="<U2")
        for part in self.sublattices:
            symbols[part.sites] = np.where(bits[part.sites], part.one, part.zero)
        return symbols

    def bits(self, symbols: Sequence[str]) -> Bits:
        """(n_bits,) bits of symbols."""
        ones = {part.one for part in self.sublattices}
        return np.array([symbol in ones for symbol in symbols], dtype=bool)

    def atoms(self, candidate: Candidate) -> Atoms:
        """The atoms of a candidate."""
        atoms: Atoms = self.template.copy()
        atoms.set_chemical_symbols(self.symbols(candidate.bits).tolist())
        return atoms

    def candidate(self, atoms: Atoms) -> Candidate:
        """The candidate that atoms are."""
        bits = self.bits(atoms.get_chemical_symbols())
        return self.space.candidate(self.n_working(bits), bits)

    def n_working(self, bits: Bits) -> int:
        """Occupied working-ion sites."""
        return (
            int(bits[self.sublattices[0].sites].sum()) if self.space.kind != "charges" else self.space.compositions[0]
        )

    def nearest(self, bits: Bits) -> int:
        """The composition of the space that is nearest to an arrangement's; of two the smaller."""
        here = self.n_working(bits)
        return min(self.space.compositions, key=lambda n: (abs(n - here), n))

    def to_change(self, bits: Bits, n_working: int) -> list[tuple[Sublattice, int]]:
        """Ones that each sublattice has too few (positive) or too many of for a composition."""
        wanted = [ones for _, ones in self.space.parts[n_working].ones]
        return [(part, ones - int(bits[part.sites].sum())) for part, ones in zip(self.sublattices, wanted, strict=True)]

    def mixed(self, atoms: Atoms) -> list[Sublattice]:
        """Sublattices with ones and zeros, where something can be permuted."""
        bits = self.bits(atoms.get_chemical_symbols())
        return [part for part in self.sublattices if 0 < bits[part.sites].sum() < len(bits[part.sites])]


def _within_one(
    genotype: Genotype, atoms: Atoms, random: np.random.RandomState, operate: Callable[[Atoms], Atoms]
) -> Atoms:
    """Let an operator work on one sublattice alone; atoms without a mixed one stay as they are."""
    parts = genotype.mixed(atoms)
    if not parts:
        return atoms
    part = parts[random.randint(len(parts))]
    symbols = np.array(atoms.get_chemical_symbols())
    symbols[part.sites] = operate(atoms[part.sites]).get_chemical_symbols()
    atoms.set_chemical_symbols(symbols.tolist())
    return atoms


class CutAndSplice(CutSpliceSlabCrossover):  # type: ignore[misc]  # ase-ga has no types
    """One side of a random plane from each parent; sites nearest to the plane change until the child is neutral."""

    def __init__(self, genotype: Genotype, random: np.random.RandomState) -> None:
        super().__init__(rng=random)
        self.genotype, self.descriptor = genotype, "cut and splice"

    def get_add_remove_elements(self, symbols: Sequence[str]) -> tuple[list[str], list[str]]:
        """Symbols to put in, and those to put them in the place of."""
        bits = self.genotype.bits(symbols)
        added: list[str] = []
        removed: list[str] = []
        for part, missing in self.genotype.to_change(bits, self.genotype.nearest(bits)):
            put, taken = (part.one, part.zero) if missing > 0 else (part.zero, part.one)
            added += [put] * abs(missing)
            removed += [taken] * abs(missing)
        return added, removed


class Permutation(RandomSlabPermutation):  # type: ignore[misc]
    """Two different occupants of one sublattice change places."""

    def __init__(self, genotype: Genotype, random: np.random.RandomState) -> None:
        super().__init__(rng=random)
        self.genotype, self.descriptor = genotype, "permutation"

    def get_new_individual(self, parents: Sequence[Atoms]) -> tuple[Atoms, str]:
        """A child of the first parent."""
        return _mutant(self, parents)

    def operate(self, atoms: Atoms) -> Atoms:
        """Permute within one sublattice."""
        return _within_one(self.genotype, atoms, self.rng, super().operate)


class SymmetricPermutation(SymmetrySlabPermutation):  # type: ignore[misc]
    """Permutations of one sublattice until its occupants have a higher symmetry."""

    def __init__(self, genotype: Genotype, random: np.random.RandomState, goal: int, tries: int) -> None:
        super().__init__(sym_goal=goal, max_tries=tries, rng=random)
        self.genotype, self.descriptor = genotype, "symmetric permutation"

    def get_new_individual(self, parents: Sequence[Atoms]) -> tuple[Atoms, str]:
        """A child of the first parent."""
        return _mutant(self, parents)

    def operate(self, atoms: Atoms) -> Atoms:
        """Permute within one sublattice."""
        with warnings.catch_warnings():
            # ase-ga reads spglib's answers as dictionaries, which spglib deprecates in any warning filter.
            warnings.filterwarnings("ignore", message="dict interface is deprecated", category=DeprecationWarning)
            return _within_one(self.genotype, atoms, self.rng, super().operate)


class CompositionMutation(RandomCompositionMutation):  # type: ignore[misc]
    """Another composition of the space, at random sites."""

    def __init__(self, genotype: Genotype, random: np.random.RandomState) -> None:
        super().__init__(rng=random)
        self.genotype, self.descriptor = genotype, "composition mutation"

    def get_new_individual(self, parents: Sequence[Atoms]) -> tuple[Atoms, str]:
        """A child of the first parent."""
        return _mutant(self, parents)

    def operate(self, atoms: Atoms) -> Atoms:
        """Change to a composition that every other of the space is as likely as."""
        bits = self.genotype.bits(atoms.get_chemical_symbols())
        others = [n for n in self.genotype.space.compositions if n != self.genotype.n_working(bits)]
        for part, missing in self.genotype.to_change(bits, others[self.rng.randint(len(others))]):
            places = np.flatnonzero(bits[part.sites] != (missing > 0)) + part.sites.start
            bits[self.rng.permutation(places)[: abs(missing)]] = missing > 0
        atoms.set_chemical_symbols(self.genotype.symbols(bits).tolist())
        return atoms


def _mutant(
    operator: Permutation | SymmetricPermutation | CompositionMutation, parents: Sequence[Atoms]
) -> tuple[Atoms, str]:
    """A mutated copy of the first parent, with the fields that ase-ga keeps."""
    child = operator.initialize_individual(parents[0], parents[0])
    child.info["data"]["parents"] = [parent.info["confid"] for parent in parents]
    return operator.finalize_individual(operator.operate(child)), operator.descriptor
