"""Stub POTCARs for rehearsals: headers without a potential, made from pymatgen's packaged statistics.

pymatgen finds POTCARs under PMG_VASP_PSP_DIR and reads that setting once, on first use. Set the variable
before the worker process starts (`stub_potcar_environment`); in a process where pymatgen may have been used
already, take `use_potcars`, which also changes the settings that were read. The variable wins over .pmgrc.yaml.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from .potcar_facts import PotentialFacts, known_potentials

LABELS = ("Na_pv", "Fe_pv", "Ga_d", "P", "O", "Mn_pv", "Co", "Ni_pv", "V_pv", "Ge_d", "Li_sv", "S", "Si", "F")
"""Potentials of the couples, surrogates, working ions and anions that come with valenceflow."""

NOMINAL_ENMAX = 400.0
"""eV; the statistics hold no ENMAX, and every protocol sets ENCUT."""


def write_stub_potcars(folder: Path | str, functional: str = "PBE_54", labels: Sequence[str] = LABELS) -> Path:
    """Write header-only POTCARs in the layout that pymatgen looks for.

    They hold no potential: TITEL ends with "STUB", ENMAX is nominal, and pymatgen warns that it does not know
    them (UnknownPotcarWarning), as it should.

    Parameters
    ----------
    folder : becomes the value of PMG_VASP_PSP_DIR.
    functional : pymatgen's name of the release.
    labels : potentials to write; any that pymatgen's statistics list for the release.

    Returns
    -------
    The folder, absolute.

    Raises
    ------
    ValueError
        If a label is not in the release.
    """
    # Imported here: pymatgen takes a second, and the stand-in itself does without it.
    from pymatgen.core.periodic_table import Element  # noqa: PLC0415
    from pymatgen.io.vasp.inputs import POTCAR_FUNCTIONAL_MAP  # noqa: PLC0415

    known = {facts.label: facts for facts in known_potentials(functional)}
    missing = [label for label in labels if label not in known]
    if missing:
        raise ValueError(
            f"no potential {', '.join(missing)} in {functional}; known_potentials({functional!r}) lists them"
        )
    root = Path(folder).resolve()
    for label in labels:
        place = root / POTCAR_FUNCTIONAL_MAP[functional] / label
        place.mkdir(parents=True, exist_ok=True)
        mass = float(Element(known[label].element).atomic_mass)
        (place / "POTCAR").write_text(_stub(known[label], functional, mass))
    return root


def stub_potcar_environment(folder: Path | str) -> dict[str, str]:
    """Return the environment variables that make a worker process use the POTCARs of a folder."""
    return {"PMG_VASP_PSP_DIR": str(Path(folder).resolve())}


@contextmanager
def use_potcars(folder: Path | str) -> Iterator[None]:
    """Make pymatgen take POTCARs from a folder, here and in processes started here, until the block ends."""
    from pymatgen.core import SETTINGS  # noqa: PLC0415  (see write_stub_potcars)

    name, value = "PMG_VASP_PSP_DIR", str(Path(folder).resolve())
    before, before_here = os.environ.get(name), SETTINGS.get(name)
    os.environ[name] = SETTINGS[name] = value
    try:
        yield
    finally:
        _restore(os.environ, name, before)
        _restore(SETTINGS, name, before_here)


def _restore(mapping: os._Environ[str] | dict[str, str], name: str, value: str | None) -> None:
    if value is None:
        mapping.pop(name, None)
    else:
        mapping[name] = value


def _stub(facts: PotentialFacts, functional: str, mass: float) -> str:
    title = f"{facts.title} STUB"
    return (
        f"  {title}\n"
        f" {facts.valence:.8f}\n"
        " parameters from PSCTR are:\n"
        f"   VRHFIN ={facts.configuration}\n"
        f"   LEXCH  = {facts.functional}\n"
        "   EATOM  =     0.0000 eV\n\n"
        f"   TITEL  = {title}\n"
        "   LULTRA =        F    use ultrasoft PP ?\n"
        f"   POMASS = {mass:8.3f}; ZVAL   = {facts.valence:8.3f}    mass and valenz\n"
        f"   ENMAX  = {NOMINAL_ENMAX:8.3f}; ENMIN  = {0.75 * NOMINAL_ENMAX:8.3f} eV\n"
        "   LPAW   =        T    paw PP\n\n"
        " END of PSCTR-controll parameters\n"
        f" stub without a potential from public statistics of {functional}, for rehearsals only\n"
        " 0.0\n"
        " End of Dataset\n"
    )
