"""OUTCAR, written per ionic step: what pymatgen, emmet, custodian and parsers of site moments look for."""

from __future__ import annotations

import resource
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .crystal import Crystal
from .frames import EV_PER_A3_IN_KBAR, Frame
from .inputs import Inputs
from .oszicar import fixed
from .placeholders import Bands
from .settings import Settings

_RULE = "\n\n" + "-" * 104 + "\n\n\n"
_NOTICE = """
 ----------------------------------------------------------------------------
|                                                                             |
|     This is the rehearsal stand-in of valenceflow. It is not VASP, and      |
|     nothing in this file is the result of a DFT calculation. Bands,         |
|     densities of states and site charges are placeholders.                  |
|                                                                             |
 ----------------------------------------------------------------------------
"""
_SITE_HEADER = "\n\n\n {name}\n \n# of ion       s       p       d       tot\n" + "-" * 42 + "\n"


class Outcar:
    """Writes OUTCAR. Moments are printed per ionic step and, as by VASP, once more at the end of the run."""

    def __init__(self, folder: Path, inputs: Inputs, settings: Settings, bands: Bands, version: str) -> None:
        self._file = (folder / "OUTCAR").open("w")
        self._inputs = inputs
        self._settings = settings
        self._bands = bands
        self._start = time.time()
        self._tables = ""
        self._file.write(_head(inputs, version) + _dimensions(inputs, bands) + _tags(inputs, settings))
        self._file.write(_geometry(inputs.crystal) + _plane_waves(inputs))
        self._file.flush()

    def add(self, frame: Frame, *, stop: str | None, converged: bool) -> None:
        """Write an ionic step and flush.

        Parameters
        ----------
        frame : the step.
        stop : what STOPCAR asked for: "soft", "hard" or nothing.
        converged : whether it is the last because the forces are small.
        """
        self._tables = self._site_tables(frame)
        parts = [self._electronic_steps(frame), self._scf_end(frame, stop)]
        parts.append(f"\n\n E-fermi : {self._bands.fermi_energy:8.4f}     XC(G=0):  -9.0     alpha+bet : -9.0\n\n")
        parts.append(self._tables)
        if self._settings.writes_stress:
            parts.append(_stress(frame))
        parts += [_geometry(frame.crystal, now=True), _forces(frame), _total_energy(frame.energy)]
        if stop == "soft":
            parts.append(" soft stop encountered!  aborting job ...\n")
        if converged:
            parts.append("\n reached required accuracy - stopping structural energy minimisation\n")
        parts.append(f"     LOOP+:  cpu time{frame.seconds:12.4f}: real time{frame.seconds:12.4f}\n")
        self._file.write("".join(parts))
        self._file.flush()

    def begin(self, frame: Frame) -> None:
        """Write the electronic steps of an ionic step that comes to no result."""
        self.say(self._electronic_steps(frame))

    def say(self, text: str) -> None:
        """Write a message and flush."""
        self._file.write(f"{text}\n")
        self._file.flush()

    def break_off(self) -> None:
        """Close the file as it is."""
        self._file.close()

    def close(self) -> None:
        """Write the last tables and the timing, which only a finished run has."""
        self._file.write(f"    4ORBIT:  cpu time{0:12.4f}: real time{0:12.4f}\n{self._tables}\n")
        self._file.write(_footer(time.time() - self._start))
        self._file.close()

    def _electronic_steps(self, frame: Frame) -> str:
        moment = frame.magnetisation(self._settings)
        electrons = f" number of electron {self._inputs.n_electrons:15.7f} magnetization {fixed(moment, 15, 7)}\n"
        lines, before = [], 0.0
        for number, energy in enumerate(frame.scf_energies, start=1):
            lines.append(f"\n{'-' * 39} Iteration {frame.index:6d}({number:4d})  {'-' * 39}\n\n\n")
            lines.append(f"      LOOP:  cpu time{0:12.4f}: real time{0:12.4f}\n\n")
            lines.append(f" total energy-change (2. order) :{energy - before:14.7E}  ({energy - before:14.7E})\n")
            lines.append(electrons)
            lines.append("\n Free energy of the ion-electron system (eV)\n  " + "-" * 51 + "\n")
            lines.append(f"  entropy T*S    EENTRO = {frame.entropy:19.8f}\n")
            lines.append(f"  free energy    TOTEN  = {energy:19.8f} eV\n\n")
            lines.append(f"  energy without entropy = {energy:19.8f}  energy(sigma->0) = {energy:19.8f}\n\n")
            before = energy
        return "".join(lines)

    def _scf_end(self, frame: Frame, stop: str | None) -> str:
        if stop == "hard":
            return _loop_end("because of STOPCAR") + "\n hard stop encountered!  aborting job ...\n"
        if frame.scf_converged:
            return _loop_end("because EDIFF is reached")
        return _loop_end("EDIFF was not reached (unconverged)")

    def _site_tables(self, frame: Frame) -> str:
        if self._settings.lorbit < 10:
            return ""
        charges = np.repeat([p.valence for p in self._inputs.potentials], [n for _, n in self._inputs.blocks])
        tables = _site_table("total charge", charges, self._inputs.crystal)
        if self._settings.spin_polarised:
            tables += _site_table("magnetization (x)", frame.evaluation.moments, self._inputs.crystal)
        return tables


