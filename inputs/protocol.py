"""The one home of everything that changes energies: INCAR tags, U, POTCARs, k-mesh, how moments are used.

Presets are data (data/protocols/*.yaml), and so are a user's own (`extends`; see `protocol_files`).
Sources: paper section 4.1 and the authors' public inputs. `vasp_sets` turns a protocol and a structure into
files; the redox couples (`charge_states`) hold the moments and surrogates themselves.
"""

from __future__ import annotations

import hashlib
import json
from math import inf
from pathlib import Path
from typing import Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pymatgen.core.lattice import Lattice
from pymatgen.core.periodic_table import Element

from .gpaw_settings import GPAW, GpawSettings, gpaw_physics
from .incar_tags import (
    LIMIT_TAGS,
    REQUIRED_RELAX_TAGS,
    REQUIRED_TAGS,
    TagValue,
    check_protocol_tags,
    plain_value,
    require_tags,
)
from .kmesh import KMesh, Mesh
from .protocol_files import explain_misfit, merged_fields, preset_names

Calculation: TypeAlias = Literal["relax", "static"]

# What a protocol is called, where it comes from, what it writes, when it gives up and what the audit accepts:
# none of it moves the energy of a finished calculation.
_NOT_PHYSICS = frozenset(
    {"name", "title", "source", "output", "limits", "max_stress_kbar", "volume_bound", "axis_bound"}
)
_OUTPUT_TAGS = ("LORBIT", "LWAVE", "LCHARG")
LARGEST_RATTLE = 0.3
"""A; two atoms of a bond that both move farther may break it."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Potcars(_Frozen):
    """Which pseudopotential each element gets."""

    functional: str = Field(description="pymatgen's name of the POTCAR release, e.g. PBE_54")
    labels: dict[str, str] = Field(description="POTCAR label by element, e.g. Fe: Fe_pv")
    dates: dict[str, str] = Field(
        default_factory=dict,
        description="date in the TITEL line by element where a source gives it, e.g. 02Aug2007",
    )
    assumed: tuple[str, ...] = Field(
        default=(), description="what no source states: `functional` and elements; recorded, not hashed"
    )

    def label(self, element: str) -> str:
        """POTCAR label of an element.

        Raises
        ------
        ValueError
            If the protocol has none; a label is never guessed.
        """
        if element not in self.labels:
            raise ValueError(
                f"the protocol has no POTCAR label for {element}; in a protocol of your own, "
                f"add potcar: {{labels: {{{element}: {element}}}}}"
            )
        return self.labels[element]


class Protocol(_Frozen):
    """Everything that changes energies, named, with units, and hashed.

    Examples
    --------
    >>> protocol = load_protocol("paper-2026")
    >>> protocol.hubbard_u["Fe"], protocol.max_force
    (5.3, 0.03)
    """

    name: str = Field(description="short name, shown with the hash", min_length=1)
    title: str = Field(default="", description="one line for people")
    source: str = Field(default="", description="where the values come from")

    functional: str = Field(description="VASP's GGA tag, e.g. PE for PBE")
    incar: dict[str, TagValue] = Field(
        description="INCAR tags of every calculation; energies in eV, as VASP reads them"
    )
    relax: dict[str, TagValue] = Field(description="INCAR tags of relaxations only; EDIFFG is minus a force, eV/A")
    static: dict[str, TagValue] = Field(description="INCAR tags of single points only; NSW is 0")
    output: dict[str, TagValue] = Field(description="what VASP writes (LORBIT, LWAVE, LCHARG); not hashed")
    limits: dict[str, int] = Field(description="NELM and NSW, largest numbers of steps; not hashed")

    hubbard_u: dict[str, float] = Field(description="Dudarev U by element, eV, for the d shell; J is 0")
    ldau_type: Literal[1, 2, 4] = Field(default=2, description="VASP's LDAUTYPE; 2 is Dudarev's")

    initial_moments: Literal["charge states"] = Field(
        default="charge states",
        description="MAGMOM of every site is the initial moment of its charge state, muB",
    )
    nupdown: Literal["sum of initial moments", "free"] = Field(
        description="total moment held at the sum of the initial ones (it locks the charge count), or free"
    )
    spin_order: Literal["FM", "as given"] = Field(
        default="FM", description="FM: no initial moment is negative; `as given`: signs are the structure's"
    )

    rattle: float | None = Field(
        default=None,
        description="largest random displacement of every atom before the redox element is relaxed, A; None: none",
    )

    potcar: Potcars
    k_mesh: KMesh
    gpaw: GpawSettings | None = Field(default=None, description="GPAW's own part; None: this is VASP's protocol alone")

    max_stress_kbar: float = Field(
        default=5.0, description="audit: largest residual stress, kbar; flagged, not failed", gt=0
    )
    volume_bound: float = Field(default=0.08, description="audit: largest relative change of the volume", gt=0)
    axis_bound: float = Field(default=0.08, description="audit: largest relative change of a cell length", gt=0)

    @field_validator("incar", "relax", "static", mode="after")
    @classmethod
    def _known_tags(cls, tags: dict[str, TagValue], info: Any) -> dict[str, TagValue]:
        return check_protocol_tags(tags, info.field_name)

    @field_validator("functional", mode="after")
    @classmethod
    def _gga_spelling(cls, functional: str) -> str:
        return functional.upper()

    @field_validator("output", mode="after")
    @classmethod
    def _output_tags(cls, tags: dict[str, TagValue]) -> dict[str, TagValue]:
        if set(tags) != set(_OUTPUT_TAGS):
            raise ValueError(f"give exactly {', '.join(_OUTPUT_TAGS)}, not {', '.join(tags) or 'nothing'}")
        if tags["LORBIT"] not in (10, 11, 12):
            raise ValueError(f"LORBIT = {tags['LORBIT']} prints no site moments, which tell the charge states; take 12")
        return {tag: plain_value(tag, value) for tag, value in sorted(tags.items())}

    @field_validator("limits", mode="after")
    @classmethod
    def _limit_tags(cls, tags: dict[str, int]) -> dict[str, int]:
        if set(tags) != set(LIMIT_TAGS) or min(tags.values()) < 1:
            raise ValueError(f"give exactly {' and '.join(LIMIT_TAGS)}, both at least 1, not {tags}")
        return dict(sorted(tags.items()))

    @field_validator("rattle", mode="after")
    @classmethod
    def _small_rattle(cls, largest: float | None) -> float | None:
        if largest is not None and not 0 < largest <= LARGEST_RATTLE:
            raise ValueError(
                f"{largest:g} A must be above 0 and at most {LARGEST_RATTLE:g}, such as 0.05; `rattle: null` takes an "
                "inherited value away"
            )
        return largest

    @field_validator("hubbard_u", mode="after")
    @classmethod
    def _d_elements(cls, values: dict[str, float]) -> dict[str, float]:
        for symbol, u in values.items():
            if not Element.is_valid_symbol(symbol) or Element(symbol).block != "d":
                raise ValueError(
                    f"{symbol}: U acts on d shells (LDAUL 2) here, and {symbol} is no d element; leave it out"
                )
            if not 0 < u < inf:
                raise ValueError(
                    f"{symbol}: U = {u} eV must be positive; `{symbol}: null` takes an inherited value away"
                )
        return values

    @model_validator(mode="after")
    def _complete(self) -> Protocol:
        require_tags(self.incar, REQUIRED_TAGS, "incar")
        require_tags(self.relax, REQUIRED_RELAX_TAGS, "relax")
        require_tags(self.static, ("IBRION",), "static")
        if self.incar["ISPIN"] != 2:
            raise ValueError(f"ISPIN = {self.incar['ISPIN']}: charge states are read from moments; take ISPIN: 2")
        if float(self.relax["EDIFFG"]) >= 0:
            raise ValueError(f"EDIFFG = {self.relax['EDIFFG']} is no force criterion; give minus a force, eV/A: -0.03")
        return self

    @property
    def hash(self) -> str:
        """First 16 hex digits of the SHA-256 of the physics fields as canonical JSON.

        Names, sources, output, limits and audit bounds are left out, and so is what was `assumed` about
        POTCARs: knowing more about a value does not change it.
        """
        text = json.dumps(self.physics(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def physics(self) -> dict[str, Any]:
        """Return the fields that the hash covers, as plain data; with a `gpaw` block, those that GPAW reads."""
        if self.gpaw is not None:
            return gpaw_physics(self)
        unused = {"rattle"} if self.rattle is None else set()  # as it was hashed before there was one
        fields = self.model_dump(mode="json", exclude={*_NOT_PHYSICS, "gpaw", *unused})
        del fields["potcar"]["assumed"]
        # Of the k-mesh only what decides a cell's mesh counts: the cell it was published for is provenance.
        decisive = "length" if self.k_mesh.rule == "same density" else "mesh"
        fields["k_mesh"] = {"rule": self.k_mesh.rule, decisive: fields["k_mesh"][decisive]}
        return fields

    def for_engine(self, engine: str) -> Protocol:
        """Return the protocol as an engine reads it, and as its configurations are hashed.

        For GPAW with its `gpaw` block, the shipped one (preset `gpaw`) where it has none; for any other engine without.
        """
        if engine == GPAW:
            return self if self.gpaw is not None else self.model_copy(update={"gpaw": load_protocol(GPAW).gpaw})
        return self if self.gpaw is None else self.model_copy(update={"gpaw": None})

    @property
    def max_force(self) -> float:
        """Largest force on an atom of a finished relaxation, eV/A (minus EDIFFG)."""
        return -float(self.relax["EDIFFG"])

    def incar_tags(self, calculation: Calculation) -> dict[str, TagValue]:
        """Every INCAR tag that does not depend on the structure, for one kind of calculation."""
        own = self.relax if calculation == "relax" else self.static
        steps = self.limits["NSW"] if calculation == "relax" else 0
        return {
            "GGA": self.functional,
            **self.incar,
            **self.output,
            "NELM": self.limits["NELM"],
            **own,
            "NSW": steps,
        }

    def kpoints(self, lattice: Lattice) -> Mesh:
        """Gamma-centred k-mesh of a cell.

        A configuration's mesh is decided once, on its idealised supercell, and handed to every step: ask with
        that lattice, never with a relaxed one.
        """
        if self.gpaw is not None and self.gpaw.k_mesh == "gamma":
            return 1, 1, 1
        return self.k_mesh.on(lattice)


def protocol_names() -> tuple[str, ...]:
    """Names of the presets that ship with the package."""
    return preset_names()


def load_protocol(name_or_path: str | Path) -> Protocol:
    """Load a preset by name, or a protocol file of your own.

    A file may start from another one: `extends: paper-2026` (or a path, relative to the file), then only what
    differs. Mappings are merged key by key; `null` takes an inherited key away.

    Parameters
    ----------
    name_or_path : a preset's name, or the path of a .yaml file.

    Raises
    ------
    ValueError
        For an unknown name (the known ones are listed), an unreadable file, or a field that does not fit.
    """
    try:
        return Protocol.model_validate(merged_fields(str(name_or_path)))
    except ValidationError as err:
        raise ValueError(f"protocol {name_or_path}: {explain_misfit(err, Protocol)}") from err
