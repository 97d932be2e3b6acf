"""What a campaign on a crystal could be: working ion, couple, charges, supercell, fractions. Proposed, never decided.

`valenceflow init` writes it into a campaign file; what a person has to confirm is marked there.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from math import comb
from pathlib import Path

import numpy as np

from .charge_states import RedoxCouple, get_couple, shipped_couples
from .cif_files import charges_line, charges_written_in, one_element_per_site, proposed_charges, read_crystal
from .couple_draft import couples_of, redox_elements
from .hosts import DEFAULT_SYMPREC, Host, get_host, host_from_cif, in_host_order, wider_symmetry
from .orderings.group import burnside_count, joint_burnside_count, ordering_group
from .supercells import HostSupercell

WORKING_IONS = (("Li", "Na", "K", "Rb", "Cs"), ("Mg", "Ca", "Zn"))
"""Ions that batteries move; the second group only where nothing of the first is there."""

ENOUGH_REDOX_SITES = 4
"""A supercell with fewer has next to nothing to order."""

FULL = 1e-3
"""Sites: an occupancy as near to one as this is one."""

_SAME_LENGTH = 0.01
"""Relative: axes as like as this are repeated together, so that the supercell keeps the host's symmetry."""


@dataclass(frozen=True)
class FractionChoice:
    """A composition that the supercell holds and the couple balances.

    Attributes
    ----------
    fraction : occupied working-ion sites / all of them.
    n_high : high-state sites that neutrality asks for.
    working : distinct working-ion orderings.
    joint : distinct orderings of working ions and charges together.
    fewest_charges : no working-ion ordering has fewer distinct charge orderings.
    """

    fraction: Fraction
    n_high: int
    working: int
    joint: int
    fewest_charges: int


@dataclass(frozen=True)
class HostProposal:
    """A proposal for a campaign on one host.

    Attributes
    ----------
    host : with the charges proposed for it.
    couple : the redox couple; `drafted` where it is none of the shipped ones.
    charges_known : the charges come with the host (shipped, or written in the file) and need no confirmation.
    wider : (tolerance in A, operations) that find more symmetry than the default tolerance, if one does.
    supercell : repeats.
    choices : compositions that it holds, by fraction, end members included.
    occupancy : working ions in the file / their sites.
    """

    host: Host
    couple: RedoxCouple
    charges_known: bool
    wider: tuple[float, int] | None
    supercell: tuple[int, int, int]
    choices: tuple[FractionChoice, ...]
    occupancy: float = 1.0

    @property
    def drafted(self) -> bool:
        """Whether the couple was made by rule."""
        return self.couple.name not in shipped_couples()

    @property
    def cell(self) -> HostSupercell:
        """The supercell."""
        return HostSupercell.build(self.host, self.supercell)

    @property
    def mixed(self) -> tuple[FractionChoice, ...]:
        """Compositions with both charge states."""
        return tuple(choice for choice in self.choices if 0 < choice.n_high < len(self.cell.redox_sites))

    @property
    def uniform(self) -> tuple[FractionChoice, ...]:
        """Compositions between the end members at which every redox site is in one charge state."""
        sites = len(self.cell.redox_sites)
        return tuple(c for c in self.choices if c.n_high in (0, sites) and 0 < c.fraction < 1)

    @property
    def suggested(self) -> FractionChoice:
        """The mixed composition nearest to the file's own, or to one half where the file has every site filled."""
        wanted = 0.5 if self.occupancy > 1 - FULL else self.occupancy
        return min(self.mixed, key=lambda choice: abs(float(choice.fraction) - wanted))

    @property
    def charges(self) -> str:
        """The charges as the value of `oxidation_states:`."""
        return charges_line(self.host.structure, self.host.redox_element, self.host.oxidation_states)


def propose_from_name(name: str) -> HostProposal:
    """A proposal for a shipped host."""
    host = get_host(name)
    return _proposal(host, _best_couple(host, couples_of(host.redox_element), name), charges_known=True, wider=None)


def propose_from_file(path: Path, working_ion: str | None = None, couple: str | None = None) -> HostProposal:
    """A proposal for a crystal read from a file.

    Parameters
    ----------
    path : a CIF (or POSCAR).
    working_ion : element symbol; None: the one that batteries move.
    couple : a shipped couple's name; None: that of the redox element which balances at most fractions.

    Raises
    ------
    ValueError
        If the file is unreadable, it has no working ion or no redox element, or several and none was named, no charges
        can be proposed, or no couple balances them.
    """
    read = read_crystal(path)
    symbols = {element.symbol for element in read.composition.element_composition.elements}
    ion = _working_ion(symbols, working_ion, path.name)
    candidates = couples_of(_redox_element(symbols, path.name)) if couple is None else [_named_couple(couple)]
    element = candidates[0].element
    if element not in symbols:
        raise ValueError(f"{path.name} holds no {element}, the element of {couple}; it holds {_listed(symbols)}")
    structure = in_host_order(one_element_per_site(read, ion, path.name))
    written = charges_written_in(read, element)
    charges = proposed_charges(structure, element) if written is None else written
    if missing := sorted(symbols - {element} - set(charges)):
        raise ValueError(
            f"{path.name}: neither bond valences nor the formula propose a charge for {', '.join(missing)}: write "
            "oxidation states into the file, or start from `valenceflow init` without --host and write them yourself"
        )
    host = host_from_cif(path, ion, element, charges, DEFAULT_SYMPREC)
    best = _best_couple(host, candidates, path.name)
    occupancy = float(read.composition.element_composition[ion] / structure.composition[ion])
    made = _proposal(host, best, charges_known=written is not None, wider=wider_symmetry(host))
    return replace(made, occupancy=occupancy)


