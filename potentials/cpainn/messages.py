"""The sum over neighbours that PaiNN's message is (arXiv:2102.03150, Eqs. 7 and 8), with its derivatives by hand.

Per edge from atom i to its neighbour j, with filters w = basis @ filters, three weights per feature:

    ds_i = sum_j  w_c c_j                          c, b, x: features of the sender, x_j = a_j * v_j
    dv_i = sum_j  w_b b_j u_ij + w_a x_j           u: direction of the edge

Written plainly (`plain_sum`), torch keeps a dozen arrays of edges x features for every layer, and forces in the loss
double them: memory traffic, not arithmetic, takes the time. Here the sum and its first and second derivatives go
through blocks of atoms that fit the cache and keep nothing per edge: filters are computed anew where they are needed.

What is differentiated is fixed by what a pass is for (`Purpose`), so that nothing is computed in vain. Everything that
`Purpose` does not foresee (Hessians, say) goes through `plain_sum`, which any derivative can be taken of.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from .neighbours import Block


class Purpose(Enum):
    """Which derivatives will be taken of a pass."""

    FORCES = "by edges, once"
    TRAINING = "by edges with create_graph, then everything by features and parameters; or by these alone"
    ANY = "any, through plain torch"


@dataclass(frozen=True)
class EdgeGeometry:
    """Edges of a batch, seen by the model.

    Attributes
    ----------
    basis : (n_edges, n_basis) radial functions times cutoff function.
    directions : (n_edges, 3) unit vectors from receiver to sender.
    receivers, senders : (n_edges,) atoms.
    blocks : atoms computed together.
    """

    basis: Tensor
    directions: Tensor
    receivers: Tensor
    senders: Tensor
    blocks: tuple[Block, ...]


def neighbour_sum(features: Tensor, filters: Tensor, edges: EdgeGeometry, purpose: Purpose) -> Tensor:
    """Sum messages over neighbours.

    Parameters
    ----------
    features : (n_atoms, 5, n_features) of the sender: b, c, x (3 components).
    filters : (n_basis, 3 * n_features): those of b, c, x.
    edges : geometry.
    purpose : which derivatives will be taken.

    Returns
    -------
    (n_atoms, 4, n_features): ds, dv (3 components).
    """
    if purpose is Purpose.ANY:
        return plain_sum(features, filters, edges)
    summed: Tensor = _Sum.apply(  # type: ignore[no-untyped-call]
        edges.basis, edges.directions, features, filters, edges.senders, edges.blocks, purpose is Purpose.TRAINING
    )
    return summed


def plain_sum(features: Tensor, filters: Tensor, edges: EdgeGeometry) -> Tensor:
    """What `neighbour_sum` computes, in plain torch."""
    n_features = features.shape[2]
    weights = (edges.basis @ filters).view(-1, 3, n_features)
    sent = features[edges.senders]
    pointed = (weights[:, 0] * sent[:, 0])[:, None] * edges.directions[:, :, None]
    message = torch.cat([(weights[:, 1] * sent[:, 1])[:, None], pointed + weights[:, 2:] * sent[:, 2:]], dim=1)
    summed = features.new_zeros(len(features), 4, n_features)
    return summed.index_add(0, edges.receivers, message)


# In what follows shapes within a block are (n_atoms, width, ...), `grad` is the gradient by the sum, (n_atoms, 4, F),
# and `q` the projection of its vector part on the edges' directions. Arrays over a block's edges live in buffers that
# every block uses again: fresh memory is cold memory.


class _Room:
    """Buffers for the edges of one block, (largest block, n * n_features)."""

    def __init__(self, features: Tensor, blocks: tuple[Block, ...]) -> None:
        self._like, self._n_features = features, features.shape[2]
        self._n_edges = max(block.n_atoms * block.width for block in blocks)

    def of(self, n: int) -> Tensor:
        """A new buffer of n values per edge and feature."""
        return self._like.new_empty(self._n_edges, n * self._n_features)


def _shaped(buffer: Tensor, block: Block, n: int) -> Tensor:
    """The part of a buffer that a block fills, (n_atoms, width, n, n_features)."""
    return buffer[: block.n_atoms * block.width].view(block.n_atoms, block.width, n, -1)


def _filtered(basis: Tensor, filters: Tensor, block: Block, out: Tensor) -> Tensor:
    """Filter weights of a block's edges, (n_atoms, width, 3, n_features)."""
    torch.mm(basis[block.edges], filters, out=out[: block.n_atoms * block.width])
    return _shaped(out, block, 3)


