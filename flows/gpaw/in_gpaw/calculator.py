"""GPAW's calculator from the parameters of a job, and what it says of itself."""

from __future__ import annotations

import contextlib
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

import ase
import gpaw
import numpy as np
from gpaw import PW
from gpaw.calculator import GPAW
from gpaw.setup import BaseSetup

from .ions import TESTED_VERSIONS, IonicStart, ion_key, missing_in, open_d_fillings
from .orbitals import in_orbitals, ligand_vectors, orbitals_by_energy, put_block

SETUP_CLASS = BaseSetup


def make_calculator(parameters: dict[str, Any], spin_polarised: bool, log: Path) -> Any:
    """A plane-wave calculator.

    Parameters
    ----------
    parameters : of the job (`flows.gpaw.job` says what they mean).
    spin_polarised : whether a site has a moment.
    log : GPAW's own text output.
    """
    occupations: dict[str, Any] = dict(parameters["occupations"])
    if parameters["fix_total_moment"] and spin_polarised:
        occupations["fixmagmom"] = True
    options = {"mixer": dict(parameters["mixer"])} if parameters["mixer"] else {}
    return OrbitalCalculator(
        mode=PW(parameters["cutoff_ev"]),
        xc=parameters["xc"],
        kpts={"size": tuple(parameters["k_mesh"]), "gamma": True},
        occupations=occupations,
        setups=setup_names(parameters),
        convergence=dict(parameters["convergence"]),
        maxiter=parameters["max_scf_iterations"],
        # A charge order breaks the symmetry of the positions; k and -k stay equivalent.
        symmetry={"point_group": False},
        # Wave functions may settle in the potential of the start before the density is first made from them.
        experimental={"niter_fixdensity": parameters["fixed_density_iterations"]},
        txt=str(log),
        **options,
    )


class OrbitalCalculator(GPAW):  # type: ignore[misc]  # GPAW has no types
    """GPAW whose densities, where they begin from atoms, have chosen ions' d electrons in chosen orbitals.

    Attributes
    ----------
    job : the job, whose redox sites are meant.
    ions : the ions; None leaves densities as they are.
    problem : why orbitals could not be chosen with this GPAW; empty if they could.
    """

    job: dict[str, Any]
    ions: IonicStart | None = None
    is_fresh = False
    problem = ""

    def initialize(self, atoms: Any = None, reading: bool = False) -> None:
        """As GPAW's; the density that follows begins from atoms."""
        super().initialize(atoms, reading)
        self.is_fresh = True

    def set_positions(self, atoms: Any = None) -> None:
        """As GPAW's; a density that just began from atoms gets its d electrons into their orbitals."""
        super().set_positions(atoms)
        if self.is_fresh and self.ions is not None and self.ions.orbital is not None:
            try:
                self.choose_orbitals(self.ions)
            except (AttributeError, TypeError) as error:  # GPAW's inner names are no promise: said, and gone on without
                self.problem = f"GPAW {gpaw.__version__} does not let d orbitals be chosen: {error}"
        self.is_fresh = False

    def choose_orbitals(self, ions: IonicStart) -> None:
        """Put the d electrons of the redox sites into the orbitals that the crystal field leaves lowest."""
        density, job = self.density, self.job
        positions, cell = self.atoms.get_positions(), np.asarray(self.atoms.cell)
        for site in job["redox"]["sites"]:
            if site not in density.D_asp:
                continue
            setup = self.setups[site]
            found = open_d_fillings(setup, job["charges"][site], job["magmoms"][site], ions)
            if found is None:
                continue
            wave, by_spin = found
            first = sum(2 * int(l) + 1 for l in setup.l_j[:wave])  # noqa: E741 - the quantum number's name
            orbitals = orbitals_by_energy(ligand_vectors(site, positions, cell, job["charges"]))
            for spin, fillings in enumerate(by_spin):
                put_block(density.D_asp[site][spin], in_orbitals(fillings, orbitals), first, setup.ni)
        density.mixer.reset()
        charge, _ = density.calculate_multipole_moments()
        density.mix(charge)
        self.hamiltonian.update(density)


def setup_names(parameters: dict[str, Any]) -> dict[str, str]:
    """GPAW's `setups`: the named ones, and U on d shells, scaled or not as the job says."""
    names: dict[str, str] = dict(parameters["setups"])
    scale = 1 if parameters["scale_u"] else 0
    for symbol, u in parameters["hubbard_u"].items():
        names[symbol] = f"{names.get(symbol, 'paw')}:d,{u:g},{scale}"
    return names


def ionic_start(job: dict[str, Any], orbital: int | None) -> IonicStart:
    """The ions of a job, by element and moment."""
    keys = [ion_key(symbol, moment) for symbol, moment in zip(job["symbols"], job["magmoms"], strict=True)]
    return IonicStart(dict(zip(keys, job["charges"], strict=True)), orbital, *job["screening"])


def ionic_start_problem() -> str:
    """Why this GPAW cannot start from ions; empty if it can."""
    missing = missing_in(SETUP_CLASS)
    return f"GPAW {gpaw.__version__} cannot start from ions: {missing}" if missing else ""


def tested_note() -> str:
    """Said where the ionic start works by its looks, but was never tested with this GPAW."""
    if gpaw.__version__ in TESTED_VERSIONS:
        return ""
    return f"the ionic start is tested with GPAW {', '.join(TESTED_VERSIONS)}, not with {gpaw.__version__}"


def versions() -> dict[str, str]:
    """What computed the numbers."""
    found = {"gpaw": gpaw.__version__, "ase": ase.__version__, "numpy": np.__version__}
    found["python"] = platform.python_version()
    with contextlib.suppress(metadata.PackageNotFoundError):
        found["gpaw-package"] = metadata.version("gpaw")
    return found


def setup_facts(calculator: Any) -> dict[str, dict[str, Any]]:
    """PAW setup of each element: name, file, fingerprint (MD5 of the file), valence electrons."""
    facts: dict[str, dict[str, Any]] = {}
    for setup in calculator.setups:
        filename = getattr(setup, "filename", None)
        facts.setdefault(
            setup.symbol,
            {
                "name": f"{setup.symbol}.{getattr(setup, 'type', 'paw')}.{calculator.parameters['xc']}",
                "file": Path(filename).name if filename else None,
                "fingerprint": setup.fingerprint,
                "valence_electrons": int(setup.Nv),
            },
        )
    return facts


def magmoms_now(calculator: Any) -> list[float]:
    """Moments of the sites from the density as it stands, muB."""
    if calculator.wfs.nspins == 1:
        return [0.0] * len(calculator.atoms)
    _, vectors = calculator.density.estimate_magnetic_moments()
    return [float(m) for m in vectors[:, 2]]
