"""VASP input sets made from a protocol, usable as `input_set_generator` of any atomate2 VASP maker.

atomate2's own relax set is PBEsol at 680 eV with SIGMA 0.2 and a 2 1 2 mesh, and gives Fe2+ and Fe3+ the same
moment; none of its defaults is used. The tags are made in `incar`, overrides are judged in `override_guard`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

from atomate2 import SETTINGS
from atomate2.vasp.sets.base import VaspInputGenerator
from pymatgen.core.structure import Structure
from pymatgen.io.vasp.inputs import Incar, Kpoints, Poscar, Potcar, VaspInput

from .incar import poscar_structure, protocol_incar
from .kmesh import Mesh
from .override_guard import with_overrides
from .protocol import Calculation, Protocol, load_protocol

PathLike: TypeAlias = str | Path
Restart: TypeAlias = Literal["scratch", "from wavecar"]

DEFAULT_PROTOCOL = "paper-2026"
"""The protocol of the paper's section 4.1, used where none is named."""

# Switches of pymatgen's input sets that would change the structure or the physics behind the protocol's back.
_SWITCHED_OFF: dict[str, Any] = {
    "constrain_total_magmom": False,  # NUPDOWN is the protocol's
    "reduce_structure": None,
    "standardize": False,
    "vdw": None,
    "use_structure_charge": False,
    "inherit_incar": False,
    "auto_kspacing": False,
    "auto_ismear": False,  # would set SIGMA 0.2
    "auto_ispin": False,
    "auto_lreal": False,
    "auto_metal_kpoints": False,
}


@dataclass
class ChargeOrderedSetGenerator(VaspInputGenerator):
    """Make VASP inputs from a protocol and a structure whose sites hold their initial moments.

    Parameters
    ----------
    protocol : a protocol, or the name or path of one.
    calculation : relax or static.
    kpoints_mesh : Gamma-centred mesh; None takes the protocol's rule on the structure's lattice. The mesh of
        a configuration is decided once, on its idealised supercell, and passed to every step.
    restart : `from wavecar` starts from the WAVECAR in the run folder (a rescue of a lost ordering); else from scratch.
    user_incar_settings : launch tags (NCORE, KPAR ...) and limits; what contradicts the protocol is refused.

    Raises
    ------
    ValueError
        For settings that contradict the protocol; when inputs are made, for missing moments or elements that
        are not in one block each.

    Notes
    -----
    `structure` has the site property `magmom` (initial moment, muB) on every site and one block of sites per
    element; its order is kept. `prev_dir` is refused: a previous run's moments are measured ones.

    Examples
    --------
    >>> inputs = relax_set("paper-2026", kpoints_mesh=(3, 1, 3))
    >>> inputs.config_dict["INCAR"]["ENCUT"], inputs.protocol.name
    (520.0, 'paper-2026')
    """

    config_dict: dict[str, Any] = field(default_factory=dict)
    protocol: Protocol = field(default_factory=lambda: load_protocol(DEFAULT_PROTOCOL))
    calculation: Calculation = "relax"
    kpoints_mesh: Mesh | None = None
    restart: Restart = "scratch"
    # The order of the sites is the caller's, who keeps the permutation (atomate2 0.1.5 ignores this switch).
    sort_structure: bool = False
    # Upstream fills missing moments with 1 muB; here a missing moment is an error.
    validate_magmom: bool = False
    inherit_incar: bool | list[str] = False
    auto_ismear: bool = False
    auto_metal_kpoints: bool = False

    def __post_init__(self) -> None:
        """Settle the protocol, refuse what contradicts it, and derive config_dict from it."""
        if isinstance(self.protocol, Mapping):
            self.protocol = Protocol.model_validate(self.protocol)
        elif not isinstance(self.protocol, Protocol):
            self.protocol = load_protocol(self.protocol)
        if self.calculation not in ("relax", "static"):
            raise ValueError(f"calculation = {self.calculation!r} must be 'relax' or 'static'")
        if self.restart not in ("scratch", "from wavecar"):
            raise ValueError(f"restart = {self.restart!r} must be 'scratch' or 'from wavecar'")
        if self.kpoints_mesh is not None:
            self.kpoints_mesh = _checked_mesh(self.kpoints_mesh)
        self._refuse_contradictions()
        self.config_dict = self._protocol_config()
        super().__post_init__()

    def get_input_set(
        self, structure: Structure | None = None, prev_dir: PathLike | None = None, potcar_spec: bool = False
    ) -> VaspInput:
        """Make INCAR, KPOINTS, POSCAR and POTCAR (or its labels, with `potcar_spec`) for a structure."""
        self._set_previous(prev_dir)
        structure = self.structure if structure is None else structure
        if structure is None:
            raise ValueError("no structure to make inputs for; pass one with the site property `magmom`")
        structure = poscar_structure(structure)
        made = protocol_incar(self.protocol, self.calculation, structure)
        # atomate2 lays these on the INCAR after we have made it, so they are judged here.
        with_overrides(made, _not_by_element(SETTINGS.VASP_INCAR_UPDATES), self.protocol, structure)
        return super().get_input_set(structure, potcar_spec=potcar_spec)

    @property
    def incar(self) -> Incar:
        """The protocol's INCAR for the structure, with the overrides that may be."""
        structure = self._poscar_structure()
        made = protocol_incar(self.protocol, self.calculation, structure)
        merged = with_overrides(made, self.user_incar_settings, self.protocol, structure)
        if self.restart == "from wavecar":
            # The WAVECAR of a static run with the intended order; it changes the start, not the functional.
            merged |= {"ISTART": 1, "ICHARG": 0}
        return merged

    @property
    def kpoints(self) -> Kpoints:
        """The mesh given, or that of the protocol's rule on the structure's lattice."""
        mesh = self.kpoints_mesh or self.protocol.kpoints(self._poscar_structure().lattice)
        return Kpoints.gamma_automatic(mesh)

    @property
    def poscar(self) -> Poscar:
        """The structure, sites in its own order."""
        return Poscar(self._poscar_structure())

    @property
    def potcar_symbols(self) -> list[str]:
        """POTCAR label of each POSCAR block."""
        return [self.protocol.potcar.label(element) for element in self.poscar.site_symbols]

    @property
    def potcar(self) -> Potcar:
        """The POTCARs, their dates compared with those that the protocol names."""
        potcar = super().potcar
        for single, element in zip(potcar, self.poscar.site_symbols, strict=True):
            date = self.protocol.potcar.dates.get(element)
            title = str(single.keywords.get("TITEL", ""))
            if date is not None and date not in title.split():
                raise ValueError(
                    f"POTCAR {single.symbol} is {title!r}, not of {date} as protocol {self.protocol.name}; "
                    f"install {self.protocol.potcar.functional}, or put its date in a protocol of your own"
                )
        return potcar

    def _poscar_structure(self) -> Structure:
        if self.structure is None:
            raise ValueError("no structure is set on this input set; pass one with the site property `magmom`")
        return poscar_structure(self.structure)

    def _set_previous(self, prev_dir: PathLike | None = None) -> None:
        """Refuse a previous run (None is no run)."""
        if prev_dir is not None:
            raise ValueError(
                f"prev_dir = {str(prev_dir)!r}: a calculation starts from its charge states, not from "
                "measured moments; pass the structure with initial moments and no prev_dir"
            )

    def _protocol_config(self) -> dict[str, Any]:
        return {
            "INCAR": self.protocol.incar_tags(self.calculation),
            "KPOINTS": {},
            "POTCAR": dict(self.protocol.potcar.labels),
            "POTCAR_FUNCTIONAL": self.protocol.potcar.functional,
        }

    def _refuse_contradictions(self) -> None:
        own = f"protocol {self.protocol.name}"
        way_out = f"drop it, or use a protocol of your own (YAML, `extends: {self.protocol.name}`)"
        for name, value in _SWITCHED_OFF.items():
            if getattr(self, name) != value:
                raise ValueError(f"{name} = {getattr(self, name)!r} would change what {own} says; {way_out}")
        if self.config_dict and self.config_dict != self._protocol_config():
            raise ValueError(f"config_dict differs from {own}, which makes it; {way_out}")
        if self.user_kpoints_settings:
            raise ValueError(f"user_kpoints_settings = {self.user_kpoints_settings!r}: give kpoints_mesh instead")
        functional = self.protocol.potcar.functional
        if self.user_potcar_functional not in (None, functional):
            raise ValueError(f"POTCAR release {self.user_potcar_functional} is not {own}'s {functional}; {way_out}")
        for element, label in (self.user_potcar_settings or {}).items():
            if label != self.protocol.potcar.labels.get(element):
                raise ValueError(f"POTCAR {label} for {element} is not in {own}; {way_out}")


