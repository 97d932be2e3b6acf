"""Whose orderings are meant: host, supercell, couple and composition, as `valenceflow orderings` is told them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .completion import complete_campaign, complete_couple, complete_crystal
from .ordering_model import RankedBy

if TYPE_CHECKING:
    from ..inputs.charge_states import RedoxCouple
    from ..inputs.hosts import Host
    from ..inputs.orderings.catalogue import OrderingCatalogue
    from ..inputs.orderings.energies import EnergyModel
    from ..inputs.orderings.group import Bits
    from ..inputs.supercells import HostSupercell

CRYSTALS = (".cif", ".mcif", ".vasp", "poscar")
CAMPAIGNS = (".yaml", ".yml")
ELECTROSTATICS = RankedBy()


def complete_host(incomplete: str) -> list[str]:
    """Shipped hosts, CIFs, campaigns, and folders on the way to them."""
    return list(dict.fromkeys([*complete_crystal(incomplete), *complete_campaign(incomplete)]))


HostArgument = Annotated[
    str,
    typer.Argument(
        help="A shipped host, a CIF (then say --couple and --working-ion), or a campaign's YAML.",
        autocompletion=complete_host,
    ),
]
SupercellOption = Annotated[
    str | None,
    typer.Option("--supercell", "-s", help="1,3,2 or 1,1,0;0,3,0;0,0,1 (rows).", show_default=False),
]
FractionOption = Annotated[
    str | None,
    typer.Option("--fraction", "-x", help="Occupied working-ion sites / all of them, e.g. 2/3.", show_default=False),
]
CoupleOption = Annotated[
    str | None,
    typer.Option(help="Redox couple, e.g. Fe2+/Fe3+.", autocompletion=complete_couple, show_default=False),
]
CouplesOption = Annotated[Path | None, typer.Option(help="YAML file with couples of your own.", show_default=False)]
WorkingIonOption = Annotated[str | None, typer.Option(help="Working ion of a CIF.", show_default=False)]
ChargesOption = Annotated[
    str | None,
    typer.Option("--oxidation-states", help="Charges in a CIF: Na=1,P=5,O=-2 (confirmed by you).", show_default=False),
]
SymprecOption = Annotated[float | None, typer.Option(help="Symmetry tolerance for a CIF, A.", show_default=False)]
AtOption = Annotated[
    str | None,
    typer.Option(
        help="The charge orderings at this working-ion ordering: a key, a CIF, or `lowest`.", show_default=False
    ),
]
WorkingOnlyOption = Annotated[bool, typer.Option("--ions-only", help="The working-ion orderings alone.")]
OutputOption = Annotated[
    Path | None,
    typer.Option(
        "--output", "-o", help="Write FILE.csv, FILE.jsonl, FILE.cif, or a folder of CIFs.", show_default=False
    ),
]
LimitOption = Annotated[int | None, typer.Option(min=1, help="Show at most so many.", show_default=False)]


@dataclass(frozen=True)
class Subject:
    """Supercell and couple, and the fractions that a campaign file asks for."""

    cell: HostSupercell
    couple: RedoxCouple
    fractions: tuple[Fraction, ...] = ()

    def catalogue(
        self,
        fraction: str | None,
        at: str | None = None,
        working_only: bool = False,
        ranked_by: RankedBy = ELECTROSTATICS,
    ) -> OrderingCatalogue:
        """The catalogue that was asked for.

        Raises
        ------
        ValueError
            If the fraction is missing or fits no whole number of ions, or `at` names no ordering.
        """
        from ..inputs.orderings.catalogue import OrderingCatalogue  # noqa: PLC0415 - pymatgen

        model = ranked_by.model(self.cell, self.couple)
        wanted = self._fraction(fraction, needed=at in (None, "lowest"))
        bits = None if at is None else self._ordering(at, wanted, model)
        return OrderingCatalogue.at_fraction(self.cell, self.couple, wanted, bits, working_only, model)

    def _fraction(self, fraction: str | None, needed: bool) -> str | Fraction | None:
        if fraction is not None:
            return fraction
        mixed = [value for value in self.fractions if 0 < value < 1]
        if needed and len(mixed) != 1:
            sites = len(self.cell.working_sites)
            also = f" (the campaign has {', '.join(str(value) for value in mixed)})" if mixed else ""
            raise ValueError(f"say --fraction: a number of {sites} {self.cell.host.working_ion} sites, e.g. 1/2{also}")
        return mixed[0] if needed else None

    def _ordering(self, at: str, fraction: str | Fraction | None, model: EnergyModel) -> Bits:
        from ..inputs.orderings.catalogue import OrderingCatalogue  # noqa: PLC0415 - pymatgen
        from ..inputs.orderings.group import bits_from_hex  # noqa: PLC0415
        from ..inputs.orderings.identity import read_structure  # noqa: PLC0415
        from ..inputs.orderings.mapping import map_onto  # noqa: PLC0415

        if at == "lowest":
            lowest = OrderingCatalogue.at_fraction(self.cell, self.couple, fraction, working_only=True, model=model)
            return lowest.rank(1)[0][0].key.working
        if at.lower().endswith(CRYSTALS) or Path(at).exists():
            return map_onto(read_structure(Path(at)), self.cell).working
        return bits_from_hex(at.partition(".")[0], len(self.cell.working_sites))


def read_subject(
    host: str,
    supercell: str | None = None,
    couple: str | None = None,
    couples: Path | None = None,
    working_ion: str | None = None,
    charges: str | None = None,
    symprec: float | None = None,
) -> Subject:
    """Look up what was named.

    Raises
    ------
    ValueError
        If a name is unknown, something a CIF needs is missing, or an option does not go with the host.
    """
    from ..inputs.charge_states import get_couple  # noqa: PLC0415 - pymatgen
    from ..inputs.supercells import HostSupercell  # noqa: PLC0415

    if host.lower().endswith(CAMPAIGNS):
        _refuse(f"the campaign {host}", couple=couple, couples=couples, working_ion=working_ion, charges=charges)
        return _of_campaign(Path(host), supercell)
    rows = parse_supercell(supercell or "1,1,1")
    if host.lower().endswith(CRYSTALS):
        if couple is None or working_ion is None:
            raise ValueError(f"{host}: say --couple (e.g. Fe2+/Fe3+) and --working-ion (e.g. Na)")
        pair = get_couple(couple, couples)
        return Subject(HostSupercell.build(_host_of_cif(Path(host), pair, working_ion, charges, symprec), rows), pair)
    _refuse(f"the shipped host {host}", working_ion=working_ion, charges=charges, symprec=symprec)
    return _of_shipped(host, couple, couples, rows)


def _of_shipped(host: str, couple: str | None, couples: Path | None, rows: list[Any]) -> Subject:
    from ..inputs.charge_states import get_couple, shipped_couples  # noqa: PLC0415 - pymatgen
    from ..inputs.hosts import get_host  # noqa: PLC0415
    from ..inputs.supercells import HostSupercell  # noqa: PLC0415

    found = get_host(host)
    element = found.redox_element
    if couple is None:
        names = [name for name, pair in shipped_couples().items() if pair.element == element]
        if len(names) != 1:
            raise ValueError(f"say --couple: {element} has {' and '.join(names) or 'none that is shipped'}")
        couple = names[0]
    pair = get_couple(couple, couples)
    if pair.element != element:
        raise ValueError(f"couple {couple} is not of {host} (redox element {element}); take a CIF as host")
    return Subject(HostSupercell.build(found, rows), pair)


def _of_campaign(path: Path, supercell: str | None) -> Subject:
    from ..flows.campaign_file import read_campaign  # noqa: PLC0415 - pymatgen
    from ..inputs.supercells import HostSupercell  # noqa: PLC0415

    campaign = read_campaign(path)
    cell = campaign.cell
    if supercell is not None:
        cell = HostSupercell.build(cell.host, parse_supercell(supercell))
    return Subject(cell, campaign.couple, campaign.file.fractions)


def _host_of_cif(path: Path, couple: RedoxCouple, ion: str, charges: str | None, symprec: float | None) -> Host:
    from ..inputs.hosts import host_from_cif  # noqa: PLC0415 - pymatgen

    states = None if charges is None else parse_charges(charges)
    try:
        return host_from_cif(path, ion, couple.element, states, symprec)
    except ValueError as err:
        if states is None and "not confirmed" in str(err):
            raise ValueError(f"{err}; here: --oxidation-states '{{...}}'") from err
        raise


def _refuse(what: str, **options: object) -> None:
    for name, value in options.items():
        if value is not None:
            option = {"charges": "oxidation-states"}.get(name, name.replace("_", "-"))
            raise ValueError(f"--{option} is fixed by {what}: leave it out")


def parse_supercell(text: str) -> list[Any]:
    """Rows of a supercell from 1,3,2 or 1x3x2 or 1,1,0;0,3,0;0,0,1.

    Raises
    ------
    ValueError
        If it is none of these.
    """
    rows = [re.split(r"[,x\s]+", row.strip(" []")) for row in re.split(r";|\]\s*,\s*\[", text.strip())]
    try:
        numbers = [[int(value) for value in row] for row in rows]
    except ValueError as err:
        raise ValueError(f"--supercell {text!r}: write 1,3,2 or three rows 1,1,0;0,3,0;0,0,1") from err
    return numbers[0] if len(numbers) == 1 else numbers


def parse_charges(text: str) -> dict[str, int]:
    """Charges from Na=1,P=5,O=-2 or {Na: 1, P: 5, O: -2}.

    Raises
    ------
    ValueError
        If it is neither.
    """
    charges = {}
    for part in text.strip(" {}").split(","):
        found = re.fullmatch(r"\s*([A-Z][a-z]?)\s*[=:]\s*([+-]?\d+)\s*", part)
        if found is None:
            raise ValueError(f"--oxidation-states {text!r}: write Na=1,P=5,O=-2")
        charges[found[1]] = int(found[2])
    return charges
