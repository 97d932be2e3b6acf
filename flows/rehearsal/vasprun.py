"""vasprun.xml, written per ionic step. The electronic structure in it is a placeholder and means nothing."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .crystal import Crystal
from .frames import EV_PER_A3_IN_KBAR, Frame
from .inputs import Inputs
from .placeholders import Bands
from .settings import Settings


class Vasprun:
    """Writes vasprun.xml. The end (bands, final positions) is missing until `close`, as from a killed VASP.

    Parameters
    ----------
    folder : where.
    inputs, settings : the run.
    bands : placeholder electronic structure.
    version : the version string of the stand-in.
    """

    def __init__(self, folder: Path, inputs: Inputs, settings: Settings, bands: Bands, version: str) -> None:
        self._file = (folder / "vasprun.xml").open("w", encoding="ISO-8859-1")
        self._settings = settings
        self._bands = bands
        self._last: Crystal = inputs.crystal
        self._put('<?xml version="1.0" encoding="ISO-8859-1"?>', "<modeling>")
        self._put(*_generator(version))
        self._put(" <incar>", *(_tag(name, value) for name, value in inputs.tags.items()), " </incar>")
        self._put(*_kpoints(inputs))
        self._put(*_parameters(inputs, settings, bands))
        self._put(*_atominfo(inputs))
        self._put(*_structure(inputs.crystal, "initialpos"))
        self._file.flush()

    def add(self, frame: Frame, *, final: bool) -> None:
        """Write an ionic step and flush; the final one stays open for the bands that `close` puts into it."""
        self.begin(frame)
        self._put(*_structure(frame.crystal, None, "  "), *_varray("forces", frame.evaluation.forces, "  "))
        if self._settings.writes_stress:
            kbar = -EV_PER_A3_IN_KBAR * frame.evaluation.stress  # VASP's sign: positive under compression
            self._put(*_varray("stress", kbar, "  "))
        self._put(
            *_energy(frame.energy, "  "),
            f'  <time name="totalsc">{frame.seconds:8.2f}{frame.seconds:8.2f}</time>',
        )
        if not final:
            self._put(" </calculation>")
        self._last = frame.crystal
        self._file.flush()

    def begin(self, frame: Frame) -> None:
        """Write the electronic steps of an ionic step and flush."""
        self._put(" <calculation>")
        for energy in frame.scf_energies:
            self._put(
                "  <scstep>",
                '   <time name="total">    0.00    0.00</time>',
                *_energy(energy, "   "),
                "  </scstep>",
            )
        self._file.flush()

    def break_off(self) -> None:
        """Close the file as it is."""
        self._file.close()

    def close(self) -> None:
        """Write what only a finished run has: bands and DOS of the last step, final positions."""
        self._put(*_eigenvalues(self._bands), *_dos(self._bands))
        self._put(" </calculation>")
        self._put(*_structure(self._last, "finalpos"), "</modeling>")
        self._file.close()

    def _put(self, *lines: str) -> None:
        self._file.write("\n".join(lines) + "\n")


def _tag(name: str, value: Any, indent: str = "  ") -> str:
    if isinstance(value, list):
        kind = ' type="int"' if value and isinstance(value[0], int) else ""
        words = (f"{x:8d}" if isinstance(x, int) else f"{x:16.8f}" for x in value)
        return f'{indent}<v{kind} name="{name}">{"".join(words)}</v>'
    if isinstance(value, bool):
        return f'{indent}<i type="logical" name="{name}"> {"T" if value else "F"}  </i>'
    if isinstance(value, int):
        return f'{indent}<i type="int" name="{name}">{value:6d}</i>'
    if isinstance(value, float):
        return f'{indent}<i name="{name}">{value:16.8f}</i>'
    return f'{indent}<i type="string" name="{name}">{value}</i>'


def _generator(version: str) -> list[str]:
    now = time.localtime()
    return [
        " <generator>",
        '  <i name="program" type="string">vasp </i>',
        f'  <i name="version" type="string">{version}  </i>',
        '  <i name="subversion" type="string">rehearsal of valenceflow: not VASP, not DFT </i>',
        '  <i name="platform" type="string">rehearsal </i>',
        f'  <i name="date" type="string">{time.strftime("%Y %m %d", now)} </i>',
        f'  <i name="time" type="string">{time.strftime("%H:%M:%S", now)} </i>',
        " </generator>",
    ]


def _kpoints(inputs: Inputs) -> list[str]:
    mesh = inputs.mesh
    lines = [" <kpoints>"]
    if mesh.style != "Reciprocal":
        lines += [
            f'  <generation param="{mesh.style}">',
            '   <v type="int" name="divisions">' + "".join(f"{n:9d}" for n in mesh.divisions) + "</v>",
            '   <v name="usershift">' + "".join(f"{x:16.8f}" for x in mesh.shift) + "</v>",
        ]
        for axis, row in enumerate(np.diag([1 / n for n in mesh.divisions]), start=1):
            lines.append(f'   <v name="genvec{axis}">' + "".join(f"{x:16.8f}" for x in row) + "</v>")
        lines += [
            '   <v name="shift">' + "".join(f"{0.0:16.8f}" for _ in range(3)) + "</v>",
            "  </generation>",
        ]
    lines += _varray("kpointlist", mesh.points, "  ") + _varray("weights", mesh.weights[:, None], "  ")
    return [*lines, " </kpoints>"]


def _parameters(inputs: Inputs, settings: Settings, bands: Bands) -> list[str]:
    lines = [" <parameters>"]
    for section, values in _parameter_sections(inputs, settings, bands).items():
        lines.append(f'  <separator name="{section}" >')
        lines += [_tag(name, value, "   ") for name, value in values.items()]
        lines.append("  </separator>")
    return [*lines, " </parameters>"]


def _parameter_sections(inputs: Inputs, settings: Settings, bands: Bands) -> dict[str, dict[str, Any]]:
    tags = inputs.tags

    def given(**defaults: Any) -> dict[str, Any]:
        return {name: tags.get(name, default) for name, default in defaults.items()}

    n_blocks = len(inputs.blocks)
    plus_u = given(LDAU=False)
    if plus_u["LDAU"]:
        plus_u |= given(LDAUTYPE=2, LDAUL=[-1] * n_blocks, LDAUU=[0.0] * n_blocks, LDAUJ=[0.0] * n_blocks)
    return {
        "general": given(SYSTEM="unknown system") | {"LCOMPAT": False},
        "electronic": {
            "PREC": str(tags.get("PREC", "Normal"))[:6].lower(),
            "ENMAX": settings.energy_cutoff,
            "EDIFF": settings.ediff,
            **given(IALGO=38, TIME=0.4),
            "NBANDS": bands.n_bands,
            "NELECT": inputs.n_electrons,
        },
        "electronic smearing": given(ISMEAR=1, SIGMA=0.2, KSPACING=0.5, KGAMMA=True),
        "electronic projectors": {"LREAL": str(tags.get("LREAL", "F"))[:1].upper() in {"A", "O", "T"}}
        | given(LMAXMIX=2),
        "electronic startup": {"ISTART": settings.istart} | given(ICHARG=0 if settings.istart else 2) | {"INIWAV": 1},
        "electronic spin": given(ISPIN=1)
        | {"LNONCOLLINEAR": False, "MAGMOM": [float(m) for m in inputs.magmoms]}
        | {"NUPDOWN": float(settings.magnetisation), "LSORBIT": False},
        "electronic exchange-correlation": given(LASPH=False) | {"LMETAGGA": False},
        "electronic convergence": {"NELM": settings.max_scf_steps}
        | given(NELMDL=0)
        | {"NELMIN": settings.min_scf_steps},
        "ionic": {"NSW": tags.get("NSW", 0), "IBRION": settings.ibrion, "ISIF": settings.isif}
        | {"PSTRESS": 0.0, "EDIFFG": settings.ediffg}
        | given(POTIM=0.5),
        "symmetry": given(ISYM=2, SYMPREC=1e-5),
        "dos": {"LORBIT": settings.lorbit, "NEDOS": len(bands.dos_energies), "EFERMI": 0.0},
        "writing": given(LWAVE=True, LCHARG=True, LVTOT=False, LVHAR=False, LELF=False),
        "DFT+U": plus_u,
        "hybrid and van der Waals": {
            "GGA": str(tags.get("GGA", "--")),
            "LHFCALC": False,
            "AEXX": 0.0,
            "HFSCREEN": 0.0,
        }
        | {"LUSE_VDW": False},
    }


def _atominfo(inputs: Inputs) -> list[str]:
    lines = [" <atominfo>", f"  <atoms>{len(inputs.crystal.symbols):8d} </atoms>"]
    lines += [
        f"  <types>{len(inputs.blocks):8d} </types>",
        '  <array name="atoms" >',
        '   <dimension dim="1">ion</dimension>',
    ]
    lines += ['   <field type="string">element</field>', '   <field type="int">atomtype</field>', "   <set>"]
    for number, (symbol, count) in enumerate(inputs.blocks, start=1):
        lines += [f"    <rc><c>{symbol:<2}</c><c>{number:4d}</c></rc>"] * count
    lines += [
        "   </set>",
        "  </array>",
        '  <array name="atomtypes" >',
        '   <dimension dim="1">type</dimension>',
    ]
    lines += ['   <field type="int">atomspertype</field>', '   <field type="string">element</field>']
    lines += [
        "   <field>mass</field>",
        "   <field>valence</field>",
        '   <field type="string">pseudopotential</field>',
    ]
    lines.append("   <set>")
    for (symbol, count), potential in zip(inputs.blocks, inputs.potentials, strict=True):
        lines.append(
            f"    <rc><c>{count:4d}</c><c>{symbol:<2}</c><c>{potential.mass:16.8f}</c>"
            f"<c>{potential.valence:16.8f}</c><c> {potential.header:<40}</c></rc>"
        )
    return [*lines, "   </set>", "  </array>", " </atominfo>"]


def _structure(crystal: Crystal, name: str | None, indent: str = " ") -> list[str]:
    label = f' name="{name}" ' if name else ""
    deeper = indent + "  "
    return [
        f"{indent}<structure{label}>",
        f"{indent} <crystal>",
        *_varray("basis", crystal.lattice, deeper),
        f'{deeper}<i name="volume">{crystal.volume:16.8f} </i>',
        *_varray("rec_basis", crystal.reciprocal, deeper),
        f"{indent} </crystal>",
        *_varray("positions", crystal.positions, indent + " "),
        f"{indent}</structure>",
    ]


def _varray(name: str, rows: NDArray[np.float64], indent: str) -> list[str]:
    body = (f"{indent} <v>" + "".join(f"{x:17.8f}" for x in row) + " </v>" for row in rows)
    return [f'{indent}<varray name="{name}" >', *body, f"{indent}</varray>"]


def _energy(value: float, indent: str) -> list[str]:
    names = ("e_fr_energy", "e_wo_entrp", "e_0_energy")
    return [
        f"{indent}<energy>",
        *(f'{indent} <i name="{n}">{value:16.8f} </i>' for n in names),
        f"{indent}</energy>",
    ]


def _set(comment: str, inner: Iterable[str], indent: str) -> list[str]:
    return [f'{indent}<set comment="{comment}">', *inner, f"{indent}</set>"]


def _eigenvalues(bands: Bands) -> list[str]:
    rows = [f"       <r>{e:10.4f}{o:10.4f} </r>" for e, o in zip(bands.energies, bands.occupations, strict=True)]
    spins: list[str] = []
    for spin in range(1, bands.n_spins + 1):
        points = [line for k in range(1, bands.n_points + 1) for line in _set(f"kpoint {k}", rows, "      ")]
        spins += _set(f"spin {spin}", points, "     ")
    head = ["  <eigenvalues>", "   <array>"]
    head += [f'    <dimension dim="{i}">{n}</dimension>' for i, n in enumerate(("band", "kpoint", "spin"), start=1)]
    head += ["    <field>eigene</field>", "    <field>occ</field>", "    <set>"]
    return [*head, *spins, "    </set>", "   </array>", "  </eigenvalues>"]


def _dos(bands: Bands) -> list[str]:
    rows = [
        f"       <r>{e:11.4f}{d:11.4f}{i:11.4f} </r>"
        for e, d, i in zip(bands.dos_energies, bands.dos, bands.integrated_dos, strict=True)
    ]
    head = ["  <dos>", f'   <i name="efermi">{bands.fermi_energy:16.8f} </i>', "   <total>", "    <array>"]
    head += ['     <dimension dim="1">gridpoints</dimension>', '     <dimension dim="2">spin</dimension>']
    head += [f"     <field>{name}</field>" for name in ("energy", "total", "integrated")] + ["     <set>"]
    spins = [line for s in range(1, bands.n_spins + 1) for line in _set(f"spin {s}", rows, "      ")]
    return [*head, *spins, "     </set>", "    </array>", "   </total>", "  </dos>"]
