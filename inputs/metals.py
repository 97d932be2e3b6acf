"""The working ion's metal and the protocol it is computed under: the reference electrode of voltages.

The crystal is ASE's reference state of the element (bcc Na, hcp Mg, ...), relaxed later; the protocol is the
campaign's with the smearing and the mesh of a metal (data/metal_reference.yaml), so that energies compare.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any

from ase.build import bulk
from ase.data import atomic_numbers, reference_states
from pymatgen.core import Element, Structure
from pymatgen.io.ase import AseAtomsAdaptor

from .kmesh import KMesh
from .protocol import Protocol
from .yaml_files import parse_yaml


def metal_structure(element: str) -> Structure:
    """Primitive cell of an element's metal, not magnetic (site property `magmom` 0).

    Raises
    ------
    ValueError
        If the element is no metal, or ASE knows no simple crystal of it.

    Examples
    --------
    >>> metal_structure("Na").composition.formula, metal_name("Na")
    ('Na1', 'bcc Na')
    """
    metal_name(element)
    structure: Structure = AseAtomsAdaptor.get_structure(bulk(element))
    structure.add_site_property("magmom", [0.0] * len(structure))
    return structure


def metal_name(element: str) -> str:
    """Crystal and element, e.g. bcc Na; errors as in `metal_structure`."""
    known = reference_states[atomic_numbers[element]]
    crystal = None if known is None else known.get("symmetry")
    if crystal not in ("bcc", "fcc", "hcp") or not Element(element).is_metal:
        raise ValueError(
            f"{element}: no bcc, fcc or hcp metal is known, so voltages have no reference; take `voltages` out"
        )
    return f"{crystal} {element}"


def metal_protocol(protocol: Protocol, element: str) -> Protocol:
    """The protocol of the metal that belongs to a protocol: same functional, cutoff and POTCAR, own smearing and mesh.

    Raises
    ------
    ValueError
        If the protocol has no POTCAR label for the element.
    """
    protocol.potcar.label(element)
    settings = _settings()
    lattice = metal_structure(element).lattice
    lengths = tuple(1 / b for b in lattice.reciprocal_lattice_crystallographic.abc)
    # A mesh belongs to an orthogonal cell; one with the metal's reciprocal lengths stands for it.
    length = float(settings["k_length"])
    mesh = tuple(max(1, int(length / a + 0.5)) for a in lengths)
    fields = protocol.for_engine("vasp").model_dump(mode="json")
    incar = {**fields["incar"], **settings["incar"]}
    fields.update(
        name=f"{protocol.name}, {metal_name(element)}",
        title=f"{metal_name(element)} as {protocol.name} has it",
        incar={tag: value for tag, value in incar.items() if value is not None},
        hubbard_u={},
        nupdown="free",
        rattle=None,
        k_mesh=KMesh(rule="same density", mesh=mesh, cell_lengths=lengths, length=length).model_dump(mode="json"),
    )
    return Protocol.model_validate(fields)


@cache
def _settings() -> dict[str, Any]:
    path = files("valenceflow.inputs.data") / "metal_reference.yaml"
    return parse_yaml(path.read_text(encoding="utf-8"), "metal_reference.yaml")
