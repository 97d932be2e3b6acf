"""The text of a campaign file for a proposed host: every choice with its alternatives, open questions marked.

`valenceflow init` writes it. Lines that a person has to confirm are commented out, so that `run` refuses until then.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from dataclasses import dataclass

from ..inputs.couple_draft import couple_text
from ..inputs.host_proposal import FractionChoice, HostProposal
from ..inputs.hosts import DEFAULT_SYMPREC
from ..inputs.protocol import load_protocol
from ..inputs.vasp_sets import DEFAULT_PROTOCOL

CONFIRM = "TO BE CONFIRMED"

MANY = 12
"""Charge orderings of one working-ion ordering (or working-ion orderings) up to which all are proposed."""

_WIDTH, _COMMENTS_AT = 112, 46


@dataclass(frozen=True)
class Draft:
    """What the file is about.

    Attributes
    ----------
    proposal : host, couple, charges, supercell, fractions.
    name : of the campaign: its folder beside the file.
    file : the campaign file as the user names it, for the commands in it.
    host : value of `host:`: a shipped name, or a path relative to the file.
    couples : name of the file with the drafted couple, where there is one.
    """

    proposal: HostProposal
    name: str
    file: str
    host: str
    couples: str | None = None

    @property
    def open_questions(self) -> list[str]:
        """Fields that a person has to confirm before anything runs."""
        proposal = self.proposal
        asked = {"couple": proposal.drafted, "oxidation_states": not proposal.charges_known, "symprec": proposal.wider}
        return [field for field, is_open in asked.items() if is_open]

    def text(self) -> str:
        """The campaign file."""
        parts = [self._head(), self._host(), self._orderings(), self._physics(), self._launch()]
        return "\n".join(line for part in parts for line in part)

    def couples_text(self) -> str:
        """The file of the drafted couple."""
        note = (
            f"Drafted by `valenceflow init` for {self.file}; {CONFIRM}. The moments are high spin (Hund's rule); where "
            "the ion is low spin (Co3+ 0, Co4+ 1, Ni3+ 1 muB in most layered oxides) write its own. The surrogate is a "
            "closed-shell ion with the charge of the high state, in whose place step 1 relaxes."
        )
        return "\n".join([*_comment(note), couple_text(self.proposal.couple)])

    def _head(self) -> Iterator[str]:
        yield "# A valenceflow campaign."
        yield f"# Rehearse it:         valenceflow run {self.file} --engine rehearsal:springs"
        yield f"# See the VASP inputs: valenceflow run {self.file} --dry-run FOLDER"
        yield f"# Run it:              valenceflow run {self.file}"
        if self.open_questions:
            asked = ", ".join(self.open_questions)
            yield f'# {CONFIRM} before it runs: {asked}. Correct what is proposed and take the leading "# " away.'
        yield _row(f"name: {self.name}", f"results go to the folder {self.name}/ beside this file")
        yield ""

    def _host(self) -> Iterator[str]:
        proposal, couple = self.proposal, self.proposal.couple
        formula, atoms = proposal.host.structure.composition.reduced_formula, len(proposal.cell.structure)
        yield _row(f"host: {self.host}", f"{formula} with every {proposal.host.working_ion} site filled")
        yield _row(f"supercell: {list(proposal.supercell)}", f"{atoms} atoms; [na, nb, nc] or a 3x3 matrix")
        if self.couples is None:
            yield _row(f"couple: {couple.name}", "or another that ships (README), or your own (couples: FILE)")
        else:
            yield f"couples: {self.couples}"
            yield f"# {CONFIRM}: no shipped couple of {couple.element} fits these charges; {self.couples} drafts one:"
            yield f"# couple: {couple.name}"
        if proposal.host.source.startswith("CIF"):
            yield from self._charges_and_symmetry()
        yield ""

    def _charges_and_symmetry(self) -> Iterator[str]:
        proposal = self.proposal
        if proposal.charges_known:
            yield _row(f"oxidation_states: {proposal.charges}", f"as written in {self.host}")
        else:
            yield f"# {CONFIRM}: charges of the other elements, proposed from bond valences or the formula:"
            yield f"# oxidation_states: {proposal.charges}"
        found = len(proposal.host.operations[0])
        if proposal.wider is None:
            yield _row(f"# symprec: {DEFAULT_SYMPREC}", f"A, symmetry tolerance; finds {found} operations of the host")
        else:
            wider, there = proposal.wider
            yield f"# {CONFIRM}: rounded numbers? {there} operations at this tolerance, {found} at {DEFAULT_SYMPREC} A:"
            yield f"# symprec: {wider:g}"

    def _orderings(self) -> Iterator[str]:
        proposal, chosen = self.proposal, self.proposal.suggested
        ion = proposal.host.working_ion
        yield "working_ion:"
        yield f"  {ion}:"
        held = ", ".join(f"{c.fraction}\N{NO-BREAK SPACE}({c.joint:,})" for c in proposal.mixed)
        yield from _comment(
            f"Occupied {ion} sites / all {len(proposal.cell.working_sites)} of the supercell, one or several. It holds "
            f"(in brackets, distinct orderings of ions and charges): {held}",
            "    ",
        )
        yield f"    fraction: [{chosen.fraction}]"
        yield _row(f"    orderings: {_working_choice(chosen)}", "all: true; sample: N, seed: S; lowest: K; file: CIF")
        yield _row(f"charge: {_charge_choice(chosen)}", "for EACH of them: as above, with reference: CIF; or free")
        yield from self._ends()
        yield ""

    def _ends(self) -> Iterator[str]:
        proposal = self.proposal
        ends = {choice.fraction for choice in proposal.choices if choice.fraction in (0, 1)}
        if len(ends) == 2:
            yield _row("end_members: true", "adds x = 0 and x = 1, which relative energies (Eq. 1) need")
        else:
            missing = " and ".join(f"x = {end}" for end in (0, 1) if end not in ends)
            yield _row("end_members: false", f"{missing} cannot be neutral with {proposal.couple.name}")
        yield _row("# voltages: true", f"adds the metal, {proposal.host.working_ion}, that voltages are against")

    def _physics(self) -> Iterator[str]:
        yield _row(f"protocol: {DEFAULT_PROTOCOL}", "or dtu-polyanion, or a YAML of your own that `extends:` one")
        for lack in self.lacks():
            yield from _comment(f"{lack}: add it in a protocol of your own before VASP runs")
        yield _row("on_lost_ordering: keep", "flag the result; or retry (try to win it back), or fail")
        yield ""

    def lacks(self) -> list[str]:
        """What the default protocol does not say of this host's elements."""
        proposal, protocol = self.proposal, load_protocol(DEFAULT_PROTOCOL)
        elements = {site.specie.symbol for site in proposal.host.structure} | {proposal.couple.surrogate.element}
        found = [f"{protocol.name} has no POTCAR label for {e}" for e in sorted(elements - set(protocol.potcar.labels))]
        if proposal.couple.element not in protocol.hubbard_u:
            found.append(f"{protocol.name} has no U for {proposal.couple.element}")
        return found

    def _launch(self) -> Iterator[str]:
        yield "launch:"
        yield _row("  workers: 1", "processes here, each running one configuration at a time")
        yield _row("  # incar: {NCORE: 4, KPAR: 2}", "tags that change no energy, for your machine")
        yield _row("  # max_continuations: 5", "how often a relaxation goes on from its CONTCAR")
        yield _row("  # wall_time_minutes: 1440", "VASP is stopped five minutes before, and gone on from")
        yield _row("accept: {failed_at_most: 1.0}", "the run gives up once a larger share of configurations failed")
        yield _row("# store: store.yaml", f"a jobflow JOB_STORE (MongoDB, say); default: {self.name}/store.sqlite")
        yield ""


def _row(setting: str, comment: str) -> str:
    return f"{setting:<{_COMMENTS_AT}}  # {comment}"


def _comment(text: str, indent: str = "") -> list[str]:
    lines = textwrap.wrap(text, _WIDTH, initial_indent=f"{indent}# ", subsequent_indent=f"{indent}# ")
    return [line.replace("\N{NO-BREAK SPACE}", " ") for line in lines]


def _working_choice(choice: FractionChoice) -> str:
    return "{all: true}" if choice.working <= MANY else "{lowest: 5, by: electrostatics}"


def _charge_choice(choice: FractionChoice) -> str:
    if choice.joint <= MANY * choice.working:
        return "{all: true}"
    return f"{{sample: {min(10, choice.fewest_charges)}, seed: 1}}"