def _loop_end(why: str) -> str:
    return f"\n{'-' * 24} aborting loop {why} {'-' * 40}\n"


def _head(inputs: Inputs, version: str) -> str:
    now = time.localtime()
    potentials = "".join(f" POTCAR:   {p.header:<60}\n" for p in inputs.potentials)
    details = "".join(
        f" POTCAR:   {p.header}\n   VRHFIN ={p.element}:\n   LEXCH  = {p.functional}\n"
        f"   TITEL  = {p.header}\n"
        f"   POMASS = {p.mass:8.3f}; ZVAL   = {p.valence:8.3f}    mass and valenz\n"
        f"   ENMAX  = {p.energy_cutoff:8.3f}\n"
        for p in inputs.potentials
    )
    echo = "".join(f"   {line.strip()}\n" for line in inputs.incar_text.splitlines() if line.strip())
    return (
        f" vasp.{version} (rehearsal stand-in of valenceflow: not VASP, not DFT)\n  \n"
        f" executed on             rehearsal date {time.strftime('%Y.%m.%d  %H:%M:%S', now)}\n"
        " running    1 mpi-ranks, on    1 nodes\n"
        f"{_NOTICE}{_RULE} INCAR:\n{echo}\n{potentials}{details}"
    )


def _dimensions(inputs: Inputs, bands: Bands) -> str:
    n_sites = len(inputs.crystal.symbols)
    per_type = "".join(f"{count:7d}" for _, count in inputs.blocks)
    return (
        f"{_RULE} Dimension of arrays:\n"
        f"   k-points           NKPTS = {bands.n_points:6d}   k-points in BZ     NKDIM = {bands.n_points:6d}"
        f"   number of bands    NBANDS= {bands.n_bands:6d}\n"
        f"   number of dos      NEDOS = {len(bands.dos_energies):6d}"
        f"   number of ions     NIONS = {n_sites:6d}\n"
        "   total plane-waves  NPLWV =      1\n"
        f"   ions per type =        {per_type}\n"
    )