def _gathered(features: Tensor, senders: Tensor, block: Block, out: Tensor) -> Tensor:
    """Features of a block's senders, (n_atoms, width, 5, n_features)."""
    rows = features.view(len(features), -1)
    torch.index_select(rows, 0, senders[block.edges], out=out[: block.n_atoms * block.width])
    return _shaped(out, block, 5)


def _scatter(total: Tensor, values: Tensor, senders: Tensor, block: Block) -> None:
    """Add a block's (n_atoms, width, 5, n_features) to the rows of the senders."""
    rows = values.view(block.n_atoms * block.width, -1)
    total.view(len(total), -1).index_add_(0, senders[block.edges], rows)


def _by_edge(values: Tensor, block: Block) -> Tensor:
    """(n_edges, k) values of a block as (n_atoms, width, k)."""
    return values[block.edges].reshape(block.n_atoms, block.width, -1)


def _add_up(products: Tensor, directions: Tensor, total: Tensor) -> None:
    """Sum a block's products (b, c, x) over neighbours into total, (n_atoms, 4, n_features)."""
    torch.sum(products[:, :, 1:], 1, out=total)
    total[:, 1:] += torch.bmm(directions.transpose(1, 2), products[:, :, 0])


def _by_weights(sent: Tensor, grad: Tensor, q: Tensor, block: Block, out: Tensor) -> Tensor:
    """Gradient by the filter weights, (n_atoms, width, 3, n_features)."""
    by_b, by_c, by_x = _shaped(out, block, 3).unbind(2)
    b, c, x, y, z = sent.unbind(2)
    of_s, of_x, of_y, of_z = grad[:, None].unbind(2)
    torch.mul(b, q, out=by_b)
    torch.mul(c, of_s, out=by_c)
    torch.mul(x, of_x, out=by_x).addcmul_(y, of_y).addcmul_(z, of_z)
    return out[: block.n_atoms * block.width]


def _by_features(weights: Tensor, grad: Tensor, q: Tensor, out: Tensor) -> Tensor:
    """Gradient by the sender's features, (n_atoms, width, 5, n_features)."""
    torch.mul(weights[:, :, 0], q, out=out[:, :, 0])
    torch.mul(weights[:, :, 1:2], grad[:, None, :1], out=out[:, :, 1:2])
    torch.mul(weights[:, :, 2:], grad[:, None, 1:], out=out[:, :, 2:])
    return out


class _Sum(torch.autograd.Function):
    """The sum; its backward is `_Gradients`, or, in the last pass of a training step, `_for_parameters`."""

    @staticmethod
    def forward(
        ctx: Any,
        basis: Tensor,
        directions: Tensor,
        features: Tensor,
        filters: Tensor,
        senders: Tensor,
        blocks: tuple[Block, ...],
        training: bool,
    ) -> Tensor:
        ctx.save_for_backward(basis, directions, features, filters, senders)
        ctx.blocks, ctx.training = blocks, training
        total = features.new_empty(len(features), 4, features.shape[2])
        room = _Room(features, blocks)
        for_weights, for_sent = room.of(3), room.of(5)
        for block in blocks:
            weights = _filtered(basis, filters, block, for_weights)
            products = _gathered(features, senders, block, for_sent)
            products[:, :, :2] *= weights[:, :, :2]
            products[:, :, 2:] *= weights[:, :, 2:]
            _add_up(products, _by_edge(directions, block), total[block.atoms])
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        basis, directions, features, filters, senders = ctx.saved_tensors
        grad = gradients[0].contiguous()
        # Forces of a training step are taken with create_graph, so gradients are on; the step's own pass is not.
        if ctx.training and not torch.is_grad_enabled():
            by_features, by_filters = _for_parameters(basis, directions, features, filters, senders, grad, ctx.blocks)
            return None, None, by_features, by_filters, None, None, None
        geometry = (basis, directions, features, filters, senders, grad, ctx.blocks)
        by_basis, by_directions, by_features = _Gradients.apply(*geometry)  # type: ignore[no-untyped-call]
        return by_basis, by_directions, by_features, None, None, None, None


