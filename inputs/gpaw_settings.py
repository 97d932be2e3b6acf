"""What a protocol says to GPAW: VASP's words mapped to GPAW's, and a block of its own for what VASP has no word for.

Mapped: GGA, ENCUT, ISMEAR and SIGMA, U, EDIFFG, ISIF, the k-mesh, NUPDOWN and the moments. Own (`gpaw:` in a protocol's
YAML): SCF starts, whether U acts on scaled occupations, PAW setups, convergence. PAW setups of GPAW are not VASP's
POTCARs, so energies of the two never mix.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator
from pymatgen.core import Element

from .kmesh import Mesh

if TYPE_CHECKING:
    from .protocol import Protocol

GPAW = "gpaw"
"""Name of the engine, and of the preset whose `gpaw:` block a protocol without one is run with."""

FUNCTIONALS = {"PE": "PBE", "PS": "PBEsol", "RP": "RPBE", "91": "PW91"}
"""GPAW's name of each GGA that VASP's tag can name here."""

_START = re.compile(r"atoms|ionic( d[1-5])?")
_CRITERIA = ("energy", "density", "eigenstates")


class GpawSettings(BaseModel):
    """GPAW's own part of a protocol. Limits are not hashed, all else is."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    cutoff: float | None = Field(
        default=None, gt=0, description="plane waves up to this, eV; None: the protocol's ENCUT"
    )
    k_mesh: Literal["as the protocol", "gamma"] = Field(
        default="as the protocol", description="`gamma`: the Gamma point alone, whatever the cell"
    )
    smearing: float | None = Field(
        default=None, gt=0, description="width of Fermi and Dirac's, eV; None: the protocol's ISMEAR and SIGMA"
    )
    scale_u: bool = Field(
        description="U acts on d occupations scaled to a whole orbital within the PAW sphere; VASP does not scale"
    )
    setups: dict[str, str] = Field(default_factory=dict, description="PAW setup by element where it is not the default")
    ions: dict[str, int] = Field(description="formal charge of elements beside the redox couple, e, for ionic starts")
    starts: tuple[str, ...] = Field(
        min_length=1,
        description="SCF starts, the lowest energy is kept: `ionic` (superposed ions), `ionic d1` to `ionic d5` (an "
        "open d shell's odd electrons in one orbital), `atoms` (GPAW's own)",
    )
    screening: float = Field(
        ge=0, le=1, description="ionic starts: how far the shells of ions stand from bare ions (0) to neutral atoms (1)"
    )
    covalency: float = Field(ge=0, le=1, description="the same for open d shells, which bonds fill")
    fixed_density: int = Field(
        default=0, ge=0, description="iterations in the density of the start, before it is first updated"
    )
    mixing: dict[str, str | float] = Field(
        default_factory=dict, description="GPAW's mixer: method, beta, history, weight; empty: its own choice"
    )
    convergence: dict[str, float] = Field(
        description="GPAW's criteria: energy (eV), density (electrons), eigenstates (eV^2), each per valence electron"
    )
    limits: dict[str, int] = Field(
        description="scf: iterations; hops: how often an SCF's charge order may change before it is given up (0: "
        "never); steps: ionic steps; not hashed"
    )

    @field_validator("starts", mode="after")
    @classmethod
    def _known_starts(cls, starts: tuple[str, ...]) -> tuple[str, ...]:
        unknown = [start for start in starts if not _START.fullmatch(start)]
        if unknown or len(set(starts)) < len(starts):
            raise ValueError(
                f"starts {list(starts)} must be different ones of ionic, ionic d1 to ionic d5, atoms"
                + (f"; {unknown[0]!r} is none of them" if unknown else "")
            )
        return starts

    @field_validator("ions", mode="after")
    @classmethod
    def _elements(cls, ions: dict[str, int]) -> dict[str, int]:
        wrong = [symbol for symbol in ions if not Element.is_valid_symbol(symbol)]
        if wrong:
            raise ValueError(f"ions: {wrong[0]!r} is no element symbol")
        return ions

    @field_validator("convergence", mode="after")
    @classmethod
    def _criteria(cls, values: dict[str, float]) -> dict[str, float]:
        if set(values) != set(_CRITERIA) or min(values.values()) <= 0:
            raise ValueError(f"give exactly {', '.join(_CRITERIA)}, all positive, not {values}")
        return dict(sorted(values.items()))

    @field_validator("limits", mode="after")
    @classmethod
    def _limits(cls, values: dict[str, int]) -> dict[str, int]:
        if set(values) != {"scf", "hops", "steps"} or min(values["scf"], values["steps"]) < 1 or values["hops"] < 0:
            raise ValueError(f"give exactly scf and steps (at least 1) and hops (0: never), not {values}")
        return dict(sorted(values.items()))

    def ion(self, element: str) -> int:
        """Formal charge of an element beside the couple.

        Raises
        ------
        ValueError
            If the protocol does not say it.
        """
        if element not in self.ions:
            raise ValueError(
                f"the protocol does not say which ion {element} is, so no density can start from ions; in a protocol "
                f"of your own add gpaw: {{ions: {{{element}: CHARGE}}}}"
            )
        return self.ions[element]


