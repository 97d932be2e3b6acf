"""cPaiNN: energy, forces, stress, magnetic moments and Bader charges of crystals, from model species and geometry.

PaiNN: Schuett, Unke, Gastegger, arXiv:2102.03150; with moments and charges: 10.1002/aidi.202500065. Forces and stress
are derivatives by the edges' vectors, so that both agree with the energy, and the stress is symmetric.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .crystals import Crystal, CrystalBatch, collate
from .layers import Message, RadialBasis, TwoLayers, Update, linear
from .messages import EdgeGeometry, Purpose
from .settings import ModelSettings

N_SPECIES = 119
"""Rows of the embedding: atomic numbers 0 to 118."""

_CPU_BLOCK, _GPU_BLOCK = 3 << 16, 1 << 25
"""Filter weights computed at once: less than a megabyte stays near a core; a GPU has the memory and wants more."""


@dataclass(frozen=True)
class EnergyScale:
    """What the network's output is multiplied by, and the energies that are added to it.

    Attributes
    ----------
    scale : eV per unit of the network.
    references : model species -> eV per atom.
    """

    scale: float
    references: Mapping[int, float]


@dataclass(frozen=True)
class AtomOutputs:
    """What the network says of every atom, in layout order.

    Attributes
    ----------
    energies : (n_atoms,) units of `EnergyScale.scale`, without references.
    magmoms : (n_atoms,) muB.
    charges : (n_atoms,) e.
    scalars : (n_atoms, n_features) features that the energy is read from.
    """

    energies: Tensor
    magmoms: Tensor
    charges: Tensor
    scalars: Tensor


@dataclass(frozen=True)
class Prediction:
    """Properties of a batch of crystals, atoms in the order of the crystals laid end to end.

    Attributes
    ----------
    energies : (n_crystals,) eV per cell; double precision, because references are large.
    forces : (n_atoms, 3) eV/A.
    stresses : (n_crystals, 3, 3) eV/A^3, ASE sign (positive = tension), symmetric; NaN where not periodic.
    magmoms : (n_atoms,) |moment|, muB.
    charges : (n_atoms,) net Bader charge, e, positive on cations.
    """

    energies: Tensor
    forces: Tensor
    stresses: Tensor
    magmoms: Tensor
    charges: Tensor


class CPaiNN(nn.Module):
    """The potential. With the default settings it has 3,053,315 parameters.

    Parameters
    ----------
    settings : architecture.
    energies : scale and references of its energies.
    """

    def __init__(self, settings: ModelSettings, energies: EnergyScale | None = None) -> None:
        super().__init__()
        self.settings = settings
        width = settings.features
        self.embedding = nn.Embedding(N_SPECIES, width)
        self.basis = RadialBasis(settings.n_radial, settings.cutoff)
        self.messages = nn.ModuleList(Message(width, settings.n_radial) for _ in range(settings.n_layers))
        self.updates = nn.ModuleList(Update(width, settings.norm_epsilon) for _ in range(settings.n_layers))
        self.magmom_head = linear(width, 1)
        self.charge_head = linear(width, 1)
        self.readout = TwoLayers(width, width, 1)
        self.set_energies(energies or EnergyScale(1.0, {}))

    def set_energies(self, energies: EnergyScale) -> None:
        """Replace scale and references; species without a reference have 0."""
        self.energies = energies
        # Plain attribute, not a buffer: references stay in double precision whatever the weights are in.
        self._references = torch.zeros(N_SPECIES, dtype=torch.float64)
        for number, reference in energies.references.items():
            self._references[number] = reference

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the weights."""
        return self.embedding.weight.dtype

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.embedding.weight.device

    @property
    def n_parameters(self) -> int:
        """Number of trained numbers."""
        return sum(weights.numel() for weights in self.parameters())

    def batch(self, crystals: Sequence[Crystal]) -> CrystalBatch:
        """Crystals as this model takes them; errors as `crystals.collate`."""
        floats = _CPU_BLOCK if self.device.type == "cpu" else _GPU_BLOCK
        edges_per_block = max(16, floats // (3 * self.settings.features))
        return collate(crystals, self.settings.cutoff, edges_per_block, self.dtype, self.device)

    def forward(self, batch: CrystalBatch, vectors: Tensor, purpose: Purpose = Purpose.ANY) -> AtomOutputs:
        """Run the network.

        Parameters
        ----------
        batch : crystals.
        vectors : (n_edges, 3) A; as in the batch, or a copy that derivatives are taken by.
        purpose : which derivatives will be taken.
        """
        distances = vectors.square().sum(1).sqrt()
        edges = EdgeGeometry(
            self.basis(distances), vectors / distances[:, None], batch.receivers, batch.senders, batch.blocks
        )
        species, kinds = torch.unique(batch.species, return_inverse=True)
        first: Message = next(iter(self.messages))  # type: ignore[assignment]  # a ModuleList knows modules only
        s, v = first.first(self.embedding(species), kinds, edges)
        magmoms = charges = s
        for index, (message, update) in enumerate(zip(self.messages, self.updates, strict=True)):
            if index:
                s, v = message(s, v, edges, purpose)
            s, v = update(s, v, last=index + 1 == len(self.updates))
            if index + 1 == self.settings.heads_after:
                magmoms, charges = self.magmom_head(s)[:, 0], self.charge_head(s)[:, 0]
        return AtomOutputs(self.readout(s)[:, 0], magmoms, charges, s)

    def predict(self, batch: CrystalBatch, training: bool = False) -> Prediction:
        """Energies and all that follows from them.

        Parameters
        ----------
        batch : crystals, from `batch`.
        training : keep everything differentiable by the parameters.
        """
        vectors = batch.vectors.detach().requires_grad_()
        purpose = Purpose.TRAINING if training else Purpose.FORCES
        with torch.enable_grad():
            atoms = self(batch, vectors, purpose)
            (slopes,) = torch.autograd.grad(atoms.energies.sum(), vectors, create_graph=training)
        with torch.set_grad_enabled(training):
            slopes = slopes * self.energies.scale
            found = Prediction(
                energies=self._energies(batch, atoms.energies),
                forces=batch.end_to_end(_forces(batch, slopes)),
                stresses=_stresses(batch, slopes),
                magmoms=batch.end_to_end(atoms.magmoms),
                charges=batch.end_to_end(atoms.charges),
            )
        return found if training else Prediction(*(value.detach() for value in vars(found).values()))

    def _energies(self, batch: CrystalBatch, outputs: Tensor) -> Tensor:
        """(n_crystals,) eV per cell."""
        if self._references.device != batch.species.device:
            self._references = self._references.to(batch.species.device)
        by_atom = self._references[batch.species] + self.energies.scale * outputs.double()
        return by_atom.new_zeros(batch.n_crystals).index_add(0, batch.crystal, by_atom)


def _forces(batch: CrystalBatch, slopes: Tensor) -> Tensor:
    """(n_atoms, 3) eV/A in layout order: an edge pulls its receiver by dE/dvector and its sender the other way."""
    forces = slopes.new_zeros(batch.n_atoms, 3)
    return forces.index_add(0, batch.receivers, slopes).index_add(0, batch.senders, slopes, alpha=-1)


def _stresses(batch: CrystalBatch, slopes: Tensor) -> Tensor:
    """(n_crystals, 3, 3) eV/A^3: a strain stretches every edge, so dE/dstrain is a sum over edges."""
    virials = slopes[:, :, None] * batch.vectors[:, None, :]
    total = virials.new_zeros(batch.n_crystals, 3, 3).index_add(0, batch.crystal[batch.receivers], virials)
    volumes = batch.volumes[:, None, None]
    periodic = torch.isfinite(volumes)
    # Dividing by NaN would put NaN into gradients, even where nobody uses the stress.
    stress = total / torch.where(periodic, volumes, 1.0)
    # Symmetric as it is, because energies do not change when a crystal turns; here to the last digit.
    return torch.where(periodic, (stress + stress.transpose(1, 2)) / 2, torch.nan)
