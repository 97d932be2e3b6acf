"""OSZICAR, CONTCAR, XDATCAR and what VASP prints, written per ionic step."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TextIO

from .crystal import Crystal, format_poscar
from .frames import Frame
from .settings import Settings

_HEADER = "       N       E                     dE             d eps       ncg     rms          rms(c)\n"


def scf_line(number: int, energy: float, change: float) -> str:
    """Return one electronic step as in OSZICAR."""
    size = abs(change)
    ends = f"{_fortran(change, 5):>12}   {_fortran(-size, 5):>12}"
    return f"CGA:{number:4d}    {_fortran(energy, 12):>18}   {ends}{96:6d}   {_fortran(size, 3):>9}\n"


def ionic_line(frame: Frame, settings: Settings) -> str:
    """Return the line that ends an ionic step in OSZICAR and on the screen."""
    free = _fortran(frame.energy, 8, lead=False)
    change = _fortran(frame.energy - frame.first_energy, 6, lead=False)
    line = f"{frame.index:4d} F= {free} E0= {free}  d E ={change}"
    return line + (f"  mag={fixed(frame.magnetisation(settings), 11, 4)}\n" if settings.spin_polarised else "\n")


def fixed(value: float, width: int, digits: int) -> str:
    """Write a number as Fortran's F format does: stars where it does not fit, NaN where it is none."""
    text = "NaN" if math.isnan(value) else f"{value:.{digits}f}"
    return f"{text:>{width}}" if len(text) <= width else "*" * width


def _fortran(value: float, digits: int, *, lead: bool = True) -> str:
    """Write -0.123E+02, or -.123E+02 without the leading zero, as Fortran's E format does."""
    mantissa, _, exponent = f"{abs(value):.{digits - 1}E}".partition("E")
    power = int(exponent) + (1 if float(mantissa) else 0)
    head = "-" + ("0" if lead else "") if value < 0 else "0"
    return f"{head}.{mantissa.replace('.', '')}E{power:+03d}"


class Oszicar:
    """Writes OSZICAR and the same lines on the screen."""

    def __init__(self, folder: Path, screen: TextIO, settings: Settings) -> None:
        self._file = (folder / "OSZICAR").open("w")
        self._screen = screen
        self._settings = settings

    def add(self, frame: Frame) -> None:
        """Write an ionic step and flush."""
        self.begin(frame)
        self._put([ionic_line(frame, self._settings)])

    def begin(self, frame: Frame) -> None:
        """Write the electronic steps of an ionic step."""
        lines = [_HEADER]
        before = 0.0
        for number, energy in enumerate(frame.scf_energies, start=1):
            lines.append(scf_line(number, energy, energy - before))
            before = energy
        self._put(lines)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    break_off = close

    def _put(self, lines: list[str]) -> None:
        for stream in (self._file, self._screen):
            stream.writelines(lines)
            stream.flush()


class Positions:
    """Writes CONTCAR (the geometry of the last step) and XDATCAR (all of them)."""

    def __init__(self, folder: Path, blocks: list[tuple[str, int]]) -> None:
        self._contcar = folder / "CONTCAR"
        # VASP opens CONTCAR at the start and leaves it empty until the first step is done.
        self._contcar.write_text("")
        self._xdatcar = (folder / "XDATCAR").open("w")
        self._blocks = blocks

    def add(self, frame: Frame) -> None:
        """Write an ionic step and flush."""
        self._contcar.write_text(format_poscar(frame.crystal, self._blocks))
        self._xdatcar.write(self._configuration(frame.crystal, frame.index))
        self._xdatcar.flush()

    def close(self) -> None:
        """Close the files."""
        self._xdatcar.close()

    break_off = close

    def _configuration(self, crystal: Crystal, index: int) -> str:
        lines = [f"{crystal.comment:<40}", "           1"]
        lines += ["".join(f"{x:12.6f}" for x in row) for row in crystal.lattice]
        lines.append("".join(f"{symbol:>5}" for symbol, _ in self._blocks))
        lines.append("".join(f"{count:5d}" for _, count in self._blocks))
        lines.append(f"Direct configuration={index:6d}")
        lines += ["".join(f"{x:12.8f}" for x in row) for row in crystal.positions]
        return "\n".join(lines) + "\n"
