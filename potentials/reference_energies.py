"""Reference energies, as the models' room knows them; the fit itself is in `inputs.reference_energies`."""

from ..inputs.reference_energies import (
    ReferenceEnergies,
    described,
    fit_by_composition,
    fit_reference_energies,
    mean_energy,
)

__all__ = ["ReferenceEnergies", "described", "fit_by_composition", "fit_reference_energies", "mean_energy"]
