"""`valenceflow init`: a commented campaign file to start from, filled in from a shipped host or a CIF.

`init cluster` writes a cluster's configuration (`init_cluster`); without a word `init` is `init campaign`.
"""

from __future__ import annotations

import re
from os import path as paths
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from .completion import complete_couple, complete_crystal
from .init_cluster import cluster

if TYPE_CHECKING:
    from ..flows.campaign_draft import Draft
    from ..inputs.host_proposal import HostProposal

DEFAULT_HOST = "olivine-NaFePO4"
CRYSTALS = (".cif", ".vasp", "poscar")


class CampaignByDefault(TyperGroup):
    """A group whose first command is meant where no command is named."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put `campaign` in front of anything but a command or a call for help."""
        if not args or (args[0] not in self.commands and args[0] not in ctx.help_option_names):
            args = ["campaign", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=CampaignByDefault,
    help="Write a campaign file, or (init cluster) a cluster's.\n\n`valenceflow init [FILE.yaml] ...` is "
    "short for `valenceflow init campaign [FILE.yaml] ...`.",
    rich_markup_mode=None,
)


@app.command(name="campaign")
def init(
    file: Annotated[
        Path | None,
        typer.Argument(
            metavar="FILE.yaml", help="The file to write; default: named after the host.", show_default=False
        ),
    ] = None,
    host: Annotated[
        str, typer.Option(help="A shipped host, or a CIF.", autocompletion=complete_crystal)
    ] = DEFAULT_HOST,
    working_ion: Annotated[
        str | None, typer.Option(help="The ion that moves, where a CIF holds several.", show_default=False)
    ] = None,
    couple: Annotated[
        str | None,
        typer.Option(
            help="The redox couple, e.g. Mn2+/Mn3+, where a CIF allows several.",
            autocompletion=complete_couple,
            show_default=False,
        ),
    ] = None,
) -> None:
    """Write a commented campaign file for a host or a CIF."""
    from ..flows.campaign_draft import Draft  # noqa: PLC0415 - pymatgen

    file = _new_file(file, host)
    proposal = _proposal(host, working_ion, couple)
    couples = file.with_name(f"{file.stem}-couples.yaml") if proposal.drafted else None
    draft = Draft(
        proposal=proposal,
        name=re.sub(r"[^A-Za-z0-9._-]+", "-", file.stem).lstrip("._-") or "campaign",
        file=str(file),
        host=_beside(file, host) if _is_crystal(host) else host,
        couples=None if couples is None else couples.name,
    )
    if couples is not None:
        _write_new(couples, draft.couples_text())
    _write_new(file, draft.text())
    for line in _summary(draft):
        typer.echo(line)


app.command(name="cluster")(cluster)


def _new_file(file: Path | None, host: str) -> Path:
    if file is None:
        file = Path(f"{Path(host).stem if _is_crystal(host) else 'campaign'}.yaml")
    if _is_crystal(str(file)):
        raise ValueError(f"{file} is the file to write: give the crystal as `valenceflow init --host {file}`")
    if file.suffix not in (".yaml", ".yml"):
        raise ValueError(f"{file} would not be known as a campaign file; name it {file}.yaml")
    if file.exists():
        raise ValueError(f"{file} exists; name another file")
    if not file.parent.is_dir():
        raise ValueError(f"{file.parent} is no folder; make it first, or name another file")
    return file


def _is_crystal(host: str) -> bool:
    return host.lower().endswith(CRYSTALS)


def _proposal(host: str, working_ion: str | None, couple: str | None) -> HostProposal:
    from ..inputs.host_proposal import propose_from_file, propose_from_name  # noqa: PLC0415 - pymatgen

    if _is_crystal(host):
        return propose_from_file(Path(host), working_ion, couple)
    proposal = propose_from_name(host)
    for option, asked, has in (
        ("--working-ion", working_ion, proposal.host.working_ion),
        ("--couple", couple, proposal.couple.name),
    ):
        if asked not in (None, has):
            raise ValueError(f"{option} {asked} is not that of {host}, {has}; leave it out, or take a CIF as --host")
    return proposal


def _beside(file: Path, crystal: str) -> str:
    """The crystal's path as the campaign file has to say it: relative to its own folder."""
    return paths.relpath(Path(crystal).resolve(), file.resolve().parent)


def _write_new(file: Path, text: str) -> None:
    try:
        with file.open("x", encoding="utf-8") as stream:  # refuses a file that came in between
            stream.write(text)
    except FileExistsError as err:
        raise ValueError(f"{file} exists; name another file") from err


def _summary(draft: Draft) -> list[str]:
    proposal, host = draft.proposal, draft.proposal.host
    repeats, atoms = "x".join(str(n) for n in proposal.supercell), len(proposal.cell.structure)
    lines = [
        f"{draft.file} written" + (f", and {draft.couples} beside it" if draft.couples else ""),
        f"  {host.structure.composition.reduced_formula}: {host.working_ion} moves, {proposal.couple.name}, supercell "
        f"{repeats} ({atoms} atoms, {len(host.operations[0])} symmetry operations of the host)",
        f"  x can be {', '.join(str(choice.fraction) for choice in proposal.mixed)}; the file asks for "
        f"{proposal.suggested.fraction}",
    ]
    couple = proposal.couple
    for choice in proposal.uniform:
        state = f"{couple.element}{(couple.high if choice.n_high else couple.low).oxidation_state}+"
        lines.append(f"  at x = {choice.fraction} all are {state}: add it to `fraction:` to have that phase too")
    if "oxidation_states" in draft.open_questions:
        lines.append(f"  proposed charges {proposal.charges}")
    lines += [f"  {lack}" for lack in draft.lacks()]
    first = ""
    if draft.open_questions:
        lines.append(f"to be confirmed in the file before it runs: {', '.join(draft.open_questions)}")
        first = "confirm these, then "
    return [*lines, f"next: {first}valenceflow run {draft.file} --engine rehearsal:springs"]
