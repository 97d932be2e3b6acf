"""Potentials as torch-sim takes them: many structures in one call, atoms as model species (`species.SpeciesMap`)."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from ase.calculators.calculator import Calculator
from torch_sim.models.interface import ModelInterface

from .cpainn.calculator import CPaiNNCalculator
from .cpainn.checkpoint import TrainedModel
from .cpainn.crystals import Crystal


class BatchedCPaiNN(ModelInterface):  # type: ignore[misc]  # torch-sim has no types
    """cPaiNN for torch-sim, on the device and in the precision that it was opened with.

    Parameters
    ----------
    trained : the model with its species map.
    """

    def __init__(self, trained: TrainedModel) -> None:
        super().__init__()
        self.model = trained.model
        self._device, self._dtype = trained.model.device, trained.model.dtype
        self._compute_stress = self._compute_forces = True

    def forward(self, state: Any, **_: Any) -> dict[str, torch.Tensor]:
        """Energies (n_systems,) eV, forces (n_atoms, 3) eV/A and stresses (n_systems, 3, 3) eV/A^3 of a state."""
        found = self.model.predict(self.model.batch(_crystals(state)))
        return {
            name: values.to(device=self._device, dtype=self._dtype)
            for name, values in (("energy", found.energies), ("forces", found.forces), ("stress", found.stresses))
        }


def _crystals(state: Any) -> list[Crystal]:
    numbers, positions = state.atomic_numbers.cpu().numpy().astype(np.int64), state.positions.cpu().double().numpy()
    cells = state.row_vector_cell.cpu().double().numpy()
    ends = np.cumsum(state.n_atoms_per_system.cpu().numpy())
    periodic = np.full(3, bool(state.pbc))
    return [
        Crystal(numbers[start:end], positions[start:end], cell, periodic)
        for start, end, cell in zip([0, *ends[:-1]], ends, cells, strict=True)
    ]


def batched_model(calculator: Calculator, device: str) -> ModelInterface:
    """A potential for torch-sim.

    Parameters
    ----------
    calculator : of a cPaiNN or a MACE, as `open_models` opens it.
    device : where it computes.

    Raises
    ------
    ValueError
        If torch-sim cannot run that potential.
    """
    if isinstance(calculator, CPaiNNCalculator):
        return BatchedCPaiNN(calculator.trained)
    from .mace import MaceSpeciesCalculator, precision_of  # noqa: PLC0415 - not everybody has mace

    from torch_sim.models.mace import MaceModel  # isort: skip  # noqa: PLC0415 - imports mace, which talks unless silenced

    if isinstance(calculator, MaceSpeciesCalculator):
        model = calculator.trained.model
        return MaceModel(model=model, device=torch.device(device), dtype=precision_of(model))
    raise ValueError("only cPaiNN and MACE relax many structures in one batch; leave --batch-atoms out")