def relax_set(protocol: Protocol | str, kpoints_mesh: Mesh | None = None) -> ChargeOrderedSetGenerator:
    """Input set of a full relaxation (either step) by a protocol, given itself or by name or path."""
    return _set_for(protocol, "relax", kpoints_mesh)


def static_set(protocol: Protocol | str, kpoints_mesh: Mesh | None = None) -> ChargeOrderedSetGenerator:
    """Input set of a single point by a protocol, given itself or by name or path."""
    return _set_for(protocol, "static", kpoints_mesh)


def _set_for(
    protocol: Protocol | str, calculation: Calculation, kpoints_mesh: Mesh | None
) -> ChargeOrderedSetGenerator:
    protocol = protocol if isinstance(protocol, Protocol) else load_protocol(protocol)
    return ChargeOrderedSetGenerator(protocol=protocol, calculation=calculation, kpoints_mesh=kpoints_mesh)


def _checked_mesh(mesh: Any) -> Mesh:
    a, b, c = (*mesh, None, None, None)[:3]
    if len(mesh) != 3 or not all(isinstance(n, int) and n >= 1 for n in (a, b, c)):
        raise ValueError(f"kpoints_mesh = {mesh!r} must be three whole numbers, at least 1, such as (3, 1, 3)")
    return a, b, c


def _not_by_element(updates: Mapping[str, Any]) -> Mapping[str, Any]:
    """Refuse values by element in atomate2's setting, which writes them into the INCAR as they stand."""
    for tag, value in updates.items():
        if isinstance(value, Mapping):
            raise ValueError(
                f"ATOMATE2_VASP_INCAR_UPDATES has {tag} = {value!r}, which atomate2 would write "
                "into the INCAR as it stands; remove it: moments and U follow the charge states"
            )
    return updates