def _named_couple(name: str) -> RedoxCouple:
    drafts = {couple.name: couple for element in redox_elements() for couple in couples_of(element)}
    return drafts.get(name) or get_couple(name)


def _working_ion(symbols: set[str], asked: str | None, name: str) -> str:
    if asked is not None:
        if asked not in symbols:
            raise ValueError(f"{name} holds no {asked}, which --working-ion names; it holds {_listed(symbols)}")
        return asked
    for group in WORKING_IONS:
        found = [ion for ion in group if ion in symbols]
        if len(found) > 1:
            raise ValueError(f"{name} holds {' and '.join(found)}: say which one moves with --working-ion")
        if found:
            return found[0]
    known = ", ".join(ion for group in WORKING_IONS for ion in group)
    raise ValueError(
        f"{name} holds no working ion ({known}), only {_listed(symbols)}: give the crystal with its ion sites filled, "
        "or name another ion with --working-ion"
    )


def _redox_element(symbols: set[str], name: str) -> str:
    known = redox_elements()
    found = [element for element in known if element in symbols]
    if len(found) > 1:
        raise ValueError(f"{name} holds {' and '.join(found)}: say which one changes charge with --couple")
    if not found:
        raise ValueError(
            f"{name} holds no redox element of the shipped couples ({', '.join(known)}), only {_listed(symbols)}: "
            "write the campaign by hand, with a couple (`couples: FILE`) and a protocol (U, POTCAR) of your own"
        )
    return found[0]


def _listed(symbols: set[str]) -> str:
    return ", ".join(sorted(symbols))


def _best_couple(host: Host, candidates: list[RedoxCouple], name: str) -> RedoxCouple:
    """The couple with which most fractions have charges to order; the first among equals."""
    cell = HostSupercell.build(host, _repeats(host))
    best = max(candidates, key=lambda couple: len(_mixed(cell, couple)))
    if not _mixed(cell, best):
        tried = ", ".join(couple.name for couple in candidates)
        charges = charges_line(host.structure, host.redox_element, host.oxidation_states)
        raise ValueError(
            f"{name}: with the charges {charges} no fraction of {host.working_ion} leaves {host.redox_element} in a "
            f"mixed charge state of {tried}: write the right charges into the file, or name another --couple"
        )
    return best


def _balanced(cell: HostSupercell, couple: RedoxCouple) -> list[tuple[int, int]]:
    """(working ions, high states) of every neutral composition."""
    found = []
    for n_working in range(len(cell.working_sites) + 1):
        try:
            found.append((n_working, cell.n_high(n_working, couple)))
        except ValueError:  # not neutral with these two states: no composition of this couple
            continue
    return found


def _mixed(cell: HostSupercell, couple: RedoxCouple) -> list[tuple[int, int]]:
    return [(n, high) for n, high in _balanced(cell, couple) if 0 < high < len(cell.redox_sites)]


def _repeats(host: Host) -> tuple[int, int, int]:
    """Repeats of the shortest axes until there are enough redox sites."""
    n_redox = sum(site.specie.symbol == host.redox_element for site in host.structure)
    repeats, lengths = np.ones(3, dtype=int), np.array(host.structure.lattice.abc)
    while n_redox * repeats.prod() < ENOUGH_REDOX_SITES:
        now = lengths * repeats
        repeats[now < now.min() * (1 + _SAME_LENGTH)] += 1
    return int(repeats[0]), int(repeats[1]), int(repeats[2])


def _proposal(host: Host, couple: RedoxCouple, charges_known: bool, wider: tuple[float, int] | None) -> HostProposal:
    supercell = _repeats(host)
    cell = HostSupercell.build(host if wider is None else host.at_tolerance(wider[0]), supercell)
    choices = tuple(_choice(cell, n_working, n_high) for n_working, n_high in _balanced(cell, couple))
    return HostProposal(host, couple, charges_known, wider, supercell, choices)


def _choice(cell: HostSupercell, n_working: int, n_high: int) -> FractionChoice:
    group = ordering_group(cell)
    return FractionChoice(
        fraction=Fraction(n_working, group.n_working),
        n_high=n_high,
        working=burnside_count(group.working_permutations, n_working),
        joint=joint_burnside_count(group, n_working, n_high),
        fewest_charges=-(-comb(group.n_redox, n_high) // group.order),
    )
