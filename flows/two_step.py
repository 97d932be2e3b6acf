"""The paper's two-step relaxation as a jobflow flow (section 2.1): surrogate in, relax; redox element back, relax.

    structure with Fe2+/Fe3+ ──> [surrogate relax: Ga for Fe3+] ──> [relax: Fe back, moments 4/5 muB] ──> document

Nothing but the geometry passes from step 1 to step 2: no WAVECAR, no CHGCAR, no moments.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jobflow import Flow, Job, Maker
from pymatgen.core import Structure

from ..inputs.charge_states import RedoxCouple, get_couple
from ..inputs.protocol import Protocol
from ..inputs.substitution import ChargeSites, charge_sites, check_neutral
from ..inputs.vasp_sets import DEFAULT_PROTOCOL
from ..stores.documents import StepIntent, StepKind
from .audit import AuditReference
from .makers import StepMaker, meshed, relax_step_maker
from .starting_cell import starting_reference


def relax_maker(step: StepKind, protocol: Protocol | str = DEFAULT_PROTOCOL) -> StepMaker:
    """A relaxation of one step under a protocol, given itself or by name; GPAW's where it has a `gpaw` block."""
    return relax_step_maker(step, protocol)


def surrogate_relax_maker() -> StepMaker:
    """Step 1 under the default protocol."""
    return relax_maker("surrogate relax")


def redox_relax_maker() -> StepMaker:
    """Step 2 under the default protocol."""
    return relax_maker("relax")


def find_couple(couple: str | RedoxCouple) -> RedoxCouple:
    """A couple given by name or as itself."""
    return couple if isinstance(couple, RedoxCouple) else get_couple(couple)


def with_uuid(job: Job, uuid: str | None) -> Job:
    """The job under a uuid fixed beforehand (a campaign's manifest), so that a second run finds its output."""
    if uuid is not None:
        job.set_uuid(uuid)
    return job


@dataclass
class TwoStepRelaxMaker(Maker):
    """Relax a structure with its charge ordering fixed by the surrogate.

    Parameters
    ----------
    name : flow name.
    couple : the redox couple, by name or as a RedoxCouple.
    surrogate_relax_maker, relax_maker : the jobs of the two steps, VASP's or GPAW's; both carry the protocol.

    Examples
    --------
    A structure whose iron carries its charge, as decorated species or as the site property `oxidation_state`:

        flow = TwoStepRelaxMaker().make(structure)
        run_locally(flow, create_folders=True)

    atomate2's powerups work on it as on any VASP flow:

        flow = update_user_incar_settings(flow, {"NCORE": 4})
    """

    name: str = "two-step relax"
    couple: str | RedoxCouple = "Fe2+/Fe3+"
    surrogate_relax_maker: StepMaker = field(default_factory=surrogate_relax_maker)
    relax_maker: StepMaker = field(default_factory=redox_relax_maker)

    @classmethod
    def from_protocol(cls, protocol: Protocol, couple: str | RedoxCouple = "Fe2+/Fe3+") -> TwoStepRelaxMaker:
        """Both steps under one protocol."""
        steps = relax_maker("surrogate relax", protocol), relax_maker("relax", protocol)
        return cls(couple=couple, surrogate_relax_maker=steps[0], relax_maker=steps[1])

    def make(
        self,
        structure: Structure,
        prev_dir: str | Path | None = None,
        *,
        sites: ChargeSites | None = None,
        reference: AuditReference | None = None,
        intent: StepIntent | None = None,
        job_uuids: dict[str, str] | None = None,
    ) -> Flow:
        """Make the flow for one charge ordering.

        Parameters
        ----------
        structure : unrelaxed parent structure with oxidation states on the redox sites.
        prev_dir : folder to copy outputs from before step 1 (rarely useful).
        sites : charge states in parent order; None: read from the structure.
        reference : what the audit holds cell and ordering against; None: the structure's own cell and symmetry.
        intent : configuration and campaign this flow belongs to.
        job_uuids : step -> uuid fixed beforehand.

        Returns
        -------
        Flow of two jobs (one where no site is in the high state); its output is the last VaspStepDoc.

        Raises
        ------
        ValueError
            If a redox site carries no state of the couple, or a fully labelled structure is not neutral.
        """
        if sites is None:
            sites = charge_sites(structure, find_couple(self.couple))
            check_neutral(structure)
        reference = reference or starting_reference(structure, sites)
        uuids, common = job_uuids or {}, {"sites": sites, "reference": reference, "intent": intent}
        second = meshed(self.relax_maker, structure)
        if not sites.has_surrogate_step:
            only = with_uuid(second.make(structure, prev_dir=prev_dir, **common), uuids.get("relax"))
            return Flow([only], output=only.output, name=self.name)
        first = meshed(self.surrogate_relax_maker, structure)
        step_1 = with_uuid(first.make(structure, prev_dir=prev_dir, **common), uuids.get("surrogate relax"))
        step_2 = with_uuid(self.make_second_step(second, step_1.output, common), uuids.get("relax"))
        return Flow([step_1, step_2], output=step_2.output, name=self.name)

    @staticmethod
    def make_second_step(maker: StepMaker, step_1: Any, common: dict[str, Any]) -> Job:
        """Step 2 from the output (or output reference) of step 1: its geometry and its site order, nothing else."""
        return maker.make(step_1.structure, site_order=step_1.site_order, **common)
