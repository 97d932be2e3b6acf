"""The INCAR tags that steer a run, with VASP's defaults filled in."""

from __future__ import annotations

from dataclasses import dataclass

from .incar import Tags


@dataclass(frozen=True)
class Settings:
    """What the run does.

    Parameters
    ----------
    max_steps : NSW, ionic steps at most (1 for a static run).
    ibrion, isif : IBRION and ISIF as VASP resolves them.
    ediff, ediffg : EDIFF, eV; EDIFFG, eV (positive) or eV/angstrom (negative).
    max_scf_steps, min_scf_steps : NELM, NELMIN.
    spin_polarised : ISPIN is 2.
    lorbit : LORBIT; 10 or more prints the charges and moments of the sites.
    energy_cutoff : ENCUT, eV.
    magnetisation : NUPDOWN, muB, or -1 where it is free.
    istart : ISTART in effect (see wavecar.py).
    writes_wavefunctions : LWAVE.
    """

    max_steps: int
    ibrion: int
    isif: int
    ediff: float
    ediffg: float
    max_scf_steps: int
    min_scf_steps: int
    spin_polarised: bool
    lorbit: int
    energy_cutoff: float
    magnetisation: float
    istart: int
    writes_wavefunctions: bool

    @property
    def relaxes_cell(self) -> bool:
        """Whether the lattice moves."""
        return self.isif == 3

    @property
    def writes_stress(self) -> bool:
        """Whether VASP computes the stress (not for ISIF 0)."""
        return self.isif >= 1


def settings_from(tags: Tags, energy_cutoff: float, istart: int) -> Settings:
    """Resolve the tags of an INCAR.

    Parameters
    ----------
    tags : as read.
    energy_cutoff : largest ENMAX of the potentials, eV, the default of ENCUT.
    istart : ISTART in effect.
    """
    nsw = tags.get("NSW", 0)
    ibrion = tags.get("IBRION", -1 if nsw <= 1 else 2)
    ediff = tags.get("EDIFF", 1e-4)
    return Settings(
        max_steps=1 if ibrion == -1 else max(1, nsw),
        ibrion=ibrion,
        isif=tags.get("ISIF", 2),
        ediff=ediff,
        ediffg=tags.get("EDIFFG", 10 * ediff),
        max_scf_steps=tags.get("NELM", 60),
        min_scf_steps=tags.get("NELMIN", 2),
        spin_polarised=tags.get("ISPIN", 1) == 2,
        lorbit=tags.get("LORBIT", 0),
        energy_cutoff=tags.get("ENCUT", energy_cutoff),
        magnetisation=tags.get("NUPDOWN", -1.0),
        istart=istart,
        writes_wavefunctions=tags.get("LWAVE", True),
    )
