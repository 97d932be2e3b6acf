"""Layers of PaiNN (arXiv:2102.03150): radial basis, message, update.

Linear maps of vectors have no bias: one would add the same three numbers in every frame of reference, and energies
would change as the crystal turns.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from .messages import EdgeGeometry, Purpose, neighbour_sum


def linear(n_in: int, n_out: int, bias: bool = True) -> nn.Linear:
    """Linear layer with Glorot weights and zero biases."""
    layer = nn.Linear(n_in, n_out, bias=bias)
    nn.init.xavier_uniform_(layer.weight)
    if bias:
        nn.init.zeros_(layer.bias)
    return layer


class TwoLayers(nn.Module):
    """Linear, SiLU, linear."""

    def __init__(self, n_in: int, n_hidden: int, n_out: int) -> None:
        super().__init__()
        self.inner, self.outer = linear(n_in, n_hidden), linear(n_hidden, n_out)

    def forward(self, inputs: Tensor, skip: int = 0) -> Tensor:
        """(n_atoms, n_in) to (n_atoms, n_out - skip); the first `skip` outputs are not computed."""
        hidden = nn.functional.silu(self.inner(inputs))
        if not skip:
            out: Tensor = self.outer(hidden)
            return out
        return nn.functional.linear(hidden, self.outer.weight[skip:], self.outer.bias[skip:])


class RadialBasis(nn.Module):
    """sin(n pi d / cutoff) / d for n = 1..n_radial, and the constant that a filter's bias multiplies, all times the
    cutoff function (1 + cos(pi d / cutoff)) / 2, which is zero with its slope from the cutoff on.
    """

    def __init__(self, n_radial: int, cutoff: float) -> None:
        super().__init__()
        self.n_radial, self.cutoff = n_radial, cutoff

    def forward(self, distances: Tensor) -> Tensor:
        """(n_edges,) distances, A, to (n_edges, n_radial + 1)."""
        phase = distances * (math.pi / self.cutoff)
        smooth = torch.where(distances < self.cutoff, 0.5 * (1 + torch.cos(phase)), torch.zeros_like(distances))
        orders = torch.arange(1, self.n_radial + 1, dtype=distances.dtype, device=distances.device)
        waves = torch.sin(phase[:, None] * orders) * (smooth / distances)[:, None]
        return torch.cat([waves, smooth[:, None]], dim=1)


class Message(nn.Module):
    """What an atom takes over from its neighbours."""

    def __init__(self, n_features: int, n_radial: int) -> None:
        super().__init__()
        self.n_features = n_features
        self.gates = TwoLayers(n_features, n_features, 3 * n_features)
        self.filters = linear(n_radial, 3 * n_features)

    def _filters(self) -> Tensor:
        """(n_radial + 1, 3 * n_features): the bias is one more row, for the basis' last function."""
        return torch.cat([self.filters.weight.t(), self.filters.bias[None]])

    def forward(self, s: Tensor, v: Tensor, edges: EdgeGeometry, purpose: Purpose) -> tuple[Tensor, Tensor]:
        """Scalars (n_atoms, F) and vectors (n_atoms, 3, F) with the messages of all neighbours added."""
        b, c, a = self.gates(s).split(self.n_features, dim=1)
        features = torch.cat([b[:, None], c[:, None], a[:, None] * v], dim=1)
        added = neighbour_sum(features, self._filters(), edges, purpose)
        return s + added[:, 0], v + added[:, 1:]

    def first(self, embeddings: Tensor, kinds: Tensor, edges: EdgeGeometry) -> tuple[Tensor, Tensor]:
        """Do the same for the first block, where scalars depend on the species alone and vectors are zero.

        The sum over neighbours is then one over species of sums of basis functions, and all else matrix products.

        Parameters
        ----------
        embeddings : (n_kinds, F) of the species that occur.
        kinds : (n_atoms,) rows of embeddings.
        edges : geometry.
        """
        n_atoms, n_kinds, n_basis = len(kinds), len(embeddings), edges.basis.shape[1]
        pointed = edges.directions[:, :, None] * edges.basis[:, None]
        by_edge = torch.cat([edges.basis[:, None], pointed], dim=1)
        cell = edges.receivers * n_kinds + kinds[edges.senders]
        sums = by_edge.new_zeros(n_atoms * n_kinds, 4, n_basis).index_add(0, cell, by_edge)
        sums = sums.view(n_atoms, n_kinds, 4, n_basis).transpose(1, 2)
        b, c, _ = self.gates(embeddings).split(self.n_features, dim=1)
        filter_b, filter_c, _ = self._filters().split(self.n_features, dim=1)
        scalar = (c[:, None] * filter_c).view(n_kinds * n_basis, -1)
        vector = (b[:, None] * filter_b).view(n_kinds * n_basis, -1)
        s = embeddings[kinds] + sums[:, 0].reshape(n_atoms, -1) @ scalar
        v = sums[:, 1:].reshape(n_atoms * 3, -1) @ vector
        return s, v.view(n_atoms, 3, -1)


class Update(nn.Module):
    """What an atom makes of its own scalars and vectors."""

    def __init__(self, n_features: int, norm_epsilon: float) -> None:
        super().__init__()
        self.n_features, self.norm_epsilon = n_features, norm_epsilon
        self.mix = linear(n_features, 2 * n_features, bias=False)  # U and V, one below the other
        self.gates = TwoLayers(2 * n_features, n_features, 3 * n_features)

    def forward(self, s: Tensor, v: Tensor, last: bool = False) -> tuple[Tensor, Tensor]:
        """Updated scalars (n_atoms, F) and vectors (n_atoms, 3, F); vectors that nobody reads (`last`) stay."""
        uv, vv = self.mix(v).split(self.n_features, dim=2)
        norm = (vv.square().sum(1) + self.norm_epsilon).sqrt()
        known = torch.cat([norm, s], dim=1)
        product = (uv * vv).sum(1)
        if last:
            a_sv, a_ss = self.gates(known, skip=self.n_features).split(self.n_features, dim=1)
            return s + a_sv * product + a_ss, v
        a_vv, a_sv, a_ss = self.gates(known).split(self.n_features, dim=1)
        return s + a_sv * product + a_ss, v + a_vv[:, None] * uv
