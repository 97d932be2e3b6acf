"""Relaxation with the charge order left free: equal initial moments on every redox site, the order measured afterwards.

This is what an ordinary DFT run does, with the number of holes fixed (NUPDOWN). The moments of the first ionic step are
kept: the paper finds that the order is decided there (section 2.1, Fig. 5a).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from jobflow import Flow, Maker
from pymatgen.core import Structure

from ..inputs.charge_states import RedoxCouple
from ..inputs.protocol import Protocol
from ..inputs.substitution import ChargeSites, charge_sites
from ..stores.documents import StepIntent
from .audit import AuditReference
from .makers import StepMaker, meshed
from .starting_cell import starting_reference
from .two_step import find_couple, relax_maker, with_uuid


def free_relax_maker() -> StepMaker:
    """A free relaxation under the default protocol."""
    return relax_maker("free relax")


@dataclass
class FreeRelaxMaker(Maker):
    """Relax a structure without fixing its charge order.

    Parameters
    ----------
    name : flow name.
    couple : the redox couple, by name or as a RedoxCouple.
    relax_maker : the job, VASP's or GPAW's.
    """

    name: str = "free relax"
    couple: str | RedoxCouple = "Fe2+/Fe3+"
    relax_maker: StepMaker = field(default_factory=free_relax_maker)

    @classmethod
    def from_protocol(cls, protocol: Protocol, couple: str | RedoxCouple = "Fe2+/Fe3+") -> FreeRelaxMaker:
        """The relaxation under a protocol."""
        return cls(couple=couple, relax_maker=relax_maker("free relax", protocol))

    def make(
        self,
        structure: Structure,
        prev_dir: str | Path | None = None,
        *,
        n_high: int | None = None,
        sites: ChargeSites | None = None,
        reference: AuditReference | None = None,
        intent: StepIntent | None = None,
        job_uuids: dict[str, str] | None = None,
    ) -> Flow:
        """Make the flow.

        Parameters
        ----------
        structure : unrelaxed structure; oxidation states on it are not used.
        n_high : number of high-state sites that neutrality asks for (or give `sites`).
        sites, reference, intent, job_uuids : as in TwoStepRelaxMaker.
        """
        sites = sites or charge_sites(structure, find_couple(self.couple), free=True, n_high=n_high)
        reference = reference or starting_reference(structure, sites)
        maker = meshed(self.relax_maker, structure)
        made = maker.make(structure, prev_dir=prev_dir, sites=sites, reference=reference, intent=intent)
        relax = with_uuid(made, (job_uuids or {}).get("free relax"))
        return Flow([relax], output=relax.output, name=self.name)
