"""Evaluation by relaxation under a potential: the idealised ordering is relaxed, and what came out is read back.

Relaxations are those of `potentials.relax_many`: over processes, each once, gone on from where a killed one stood.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from pymatgen.core import Structure
from pymatgen.io.ase import AseAtomsAdaptor

from ..inputs.charge_states import RedoxCouple
from ..inputs.orderings.charge_reading import charge_bits
from ..inputs.orderings.group import Bits, JointKey, ordering_group
from ..inputs.orderings.mapping import SiteMap, map_onto
from ..inputs.orderings.written import ordered_structure
from ..inputs.supercells import HostSupercell
from ..potentials.labelling import atoms_from_structure
from ..potentials.open_models import ModelChoice
from ..potentials.relax_many import RelaxJob, relax_many
from ..potentials.relaxation import Relaxation, RelaxSettings
from ..potentials.species import SpeciesMap
from .evaluation import Evaluation, Tell


@dataclass(frozen=True)
class RelaxingEvaluator:
    """A potential, or an ensemble, that relaxes orderings; it has the interface of `Evaluator`.

    Attributes
    ----------
    cell, couple : whose orderings.
    choice : the model or ensemble.
    settings : of the relaxations; default: the paper's.
    folder : where relaxations are kept; None: nowhere.
    workers : processes, one thread each.
    moments_of : engine whose label windows the model's moments are read by, that of its training data; None: the
        charges that the model was told are those that came out, and where it was told none nobody knows them.
    """

    cell: HostSupercell
    couple: RedoxCouple
    choice: ModelChoice
    settings: RelaxSettings = field(default_factory=RelaxSettings)
    folder: Path | None = None
    workers: int = 1
    moments_of: str | None = None

    @property
    def identity(self) -> Mapping[str, Any]:
        """The model's name and fingerprint, whose numbers it learned, how it relaxes, and how moments are read."""
        return {
            "model": self.choice.title,
            "fingerprint": self.choice.fingerprint(),
            "trained_on": self.choice.engines(),
            "relaxation": self.settings.model_dump(),
            "moments_of": self.moments_of,
        }

    def __call__(self, keys: Sequence[JointKey], tell: Tell) -> None:
        """Relax orderings; errors as in `relax_many`."""
        by_name = {str(key): key for key in keys}
        told: set[str] = set()

        def done(result: Relaxation) -> None:
            if result.name not in told:
                told.add(result.name)
                tell(self.evaluation(by_name[result.name], result))

        def finished(result: Relaxation, _done: int, _total: int) -> None:
            done(result)

        jobs = [RelaxJob(name, self._start(key)) for name, key in by_name.items()]
        # What an interrupted search had relaxed is not told while it runs, but comes back with the rest.
        for result in relax_many(jobs, self.choice, self.settings, self.folder, self.workers, progress=finished):
            done(result)

    def check_species(self, species_map: SpeciesMap, charges_free: bool) -> None:
        """Refuse a potential that does not know the ions of an ordering.

        Parameters
        ----------
        species_map : the potential's.
        charges_free : orderings are started without charges.

        Raises
        ------
        ValueError
            If an ion is not known: which one, and what the potential knows.
        """
        n_working = len(self.cell.working_sites) // 2
        working = np.arange(len(self.cell.working_sites)) < n_working
        high = np.arange(len(self.cell.redox_sites)) < self.cell.n_high(n_working, self.couple)
        species_map.encode_atoms(self._start(JointKey(working, None if charges_free else high)), self.choice.title)

    def _start(self, key: JointKey) -> Atoms:
        """The idealised ordering, labelled unless its charge order is free."""
        return atoms_from_structure(ordered_structure(self.cell, self.couple, key))

    def evaluation(self, key: JointKey, result: Relaxation) -> Evaluation:
        """What a relaxation says of an ordering.

        One that did not converge, ran away or left the host's sites is a failure: its energy compares with nothing.
        """
        if result.state != "converged" or result.energy is None:
            return Evaluation(key, float("nan"), None, f"{result.state}: {result.reason}")
        structure = AseAtomsAdaptor.get_structure(result.atoms())
        try:
            site_map = map_onto(structure, self.cell)
        except ValueError as err:
            return Evaluation(key, float("nan"), None, f"left the host: {err}")
        achieved = ordering_group(self.cell).key(site_map.working, self._charges(structure, site_map, result, key))
        return Evaluation(key, result.energy, achieved, deviation=result.energy_std)

    def _charges(self, structure: Structure, site_map: SiteMap, result: Relaxation, key: JointKey) -> Bits | None:
        """Charges that came out, (n_redox,); None where they cannot be told."""
        if self.moments_of is None or result.magmoms is None:
            return self._labels(site_map, result, key)
        plain = structure.copy()
        plain.remove_oxidation_states()
        for name in list(plain.site_properties):
            plain.remove_site_property(name)
        plain.add_site_property("magmom", result.magmoms)
        try:
            return charge_bits(plain, site_map, self.cell, self.couple, self.moments_of)
        except ValueError:  # ambiguous or delocalised moments: the ordering is that of the working ions alone
            return None

    def _labels(self, site_map: SiteMap, result: Relaxation, key: JointKey) -> Bits | None:
        if key.charge is None or result.oxidation_states is None:
            return None
        states = np.array(result.oxidation_states, dtype=float)[site_map.redox_atoms(self.cell)]
        bits: Bits = states == self.couple.high.oxidation_state
        return bits