def _for_parameters(
    basis: Tensor,
    directions: Tensor,
    features: Tensor,
    filters: Tensor,
    senders: Tensor,
    grad: Tensor,
    blocks: tuple[Block, ...],
) -> tuple[Tensor, Tensor]:
    """Gradients by features and filters alone."""
    by_features, by_filters = torch.zeros_like(features), torch.zeros_like(filters)
    room = _Room(features, blocks)
    for_weights, for_sent, for_gradient = room.of(3), room.of(5), room.of(3)
    for block in blocks:
        here = grad[block.atoms]
        weights = _filtered(basis, filters, block, for_weights)
        sent = _gathered(features, senders, block, for_sent)
        q = torch.bmm(_by_edge(directions, block), here[:, 1:])
        by_filters.addmm_(basis[block.edges].t(), _by_weights(sent, here, q, block, for_gradient))
        _scatter(by_features, _by_features(weights, here, q, out=sent), senders, block)
    return by_features, by_filters


class _Gradients(torch.autograd.Function):
    """Gradients of the sum by basis, directions and features, themselves differentiable by all but the geometry."""

    @staticmethod
    def forward(
        ctx: Any,
        basis: Tensor,
        directions: Tensor,
        features: Tensor,
        filters: Tensor,
        senders: Tensor,
        grad: Tensor,
        blocks: tuple[Block, ...],
    ) -> tuple[Tensor, Tensor, Tensor]:
        ctx.save_for_backward(basis, directions, features, filters, senders, grad)
        ctx.blocks = blocks
        by_basis, by_directions = torch.empty_like(basis), torch.empty_like(directions)
        by_features, transposed = torch.zeros_like(features), filters.t()
        room = _Room(features, blocks)
        for_weights, for_sent, for_gradient = room.of(3), room.of(5), room.of(3)
        for block in blocks:
            here = grad[block.atoms]
            weights = _filtered(basis, filters, block, for_weights)
            sent = _gathered(features, senders, block, for_sent)
            q = torch.bmm(_by_edge(directions, block), here[:, 1:])
            torch.mm(_by_weights(sent, here, q, block, for_gradient), transposed, out=by_basis[block.edges])
            pointed = sent[:, :, 0].mul_(weights[:, :, 0])
            projected = torch.bmm(pointed, here[:, 1:].transpose(1, 2))
            by_directions[block.edges] = projected.view(-1, 3)
            _scatter(by_features, _by_features(weights, here, q, out=sent), senders, block)
        return by_basis, by_directions, by_features

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_basis: Tensor, d_directions: Tensor, d_features: Tensor) -> tuple[Tensor | None, ...]:
        """Derivatives of <d_basis, by_basis> + <d_directions, by_directions> + <d_features, by_features>."""
        basis, directions, features, filters, senders, grad = ctx.saved_tensors
        d_features = d_features.contiguous()
        by_features, by_filters = torch.zeros_like(features), torch.zeros_like(filters)
        by_grad = torch.empty_like(grad)
        room = _Room(features, ctx.blocks)
        for_weights, for_d_weights, for_gradient = room.of(3), room.of(3), room.of(3)
        for_sent, for_d_sent, for_by_sent = room.of(5), room.of(5), room.of(5)
        for block in ctx.blocks:
            here = grad[block.atoms]
            along, d_along = _by_edge(directions, block), _by_edge(d_directions, block)
            q, d_q = torch.bmm(along, here[:, 1:]), torch.bmm(d_along, here[:, 1:])
            sent = _gathered(features, senders, block, for_sent)
            d_sent = _gathered(d_features, senders, block, for_d_sent)
            by_d_weights = _by_weights(sent, here, q, block, for_gradient)
            by_filters.addmm_(d_basis[block.edges].t(), by_d_weights)
            by_weights = _by_weights(d_sent, here, q, block, for_gradient)
            _shaped(for_gradient, block, 3)[:, :, 0].addcmul_(sent[:, :, 0], d_q)
            by_filters.addmm_(basis[block.edges].t(), by_weights)
            weights = _filtered(basis, filters, block, for_weights)
            d_weights = _filtered(d_basis, filters, block, for_d_weights)
            by_sent = _by_features(d_weights, here, q, out=_shaped(for_by_sent, block, 5))
            by_sent[:, :, 0].addcmul_(weights[:, :, 0], d_q)
            _scatter(by_features, by_sent, senders, block)
            total = by_grad[block.atoms]
            pointed = torch.mul(weights[:, :, 0], sent[:, :, 0], out=d_q)
            turned = torch.bmm(d_along.transpose(1, 2), pointed)
            sent[:, :, :2].mul_(d_weights[:, :, :2]).addcmul_(weights[:, :, :2], d_sent[:, :, :2])
            sent[:, :, 2:].mul_(d_weights[:, :, 2:]).addcmul_(weights[:, :, 2:], d_sent[:, :, 2:])
            _add_up(sent, along, total)
            total[:, 1:] += turned
        return None, None, by_features, by_filters, None, by_grad, None