def _tags(inputs: Inputs, settings: Settings) -> str:
    tags = inputs.tags
    plus_u = ""
    if tags.get("LDAU"):
        rows = {tag: " ".join(f"{x:5}" for x in tags[tag]) for tag in ("LDAUL", "LDAUU", "LDAUJ")}
        plus_u = (
            f"\n LDA+U is selected, type is set to LDAUTYPE = {tags.get('LDAUTYPE', 2):2d}\n"
            f"   angular momentum for each species LDAUL = {rows['LDAUL']}\n"
            f"   U (eV)           for each species LDAUU = {rows['LDAUU']}\n"
            f"   J (eV)           for each species LDAUJ = {rows['LDAUJ']}\n"
        )
    masses = "".join(f"{p.mass:6.2f}" for p in inputs.potentials)
    valences = "".join(f"{p.valence:6.2f}" for p in inputs.potentials)
    return (
        f" SYSTEM =  {tags.get('SYSTEM', 'unknown system')}\n POSCAR =  {inputs.crystal.comment}\n\n"
        f" Startparameter for this run:\n"
        f"   PREC   = {str(tags.get('PREC', 'normal'))[:6].lower():<9} normal or accurate\n"
        f"   ISTART = {settings.istart:6d}    job   : 0-new  1-cont  2-samecut\n"
        f"   ICHARG = {tags.get('ICHARG', 2):6d}    charge: 1-file 2-atom 10-const\n"
        f"   ISPIN  = {2 if settings.spin_polarised else 1:6d}    spin polarized calculation?\n"
        "   LNONCOLLINEAR =      F non collinear calculations\n   LSORBIT =      F    spin-orbit coupling\n\n"
        f" Electronic Relaxation 1\n   ENCUT  = {settings.energy_cutoff:6.1f} eV\n"
        f"   NELM   = {settings.max_scf_steps:6d};   NELMIN={settings.min_scf_steps:3d};     # of ELM steps\n"
        f"   EDIFF  = {settings.ediff:.1E}   stopping-criterion for ELM\n"
        f" Ionic relaxation\n   EDIFFG = {settings.ediffg:.1E}   stopping-criterion for IOM\n"
        f"   NSW    = {tags.get('NSW', 0):6d}    number of steps for IOM\n"
        f"   IBRION = {settings.ibrion:6d}    ionic relax: 0-MD 1-quasi-New 2-CG\n"
        f"   ISIF   = {settings.isif:6d}    stress and relaxation\n"
        f"   ISYM   = {tags.get('ISYM', 2):6d}    0-nonsym 1-usesym 2-fastsym\n\n"
        f"  Mass of Ions in am\n   POMASS ={masses}\n  Ionic Valenz\n   ZVAL   ={valences}\n"
        f"   NELECT = {inputs.n_electrons:12.4f}    total number of electrons\n"
        f"   NUPDOWN= {settings.magnetisation:12.4f}    fix difference up-down\n"
        f"   ISMEAR = {tags.get('ISMEAR', 1):5d};   SIGMA  ={tags.get('SIGMA', 0.2):7.2f}  broadening in eV\n"
        f"   LWAVE  = {'T' if settings.writes_wavefunctions else 'F':>6}    write WAVECAR\n"
        "   LCHARG =      F    write CHGCAR\n"
        f"   LORBIT = {settings.lorbit:6d}    0 simple, 1 ext, 2 COOP (PROOUT)\n{plus_u}"
        " Linear response parameters\n   LEPSILON=     F    determine dielectric tensor\n"
        " Orbital magnetization related:\n   LCHIMAG   =     F  perturbation theory with respect to B field\n"
    )


def _geometry(crystal: Crystal, *, now: bool = False) -> str:
    title = "\n\n VOLUME and BASIS-vectors are now :\n " + "-" * 77 + "\n" if now else _RULE
    rows = "".join(
        "  " + "".join(f"{x:14.9f}" for x in direct) + "  " + "".join(f"{x:14.9f}" for x in inverse) + "\n"
        for direct, inverse in zip(crystal.lattice, crystal.reciprocal, strict=True)
    )
    return (
        f"{title}  volume of cell : {crystal.volume:11.2f}\n"
        f"      direct lattice vectors                 reciprocal lattice vectors\n{rows}\n"
    )


