"""Which INCAR tags a protocol owns, which are free per launch, and one spelling for their values.

Used by `protocol` (what its YAML may hold) and `override_guard` (what an override may touch).
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import Annotated, Any, TypeAlias

from pydantic import BeforeValidator


def _one_value(value: Any) -> Any:
    """Refuse a list or mapping in words of VASP: pydantic would say that it is no valid boolean."""
    if isinstance(value, bool | int | float | str):
        return value
    raise ValueError(
        f"{value!r} is not one number, word or true/false; lists by site or element (MAGMOM, LDAUU) are written from "
        "the charge states: leave them out"
    )


TagValue: TypeAlias = Annotated[bool | int | float | str, BeforeValidator(_one_value)]

# Tags that every protocol writes itself: left out, VASP's or a library's default would decide them silently.
REQUIRED_TAGS = (
    "PREC", "ENCUT", "ALGO", "ISMEAR", "SIGMA", "EDIFF", "LREAL", "ISPIN",
    "LASPH", "LMAXMIX", "ISYM", "ISTART", "ICHARG",
)  # fmt: skip
REQUIRED_RELAX_TAGS = ("IBRION", "ISIF", "EDIFFG")

# Iteration limits end a calculation, they do not shape a finished one: a frame that hit NELM never becomes a
# label and a relaxation that hit NSW never passes the audit. So they are neither hashed nor locked.
LIMIT_TAGS = ("NELM", "NSW")

# Tags that cannot move an energy: how the work is spread, what is written, a title.
LAUNCH_TAGS = frozenset(
    {
        "KPAR", "NPAR", "NCORE", "NCORE_IN_IMAGE1", "NSIM", "NCSHMEM", "LPLANE", "LSCALAPACK", "LSCALU",
        "LSCAAWARE", "LASYNC", "MAXMEM", "NTHREADS_HI", "NTHREADS_MU", "NTHREADS_LO",
        "LWAVE", "LCHARG", "LAECHG", "LVTOT", "LVHAR", "LELF", "LCHARGH5", "LWAVEH5", "LH5",
        "NWRITE", "NBLOCK", "KBLOCK", "NEDOS", "EMIN", "EMAX", "SYSTEM",
    }
)  # fmt: skip

# How charge densities are mixed from one electronic step to the next: the way to a self-consistent solution. Which of
# several solutions is reached is what the audit judges.
MIXING_TAGS = frozenset({"AMIX", "BMIX", "AMIX_MAG", "BMIX_MAG"})

# Tags written from another field of the protocol, and that field.
TAGS_OF_OTHER_FIELDS = {
    "GGA": "functional",
    "LDAU": "hubbard_u",
    "LDAUU": "hubbard_u",
    "LDAUJ": "hubbard_u",
    "LDAUL": "hubbard_u",
    "LDAUTYPE": "ldau_type",
    "MAGMOM": "initial_moments",
    "NUPDOWN": "nupdown",
    "KSPACING": "k_mesh",
    "KGAMMA": "k_mesh",
    "NELM": "limits",
    "NSW": "limits",
}


def plain_value(tag: str, value: Any) -> Any:
    """One spelling for a tag's value, as pymatgen would read it back from an INCAR.

    YAML reads `1e-5` as text and `520` as a whole number; both must mean what 1.0e-5 and 520.0 mean, or
    two equal protocols would have two hashes.
    """
    from pymatgen.io.vasp.inputs import Incar  # noqa: PLC0415 - many import protocols, few check tags

    return Incar({tag: value})[tag]


def check_protocol_tags(tags: dict[str, Any], field: str) -> dict[str, Any]:
    """Normalise the INCAR tags of one field of a protocol.

    Raises
    ------
    ValueError
        For a tag that VASP does not know, that another field owns, or that belongs to the launch.
    """
    from pymatgen.io.vasp.inputs import Incar  # noqa: PLC0415 - as above

    plain: dict[str, Any] = {}
    for name, value in tags.items():
        tag = name.strip().upper()
        if tag in plain:
            raise ValueError(f"{tag} is given twice under `{field}`, in two spellings; keep {tag}")
        if tag in TAGS_OF_OTHER_FIELDS:
            raise ValueError(f"{tag} is written from `{TAGS_OF_OTHER_FIELDS[tag]}`; set it there, not under `{field}`")
        if tag in LAUNCH_TAGS:
            raise ValueError(f"{tag} changes no energy; give it per launch (user_incar_settings), not under `{field}`")
        if tag not in Incar.INCAR_PARAMS:
            near = get_close_matches(tag, Incar.INCAR_PARAMS, n=1)
            raise ValueError(
                f"unknown INCAR tag {tag} under `{field}`" + (f"; did you mean {near[0]}?" if near else "")
            )
        if not isinstance(value, bool | int | float | str):
            raise ValueError(f"{tag} = {value!r} under `{field}` must be one number, word or true/false")
        plain[tag] = plain_value(tag, value)
    return dict(sorted(plain.items()))


def require_tags(tags: dict[str, Any], required: tuple[str, ...], field: str) -> None:
    """Raise a ValueError that names the tags missing from a field."""
    if missing := [tag for tag in required if tag not in tags]:
        raise ValueError(f"`{field}` lacks {', '.join(missing)}; a protocol states them, or use `extends: paper-2026`")
