"""All output files of a run, written step by step, and what a run that breaks off leaves of them."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

from .frames import Frame
from .inputs import Inputs
from .oszicar import Oszicar, Positions
from .outcar import Outcar
from .placeholders import placeholder_bands
from .settings import Settings
from .vasprun import Vasprun
from .wavecar import write_wavecar

STEPS_SEEN = 2
"""Electronic steps that were printed before a run broke off within an ionic step."""


class Outputs:
    """Writes OUTCAR, OSZICAR, vasprun.xml, CONTCAR, XDATCAR, the screen, and WAVECAR where LWAVE asks for it.

    Parameters
    ----------
    folder : where.
    inputs, settings : the run.
    version : the version string of the stand-in.
    """

    def __init__(self, folder: Path, inputs: Inputs, settings: Settings, version: str) -> None:
        self.folder = folder
        self.settings = settings
        n_spins = 2 if settings.spin_polarised else 1
        n_sites, n_points = len(inputs.crystal.symbols), len(inputs.mesh.points)
        bands = placeholder_bands(inputs.n_electrons, n_sites, n_points, n_spins)
        self._shape = (bands.n_bands, n_points, n_spins)
        self._vasprun = Vasprun(folder, inputs, settings, bands, version)
        self._outcar = Outcar(folder, inputs, settings, bands, version)
        self._oszicar = Oszicar(folder, sys.stdout, settings)
        self._positions = Positions(folder, inputs.blocks)
        self._converged = False

    def add(self, frame: Frame, *, final: bool, converged: bool, stop: str | None) -> None:
        """Write an ionic step to all files.

        Parameters
        ----------
        frame : the step.
        final : whether it is the last.
        converged : whether it is the last because the forces are small.
        stop : what STOPCAR asked for: "soft", "hard" or nothing.
        """
        self._vasprun.add(frame, final=final)
        self._outcar.add(frame, stop=stop, converged=converged)
        self._oszicar.add(frame)
        self._positions.add(frame)
        self._converged = converged

    def add_unfinished(self, frame: Frame) -> None:
        """Write the first electronic steps of an ionic step that comes to no result."""
        begun = replace(frame, scf_energies=frame.scf_energies[:STEPS_SEEN])
        self._vasprun.begin(begun)
        self._outcar.begin(begun)
        self._oszicar.begin(begun)

    def say(self, text: str, *, on_stderr: bool = False) -> None:
        """Print a message where VASP does: on the screen and in OUTCAR, or on standard error alone."""
        print(text, file=sys.stderr if on_stderr else sys.stdout, flush=True)
        if not on_stderr:
            self._outcar.say(text)

    def close(self) -> None:
        """Write what only a finished run has."""
        if self._converged:
            print(" reached required accuracy - stopping structural energy minimisation")
        for writer in (self._vasprun, self._outcar, self._oszicar, self._positions):
            writer.close()
        print(" writing wavefunctions", flush=True)
        if self.settings.writes_wavefunctions:
            write_wavecar(self.folder, self._shape)

    def break_off(self) -> None:
        """Leave the files as they are, without their ends."""
        for writer in (self._vasprun, self._outcar, self._oszicar, self._positions):
            writer.break_off()
