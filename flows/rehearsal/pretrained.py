"""The `chgnet` and `chgnet-states` engines: pretrained CHGNet 0.3.0, whose weights ship in the chgnet package.

`chgnet` never reads MAGMOM: a charge order lives in the geometry alone. `chgnet-states` has one energy surface per
charge order, as DFT has. One pass forward and one back give energy, forces and stress, in less than half the time
of `CHGNet.predict_graph`, which agrees to float32 precision.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from .chgnet_loading import load_model
from .engines import Engine, Evaluation
from .errors import InputError
from .states import REDOX

if TYPE_CHECKING:
    import torch
    from chgnet.graph import CrystalGraph
    from numpy.typing import NDArray

    from .crystal import Crystal

GALLIUM = 31
"""Atomic number of the stand-in for Fe3+: of its charge and nearly its size, and closed-shell."""

FE3_ENERGY = -4.0548
"""Energy of an Fe3+ over that of a Ga3+ in its place, eV: pretrained CHGNet 0.3.0 on FePO4 against GaPO4 in the
olivine host, each relaxed (-4.062 when both are relaxed to 0.01 eV/angstrom). It makes cells with different numbers of
Fe3+ comparable; within one composition it cancels."""

FE3_MOMENT = 4.5
"""Fe that starts from at least this |MAGMOM| is Fe3+ (5 against 4), muB."""


class Pretrained(Engine):
    """Plain CHGNet; moments are its own, all positive."""

    name: ClassVar[str] = "chgnet"

    def __init__(self, symbols: tuple[str, ...], initial_moments: NDArray[np.float64]) -> None:
        self._model = load_model()

    def evaluate(self, crystal: Crystal) -> Evaluation:
        """Return energy, forces, stress and moments from one pass forward and one back."""
        return self._surface(self._graph(crystal), crystal)

    def _graph(self, crystal: Crystal) -> CrystalGraph:
        # pymatgen comes with chgnet; the springs engine does without it.
        from pymatgen.core.lattice import Lattice  # noqa: PLC0415
        from pymatgen.core.structure import Structure  # noqa: PLC0415

        structure = Structure(Lattice(crystal.lattice), list(crystal.symbols), crystal.positions)
        graph: CrystalGraph = self._model.graph_converter(structure)
        return graph

    def _surface(self, graph: CrystalGraph, crystal: Crystal) -> Evaluation:
        import torch  # noqa: PLC0415  (optional extra)

        n_sites = len(crystal.symbols)
        energy, moments = self._forward(graph)
        by_position, by_lattice = (
            slope.double().numpy() * n_sites
            for slope in torch.autograd.grad(energy, (graph.atom_frac_coord, graph.lattice))
        )
        forces = -by_position @ np.linalg.inv(crystal.lattice).T
        # The lattice moves at fixed fractional coordinates: dE/d(strain) = L^T dE/dL, symmetric up to rounding.
        stress = crystal.lattice.T @ by_lattice / crystal.volume
        return Evaluation(energy.item() * n_sites, forces, (stress + stress.T) / 2, moments)

    def _forward(self, graph: CrystalGraph) -> tuple[torch.Tensor, NDArray[np.float64]]:
        """Energy per atom, and moments. With the task "em" the model leaves positions and lattice to us."""
        with warnings.catch_warnings():
            # torch remarks on a line of chgnet that takes the volume out of the graph, which is what it wants.
            warnings.filterwarnings("ignore", message="Converting a tensor with requires_grad=True to a scalar")
            prediction = self._model([graph], task="em")
        return prediction["e"].sum(), prediction["m"][0].detach().double().numpy()


class PretrainedStates(Pretrained):
    """CHGNet with one surface per charge order: Fe that starts as Fe3+ is evaluated as Ga, moments as Fe."""

    name: ClassVar[str] = "chgnet-states"

    def __init__(self, symbols: tuple[str, ...], initial_moments: NDArray[np.float64]) -> None:
        others = sorted({*symbols} & {*REDOX} - {"Fe"})
        if others:
            raise InputError(
                f"ERROR: chgnet-states knows the charge states of Fe only, not of {' '.join(others)};"
                " use --engine chgnet"
            )
        is_iron = np.array([symbol == "Fe" for symbol in symbols])
        self._fe3 = np.flatnonzero(is_iron & (np.abs(initial_moments) >= FE3_MOMENT))
        super().__init__(symbols, initial_moments)

    def evaluate(self, crystal: Crystal) -> Evaluation:
        """Return energy, forces and stress with Ga for Fe3+, and the moments that plain CHGNet gives."""
        import torch  # noqa: PLC0415  (optional extra)

        graph = self._graph(crystal)
        if not self._fe3.size:
            return self._surface(graph, crystal)
        with torch.no_grad():
            _, moments = self._forward(graph)
        graph.atomic_number[self._fe3] = GALLIUM
        surface = self._surface(graph, crystal)
        energy = surface.energy + FE3_ENERGY * self._fe3.size
        return Evaluation(energy, surface.forces, surface.stress, moments)