def _plane_waves(inputs: Inputs) -> str:
    points = "".join(
        f" k-point{number:4d} :   {k[0]:.4f} {k[1]:.4f} {k[2]:.4f}  plane waves:       1\n"
        for number, k in enumerate(inputs.mesh.points, start=1)
    )
    return f"{_RULE}{points}\n maximum and minimum number of plane-waves per node :         1        1\n\n"


def _site_table(name: str, totals: NDArray[np.float64], crystal: Crystal) -> str:
    """One value per site, put into the d column for transition metals and into p otherwise; a fault may drop rows."""
    d_like = {"Sc", "Ti", "V", "Cr", "Mn", "Fe", "Co", "Ni", "Cu", "Zn", "Zr", "Nb", "Mo", "W"}
    sites = zip(crystal.symbols[: len(totals)], totals, strict=True)
    rows = np.array([[0.0, 0.0, m, m] if s in d_like else [0.0, m, 0.0, m] for s, m in sites])
    body = "".join(
        f"{number:5d}     " + "".join(fixed(x, 8, 3) for x in row) + "\n" for number, row in enumerate(rows, start=1)
    )
    totals_row = "tot       " + "".join(fixed(x, 8, 3) for x in rows.sum(axis=0)) + "\n"
    return _SITE_HEADER.format(name=name) + body + "-" * 50 + "\n" + totals_row


def _stress(frame: Frame) -> str:
    kbar = -EV_PER_A3_IN_KBAR * frame.evaluation.stress  # VASP's sign: positive under compression
    ev = kbar / EV_PER_A3_IN_KBAR * frame.crystal.volume
    order = ((0, 0), (1, 1), (2, 2), (0, 1), (1, 2), (2, 0))
    return (
        "\n  FORCE on cell =-STRESS in cart. coord.  units (eV):\n"
        "  Direction    XX          YY          ZZ          XY          YZ          ZX\n  " + "-" * 86 + "\n"
        "  Total  " + "".join(f"{ev[i]:12.5f}" for i in order) + "\n"
        "  in kB  " + "".join(f"{kbar[i]:12.5f}" for i in order) + "\n"
        f"  external pressure = {np.trace(kbar) / 3:11.2f} kB  Pullay stress =        0.00 kB\n"
    )


def _forces(frame: Frame) -> str:
    rows = "".join(
        "".join(f"{x:13.5f}" for x in place) + "   " + "".join(f"{x:14.6f}" for x in force) + "\n"
        for place, force in zip(frame.crystal.cartesian, frame.evaluation.forces, strict=True)
    )
    drift = frame.evaluation.forces.sum(axis=0)
    rule = " " + "-" * 83 + "\n"
    return (
        f"\n POSITION                                       TOTAL-FORCE (eV/Angst)\n{rule}{rows}{rule}"
        "    total drift:                          " + "".join(f"{x:14.6f}" for x in drift) + "\n"
    )


def _total_energy(energy: float) -> str:
    return (
        f"{_RULE}\n  FREE ENERGIE OF THE ION-ELECTRON SYSTEM (eV)\n  {'-' * 51}\n"
        f"  free  energy   TOTEN  = {energy:19.8f} eV\n\n"
        f"  energy  without entropy={energy:19.8f}  energy(sigma->0) ={energy:19.8f}\n\n"
    )


def _footer(elapsed: float) -> str:
    used = resource.getrusage(resource.RUSAGE_SELF)
    lines = {
        "Total CPU time used (sec)": f"{used.ru_utime + used.ru_stime:12.3f}",
        "User time (sec)": f"{used.ru_utime:12.3f}",
        "System time (sec)": f"{used.ru_stime:12.3f}",
        "Elapsed time (sec)": f"{elapsed:12.3f}",
        "Maximum memory used (kb)": f"{used.ru_maxrss:12.0f}.",
        "Average memory used (kb)": "         N/A",
    }
    body = "".join(f"{name:>41}: {value}\n" for name, value in lines.items())
    return (
        " \n General timing and accounting informations for this job:\n"
        f" ========================================================\n  \n{body}"
    )
