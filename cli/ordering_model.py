"""By which energies `valenceflow orderings` ranks: formal charges, or an expansion that was fitted."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from ..inputs.charge_states import RedoxCouple
    from ..inputs.orderings.energies import EnergyModel
    from ..inputs.orderings.expansion import ClusterExpansion
    from ..inputs.supercells import HostSupercell

DielectricOption = Annotated[
    float, typer.Option(help="Relative permittivity that divides the formal-charge energies; ranks do not change.")
]
ModelOption = Annotated[
    Path | None,
    typer.Option("--model", help="Rank by a fitted expansion (FILE.json of `orderings fit`).", show_default=False),
]


@dataclass(frozen=True)
class RankedBy:
    """An energy model as the options name it."""

    file: Path | None = None
    dielectric: float = 1.0

    def model(self, cell: HostSupercell, couple: RedoxCouple) -> EnergyModel:
        """The energy model.

        Raises
        ------
        ValueError
            If the file is not of this supercell, or an option does not go with it.
        """
        from ..inputs.orderings.electrostatics import ElectrostaticModel  # noqa: PLC0415 - pymatgen
        from ..inputs.orderings.expansion_file import load_expansion  # noqa: PLC0415

        if self.file is None:
            return ElectrostaticModel(cell, couple, self.dielectric)
        if self.dielectric != 1.0:
            raise ValueError("--dielectric is for formal charges: leave it out beside --model")
        return load_expansion(self.file, cell, couple)

    def note(self, model: EnergyModel) -> str:
        """What the energies are worth, in words."""
        from ..inputs.orderings.expansion import ClusterExpansion  # noqa: PLC0415 - scipy

        if not isinstance(model, ClusterExpansion):
            return "formal charges: for ranking, not for energies"
        per_fu = 1000 / model.cell.formula_units
        whose = f" of {model.source}" if model.source else ""
        return (
            f"expansion {self.file}{whose}: error {per_fu * model.cv_error:.1f} where energies spread "
            f"{per_fu * model.spread:.1f} meV/f.u."
        )

    def facts(self, model: EnergyModel) -> dict[str, Any]:
        """The same for JSON."""
        from ..inputs.orderings.expansion import ClusterExpansion  # noqa: PLC0415 - scipy

        if not isinstance(model, ClusterExpansion):
            return {"model": model.name, "dielectric": self.dielectric}
        return {"model": model.name, "model_file": str(self.file), **quality(model)}


def quality(expansion: ClusterExpansion) -> dict[str, Any]:
    """How good an expansion is, for JSON; energies in eV per supercell."""
    names = ("source", "cv_error", "fit_error", "spread", "n_orderings", "n_distinct", "folds", "ridge")
    spearman = None if math.isnan(expansion.cv_spearman) else expansion.cv_spearman  # NaN is no JSON
    return {name: getattr(expansion, name) for name in names} | {"cv_spearman": spearman}
