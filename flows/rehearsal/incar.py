"""INCAR, read as strictly as by VASP: a known tag has a type, and a value that is not of it stops the run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .errors import InputError, bad_item

Tags = dict[str, Any]
"""INCAR tags by name: bool, int, float, str, or a list of int or float."""

_TYPES = {
    "bool": """
        ADDGRID LASPH LAECHG LCHARG LCORR LDAU LDIAG LDIPOL LELF LHFCALC LMONO LNONCOLLINEAR
        LORBMOM LPLANE LSCALAPACK LSCALU LSORBIT LUSE_VDW LVHAR LVTOT LWAVE KGAMMA GGA_COMPAT LVDW
        LASYNC LEPSILON LOPTICS LPEAD""",
    "int": """
        IALGO IBRION ICHARG ISEARCH ISIF ISMEAR ISPIN ISTART ISYM IVDW IWAVPR KPAR LDAUPRINT
        LDAUTYPE LMAXMIX LORBIT MAXMIX MDALGO NBANDS NCORE NEDOS NELM NELMDL NELMIN NFREE NGX NGXF
        NGY NGYF NGZ NGZF NPAR NSIM NSW NWRITE IDIPOL IMIX INIMIX MIXPRE LMAXPAW NBLOCK KBLOCK""",
    "float": """
        AEXX AMIN AMIX AMIX_MAG BMIX BMIX_MAG EDIFF EDIFFG EMAX EMIN ENAUG ENCUT EPSILON HFSCREEN
        KSPACING NELECT NUPDOWN POTIM PSTRESS SCALEE SIGMA SMASS SYMPREC TIME WC""",
    "str": "ALGO GGA LREAL METAGGA PREC SYSTEM PRECFOCK",
    "list of int": "LDAUL",
    "list of float": "MAGMOM LDAUU LDAUJ RWIGS ROPT DIPOL SAXIS",
}

_ALLOWED: dict[str, set[Any]] = {
    "ISPIN": {1, 2},
    "LDAUTYPE": {1, 2, 4},
    "ISTART": {0, 1, 2, 3},
    "ICHARG": {0, 1, 2, 4, 10, 11, 12},
    "PREC": {"n", "s", "a", "l", "m", "h"},
    "ALGO": {"n", "v", "f", "a", "c", "d", "s", "e", "o"},
    "GGA": {"PE", "PS", "RP", "RE", "AM", "91", "CA", "OR", "BO", "MK", "ML", "B3", "B5", "--"},
    # Only what the stand-in does: refusing is better than doing something else without a word.
    "IBRION": {-1, 1, 2, 3},
    "ISIF": {0, 1, 2, 3},
}


def read_incar(text: str) -> tuple[Tags, list[str]]:
    r"""Read an INCAR.

    Parameters
    ----------
    text : the file; comments (# !), `;` between statements, `\` at line ends and `n*value` are understood.

    Returns
    -------
    The tags with typed values, and the names of tags the stand-in does not know (VASP ignores such tags).

    Raises
    ------
    InputError
        If a value is not of its tag's type, or is one that VASP refuses or the stand-in cannot rehearse.
    """
    tags: Tags = {}
    unknown: list[str] = []
    for statement in _statements(text):
        name, equals, value = statement.partition("=")
        tag = name.strip().upper()
        if not equals:
            raise InputError(f"ERROR: no '=' in the INCAR statement {statement.strip()!r}")
        if tag in tags or tag in unknown:
            continue  # VASP takes the first of a tag given twice
        if tag in _READERS:
            tags[tag] = _READERS[tag](tag, value.strip())
            _check_choice(tag, tags[tag])
        else:
            unknown.append(tag)
    return tags, unknown


def _statements(text: str) -> list[str]:
    joined = text.replace("\\\n", " ")
    bare = [line.split("#")[0].split("!")[0] for line in joined.splitlines()]
    return [part for line in bare for part in line.split(";") if part.strip()]


def _bool(tag: str, value: str) -> bool:
    letter = value.lstrip(".")[:1].upper()
    if letter not in {"T", "F"}:
        raise bad_item(tag, 5, 0)
    return letter == "T"


def _numbers(kind: Callable[[str], Any]) -> Callable[[str, str], list[Any]]:
    def read(tag: str, value: str) -> list[Any]:
        found: list[Any] = []
        for word in value.split():
            times, star, number = word.rpartition("*")
            try:
                found += [kind(number)] * (int(times) if star else 1)
            except ValueError as err:
                raise bad_item(tag, 5, len(found)) from err
        return found

    return read


def _one(kind: Callable[[str], Any]) -> Callable[[str, str], Any]:
    read_all = _numbers(kind)

    def read(tag: str, value: str) -> Any:
        found = read_all(tag, value)
        if not found:
            raise bad_item(tag, 5, 0)
        return found[0]

    return read


def _fortran_float(word: str) -> float:
    return float(word.lower().replace("d", "e"))


def _string(tag: str, value: str) -> str:
    if not value:
        raise bad_item(tag, 5, 0)
    return value


_READ_AS: dict[str, Callable[[str, str], Any]] = {
    "bool": _bool,
    "int": _one(int),
    "float": _one(_fortran_float),
    "str": _string,
    "list of int": _numbers(int),
    "list of float": _numbers(_fortran_float),
}
_READERS = {tag: _READ_AS[kind] for kind, tags in _TYPES.items() for tag in tags.split()}


def _check_choice(tag: str, value: Any) -> None:
    if tag not in _ALLOWED:
        return
    key = value
    if isinstance(value, str):
        key = value.upper()[:2] if tag == "GGA" else value.lower()[:1]
    if key not in _ALLOWED[tag]:
        choices = " ".join(str(choice) for choice in sorted(_ALLOWED[tag]))
        raise InputError(f"ERROR: {tag} = {value} is not possible here (first letters or values: {choices})")
