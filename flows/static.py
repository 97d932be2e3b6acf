"""One self-consistent calculation on any structure under the protocol, with moments set from its charge states."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from shutil import which

from jobflow import Flow, Maker
from pymatgen.core import Structure

from ..inputs.charge_states import RedoxCouple
from ..inputs.protocol import Protocol
from ..inputs.substitution import ChargeSites, charge_sites
from ..inputs.vasp_sets import DEFAULT_PROTOCOL
from ..stores.documents import StepIntent
from .audit import AuditReference
from .makers import StepMaker, meshed, static_step_maker
from .two_step import find_couple
from .vasp_job import ChargeOrderedVaspMaker


def static_maker(protocol: Protocol | str = DEFAULT_PROTOCOL) -> StepMaker:
    """A static calculation under a protocol, given itself or by name; GPAW's where it has a `gpaw` block."""
    return static_step_maker(protocol)


@dataclass
class StaticMaker(Maker):
    """Energy, forces and moments of a structure as it is.

    Parameters
    ----------
    name : flow name.
    couple : the redox couple, by name or as a RedoxCouple.
    static_maker : the job, VASP's or GPAW's.
    bader : ask VASP for Bader charges; needs the `bader` program on PATH.
    """

    name: str = "static"
    couple: str | RedoxCouple = "Fe2+/Fe3+"
    static_maker: StepMaker = field(default_factory=static_maker)
    bader: bool = False

    def make(
        self,
        structure: Structure,
        prev_dir: str | Path | None = None,
        *,
        n_high: int | None = None,
        sites: ChargeSites | None = None,
        reference: AuditReference | None = None,
        intent: StepIntent | None = None,
    ) -> Flow:
        """Make the flow.

        Parameters
        ----------
        structure : any structure; oxidation states on its redox sites are the intended ordering.
        n_high : number of high-state sites where the structure carries no oxidation states; the order is then free.
        sites, reference, intent : as in TwoStepRelaxMaker.

        Raises
        ------
        ValueError
            If `bader` is asked for and no `bader` program is on PATH.
        """
        sites = sites or charge_sites(structure, find_couple(self.couple), free=n_high is not None, n_high=n_high)
        maker = meshed(self.static_maker, structure)
        if self.bader:
            maker = _asking_for_bader(maker)
        static = maker.make(structure, prev_dir=prev_dir, sites=sites, reference=reference, intent=intent)
        return Flow([static], output=static.output, name=self.name)


def _asking_for_bader(maker: StepMaker) -> ChargeOrderedVaspMaker:
    if not isinstance(maker, ChargeOrderedVaspMaker):
        raise ValueError("bader=True reads VASP's charge densities; GPAW's runs keep none: leave it out")
    if which("bader") is None:
        raise ValueError("bader=True needs the `bader` program (theory.cm.utexas.edu/henkelman) on PATH")
    asking = deepcopy(maker)
    # All-electron core and valence densities; they change no energy.
    asking.input_set_generator.user_incar_settings |= {"LAECHG": True, "LCHARG": True}
    asking.task_document_kwargs = {**asking.task_document_kwargs, "run_bader": True}
    return asking