def gpaw_parameters(protocol: Protocol, elements: Collection[str], mesh: Mesh) -> dict[str, Any]:
    """Parameters of GPAW's calculator, as they are written into a job.

    Parameters
    ----------
    protocol : with its `gpaw` block.
    elements : in the structure; U and setups of others are left out.
    mesh : Gamma-centred, points along each reciprocal vector.

    Raises
    ------
    ValueError
        If the protocol says something to VASP that GPAW cannot do.
    """
    settings = _settings(protocol)
    return {
        **_functional_and_basis(protocol),
        "k_mesh": list(mesh),
        "hubbard_u": _of(elements, protocol.hubbard_u),
        "scale_u": settings.scale_u,
        "setups": _of(elements, settings.setups),
        "fix_total_moment": protocol.nupdown == "sum of initial moments",
        "fixed_density_iterations": settings.fixed_density,
        "mixer": settings.mixing,
        "convergence": settings.convergence,
        "max_scf_iterations": settings.limits["scf"],
    }


def gpaw_physics(protocol: Protocol) -> dict[str, Any]:
    """What the hash of a protocol covers where GPAW runs it: nothing that is VASP's alone."""
    settings = _settings(protocol)
    rattle = () if protocol.rattle is None else ("rattle",)
    shared = ("hubbard_u", "initial_moments", "nupdown", "spin_order", *rattle)
    fields = protocol.model_dump(mode="json", include={*shared, "k_mesh"})
    decisive = "length" if protocol.k_mesh.rule == "same density" else "mesh"
    k_mesh = {"rule": protocol.k_mesh.rule, decisive: fields["k_mesh"][decisive]}
    return {
        "engine": GPAW,
        **{name: fields[name] for name in shared},
        **_functional_and_basis(protocol),
        "k_mesh": "gamma" if settings.k_mesh == "gamma" else k_mesh,
        "max_force": protocol.max_force,
        "cell_relaxes": cell_relaxes(protocol),
        **settings.model_dump(mode="json", exclude={"limits", "cutoff", "k_mesh", "smearing"}),
    }


def cell_relaxes(protocol: Protocol) -> bool:
    """Whether a relaxation moves the cell, by ISIF.

    Raises
    ------
    ValueError
        If ISIF asks for what the GPAW steps cannot do.
    """
    isif = protocol.relax["ISIF"]
    if isif not in (2, 3):
        raise ValueError(f"ISIF = {isif} has no equal in GPAW's steps; take 3 (cell and positions) or 2 (positions)")
    return isif == 3


def _functional_and_basis(protocol: Protocol) -> dict[str, Any]:
    if protocol.functional not in FUNCTIONALS:
        known = ", ".join(FUNCTIONALS)
        raise ValueError(f"functional {protocol.functional} has no name in GPAW here; take one of {known}")
    if protocol.hubbard_u and protocol.ldau_type != 2:
        raise ValueError(f"ldau_type = {protocol.ldau_type}: GPAW has Dudarev's U alone; take ldau_type: 2")
    settings = _settings(protocol)
    return {
        "xc": FUNCTIONALS[protocol.functional],
        "cutoff_ev": float(protocol.incar["ENCUT"]) if settings.cutoff is None else settings.cutoff,
        "occupations": _occupations(int(protocol.incar["ISMEAR"]), float(protocol.incar["SIGMA"]))
        if settings.smearing is None
        else _occupations(-1, settings.smearing),
    }


def _occupations(ismear: int, sigma: float) -> dict[str, Any]:
    """VASP's smearing under GPAW's name; ISMEAR 0 is Methfessel and Paxton's order 0."""
    if ismear == -1:
        return {"name": "fermi-dirac", "width": sigma}
    if ismear >= 0:
        return {"name": "methfessel-paxton", "order": ismear, "width": sigma}
    raise ValueError(f"ISMEAR = {ismear} has no equal in GPAW's steps; take 0 (Gaussian) or -1 (Fermi)")


def _of(elements: Collection[str], values: Mapping[str, Any]) -> dict[str, Any]:
    return {symbol: value for symbol, value in sorted(values.items()) if symbol in elements}


def _settings(protocol: Protocol) -> GpawSettings:
    if protocol.gpaw is None:
        raise ValueError(f"protocol {protocol.name} has no `gpaw` block; take protocol: gpaw, or --engine vasp")
    return protocol.gpaw
